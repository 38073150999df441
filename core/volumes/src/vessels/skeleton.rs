//! Centre lines one pixel wide: the thinning of Zhang and Suen (A fast parallel algorithm for thinning digital patterns, Communications of the
//! ACM 27, 1984), with the 25 neighbourhoods in which scikit-image's `skeletonize` decides otherwise, so that lengths and branch points
//! can be compared with what is published from there.

use crate::measure::Grid;
use crate::progress::checkpoint;

/// Removed in the first of two passes, and in the second.
const PASSES: [u8; 2] = [1, 2];

/// Neighbours clockwise from above, as `[row, column]` steps and as the bits of a neighbourhood.
const AROUND: [([isize; 2], u8); 8] = [
    ([-1, 0], 1 << 1),
    ([-1, 1], 1 << 2),
    ([0, 1], 1 << 3),
    ([1, 1], 1 << 4),
    ([1, 0], 1 << 5),
    ([1, -1], 1 << 6),
    ([0, -1], 1 << 7),
    ([-1, -1], 1 << 0),
];

/// Neighbourhoods and passes in which scikit-image 0.25 differs from the paper (compared case by case): bare corners go in either pass, pairs at the end of a line
/// and thick corners in only one.
const OTHERWISE: [(u8, u8); 25] = [
    (3, 1),
    (6, 1),
    (10, 3),
    (11, 1),
    (12, 1),
    (14, 1),
    (24, 2),
    (26, 2),
    (40, 3),
    (48, 0),
    (56, 2),
    (96, 2),
    (104, 2),
    (108, 2),
    (129, 0),
    (130, 3),
    (131, 1),
    (134, 1),
    (160, 3),
    (161, 1),
    (176, 2),
    (192, 2),
    (194, 1),
    (198, 1),
    (224, 2),
];

/// The centre lines of each slice.
pub fn skeleton(grid: &Grid) -> Grid {
    let [frames, rows, columns] = grid.shape;
    let table = table();
    let mut thin = grid.clone();
    for plane in thin.inside.chunks_exact_mut((rows * columns).max(1)).take(frames) {
        thin_slice(plane, [rows, columns], &table);
    }
    thin
}

/// Takes pixels off, all of a pass at once, until a round changes nothing.
fn thin_slice(plane: &mut [bool], [rows, columns]: [usize; 2], table: &[u8; 256]) {
    let wide = columns + 2; // a border outside saves asking where the slice ends
    let mut inside = vec![false; (rows + 2) * wide];
    for row in 0..rows {
        let from = (row + 1) * wide + 1;
        inside[from..from + columns].copy_from_slice(&plane[row * columns..(row + 1) * columns]);
    }
    let mut left: Vec<usize> = (0..inside.len()).filter(|&at| inside[at]).collect();
    loop {
        checkpoint();
        let before = left.len();
        for pass in PASSES {
            let gone = |at: usize| table[usize::from(neighbourhood(&inside, at, wide))] & pass != 0;
            let (removed, kept): (Vec<usize>, Vec<usize>) = left.iter().partition(|&&at| gone(at));
            removed.iter().for_each(|&at| inside[at] = false);
            left = kept;
        }
        if left.len() == before {
            break;
        }
    }
    plane.fill(false);
    left.iter().for_each(|&at| plane[(at / wide - 1) * columns + at % wide - 1] = true);
}

fn neighbourhood(inside: &[bool], at: usize, wide: usize) -> u8 {
    let bit = |(step, bit): &([isize; 2], u8)| {
        let beside = at.wrapping_add_signed(step[0] * wide as isize + step[1]);
        if inside[beside] { *bit } else { 0 }
    };
    AROUND.iter().map(bit).sum()
}

/// In which passes a pixel with these neighbours goes.
fn table() -> [u8; 256] {
    let mut table = [0; 256];
    for (at, passes) in table.iter_mut().enumerate() {
        *passes = as_published(at as u8);
    }
    OTHERWISE.iter().for_each(|&(at, passes)| table[usize::from(at)] = passes);
    table
}

/// The rule of the paper: 2 to 6 neighbours in one run, and not the middle of a line.
fn as_published(neighbours: u8) -> u8 {
    let there = |at: usize| neighbours & AROUND[at % 8].1 != 0;
    let runs = (0..8).filter(|&at| !there(at) && there(at + 1)).count();
    if !(2..=6).contains(&neighbours.count_ones()) || runs != 1 {
        return 0;
    }
    let [up, right, down, left] = [0, 2, 4, 6].map(there);
    let first = !(right && down && (up || left));
    let second = !(up && left && (right || down));
    u8::from(first) * PASSES[0] + u8::from(second) * PASSES[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Connectivity, components};

    #[test]
    fn a_bar_becomes_a_line() {
        let thin = skeleton(&Grid::drawn(&["#########", "#########", "#########"]));
        assert_eq!(thin, Grid::drawn(&[".......#.", "#######..", "........."])); // what scikit-image makes of it
    }

    #[test]
    fn slices_do_not_touch_and_parts_stay_whole() {
        let mut inside = vec![false; 2 * 30 * 30];
        let ring =
            |row: usize, column: usize| (50..200).contains(&(row.abs_diff(15).pow(2) + column.abs_diff(15).pow(2)));
        (0..900).filter(|at| ring(at / 30, at % 30)).for_each(|at| (inside[at], inside[900 + at]) = (true, true));
        let thick = Grid { shape: [2, 30, 30], spacing: [1.0; 3], inside };
        let thin = skeleton(&thick);
        for frame in 0..2 {
            let slice = thin.slice(frame);
            assert_eq!(components(&slice, Connectivity::Corners).1.len(), 1);
            assert!((25..70).contains(&slice.count()), "{}", slice.count());
        }
        assert_eq!(skeleton(&thin), thin);
    }
}
