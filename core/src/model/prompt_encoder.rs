//! Clicks, boxes and masks as tokens and dense maps. Source: `modeling/sam/prompt_encoder.py`.

use super::config::Activation;
use super::layers::{Conv, Conv2d, LayerNorm2d};
use super::params::Params;
use super::position::RandomFrequencies;
use tch::{Kind, Tensor};

/// Labels of prompt points, as trained.
pub mod label {
    /// no point: fills a batch up
    pub const PADDING: i64 = -1;
    /// a click outside the object
    pub const NEGATIVE: i64 = 0;
    /// a click on the object
    pub const POSITIVE: i64 = 1;
    /// a box's upper left corner
    pub const BOX_TOP_LEFT: i64 = 2;
    /// a box's lower right corner
    pub const BOX_BOTTOM_RIGHT: i64 = 3;
}

/// Points for a batch of objects, in pixels of the model's input image.
#[derive(Debug)]
pub struct Points {
    /// `[B, N, 2]` float32, (x, y)
    pub coords: Tensor,
    /// `[B, N]` int64, see [`label`]
    pub labels: Tensor,
}

impl Points {
    /// Appends one padding point to every object.
    fn padded(&self) -> Self {
        let batch = self.coords.size()[0];
        let coords = Tensor::zeros([batch, 1, 2], (Kind::Float, self.coords.device()));
        let labels = Tensor::full([batch, 1], label::PADDING, (Kind::Int64, self.labels.device()));
        Self { coords: Tensor::cat(&[&self.coords, &coords], 1), labels: Tensor::cat(&[&self.labels, &labels], 1) }
    }
}

/// The prompt encoder.
pub struct PromptEncoder {
    pe_layer: RandomFrequencies,
    /// negative, positive, top left, bottom right: `[1, C]` each
    point_embeddings: Vec<Tensor>,
    /// `[1, C]`
    not_a_point_embed: Tensor,
    mask_downscaling: MaskDownscaling,
    /// `[1, C]`
    no_mask_embed: Tensor,
    /// side of the image embedding in cells
    side: i64,
    /// side of the input image in pixels
    image_size: i64,
    kind: Kind,
}

impl PromptEncoder {
    /// Reads the encoder below `p`; `width` channels, an embedding of `side` x `side` cells.
    pub fn new(p: Params, width: i64, side: i64, image_size: i64) -> Self {
        let embedding = |name: &str| p.sub(name).get("weight", &[1, width]);
        Self {
            pe_layer: RandomFrequencies::new(p.sub("pe_layer"), width),
            point_embeddings: (0..4).map(|i| embedding(&format!("point_embeddings.{i}"))).collect(),
            not_a_point_embed: embedding("not_a_point_embed"),
            mask_downscaling: MaskDownscaling::new(p.sub("mask_downscaling"), width),
            no_mask_embed: embedding("no_mask_embed"),
            side,
            image_size,
            kind: p.kind(),
        }
    }

    /// Side of the mask prompt in pixels: four times the embedding's.
    pub fn mask_side(&self) -> i64 {
        4 * self.side
    }

    /// The position encoding of the image embedding, `[1, C, side, side]`.
    pub fn dense_position(&self) -> Tensor {
        self.pe_layer.dense(self.side).to_kind(self.kind)
    }

    /// Sparse tokens `[B, N + 1, C]` of clicks and box corners: a padding point always follows, as in training.
    pub fn embed_points(&self, points: &Points) -> Tensor {
        let Points { coords, labels } = points.padded();
        let position = self.pe_layer.encode(&((coords + 0.5) / self.image_size as f64)).to_kind(self.kind);
        let none = labels.eq(label::PADDING).unsqueeze(-1);
        let kinds = Tensor::cat(&self.point_embeddings, 0); // here and not once: they may be in training
        let kinds = kinds.index_select(0, &labels.clamp_min(0).flatten(0, -1)).reshape(position.size());
        (position + kinds).where_self(&none.logical_not(), &self.not_a_point_embed)
    }

    /// Dense map `[B, C, side, side]` of mask logits `[B, 1, 4 side, 4 side]`.
    pub fn embed_mask(&self, mask: &Tensor) -> Tensor {
        self.mask_downscaling.forward(&mask.to_kind(self.kind))
    }

    /// Dense map `[B, C, side, side]` where there is no mask.
    pub fn no_mask(&self, batch: i64) -> Tensor {
        self.no_mask_embed.reshape([1, -1, 1, 1]).expand([batch, -1, self.side, self.side], false)
    }
}

/// Two strided convolutions and a projection; keys `0` to `6` of a PyTorch `Sequential`.
struct MaskDownscaling {
    conv1: Conv2d,
    norm1: LayerNorm2d,
    conv2: Conv2d,
    norm2: LayerNorm2d,
    project: Conv2d,
}

impl MaskDownscaling {
    /// channels of the hidden maps, fixed in the reference (`mask_in_chans`)
    const CHANNELS: i64 = 16;

    fn new(p: Params, width: i64) -> Self {
        let half = Conv { kernel: 2, stride: 2, ..Conv::default() };
        let (few, many) = (Self::CHANNELS / 4, Self::CHANNELS);
        Self {
            conv1: Conv2d::new(p.sub(0), 1, few, half),
            norm1: LayerNorm2d::new(p.sub(1), few),
            conv2: Conv2d::new(p.sub(3), few, many, half),
            norm2: LayerNorm2d::new(p.sub(4), many),
            project: Conv2d::new(p.sub(6), many, width, Conv::default()),
        }
    }

    fn forward(&self, mask: &Tensor) -> Tensor {
        let x = Activation::Gelu.forward(&self.norm1.forward(&self.conv1.forward(mask)));
        let x = Activation::Gelu.forward(&self.norm2.forward(&self.conv2.forward(&x)));
        self.project.forward(&x)
    }
}
