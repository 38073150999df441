//! A U-Net (arXiv 1505.04597) of plain 3 x 3 convolutions: batch norms of the training are folded into weights and biases, so that there is
//! nothing between two convolutions but a ReLU.

use super::layers::{Conv, Conv2d};
use super::params::Params;
use tch::Tensor;

const SAME: Conv = Conv { kernel: 3, stride: 1, padding: 1, groups: 1 };

/// Two 3 x 3 convolutions, a ReLU behind each.
struct Block([Conv2d; 2]);

impl Block {
    fn new(p: Params, input: i64, output: i64) -> Self {
        Self([Conv2d::new(p.sub(0), input, output, SAME), Conv2d::new(p.sub(1), output, output, SAME)])
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let [first, second] = &self.0;
        second.forward(&first.forward(x).relu()).relu()
    }
}

/// A 3 x 3 convolution that keeps the size, with a ReLU.
pub struct ConvRelu(Conv2d);

impl ConvRelu {
    /// Reads `weight` and `bias` below `p`.
    pub fn new(p: Params, input: i64, output: i64) -> Self {
        Self(Conv2d::new(p, input, output, SAME))
    }

    /// `[B, in, H, W]` -> `[B, out, H, W]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.0.forward(x).relu()
    }
}

/// The network; one width per level, each level at half the size of the one before.
pub struct UNet {
    down: Vec<Block>,
    up: Vec<Block>,
}

impl UNet {
    /// Reads `down.N.0`, `down.N.1`, `up.N.0`, `up.N.1` below `p`.
    pub fn new(p: Params, input: i64, widths: &[i64]) -> Self {
        let inputs = std::iter::once(input).chain(widths.iter().copied());
        let block = |branch: &str, at: usize, input, output| Block::new(p.sub(branch).sub(at), input, output);
        let down = inputs.zip(widths).enumerate().map(|(at, (input, &output))| block("down", at, input, output));
        let up = widths.windows(2).enumerate().map(|(at, pair)| block("up", at, pair[0] + pair[1], pair[0]));
        Self { down: down.collect(), up: up.collect() }
    }

    /// `[B, in, H, W]` -> the features of every level, finest first: `[B, widths[i], H / 2^i, W / 2^i]`. Sides must divide by 2 to the
    /// power of the levels less one.
    pub fn forward(&self, x: &Tensor) -> Vec<Tensor> {
        let mut levels: Vec<Tensor> = Vec::with_capacity(self.down.len());
        for block in &self.down {
            let level = match levels.last() {
                Some(finer) => block.forward(&finer.max_pool2d_default(2)),
                None => block.forward(x),
            };
            levels.push(level);
        }
        for (at, block) in self.up.iter().enumerate().rev() {
            levels[at] = block.forward(&Tensor::cat(&[&levels[at], &double(&levels[at + 1])], 1));
        }
        levels
    }
}

/// Twice the size, nearest neighbour.
pub fn double(x: &Tensor) -> Tensor {
    let size = x.size();
    x.upsample_nearest2d([2 * size[2], 2 * size[3]], None, None)
}
