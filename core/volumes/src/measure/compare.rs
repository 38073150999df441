//! How well one segmentation fits another: overlap, and distances in millimetres.
//!
//! Overlap: counts of voxels (precision, recall, specificity, Jaccard, Dice). Distances, each both ways: `hausdorff_mm` and `hd95_mm` from
//! every voxel of one to the nearest of the other; the `surface_` ones between boundaries only (voxels that touch the outside by a face), as
//! MONAI and DeepMind's surface-distance do. A `95` is the larger of the two 95 % quantiles (linear interpolation). SAM-OCTA2's own
//! Hausdorff number compares image rows as vectors and is something else.

use super::{Grid, boundary, squared_distances};
use crate::volume::Labels;
use crate::{Error, Result};
use serde::Serialize;

/// Two masks beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// voxels of the first
    pub voxels: usize,
    /// voxels of the truth
    pub truth_voxels: usize,
    /// of what was found, how much is true; nothing found: 0
    pub precision: f64,
    /// of what is true, how much was found
    pub recall: f64,
    /// of what is not true, how much was left out
    pub specificity: f64,
    /// intersection over union; both empty: 1
    pub jaccard: f64,
    /// twice the intersection over the sum; both empty: 1
    pub dice: f64,
    /// the largest distance from a voxel of one to the nearest of the other; nothing where one of them is empty
    pub hausdorff_mm: Option<f64>,
    /// the same without the worst 5 % on either side
    pub hd95_mm: Option<f64>,
    /// the largest distance between the boundaries
    pub surface_hausdorff_mm: Option<f64>,
    /// the same without the worst 5 % on either side
    pub surface_hd95_mm: Option<f64>,
    /// the mean distance between the boundaries
    pub surface_mean_mm: Option<f64>,
}

/// Compares `found` with `truth`. Errors: grids of different shape.
pub fn compare(found: &Grid, truth: &Grid) -> Result<Comparison> {
    let [[neither, missed], [surplus, both]] = counts(found, truth)?;
    let (sets, surfaces) = (distances(found, truth), distances(&boundary(found), &boundary(truth)));
    Ok(Comparison {
        voxels: both + surplus,
        truth_voxels: both + missed,
        precision: share(both, both + surplus, if missed == 0 { 1.0 } else { 0.0 }),
        recall: share(both, both + missed, if surplus == 0 { 1.0 } else { 0.0 }),
        specificity: share(neither, neither + surplus, 1.0),
        jaccard: share(both, both + missed + surplus, 1.0),
        dice: share(2 * both, 2 * both + missed + surplus, 1.0),
        hausdorff_mm: sets.map(|(largest, _, _)| largest),
        hd95_mm: sets.map(|(_, most, _)| most),
        surface_hausdorff_mm: surfaces.map(|(largest, _, _)| largest),
        surface_hd95_mm: surfaces.map(|(_, most, _)| most),
        surface_mean_mm: surfaces.map(|(_, _, mean)| mean),
    })
}

/// [`Comparison::dice`] alone, without the distances. Errors: grids of different shape.
pub fn dice(found: &Grid, truth: &Grid) -> Result<f64> {
    let [[_, missed], [surplus, both]] = counts(found, truth)?;
    Ok(share(2 * both, 2 * both + missed + surplus, 1.0))
}

/// Compares labels with others at the same place: all objects together, or one. Errors: another grid ([`Labels::onto`]).
pub fn compare_labels(found: &Labels, truth: &Labels, object: Option<u16>) -> Result<Comparison> {
    let truth = truth.onto(found.lattice())?;
    compare(&grid(found, object), &grid(&truth, object))
}

/// [`dice`] of labels at the same place, on all slices or on one of the first. Errors: another grid; no such slice.
pub fn dice_labels(found: &Labels, truth: &Labels, object: Option<u16>, frame: Option<usize>) -> Result<f64> {
    let truth = truth.onto(found.lattice())?;
    let grids = [grid(found, object), grid(&truth, object)];
    match frame {
        Some(frame) => {
            found.check_frame(frame)?;
            let [found, truth] = grids.map(|grid| grid.slice(frame));
            dice(&found, &truth)
        }
        None => dice(&grids[0], &grids[1]),
    }
}

/// All objects, or one of them.
fn grid(labels: &Labels, object: Option<u16>) -> Grid {
    Grid::where_(labels, |label| object.map_or(label != 0, |object| label == object))
}

/// Voxels by what was found (no, yes), then by what is true.
fn counts(found: &Grid, truth: &Grid) -> Result<[[usize; 2]; 2]> {
    if found.shape != truth.shape {
        return Err(Error::invalid(format!(
            "labels of shape {:?} cannot be compared with labels of shape {:?}",
            found.shape, truth.shape
        )));
    }
    let mut counts = [[0usize; 2]; 2];
    for (&found, &truth) in found.inside.iter().zip(&truth.inside) {
        counts[usize::from(found)][usize::from(truth)] += 1;
    }
    Ok(counts)
}

fn share(part: usize, whole: usize, empty: f64) -> f64 {
    if whole == 0 { empty } else { part as f64 / whole as f64 }
}

/// Largest, 95 % and mean distance between two sets.
fn distances(found: &Grid, truth: &Grid) -> Option<(f64, f64, f64)> {
    let one_way = |from: &Grid, to: &Grid| -> Vec<f64> {
        let squares = squared_distances(to);
        from.inside.iter().zip(squares).filter(|(inside, _)| **inside).map(|(_, square)| square.sqrt()).collect()
    };
    let mut ways = [one_way(found, truth), one_way(truth, found)];
    if ways.iter().any(Vec::is_empty) {
        return None;
    }
    ways.iter_mut().for_each(|way| way.sort_by(f64::total_cmp));
    let largest = ways.iter().filter_map(|way| way.last()).copied().fold(0.0, f64::max);
    let most = ways.iter().map(|way| quantile(way, 0.95)).fold(0.0, f64::max);
    let all = ways.iter().map(Vec::len).sum::<usize>() as f64;
    let mean = ways.iter().flatten().sum::<f64>() / all;
    Some((largest, most, mean))
}

/// Of ascending values, by linear interpolation (numpy's default).
fn quantile(values: &[f64], share: f64) -> f64 {
    let at = share * (values.len() - 1) as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let high = (low + 1).min(values.len() - 1);
    values[low] + (values[high] - values[low]) * part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(at: usize) -> Grid {
        let mut inside = vec![false; 400];
        (0..5).for_each(|row| (0..5).for_each(|column| inside[(row + 3) * 20 + column + at] = true));
        Grid { shape: [1, 20, 20], spacing: [1.0, 0.5, 0.5], inside }
    }

    #[test]
    fn two_squares() {
        let reply = compare(&square(3), &square(5)).unwrap();
        assert_eq!((reply.voxels, reply.truth_voxels), (25, 25));
        assert!((reply.dice - 0.6).abs() < 1e-12 && (reply.jaccard - 15.0 / 35.0).abs() < 1e-12, "{reply:?}");
        assert_eq!((reply.hausdorff_mm, reply.surface_hausdorff_mm), (Some(1.0), Some(1.0)));
        let same = compare(&square(3), &square(3)).unwrap();
        assert_eq!((same.dice, same.hausdorff_mm, same.surface_mean_mm), (1.0, Some(0.0), Some(0.0)));
    }

    #[test]
    fn nothing_is_no_distance() {
        let empty = Grid { inside: vec![false; 400], ..square(3) };
        let reply = compare(&empty, &square(3)).unwrap();
        assert_eq!((reply.dice, reply.precision, reply.recall, reply.hausdorff_mm), (0.0, 0.0, 0.0, None));
        assert_eq!(compare(&empty, &empty).unwrap().dice, 1.0);
        assert_eq!((dice(&empty, &square(3)).unwrap(), dice(&square(3), &square(5)).unwrap()), (0.0, 0.6));
        let other = Grid { shape: [1, 400, 1], ..square(3) };
        assert!(compare(&other, &square(3)).is_err());
    }
}
