//! Gaussian filters and Otsu's threshold on a slice, as scipy and scikit-image compute them.

use crate::progress::checkpoint;

/// scipy's `gaussian_filter`: mode `reflect` (the edge pixel twice), truncated at four sigma. `values`: `[rows, columns]`.
pub fn gaussian(values: &[f64], shape: [usize; 2], sigma: f64) -> Vec<f64> {
    let weights = Weights::smooth(sigma, 4.0);
    across(values, shape, [&weights, &weights])
}

/// The first derivative of a Gaussian along rows (axis 0) or columns (1), smoothed along the other, truncated at eight sigma.
pub fn derivative(values: &[f64], shape: [usize; 2], sigma: f64, axis: usize) -> Vec<f64> {
    let (smooth, slope) = (Weights::smooth(sigma, 8.0), Weights::slope(sigma, 8.0));
    across(values, shape, if axis == 0 { [&slope, &smooth] } else { [&smooth, &slope] })
}

/// A filter of one dimension: the weight at each distance; those before the centre are the same, or (`odd`) their negative.
struct Weights {
    at: Vec<f64>,
    odd: bool,
}

impl Weights {
    fn smooth(sigma: f64, truncate: f64) -> Self {
        let radius = (truncate * sigma + 0.5) as usize;
        let mut at: Vec<f64> = (0..=radius).map(|at| (-0.5 * (at * at) as f64 / (sigma * sigma)).exp()).collect();
        let sum = at[0] + 2.0 * at[1..].iter().sum::<f64>();
        at.iter_mut().for_each(|weight| *weight /= sum);
        Self { at, odd: false }
    }

    fn slope(sigma: f64, truncate: f64) -> Self {
        let smooth = Self::smooth(sigma, truncate).at;
        let at = smooth.iter().enumerate().map(|(at, weight)| at as f64 / (sigma * sigma) * weight).collect();
        Self { at, odd: true }
    }
}

/// One filter along the rows' axis, one along the columns'.
fn across(values: &[f64], [rows, columns]: [usize; 2], [down, right]: [&Weights; 2]) -> Vec<f64> {
    let values = lines(values, rows, columns, columns, 1, down);
    lines(&values, columns, rows, 1, columns, right)
}

/// Filters `count` lines of `length` values that lie `step` apart; the lines start `apart` from one another.
fn lines(values: &[f64], length: usize, count: usize, step: usize, apart: usize, weights: &Weights) -> Vec<f64> {
    let reflected = |at: isize| {
        let period = 2 * length as isize;
        let at = at.rem_euclid(period) as usize;
        if at < length { at } else { 2 * length - 1 - at }
    };
    let sign = if weights.odd { -1.0 } else { 1.0 };
    let mut out = vec![0.0; values.len()];
    for line in 0..count {
        checkpoint();
        let value = |at: isize| values[line * apart + reflected(at) * step];
        for at in 0..length {
            let here = at as isize;
            let far = weights.at.iter().enumerate().skip(1);
            let sum: f64 = far.map(|(d, w)| w * (sign * value(here - d as isize) + value(here + d as isize))).sum();
            out[line * apart + at * step] = weights.at[0] * value(here) + sum;
        }
    }
    out
}

/// Otsu's threshold over 256 bins between the smallest and the largest value, as `skimage.filters.threshold_otsu`: the middle of the bin.
pub fn otsu(values: &[f64]) -> f64 {
    const BINS: usize = 256;
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    let width = (high - low) / BINS as f64;
    let middle = |bin: usize| low + (bin as f64 + 0.5) * width;
    let mut counts = [0f64; BINS];
    values.iter().for_each(|&value| counts[(((value - low) / width) as usize).min(BINS - 1)] += 1.0);
    let all: f64 = counts.iter().sum();
    let total: f64 = (0..BINS).map(|bin| counts[bin] * middle(bin)).sum();
    let (mut below, mut sum) = (0.0, 0.0);
    let (mut best, mut threshold) = (f64::NEG_INFINITY, middle(0));
    for (bin, &count) in counts[..BINS - 1].iter().enumerate() {
        below += count;
        sum += count * middle(bin);
        let above = all - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let apart = sum / below - (total - sum) / above;
        let variance = below * above * apart * apart;
        if variance > best {
            (best, threshold) = (variance, middle(bin));
        }
    }
    threshold
}
