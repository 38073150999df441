//! The parts of SAM 2's relatives in a [`ModelConfig`](super::ModelConfig): EfficientTAM's and EdgeTAM's image encoders, EdgeTAM's
//! perceiver. Each structure is the arguments of one constructor of theirs.

use super::PositionEncodingConfig;
use super::defaults::{int, yes};
use serde::{Deserialize, Serialize};

/// `ViT` of EfficientTAM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViTConfig {
    /// side of a token in pixels
    pub patch_size: i64,
    /// channels
    pub embed_dim: i64,
    /// blocks
    pub depth: i64,
    /// attention heads
    pub num_heads: i64,
    /// hidden width of a block's MLP, in widths of the block
    pub mlp_ratio: f64,
    /// must be true
    pub qkv_bias: bool,
    /// stochastic depth; ignored
    pub drop_path_rate: f64,
    /// ignored, as by the reference
    pub use_rel_pos: bool,
    /// window side in tokens
    pub window_size: i64,
    /// blocks that attend to windows; the others attend to the whole picture
    pub window_block_indexes: Vec<i64>,
    /// side of the pictures that the table of positions was made for
    pub pretrain_img_size: i64,
    /// the table of positions begins with a class token's
    pub pretrain_use_cls_token: bool,
    /// ignored: weights come from the checkpoint
    pub weights_path: Option<String>,
    /// must be false: the neck wants the last features only
    pub return_interm_layers: bool,
}

impl Default for ViTConfig {
    fn default() -> Self {
        Self {
            patch_size: 16,
            embed_dim: 768,
            depth: 12,
            num_heads: 12,
            mlp_ratio: 4.,
            qkv_bias: true,
            drop_path_rate: 0.,
            use_rel_pos: false,
            window_size: 14,
            window_block_indexes: vec![0, 1, 3, 4, 6, 7, 9, 10],
            pretrain_img_size: 224,
            pretrain_use_cls_token: true,
            weights_path: None,
            return_interm_layers: false,
        }
    }
}

impl ViTConfig {
    /// Window side of a block; 0: the whole picture.
    pub fn window(&self, block: i64) -> i64 {
        if self.window_block_indexes.contains(&block) { self.window_size } else { 0 }
    }

    /// Hidden width of a block's MLP.
    pub fn mlp_width(&self) -> i64 {
        (self.embed_dim as f64 * self.mlp_ratio) as i64
    }

    /// Side of the table of positions.
    pub fn pretrain_side(&self) -> i64 {
        self.pretrain_img_size / self.patch_size
    }
}

/// `ViTDetNeck` of EfficientTAM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViTDetNeckConfig {
    /// encoding of positions
    pub position_encoding: PositionEncodingConfig,
    /// channels out
    pub d_model: i64,
    /// channels in: one level
    pub backbone_channel_list: Vec<i64>,
    /// ignored, as by the reference
    #[serde(default = "int::<1>")]
    pub kernel_size: i64,
    /// ignored, as by the reference
    #[serde(default = "int::<1>")]
    pub stride: i64,
    /// ignored, as by the reference
    #[serde(default)]
    pub padding: i64,
    /// layer normalisation behind every convolution, which then has no bias
    #[serde(default)]
    pub neck_norm: Option<NeckNorm>,
}

/// `neck_norm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NeckNorm {
    /// layer normalisation over the channels
    #[serde(rename = "LN")]
    Layer,
}

/// `TimmBackbone` of EdgeTAM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimmBackboneConfig {
    /// network in timm: `repvit_m1`, with or without the name of its weights behind a dot
    pub name: String,
    /// its levels: `layer0` to `layer3`
    pub features: Vec<String>,
    /// not in timm: other widths and depths of a RepViT, for tests
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repvit: Option<RepViTConfig>,
}

/// Shape of a `RepVit` of timm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepViTConfig {
    /// channels per stage
    pub embed_dim: Vec<i64>,
    /// blocks per stage
    pub depth: Vec<i64>,
}

impl TimmBackboneConfig {
    /// Its shape; none: no network that is known here.
    pub fn shape(&self) -> Option<RepViTConfig> {
        let known = self.name.split('.').next() == Some("repvit_m1");
        self.repvit
            .clone()
            .or_else(|| known.then(|| RepViTConfig { embed_dim: vec![48, 96, 192, 384], depth: vec![2, 2, 14, 2] }))
    }

    /// Channels per level, the coarsest first.
    pub fn channel_list(&self) -> Vec<i64> {
        self.shape().map(|shape| shape.embed_dim.into_iter().rev().collect()).unwrap_or_default()
    }
}

/// `PerceiverResampler` of EdgeTAM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerceiverConfig {
    /// channels
    pub dim: i64,
    /// layers
    pub depth: i64,
    /// channels of an attention head
    #[serde(default = "int::<64>")]
    pub dim_head: i64,
    /// attention heads
    #[serde(default = "int::<1>")]
    pub heads: i64,
    /// latents that look at the whole memory
    #[serde(default = "int::<-1>")]
    pub num_latents: i64,
    /// latents that look at a window of the memory each: a square number
    #[serde(default = "int::<-1>")]
    pub num_latents_2d: i64,
    /// hidden width of the feed-forward part, in widths
    #[serde(default = "int::<4>")]
    pub ff_mult: i64,
    /// in training; ignored
    #[serde(default)]
    pub hidden_dropout_p: f64,
    /// in training; ignored
    #[serde(default)]
    pub attention_dropout_p: f64,
    /// must be true: positions of the memory are added to keys and values
    #[serde(default)]
    pub pos_enc_at_key_value: bool,
    /// must be false
    #[serde(default = "yes")]
    pub concat_kv_latents: bool,
    /// of the latents with windows
    #[serde(default)]
    pub position_encoding: Option<PositionEncodingConfig>,
    /// latents look at each other, too
    #[serde(default)]
    pub use_self_attn: bool,
}

impl PerceiverConfig {
    /// Latents of a memory.
    pub fn latents(&self) -> i64 {
        self.num_latents.max(0) + self.num_latents_2d.max(0)
    }

    /// Windows in a row of the memory.
    pub fn windows(&self) -> i64 {
        (self.num_latents_2d.max(0) as f64).sqrt().round() as i64
    }
}
