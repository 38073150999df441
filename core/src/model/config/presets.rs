//! The official configurations: their names and shapes (upstream: `sam2/configs/**`, `build_sam.py`; EfficientTAM's and EdgeTAM's
//! `configs/**`). Where their weights are published says the catalogue.

mod tam;

use super::defaults::{feat_sizes, millionth, strides};
use super::*;
use std::fmt;
use std::str::FromStr;

/// Release of SAM 2; the shapes differ by three parameters of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// July 2024
    V2_0,
    /// September 2024
    V2_1,
}

/// Size of the image encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Size {
    Tiny,
    Small,
    BasePlus,
    Large,
}

/// One of the eight official models. `Display` and `FromStr` use the short name: `tiny`, `2.1-base_plus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Official {
    /// release
    pub version: Version,
    /// size
    pub size: Size,
}

impl Size {
    /// `tiny`, `small`, `base_plus`, `large`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::BasePlus => "base_plus",
            Self::Large => "large",
        }
    }
}

impl Official {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let sizes = [Size::Tiny, Size::Small, Size::BasePlus, Size::Large];
        [Version::V2_0, Version::V2_1].into_iter().flat_map(move |version| sizes.map(|size| Self { version, size }))
    }

    /// The names of all, for messages.
    pub fn names() -> String {
        Self::all().map(|official| official.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Name of the checkpoint without its ending: `sam2.1_hiera_tiny`.
    pub fn stem(self) -> String {
        let version = match self.version {
            Version::V2_0 => "sam2",
            Version::V2_1 => "sam2.1",
        };
        format!("{version}_hiera_{}", self.size.name())
    }

    /// Its shape.
    pub fn config(self) -> ModelConfig {
        let is_2_1 = self.version == Version::V2_1;
        ModelConfig {
            dense_head: None,
            image_encoder: Some(image_encoder(self.size)),
            memory_attention: Some(memory_attention()),
            memory_encoder: Some(memory_encoder()),
            spatial_perceiver: None,
            prompted_unet: None,
            num_maskmem: 7,
            image_size: 1024,
            backbone_stride: 16,
            sigmoid_scale_for_mem_enc: 20.,
            sigmoid_bias_for_mem_enc: -10.,
            binarize_mask_from_pts_for_mem_enc: false,
            use_mask_input_as_output_without_sam: true,
            max_cond_frames_in_attn: -1,
            directly_add_no_mem_embed: true,
            use_high_res_features_in_sam: true,
            multimask_output_in_sam: true,
            multimask_min_pt_num: 0,
            multimask_max_pt_num: 1,
            multimask_output_for_tracking: true,
            use_multimask_token_for_obj_ptr: true,
            iou_prediction_use_sigmoid: true,
            memory_temporal_stride_for_eval: 1,
            non_overlap_masks_for_mem_enc: false,
            use_obj_ptrs_in_encoder: true,
            max_obj_ptrs_in_encoder: 16,
            add_tpos_enc_to_obj_ptrs: is_2_1,
            proj_tpos_enc_in_obj_ptrs: is_2_1,
            use_signed_tpos_enc_to_obj_ptrs: is_2_1,
            only_obj_ptrs_in_the_past_for_eval: true,
            pred_obj_scores: true,
            pred_obj_scores_mlp: true,
            fixed_no_obj_ptr: true,
            soft_no_obj_ptr: false,
            use_mlp_for_obj_ptr_proj: true,
            no_obj_embed_spatial: is_2_1,
            sam_mask_decoder_extra_args: MaskDecoderExtraArgs::default(),
            compile_image_encoder: false,
            fill_hole_area: 0,
            non_overlap_masks: false,
            clear_non_cond_mem_around_input: false,
            clear_non_cond_mem_for_multi_obj: false,
            add_all_frames_to_correct_as_cond: false,
        }
    }
}

impl fmt::Display for Official {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let version = if self.version == Version::V2_1 { "2.1-" } else { "" };
        write!(f, "{version}{}", self.size.name())
    }
}

impl FromStr for Official {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::all().find(|official| official.to_string() == name || official.stem() == name);
        found.ok_or_else(|| Error::NotFound(format!("no model is named \"{name}\"; there are {}", Self::names())))
    }
}

/// The names of all official configurations, for messages.
pub fn preset_names() -> String {
    tam::names().fold(Official::names(), |names, name| format!("{names}, {name}"))
}

/// An official configuration by name.
pub(super) fn preset(name: &str) -> Result<ModelConfig> {
    if let Ok(official) = name.parse::<Official>() {
        return Ok(official.config());
    }
    let unknown = || Error::NotFound(format!("no model is named \"{name}\"; there are {}", preset_names()));
    tam::named(name).ok_or_else(unknown)
}

fn image_encoder(size: Size) -> ImageEncoderConfig {
    let (embed_dim, num_heads, stages, global_att_blocks) = match size {
        Size::Tiny => (96, 1, [1, 2, 7, 2], [5, 7, 9]),
        Size::Small => (96, 1, [1, 2, 11, 2], [7, 10, 13]),
        Size::BasePlus => (112, 2, [2, 3, 16, 3], [12, 16, 20]),
        Size::Large => (144, 2, [2, 6, 36, 4], [23, 33, 43]),
    };
    let trunk = HieraConfig {
        embed_dim,
        num_heads,
        stages: stages.to_vec(),
        global_att_blocks: global_att_blocks.to_vec(),
        window_pos_embed_bkg_spatial_size: if size == Size::BasePlus { [14, 14] } else { [7, 7] },
        window_spec: if size == Size::Large { vec![8, 4, 16, 8] } else { vec![8, 4, 14, 7] },
        ..HieraConfig::default()
    };
    let neck = FpnNeckConfig { backbone_channel_list: trunk.channel_list(), ..fpn_neck() };
    ImageEncoderConfig { trunk: TrunkConfig::Hiera(trunk), neck: NeckConfig::FpnNeck(neck), scalp: 1 }
}

fn fpn_neck() -> FpnNeckConfig {
    FpnNeckConfig {
        position_encoding: position_encoding(256),
        d_model: 256,
        backbone_channel_list: Vec::new(),
        kernel_size: 1,
        stride: 1,
        padding: 0,
        fpn_interp_model: Interpolation::Nearest,
        fuse_type: Fuse::Sum,
        fpn_top_down_levels: Some(vec![2, 3]),
    }
}

fn position_encoding(num_pos_feats: i64) -> PositionEncodingConfig {
    PositionEncodingConfig {
        num_pos_feats,
        temperature: 10_000.,
        normalize: true,
        scale: None,
        warmup_cache: true,
        image_size: 1024,
        strides: strides(),
    }
}

fn memory_attention() -> MemoryAttentionConfig {
    let self_attention = RopeAttentionConfig {
        embedding_dim: 256,
        num_heads: 1,
        downsample_rate: 1,
        dropout: 0.1,
        kv_in_dim: None,
        rope_theta: 10_000.,
        rope_k_repeat: false,
        feat_sizes: feat_sizes(),
        class: RopeClass::RoPEAttention,
        q_sizes: None,
        k_sizes: None,
    };
    let cross_attention = RopeAttentionConfig { kv_in_dim: Some(64), rope_k_repeat: true, ..self_attention.clone() };
    let layer = MemoryAttentionLayerConfig {
        activation: Activation::Relu,
        cross_attention,
        d_model: 256,
        dim_feedforward: 2048,
        dropout: 0.1,
        pos_enc_at_attn: false,
        pos_enc_at_cross_attn_keys: true,
        pos_enc_at_cross_attn_queries: false,
        self_attention,
    };
    MemoryAttentionConfig { d_model: 256, pos_enc_at_input: true, layer, num_layers: 4, batch_first: true }
}

fn memory_encoder() -> MemoryEncoderConfig {
    let layer = CxBlockConfig {
        dim: 256,
        kernel_size: 7,
        padding: 3,
        drop_path: 0.,
        layer_scale_init_value: millionth(),
        use_dwconv: true,
    };
    MemoryEncoderConfig {
        out_dim: 64,
        mask_downsampler: MaskDownSamplerConfig {
            kernel_size: 3,
            stride: 2,
            padding: 1,
            ..MaskDownSamplerConfig::default()
        },
        fuser: FuserConfig { layer, num_layers: 2, dim: None, input_projection: false },
        position_encoding: position_encoding(64),
        in_dim: 256,
    }
}
