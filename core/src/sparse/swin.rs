//! The trunk: a Swin transformer (arXiv 2103.14030), as MONAI builds it for pictures (`monai/networks/nets/swin_unetr.py`, fields named
//! as there). Attention within windows of 7 x 7 tokens, every second time shifted by half a window; widths double from stage to stage.

use super::config::{STAGES, STRIDE, SwinUnetrConfig};
use crate::model::attention::attention_with_bias;
use crate::model::hiera::{window_partition, window_unpartition};
use crate::model::layers::{Conv, Conv2d, LayerNorm, Linear, channels_first, channels_last};
use crate::model::params::Params;
use tch::{Device, Kind, Tensor};

const EPS: f64 = 1e-5;
/// hidden width of a block's MLP, in widths of the block
const MLP_RATIO: i64 = 4;
/// added to the scores of tokens that only the shift brought together
const APART: f64 = -100.0;

/// Attention among the tokens of a window, with a learnt bias for every relative position.
struct WindowAttention {
    /// `[(2 w - 1)^2, heads]`
    relative_position_bias_table: Tensor,
    /// rows of the table, `[w w, w w]`
    relative_position_index: Tensor,
    qkv: Linear,
    proj: Linear,
    num_heads: i64,
}

impl WindowAttention {
    fn new(p: Params, width: i64, window: i64, num_heads: i64) -> Self {
        let rows = (2 * window - 1) * (2 * window - 1);
        Self {
            relative_position_bias_table: p.get("relative_position_bias_table", &[rows, num_heads]),
            relative_position_index: relative_position_index(window).to_device(p.device()),
            qkv: Linear::new(p.sub("qkv"), width, 3 * width),
            proj: Linear::new(p.sub("proj"), width, width),
            num_heads,
        }
    }

    /// Windows `[B windows, N, C]` -> the same shape. `mask`: `[windows, N, N]`, added to the scores.
    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let (batch, tokens, width) = (x.size()[0], x.size()[1], x.size()[2]);
        let qkv = self.qkv.forward(x).reshape([batch, tokens, 3, self.num_heads, -1]).permute([2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|i| qkv.select(0, i));
        let mut bias = self.bias(tokens);
        if let Some(mask) = mask {
            let windows = mask.size()[0];
            let each = bias + mask.unsqueeze(1);
            bias = each.unsqueeze(0).expand([batch / windows, -1, -1, -1, -1], false).flatten(0, 1);
        }
        let x = attention_with_bias(&q, &k, &v, Some(&bias.to_kind(q.kind())));
        self.proj.forward(&x.transpose(1, 2).reshape([batch, tokens, width]))
    }

    /// What the places of two tokens add to their score, `[1, heads, N, N]`. Windows that a small picture cuts take the first rows and
    /// columns of the table of a whole one, as MONAI does.
    fn bias(&self, tokens: i64) -> Tensor {
        let index = self.relative_position_index.narrow(0, 0, tokens).narrow(1, 0, tokens).reshape([-1]);
        let bias = self.relative_position_bias_table.index_select(0, &index).view([tokens, tokens, self.num_heads]);
        bias.permute([2, 0, 1]).unsqueeze(0)
    }
}

/// The row of the bias table for every pair of tokens of a window.
fn relative_position_index(window: i64) -> Tensor {
    let tokens = window * window;
    let at = |i: i64| (i / window, i % window);
    let row = |(i, j): (i64, i64)| {
        let ((y, x), (v, u)) = (at(i), at(j));
        (y - v + window - 1) * (2 * window - 1) + x - u + window - 1
    };
    let rows: Vec<i64> = (0..tokens).flat_map(|i| (0..tokens).map(move |j| (i, j))).map(row).collect();
    Tensor::from_slice(&rows).view([tokens, tokens])
}

/// Two linear layers.
struct Mlp {
    linear1: Linear,
    linear2: Linear,
}

impl Mlp {
    fn new(p: Params, width: i64) -> Self {
        let hidden = MLP_RATIO * width;
        Self {
            linear1: Linear::new(p.sub("linear1"), width, hidden),
            linear2: Linear::new(p.sub("linear2"), hidden, width),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.linear2.forward(&self.linear1.forward(x).gelu("none"))
    }
}

/// A transformer block with window attention.
struct SwinTransformerBlock {
    norm1: LayerNorm,
    attn: WindowAttention,
    norm2: LayerNorm,
    mlp: Mlp,
    /// are its windows shifted?
    shifted: bool,
    window: i64,
}

impl SwinTransformerBlock {
    fn new(p: Params, width: i64, window: i64, num_heads: i64, shifted: bool) -> Self {
        Self {
            norm1: LayerNorm::new(p.sub("norm1"), width, EPS),
            attn: WindowAttention::new(p.sub("attn"), width, window, num_heads),
            norm2: LayerNorm::new(p.sub("norm2"), width, EPS),
            mlp: Mlp::new(p.sub("mlp"), width),
            shifted,
            window,
        }
    }

    /// `[B, H, W, C]` -> `[B, H, W, C]`
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.attended(&self.norm1.forward(x));
        &x + self.mlp.forward(&self.norm2.forward(&x))
    }

    /// Attention within windows. Zeros that fill up the last windows take part in it.
    fn attended(&self, x: &Tensor) -> Tensor {
        let (height, width, channels) = (x.size()[1], x.size()[2], x.size()[3]);
        let [rows, columns] = [height, width].map(|side| Side::new(side, self.window, self.shifted));
        let window = [rows.window, columns.window];
        let mut x = x.constant_pad_nd([0, 0, 0, columns.padded - width, 0, rows.padded - height]);
        let shifted = rows.shift > 0 || columns.shift > 0;
        if shifted {
            x = x.roll([-rows.shift, -columns.shift], [1, 2]);
        }
        let mask = shifted.then(|| mask(rows, columns, x.device()));
        let windows = window_partition(&x, window).flatten(1, 2);
        let windows = self.attn.forward(&windows, mask.as_ref()).view([-1, window[0], window[1], channels]);
        let mut x = window_unpartition(&windows, window, rows.padded, columns.padded);
        if shifted {
            x = x.roll([rows.shift, columns.shift], [1, 2]);
        }
        x.narrow(1, 0, height).narrow(2, 0, width)
    }
}

/// How one side of the picture divides into windows.
#[derive(Clone, Copy)]
struct Side {
    window: i64,
    shift: i64,
    /// tokens with the zeros that fill up the last window
    padded: i64,
}

impl Side {
    /// A side that is no longer than a window is one window, and not shifted.
    fn new(tokens: i64, window: i64, shifted: bool) -> Self {
        let shift = if shifted && tokens > window { window / 2 } else { 0 };
        let window = window.min(tokens);
        Self { window, shift, padded: (tokens + window - 1) / window * window }
    }

    /// For every token after the shift, which part of the picture it comes from.
    fn parts(self, device: Device) -> Tensor {
        let at = Tensor::arange(self.padded, (Kind::Int64, device));
        let beyond = |from: i64| at.ge(from).to_kind(Kind::Int64);
        beyond(self.padded - self.window) + beyond(self.padded - self.shift)
    }
}

/// Keeps tokens apart that only the shift has brought into one window: `[windows, N, N]`.
fn mask(rows: Side, columns: Side, device: Device) -> Tensor {
    let parts = rows.parts(device).unsqueeze(1) * 3 + columns.parts(device).unsqueeze(0);
    let windows = window_partition(&parts.view([1, rows.padded, columns.padded, 1]), [rows.window, columns.window]);
    let windows = windows.flatten(1, -1);
    let same = windows.unsqueeze(1).eq_tensor(&windows.unsqueeze(2));
    same.logical_not().to_kind(Kind::Float) * APART
}

/// Halves height and width: four neighbours become one token of twice the width.
struct PatchMerging {
    norm: LayerNorm,
    /// `[2 C, 4 C]`, no bias
    reduction: Tensor,
}

impl PatchMerging {
    fn new(p: Params, width: i64) -> Self {
        Self {
            norm: LayerNorm::new(p.sub("norm"), 4 * width, EPS),
            reduction: p.sub("reduction").get("weight", &[2 * width, 4 * width]),
        }
    }

    /// `[B, H, W, C]` -> `[B, H / 2, W / 2, 2 C]`
    fn forward(&self, x: &Tensor) -> Tensor {
        let (height, width) = (x.size()[1], x.size()[2]);
        let part = |row: i64, column: i64| x.slice(1, row, height, 2).slice(2, column, width, 2);
        let four = Tensor::cat(&[part(0, 0), part(1, 0), part(0, 1), part(1, 1)], -1);
        self.norm.forward(&four).linear(&self.reduction, None::<&Tensor>)
    }
}

/// One stage.
pub struct BasicLayer {
    blocks: Vec<SwinTransformerBlock>,
    downsample: PatchMerging,
}

impl BasicLayer {
    fn new(p: Params, config: &SwinUnetrConfig, stage: usize) -> Self {
        let width = config.feature_size << stage;
        let block = |at: usize| {
            let p = p.sub("blocks").sub(at);
            SwinTransformerBlock::new(p, width, config.window_size, config.num_heads[stage], at % 2 == 1)
        };
        Self {
            blocks: (0..config.depths[stage]).map(block).collect(),
            downsample: PatchMerging::new(p.sub("downsample"), width),
        }
    }

    /// `[B, C, H, W]` -> `[B, 2 C, H / 2, W / 2]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let tokens = channels_last(x).contiguous();
        let tokens = self.blocks.iter().fold(tokens, |x, block| block.forward(&x));
        channels_first(&self.downsample.forward(&tokens))
    }
}

/// Patches and four stages.
pub struct SwinTransformer {
    /// image `[B, channels, H, W]` -> `[B, C, H / 2, W / 2]`
    pub patch_embed: Conv2d,
    /// `layers1` to `layers4`
    pub layers: [BasicLayer; STAGES],
}

impl SwinTransformer {
    /// Reads the trunk below `p`.
    pub fn new(p: Params, config: &SwinUnetrConfig) -> Self {
        let conv = Conv { kernel: STRIDE, stride: STRIDE, ..Conv::default() };
        let patch = p.sub("patch_embed").sub("proj");
        Self {
            patch_embed: Conv2d::new(patch, config.in_channels, config.feature_size, conv),
            layers: [0, 1, 2, 3]
                .map(|stage| BasicLayer::new(p.sub(format!("layers{}", stage + 1)).sub(0), config, stage)),
        }
    }
}

/// Layer normalisation over the channels, without parameters, of what a stage hands to the decoder (`proj_out`): `[B, C, H, W]`.
pub fn proj_out(x: &Tensor) -> Tensor {
    let channels = x.size()[1];
    channels_first(&channels_last(x).layer_norm([channels], None::<&Tensor>, None::<&Tensor>, EPS, true))
}
