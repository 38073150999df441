//! Connected components by union-find (two passes; Rosenfeld and Pfaltz 1966), in a slice or through the stack.

use super::Grid;
use crate::progress::checkpoint;

/// Which voxels touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Connectivity {
    /// those that share a face: 4 in a slice, 6 in a stack
    Faces,
    /// those that share a corner, too: 8 in a slice, 26 in a stack (scikit-image's default)
    #[default]
    Corners,
}

impl Connectivity {
    /// The neighbours that come earlier in the order of the voxels: frames, rows, columns.
    fn earlier(self) -> Vec<[isize; 3]> {
        let mut steps = Vec::new();
        for frame in -1..=0 {
            for row in -1..=1 {
                for column in -1..=1 {
                    let step = [frame, row, column];
                    let moves = step.iter().filter(|&&n| n != 0).count();
                    let allowed = moves > 0 && (self == Self::Corners || moves == 1);
                    if allowed && step < [0, 0, 0] {
                        steps.push(step);
                    }
                }
            }
        }
        steps
    }
}

/// The component of each voxel, from 1 in the order in which they are met, 0 outside; and how many voxels each has (at index - 1).
pub fn components(grid: &Grid, connectivity: Connectivity) -> (Vec<u32>, Vec<usize>) {
    let [frames, rows, columns] = grid.shape;
    let steps = connectivity.earlier();
    let mut labels = vec![0u32; grid.inside.len()];
    let mut parents = vec![0u32]; // of the provisional labels
    let mut at = 0;
    for frame in 0..frames {
        for row in 0..rows {
            checkpoint();
            for column in 0..columns {
                if grid.inside[at] {
                    let place = [frame, row, column];
                    labels[at] = join(grid, &labels, &mut parents, place, &steps);
                }
                at += 1;
            }
        }
    }
    let mut numbers = vec![0u32; parents.len()];
    let mut sizes = Vec::new();
    for label in labels.iter_mut().filter(|label| **label != 0) {
        let root = find(&mut parents, *label) as usize;
        if numbers[root] == 0 {
            sizes.push(0);
            numbers[root] = sizes.len() as u32;
        }
        *label = numbers[root];
        sizes[*label as usize - 1] += 1;
    }
    (labels, sizes)
}

/// The label of a voxel after a look at its earlier neighbours, which become one.
fn join(grid: &Grid, labels: &[u32], parents: &mut Vec<u32>, place: [usize; 3], steps: &[[isize; 3]]) -> u32 {
    let mut label = 0;
    for step in steps {
        let Some(other) = neighbour(grid.shape, place, *step).map(|at| labels[at]).filter(|&other| other != 0) else {
            continue;
        };
        if label == 0 {
            label = other;
        } else {
            unite(parents, label, other);
        }
    }
    if label == 0 {
        label = parents.len() as u32;
        parents.push(label);
    }
    label
}

/// The index of a neighbour, if it lies in the grid.
fn neighbour(shape: [usize; 3], place: [usize; 3], step: [isize; 3]) -> Option<usize> {
    let mut index = 0;
    for axis in 0..3 {
        let at = place[axis].checked_add_signed(step[axis]).filter(|&at| at < shape[axis])?;
        index = index * shape[axis] + at;
    }
    Some(index)
}

/// Joins the trees of two labels under the smaller root; were they apart?
pub(crate) fn unite(parents: &mut [u32], a: u32, b: u32) -> bool {
    let (a, b) = (find(parents, a), find(parents, b));
    parents[a.max(b) as usize] = a.min(b);
    a != b
}

/// The root of a label in a forest of parents (0 is nobody's).
pub(crate) fn find(parents: &mut [u32], mut label: u32) -> u32 {
    while parents[label as usize] != label {
        parents[label as usize] = parents[parents[label as usize] as usize];
        label = parents[label as usize];
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_join_what_faces_do_not() {
        let grid = Grid::drawn(&["##..#", "..#.#", "#...#", "#.###"]);
        assert_eq!(components(&grid, Connectivity::Faces).1, [2, 6, 1, 2]);
        assert_eq!(components(&grid, Connectivity::Corners).1, [3, 6, 2]);
        let (labels, _) = components(&grid, Connectivity::Faces);
        assert_eq!(&labels[..5], [1, 1, 0, 0, 2]);
    }

    #[test]
    fn components_go_through_the_stack() {
        let mut inside = vec![false; 2 * 3 * 3];
        (inside[0], inside[9 + 4]) = (true, true); // a corner apart, one frame further
        let grid = Grid { shape: [2, 3, 3], spacing: [1.0; 3], inside };
        assert_eq!(components(&grid, Connectivity::Corners).1, [2]);
        assert_eq!(components(&grid, Connectivity::Faces).1, [1, 1]);
    }

    #[test]
    fn a_spiral_is_one() {
        let grid = Grid::drawn(&["#####", "....#", "###.#", "#...#", "#####"]);
        assert_eq!(components(&grid, Connectivity::Faces).1, [17]);
    }
}
