//! Along which axis the slices are taken: a stack of B-scans becomes a stack of en-face slices and back.

use super::{Geometry, Labels, Volume, Voxels};
use crate::{Error, Result, with_voxels};
use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

/// The axis along which slices follow one another. The chosen axis and z change places, so that doing it twice gives the original back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Axis {
    /// as stored
    #[default]
    Z,
    /// slices of one row each: rows and frames change places (en face from B-scans)
    Y,
    /// slices of one column each: columns and frames change places
    X,
}

impl FromStr for Axis {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "z" => Ok(Self::Z),
            "y" => Ok(Self::Y),
            "x" => Ok(Self::X),
            other => Err(Error::invalid(format!("axis \"{other}\" is none of z (as stored), y, x"))),
        }
    }
}

impl Axis {
    /// Which of x, y, z changes places with z.
    fn index(self) -> usize {
        match self {
            Self::X => 0,
            Self::Y => 1,
            Self::Z => 2,
        }
    }

    /// `[frames, rows, columns]` after the change.
    pub(crate) fn shape(self, [frames, rows, columns]: [usize; 3]) -> [usize; 3] {
        match self {
            Self::Z => [frames, rows, columns],
            Self::Y => [rows, frames, columns],
            Self::X => [columns, rows, frames],
        }
    }

    pub(crate) fn geometry(self, geometry: &Geometry) -> Geometry {
        let mut changed = geometry.clone();
        changed.spacing.swap(self.index(), 2);
        changed.affine.iter_mut().for_each(|row| row.swap(self.index(), 2));
        changed
    }

    /// Values `[frames, rows, columns]` of `inner` numbers each, rearranged.
    pub(crate) fn rearrange<T: Copy>(self, values: &[T], [frames, rows, columns]: [usize; 3], inner: usize) -> Vec<T> {
        let [new_frames, new_rows, new_columns] = self.shape([frames, rows, columns]);
        let mut out = Vec::with_capacity(values.len());
        for a in 0..new_frames {
            for b in 0..new_rows {
                for c in 0..new_columns {
                    let (frame, row, column) = match self {
                        Self::Z => (a, b, c),
                        Self::Y => (b, a, c),
                        Self::X => (c, b, a),
                    };
                    let at = ((frame * rows + row) * columns + column) * inner;
                    out.extend_from_slice(&values[at..at + inner]);
                }
            }
        }
        out
    }
}

impl Volume {
    /// The same voxels as slices along `axis`. A lazy volume is read whole for it.
    pub fn along(&self, axis: Axis) -> Result<Volume> {
        if axis == Axis::Z {
            return Ok(self.clone());
        }
        let shape = [self.frames, self.rows, self.columns];
        let voxels =
            with_voxels!(&*self.voxels()?, values => Voxels::from(axis.rearrange(values, shape, self.channels)));
        let [frames, rows, columns] = axis.shape(shape);
        let geometry = axis.geometry(&self.geometry);
        let changed = Volume::new([frames, rows, columns, self.channels], voxels, geometry, self.format)?;
        let scan = self.scan.as_ref().map(|scan| Arc::new(scan.without_bscans()));
        Ok(changed.with_window(self.window).with_scan(scan))
    }
}

impl Labels {
    /// The same labels as slices along `axis`; labels of [`Volume::along`] come back to the volume's own orientation.
    pub fn along(&self, axis: Axis) -> Cow<'_, Labels> {
        if axis == Axis::Z {
            return Cow::Borrowed(self);
        }
        let shape = [self.frames, self.rows, self.columns];
        let [frames, rows, columns] = axis.shape(shape);
        Cow::Owned(Labels {
            frames,
            rows,
            columns,
            data: axis.rearrange(&self.data, shape, 1),
            geometry: axis.geometry(&self.geometry),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Volume {
        let values: Vec<u16> = (0..2 * 3 * 4).collect();
        let affine = [[0.1, 0.2, 0.3, 4.0], [0.5, 0.6, 0.7, 8.0], [0.9, 1.0, 1.1, 12.0], [0.0, 0.0, 0.0, 1.0]];
        Volume::new([2, 3, 4, 1], values.into(), Geometry::from_affine(affine), "test").unwrap()
    }

    #[test]
    fn every_voxel_keeps_its_place_in_the_patient() {
        let volume = volume();
        let place = |volume: &Volume, x: usize, y: usize, z: usize| {
            let [a, b, c, _] = volume.geometry.affine;
            [a, b, c].map(|row| row[0] * x as f64 + row[1] * y as f64 + row[2] * z as f64 + row[3])
        };
        for (axis, [x, y, z]) in [(Axis::Y, [3, 1, 2]), (Axis::X, [1, 2, 3])] {
            let changed = volume.along(axis).unwrap();
            let Voxels::U16(values) = &*changed.voxels().unwrap() else { panic!() };
            let found = values[(z * changed.rows + y) * changed.columns + x];
            let [ox, oy, oz] = [found % 4, found / 4 % 3, found / 12].map(usize::from);
            assert_eq!(place(&changed, x, y, z), place(&volume, ox, oy, oz), "{axis:?}");
        }
    }

    #[test]
    fn twice_is_the_original() {
        let volume = volume();
        for axis in [Axis::X, Axis::Y, Axis::Z] {
            let back = volume.along(axis).unwrap().along(axis).unwrap();
            assert_eq!(back.voxels().unwrap(), volume.voxels().unwrap());
            assert_eq!(back.geometry, volume.geometry);
            let labels = Labels { data: (0..24).collect(), ..Labels::empty_like(&volume) };
            assert_eq!(*labels.along(axis).along(axis), labels);
        }
    }
}
