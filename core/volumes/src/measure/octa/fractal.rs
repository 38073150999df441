//! Box-counting dimension: the slope of log N(ε) against log 1/ε for boxes of 1, 2, 4, ... pixels, up to a quarter of the shorter side.
//!
//! N is the least number of boxes over shifts of the grid (all up to 8 pixels, 64 beyond). Full boxes count; programs that leave
//! them out (a widespread Python gist does) give other numbers for masks, not for skeletons.

use crate::measure::Grid;
use crate::progress::checkpoint;

/// shifts along each axis, at most
const SHIFTS: usize = 8;

/// A fitted line.
#[derive(Debug, Clone, PartialEq)]
pub struct Fractal {
    /// its slope
    pub dimension: f64,
    /// how well it fits, 1 for points on a line
    pub r2: f64,
    /// size of the boxes in pixels, and how many of them are needed
    pub boxes: Vec<(usize, usize)>,
}

/// The dimension of what is inside; nothing where there is nothing, or where the slice is too small for three sizes of boxes (16 pixels).
pub fn fractal(slice: &Grid) -> Option<Fractal> {
    let [_, rows, columns] = slice.shape;
    let most = rows.min(columns) / 4;
    let places: Vec<[usize; 2]> =
        (0..rows * columns).filter(|&at| slice.inside[at]).map(|at| [at / columns, at % columns]).collect();
    let sizes: Vec<usize> = (0..usize::BITS).map(|power| 1usize << power).take_while(|&size| size <= most).collect();
    if places.is_empty() || sizes.len() < 3 {
        return None;
    }
    let boxes: Vec<(usize, usize)> = sizes.iter().map(|&size| (size, fewest(&places, size, [rows, columns]))).collect();
    let points: Vec<[f64; 2]> = boxes.iter().map(|&(size, count)| [-(size as f64).ln(), (count as f64).ln()]).collect();
    let mean = [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64);
    let sum = |a: usize, b: usize| points.iter().map(|point| (point[a] - mean[a]) * (point[b] - mean[b])).sum::<f64>();
    let dimension = sum(0, 1) / sum(0, 0);
    let r2 = if sum(1, 1) == 0.0 { 1.0 } else { sum(0, 1).powi(2) / (sum(0, 0) * sum(1, 1)) };
    Some(Fractal { dimension, r2, boxes })
}

/// Boxes needed with the best of the shifted grids.
fn fewest(places: &[[usize; 2]], size: usize, [rows, columns]: [usize; 2]) -> usize {
    let step = (size / SHIFTS).max(1);
    let across = columns / size + 2;
    let mut seen = vec![usize::MAX; (rows / size + 2) * across];
    let shifts = (0..size).step_by(step).flat_map(|y| (0..size).step_by(step).map(move |x| [y, x]));
    let count = |(round, [y, x]): (usize, [usize; 2])| {
        checkpoint();
        let mut count = 0;
        for [row, column] in places {
            let at = (row + y) / size * across + (column + x) / size;
            count += usize::from(std::mem::replace(&mut seen[at], round) != round);
        }
        count
    };
    shifts.enumerate().map(count).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimension(size: usize, inside: impl Fn(usize, usize) -> bool) -> f64 {
        let inside = (0..size * size).map(|at| inside(at / size, at % size)).collect();
        let reply = fractal(&Grid { shape: [1, size, size], spacing: [1.0; 3], inside }).unwrap();
        assert!(reply.r2 > 0.98, "{reply:?}");
        reply.dimension
    }

    #[test]
    fn known_dimensions() {
        assert!((dimension(256, |_, _| true) - 2.0).abs() < 1e-9);
        assert!((dimension(256, |row, _| row == 100) - 1.0).abs() < 1e-9);
        let sierpinski = dimension(512, |row, column| row & column == 0); // log 3 / log 2
        assert!((sierpinski - 3f64.ln() / 2f64.ln()).abs() < 0.03, "{sierpinski}");
        assert_eq!(fractal(&Grid { shape: [1, 64, 64], spacing: [1.0; 3], inside: vec![false; 4096] }), None);
        assert_eq!(fractal(&Grid { shape: [1, 15, 99], spacing: [1.0; 3], inside: vec![true; 15 * 99] }), None);
    }
}
