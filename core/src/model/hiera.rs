//! The image trunk: Hiera, a hierarchical vision transformer with window attention (arXiv 2306.00989; absolute win position
//! embedding, arXiv 2311.05613). Source: `modeling/backbones/hieradet.py`, `modeling/backbones/utils.py`.

use super::config::{Activation, HieraBlock, HieraConfig};
use super::layers::{Conv, Conv2d, LayerNorm, Linear, Mlp, attention, channels_first, channels_last};
use super::params::Params;
use std::ops::Range;
use tch::Tensor;

const EPS: f64 = 1e-6;
/// hidden width of a block's MLP, in widths of the block
const MLP_RATIO: i64 = 4;

/// The maximum of every cell of `stride` tokens (`do_pool`): `[B, H, W, C]` -> `[B, H / stride, W / stride, C]`.
fn max_pool(x: &Tensor, stride: Option<[i64; 2]>) -> Tensor {
    match stride {
        Some(stride) => channels_last(&channels_first(x).max_pool2d(stride, stride, [0, 0], [1, 1], false)),
        None => x.shallow_clone(),
    }
}

/// Attention over the tokens of one window, with pooled queries where a stage begins.
struct MultiScaleAttention {
    qkv: Linear,
    proj: Linear,
    num_heads: i64,
    q_stride: Option<[i64; 2]>,
}

impl MultiScaleAttention {
    fn new(p: Params, block: HieraBlock) -> Self {
        let HieraBlock { dim, dim_out, num_heads, q_stride, .. } = block;
        let qkv = Linear::new(p.sub("qkv"), dim, 3 * dim_out);
        Self { qkv, proj: Linear::new(p.sub("proj"), dim_out, dim_out), num_heads, q_stride }
    }

    /// Windows `[B, H, W, C]` -> `[B, H / stride, W / stride, C']`.
    fn forward(&self, x: &Tensor) -> Tensor {
        let (batch, height, width) = (x.size()[0], x.size()[1], x.size()[2]);
        let qkv = self.qkv.forward(x).reshape([batch, height * width, 3, self.num_heads, -1]);
        let [q, k, v] = [0, 1, 2].map(|i| qkv.select(2, i));
        let q = max_pool(&q.reshape([batch, height, width, -1]), self.q_stride);
        let (height, width) = (q.size()[1], q.size()[2]);
        let q = q.reshape([batch, height * width, self.num_heads, -1]);
        let x = attention(&q.transpose(1, 2), &k.transpose(1, 2), &v.transpose(1, 2));
        self.proj.forward(&x.transpose(1, 2).reshape([batch, height, width, -1]))
    }
}

/// A transformer block with window attention.
struct MultiScaleBlock {
    norm1: LayerNorm,
    attn: MultiScaleAttention,
    norm2: LayerNorm,
    mlp: Mlp,
    /// shortcut projection where the width changes
    proj: Option<Linear>,
    block: HieraBlock,
}

impl MultiScaleBlock {
    fn new(p: Params, block: HieraBlock) -> Self {
        let HieraBlock { dim, dim_out, .. } = block;
        Self {
            norm1: LayerNorm::new(p.sub("norm1"), dim, EPS),
            attn: MultiScaleAttention::new(p.sub("attn"), block),
            norm2: LayerNorm::new(p.sub("norm2"), dim_out, EPS),
            mlp: Mlp::new(p.sub("mlp"), &[dim_out, MLP_RATIO * dim_out, dim_out], Activation::Gelu),
            proj: (dim != dim_out).then(|| Linear::new(p.sub("proj"), dim, dim_out)),
            block,
        }
    }

    /// `[B, H, W, C]` -> `[B, H / stride, W / stride, C']`. The projected shortcut starts from the *normalised* input, as trained.
    fn forward(&self, x: &Tensor) -> Tensor {
        let HieraBlock { window_size, q_stride, .. } = self.block;
        let normed = self.norm1.forward(x);
        let shortcut = match &self.proj {
            Some(proj) => max_pool(&proj.forward(&normed), q_stride),
            None => x.shallow_clone(),
        };
        let attended = if window_size == 0 {
            self.attn.forward(&normed)
        } else {
            let windows = window_partition(&normed, [window_size; 2]);
            let (height, width) = (shortcut.size()[1], shortcut.size()[2]);
            let pooled = window_size / q_stride.map_or(1, |[stride, _]| stride);
            window_unpartition(&self.attn.forward(&windows), [pooled; 2], height, width)
        };
        let x = shortcut + attended;
        &x + self.mlp.forward(&self.norm2.forward(&x))
    }
}

/// `[B, H, W, C]` -> `[B windows, h, w, C]` for windows of `[h, w]`; zeros are added at the right and at the bottom, and take part in
/// attention.
pub fn window_partition(x: &Tensor, [h, w]: [i64; 2]) -> Tensor {
    let (batch, height, width, channels) = (x.size()[0], x.size()[1], x.size()[2], x.size()[3]);
    let (pad_h, pad_w) = ((h - height % h) % h, (w - width % w) % w);
    let x = if pad_h + pad_w > 0 { x.constant_pad_nd([0, 0, 0, pad_w, 0, pad_h]) } else { x.shallow_clone() };
    let (rows, columns) = ((height + pad_h) / h, (width + pad_w) / w);
    let x = x.view([batch, rows, h, columns, w, channels]);
    x.permute([0, 1, 3, 2, 4, 5]).reshape([-1, h, w, channels])
}

/// The inverse of [`window_partition`] for an image of `height` x `width`.
pub fn window_unpartition(windows: &Tensor, [h, w]: [i64; 2], height: i64, width: i64) -> Tensor {
    let (rows, columns) = ((height + h - 1) / h, (width + w - 1) / w);
    let channels = windows.size()[3];
    let x = windows.reshape([-1, rows, columns, h, w, channels]).permute([0, 1, 3, 2, 4, 5]);
    let x = x.reshape([-1, rows * h, columns * w, channels]);
    x.narrow(1, 0, height).narrow(2, 0, width)
}

/// What a block keeps for its gradients is in proportion to its tokens times their width.
pub(crate) fn middle(blocks: &[HieraBlock]) -> usize {
    let mut tokens = 1.0;
    let mut until = Vec::with_capacity(blocks.len());
    let mut sum = 0.0;
    for block in blocks {
        tokens /= block.q_stride.map_or(1.0, |[rows, columns]| (rows * columns) as f64);
        sum += tokens * block.dim_out as f64;
        until.push(sum);
    }
    until.iter().take_while(|&&until| until <= sum / 2.0).count().max(1)
}

/// 7 x 7 convolution with stride 4.
struct PatchEmbed {
    proj: Conv2d,
}

/// An image in the middle of the trunk.
#[derive(Debug)]
pub struct HalfWay {
    /// `[B, H, W, C]`
    pub x: Tensor,
    /// the stages that are done, finest first
    pub stages: Vec<Tensor>,
}

/// The trunk: image -> feature maps at strides 4, 8, 16, 32.
pub struct Hiera {
    patch_embed: PatchEmbed,
    pos_embed: Tensor,
    pos_embed_window: Tensor,
    blocks: Vec<MultiScaleBlock>,
    stage_ends: Vec<i64>,
    /// the block that the second half begins with: there, half of what all blocks keep for their gradients lies behind
    middle: usize,
}

impl Hiera {
    /// Reads the trunk below `p`.
    pub fn new(p: Params, config: &HieraConfig) -> Self {
        let dim = config.embed_dim;
        let [height, width] = config.window_pos_embed_bkg_spatial_size;
        let side = config.window_spec[0];
        let conv = Conv { kernel: 7, stride: 4, padding: 3, groups: 1 };
        let blocks = config.blocks().into_iter().enumerate();
        Self {
            patch_embed: PatchEmbed { proj: Conv2d::new(p.sub("patch_embed").sub("proj"), 3, dim, conv) },
            pos_embed: p.get("pos_embed", &[1, dim, height, width]),
            pos_embed_window: p.get("pos_embed_window", &[1, dim, side, side]),
            blocks: blocks.map(|(i, block)| MultiScaleBlock::new(p.sub("blocks").sub(i), block)).collect(),
            stage_ends: config.stage_ends(),
            middle: middle(&config.blocks()),
        }
    }

    /// `[B, 3, S, S]` -> one `[B, C_i, S / 2^(i+2), S / 2^(i+2)]` per stage, finest first.
    pub fn forward(&self, image: &Tensor) -> Vec<Tensor> {
        self.second_half(self.first_half(image))
    }

    /// The blocks up to the middle, as memory counts.
    pub fn first_half(&self, image: &Tensor) -> HalfWay {
        let x = channels_last(&self.patch_embed.proj.forward(image));
        let x = &x + self.position(x.size()[1], x.size()[2]);
        self.run(HalfWay { x, stages: Vec::new() }, 0..self.middle)
    }

    /// The blocks from the middle on, to the features of all stages.
    pub fn second_half(&self, half_way: HalfWay) -> Vec<Tensor> {
        self.run(half_way, self.middle..self.blocks.len()).stages
    }

    fn run(&self, HalfWay { mut x, mut stages }: HalfWay, blocks: Range<usize>) -> HalfWay {
        for i in blocks {
            x = self.blocks[i].forward(&x);
            if self.stage_ends.contains(&(i as i64)) {
                stages.push(channels_first(&x));
            }
        }
        HalfWay { x, stages }
    }

    /// The position embedding of an image of `height` x `width` tokens, `[1, height, width, C]`: a coarse table resized (bicubic) plus a
    /// window-sized one tiled.
    fn position(&self, height: i64, width: i64) -> Tensor {
        let table = self.pos_embed.upsample_bicubic2d([height, width], false, None, None);
        let side = self.pos_embed_window.size()[2];
        channels_last(&(table + self.pos_embed_window.tile([1, 1, height / side, width / side])))
    }
}
