//! How well every pixel is connected to some seeds: over the best way, the weakest pixel on it (the minimax path; morphological
//! reconstruction by dilation, Vincent 1993, 8-connected).
//!
//! A click on a vessel reaches the whole vessel wherever the map of vessels is strong, and nothing behind a gap.

use std::collections::BinaryHeap;

/// A pixel with how well it is connected; the best connected one leaves the heap first.
#[derive(PartialEq)]
struct Reached {
    strength: f32,
    at: usize,
}

impl Eq for Reached {}

impl PartialOrd for Reached {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Reached {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.strength.total_cmp(&other.strength).then(other.at.cmp(&self.at))
    }
}

/// `strength` (0 to 1) and `seeds`, row by row, `columns` wide -> 0 to `strength` for every pixel; 0 everywhere without seeds.
pub fn connect(strength: &[f32], seeds: &[bool], columns: usize) -> Vec<f32> {
    let mut connected = vec![0.0; strength.len()];
    let mut heap = BinaryHeap::new();
    for (at, _) in seeds.iter().enumerate().filter(|(_, seed)| **seed) {
        connected[at] = strength[at];
        heap.push(Reached { strength: strength[at], at });
    }
    let rows = strength.len() / columns.max(1);
    while let Some(Reached { strength: here, at }) = heap.pop() {
        if here < connected[at] {
            continue;
        }
        let (row, column) = (at / columns, at % columns);
        for next_row in row.saturating_sub(1)..(row + 2).min(rows) {
            for next_column in column.saturating_sub(1)..(column + 2).min(columns) {
                let next = next_row * columns + next_column;
                let reached = here.min(strength[next]);
                if reached > connected[next] {
                    connected[next] = reached;
                    heap.push(Reached { strength: reached, at: next });
                }
            }
        }
    }
    connected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_pixel_of_the_best_way_counts() {
        let strength = [
            0.9, 0.2, 0.8, 0.8, //
            0.7, 0.1, 0.1, 0.6, //
            0.6, 0.5, 0.1, 0.9,
        ];
        let mut seeds = [false; 12];
        seeds[0] = true;
        let connected = connect(&strength, &seeds, 4);
        let expected = [0.9, 0.2, 0.2, 0.2, 0.7, 0.1, 0.1, 0.2, 0.6, 0.5, 0.1, 0.2];
        assert_eq!(connected, expected);
    }

    #[test]
    fn nothing_is_connected_to_no_seed() {
        assert_eq!(connect(&[0.5; 6], &[false; 6], 3), [0.0; 6]);
    }
}
