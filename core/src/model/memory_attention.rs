//! The current image looks at its own past. Source: `modeling/memory_attention.py`.

use super::config::{Activation, MemoryAttentionConfig, MemoryAttentionLayerConfig};
use super::layers::{LayerNorm, Linear, in_strips};
use super::params::Params;
use super::transformer::{Keys, RoPEAttention};
use tch::Tensor;

const EPS: f64 = 1e-5;

/// The memories of a batch of objects, as one sequence of tokens.
#[derive(Debug)]
pub struct Memory {
    /// `[B, M, mem_dim]`: whole memories first, then object pointers
    pub tokens: Tensor,
    /// their positions, same shape
    pub position: Tensor,
    /// which of them are what
    pub keys: Keys,
}

/// Self-attention, attention to memory, MLP.
struct MemoryAttentionLayer {
    self_attn: RoPEAttention,
    cross_attn_image: RoPEAttention,
    linear1: Linear,
    linear2: Linear,
    norm1: LayerNorm,
    norm2: LayerNorm,
    norm3: LayerNorm,
    activation: Activation,
    config: MemoryAttentionLayerConfig,
}

impl MemoryAttentionLayer {
    fn new(p: Params, config: &MemoryAttentionLayerConfig, side: i64) -> Self {
        let norm = |name: &str| LayerNorm::new(p.sub(name), config.d_model, EPS);
        Self {
            self_attn: RoPEAttention::new(p.sub("self_attn"), &config.self_attention, side),
            cross_attn_image: RoPEAttention::new(p.sub("cross_attn_image"), &config.cross_attention, side),
            linear1: Linear::new(p.sub("linear1"), config.d_model, config.dim_feedforward),
            linear2: Linear::new(p.sub("linear2"), config.dim_feedforward, config.d_model),
            norm1: norm("norm1"),
            norm2: norm("norm2"),
            norm3: norm("norm3"),
            activation: config.activation,
            config: config.clone(),
        }
    }

    /// Image tokens `[B, N, C]` look at each other.
    fn look_around(&self, x: &Tensor, position: &Tensor) -> Tensor {
        let normed = self.norm1.forward(x);
        let q = add(self.config.pos_enc_at_attn, &normed, position);
        x + self.self_attn.forward(&q, &q, &normed, Keys::OWN)
    }

    /// Image tokens `[B, N, C]` with positions look at the memory.
    fn look_back(&self, x: &Tensor, position: &Tensor, memory: &Memory) -> Tensor {
        let q = add(self.config.pos_enc_at_cross_attn_queries, &self.norm2.forward(x), position);
        let k = add(self.config.pos_enc_at_cross_attn_keys, &memory.tokens, &memory.position);
        let x = x + self.cross_attn_image.forward(&q, &k, &memory.tokens, memory.keys);

        let hidden = |x: &Tensor| self.activation.forward(&self.linear1.forward(x));
        let mlp = |x: &Tensor| self.linear2.forward(&hidden(x));
        &x + in_strips(&self.norm3.forward(&x), self.config.dim_feedforward, mlp)
    }
}

fn add(yes: bool, x: &Tensor, position: &Tensor) -> Tensor {
    if yes { x + position } else { x.shallow_clone() }
}

/// The memory attention.
pub struct MemoryAttention {
    layers: Vec<MemoryAttentionLayer>,
    norm: LayerNorm,
    pos_enc_at_input: bool,
}

impl MemoryAttention {
    /// Reads the layers below `p`, for images of `side` x `side` tokens.
    pub fn new(p: Params, config: &MemoryAttentionConfig, side: i64) -> Self {
        let layers =
            (0..config.num_layers).map(|i| MemoryAttentionLayer::new(p.sub("layers").sub(i), &config.layer, side));
        let norm = LayerNorm::new(p.sub("norm"), config.d_model, EPS);
        Self { layers: layers.collect(), norm, pos_enc_at_input: config.pos_enc_at_input }
    }

    /// What comes before the memory plays a part, the same for all objects of a slice: image tokens `[B, N, C]` with their positions
    /// `[1, N, C]`, after the first look at each other.
    pub fn begin(&self, image: &Tensor, position: &Tensor) -> Tensor {
        let start = if self.pos_enc_at_input { image + position * 0.1 } else { image.shallow_clone() };
        self.layers.first().map_or(start.shallow_clone(), |first| first.look_around(&start, position))
    }

    /// The rest: what [`Self::begin`] made, positions, memory -> image tokens `[B, N, C]`.
    pub fn finish(&self, started: &Tensor, position: &Tensor, memory: &Memory) -> Tensor {
        let mut x = started.shallow_clone();
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = layer.look_around(&x, position);
            }
            x = layer.look_back(&x, position, memory);
        }
        self.norm.forward(&x)
    }

    /// Image tokens `[B, N, C]`, their positions `[1, N, C]`, memory -> image tokens `[B, N, C]`.
    pub fn forward(&self, image: &Tensor, position: &Tensor, memory: &Memory) -> Tensor {
        self.finish(&self.begin(image, position), position, memory)
    }
}
