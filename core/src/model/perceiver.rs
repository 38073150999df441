//! EdgeTAM's memories: a map of features becomes a few latents, by cross attention (2D Spatial Perceiver, arXiv 2501.07256). Some latents
//! look at the whole map, the others at one window of it each and keep its place. Source: EdgeTAM's `modeling/perceiver.py`.

use super::attention::attention;
use super::config::{Activation, PerceiverConfig};
use super::hiera::window_partition;
use super::layers::{LayerNorm, Linear, channels_last};
use super::params::Params;
use super::position::sine_2d;
use super::transformer::{recombine_heads, separate_heads};
use tch::{Device, Kind, Tensor};

const EPS: f64 = 1e-5;

/// The projections that both kinds of attention have.
struct Projections {
    to_q: Linear,
    to_kv: Linear,
    to_out: Linear,
    heads: i64,
}

impl Projections {
    fn new(p: &Params, config: &PerceiverConfig) -> Self {
        let (dim, inner) = (config.dim, config.dim_head * config.heads);
        Self {
            to_q: Linear::without_bias(p.sub("to_q"), dim, inner),
            to_kv: Linear::without_bias(p.sub("to_kv"), dim, 2 * inner),
            to_out: Linear::without_bias(p.sub("to_out"), inner, dim),
            heads: config.heads,
        }
    }

    /// Queries from `latents` `[B, N, C]`, keys and values from `x` `[B, M, C]`, to both of which positions are added.
    fn forward(&self, latents: &Tensor, x: &Tensor, position: Option<&Tensor>) -> Tensor {
        let heads = |x: &Tensor| separate_heads(x, self.heads);
        let both = self.to_kv.forward(x).chunk(2, -1);
        let [k, v] = [0, 1].map(|i| match position {
            Some(position) => heads(&both[i]) + heads(position),
            None => heads(&both[i]),
        });
        let mixed = attention(&heads(&self.to_q.forward(latents)), &k, &v);
        self.to_out.forward(&recombine_heads(&mixed))
    }
}

/// Latents look at a map.
struct PerceiverAttention {
    norm_x: LayerNorm,
    norm_latents: LayerNorm,
    projections: Projections,
}

/// Latents look at each other.
struct Attention {
    norm: LayerNorm,
    projections: Projections,
}

/// Keys `0`, `1`, `3` of a PyTorch `Sequential`.
struct FeedForward {
    norm: LayerNorm,
    wide: Linear,
    narrow: Linear,
}

impl FeedForward {
    fn new(p: Params, config: &PerceiverConfig) -> Self {
        let (dim, hidden) = (config.dim, config.dim * config.ff_mult);
        Self {
            norm: LayerNorm::new(p.sub(0), dim, EPS),
            wide: Linear::without_bias(p.sub(1), dim, hidden),
            narrow: Linear::without_bias(p.sub(3), hidden, dim),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x + self.narrow.forward(&Activation::Gelu.forward(&self.wide.forward(&self.norm.forward(x))))
    }
}

struct PerceiverEncoderLayer {
    attn: PerceiverAttention,
    ff: FeedForward,
    self_attn: Option<(Attention, FeedForward)>,
}

impl PerceiverEncoderLayer {
    fn new(p: Params, config: &PerceiverConfig) -> Self {
        let norm = |p: &Params, name: &str| LayerNorm::new(p.sub(name), config.dim, EPS);
        let attn = p.sub("attn");
        let attn = PerceiverAttention {
            norm_x: norm(&attn, "norm_x"),
            norm_latents: norm(&attn, "norm_latents"),
            projections: Projections::new(&attn, config),
        };
        let self_attn = config.use_self_attn.then(|| {
            let own = p.sub("self_attn");
            let attention = Attention { norm: norm(&own, "norm"), projections: Projections::new(&own, config) };
            (attention, FeedForward::new(p.sub("self_ff"), config))
        });
        Self { attn, ff: FeedForward::new(p.sub("ff"), config), self_attn }
    }

    /// Latents `[B, N, C]`, a map or a window of it `[B, M, C]` with its positions -> latents.
    fn forward(&self, latents: &Tensor, x: &Tensor, position: Option<&Tensor>) -> Tensor {
        let PerceiverAttention { norm_x, norm_latents, projections } = &self.attn;
        let looked = projections.forward(&norm_latents.forward(latents), &norm_x.forward(x), position);
        let latents = self.ff.forward(&(looked + latents));
        match &self.self_attn {
            Some((Attention { norm, projections }, ff)) => {
                let normed = norm.forward(&latents);
                ff.forward(&(projections.forward(&normed, &normed, None) + latents))
            }
            None => latents,
        }
    }
}

/// The perceiver.
pub struct PerceiverResampler {
    /// `[num_latents, C]`
    latents: Option<Tensor>,
    /// `[num_latents_2d, C]`
    latents_2d: Option<Tensor>,
    layers: Vec<PerceiverEncoderLayer>,
    norm: LayerNorm,
    config: PerceiverConfig,
}

impl PerceiverResampler {
    /// Reads the perceiver below `p`.
    pub fn new(p: Params, config: &PerceiverConfig) -> Self {
        let latents = |name: &str, count: i64| (count > 0).then(|| p.get(name, &[count, config.dim]));
        Self {
            latents: latents("latents", config.num_latents),
            latents_2d: latents("latents_2d", config.num_latents_2d),
            layers: (0..config.depth).map(|i| PerceiverEncoderLayer::new(p.sub("layers").sub(i), config)).collect(),
            norm: LayerNorm::new(p.sub("norm"), config.dim, EPS),
            config: config.clone(),
        }
    }

    /// A memory `[B, C, side, side]` with its positions `[1, side², C]` -> latents `[B, N, C]`: first those of the whole map, then those of
    /// its windows, row by row.
    pub fn forward(&self, memory: &Tensor, position: &Tensor) -> Tensor {
        let x = channels_last(memory);
        let (batch, channels) = (x.size()[0], x.size()[3]);
        let mut all = Vec::new();
        if let Some(latents) = &self.latents {
            let latents = latents.unsqueeze(0).expand([batch, -1, -1], false);
            all.push(self.run(latents, &x.flatten(1, 2), Some(position)));
        }
        if let Some(latents) = &self.latents_2d {
            let count = latents.size()[0];
            let side = x.size()[1] / self.config.windows();
            let windows = window_partition(&x.contiguous(), [side; 2]).flatten(1, 2);
            let latents = latents.unsqueeze(0).expand([batch, -1, -1], false).reshape([batch * count, 1, channels]);
            all.push(self.run(latents, &windows, None).view([batch, count, channels]));
        }
        Tensor::cat(&all, 1)
    }

    fn run(&self, latents: Tensor, x: &Tensor, position: Option<&Tensor>) -> Tensor {
        self.norm.forward(&self.layers.iter().fold(latents, |latents, layer| layer.forward(&latents, x, position)))
    }

    /// Positions of the latents, `[1, N, C]` float32: none of those of the whole map.
    pub fn position(&self, device: Device) -> Tensor {
        let mut all = Vec::new();
        if let Some(latents) = &self.latents {
            all.push(Tensor::zeros([1, latents.size()[0], self.config.dim], (Kind::Float, device)));
        }
        if let (Some(_), Some(encoding)) = (&self.latents_2d, &self.config.position_encoding) {
            let side = self.config.windows();
            all.push(sine_2d(encoding, side, side, device).flatten(2, 3).transpose(1, 2));
        }
        Tensor::cat(&all, 1)
    }
}
