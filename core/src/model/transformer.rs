//! Attention between tokens and image, both ways, and attention with rotary positions. Source: `modeling/sam/transformer.py`.

use super::attention::{attention, weighted_attention};
use super::config::{Activation, RopeAttentionConfig, RopeClass};
use super::layers::{LayerNorm, Linear, Mlp, in_training};
use super::params::Params;
use super::position::AxialRotation;
use tch::{Device, Tensor};

const EPS: f64 = 1e-5;

/// `[B, N, heads * C]` -> `[B, heads, N, C]`
pub(super) fn separate_heads(x: &Tensor, heads: i64) -> Tensor {
    let size = x.size();
    x.reshape([size[0], size[1], heads, size[2] / heads]).transpose(1, 2)
}

/// `[B, heads, N, C]` -> `[B, N, heads * C]`
pub(super) fn recombine_heads(x: &Tensor) -> Tensor {
    x.transpose(1, 2).flatten(2, 3)
}

/// Attention that may work in fewer channels than it is given.
pub struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    heads: i64,
}

/// Widths of an [`Attention`].
#[derive(Debug, Clone, Copy)]
pub struct AttentionWidths {
    /// channels of queries and output
    pub embedding: i64,
    /// channels of keys and values
    pub key: i64,
    /// channels worked in, all heads together
    pub internal: i64,
    /// number of heads
    pub heads: i64,
}

impl Attention {
    /// Reads the four projections below `p`.
    pub fn new(p: Params, widths: AttentionWidths) -> Self {
        let AttentionWidths { embedding, key, internal, heads } = widths;
        Self {
            q_proj: Linear::new(p.sub("q_proj"), embedding, internal),
            k_proj: Linear::new(p.sub("k_proj"), key, internal),
            v_proj: Linear::new(p.sub("v_proj"), key, internal),
            out_proj: Linear::new(p.sub("out_proj"), internal, embedding),
            heads,
        }
    }

    /// Queries `[B, N, C]`, keys and values `[B, M, K]` -> `[B, N, C]`.
    pub fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
        let heads = |projection: &Linear, x: &Tensor| separate_heads(&projection.forward(x), self.heads);
        let mixed = attention(&heads(&self.q_proj, q), &heads(&self.k_proj, k), &heads(&self.v_proj, v));
        self.out_proj.forward(&recombine_heads(&mixed))
    }
}

/// What the keys of a [`RoPEAttention`] are.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// whole memories, one after another
    pub memories: i64,
    /// behind them, keys that have no place in the image: object pointers
    pub pointers: i64,
}

impl Keys {
    /// The queries themselves.
    pub const OWN: Self = Self { memories: 1, pointers: 0 };
}

/// Attention whose queries and keys are rotated by their place in the image.
pub struct RoPEAttention {
    attention: Attention,
    rotation: AxialRotation,
    /// of the keys, where the places of a memory are not those of the queries (`RoPEAttentionv2`): those of its last keys
    rotation_k: Option<AxialRotation>,
    class: RopeClass,
    /// queries of an image: a square
    side: i64,
}

impl RoPEAttention {
    /// Reads the projections below `p`; the rotation is made for a square of `side` x `side` queries.
    pub fn new(p: Params, config: &RopeAttentionConfig, side: i64) -> Self {
        let (internal, key) = (config.internal_dim(), config.kv_in_dim());
        let rotation = |[width, height]: [i64; 2]| {
            AxialRotation::new(internal / config.num_heads, width, height, config.rope_theta, p.device())
        };
        let widths = AttentionWidths { embedding: config.embedding_dim, key, internal, heads: config.num_heads };
        Self {
            rotation: rotation([side; 2]),
            rotation_k: config.k_sizes.map(rotation),
            class: config.class,
            side,
            attention: Attention::new(p, widths),
        }
    }

    /// As [`Attention::forward`], of keys that are `keys`.
    pub fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor, keys: Keys) -> Tensor {
        let Attention { q_proj, k_proj, v_proj, out_proj, heads } = &self.attention;
        let q = self.rotation.rotate(&separate_heads(&q_proj.forward(q), *heads));
        let k = self.rotated(&separate_heads(&k_proj.forward(k), *heads), keys);
        let (k, bias) = self.pooled_keys(k, keys);
        let narrow = *heads == 1 && v.size()[2] < k.size()[3] && v.device() == Device::Cpu;
        if narrow && !in_training(&[&q, &k, v]) {
            // the weights of each query sum to 1, so that values may be projected after they were mixed: a memory is a quarter as wide
            let v = self.pooled(&v.unsqueeze(1), keys);
            let mixed = recombine_heads(&weighted_attention(&q, &k, &v, bias.as_ref()));
            return out_proj.forward(&v_proj.forward(&mixed));
        }
        let v = self.pooled(&separate_heads(&v_proj.forward(v), *heads), keys);
        out_proj.forward(&recombine_heads(&weighted_attention(&q, &k, &v, bias.as_ref())))
    }

    /// Keys `[B, heads, M, C]` of memories, rotated by their place.
    fn rotated(&self, k: &Tensor, Keys { memories, pointers }: Keys) -> Tensor {
        let placed = k.size()[2] - pointers;
        let own = k.narrow(2, 0, placed);
        let rotated = match &self.rotation_k {
            Some(rotation) if placed > 0 => {
                let (size, positions) = (own.size(), rotation.positions());
                let each = own.reshape([size[0], size[1], memories, placed / memories, size[3]]);
                let without = placed / memories - positions;
                let with = each.narrow(3, without, positions).flatten(2, 3);
                let with = rotation.rotate(&with).view([size[0], size[1], memories, positions, size[3]]);
                Tensor::cat(&[each.narrow(3, 0, without), with], 3).flatten(2, 3)
            }
            Some(_) => own,
            None => self.rotation.rotate(&own),
        };
        if pointers == 0 { rotated } else { Tensor::cat(&[rotated, k.narrow(2, placed, pointers)], 2) }
    }

    /// Rotated keys as they are looked at, and what is added to their scores. A mean of four keys stands for four: its weight is four times
    /// as large, in `EfficientRoPEAttention1` by its score; `EfficientRoPEAttention2` adds the logarithm to every channel of the key.
    fn pooled_keys(&self, k: Tensor, keys: Keys) -> (Tensor, Option<Tensor>) {
        if !self.pools(keys) {
            return (k, None);
        }
        let four = 4f64.ln();
        let k = self.pooled(&k, keys);
        let bias = Tensor::full([k.size()[2]], four, (k.kind(), k.device()));
        let _ = bias.narrow(0, k.size()[2] - keys.pointers, keys.pointers).zero_();
        match self.class {
            RopeClass::EfficientRoPEAttention2 => (k + bias.unsqueeze(-1), None),
            _ => (k, Some(bias)),
        }
    }

    /// Keys or values `[B, heads, M, C]` with the means of 2 x 2 cells instead of every memory, where this attention pools.
    fn pooled(&self, x: &Tensor, keys: Keys) -> Tensor {
        if !self.pools(keys) {
            return x.shallow_clone();
        }
        let (size, side) = (x.size(), self.side);
        let placed = size[2] - keys.pointers;
        let maps = x.narrow(2, 0, placed).reshape([-1, side, side, size[3]]).permute([0, 3, 1, 2]);
        let means = maps.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>).permute([0, 2, 3, 1]);
        let means = means.reshape([size[0], size[1], placed / 4, size[3]]);
        Tensor::cat(&[means, x.narrow(2, placed, keys.pointers)], 2)
    }

    /// A single memory is looked at as it is.
    fn pools(&self, keys: Keys) -> bool {
        self.class.pools() && keys.memories > 1
    }
}

/// Self-attention of the tokens, tokens to image, MLP, image to tokens.
struct TwoWayAttentionBlock {
    self_attn: Attention,
    norm1: LayerNorm,
    cross_attn_token_to_image: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
    norm3: LayerNorm,
    norm4: LayerNorm,
    cross_attn_image_to_token: Attention,
    skip_first_layer_pe: bool,
}

impl TwoWayAttentionBlock {
    fn new(p: Params, config: &TwoWayConfig, skip_first_layer_pe: bool) -> Self {
        let width = config.width;
        let full = AttentionWidths { embedding: width, key: width, internal: width, heads: config.heads };
        let norm = |name: &str| LayerNorm::new(p.sub(name), width, EPS);
        Self {
            self_attn: Attention::new(p.sub("self_attn"), full),
            norm1: norm("norm1"),
            cross_attn_token_to_image: Attention::new(p.sub("cross_attn_token_to_image"), config.reduced()),
            norm2: norm("norm2"),
            mlp: Mlp::new(p.sub("mlp"), &[width, config.mlp_width, width], Activation::Relu),
            norm3: norm("norm3"),
            norm4: norm("norm4"),
            cross_attn_image_to_token: Attention::new(p.sub("cross_attn_image_to_token"), config.reduced()),
            skip_first_layer_pe,
        }
    }

    /// Token queries `[B, N, C]` and image keys `[B, M, C]` with their positions -> both, updated.
    fn forward(&self, queries: &Tensor, keys: &Tensor, query_pe: &Tensor, key_pe: &Tensor) -> (Tensor, Tensor) {
        let queries = if self.skip_first_layer_pe {
            self.self_attn.forward(queries, queries, queries)
        } else {
            let q = queries + query_pe;
            queries + self.self_attn.forward(&q, &q, queries)
        };
        let queries = self.norm1.forward(&queries);
        let k = keys + key_pe;
        let attended = self.cross_attn_token_to_image.forward(&(&queries + query_pe), &k, keys);
        let queries = self.norm2.forward(&(queries + attended));
        let queries = self.norm3.forward(&(&queries + self.mlp.forward(&queries)));
        let attended = self.cross_attn_image_to_token.forward(&k, &(&queries + query_pe), &queries);
        let keys = self.norm4.forward(&(keys + attended));
        (queries, keys)
    }
}

/// Shape of a [`TwoWayTransformer`].
#[derive(Debug, Clone, Copy)]
pub struct TwoWayConfig {
    /// number of blocks
    pub depth: usize,
    /// channels
    pub width: i64,
    /// attention heads
    pub heads: i64,
    /// hidden width of the MLP
    pub mlp_width: i64,
}

impl TwoWayConfig {
    /// Attention between tokens and image works in half the channels.
    fn reduced(&self) -> AttentionWidths {
        AttentionWidths { embedding: self.width, key: self.width, internal: self.width / 2, heads: self.heads }
    }
}

/// The mask decoder's transformer.
pub struct TwoWayTransformer {
    layers: Vec<TwoWayAttentionBlock>,
    final_attn_token_to_image: Attention,
    norm_final_attn: LayerNorm,
}

impl TwoWayTransformer {
    /// Reads the blocks below `p`.
    pub fn new(p: Params, config: TwoWayConfig) -> Self {
        let layers = (0..config.depth).map(|i| TwoWayAttentionBlock::new(p.sub("layers").sub(i), &config, i == 0));
        Self {
            layers: layers.collect(),
            final_attn_token_to_image: Attention::new(p.sub("final_attn_token_to_image"), config.reduced()),
            norm_final_attn: LayerNorm::new(p.sub("norm_final_attn"), config.width, EPS),
        }
    }

    /// Image tokens `[B, M, C]` with positions `[1, M, C]`, prompt tokens `[B, N, C]` -> prompt tokens, image tokens.
    pub fn forward(&self, image: &Tensor, image_pe: &Tensor, tokens: &Tensor) -> (Tensor, Tensor) {
        let (mut queries, mut keys) = (tokens.shallow_clone(), image.shallow_clone());
        for layer in &self.layers {
            (queries, keys) = layer.forward(&queries, &keys, tokens, image_pe);
        }
        let attended = self.final_attn_token_to_image.forward(&(&queries + tokens), &(&keys + image_pe), &keys);
        (self.norm_final_attn.forward(&(queries + attended)), keys)
    }
}
