//! Tidying a slice: small islands away, holes filled, edges smoothed. As scikit-image and scipy do it in SAM-OCTA2's clean-up
//! (`sparese_annotation_rv_predicton.py`): components of 8 neighbours, holes of 4, Gaussian with reflected border, Otsu's threshold.

use super::{Connectivity, Grid, components};
use crate::progress::checkpoint;

/// Removes components of fewer than `least` voxels (those of exactly `least` stay, as in scikit-image before 0.26). A grid of one frame is
/// looked at as a slice, others as a stack.
pub fn remove_small(grid: &Grid, least: usize, connectivity: Connectivity) -> Grid {
    let (labels, sizes) = components(grid, connectivity);
    let inside = labels.iter().map(|&label| label != 0 && sizes[label as usize - 1] >= least).collect();
    Grid { inside, ..grid.clone() }
}

/// Fills what is outside but closed in on its slice.
pub fn fill_holes(grid: &Grid) -> Grid {
    let [frames, rows, columns] = grid.shape;
    let mut filled = grid.clone();
    for frame in 0..frames {
        let slice = grid.slice(frame);
        let outside = Grid { inside: slice.inside.iter().map(|&inside| !inside).collect(), ..slice };
        let (labels, sizes) = components(&outside, Connectivity::Faces);
        let mut open = vec![false; sizes.len() + 1];
        let border = |at: usize| {
            let (row, column) = (at / columns, at % columns);
            row == 0 || column == 0 || row + 1 == rows || column + 1 == columns
        };
        labels.iter().enumerate().filter(|(at, _)| border(*at)).for_each(|(_, &label)| open[label as usize] = true);
        let plane = &mut filled.inside[frame * rows * columns..(frame + 1) * rows * columns];
        for (inside, &label) in plane.iter_mut().zip(&labels) {
            *inside |= label != 0 && !open[label as usize];
        }
    }
    filled
}

/// Smooths each slice: Gaussian of `sigma` pixels, cut at four sigma, then Otsu's threshold.
pub fn smooth(grid: &Grid, sigma: f64) -> Grid {
    let [frames, rows, columns] = grid.shape;
    let mut smoothed = grid.clone();
    for frame in 0..frames {
        let plane = frame * rows * columns..(frame + 1) * rows * columns;
        let inside = &grid.inside[plane.clone()];
        if inside.iter().all(|&v| v) || inside.iter().all(|&v| !v) {
            continue; // nothing to tell apart
        }
        let values: Vec<f64> = inside.iter().map(|&inside| f64::from(u8::from(inside))).collect();
        let blurred = gaussian(&values, [rows, columns], sigma);
        let threshold = otsu(&blurred);
        smoothed.inside[plane].iter_mut().zip(&blurred).for_each(|(to, &value)| *to = value > threshold);
    }
    smoothed
}

/// scipy's `gaussian_filter`: mode `reflect` (the edge pixel twice), truncated at four sigma.
fn gaussian(values: &[f64], [rows, columns]: [usize; 2], sigma: f64) -> Vec<f64> {
    let radius = (4.0 * sigma + 0.5) as usize;
    let mut weights: Vec<f64> = (0..=radius).map(|at| (-0.5 * (at * at) as f64 / (sigma * sigma)).exp()).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    let down = lines(values, rows, columns, columns, 1, &weights);
    lines(&down, columns, rows, 1, columns, &weights)
}

/// Filters `count` lines of `length` values that lie `step` apart; the lines start `apart` from one another.
fn lines(values: &[f64], length: usize, count: usize, step: usize, apart: usize, weights: &[f64]) -> Vec<f64> {
    let reflected = |at: isize| {
        let period = 2 * length as isize;
        let at = at.rem_euclid(period) as usize;
        if at < length { at } else { 2 * length - 1 - at }
    };
    let mut out = vec![0.0; values.len()];
    for line in 0..count {
        checkpoint();
        let value = |at: isize| values[line * apart + reflected(at) * step];
        for at in 0..length {
            let here = at as isize;
            let far = weights.iter().enumerate().skip(1);
            let sum: f64 = far.map(|(d, w)| w * (value(here - d as isize) + value(here + d as isize))).sum();
            out[line * apart + at * step] = weights[0] * value(here) + sum;
        }
    }
    out
}

/// Otsu's threshold over 256 bins between the smallest and the largest value, as `skimage.filters.threshold_otsu`: the middle of the bin.
fn otsu(values: &[f64]) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: &[&str]) -> Grid {
        let inside = rows.iter().flat_map(|row| row.chars().map(|c| c == '#')).collect();
        Grid { shape: [1, rows.len(), rows[0].len()], spacing: [1.0; 3], inside }
    }

    #[test]
    fn islands_of_exactly_the_least_size_stay() {
        let before = grid(&["##..", "....", "#..#", "...#"]);
        assert_eq!(remove_small(&before, 2, Connectivity::Corners), grid(&["##..", "....", "...#", "...#"]));
        assert_eq!(remove_small(&before, 3, Connectivity::Corners).count(), 0);
    }

    #[test]
    fn holes_are_closed_by_faces() {
        let before = grid(&["####.", "#..##", "#.#.#", "#####"]);
        assert_eq!(fill_holes(&before), grid(&["####.", "#####", "#####", "#####"]));
        let open = grid(&["##", "#."]);
        assert_eq!(fill_holes(&open), open);
    }

    #[test]
    fn smoothing_takes_off_a_spike() {
        let mut before = Grid { shape: [1, 40, 40], spacing: [1.0; 3], inside: vec![false; 1600] };
        (10..30).for_each(|row| (10..30).for_each(|column| before.inside[row * 40 + column] = true));
        before.inside[20 * 40 + 38] = true;
        let after = smooth(&before, 2.0);
        assert!(!after.inside[20 * 40 + 38] && after.inside[20 * 40 + 20]);
        assert!(after.count().abs_diff(400) < 30, "{}", after.count());
        let full = Grid { inside: vec![true; 1600], ..before };
        assert_eq!(smooth(&full, 2.0), full);
    }
}
