//! SAM 2's relatives: EfficientTAM's and EdgeTAM's official files by their names.

use super::super::relatives::*;
use super::super::*;
use super::{fpn_neck, memory_attention, position_encoding};

/// Files of EfficientTAM: the trunk's width and heads, the side of the picture, how memories are looked at.
const EFFICIENT_TAM: [(&str, i64, i64, i64, RopeClass); 8] = [
    ("efficienttam_ti", 192, 3, 1024, RopeClass::RoPEAttention),
    ("efficienttam_ti_512x512", 192, 3, 512, RopeClass::RoPEAttention),
    ("efficienttam_ti_1", 192, 3, 1024, RopeClass::EfficientRoPEAttention1),
    ("efficienttam_ti_2", 192, 3, 1024, RopeClass::EfficientRoPEAttention2),
    ("efficienttam_s", 384, 6, 1024, RopeClass::RoPEAttention),
    ("efficienttam_s_512x512", 384, 6, 512, RopeClass::RoPEAttention),
    ("efficienttam_s_1", 384, 6, 1024, RopeClass::EfficientRoPEAttention1),
    ("efficienttam_s_2", 384, 6, 1024, RopeClass::EfficientRoPEAttention2),
];

/// EdgeTAM's file.
const EDGE_TAM: &str = "edgetam";

/// The names of all files.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    EFFICIENT_TAM.iter().map(|(name, ..)| *name).chain([EDGE_TAM])
}

/// A file by name.
pub(super) fn named(name: &str) -> Option<ModelConfig> {
    if name == EDGE_TAM {
        return Some(edge_tam());
    }
    let (_, width, heads, image_size, attention) = EFFICIENT_TAM.into_iter().find(|(known, ..)| *known == name)?;
    Some(efficient_tam(width, heads, image_size, attention))
}

/// What both say as SAM 2.0's files do.
fn sam2() -> ModelConfig {
    Official { version: Version::V2_0, size: Size::Tiny }.config()
}

fn efficient_tam(embed_dim: i64, num_heads: i64, image_size: i64, attention: RopeClass) -> ModelConfig {
    let neck = ViTDetNeckConfig {
        position_encoding: position_encoding(256),
        d_model: 256,
        backbone_channel_list: vec![embed_dim],
        kernel_size: 1,
        stride: 1,
        padding: 0,
        neck_norm: Some(NeckNorm::Layer),
    };
    let image_encoder = ImageEncoderConfig {
        trunk: TrunkConfig::ViT(ViTConfig { embed_dim, num_heads, ..ViTConfig::default() }),
        neck: NeckConfig::ViTDetNeck(neck),
        scalp: 0,
    };
    let mut memory_attention = memory_attention();
    memory_attention.layer.self_attention.feat_sizes = [image_size / 16; 2];
    memory_attention.layer.cross_attention.feat_sizes = [image_size / 16; 2];
    memory_attention.layer.cross_attention.class = attention;
    ModelConfig {
        image_encoder: Some(image_encoder),
        memory_attention: Some(memory_attention),
        image_size,
        use_high_res_features_in_sam: false,
        compile_image_encoder: true,
        ..sam2()
    }
}

fn edge_tam() -> ModelConfig {
    let features = (0..4).map(|level| format!("layer{level}")).collect();
    let trunk = TimmBackboneConfig { name: "repvit_m1.dist_in1k".to_owned(), features, repvit: None };
    let neck = FpnNeckConfig { backbone_channel_list: trunk.channel_list(), ..fpn_neck() };
    let image_encoder =
        ImageEncoderConfig { trunk: TrunkConfig::TimmBackbone(trunk), neck: NeckConfig::FpnNeck(neck), scalp: 1 };
    let mut memory_attention = MemoryAttentionConfig { num_layers: 2, ..memory_attention() };
    let layer = &mut memory_attention.layer;
    layer.self_attention.feat_sizes = [32, 32];
    layer.cross_attention.class = RopeClass::RoPEAttentionv2;
    layer.cross_attention.rope_k_repeat = false;
    layer.cross_attention.q_sizes = Some([64, 64]);
    layer.cross_attention.k_sizes = Some([16, 16]);
    ModelConfig {
        image_encoder: Some(image_encoder),
        memory_attention: Some(memory_attention),
        spatial_perceiver: Some(perceiver()),
        ..sam2()
    }
}

fn perceiver() -> PerceiverConfig {
    PerceiverConfig {
        dim: 64,
        depth: 2,
        dim_head: 64,
        heads: 1,
        num_latents: 256,
        num_latents_2d: 256,
        ff_mult: 4,
        hidden_dropout_p: 0.,
        attention_dropout_p: 0.,
        pos_enc_at_key_value: true,
        concat_kv_latents: false,
        position_encoding: Some(position_encoding(64)),
        use_self_attn: true,
    }
}
