//! A slice and its mask become a memory. Source: `modeling/memory_encoder.py`.

use super::config::{Activation, CxBlockConfig, MaskDownSamplerConfig, MemoryEncoderConfig};
use super::layers::{Conv, Conv2d, LayerNorm2d, Linear, channels_first, channels_last};
use super::params::Params;
use super::position::sine_2d;
use tch::{Device, Tensor};

/// Strided convolutions from mask pixels to embedding cells; keys `encoder.0`, `encoder.1`, `encoder.3`, ... of a `Sequential`.
struct MaskDownSampler {
    stages: Vec<(Conv2d, LayerNorm2d)>,
    project: Conv2d,
}

impl MaskDownSampler {
    fn new(p: Params, config: &MaskDownSamplerConfig) -> Self {
        let p = p.sub("encoder");
        let layers = config.num_layers();
        let conv = Conv { kernel: config.kernel_size, stride: config.stride, padding: config.padding, groups: 1 };
        let mut channels = 1;
        let mut stages = Vec::new();
        for i in 0..layers {
            let wider = channels * config.stride * config.stride;
            stages.push((Conv2d::new(p.sub(3 * i), channels, wider, conv), LayerNorm2d::new(p.sub(3 * i + 1), wider)));
            channels = wider;
        }
        Self { stages, project: Conv2d::new(p.sub(3 * layers), channels, config.embed_dim, Conv::default()) }
    }

    fn forward(&self, mask: &Tensor) -> Tensor {
        let step = |x: Tensor, (conv, norm): &(Conv2d, LayerNorm2d)| {
            Activation::Gelu.forward(&norm.forward(&conv.forward(&x)))
        };
        self.project.forward(&self.stages.iter().fold(mask.shallow_clone(), step))
    }
}

/// A ConvNeXt block.
struct CxBlock {
    dwconv: Conv2d,
    norm: LayerNorm2d,
    pwconv1: Linear,
    pwconv2: Linear,
    gamma: Option<Tensor>,
}

impl CxBlock {
    fn new(p: Params, config: &CxBlockConfig) -> Self {
        let dim = config.dim;
        let groups = if config.use_dwconv { dim } else { 1 };
        let conv = Conv { kernel: config.kernel_size, padding: config.padding, groups, ..Conv::default() };
        Self {
            dwconv: Conv2d::new(p.sub("dwconv"), dim, dim, conv),
            norm: LayerNorm2d::new(p.sub("norm"), dim),
            pwconv1: Linear::new(p.sub("pwconv1"), dim, 4 * dim),
            pwconv2: Linear::new(p.sub("pwconv2"), 4 * dim, dim),
            gamma: (config.layer_scale_init_value > 0.0).then(|| p.get("gamma", &[dim])),
        }
    }

    fn forward(&self, input: &Tensor) -> Tensor {
        let x = channels_last(&self.norm.forward(&self.dwconv.forward(input)));
        let mut x = self.pwconv2.forward(&Activation::Gelu.forward(&self.pwconv1.forward(&x)));
        if let Some(gamma) = &self.gamma {
            x *= gamma;
        }
        input + channels_first(&x)
    }
}

/// The memory encoder.
pub struct MemoryEncoder {
    mask_downsampler: MaskDownSampler,
    pix_feat_proj: Conv2d,
    fuser_proj: Option<Conv2d>,
    fuser_layers: Vec<CxBlock>,
    out_proj: Option<Conv2d>,
    config: MemoryEncoderConfig,
}

impl MemoryEncoder {
    /// Reads the encoder below `p`.
    pub fn new(p: Params, config: &MemoryEncoderConfig) -> Self {
        let (input, output) = (config.in_dim, config.out_dim);
        let fuser = p.sub("fuser");
        let layers =
            (0..config.fuser.num_layers).map(|i| CxBlock::new(fuser.sub("layers").sub(i), &config.fuser.layer));
        Self {
            mask_downsampler: MaskDownSampler::new(p.sub("mask_downsampler"), &config.mask_downsampler),
            pix_feat_proj: Conv2d::new(p.sub("pix_feat_proj"), input, input, Conv::default()),
            fuser_proj: config
                .fuser
                .input_projection
                .then(|| Conv2d::new(fuser.sub("proj"), input, input, Conv::default())),
            fuser_layers: layers.collect(),
            out_proj: (output != input).then(|| Conv2d::new(p.sub("out_proj"), input, output, Conv::default())),
            config: config.clone(),
        }
    }

    /// Image features `[B, C, side, side]` and scaled masks `[B, 1, S, S]` -> memory `[B, mem_dim, side, side]`.
    pub fn forward(&self, features: &Tensor, masks: &Tensor) -> Tensor {
        let x = self.pix_feat_proj.forward(features) + self.mask_downsampler.forward(masks);
        let x = self.fuser_proj.iter().fold(x, |x, proj| proj.forward(&x));
        let x = self.fuser_layers.iter().fold(x, |x, layer| layer.forward(&x));
        self.out_proj.iter().fold(x, |x, proj| proj.forward(&x))
    }

    /// The sine encoding of a memory of `side` x `side` cells, `[1, mem_dim, side, side]`.
    pub fn position(&self, side: i64, device: Device) -> Tensor {
        sine_2d(&self.config.position_encoding, side, side, device)
    }
}
