//! Lengths of boundaries. Estimates differ by several percent (Grieshop et al., TVST 12(6):26, 2023), so each goes by its name.

use crate::measure::Grid;
use std::f64::consts::PI;

/// A slice with outside all around it.
struct Padded<'a>(&'a Grid);

impl Padded<'_> {
    fn inside(&self, row: isize, column: isize) -> bool {
        let [_, rows, columns] = self.0.shape;
        let (Ok(row), Ok(column)) = (usize::try_from(row), usize::try_from(column)) else { return false };
        row < rows && column < columns && self.0.inside[row * columns + column]
    }

    /// Squares of four pixels: top left, top right, bottom left, bottom right; every pixel is in four of them.
    fn squares(&self) -> impl Iterator<Item = [bool; 4]> + '_ {
        let [rows, columns] = [self.0.shape[1] as isize, self.0.shape[2] as isize];
        let square = |row, column| [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(y, x)| self.inside(row + y, column + x));
        (-1..rows).flat_map(move |row| (-1..columns).map(move |column| square(row, column)))
    }
}

/// Crofton's formula with lines in four directions, millimetres: how often they cross the boundary. Equal to scikit-image's
/// `perimeter_crofton(directions=4)` on square pixels; on others the directions count by the angles they stand for.
pub fn crofton(slice: &Grid) -> f64 {
    let [_, dy, dx] = slice.spacing;
    let mut crossings = [0usize; 3]; // along rows, along columns, along both diagonals
    for [a, b, c, d] in Padded(slice).squares() {
        crossings[0] += usize::from(a != b);
        crossings[1] += usize::from(a != c);
        crossings[2] += usize::from(a != d) + usize::from(b != c);
    }
    let diagonal = dy.atan2(dx); // its angle to the rows
    // half of the gaps to the directions beside it belongs to each: a row lies between two diagonals, a diagonal between row and column
    let angles = [diagonal, PI / 2.0 - diagonal, PI / 4.0];
    let apart = [dy, dx, dx * dy / dx.hypot(dy)];
    (0..3).map(|way| angles[way] * apart[way] * crossings[way] as f64).sum::<f64>() / 2.0
}

/// The polygon between pixel centres at half height (marching squares), millimetres. Equal to the length of scikit-image's
/// `find_contours(0.5)`; holes count.
pub fn polygon(slice: &Grid) -> f64 {
    let [_, dy, dx] = slice.spacing;
    let corner = (dy / 2.0).hypot(dx / 2.0);
    let length = |[a, b, c, d]: [bool; 4]| match usize::from(a) + usize::from(b) + usize::from(c) + usize::from(d) {
        1 | 3 => corner,
        2 if a == b => dx,
        2 if a == c => dy,
        2 => 2.0 * corner,
        _ => 0.0,
    };
    Padded(slice).squares().map(length).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disc of radius 1 mm.
    fn disc(dy: f64, dx: f64) -> Grid {
        let (rows, columns) = ((2.4 / dy) as usize, (2.4 / dx) as usize);
        let far = |at: usize| {
            let (y, x) = (((at / columns) as f64 + 0.5) * dy - 1.2, ((at % columns) as f64 + 0.5) * dx - 1.2);
            y.hypot(x)
        };
        let inside = (0..rows * columns).map(|at| far(at) < 1.0).collect();
        Grid { shape: [1, rows, columns], spacing: [1.0, dy, dx], inside }
    }

    #[test]
    fn a_disc_measures_its_circumference() {
        for (dy, dx) in [(0.01, 0.01), (0.01, 0.015), (0.012, 0.008)] {
            let (true_length, crofton, polygon) = (2.0 * PI, crofton(&disc(dy, dx)), polygon(&disc(dy, dx)));
            assert!((crofton / true_length - 1.0).abs() < 0.02, "{dy} {dx}: {crofton}");
            assert!((polygon / true_length - 1.0).abs() < 0.08, "{dy} {dx}: {polygon}");
        }
    }
}
