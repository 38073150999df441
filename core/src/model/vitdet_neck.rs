//! EfficientTAM's neck: the trunk's one level to the width that all else works in. Source: EfficientTAM's
//! `modeling/backbones/image_encoder.py`.

use super::config::ViTDetNeckConfig;
use super::layers::{Conv, Conv2d, LayerNorm2d};
use super::params::Params;
use tch::Tensor;

/// A convolution with its normalisation; the convolution has a bias where there is none.
struct ConvNorm {
    conv: Conv2d,
    norm: Option<LayerNorm2d>,
}

impl ConvNorm {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.conv.forward(x);
        self.norm.iter().fold(x, |x, norm| norm.forward(&x))
    }
}

/// Keys `conv_1x1`, `norm_0`, `conv_3x3`, `norm_1` of `convs.0`.
pub struct ViTDetNeck {
    one: ConvNorm,
    three: ConvNorm,
}

impl ViTDetNeck {
    /// Reads the neck below `p`.
    pub fn new(p: Params, config: &ViTDetNeckConfig) -> Self {
        let p = p.sub("convs").sub(0);
        let layer = |conv: &str, norm: &str, input: i64, shape: Conv| {
            let (p_conv, output) = (p.sub(conv), config.d_model);
            match config.neck_norm {
                Some(_) => ConvNorm {
                    conv: Conv2d::without_bias(p_conv, input, output, shape),
                    norm: Some(LayerNorm2d::new(p.sub(norm), output)),
                },
                None => ConvNorm { conv: Conv2d::new(p_conv, input, output, shape), norm: None },
            }
        };
        let input = config.backbone_channel_list.first().copied().unwrap_or_default();
        let around = Conv { kernel: 3, padding: 1, ..Conv::default() };
        Self {
            one: layer("conv_1x1", "norm_0", input, Conv::default()),
            three: layer("conv_3x3", "norm_1", config.d_model, around),
        }
    }

    /// `[B, C, side, side]` -> `[B, d_model, side, side]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.three.forward(&self.one.forward(x))
    }
}
