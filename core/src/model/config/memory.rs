//! What a [`ModelConfig`](super::ModelConfig) says of memory and mask decoder, each structure the arguments of one upstream constructor.

use super::PositionEncodingConfig;
use super::defaults::{feat_sizes, int, millionth, ten_thousand, yes};
use serde::{Deserialize, Serialize};

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

/// Which attention with rotary positions it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RopeClass {
    /// SAM 2's
    #[default]
    RoPEAttention,
    /// EfficientTAM's: of several memories the means of 2 x 2 cells are looked at
    EfficientRoPEAttention1,
    /// the same, with another weight of the means
    EfficientRoPEAttention2,
    /// EdgeTAM's: queries and keys have places of their own
    RoPEAttentionv2,
}

impl RopeClass {
    fn is_plain(&self) -> bool {
        *self == Self::RoPEAttention
    }

    /// Does it look at means of several memories?
    pub fn pools(self) -> bool {
        matches!(self, Self::EfficientRoPEAttention1 | Self::EfficientRoPEAttention2)
    }
}

/// `RoPEAttention` and its kin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RopeAttentionConfig {
    /// which one
    #[serde(rename = "_target_", default, skip_serializing_if = "RopeClass::is_plain")]
    pub class: RopeClass,
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
    /// `RoPEAttentionv2`: columns and rows of the queries; ignored, as `feat_sizes`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q_sizes: Option<[i64; 2]>,
    /// `RoPEAttentionv2`: columns and rows of the keys that have a place, the last ones of every memory
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k_sizes: Option<[i64; 2]>,
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
