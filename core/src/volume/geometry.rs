//! Where voxels lie.

use serde::Serialize;

/// Where voxels lie in the patient, and how large they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Geometry {
    /// millimetres between neighbouring voxels along x (columns), y (rows) and z (frames)
    pub spacing: [f64; 3],
    /// voxel index `(x, y, z, 1)` to millimetres, RAS+ as in NIfTI (x to the right, y to the front, z upwards); row-major
    pub affine: [[f64; 4]; 4],
    /// does the source say so, or are these the defaults (1 mm, axes along the grid)?
    pub known: bool,
}

impl Geometry {
    /// What a stack of pictures has: unit voxels, unknown place.
    pub fn unknown() -> Self {
        Self::from_spacing([1.0; 3], false)
    }

    /// Axes along the grid, the first voxel at the origin.
    pub fn from_spacing(spacing: [f64; 3], known: bool) -> Self {
        let [x, y, z] = spacing;
        Self { spacing, affine: [[x, 0., 0., 0.], [0., y, 0., 0.], [0., 0., z, 0.], [0., 0., 0., 1.]], known }
    }

    /// What an affine says; the spacing is the length of its columns.
    pub fn from_affine(affine: [[f64; 4]; 4]) -> Self {
        let length = |column: usize| (0..3).map(|row| affine[row][column].powi(2)).sum::<f64>().sqrt();
        Self { spacing: [length(0), length(1), length(2)], affine, known: true }
    }

    /// The same place after `x` columns and `y` rows were cut off in front.
    pub fn shifted(&self, x: usize, y: usize) -> Self {
        let mut shifted = self.clone();
        for row in &mut shifted.affine[..3] {
            row[3] += row[0] * x as f64 + row[1] * y as f64;
        }
        shifted
    }
}
