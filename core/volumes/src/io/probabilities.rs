//! How likely each voxel belongs to each object: `Probabilities -> bytes`.

use super::nifti;
use super::write::Target;
use crate::volume::{Axis, Geometry, Labels};
use crate::{Error, Result};
use std::path::Path;

/// Values from 0 to 1 per object and voxel, on the grid of the volume that was segmented.
#[derive(Debug, Clone)]
pub struct Probabilities {
    /// object numbers, in the order of `data`
    pub objects: Vec<u16>,
    /// number of slices
    pub frames: usize,
    /// height of a slice in pixels
    pub rows: usize,
    /// width of a slice in pixels
    pub columns: usize,
    /// `[objects, frames, rows, columns]`
    pub data: Vec<f32>,
    /// geometry of the volume
    pub geometry: Geometry,
}

impl Probabilities {
    /// No object yet, on the grid of `labels`.
    pub fn on_grid_of(labels: &Labels) -> Self {
        let Labels { frames, rows, columns, ref geometry, .. } = *labels;
        Self { objects: Vec::new(), frames, rows, columns, data: Vec::new(), geometry: geometry.clone() }
    }

    /// The same values as slices along `axis`; those of [`Volume::along`](crate::volume::Volume::along) come back to the volume's own
    /// orientation.
    pub fn along(self, axis: Axis) -> Self {
        if axis == Axis::Z {
            return self;
        }
        let shape = [self.frames, self.rows, self.columns];
        let [frames, rows, columns] = axis.shape(shape);
        let objects = self.data.chunks_exact((self.frames * self.rows * self.columns).max(1));
        let data = objects.flat_map(|object| axis.rearrange(object, shape, 1)).collect();
        Self { frames, rows, columns, data, geometry: axis.geometry(&self.geometry), objects: self.objects }
    }

    /// Adds an object with its values, `[frames, rows, columns]`.
    pub fn push(&mut self, object: u16, values: &[f32]) {
        self.objects.push(object);
        self.data.extend_from_slice(values);
    }

    /// Errors: a number of values that does not fit the shape, values below 0, above 1 or not finite, object numbers 0 or twice.
    pub fn check(&self) -> Result<()> {
        let Self { frames, rows, columns, .. } = *self;
        if self.objects.is_empty() || self.objects.len() * frames * rows * columns != self.data.len() {
            return Err(Error::invalid(format!(
                "probabilities of {} objects on {frames} x {rows} x {columns} voxels cannot hold {} values",
                self.objects.len(),
                self.data.len()
            )));
        }
        if let Some(value) = self.data.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            return Err(Error::invalid(format!("probabilities must lie between 0 and 1; one is {value}")));
        }
        let mut sorted = self.objects.clone();
        sorted.sort_unstable();
        if sorted[0] == 0 || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::invalid(format!("object numbers must be distinct and not 0: {:?}", self.objects)));
        }
        Ok(())
    }
}

/// An error where probabilities cannot be written under this name; for before the work.
pub fn check_probabilities_output(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    match Target::of(path)? {
        Target::Nifti => Ok(()),
        _ => Err(Error::Invalid(format!("{}: probabilities are written as .nii or .nii.gz", path.display()))),
    }
}

/// Writes probabilities as float32 NIfTI (`.nii`, `.nii.gz`) with the affine of the volume: `[x, y, z]` for one object, else
/// `[x, y, z, object]` in the order of `objects`.
pub fn write_probabilities(path: impl AsRef<Path>, probabilities: &Probabilities) -> Result<()> {
    let path = path.as_ref();
    check_probabilities_output(path)?;
    probabilities.check()?;
    let Probabilities { ref objects, frames, rows, columns, ref data, ref geometry } = *probabilities;
    let mut sides = vec![columns, rows, frames];
    sides.extend((objects.len() > 1).then_some(objects.len()));
    nifti::write(path, data, &sides, geometry)
}
