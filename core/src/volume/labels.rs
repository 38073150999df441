//! What a segmentation says: one object number per voxel.

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
        if frame >= self.frames {
            return Err(Error::invalid(format!(
                "slice {frame} does not exist: the labels have slices 0 to {}",
                self.frames - 1
            )));
        }
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
}
