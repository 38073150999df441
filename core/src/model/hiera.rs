//! The image trunk: Hiera, a hierarchical vision transformer with window attention (arXiv 2306.00989; absolute win position
//! embedding, arXiv 2311.05613). Source: `modeling/backbones/hieradet.py`, `modeling/backbones/utils.py`.

use super::attention::attention;
use super::config::{Activation, HieraBlock, HieraConfig};
use super::layers::{Conv, Conv2d, LayerNorm, Linear, Mlp, PositionCache, channels_first, channels_last, in_training};
use super::params::Params;
use crate::progress::checkpoint;
use std::ops::Range;
use tch::{Device, Tensor};

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

    /// `[B, H, W, C]` -> `[B, H / stride, W / stride, C']`, every window looking at itself.
    fn forward(&self, x: &Tensor) -> Tensor {
        let HieraBlock { window_size, .. } = self.block;
        if window_size == 0 {
            return self.whole(x);
        }
        self.with(x, |normed, height, width| {
            let windows = window_partition(normed, [window_size; 2]);
            window_unpartition(&self.attn.forward(&windows), [self.pooled(window_size); 2], height, width)
        })
    }

    /// The same for images or windows `[B, h, w, C]` that look at all of themselves.
    fn whole(&self, x: &Tensor) -> Tensor {
        self.with(x, |normed, _, _| self.attn.forward(normed))
    }

    /// The block with its attention given, which is told the height and width of its result. The projected shortcut starts from the
    /// *normalised* input, as trained.
    fn with(&self, x: &Tensor, attention: impl FnOnce(&Tensor, i64, i64) -> Tensor) -> Tensor {
        let normed = self.norm1.forward(x);
        let shortcut = match &self.proj {
            Some(proj) => max_pool(&proj.forward(&normed), self.block.q_stride),
            None => x.shallow_clone(),
        };
        let x = attention(&normed, shortcut.size()[1], shortcut.size()[2]) + shortcut;
        self.mlp.forward(&self.norm2.forward(&x)) + x
    }

    /// What is left of a side after pooling.
    fn pooled(&self, side: i64) -> i64 {
        side / self.block.q_stride.map_or(1, |[stride, _]| stride)
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
    /// `[B, H, W, C]`; of a convolutional trunk `[B, C, H, W]`
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
    /// the position embedding of the images seen last
    position: PositionCache,
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
            position: PositionCache::default(),
        }
    }

    /// `[B, 3, S, S]` -> one `[B, C_i, S / 2^(i+2), S / 2^(i+2)]` per stage, finest first.
    pub fn forward(&self, image: &Tensor) -> Vec<Tensor> {
        self.second_half(self.first_half(image))
    }

    /// The blocks up to the middle, as memory counts.
    pub fn first_half(&self, image: &Tensor) -> HalfWay {
        let x = self.patch_embed.proj.forward(&channels_first(&channels_last(image).contiguous()));
        let x = channels_last(&x).contiguous();
        checkpoint();
        let x = &x + self.position(x.size()[1], x.size()[2]);
        checkpoint();
        self.run(HalfWay { x, stages: Vec::new() }, 0..self.middle)
    }

    /// The blocks from the middle on, to the features of all stages.
    pub fn second_half(&self, half_way: HalfWay) -> Vec<Tensor> {
        self.run(half_way, self.middle..self.blocks.len()).stages
    }

    fn run(&self, HalfWay { mut x, mut stages }: HalfWay, mut blocks: Range<usize>) -> HalfWay {
        while !blocks.is_empty() {
            let nested = self.nested(blocks.clone(), [x.size()[1], x.size()[2]]);
            for (at, image) in self.windows_first(&x, nested.clone()) {
                if self.ends_stage(at) {
                    stages.push(channels_first(&image));
                }
                x = image;
            }
            blocks.start = nested.end;
        }
        HalfWay { x, stages }
    }

    fn ends_stage(&self, block: usize) -> bool {
        self.stage_ends.contains(&(block as i64))
    }

    /// The first of `blocks`, with those after it whose windows are its own (pooled or not) on an image of `[height, width]`.
    fn nested(&self, blocks: Range<usize>, [height, width]: [i64; 2]) -> Range<usize> {
        let first = &self.blocks[blocks.start];
        let mut side = first.block.window_size;
        if side == 0 || height % side != 0 || width % side != 0 {
            return blocks.start..blocks.start + 1;
        }
        let own = |&at: &usize| {
            let fits = self.blocks[at].block.window_size == side;
            side = self.blocks[at].pooled(side);
            fits
        };
        blocks.start..blocks.start + blocks.take_while(own).count()
    }

    /// Blocks whose windows are [`Self::nested`]: a strip of windows goes through all of them before the next, so that windows are cut out
    /// once and what a block makes is still in the caches when the next one wants it. -> blocks that end a stage, and the last one, with the
    /// images behind them.
    fn windows_first(&self, x: &Tensor, blocks: Range<usize>) -> Vec<(usize, Tensor)> {
        /// tokens of one strip
        const STRIP: i64 = 4096;
        if blocks.len() == 1 {
            return vec![(blocks.start, self.blocks[blocks.start].forward(x))];
        }
        let (height, width) = (x.size()[1], x.size()[2]);
        let side = self.blocks[blocks.start].block.window_size;
        let all_at_once = x.device() != Device::Cpu || in_training(&[x]);
        let rows = if all_at_once { height } else { (STRIP / (width * side)).max(1) * side };
        let shown: Vec<_> = blocks.clone().filter(|&at| self.ends_stage(at) || at + 1 == blocks.end).collect();
        let mut strips: Vec<Vec<Tensor>> = shown.iter().map(|_| Vec::new()).collect();
        for strip in x.split(rows, 1) {
            let mut windows = window_partition(&strip, [side; 2]);
            for at in blocks.clone() {
                windows = self.blocks[at].whole(&windows);
                if let Some(place) = shown.iter().position(|&shown| shown == at) {
                    let now = windows.size()[1];
                    let [height, width] = [strip.size()[1], width].map(|length| length / side * now);
                    strips[place].push(window_unpartition(&windows, [now; 2], height, width));
                }
            }
        }
        shown.into_iter().zip(strips.iter().map(|strips| Tensor::cat(strips, 1))).collect()
    }

    /// The position embedding of an image of `height` x `width` tokens, `[1, height, width, C]`: a coarse table resized (bicubic) plus a
    /// window-sized one tiled. It is kept for the next image, but not while the tables are trained.
    fn position(&self, height: i64, width: i64) -> Tensor {
        let make = || {
            let table = self.pos_embed.upsample_bicubic2d([height, width], false, None, None);
            let side = self.pos_embed_window.size()[2];
            channels_last(&(table + self.pos_embed_window.tile([1, 1, height / side, width / side]))).contiguous()
        };
        self.position.get([height, width], &[&self.pos_embed, &self.pos_embed_window], make)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::ModelConfig;
    use super::super::layers::as_in_training;
    use super::*;
    use tch::Kind;

    /// Parity's images are one strip; this one is four, in three blocks of two stages and the one that begins the third.
    #[test]
    fn strips_are_the_whole_image() {
        let config = ModelConfig::preset("tiny").unwrap().image_encoder.unwrap();
        let trunk = Hiera::new(Params::random(1, Device::Cpu, Kind::Float), config.trunk.hiera().unwrap());
        assert_eq!(trunk.nested(0..trunk.blocks.len(), [128, 128]), 0..4);
        tch::manual_seed(6);
        let image = Tensor::randn([1, 3, 512, 512], (Kind::Float, Device::Cpu));
        let _guard = tch::no_grad_guard();
        let whole = as_in_training(|| trunk.forward(&image));
        for (strips, whole) in trunk.forward(&image).iter().zip(&whole) {
            assert_eq!(strips.size(), whole.size());
            let difference = (strips - whole).abs().max().double_value(&[]) / whole.abs().max().double_value(&[]);
            assert!(difference < 1e-4, "{difference}");
        }
        assert_eq!(whole.len(), 4);
    }
}
