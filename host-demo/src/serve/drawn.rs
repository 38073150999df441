//! What was drawn in a viewer: a mask of the whole volume, or of a box in it.

use super::array::Array;
use super::masks::Bounds;
use super::refusal::{Answer, Refusal};

/// Drawn voxels.
pub struct Drawn {
    bounds: Bounds,
    inside: Vec<bool>,
    frames: Vec<usize>,
}

impl Drawn {
    /// The array covers these bounds of a volume of this shape.
    pub fn new(array: Array, bounds: Bounds, volume: [usize; 3]) -> Answer<Self> {
        let fits = (0..3).all(|i| bounds[i][0] < bounds[i][1] && bounds[i][1] <= volume[i]);
        let size: Vec<usize> = bounds.iter().map(|[from, to]| to.saturating_sub(*from)).collect();
        let shape: Vec<usize> = array.shape.clone();
        let shape = if shape.len() == 4 && shape[0] == 1 { &shape[1..] } else { &shape[..] };
        if !fits || shape != size {
            return Err(Refusal::bad(format!(
                "the mask is {shape:?} voxels, but {size:?} belong to its place in the volume of {volume:?}"
            )));
        }
        let plane = size[1] * size[2];
        let inside = array.into_drawn();
        let frames = inside.chunks_exact(plane).enumerate().filter(|(_, slice)| slice.contains(&true));
        let frames = frames.map(|(at, _)| bounds[0][0] + at).collect();
        Ok(Self { bounds, inside, frames })
    }

    /// The slices on which something is drawn.
    pub fn frames(&self) -> Vec<usize> {
        self.frames.clone()
    }

    fn slice(&self, frame: usize) -> &[bool] {
        let [frames, rows, columns] = self.bounds;
        let plane = (rows[1] - rows[0]) * (columns[1] - columns[0]);
        match (frames[0]..frames[1]).contains(&frame) {
            true => &self.inside[(frame - frames[0]) * plane..][..plane],
            false => &[],
        }
    }

    /// Is this voxel drawn?
    pub fn holds(&self, frame: usize, row: usize, column: usize) -> bool {
        let [_, rows, columns] = self.bounds;
        if !(rows[0]..rows[1]).contains(&row) || !(columns[0]..columns[1]).contains(&column) {
            return false;
        }
        let at = (row - rows[0]) * (columns[1] - columns[0]) + column - columns[0];
        self.slice(frame).get(at).copied().unwrap_or(false)
    }

    /// Calls `with` for each drawn pixel of a slice: row, column.
    pub fn each(&self, frame: usize, mut with: impl FnMut(usize, usize)) {
        let [_, rows, columns] = self.bounds;
        for (row, line) in self.slice(frame).chunks_exact(columns[1] - columns[0]).enumerate() {
            for (column, _) in line.iter().enumerate().filter(|&(_, &inside)| inside) {
                with(rows[0] + row, columns[0] + column);
            }
        }
    }

    /// At most `most` pixels of a slice, far from each other: the one nearest to the middle, then the farthest from those chosen.
    pub fn along(&self, frame: usize, most: usize) -> Vec<[usize; 2]> {
        let mut all = Vec::new();
        self.each(frame, |row, column| all.push([column, row]));
        let step = all.len().div_ceil(4096).max(1);
        let all: Vec<[usize; 2]> = all.into_iter().step_by(step).collect();
        let middle = |i: usize| all.iter().map(|at| at[i]).sum::<usize>() / all.len().max(1);
        let middle = [middle(0), middle(1)];
        let distance = |a: [usize; 2], b: [usize; 2]| (0..2).map(|i| a[i].abs_diff(b[i]).pow(2)).sum::<usize>();
        let mut chosen: Vec<[usize; 2]> =
            all.iter().copied().min_by_key(|&at| distance(at, middle)).into_iter().collect();
        let mut nearest: Vec<usize> =
            chosen.iter().flat_map(|&first| all.iter().map(move |&at| distance(at, first))).collect();
        while chosen.len() < most {
            let Some((at, &far)) = nearest.iter().enumerate().max_by_key(|&(_, &far)| far) else { break };
            if far < 9 {
                break; // the rest lies within three pixels
            }
            chosen.push(all[at]);
            for (near, &other) in nearest.iter_mut().zip(&all) {
                *near = (*near).min(distance(other, all[at]));
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::array::Kind;
    use super::*;

    fn drawn() -> Drawn {
        let mut bytes = vec![0; 2 * 20 * 30];
        bytes[20 * 30 + 5 * 30..20 * 30 + 6 * 30].fill(1); // the sixth row of the second slice
        let array = Array::new(Kind::U8, vec![2, 20, 30], bytes).unwrap();
        Drawn::new(array, [[3, 5], [10, 30], [0, 30]], [9, 40, 50]).unwrap()
    }

    #[test]
    fn a_stroke_becomes_points_along_it() {
        let drawn = drawn();
        assert_eq!(drawn.frames(), [4]);
        assert!(drawn.holds(4, 15, 29) && !drawn.holds(4, 16, 29) && !drawn.holds(3, 15, 29) && !drawn.holds(8, 15, 2));
        let points = drawn.along(4, 4);
        assert_eq!(points, [[14, 15], [29, 15], [0, 15], [22, 15]]);
        assert!(drawn.along(3, 4).is_empty());
    }

    #[test]
    fn a_mask_of_another_size_is_refused() {
        let array = |shape: Vec<usize>| Array::new(Kind::U8, shape.clone(), vec![0; shape.iter().product()]).unwrap();
        assert!(Drawn::new(array(vec![2, 20, 30]), [[0, 2], [0, 20], [0, 29]], [9, 40, 50]).is_err());
        assert!(Drawn::new(array(vec![2, 20, 30]), [[8, 10], [0, 20], [0, 30]], [9, 40, 50]).is_err(), "outside");
        assert!(Drawn::new(array(vec![1, 2, 20, 30]), [[0, 2], [0, 20], [0, 30]], [9, 40, 50]).is_ok());
    }
}
