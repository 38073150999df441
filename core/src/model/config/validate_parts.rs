//! What a trunk or a perceiver must satisfy, each by itself.

use super::validate::{MOST, check, check_positions};
use super::*;

impl TrunkConfig {
    /// Every size, with its name: none may be 0 or absurdly large.
    pub(super) fn sizes(&self) -> Vec<(&'static str, i64)> {
        match self {
            Self::Hiera(trunk) => {
                let fixed = [
                    ("trunk.embed_dim", trunk.embed_dim),
                    ("trunk.num_heads", trunk.num_heads),
                    ("trunk.q_stride", trunk.q_stride[0]),
                    ("trunk.q_stride", trunk.q_stride[1]),
                    ("trunk.window_pos_embed_bkg_spatial_size", trunk.window_pos_embed_bkg_spatial_size[0]),
                    ("trunk.window_pos_embed_bkg_spatial_size", trunk.window_pos_embed_bkg_spatial_size[1]),
                ];
                let stages = trunk.stages.iter().map(|&n| ("trunk.stages", n));
                let windows = trunk.window_spec.iter().map(|&n| ("trunk.window_spec", n));
                fixed.into_iter().chain(stages).chain(windows).collect()
            }
            Self::ViT(trunk) => vec![
                ("trunk.patch_size", trunk.patch_size),
                ("trunk.embed_dim", trunk.embed_dim),
                ("trunk.depth", trunk.depth),
                ("trunk.num_heads", trunk.num_heads),
                ("trunk.window_size", trunk.window_size),
                ("trunk.pretrain_img_size", trunk.pretrain_img_size),
            ],
            Self::TimmBackbone(trunk) => {
                let shape = trunk.shape().map(|shape| [shape.embed_dim, shape.depth].concat());
                shape.unwrap_or_default().into_iter().map(|n| ("trunk.repvit", n)).collect()
            }
        }
    }
}

impl HieraConfig {
    pub(super) fn validate(&self) -> Result<()> {
        let factors = [self.dim_mul, self.head_mul];
        check(factors.iter().all(|f| (1. ..=16.).contains(f)), || {
            "trunk: dim_mul and head_mul must lie between 1 and 16".into()
        })?;
        let (stages, windows) = (self.stages.len(), self.window_spec.len());
        check(stages == 4 && windows == 4, || {
            format!("trunk: stages and window_spec need 4 numbers each, not {stages} and {windows}")
        })?;
        let depth = self.depth();
        check(depth <= 1024, || format!("trunk.stages: {depth} blocks are too many"))?;
        check((0..4).contains(&self.q_pool), || format!("trunk.q_pool: {} is not between 0 and 3", self.q_pool))?;
        for block in &self.global_att_blocks {
            check((0..depth).contains(block), || {
                format!("trunk.global_att_blocks: there is no block {block} of {depth}")
            })?;
        }
        for (i, block) in self.blocks().iter().enumerate() {
            let HieraBlock { dim_out, num_heads, .. } = *block;
            check(dim_out <= MOST && num_heads > 0 && dim_out % num_heads == 0, || {
                format!("trunk: {dim_out} channels of block {i} do not divide into {num_heads} heads")
            })?;
        }
        check(self.return_interm_layers, || {
            "trunk.return_interm_layers must be true: the neck needs every level".into()
        })
    }
}

impl ViTConfig {
    /// `stride`: pixels of the picture per cell of the features.
    pub(super) fn validate(&self, stride: i64) -> Result<()> {
        let Self { patch_size, embed_dim, depth, num_heads, pretrain_img_size, .. } = self;
        check(*patch_size == stride, || format!("trunk.patch_size: {patch_size} is not backbone_stride {stride}"))?;
        check((2..=1024).contains(depth), || format!("trunk.depth: {depth} is not between 2 and 1024"))?;
        check(embed_dim % num_heads == 0, || {
            format!("trunk: {embed_dim} channels do not divide into {num_heads} heads")
        })?;
        check((0.25..=64.0).contains(&self.mlp_ratio), || "trunk.mlp_ratio must lie between 0.25 and 64".into())?;
        check(self.qkv_bias && !self.return_interm_layers, || {
            "trunk: qkv_bias must be true and return_interm_layers false, as in all of EfficientTAM's files".into()
        })?;
        check(pretrain_img_size % patch_size == 0, || {
            format!("trunk.pretrain_img_size: {pretrain_img_size} is not divisible by patch_size {patch_size}")
        })?;
        for block in &self.window_block_indexes {
            check((0..*depth).contains(block), || {
                format!("trunk.window_block_indexes: there is no block {block} of {depth}")
            })?;
        }
        check(self.window(depth - 1) == 0, || {
            format!("trunk.window_block_indexes: the last block, {}, must look at the whole picture", depth - 1)
        })
    }
}

impl TimmBackboneConfig {
    pub(super) fn validate(&self) -> Result<()> {
        let Self { name, features, .. } = self;
        let Some(RepViTConfig { embed_dim, depth }) = self.shape() else {
            return Err(Error::invalid(format!("trunk.name: {name} is not known, only repvit_m1 is")));
        };
        check(embed_dim.len() == 4 && depth.len() == 4, || "trunk.repvit: four widths and four depths".into())?;
        check(embed_dim.iter().all(|width| width % 2 == 0), || "trunk.repvit: widths must be even".into())?;
        check(depth.iter().all(|&blocks| blocks <= 1024), || "trunk.repvit: too many blocks".into())?;
        let all = (0..4).map(|level| format!("layer{level}"));
        check(features.iter().cloned().eq(all), || {
            format!("trunk.features: {features:?}, but the neck needs layer0 to layer3")
        })
    }
}

impl PerceiverConfig {
    /// `memory`: channels of a memory, `side`: its side.
    pub(super) fn validate(&self, memory: i64, side: i64) -> Result<()> {
        let Self { dim, depth, dim_head, heads, num_latents, num_latents_2d, ff_mult, .. } = self;
        for (name, size) in
            [("dim", dim), ("depth", depth), ("dim_head", dim_head), ("heads", heads), ("ff_mult", ff_mult)]
        {
            check((1..=1024).contains(size), || format!("spatial_perceiver.{name}: {size} is not between 1 and 1024"))?;
        }
        check(*dim == memory && dim_head * heads == *dim, || {
            format!("spatial_perceiver: dim {dim} and heads x dim_head must be the {memory} channels of a memory")
        })?;
        check(!self.concat_kv_latents, || "spatial_perceiver.concat_kv_latents must be false".into())?;
        check([num_latents, num_latents_2d].iter().all(|&&n| n <= MOST) && self.latents() > 0, || {
            format!("spatial_perceiver: {num_latents} and {num_latents_2d} latents")
        })?;
        let windows = self.windows();
        check(windows * windows == (*num_latents_2d).max(0) && (windows == 0 || side % windows == 0), || {
            format!("spatial_perceiver.num_latents_2d: {num_latents_2d} is no square whose root divides {side}")
        })?;
        check(windows == 0 || self.position_encoding.is_some(), || {
            "spatial_perceiver.position_encoding is missing".into()
        })?;
        self.position_encoding.iter().try_for_each(|encoding| check_positions("spatial_perceiver", encoding, *dim))
    }
}
