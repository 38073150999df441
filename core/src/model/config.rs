//! The shape of a model: the schema of SAM 2's official YAML configurations, typed.
//!
//! `name or file -> ModelConfig -> the model's constructor`. Field names are the keys of the YAML files, which are the arguments of
//! upstream's Python constructors (`sam2/modeling/**`, `sam2_video_predictor.py`); where a file leaves a key out, upstream's default
//! holds. An unknown key is an error. Hydra's own keys (`_target_`, ...) are passed over.
//!
//! ```
//! # use sam_octa2_core::model::ModelConfig;
//! let tiny = ModelConfig::load("2.1-tiny")?;
//! assert_eq!((tiny.hidden_dim(), tiny.mem_dim(), tiny.feature_size()), (256, 64, 64));
//! # Ok::<(), sam_octa2_core::Error>(())
//! ```

mod presets;
mod validate;

pub use presets::{Official, Size, Version};

use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::path::Path;

/// The whole model: arguments of `SAM2Base` and of `SAM2VideoPredictor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// picture to features
    pub image_encoder: ImageEncoderConfig,
    /// features, seen in the light of the memories
    pub memory_attention: MemoryAttentionConfig,
    /// mask and features to a memory
    pub memory_encoder: MemoryEncoderConfig,
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

/// `ImageEncoder`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEncoderConfig {
    /// the backbone
    pub trunk: HieraConfig,
    /// the feature pyramid
    pub neck: FpnNeckConfig,
    /// coarsest levels thrown away
    #[serde(default)]
    pub scalp: i64,
}

/// `Hiera`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HieraConfig {
    /// channels of the first stage
    pub embed_dim: i64,
    /// attention heads of the first stage
    pub num_heads: i64,
    /// stochastic depth; ignored
    pub drop_path_rate: f64,
    /// stages (after the first) that begin by pooling the queries
    pub q_pool: i64,
    /// by how much they pool
    pub q_stride: [i64; 2],
    /// blocks per stage
    pub stages: Vec<i64>,
    /// channels grow by this factor from stage to stage
    pub dim_mul: f64,
    /// heads grow by this factor from stage to stage
    pub head_mul: f64,
    /// size of the table of absolute positions
    pub window_pos_embed_bkg_spatial_size: [i64; 2],
    /// window side per stage
    pub window_spec: Vec<i64>,
    /// blocks that attend to the whole picture
    #[serde(deserialize_with = "null_is_default")]
    pub global_att_blocks: Vec<i64>,
    /// ignored: weights come from the checkpoint
    pub weights_path: Option<String>,
    /// features of every stage, not of the last only
    pub return_interm_layers: bool,
}

impl Default for HieraConfig {
    fn default() -> Self {
        Self {
            embed_dim: 96,
            num_heads: 1,
            drop_path_rate: 0.,
            q_pool: 3,
            q_stride: [2, 2],
            stages: vec![2, 3, 16, 3],
            dim_mul: 2.,
            head_mul: 2.,
            window_pos_embed_bkg_spatial_size: [14, 14],
            window_spec: vec![8, 4, 14, 7],
            global_att_blocks: vec![12, 16, 20],
            weights_path: None,
            return_interm_layers: true,
        }
    }
}

/// One block of [`HieraConfig::blocks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HieraBlock {
    /// channels in
    pub dim: i64,
    /// channels out
    pub dim_out: i64,
    /// attention heads
    pub num_heads: i64,
    /// pooling of the queries
    pub q_stride: Option<[i64; 2]>,
    /// window side; 0: the whole picture. In a pooling block the window of the stage before.
    pub window_size: i64,
}

impl HieraConfig {
    /// Number of blocks.
    pub fn depth(&self) -> i64 {
        self.stages.iter().sum()
    }

    /// The last block of every stage.
    pub fn stage_ends(&self) -> Vec<i64> {
        let mut blocks = 0;
        self.stages.iter().map(|n| (blocks += n, blocks - 1).1).collect()
    }

    /// Every block, as upstream's constructor makes them.
    pub fn blocks(&self) -> Vec<HieraBlock> {
        let (mut dim, mut num_heads, mut index) = (self.embed_dim, self.num_heads, 0);
        let mut blocks = Vec::new();
        let mut window = self.window_spec.first().copied().unwrap_or_default();
        for (stage, (&count, &stage_window)) in self.stages.iter().zip(&self.window_spec).enumerate() {
            for i in 0..count {
                let first = stage > 0 && i == 0;
                let q_stride = (first && stage as i64 <= self.q_pool).then_some(self.q_stride);
                let dim_out = if first { (dim as f64 * self.dim_mul) as i64 } else { dim };
                num_heads = if first { (num_heads as f64 * self.head_mul) as i64 } else { num_heads };
                let window_size = if self.global_att_blocks.contains(&index) { 0 } else { window };
                blocks.push(HieraBlock { dim, dim_out, num_heads, q_stride, window_size });
                (dim, window, index) = (dim_out, stage_window, index + 1);
            }
        }
        blocks
    }

    /// Channels per level, the coarsest first.
    pub fn channel_list(&self) -> Vec<i64> {
        let blocks = self.blocks();
        let mut channels: Vec<_> =
            self.stage_ends().iter().filter_map(|&end| Some(blocks.get(usize::try_from(end).ok()?)?.dim_out)).collect();
        channels.reverse();
        if !self.return_interm_layers {
            channels.truncate(1);
        }
        channels
    }
}

/// `FpnNeck`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FpnNeckConfig {
    /// encoding of every level's positions
    pub position_encoding: PositionEncodingConfig,
    /// channels of every level
    pub d_model: i64,
    /// channels of the backbone's levels, the coarsest first
    pub backbone_channel_list: Vec<i64>,
    /// of the lateral convolutions
    #[serde(default = "int::<1>")]
    pub kernel_size: i64,
    /// of the lateral convolutions
    #[serde(default = "int::<1>")]
    pub stride: i64,
    /// of the lateral convolutions
    #[serde(default)]
    pub padding: i64,
    /// how a coarser level is enlarged
    #[serde(default)]
    pub fpn_interp_model: Interpolation,
    /// how it is joined
    #[serde(default)]
    pub fuse_type: Fuse,
    /// levels (0: the finest) to which a coarser one is added; `null`: all
    #[serde(default)]
    pub fpn_top_down_levels: Option<Vec<i64>>,
}

impl FpnNeckConfig {
    /// Is the next coarser level added to `level` (0: the finest)?
    pub fn is_top_down(&self, level: i64) -> bool {
        self.fpn_top_down_levels.as_ref().is_none_or(|levels| levels.contains(&level))
    }
}

/// `fpn_interp_model`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// the nearest pixel
    Nearest,
    /// bilinear, corners not aligned
    #[default]
    Bilinear,
}

/// `fuse_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fuse {
    /// added
    #[default]
    Sum,
    /// averaged
    Avg,
}

/// `PositionEmbeddingSine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionEncodingConfig {
    /// channels, y and x together
    pub num_pos_feats: i64,
    /// base of the wave lengths
    #[serde(default = "ten_thousand")]
    pub temperature: f64,
    /// positions run from 0 to `scale`
    #[serde(default = "yes")]
    pub normalize: bool,
    /// default: two pi
    #[serde(default)]
    pub scale: Option<f64>,
    /// ignored
    #[serde(default = "yes")]
    pub warmup_cache: bool,
    /// ignored: of the cache
    #[serde(default = "int::<1024>")]
    pub image_size: i64,
    /// ignored: of the cache
    #[serde(default = "strides")]
    pub strides: Vec<i64>,
}

/// `MemoryAttention`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryAttentionConfig {
    /// channels
    pub d_model: i64,
    /// a tenth of the position encoding is added to the features at the entrance
    pub pos_enc_at_input: bool,
    /// every layer
    pub layer: MemoryAttentionLayerConfig,
    /// how many
    pub num_layers: i64,
    /// ignored: a question of layout, not of results
    #[serde(default = "yes")]
    pub batch_first: bool,
}

/// `MemoryAttentionLayer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryAttentionLayerConfig {
    /// of the feed-forward part
    pub activation: Activation,
    /// features to memories
    pub cross_attention: RopeAttentionConfig,
    /// channels
    pub d_model: i64,
    /// width of the feed-forward part
    pub dim_feedforward: i64,
    /// in training
    pub dropout: f64,
    /// position encoding in self-attention
    pub pos_enc_at_attn: bool,
    /// position encoding of the memories in cross-attention
    pub pos_enc_at_cross_attn_keys: bool,
    /// position encoding of the features in cross-attention
    pub pos_enc_at_cross_attn_queries: bool,
    /// features to features
    pub self_attention: RopeAttentionConfig,
}

/// Activation of a feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// rectified linear
    Relu,
    /// Gaussian error linear, exact
    Gelu,
    /// gated linear
    Glu,
}

/// `RoPEAttention`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RopeAttentionConfig {
    /// channels of the queries and of the output
    pub embedding_dim: i64,
    /// attention heads
    pub num_heads: i64,
    /// channels are divided by this inside
    #[serde(default = "int::<1>")]
    pub downsample_rate: i64,
    /// in training
    #[serde(default)]
    pub dropout: f64,
    /// channels of keys and values; default: `embedding_dim`
    #[serde(default)]
    pub kv_in_dim: Option<i64>,
    /// base of the wave lengths
    #[serde(default = "ten_thousand")]
    pub rope_theta: f64,
    /// the rotation repeats along the keys, once per memory
    #[serde(default)]
    pub rope_k_repeat: bool,
    /// ignored: as upstream does, the table follows the number of queries
    #[serde(default = "feat_sizes")]
    pub feat_sizes: [i64; 2],
}

impl RopeAttentionConfig {
    /// Channels inside, all heads together.
    pub fn internal_dim(&self) -> i64 {
        self.embedding_dim / self.downsample_rate
    }

    /// Channels of keys and values.
    pub fn kv_in_dim(&self) -> i64 {
        self.kv_in_dim.unwrap_or(self.embedding_dim)
    }
}

/// `MemoryEncoder`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryEncoderConfig {
    /// channels of a memory
    pub out_dim: i64,
    /// mask to features
    pub mask_downsampler: MaskDownSamplerConfig,
    /// mask and picture features together
    pub fuser: FuserConfig,
    /// of the memory
    pub position_encoding: PositionEncodingConfig,
    /// channels of the picture features
    #[serde(default = "int::<256>")]
    pub in_dim: i64,
}

/// `MaskDownSampler`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskDownSamplerConfig {
    /// channels out
    pub embed_dim: i64,
    /// of every convolution
    pub kernel_size: i64,
    /// of every convolution
    pub stride: i64,
    /// of every convolution
    pub padding: i64,
    /// of all together
    pub total_stride: i64,
}

impl Default for MaskDownSamplerConfig {
    fn default() -> Self {
        Self { embed_dim: 256, kernel_size: 4, stride: 4, padding: 0, total_stride: 16 }
    }
}

impl MaskDownSamplerConfig {
    /// Number of strided convolutions.
    pub fn num_layers(&self) -> i64 {
        let (mut layers, mut stride) = (0, 1i64);
        while stride < self.total_stride && self.stride > 1 {
            stride = stride.saturating_mul(self.stride);
            layers += 1;
        }
        layers
    }
}

/// `Fuser`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FuserConfig {
    /// every layer
    pub layer: CxBlockConfig,
    /// how many
    pub num_layers: i64,
    /// channels, for `input_projection`
    #[serde(default)]
    pub dim: Option<i64>,
    /// a 1x1 convolution first
    #[serde(default)]
    pub input_projection: bool,
}

/// `CXBlock`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CxBlockConfig {
    /// channels
    pub dim: i64,
    /// of the spatial convolution
    #[serde(default = "int::<7>")]
    pub kernel_size: i64,
    /// of the spatial convolution
    #[serde(default = "int::<3>")]
    pub padding: i64,
    /// stochastic depth; ignored
    #[serde(default)]
    pub drop_path: f64,
    /// initial value of `gamma`; 0: no such parameter
    #[serde(default = "millionth")]
    pub layer_scale_init_value: f64,
    /// every channel by itself
    #[serde(default = "yes")]
    pub use_dwconv: bool,
}

/// `sam_mask_decoder_extra_args`: the arguments of `MaskDecoder` that `SAM2Base` does not give itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskDecoderExtraArgs {
    /// where the single mask is unstable, the best of the others is taken
    pub dynamic_multimask_via_stability: bool,
    /// stable: the areas at these thresholds (plus, minus) ...
    pub dynamic_multimask_stability_delta: f64,
    /// ... have at least this ratio
    pub dynamic_multimask_stability_thresh: f64,
}

impl Default for MaskDecoderExtraArgs {
    fn default() -> Self {
        Self {
            dynamic_multimask_via_stability: false,
            dynamic_multimask_stability_delta: 0.05,
            dynamic_multimask_stability_thresh: 0.98,
        }
    }
}

impl ModelConfig {
    /// One of the official sizes: `tiny small base_plus large 2.1-tiny 2.1-small 2.1-base_plus 2.1-large`.
    pub fn preset(name: &str) -> Result<Self> {
        Ok(name.parse::<Official>()?.config())
    }

    /// An official size by name, or a configuration file.
    pub fn load(name_or_path: &str) -> Result<Self> {
        match name_or_path.parse::<Official>() {
            Ok(official) => Ok(official.config()),
            Err(_) if Path::new(name_or_path).exists() => Self::from_file(name_or_path),
            Err(_) => Err(Error::NotFound(format!(
                "{name_or_path}: neither a configuration file nor one of {}",
                Official::names()
            ))),
        }
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

    /// The configuration that a checkpoint's file name implies: official ones are named for their size.
    pub fn default_for_file(path: impl AsRef<Path>) -> Option<Self> {
        Official::of_file(path).map(Official::config)
    }

    /// Channels of the features.
    pub fn hidden_dim(&self) -> i64 {
        self.image_encoder.neck.d_model
    }

    /// Channels of a memory.
    pub fn mem_dim(&self) -> i64 {
        self.memory_encoder.out_dim
    }

    /// Side of the coarsest features used (64 for a picture of 1024).
    pub fn feature_size(&self) -> i64 {
        self.image_size / self.backbone_stride
    }

    /// Side of the low-resolution masks (256 for a picture of 1024).
    pub fn low_res_size(&self) -> i64 {
        self.feature_size() * 4
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

/// Takes Hydra's own keys out, everywhere; its interpolations cannot be understood.
fn strip_hydra(value: &mut Value) -> Result<()> {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !matches!(key.as_str(), "_target_" | "_recursive_" | "_convert_"));
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
    let (place, text) = (error.path().to_string(), error.inner().to_string());
    let mut names = text.split('`').skip(1).step_by(2);
    let what = match (text.starts_with("unknown field"), names.next()) {
        (true, Some(unknown)) => {
            let nearest = names.map(|name| (distance(unknown, name), name)).min();
            let hint = nearest.map_or_else(String::new, |(_, name)| format!(", the nearest known one is \"{name}\""));
            return Error::invalid(format!("unknown key \"{place}\"{hint}"));
        }
        (_, Some(missing)) if text.starts_with("missing field") => format!("the key \"{missing}\" is missing"),
        _ => text,
    };
    Error::invalid(if place == "." { what } else { format!("{place}: {what}") })
}

/// Edit distance of two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn int<const N: i64>() -> i64 {
    N
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.
}

fn millionth() -> f64 {
    1e-6
}

fn ten_thousand() -> f64 {
    10_000.
}

fn strides() -> Vec<i64> {
    vec![4, 8, 16, 32]
}

fn feat_sizes() -> [i64; 2] {
    [64, 64]
}
