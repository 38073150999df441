//! The networks: SAM 2 and SAM 2.1 ([`sam2`]), and a smaller one of our own that works in the same way ([`prompted_unet`]).
//!
//! Whichever it is, a [`Model`] is stateless: features of a slice, a mask from prompts, a memory from a mask, a slice in the light of
//! memories. Which memories belong to which slice is the session's business. Shape errors inside libtorch panic; [`crate::guard::guard`]
//! turns them into errors where the session and the jobs begin.

pub mod attention;
pub mod config;
pub mod connect;
pub mod dense_head;
pub mod hiera;
pub mod image_encoder;
pub mod layers;
pub mod lora;
pub mod mask_decoder;
pub mod memory_attention;
pub mod memory_encoder;
pub mod params;
pub mod perceiver;
pub mod position;
pub mod prompt_encoder;
pub mod prompted_unet;
pub mod repvit;
pub mod sam2;
pub mod transformer;
pub mod unet;
mod values;
pub mod vit;
pub mod vitdet_neck;

pub use config::ModelConfig;
pub use prompt_encoder::Points;
pub use prompted_unet::PromptedUnet;
pub use sam2::{NO_OBJ_SCORE, Sam2};
pub use values::{ImageFeatures, MemoryEntry, PointerEntry, SamOutput, Wish};

use crate::Result;
use hiera::HalfWay;
use params::Params;
use tch::{Device, Kind, Tensor};

/// A network that answers prompts.
pub enum Model {
    /// SAM 2 or SAM 2.1
    Sam2(Box<Sam2>),
    /// our own, for stacks of registered layers
    PromptedUnet(Box<PromptedUnet>),
}

// SAFETY: a model is never changed after it was built, and libtorch allows reading a tensor from several threads.
unsafe impl Sync for Model {}

impl From<Sam2> for Model {
    fn from(model: Sam2) -> Self {
        Self::Sam2(Box::new(model))
    }
}

impl From<PromptedUnet> for Model {
    fn from(model: PromptedUnet) -> Self {
        Self::PromptedUnet(Box::new(model))
    }
}

/// `model.METHOD(...)` of whichever network it is.
macro_rules! either {
    ($self:ident, $model:ident => $call:expr) => {
        match $self {
            Self::Sam2($model) => $call,
            Self::PromptedUnet($model) => $call,
        }
    };
}

impl Model {
    /// Builds the network that the configuration describes; every parameter must be there, with its shape, and none may be left over.
    pub fn new(p: Params, config: ModelConfig) -> Result<Self> {
        Ok(match config.prompted_unet.clone() {
            Some(shape) => PromptedUnet::new(p, config, shape)?.into(),
            None => Sam2::new(p, config)?.into(),
        })
    }

    /// The hyper-parameters it was built from.
    pub fn config(&self) -> &ModelConfig {
        either!(self, model => &model.config)
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        either!(self, model => model.device)
    }

    /// What the model computes in.
    pub fn kind(&self) -> Kind {
        either!(self, model => model.kind)
    }

    /// A name for the model, made from configuration and weights (see [`Params::fingerprint`]); the same on every device and in every
    /// precision.
    pub fn fingerprint(&self) -> &str {
        either!(self, model => &model.fingerprint)
    }

    /// Does this parameter come before the features of a slice?
    pub fn is_encoder(&self, name: &str) -> bool {
        let parts: &[&str] = match self {
            Self::Sam2(_) => &["image_encoder.", "sam_mask_decoder.conv_s"],
            Self::PromptedUnet(_) => &["image_encoder.", "dense_head."],
        };
        parts.iter().any(|part| name.starts_with(part))
    }

    /// The features of a slice by name and shape, as [`ImageFeatures`] holds them.
    pub fn feature_shapes(&self) -> Vec<(&'static str, Vec<i64>)> {
        let config = self.config();
        let (width, side, size) = (config.hidden_dim(), config.feature_size(), config.image_size);
        match &config.prompted_unet {
            Some(shape) => vec![
                ("vision", vec![1, width, size / 4, size / 4]),
                ("high_res.0", vec![1, shape.image_widths[0], size / 2, size / 2]),
                ("high_res.1", vec![1, 3, size, size]),
            ],
            None if config.use_high_res_features_in_sam => vec![
                ("vision", vec![1, width, side, side]),
                ("high_res.0", vec![1, width / 8, 4 * side, 4 * side]),
                ("high_res.1", vec![1, width / 4, 2 * side, 2 * side]),
            ],
            None => vec![("vision", vec![1, width, side, side])],
        }
    }

    /// A normalised image `[1, 3, S, S]` to features.
    pub fn encode_image(&self, image: &Tensor) -> ImageFeatures {
        either!(self, model => model.encode_image(image))
    }

    /// The first half of [`Self::encode_image`], for gradient checkpointing.
    pub fn first_half(&self, image: &Tensor) -> HalfWay {
        match self {
            Self::Sam2(model) => model.first_half(image),
            Self::PromptedUnet(_) => HalfWay { x: image.shallow_clone(), stages: Vec::new() },
        }
    }

    /// The second half of [`Self::encode_image`].
    pub fn second_half(&self, half_way: HalfWay) -> ImageFeatures {
        match self {
            Self::Sam2(model) => model.second_half(half_way),
            Self::PromptedUnet(model) => model.encode_image(&half_way.x),
        }
    }

    /// How likely a pixel must be to count as found without a prompt, for each of `dense_head::CLASSES`; none from a model that cannot.
    pub fn dense_thresholds(&self) -> Option<[f64; 2]> {
        let config = self.config();
        let head = config.dense_head.as_ref().map(|head| head.thresholds);
        config.prompted_unet.as_ref().map(|shape| shape.thresholds).or(head)
    }

    /// Logits `[1, 2, H, W]` of `dense_head::CLASSES` for a whole slice, without a prompt; none from a model that cannot.
    pub fn dense(&self, features: &ImageFeatures) -> Option<Tensor> {
        either!(self, model => model.dense(features))
    }

    /// A slice that has no memory: what [`Self::forward_sam_heads`] wants to know of other slices.
    pub fn without_memory(&self, features: &ImageFeatures) -> Tensor {
        match self {
            Self::Sam2(model) => model.without_memory(features),
            Self::PromptedUnet(model) => model.without_memory(),
        }
    }

    /// A slice that looks at memories and object pointers of one object. See [`Sam2::with_memory`].
    pub fn with_memory(
        &self,
        features: &ImageFeatures,
        memories: &[MemoryEntry],
        pointers: &[PointerEntry],
        frames: usize,
    ) -> Tensor {
        match self {
            Self::Sam2(model) => model.with_memory(features, memories, pointers, frames),
            Self::PromptedUnet(model) => model.with_memory(memories),
        }
    }

    /// Does this prompt get three masks to choose from? `points` counts clicks and box corners.
    pub fn use_multimask(&self, is_first: bool, points: i64) -> bool {
        match self {
            Self::Sam2(model) => model.use_multimask(is_first, points),
            Self::PromptedUnet(_) => false,
        }
    }

    /// Has it several masks for a click, to choose from?
    pub fn has_alternatives(&self) -> bool {
        matches!(self, Self::Sam2(_))
    }

    /// Prompts to masks: conditioned features ([`Self::without_memory`], [`Self::with_memory`]), the slice's features, points, mask logits
    /// of the low-resolution size.
    pub fn forward_sam_heads(
        &self,
        conditioned: &Tensor,
        features: &ImageFeatures,
        points: Option<&Points>,
        mask: Option<&Tensor>,
        multimask: bool,
    ) -> SamOutput {
        self.answer(conditioned, features, points, mask, Wish { multimask, ..Wish::default() })
    }

    /// The same, answered as `wish` says.
    pub fn answer(
        &self,
        conditioned: &Tensor,
        features: &ImageFeatures,
        points: Option<&Points>,
        mask: Option<&Tensor>,
        wish: Wish,
    ) -> SamOutput {
        match self {
            Self::Sam2(model) => model.answer(conditioned, features, points, mask, wish),
            Self::PromptedUnet(model) => {
                model.answer(conditioned, features, points, mask).with_presence_above(wish.presence)
            }
        }
    }

    /// A mask that the user gives is the output. `mask` holds 0 and 1, `[1, 1, S, S]` float32.
    pub fn use_mask_as_output(&self, features: &ImageFeatures, mask: &Tensor) -> SamOutput {
        match self {
            Self::Sam2(model) => model.use_mask_as_output(features, mask),
            Self::PromptedUnet(model) => model.use_mask_as_output(mask),
        }
    }

    /// A mask of 0 and 1 `[1, 1, S, S]` as logits of -10 and 10 at the low-resolution size.
    pub fn mask_to_logits(&self, mask: &Tensor) -> Tensor {
        either!(self, model => model.mask_to_logits(mask))
    }

    /// A memory of a slice and its mask logits. See [`Sam2::encode_memory`].
    pub fn encode_memory(&self, features: &ImageFeatures, low_res: &Tensor, score: &Tensor, prompted: bool) -> Tensor {
        match self {
            Self::Sam2(model) => model.encode_memory(features, low_res, score, prompted),
            Self::PromptedUnet(model) => model.encode_memory(low_res),
        }
    }
}
