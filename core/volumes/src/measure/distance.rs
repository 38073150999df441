//! Exact Euclidean distances in millimetres on a grid with unequal spacing. Source: Felzenszwalb and Huttenlocher, Distance Transforms of
//! Sampled Functions, Theory of Computing 8 (2012): the lower envelope of parabolas, one axis after the other.

use super::Grid;
use crate::progress::checkpoint;

/// The square of the distance from each voxel to the nearest one that is inside, in square millimetres; infinite where nothing is inside.
pub fn squared_distances(grid: &Grid) -> Vec<f64> {
    let mut squares: Vec<f64> = grid.inside.iter().map(|&inside| if inside { 0.0 } else { f64::INFINITY }).collect();
    let [frames, rows, columns] = grid.shape;
    let steps = [rows * columns, columns, 1];
    for (axis, step) in steps.into_iter().enumerate() {
        let length = grid.shape[axis];
        if length == 1 {
            continue;
        }
        let starts = (0..frames * rows * columns).filter(|at| at / step % length == 0);
        let mut line = vec![0.0; length];
        let mut envelope = Envelope::new(length);
        for start in starts {
            checkpoint();
            (0..length).for_each(|i| line[i] = squares[start + i * step]);
            envelope.transform(&mut line, grid.spacing[axis]);
            (0..length).for_each(|i| squares[start + i * step] = line[i]);
        }
    }
    squares
}

/// The voxels that are inside and touch the outside by a face; the border of the grid counts as outside.
pub fn boundary(grid: &Grid) -> Grid {
    let [frames, rows, columns] = grid.shape;
    let inside = |frame: isize, row: isize, column: isize| {
        let within = |at: isize, n: usize| (0..n as isize).contains(&at);
        within(frame, frames)
            && within(row, rows)
            && within(column, columns)
            && grid.inside[(frame as usize * rows + row as usize) * columns + column as usize]
    };
    let flat = frames == 1; // a slice has no neighbours above and below
    let surrounded = |frame: isize, row: isize, column: isize| {
        inside(frame, row - 1, column)
            && inside(frame, row + 1, column)
            && inside(frame, row, column - 1)
            && inside(frame, row, column + 1)
            && (flat || (inside(frame - 1, row, column) && inside(frame + 1, row, column)))
    };
    let place = |at: usize| ((at / (rows * columns)) as isize, (at / columns % rows) as isize, (at % columns) as isize);
    let border = grid.inside.iter().enumerate().map(|(at, &is)| {
        let (frame, row, column) = place(at);
        if row == 0 && column == 0 {
            checkpoint();
        }
        is && !surrounded(frame, row, column)
    });
    Grid { inside: border.collect(), ..grid.clone() }
}

/// Room for one line.
struct Envelope {
    /// where the parabolas of the envelope stand
    feet: Vec<usize>,
    /// from where on each is the lowest
    from: Vec<f64>,
    out: Vec<f64>,
}

impl Envelope {
    fn new(length: usize) -> Self {
        Self { feet: vec![0; length], from: vec![0.0; length + 1], out: vec![0.0; length] }
    }

    /// `line[i]` becomes the smallest `line[j] + (spacing * (i - j))²`.
    fn transform(&mut self, line: &mut [f64], spacing: f64) {
        let square = spacing * spacing;
        let height = |line: &[f64], at: usize| line[at] + square * (at * at) as f64;
        let mut last: Option<usize> = None;
        for foot in (0..line.len()).filter(|&at| line[at].is_finite()) {
            let mut place = f64::NEG_INFINITY;
            while let Some(top) = last {
                let other = self.feet[top];
                place = (height(line, foot) - height(line, other)) / (2.0 * square * (foot - other) as f64);
                if place > self.from[top] {
                    break;
                }
                last = top.checked_sub(1);
                place = f64::NEG_INFINITY;
            }
            let top = last.map_or(0, |top| top + 1);
            (self.feet[top], self.from[top]) = (foot, place);
            last = Some(top);
        }
        let Some(top) = last else { return };
        let mut parabola = 0;
        for at in 0..line.len() {
            while parabola < top && self.from[parabola + 1] < at as f64 {
                parabola += 1;
            }
            let foot = self.feet[parabola];
            let apart = at.abs_diff(foot) as f64;
            self.out[at] = line[foot] + square * apart * apart;
        }
        line.copy_from_slice(&self.out[..line.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every voxel against every other one.
    fn slowly(grid: &Grid) -> Vec<f64> {
        let [_, rows, columns] = grid.shape;
        let place = |at: usize| [at / (rows * columns), at / columns % rows, at % columns];
        let square = |a: usize, b: usize| -> f64 {
            (0..3).map(|i| (place(a)[i] as f64 - place(b)[i] as f64) * grid.spacing[i]).map(|d| d * d).sum()
        };
        let there: Vec<usize> = (0..grid.inside.len()).filter(|&at| grid.inside[at]).collect();
        let nearest = |at| there.iter().map(|&other| square(at, other)).fold(f64::INFINITY, f64::min);
        (0..grid.inside.len()).map(nearest).collect()
    }

    #[test]
    fn equal_to_the_slow_way_with_unequal_spacing() {
        let mut seed = 12345u64;
        for (density, shape) in [(40, [4, 7, 9]), (3, [3, 8, 5]), (300, [6, 5, 4]), (10, [1, 12, 13])] {
            let mut dice = || {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (seed >> 33).is_multiple_of(density)
            };
            let inside = (0..shape.iter().product()).map(|_| dice()).collect();
            let grid = Grid { shape, spacing: [0.7, 0.3, 1.9], inside };
            let (fast, slow) = (squared_distances(&grid), slowly(&grid));
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9 || a == b;
            assert!(fast.iter().zip(&slow).all(close), "{shape:?}");
        }
    }
}
