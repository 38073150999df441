//! The layers every block is made of; fields carry the checkpoint's names. Shapes as in PyTorch: images `[B, C, H, W]`, tokens
//! `[B, N, C]`. Whoever waits for a model can stop it between two of its layers.

use super::config::Activation;
use super::lora::Lora;
use super::params::Params;
use crate::progress::checkpoint;
use std::cell::Cell;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use tch::{Device, Kind, Tensor};

/// Affine map of the last dimension.
pub struct Linear {
    /// `[out, in]`
    pub weight: Tensor,
    /// `[out]`
    pub bias: Option<Tensor>,
    /// what is trained beside them
    pub lora: Option<Lora>,
}

impl Linear {
    /// Reads `weight` and `bias` below `p`.
    pub fn new(p: Params, input: i64, output: i64) -> Self {
        Self { bias: Some(p.get("bias", &[output])), ..Self::without_bias(p, input, output) }
    }

    /// Reads `weight` below `p`.
    pub fn without_bias(p: Params, input: i64, output: i64) -> Self {
        let lora = p.adapter(input, output);
        Self { weight: p.get("weight", &[output, input]), bias: None, lora }
    }

    /// `[.., in]` -> `[.., out]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        checkpoint();
        let y = match &self.bias {
            Some(bias) if bias.kind() != x.kind() => affine(x, &self.weight, Some(&bias.to_kind(x.kind()))), // in training, kept in float32
            bias => affine(x, &self.weight, bias.as_ref()),
        };
        match &self.lora {
            Some(lora) => y + lora.forward(x),
            None => y,
        }
    }
}

/// `x.linear(weight, bias)`. Many rows on the CPU are a 1 x 1 convolution of an image that is one pixel wide: the same products, by kernels
/// (oneDNN's instead of MKL's) that are up to a third faster on AMD's processors (docs/performance.md).
fn affine(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    const MANY: i64 = 512;
    let mut size = x.size();
    let width = size.pop().unwrap_or(1);
    let rows = size.iter().product::<i64>();
    if x.device() != Device::Cpu || rows < MANY || !x.is_contiguous() {
        return x.linear(weight, bias);
    }
    let image = x.view([1, rows, 1, width]).permute([0, 3, 1, 2]);
    let y = image.conv2d(&weight.unsqueeze(-1).unsqueeze(-1), bias, [1, 1], [0, 0], [1, 1], 1);
    size.push(weight.size()[0]);
    y.permute([0, 2, 3, 1]).reshape(size)
}

/// Kernel, stride, padding and groups of a [`Conv2d`], the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// side of the kernel in pixels
    pub kernel: i64,
    /// step in pixels
    pub stride: i64,
    /// zeros added at each side in pixels
    pub padding: i64,
    /// channel groups
    pub groups: i64,
}

impl Default for Conv {
    fn default() -> Self {
        Self { kernel: 1, stride: 1, padding: 0, groups: 1 }
    }
}

/// 2-D convolution.
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    conv: Conv,
}

impl Conv2d {
    /// Reads `weight` and `bias` below `p`.
    pub fn new(p: Params, input: i64, output: i64, conv: Conv) -> Self {
        let bias = Some(p.get("bias", &[output]));
        Self { bias, ..Self::without_bias(p, input, output, conv) }
    }

    /// Reads `weight` below `p`.
    pub fn without_bias(p: Params, input: i64, output: i64, conv: Conv) -> Self {
        let weight = p.get("weight", &[output, input / conv.groups, conv.kernel, conv.kernel]);
        Self { weight, bias: None, conv }
    }

    /// From kernel and bias.
    pub(super) fn of(weight: Tensor, bias: Option<Tensor>, conv: Conv) -> Self {
        Self { weight, bias, conv }
    }

    /// `after` applied to what this gives, as one convolution; where both look at single pixels.
    pub fn then(&self, after: &Self) -> Option<Self> {
        if [self, after].iter().any(|one| one.conv != Conv::default()) {
            return None;
        }
        let matrix = |one: &Self| one.weight.flatten(1, -1);
        let weight = matrix(after).matmul(&matrix(self)).unsqueeze(-1).unsqueeze(-1);
        let passed = self.bias.as_ref().map(|bias| matrix(after).mv(bias));
        let bias = match (passed, &after.bias) {
            (Some(passed), Some(bias)) => Some(passed + bias),
            (passed, bias) => passed.or_else(|| bias.as_ref().map(Tensor::shallow_clone)),
        };
        Some(Self { weight, bias, conv: Conv::default() })
    }

    /// `[B, in, H, W]` -> `[B, out, H', W']`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        checkpoint();
        let Conv { stride, padding, groups, .. } = self.conv;
        x.conv2d(&self.weight, self.bias.as_ref(), [stride, stride], [padding, padding], [1, 1], groups)
    }
}

/// Transposed convolution with kernel 2 and stride 2: doubles the size.
pub struct Upscale2x {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Upscale2x {
    /// Reads `weight` and `bias` below `p`.
    pub fn new(p: Params, input: i64, output: i64) -> Self {
        let bias = Some(p.get("bias", &[output]));
        Self { bias, ..Self::without_bias(p, input, output) }
    }

    /// Reads `weight` below `p`.
    pub fn without_bias(p: Params, input: i64, output: i64) -> Self {
        Self { weight: p.get("weight", &[input, output, 2, 2]), bias: None }
    }

    /// `[B, in, H, W]` -> `[B, out, 2H, 2W]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.conv_transpose2d(&self.weight, self.bias.as_ref(), [2, 2], [0, 0], [0, 0], 1, [1, 1])
    }
}

/// Layer normalisation of the last dimension.
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Reads `weight` and `bias` below `p`.
    pub fn new(p: Params, width: i64, eps: f64) -> Self {
        Self { weight: p.get("weight", &[width]), bias: p.get("bias", &[width]), eps }
    }

    /// `[.., C]` -> `[.., C]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

/// Layer normalisation over the channels of an image (`LayerNorm2d`, eps 1e-6).
pub struct LayerNorm2d(LayerNorm);

impl LayerNorm2d {
    /// Reads `weight` and `bias` below `p`.
    pub fn new(p: Params, channels: i64) -> Self {
        Self(LayerNorm::new(p, channels, 1e-6))
    }

    /// `[B, C, H, W]` -> `[B, C, H, W]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        channels_first(&self.0.forward(&channels_last(x)))
    }
}

impl Activation {
    /// Applies the function.
    pub fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Relu => x.relu(),
            Self::Gelu => x.gelu("none"),
            Self::Glu => x.glu(-1),
        }
    }
}

/// A stack of linear layers with activations between them (`MLP`), keys `layers.0`, `layers.1`, ...
pub struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
    sigmoid_output: bool,
}

impl Mlp {
    /// `widths`: input, hidden..., output.
    pub fn new(p: Params, widths: &[i64], activation: Activation) -> Self {
        let layers = widths.windows(2).enumerate().map(|(i, w)| Linear::new(p.sub("layers").sub(i), w[0], w[1]));
        Self { layers: layers.collect(), activation, sigmoid_output: false }
    }

    /// Puts the outputs between 0 and 1.
    pub fn with_sigmoid(self, sigmoid_output: bool) -> Self {
        Self { sigmoid_output, ..self }
    }

    /// `[.., first width]` -> `[.., last width]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        in_strips(x, self.widest(), |x| self.layers(x))
    }

    /// The most channels between two layers.
    fn widest(&self) -> i64 {
        self.layers.iter().map(|layer| layer.weight.size()[0]).max().unwrap_or(1)
    }

    fn layers(&self, x: &Tensor) -> Tensor {
        let mut x = x.shallow_clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x);
            if i + 1 < self.layers.len() {
                x = self.activation.forward(&x);
            }
        }
        if self.sigmoid_output { x.sigmoid() } else { x }
    }
}

/// `[B, C, H, W]` -> `[B, H, W, C]` (a view)
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1])
}

/// `[B, H, W, C]` -> `[B, C, H, W]` (a view)
pub fn channels_first(x: &Tensor) -> Tensor {
    x.permute([0, 3, 1, 2])
}

/// `[B, C, H, W]` -> tokens `[B, H W, C]` (a view)
pub fn to_tokens(x: &Tensor) -> Tensor {
    x.flatten(2, 3).transpose(1, 2)
}

/// Tokens `[B, H W, C]` -> `[B, C, H, W]` for a square grid of side `side`
pub fn to_image(tokens: &Tensor, side: i64) -> Tensor {
    let (batch, _, channels) = tokens.size3().unwrap_or((1, side * side, 1));
    tokens.transpose(1, 2).reshape([batch, channels, side, side])
}

thread_local! {
    static TRAINING: Cell<bool> = const { Cell::new(false) };
}

/// Within `work` everything is computed as where gradients are wanted, also where they are not: training goes forward twice, once without
/// and once with them, and must meet the same numbers (a memory rounded to bfloat16 makes much of a difference in the last bit).
pub fn as_in_training<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            TRAINING.set(self.0);
        }
    }
    let _restore = Restore(TRAINING.replace(true));
    work()
}

/// Does someone want gradients of what is made from these, or are we [`as_in_training`]?
pub fn in_training(tensors: &[&Tensor]) -> bool {
    TRAINING.get() || tensors.iter().any(|tensor| tensor.requires_grad())
}

/// A trunk's position embedding, kept for the next image of the same size.
#[derive(Debug, Default)]
pub struct PositionCache(Mutex<Option<Tensor>>);

impl PositionCache {
    /// `[1, height, width, C]`: what is kept, else what `make` gives. Nothing is kept while the tables that it is made of are trained.
    pub fn get(&self, [height, width]: [i64; 2], tables: &[&Tensor], make: impl FnOnce() -> Tensor) -> Tensor {
        if in_training(tables) {
            return make();
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |kept: &&Tensor| kept.size()[1..3] == [height, width];
        match kept.as_ref().filter(fits) {
            Some(position) => position.shallow_clone(),
            None => kept.insert(make()).shallow_clone(),
        }
    }
}

/// Does `work` to a part of the tokens after another, on the CPU and without gradients: what lies between then fits the caches, and the
/// allocator hands out the same memory again (new memory costs as much as the work). `widest`: channels of the largest tensor between.
pub fn in_strips(x: &Tensor, widest: i64, work: impl Fn(&Tensor) -> Tensor) -> Tensor {
    /// bytes of the largest tensor; from 32 MB on, glibc's allocator returns memory at once
    const STRIP: i64 = 8 << 20;
    let size = x.size();
    let (rows, channels) = (size[..size.len() - 1].iter().product::<i64>(), size[size.len() - 1]);
    let strip = (STRIP / (widest * x.kind().elt_size_in_bytes() as i64)).max(1);
    if rows <= 2 * strip || x.device() != Device::Cpu || in_training(&[x]) {
        return work(x);
    }
    let parts: Vec<_> = x.reshape([rows, channels]).split(strip, 0).iter().map(work).collect();
    let mut size = size;
    size.pop();
    size.push(-1);
    Tensor::cat(&parts, 0).view(size.as_slice())
}

/// Bilinear resize of `[B, C, H, W]`, pixel centres at half (`align_corners` false).
pub fn resize_bilinear(x: &Tensor, size: [i64; 2]) -> Tensor {
    x.upsample_bilinear2d(size, false, None, None)
}

/// Bilinear resize with antialiasing, as PyTorch's `interpolate(antialias=True)`.
pub fn resize_bilinear_antialias(x: &Tensor, size: [i64; 2]) -> Tensor {
    x.internal_upsample_bilinear2d_aa(size, false, None, None)
}

/// A float32 tensor of the same values.
pub fn f32(x: &Tensor) -> Tensor {
    x.to_kind(Kind::Float)
}

impl fmt::Debug for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linear{:?}", self.weight.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_and_convolutions_are_the_linear_layer() {
        tch::manual_seed(5);
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        let (x, weight, bias) = (random(&[2, 30, 50, 24]), random(&[40, 24]), random(&[40]));
        let expected = x.linear(&weight, Some(&bias));
        let difference = |y: Tensor| {
            assert_eq!(y.size(), expected.size());
            (y - &expected).abs().max().double_value(&[])
        };
        assert!(difference(affine(&x, &weight, Some(&bias))) < 1e-5);
        assert!(difference(in_strips(&x, 1 << 20, |x| affine(x, &weight, Some(&bias)))) < 1e-5);
    }
}
