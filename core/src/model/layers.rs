//! The layers every block is made of; fields carry the checkpoint's names. Shapes as in PyTorch: images `[B, C, H, W]`, tokens
//! `[B, N, C]`. Whoever waits for a model can stop it between two of its layers.

use super::config::Activation;
use super::lora::Lora;
use super::params::Params;
use crate::progress::checkpoint;
use std::fmt;
use tch::{Device, Kind, Tensor};

/// Affine map of the last dimension.
pub struct Linear {
    /// `[out, in]`
    pub weight: Tensor,
    /// `[out]`
    pub bias: Tensor,
    /// what is trained beside them
    pub lora: Option<Lora>,
}

impl Linear {
    /// Reads `weight` and `bias` below `p`.
    pub fn new(p: Params, input: i64, output: i64) -> Self {
        let lora = p.adapter(input, output);
        Self { weight: p.get("weight", &[output, input]), bias: p.get("bias", &[output]), lora }
    }

    /// `[.., in]` -> `[.., out]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        checkpoint();
        let y = if self.bias.kind() == x.kind() {
            x.linear(&self.weight, Some(&self.bias))
        } else {
            x.linear(&self.weight, Some(self.bias.to_kind(x.kind()))) // in training, kept in float32
        };
        match &self.lora {
            Some(lora) => y + lora.forward(x),
            None => y,
        }
    }
}

/// Kernel, stride, padding and groups of a [`Conv2d`], the same in both directions.
#[derive(Debug, Clone, Copy)]
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

/// Scaled dot-product attention of `[B, heads, N, C]` tensors.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    /// queries of one piece, after which someone may want the work to stop; fewer would be slower (libtorch's kernel takes 256 at a time,
    /// but only of 768 and more)
    const PIECE: i64 = 1024;
    /// multiplications and additions from which on it matters: some 25 ms of two cores
    const LONG: i64 = 8_000_000_000;
    let long = 4 * q.size().iter().product::<i64>() * k.size()[2] > LONG;
    if long && q.device() == Device::Cpu { in_pieces(q, k, v, PIECE) } else { attend(q, k, v) }
}

/// The same, so many queries at a time: each query's answer is its own.
fn in_pieces(q: &Tensor, k: &Tensor, v: &Tensor, queries: i64) -> Tensor {
    let pieces = q.split(queries, 2).into_iter().map(|q| {
        checkpoint();
        attend(&q, k, v)
    });
    Tensor::cat(&pieces.collect::<Vec<_>>(), 2)
}

fn attend(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    attention_with_bias(q, k, v, None)
}

/// [`attention`] of few tokens (windows) with something added to the scores: `bias` broadcasts to `[B, heads, N, N]`.
pub fn attention_with_bias(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<&Tensor>) -> Tensor {
    Tensor::scaled_dot_product_attention(q, k, v, bias, 0.0, false, None, false)
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
    fn attention_in_pieces_is_attention() {
        tch::manual_seed(3);
        let random = |tokens: i64| Tensor::randn([1, 2, tokens, 32], (Kind::Float, Device::Cpu));
        let (q, k, v) = (random(700), random(900), random(900));
        let difference = (in_pieces(&q, &k, &v, 256) - attend(&q, &k, &v)).abs().max().double_value(&[]);
        assert!(difference < 1e-6, "{difference}");
    }
}
