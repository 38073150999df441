//! What a segmentation says: one object number per voxel.

use super::project::at_depth;
use super::{Geometry, Volume};
use crate::{Error, Result};

/// One object number per voxel (0: none), on the grid of the volume that was segmented.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// number of slices
    pub frames: usize,
    /// height of a slice in pixels
    pub rows: usize,
    /// width of a slice in pixels
    pub columns: usize,
    /// object numbers, `[frames, rows, columns]`
    pub data: Vec<u16>,
    /// geometry of the volume
    pub geometry: Geometry,
}

impl Labels {
    /// No object anywhere, on the grid of `volume`.
    pub fn empty_like(volume: &Volume) -> Self {
        let Volume { frames, rows, columns, ref geometry, .. } = *volume;
        Self { frames, rows, columns, data: vec![0; frames * rows * columns], geometry: geometry.clone() }
    }

    /// The object numbers of one slice, `[rows, columns]`.
    pub fn frame(&self, frame: usize) -> &[u16] {
        let size = self.rows * self.columns;
        &self.data[frame * size..(frame + 1) * size]
    }

    /// The object numbers of one slice, to be changed.
    pub fn frame_mut(&mut self, frame: usize) -> &mut [u16] {
        let size = self.rows * self.columns;
        &mut self.data[frame * size..(frame + 1) * size]
    }

    /// Numbers of the objects that have voxels, ascending.
    pub fn objects(&self) -> Vec<u16> {
        let mut seen = vec![false; 1 << 16];
        self.data.iter().for_each(|&object| seen[usize::from(object)] = true);
        (1..=u16::MAX).filter(|&object| seen[usize::from(object)]).collect()
    }

    /// Pixels of one object on one slice.
    pub fn area(&self, frame: usize, object: u16) -> Result<usize> {
        self.check_frame(frame)?;
        Ok(self.frame(frame).iter().filter(|&&v| v == object).count())
    }

    /// Slices on which an object has pixels, ascending.
    pub fn frames_of(&self, object: u16) -> Vec<usize> {
        (0..self.frames).filter(|&frame| self.frame(frame).contains(&object)).collect()
    }

    /// Voxels of one object.
    pub fn count(&self, object: u16) -> usize {
        self.data.iter().filter(|&&v| v == object).count()
    }

    /// Each voxel's number anew.
    pub fn map(&self, number: impl Fn(u16) -> u16) -> Self {
        Self { data: self.data.iter().map(|&label| number(label)).collect(), ..self.hollow() }
    }

    /// The other objects, and this one alone.
    pub fn without(&self, object: u16) -> (Self, Self) {
        (
            self.map(|label| if label == object { 0 } else { label }),
            self.map(|label| if label == object { label } else { 0 }),
        )
    }

    /// Each voxel's number from those of two label volumes, on the grid of the first. Errors: another grid ([`Labels::onto`]).
    pub fn with(&self, other: &Self, number: impl Fn(u16, u16) -> u16) -> Result<Self> {
        let other = other.onto(self.lattice())?;
        let data = self.data.iter().zip(&other.data).map(|(&a, &b)| number(a, b)).collect();
        Ok(Self { data, ..self.hollow() })
    }

    /// Have all voxels of the two the same numbers, at the same place?
    pub fn equals(&self, other: &Self) -> bool {
        other.onto(self.lattice()).is_ok_and(|other| other.data == self.data)
    }

    /// The grid without voxels.
    fn hollow(&self) -> Self {
        Self { data: Vec::new(), geometry: self.geometry.clone(), ..*self }
    }

    /// One slice alone; all others are empty. Errors: no such slice.
    pub fn at(&self, frame: usize) -> Result<Self> {
        self.check_frame(frame)?;
        let mut alone = self.map(|_| 0);
        alone.frame_mut(frame).copy_from_slice(self.frame(frame));
        Ok(alone)
    }

    /// Every slice as this one is. Errors: no such slice.
    pub fn repeated(&self, frame: usize) -> Result<Self> {
        self.check_frame(frame)?;
        Ok(Self { data: self.frame(frame).repeat(self.frames), ..self.hollow() })
    }

    /// Errors: no such slice.
    pub fn check_frame(&self, frame: usize) -> Result<()> {
        if frame >= self.frames {
            return Err(Error::invalid(format!(
                "slice {frame} does not exist: the labels have slices 0 to {}",
                self.frames - 1
            )));
        }
        Ok(())
    }

    /// One slice of labels: where any slice has an object; the smaller number where there are several.
    pub fn project(&self) -> Self {
        let mut data = vec![0u16; self.rows * self.columns];
        for frame in 0..self.frames {
            for (to, &label) in data.iter_mut().zip(self.frame(frame)) {
                *to = if *to == 0 || (label != 0 && label < *to) { label } else { *to };
            }
        }
        // in the middle of the stack, where a volume's projection lies
        let geometry = at_depth(&self.geometry, (self.frames.max(1) - 1) as f64 / 2.0);
        Self { frames: 1, data, geometry, ..self.hollow() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_alone_and_everywhere() {
        let labels =
            Labels { frames: 3, rows: 1, columns: 2, data: vec![1, 0, 0, 2, 3, 3], geometry: Geometry::unknown() };
        assert_eq!(labels.at(1).unwrap().data, [0, 0, 0, 2, 0, 0]);
        assert_eq!(labels.repeated(1).unwrap().data, [0, 2, 0, 2, 0, 2]);
        for refused in [labels.at(3), labels.repeated(3)] {
            assert!(refused.unwrap_err().to_string().contains("slices 0 to 2"));
        }
    }
}
