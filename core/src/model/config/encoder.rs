//! The image encoder's part of a [`ModelConfig`](super::ModelConfig), each structure the arguments of one upstream constructor.

use super::class::{NeckConfig, TrunkConfig};
use super::defaults::{int, null_is_default, strides, ten_thousand, yes};
use serde::{Deserialize, Serialize};

/// `ImageEncoder`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEncoderConfig {
    /// the backbone
    pub trunk: TrunkConfig,
    /// the feature pyramid
    pub neck: NeckConfig,
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
