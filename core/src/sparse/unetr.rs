//! SwinUNETR for slices (arXiv 2201.01266; MONAI's `SwinUNETR(spatial_dims=2)`, fields named as there): a Swin trunk, and a convolutional
//! decoder that looks at every stage of it.
//!
//! The network is a list of [`Part`]s: what each reads and what it computes. Inference goes through it once; training computes each part
//! twice, so that the activations of one part at a time lie in memory (`super::gradients`).

use super::config::{MULTIPLE, SwinUnetrConfig};
use super::swin::{SwinTransformer, proj_out};
use crate::model::layers::{Conv, Conv2d, Upscale2x};
use crate::model::params::Params;
use crate::{Error, Result};
use tch::Tensor;

/// Normalises every channel of every image by itself; no parameters (`InstanceNorm2d`).
fn instance_norm(x: &Tensor) -> Tensor {
    Tensor::instance_norm(x, None::<&Tensor>, None::<&Tensor>, None::<&Tensor>, None::<&Tensor>, true, 0.1, 1e-5, false)
}

fn conv(p: &Params, name: &str, input: i64, output: i64, kernel: i64) -> Conv2d {
    let conv = Conv { kernel, padding: kernel / 2, ..Conv::default() };
    Conv2d::without_bias(p.sub(name).sub("conv"), input, output, conv)
}

/// Two convolutions and a shortcut.
struct UnetResBlock {
    conv1: Conv2d,
    conv2: Conv2d,
    /// shortcut where the width changes
    conv3: Option<Conv2d>,
}

impl UnetResBlock {
    fn new(p: Params, input: i64, output: i64) -> Self {
        Self {
            conv1: conv(&p, "conv1", input, output, 3),
            conv2: conv(&p, "conv2", output, output, 3),
            conv3: (input != output).then(|| conv(&p, "conv3", input, output, 1)),
        }
    }

    /// `[B, in, H, W]` -> `[B, out, H, W]`
    fn forward(&self, x: &Tensor) -> Tensor {
        let y = instance_norm(&self.conv1.forward(x)).leaky_relu();
        let y = instance_norm(&self.conv2.forward(&y));
        match &self.conv3 {
            Some(conv3) => (y + instance_norm(&conv3.forward(x))).leaky_relu(),
            None => (y + x).leaky_relu(),
        }
    }
}

/// Doubles the size and joins what the trunk has there.
struct UnetrUpBlock {
    transp_conv: Upscale2x,
    conv_block: UnetResBlock,
}

impl UnetrUpBlock {
    fn new(p: Params, input: i64, output: i64) -> Self {
        Self {
            transp_conv: Upscale2x::without_bias(p.sub("transp_conv").sub("conv"), input, output),
            conv_block: UnetResBlock::new(p.sub("conv_block"), 2 * output, output),
        }
    }

    /// `[B, in, H, W]`, `[B, out, 2 H, 2 W]` -> `[B, out, 2 H, 2 W]`
    fn forward(&self, x: &Tensor, skip: &Tensor) -> Tensor {
        self.conv_block.forward(&Tensor::cat(&[&self.transp_conv.forward(x), skip], 1))
    }
}

/// The network.
pub struct SwinUnetr {
    /// its sizes
    pub config: SwinUnetrConfig,
    /// `swinViT`
    swin_vit: SwinTransformer,
    encoder1: UnetResBlock,
    encoder2: UnetResBlock,
    encoder3: UnetResBlock,
    encoder4: UnetResBlock,
    encoder10: UnetResBlock,
    decoder5: UnetrUpBlock,
    decoder4: UnetrUpBlock,
    decoder3: UnetrUpBlock,
    decoder2: UnetrUpBlock,
    decoder1: UnetrUpBlock,
    out: Conv2d,
}

// SAFETY: a network is never changed while it is shared, and libtorch allows reading a tensor from several threads.
unsafe impl Sync for SwinUnetr {}

type Forward<'a> = Box<dyn Fn(&[&Tensor]) -> Tensor + 'a>;

/// A step of the computation: from values that are there to the next one. Value 0 is the image; part `i` makes value `i + 1`.
pub struct Part<'a> {
    /// the values that it reads
    pub inputs: Vec<usize>,
    /// what it makes of them
    pub forward: Forward<'a>,
}

impl SwinUnetr {
    /// Builds it. Errors: sizes that no network has; parameters that are missing, left over or of another shape.
    pub fn new(p: Params, config: SwinUnetrConfig) -> Result<Self> {
        config.check()?;
        let size = config.feature_size;
        let encoder = |name: &str, input: i64, output: i64| UnetResBlock::new(p.sub(name).sub("layer"), input, output);
        let decoder = |name: &str, output: i64| UnetrUpBlock::new(p.sub(name), 2 * output, output);
        let network = Self {
            swin_vit: SwinTransformer::new(p.sub("swinViT"), &config),
            encoder1: encoder("encoder1", config.in_channels, size),
            encoder2: encoder("encoder2", size, size),
            encoder3: encoder("encoder3", 2 * size, 2 * size),
            encoder4: encoder("encoder4", 4 * size, 4 * size),
            encoder10: encoder("encoder10", 16 * size, 16 * size),
            decoder5: decoder("decoder5", 8 * size),
            decoder4: decoder("decoder4", 4 * size),
            decoder3: decoder("decoder3", 2 * size),
            decoder2: decoder("decoder2", size),
            decoder1: UnetrUpBlock::new(p.sub("decoder1"), size, size),
            out: Conv2d::new(p.sub("out").sub("conv").sub("conv"), size, config.out_channels, Conv::default()),
            config,
        };
        p.finish()?;
        Ok(network)
    }

    /// The steps from the image to the logits, in order.
    pub fn parts<'a>(&'a self) -> Vec<Part<'a>> {
        let [layers1, layers2, layers3, layers4] = &self.swin_vit.layers;
        let mut parts = Vec::new();
        let mut add = |inputs: &[usize], forward: Forward<'a>| {
            parts.push(Part { inputs: inputs.to_vec(), forward });
            parts.len() // the value that it makes
        };
        let image = 0;
        let x0 = add(&[image], Box::new(|x| self.swin_vit.patch_embed.forward(x[0])));
        let x1 = add(&[x0], Box::new(|x| layers1.forward(x[0])));
        let x2 = add(&[x1], Box::new(|x| layers2.forward(x[0])));
        let x3 = add(&[x2], Box::new(|x| layers3.forward(x[0])));
        let x4 = add(&[x3], Box::new(|x| layers4.forward(x[0])));
        let dec4 = add(&[x4], Box::new(|x| self.encoder10.forward(&proj_out(x[0]))));
        let dec3 = add(&[dec4, x3], Box::new(|x| self.decoder5.forward(x[0], &proj_out(x[1]))));
        let enc3 = add(&[x2], Box::new(|x| self.encoder4.forward(&proj_out(x[0]))));
        let dec2 = add(&[dec3, enc3], Box::new(|x| self.decoder4.forward(x[0], x[1])));
        let enc2 = add(&[x1], Box::new(|x| self.encoder3.forward(&proj_out(x[0]))));
        let dec1 = add(&[dec2, enc2], Box::new(|x| self.decoder3.forward(x[0], x[1])));
        let enc1 = add(&[x0], Box::new(|x| self.encoder2.forward(&proj_out(x[0]))));
        let dec0 = add(&[dec1, enc1], Box::new(|x| self.decoder2.forward(x[0], x[1])));
        let enc0 = add(&[image], Box::new(|x| self.encoder1.forward(x[0])));
        add(&[dec0, enc0], Box::new(|x| self.out.forward(&self.decoder1.forward(x[0], x[1]))));
        parts
    }

    /// Logits of an image: `[B, in_channels, H, W]` -> `[B, out_channels, H, W]`, H and W multiples of 32.
    pub fn forward(&self, image: &Tensor) -> Result<Tensor> {
        Self::check_size(image)?;
        let parts = self.parts();
        let last = |value: usize| parts.iter().rposition(|part| part.inputs.contains(&value)).unwrap_or(parts.len());
        let mut values = vec![Some(image.shallow_clone())];
        for (at, part) in parts.iter().enumerate() {
            let inputs: Vec<_> = part.inputs.iter().filter_map(|&value| values[value].as_ref()).collect();
            let value = (part.forward)(&inputs);
            values.push(Some(value));
            part.inputs.iter().filter(|&&value| last(value) == at).for_each(|&value| values[value] = None);
        }
        values.pop().flatten().ok_or_else(|| Error::invalid("the network has no parts"))
    }

    /// Errors: sides that do not halve five times.
    pub fn check_size(image: &Tensor) -> Result<()> {
        match image.size()[..] {
            [_, _, height, width] if height % MULTIPLE == 0 && width % MULTIPLE == 0 && height > 0 && width > 0 => {
                Ok(())
            }
            ref size => Err(Error::invalid(format!(
                "an image of the shape {size:?}: SwinUNETR takes [batch, channels, height, width] with sides that are multiples of {MULTIPLE}"
            ))),
        }
    }
}
