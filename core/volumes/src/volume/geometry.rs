//! Where voxels lie.

use crate::{Error, Result};
use serde::Serialize;

/// How flat the axes of a grid may be: the volume that their directions (of length 1) span, at least.
const FLAT: f64 = 1e-9;

/// Where voxels lie in the patient, and how large they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Geometry {
    /// millimetres between neighbouring voxels along x (columns), y (rows) and z (frames)
    pub spacing: [f64; 3],
    /// voxel index `(x, y, z, 1)` to millimetres, RAS+ as in NIfTI (x to the right, y to the front, z upwards); row-major
    pub affine: [[f64; 4]; 4],
    /// does the source say so, or are these the defaults (1 mm, axes along the grid)?
    pub known: bool,
    /// does the source also say where the voxels lie? _A TIFF with a size along all axes does not, nor does a spacing that somebody gives._
    #[serde(skip)]
    pub placed: bool,
}

impl Geometry {
    /// Are the size of the voxels and their place known?
    pub fn is_complete(&self) -> bool {
        self.known && self.placed
    }

    /// What a stack of pictures has: unit voxels, unknown place.
    pub fn unknown() -> Self {
        Self::from_spacing([1.0; 3], false)
    }

    /// Axes along the grid, the first voxel at the origin.
    pub fn from_spacing(spacing: [f64; 3], known: bool) -> Self {
        let [x, y, z] = spacing;
        Self {
            spacing,
            affine: [[x, 0., 0., 0.], [0., y, 0., 0.], [0., 0., z, 0.], [0., 0., 0., 1.]],
            known,
            placed: false,
        }
    }

    /// Does the source say how large the pixels of a slice are, perhaps without where they lie? _DICOM pictures without a position,
    /// NIfTI with spacing alone._
    pub fn has_size(&self) -> bool {
        self.known || self.spacing[..2] != [1.0; 2]
    }

    /// The same directions and the same first voxel with voxels of another size.
    pub fn with_spacing(&self, spacing: [f64; 3]) -> Self {
        let mut sized = Self { spacing, known: true, ..self.clone() };
        for row in &mut sized.affine[..3] {
            for axis in 0..3 {
                row[axis] *= spacing[axis] / self.spacing[axis];
            }
        }
        sized
    }

    /// What an affine says; the spacing is the length of its columns. See [`Geometry::checked`] for an affine from outside.
    pub fn from_affine(affine: [[f64; 4]; 4]) -> Self {
        let length = |column: usize| (0..3).map(|row| affine[row][column].powi(2)).sum::<f64>().sqrt();
        Self { spacing: [length(0), length(1), length(2)], affine, known: true, placed: true }
    }

    /// What an affine says that somebody gives.
    /// Errors: a number that is not finite, a last row other than 0 0 0 1, axes that are zero or lie in one plane.
    pub fn checked(affine: [[f64; 4]; 4]) -> Result<Self> {
        if let Some(value) = affine.iter().flatten().find(|value| !value.is_finite()) {
            return Err(Error::invalid(format!("the affine holds {value}; every number must be finite")));
        }
        if affine[3] != [0.0, 0.0, 0.0, 1.0] {
            return Err(Error::invalid(format!("the last row of the affine is {:?} and not 0 0 0 1", affine[3])));
        }
        let geometry = Self::from_affine(affine);
        geometry.inverse_directions()?;
        Ok(geometry)
    }

    /// A voxel index `(x, y, z)`, which may lie between voxels, to millimetres (RAS+).
    pub fn to_mm(&self, index: [f64; 3]) -> [f64; 3] {
        let [x, y, z] = index;
        [0, 1, 2].map(|row| {
            let [a, b, c, origin] = self.affine[row];
            a * x + b * y + c * z + origin
        })
    }

    /// Millimetres (RAS+) to the voxel index `(x, y, z)` there; fractions lie between voxels, and the place may lie outside of the volume.
    /// Errors: an affine that cannot be inverted, a place that is not finite.
    pub fn to_index(&self, mm: [f64; 3]) -> Result<[f64; 3]> {
        let (inverse, lengths) = self.inverse_directions()?;
        let from_origin = [0, 1, 2].map(|row| mm[row] - self.affine[row][3]);
        let along = |axis: usize| (0..3).map(|row| inverse[axis][row] * from_origin[row]).sum::<f64>() / lengths[axis];
        let index = [0, 1, 2].map(along);
        if index.iter().all(|value| value.is_finite()) {
            return Ok(index);
        }
        Err(Error::invalid(format!("{mm:?} mm is no place: every number must be finite")))
    }

    /// The same place after `x` columns and `y` rows were cut off in front.
    pub fn shifted(&self, x: usize, y: usize) -> Self {
        let mut shifted = self.clone();
        for row in &mut shifted.affine[..3] {
            row[3] += row[0] * x as f64 + row[1] * y as f64;
        }
        shifted
    }

    /// The directions of the grid's axes, inverted, and the length of a step along each. With directions of length 1 it does not matter
    /// whether voxels are micrometres or metres apart.
    fn inverse_directions(&self) -> Result<([[f64; 3]; 3], [f64; 3])> {
        let lengths = Self::from_affine(self.affine).spacing;
        let [a, b, c] = [0, 1, 2].map(|row| [0, 1, 2].map(|axis| self.affine[row][axis] / lengths[axis]));
        let cross = |u: [f64; 3], v: [f64; 3]| {
            [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
        };
        // the columns of the inverse are the cross products of the rows
        let columns = [cross(b, c), cross(c, a), cross(a, b)];
        let determinant: f64 = (0..3).map(|i| a[i] * columns[0][i]).sum();
        let step = |length: &f64| length.is_finite() && *length > 0.0;
        if !lengths.iter().all(step) || !determinant.is_finite() || determinant.abs() < FLAT {
            let what = "cannot be inverted: its axes are zero, not finite, or lie in one plane";
            return Err(Error::invalid(format!("the affine {:?} {what}", &self.affine[..3])));
        }
        let inverse = [0, 1, 2].map(|axis| [0, 1, 2].map(|row| columns[row][axis] / determinant));
        Ok((inverse, lengths))
    }
}
