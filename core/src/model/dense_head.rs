//! Vessels and the foveal avascular zone everywhere at once, without a prompt: a head on the features that the mask decoder uses.
//!
//! Not part of SAM 2. Every level goes through a 1 x 1 convolution to a common width, is brought to the finest level's size and added; two
//! convolutions follow (the semantic branch of Panoptic FPN, arXiv 1901.02446). Models without `dense_head` in their configuration have none.

use super::ImageFeatures;
use super::layers::{Conv, Conv2d, resize_bilinear};
use super::params::Params;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// What the head tells apart, in the order of its channels.
pub const CLASSES: [&str; 2] = ["vessel", "faz"];

/// The head of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseHeadConfig {
    /// channels inside
    pub width: i64,
    /// how likely a pixel must be to count as found, for each of [`CLASSES`]; above 0 and below 1
    #[serde(default = "half", skip_serializing_if = "is_half")]
    pub thresholds: [f64; 2],
}

fn half() -> [f64; 2] {
    [0.5; 2]
}

fn is_half(thresholds: &[f64; 2]) -> bool {
    *thresholds == half()
}

/// The logit of a probability.
pub fn logit(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}

/// Features -> a logit for each class and pixel.
pub struct DenseHead {
    lateral: [Conv2d; 3],
    inner: Conv2d,
    out: Conv2d,
}

impl DenseHead {
    /// Reads the head below `p`; `dim` is the width of the features.
    pub fn new(p: Params, dim: i64, config: &DenseHeadConfig) -> Self {
        let conv = |kernel: i64| Conv { kernel, stride: 1, padding: kernel / 2, groups: 1 };
        let width = config.width;
        let lateral = [(0, dim / 8), (1, dim / 4), (2, dim)]
            .map(|(i, channels)| Conv2d::new(p.sub("lateral").sub(i), channels, width, conv(1)));
        Self {
            lateral,
            inner: Conv2d::new(p.sub("inner"), width, width, conv(3)),
            out: Conv2d::new(p.sub("out"), width, CLASSES.len() as i64, conv(3)),
        }
    }

    /// Logits `[B, 2, S / 4, S / 4]` of [`CLASSES`]; none for features without the finer levels.
    pub fn forward(&self, features: &ImageFeatures) -> Option<Tensor> {
        let [fine, middle] = features.high_res.as_ref()?;
        let size = [fine.size()[2], fine.size()[3]];
        let [a, b, c] = &self.lateral;
        let sum = a.forward(fine)
            + resize_bilinear(&b.forward(middle), size)
            + resize_bilinear(&c.forward(&features.vision), size);
        Some(self.out.forward(&self.inner.forward(&sum.relu()).relu()))
    }
}
