//! Position encodings: sines over the image, random frequencies for clicks, axial rotations, sines over time.
//! Source: `modeling/position_encoding.py`, `modeling/sam2_utils.py` (get_1d_sine_pe).

use super::config::PositionEncodingConfig;
use super::params::Params;
use std::f64::consts::PI;
use tch::{Device, Kind, Tensor};

fn grid(n: i64, device: Device) -> Tensor {
    Tensor::arange(n, (Kind::Float, device))
}

/// Frequencies `temperature^(2 floor(i / 2) / n)` for `i` in `0..n`: pairs of channels share one.
fn paired_frequencies(n: i64, temperature: f64, device: Device) -> Tensor {
    let exponents = grid(n, device).floor_divide_scalar(2) * (2.0 / n as f64);
    Tensor::pow_scalar(temperature, &exponents)
}

/// Sine encoding of an image grid (`PositionEmbeddingSine`), `[1, num_pos_feats, height, width]`: the first half of the channels
/// holds y, the second x; sine and cosine alternate; positions count from 1.
pub fn sine_2d(config: &PositionEncodingConfig, height: i64, width: i64, device: Device) -> Tensor {
    let channels = config.num_pos_feats / 2;
    let frequencies = paired_frequencies(channels, config.temperature, device);
    let axis = |n: i64| {
        let mut at = grid(n, device) + 1.0;
        if config.normalize {
            at = at / (n as f64 + 1e-6) * config.scale.unwrap_or(2.0 * PI);
        }
        let angle = at.unsqueeze(1) / &frequencies; // [n, channels]
        let even = angle.slice(1, 0, None, 2).sin();
        let odd = angle.slice(1, 1, None, 2).cos();
        Tensor::stack(&[even, odd], 2).flatten(1, 2)
    };
    let y = axis(height).unsqueeze(1).expand([height, width, channels], false);
    let x = axis(width).unsqueeze(0).expand([height, width, channels], false);
    Tensor::cat(&[y, x], 2).permute([2, 0, 1]).unsqueeze(0).contiguous()
}

/// Sine encoding of positions in time (`get_1d_sine_pe`): `[n]` -> `[n, width]`, all sines, then all cosines.
pub fn sine_1d(positions: &Tensor, width: i64) -> Tensor {
    let frequencies = paired_frequencies(width / 2, 10000.0, positions.device());
    let angle = positions.unsqueeze(-1) / frequencies;
    Tensor::cat(&[angle.sin(), angle.cos()], -1)
}

/// Random-frequency encoding of points (`PositionEmbeddingRandom`).
pub struct RandomFrequencies {
    /// `[2, width / 2]`, kept in float32: coordinates lose too much in half precision
    positional_encoding_gaussian_matrix: Tensor,
}

impl RandomFrequencies {
    /// Reads the frequencies below `p`.
    pub fn new(p: Params, width: i64) -> Self {
        let matrix = p.get_kind("positional_encoding_gaussian_matrix", &[2, width / 2], Kind::Float);
        Self { positional_encoding_gaussian_matrix: matrix }
    }

    /// Points `[.., 2]` (x, y) in 0..1 -> `[.., width]`.
    pub fn encode(&self, points: &Tensor) -> Tensor {
        let angle = (points * 2.0 - 1.0).matmul(&self.positional_encoding_gaussian_matrix) * (2.0 * PI);
        Tensor::cat(&[angle.sin(), angle.cos()], -1)
    }

    /// The encoding of every cell centre of a square grid, `[1, width, side, side]`.
    pub fn dense(&self, side: i64) -> Tensor {
        let at = (grid(side, self.positional_encoding_gaussian_matrix.device()) + 0.5) / side as f64;
        let y = at.unsqueeze(1).expand([side, side], false);
        let x = at.unsqueeze(0).expand([side, side], false);
        self.encode(&Tensor::stack(&[x, y], -1)).permute([2, 0, 1]).unsqueeze(0)
    }
}

/// Axial rotary encoding: the first half of a head's channel pairs turns with x, the second half with y.
pub struct AxialRotation {
    /// `[height width, channels / 2]`, complex numbers of absolute value 1
    turns: Tensor,
}

impl AxialRotation {
    /// Angles for a `width` x `height` grid and heads of `channels` channels (`compute_axial_cis`), `[height width, channels / 2]`.
    pub fn new(channels: i64, width: i64, height: i64, theta: f64, device: Device) -> Self {
        let quarter = channels / 4;
        let exponents = grid(quarter, device) * (4.0 / channels as f64);
        let frequencies = Tensor::pow_scalar(theta, &exponents).reciprocal();
        let index = Tensor::arange(width * height, (Kind::Int64, device));
        let x = index.remainder(width).to_kind(Kind::Float);
        let y = index.floor_divide_scalar(width).to_kind(Kind::Float);
        let angle = Tensor::cat(&[x.outer(&frequencies), y.outer(&frequencies)], -1);
        Self { turns: Tensor::complex(&angle.cos(), &angle.sin()) }
    }

    /// Cells of the grid.
    pub fn positions(&self) -> i64 {
        self.turns.size()[0]
    }

    /// Rotates neighbouring channel pairs of `[B, heads, repeats * positions, channels]`, the same for every repeat; computed in float32.
    pub fn rotate(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let (positions, pairs) = (self.turns.size()[0], self.turns.size()[1]);
        let x_pairs = x.to_kind(Kind::Float).reshape([size[0], size[1], -1, positions, pairs, 2]);
        (x_pairs.view_as_complex() * &self.turns).view_as_real().reshape(size).to_kind(x.kind())
    }
}
