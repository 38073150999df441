//! Tidying a slice: small islands away, holes filled, edges smoothed. As scikit-image and scipy do it in SAM-OCTA2's clean-up
//! (`sparese_annotation_rv_predicton.py`): components of 8 neighbours, holes of 4, Gaussian with reflected border, Otsu's threshold.

use super::filters::{gaussian, otsu};
use super::{Connectivity, Grid, components};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn islands_of_exactly_the_least_size_stay() {
        let before = Grid::drawn(&["##..", "....", "#..#", "...#"]);
        assert_eq!(remove_small(&before, 2, Connectivity::Corners), Grid::drawn(&["##..", "....", "...#", "...#"]));
        assert_eq!(remove_small(&before, 3, Connectivity::Corners).count(), 0);
    }

    #[test]
    fn holes_are_closed_by_faces() {
        let before = Grid::drawn(&["####.", "#..##", "#.#.#", "#####"]);
        assert_eq!(fill_holes(&before), Grid::drawn(&["####.", "#####", "#####", "#####"]));
        let open = Grid::drawn(&["##", "#."]);
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
