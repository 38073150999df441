//! EfficientTAM's image trunk: a plain vision transformer with one width and one resolution (EfficientSAM's ViT, arXiv 2312.00863), most of
//! its blocks looking at windows (ViTDet, arXiv 2203.16527). Source: EfficientTAM's `modeling/backbones/vitdet.py`.

use super::attention::attention;
use super::config::{Activation, ViTConfig};
use super::hiera::{HalfWay, window_partition, window_unpartition};
use super::layers::{Conv, Conv2d, LayerNorm, Linear, Mlp, PositionCache, channels_first, channels_last};
use super::params::Params;
use crate::progress::checkpoint;
use std::ops::Range;
use tch::Tensor;

const EPS: f64 = 1e-6;

/// Attention of tokens within a window, or within the whole image.
struct Attention {
    qkv: Linear,
    proj: Linear,
    num_heads: i64,
}

impl Attention {
    fn new(p: Params, config: &ViTConfig) -> Self {
        let dim = config.embed_dim;
        let qkv = Linear::new(p.sub("qkv"), dim, 3 * dim);
        Self { qkv, proj: Linear::new(p.sub("proj"), dim, dim), num_heads: config.num_heads }
    }

    /// `[B, H, W, C]` -> `[B, H, W, C]`, within windows of `window` tokens a side (0: within the image).
    ///
    /// Windows that stick out are filled up with tokens of zeros, which take part in attention. What `qkv` makes of zeros is its bias, so
    /// that these tokens need neither of the projections.
    fn forward(&self, x: &Tensor, window: i64) -> Tensor {
        let qkv = self.qkv.forward(x);
        let (height, width) = (x.size()[1], x.size()[2]);
        let mixed = match window {
            0 => self.mix(&qkv),
            side => {
                let filled = [(1, height), (2, width)]
                    .into_iter()
                    .fold(qkv, |x, (dim, length)| self.fill_up(x, dim, (side - length % side) % side));
                window_unpartition(&self.mix(&window_partition(&filled, [side; 2])), [side; 2], height, width)
            }
        };
        self.proj.forward(&mixed.contiguous())
    }

    /// Queries, keys and values `[B, H, W, 3 C]` of images or windows that look at all of themselves -> `[B, H, W, C]`.
    fn mix(&self, qkv: &Tensor) -> Tensor {
        let (batch, height, width) = (qkv.size()[0], qkv.size()[1], qkv.size()[2]);
        let qkv = qkv.reshape([batch, height * width, 3, self.num_heads, -1]);
        let [q, k, v] = [0, 1, 2].map(|i| qkv.select(2, i).transpose(1, 2));
        attention(&q, &k, &v).transpose(1, 2).reshape([batch, height, width, -1])
    }

    /// `count` more rows or columns of what `qkv` makes of zeros.
    fn fill_up(&self, x: Tensor, dim: i64, count: i64) -> Tensor {
        if count == 0 {
            return x;
        }
        let mut size = x.size();
        size[dim as usize] = count;
        let bias = self.qkv.bias.as_ref().map(|bias| bias.to_kind(x.kind()).expand(size.as_slice(), false));
        let more = bias.unwrap_or_else(|| Tensor::zeros(size.as_slice(), (x.kind(), x.device())));
        Tensor::cat(&[x, more], dim)
    }
}

/// A transformer block.
struct Block {
    norm1: LayerNorm,
    attn: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
    /// window side; 0: the whole image
    window: i64,
}

impl Block {
    fn new(p: Params, config: &ViTConfig, window: i64) -> Self {
        let dim = config.embed_dim;
        Self {
            norm1: LayerNorm::new(p.sub("norm1"), dim, EPS),
            attn: Attention::new(p.sub("attn"), config),
            norm2: LayerNorm::new(p.sub("norm2"), dim, EPS),
            mlp: Mlp::new(p.sub("mlp"), &[dim, config.mlp_width(), dim], Activation::Gelu),
            window,
        }
    }

    /// `[B, H, W, C]` -> `[B, H, W, C]`
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.attn.forward(&self.norm1.forward(x), self.window);
        self.mlp.forward(&self.norm2.forward(&x)) + x
    }
}

/// Pixels to tokens: a convolution whose kernel is its stride.
struct PatchEmbed {
    proj: Conv2d,
}

/// The trunk: image -> features at stride 16.
pub struct ViT {
    patch_embed: PatchEmbed,
    /// `[1, positions, C]`, with a class token's in front where the configuration says so
    pos_embed: Tensor,
    blocks: Vec<Block>,
    config: ViTConfig,
    /// the position embedding of the images seen last
    position: PositionCache,
}

impl ViT {
    /// Reads the trunk below `p`.
    pub fn new(p: Params, config: &ViTConfig) -> Self {
        let (dim, patch, side) = (config.embed_dim, config.patch_size, config.pretrain_side());
        let conv = Conv { kernel: patch, stride: patch, padding: 0, groups: 1 };
        let positions = side * side + i64::from(config.pretrain_use_cls_token);
        let block = |i| Block::new(p.sub("blocks").sub(i), config, config.window(i));
        Self {
            patch_embed: PatchEmbed { proj: Conv2d::new(p.sub("patch_embed").sub("proj"), 3, dim, conv) },
            pos_embed: p.get("pos_embed", &[1, positions, dim]),
            blocks: (0..config.depth).map(block).collect(),
            config: config.clone(),
            position: PositionCache::default(),
        }
    }

    /// The first half of the blocks: every one of them keeps as much for its gradients.
    pub fn first_half(&self, image: &Tensor) -> HalfWay {
        let x = channels_last(&self.patch_embed.proj.forward(image)).contiguous();
        checkpoint();
        let x = &x + self.position(x.size()[1], x.size()[2]);
        HalfWay { x: self.run(x, 0..self.blocks.len() / 2), stages: Vec::new() }
    }

    /// The other half; there is one stage.
    pub fn second_half(&self, half_way: HalfWay) -> Vec<Tensor> {
        vec![channels_first(&self.run(half_way.x, self.blocks.len() / 2..self.blocks.len()))]
    }

    fn run(&self, x: Tensor, blocks: Range<usize>) -> Tensor {
        self.blocks[blocks].iter().fold(x, |x, block| {
            checkpoint();
            block.forward(&x)
        })
    }

    /// The position embedding of an image of `height` x `width` tokens, `[1, height, width, C]`: the table, resized (bicubic). It is kept
    /// for the next image, but not while the table is trained.
    fn position(&self, height: i64, width: i64) -> Tensor {
        let side = self.config.pretrain_side();
        let make = || {
            let positions = self.pos_embed.narrow(1, i64::from(self.config.pretrain_use_cls_token), side * side);
            let table = positions.reshape([1, side, side, -1]);
            if [height, width] == [side, side] {
                return table;
            }
            let resized = channels_first(&table).contiguous().upsample_bicubic2d([height, width], false, None, None);
            channels_last(&resized).contiguous()
        };
        self.position.get([height, width], &[&self.pos_embed], make)
    }
}
