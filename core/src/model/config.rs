//! The shape of a model: the schema of the official YAML configurations of SAM 2, EfficientTAM and EdgeTAM, typed.
//!
//! `name or file -> ModelConfig -> the model's constructor`. Field names are the keys of the YAML files, which are the arguments of
//! upstream's Python constructors (`sam2/modeling/**`, `sam2_video_predictor.py`); where a file leaves a key out, upstream's default
//! holds. An unknown key is an error. Of Hydra's own keys `_target_` counts where it says which of several classes a part is; the others are
//! passed over.
//!
//! ```
//! # use sam_octa2_core::model::ModelConfig;
//! let tiny = ModelConfig::load("2.1-tiny")?;
//! assert_eq!((tiny.hidden_dim(), tiny.mem_dim(), tiny.feature_size()), (256, 64, 64));
//! # Ok::<(), sam_octa2_core::Error>(())
//! ```

mod catalogue;
mod class;
mod defaults;
mod encoder;
mod memory;
mod presets;
mod relatives;
mod validate;
mod validate_parts;

pub use catalogue::{Catalogue, CatalogueEntry};
pub use class::{NeckConfig, TrunkConfig};
pub use encoder::*;
pub use memory::*;
pub use presets::{Official, Size, Version, preset_names};
pub use relatives::*;

use super::dense_head::DenseHeadConfig;
use super::prompted_unet::{self, PromptedUnetConfig};
use crate::{Error, Result, did_you_mean};
use defaults::{int, null_is_default, one, yes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// The whole model: arguments of `SAM2Base` and of `SAM2VideoPredictor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// picture to features; SAM 2 only, as the next two
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_encoder: Option<ImageEncoderConfig>,
    /// features, seen in the light of the memories
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_attention: Option<MemoryAttentionConfig>,
    /// mask and features to a memory
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_encoder: Option<MemoryEncoderConfig>,
    /// a memory to a few latents; EdgeTAM only
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spatial_perceiver: Option<PerceiverConfig>,
    /// our own network instead of SAM 2's three parts
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompted_unet: Option<PromptedUnetConfig>,
    /// vessels and avascular zone without a prompt; not part of SAM 2, and not written where there is none, so that fingerprints stay
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense_head: Option<DenseHeadConfig>,
    /// memories that a frame sees: the prompted one and the previous ones
    #[serde(default = "int::<7>")]
    pub num_maskmem: i64,
    /// side of the square picture that the model sees
    #[serde(default = "int::<512>")]
    pub image_size: i64,
    /// pixels of the picture per pixel of the coarsest features used
    #[serde(default = "int::<16>")]
    pub backbone_stride: i64,
    /// mask probability to memory input: factor
    #[serde(default = "one")]
    pub sigmoid_scale_for_mem_enc: f64,
    /// mask probability to memory input: what is added
    #[serde(default)]
    pub sigmoid_bias_for_mem_enc: f64,
    /// masks that come from clicks enter the memory as 0 or 1
    #[serde(default)]
    pub binarize_mask_from_pts_for_mem_enc: bool,
    /// a mask that is given is the frame's output, without the decoder
    #[serde(default)]
    pub use_mask_input_as_output_without_sam: bool,
    /// prompted frames that a frame sees at most; -1: all
    #[serde(default = "int::<-1>")]
    pub max_cond_frames_in_attn: i64,
    /// without memories add `no_mem_embed` to the features instead of attending to it
    #[serde(default)]
    pub directly_add_no_mem_embed: bool,
    /// the decoder uses the features of strides 4 and 8
    #[serde(default)]
    pub use_high_res_features_in_sam: bool,
    /// several masks for the first click
    #[serde(default)]
    pub multimask_output_in_sam: bool,
    /// fewest points for several masks
    #[serde(default = "int::<1>")]
    pub multimask_min_pt_num: i64,
    /// most points for several masks
    #[serde(default = "int::<1>")]
    pub multimask_max_pt_num: i64,
    /// several masks on tracked frames, too
    #[serde(default)]
    pub multimask_output_for_tracking: bool,
    /// the object pointer is the token of the chosen mask
    #[serde(default)]
    pub use_multimask_token_for_obj_ptr: bool,
    /// the predicted IoU goes through a sigmoid
    #[serde(default)]
    pub iou_prediction_use_sigmoid: bool,
    /// every how many frames a memory is taken
    #[serde(default = "int::<1>")]
    pub memory_temporal_stride_for_eval: i64,
    /// objects do not overlap in the memories
    #[serde(default)]
    pub non_overlap_masks_for_mem_enc: bool,
    /// memory attention sees the object pointers of other frames
    #[serde(default)]
    pub use_obj_ptrs_in_encoder: bool,
    /// how many object pointers at most
    #[serde(default = "int::<16>")]
    pub max_obj_ptrs_in_encoder: i64,
    /// object pointers carry their distance in time
    #[serde(default = "yes")]
    pub add_tpos_enc_to_obj_ptrs: bool,
    /// ... through a linear layer (`obj_ptr_tpos_proj`)
    #[serde(default)]
    pub proj_tpos_enc_in_obj_ptrs: bool,
    /// ... signed
    #[serde(default)]
    pub use_signed_tpos_enc_to_obj_ptrs: bool,
    /// outside of training no pointers of the future
    #[serde(default)]
    pub only_obj_ptrs_in_the_past_for_eval: bool,
    /// the decoder says whether the object is there
    #[serde(default)]
    pub pred_obj_scores: bool,
    /// ... through an MLP
    #[serde(default)]
    pub pred_obj_scores_mlp: bool,
    /// where the object is absent, its pointer is `no_obj_ptr`
    #[serde(default)]
    pub fixed_no_obj_ptr: bool,
    /// mix `no_obj_ptr` in by the probability of absence
    #[serde(default)]
    pub soft_no_obj_ptr: bool,
    /// the pointer is projected by an MLP
    #[serde(default)]
    pub use_mlp_for_obj_ptr_proj: bool,
    /// `no_obj_embed_spatial` is added to the memory of frames without the object (SAM 2.1)
    #[serde(default)]
    pub no_obj_embed_spatial: bool,
    /// further arguments of the mask decoder
    #[serde(default, deserialize_with = "null_is_default")]
    pub sam_mask_decoder_extra_args: MaskDecoderExtraArgs,
    /// ignored: there is nothing to compile
    #[serde(default)]
    pub compile_image_encoder: bool,

    /// ignored, as by the reference where its CUDA extension is missing: labels can be cleaned afterwards
    #[serde(default)]
    pub fill_hole_area: i64,
    /// video: objects do not overlap in the output
    #[serde(default)]
    pub non_overlap_masks: bool,
    /// video: a correction forgets the memories around it
    #[serde(default)]
    pub clear_non_cond_mem_around_input: bool,
    /// ignored: every object has a memory of its own (early releases shared one)
    #[serde(default)]
    pub clear_non_cond_mem_for_multi_obj: bool,
    /// video: corrected frames become prompted frames
    #[serde(default)]
    pub add_all_frames_to_correct_as_cond: bool,
}

/// The picture that a model sees of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputImage {
    /// side in pixels
    pub size: i64,
    /// slices before and behind that are part of it
    pub neighbours: usize,
}

impl ModelConfig {
    /// An official configuration by name: `tiny small base_plus large 2.1-tiny 2.1-small 2.1-base_plus 2.1-large` of SAM 2, the names of
    /// EfficientTAM's and EdgeTAM's files (`efficienttam_ti_512x512`, `edgetam`).
    pub fn preset(name: &str) -> Result<Self> {
        presets::preset(name)
    }

    /// An official size or a model of the catalogue by name, or a configuration file.
    pub fn load(name_or_path: &str) -> Result<Self> {
        if let Ok(official) = Self::preset(name_or_path) {
            return Ok(official);
        }
        if Path::new(name_or_path).exists() {
            return Self::from_file(name_or_path);
        }
        let catalogue = Catalogue::load(&[])?;
        let listed = catalogue.named(name_or_path).map(CatalogueEntry::configuration).transpose()?.flatten();
        let nearest = catalogue.nearest(name_or_path);
        listed.ok_or_else(|| {
            let names = preset_names();
            Error::NotFound(format!("{name_or_path}: neither a configuration file nor one of {names}{nearest}"))
        })
    }

    /// A configuration file, YAML or JSON.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
        if size > 1 << 20 {
            return Err(Error::format(path, "not a model configuration: larger than 1 MB"));
        }
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::from_text(&text).map_err(|error| Error::format(path, error.to_string()))
    }

    /// The text of a configuration, YAML or JSON: the `model:` mapping with or without that key above it.
    pub fn from_text(text: &str) -> Result<Self> {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(json) => serde_yaml_ng::from_str(text).map_err(|yaml| {
                let error = if text.trim_start().starts_with('{') { json.to_string() } else { yaml.to_string() };
                Error::invalid(format!("not a model configuration: {error}"))
            })?,
        };
        Self::from_value(value)
    }

    /// The same, parsed already.
    pub fn from_value(value: Value) -> Result<Self> {
        let mut model = model_mapping(value)?;
        strip_hydra(&mut model)?;
        let config: Self = serde_path_to_error::deserialize(model).map_err(|error| explain(&error))?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration that a checkpoint's file name implies: that of the catalogue's model with such a file.
    ///
    /// # Errors
    /// The user's list beside the checkpoint is not well formed, or the configuration that it names is not there.
    pub fn default_for_file(path: impl AsRef<Path>) -> Result<Option<Self>> {
        let folder = path.as_ref().parent().map(Path::to_path_buf);
        let catalogue = Catalogue::load(folder.as_slice())?;
        Ok(catalogue.of_file(path.as_ref()).map(CatalogueEntry::configuration).transpose()?.flatten())
    }

    /// Channels of the features; 0 where a part is missing.
    pub fn hidden_dim(&self) -> i64 {
        let unet = self.prompted_unet.as_ref().and_then(|shape| shape.image_widths.get(1).copied());
        unet.or_else(|| Some(self.image_encoder.as_ref()?.neck.d_model())).unwrap_or(0)
    }

    /// Channels of a memory; 0 where a part is missing.
    pub fn mem_dim(&self) -> i64 {
        let unet = self.prompted_unet.as_ref().map(|_| prompted_unet::MEMORY_CHANNELS);
        unet.or_else(|| Some(self.memory_encoder.as_ref()?.out_dim)).unwrap_or(0)
    }

    /// Height and width of a memory; latents of a perceiver stand one below another.
    pub fn memory_shape(&self) -> [i64; 2] {
        match &self.spatial_perceiver {
            _ if self.prompted_unet.is_some() => [self.low_res_size(); 2],
            Some(perceiver) => [perceiver.latents(), 1],
            None => [self.feature_size(); 2],
        }
    }

    /// Side of the coarsest features used (64 for a picture of 1024).
    pub fn feature_size(&self) -> i64 {
        self.image_size / self.backbone_stride
    }

    /// Side of the low-resolution masks (256 for a picture of 1024).
    pub fn low_res_size(&self) -> i64 {
        if self.prompted_unet.is_some() { self.image_size / 2 } else { self.feature_size() * 4 }
    }

    /// Slices before and behind whose projection the model sees beside a slice.
    pub fn neighbours(&self) -> usize {
        self.prompted_unet.as_ref().map_or(0, |shape| shape.neighbours)
    }

    /// Where a whole number lies in its pixel: SAM 2 takes coordinates as they are; our own network, whose clicks hold on every size of slice,
    /// takes the pixel's centre.
    pub fn pixel_centre(&self) -> f64 {
        if self.prompted_unet.is_some() { 0.5 } else { 0.0 }
    }

    /// What a slice has to become for the model.
    pub fn input(&self) -> InputImage {
        InputImage { size: self.image_size, neighbours: self.neighbours() }
    }

    /// Levels of features that the decoder sees.
    pub fn num_feature_levels(&self) -> i64 {
        if self.use_high_res_features_in_sam { 3 } else { 1 }
    }

    /// The settings that upstream's `apply_postprocessing=True` adds for videos.
    pub fn with_postprocessing(mut self) -> Self {
        self.sam_mask_decoder_extra_args =
            MaskDecoderExtraArgs { dynamic_multimask_via_stability: true, ..MaskDecoderExtraArgs::default() };
        self.binarize_mask_from_pts_for_mem_enc = true;
        self.fill_hole_area = 8;
        self
    }
}

/// The `model:` mapping of a configuration; beside it only Hydra's own sections may stand.
fn model_mapping(value: Value) -> Result<Value> {
    let Value::Object(mut map) = value else {
        return Err(Error::invalid("not a model configuration: a mapping is expected"));
    };
    let Some(model) = map.remove("model") else { return Ok(Value::Object(map)) };
    match map.keys().find(|key| !matches!(key.as_str(), "defaults" | "hydra")) {
        None => Ok(model),
        Some(key) => Err(Error::invalid(format!("unknown key \"{key}\" beside \"model\""))),
    }
}

/// Takes Hydra's own keys out, everywhere but where the class decides; its interpolations cannot be understood.
fn strip_hydra(value: &mut Value) -> Result<()> {
    match value {
        Value::Object(map) => {
            let class = map.get(class::TARGET).and_then(class::deciding);
            map.retain(|key, _| !matches!(key.as_str(), class::TARGET | "_recursive_" | "_convert_"));
            map.extend(class.map(|class| (class::TARGET.to_owned(), class.into())));
            map.values_mut().try_for_each(strip_hydra)
        }
        Value::Array(items) => items.iter_mut().try_for_each(strip_hydra),
        Value::String(text) if text.contains("${") => {
            Err(Error::invalid(format!("{text}: interpolations are not understood, write the value itself")))
        }
        _ => Ok(()),
    }
}

/// Where it is wrong, what, and for an unknown key the known one that looks most like it.
fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let (place, text) = class::place_within(error.path().to_string(), error.inner().to_string());
    let mut names = text.split('`').skip(1).step_by(2);
    let what = match (text.starts_with("unknown field"), names.next()) {
        (true, Some(unknown)) => {
            return Error::invalid(format!("unknown key \"{place}\"{}", did_you_mean(unknown, names)));
        }
        (_, Some(missing)) if text.starts_with("missing field") => format!("the key \"{missing}\" is missing"),
        _ => text,
    };
    Error::invalid(if place == "." { what } else { format!("{place}: {what}") })
}
