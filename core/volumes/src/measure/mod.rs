//! What labels say in numbers, how two of them differ, and how they are tidied up: `Labels -> numbers, Labels`.
//!
//! Everything works on a [`Grid`]: voxels in or out, with the millimetres between them. A slice is a grid of one frame.

mod clean;
mod compare;
mod components;
mod distance;
pub(crate) mod filters;
pub mod octa;
mod quality;

pub use clean::{fill_holes, remove_small, smooth};
pub use compare::{Comparison, compare, compare_labels, dice, dice_labels};
pub use components::{Connectivity, components};
pub(crate) use components::{find, unite};
pub use distance::{boundary, squared_distances};
pub use quality::{Quality, quality};

use crate::volume::Labels;

/// Voxels that belong to something, or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// `[frames, rows, columns]`
    pub shape: [usize; 3],
    /// millimetres between frames, rows, columns
    pub spacing: [f64; 3],
    /// in or out, `[frames, rows, columns]`
    pub inside: Vec<bool>,
}

impl Grid {
    /// One object of labels.
    pub fn of(labels: &Labels, object: u16) -> Self {
        Self::where_(labels, |label| label == object)
    }

    /// The voxels of labels for which something holds.
    pub fn where_(labels: &Labels, holds: impl Fn(u16) -> bool) -> Self {
        let [x, y, z] = labels.geometry.spacing;
        Self {
            shape: [labels.frames, labels.rows, labels.columns],
            spacing: [z, y, x],
            inside: labels.data.iter().map(|&label| holds(label)).collect(),
        }
    }

    /// One slice as a grid of its own.
    pub fn slice(&self, frame: usize) -> Self {
        let plane = self.shape[1] * self.shape[2];
        Self {
            shape: [1, self.shape[1], self.shape[2]],
            spacing: self.spacing,
            inside: self.inside[frame * plane..(frame + 1) * plane].to_vec(),
        }
    }

    /// A slice as a test draws it: `#` is inside.
    #[cfg(test)]
    pub(crate) fn drawn(rows: &[&str]) -> Self {
        let inside = rows.iter().flat_map(|row| row.chars().map(|c| c == '#')).collect();
        Self { shape: [1, rows.len(), rows[0].len()], spacing: [1.0; 3], inside }
    }

    /// How many voxels are inside.
    pub fn count(&self) -> usize {
        self.inside.iter().filter(|&&inside| inside).count()
    }

    /// Square millimetres of one pixel of a slice.
    pub fn pixel_mm2(&self) -> f64 {
        self.spacing[1] * self.spacing[2]
    }

    /// Cubic millimetres of one voxel.
    pub fn voxel_mm3(&self) -> f64 {
        self.spacing.iter().product()
    }
}
