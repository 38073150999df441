//! Voxels of the input on the grid of the source: checked, put back where a crop cut them out, and handed out frame by frame.

use super::SegInput;
use super::source::Source;
use crate::volume::{Geometry, Labels, Lattice};
use crate::{Error, Result};
use std::borrow::Cow;

/// how far, in pixels, a cropped grid may lie off the source's pixels
const OFF: f64 = 0.02;
/// what a probability of 1 becomes
pub(super) const MOST: u16 = 255;

/// The segments of one file, on the source's grid.
pub(super) struct Content<'a> {
    input: SegInput<'a>,
    /// object numbers, ascending; segment i + 1 is object i
    pub objects: Vec<u16>,
    /// frames, rows, columns of the input
    shape: [usize; 3],
    /// where the input starts on a source slice
    x: usize,
    y: usize,
    /// rows and columns of the source
    whole: [usize; 2],
    /// `[objects, slices]`: has the object voxels there?
    present: Vec<bool>,
}

impl<'a> Content<'a> {
    pub fn new(input: SegInput<'a>, source: &Source) -> Result<Self> {
        let (shape, count, geometry) = match input {
            SegInput::Labels(l) => ([l.frames, l.rows, l.columns], l.data.len(), &l.geometry),
            SegInput::Probabilities(p) => {
                p.check()?;
                ([p.frames, p.rows, p.columns], p.data.len() / p.objects.len().max(1), &p.geometry)
            }
        };
        let [frames, rows, columns] = shape;
        if frames * rows * columns != count {
            return Err(Error::invalid(format!("labels of {frames} x {rows} x {columns} cannot hold {count} values")));
        }
        let (x, y) = offset(geometry, shape, source)?;
        let objects = match input {
            SegInput::Labels(labels) => labels.objects(),
            SegInput::Probabilities(probabilities) => probabilities.objects.clone(),
        };
        let mut content =
            Self { input, objects, shape, x, y, whole: [source.rows, source.columns], present: Vec::new() };
        content.find_present();
        if content.present.iter().all(|&present| !present) {
            return Err(Error::invalid("no object has any voxel: a DICOM Segmentation needs at least one"));
        }
        Ok(content)
    }

    pub fn is_binary(&self) -> bool {
        matches!(self.input, SegInput::Labels(_))
    }

    /// Has the object voxels on the slice?
    pub fn present(&self, object: usize, slice: usize) -> bool {
        self.present[object * self.shape[0] + slice]
    }

    /// One object on one slice of the source, `[rows, columns]`: 0 and 1, or 0 to [`MOST`].
    pub fn frame(&self, object: usize, slice: usize) -> Vec<u8> {
        let [_, rows, columns] = self.shape;
        let mut whole = vec![0; self.whole[0] * self.whole[1]];
        for row in 0..rows {
            let target = &mut whole[(self.y + row) * self.whole[1] + self.x..][..columns];
            let start = (slice * rows + row) * columns;
            match self.input {
                SegInput::Labels(labels) => {
                    let number = self.objects[object];
                    let source = &labels.data[start..start + columns];
                    target.iter_mut().zip(source).for_each(|(t, &s)| *t = u8::from(s == number));
                }
                SegInput::Probabilities(p) => {
                    let source = &p.data[object * p.frames * rows * columns + start..][..columns];
                    target.iter_mut().zip(source).for_each(|(t, &s)| *t = quantized(s));
                }
            }
        }
        whole
    }

    fn find_present(&mut self) {
        let [frames, rows, columns] = self.shape;
        self.present = vec![false; self.objects.len() * frames];
        match self.input {
            SegInput::Labels(labels) => {
                let mut segment = vec![usize::MAX; 1 << 16];
                self.objects.iter().enumerate().for_each(|(i, &object)| segment[usize::from(object)] = i);
                for frame in 0..frames {
                    for &object in labels.frame(frame).iter().filter(|&&object| object != 0) {
                        self.present[segment[usize::from(object)] * frames + frame] = true;
                    }
                }
            }
            SegInput::Probabilities(p) => {
                for (present, values) in self.present.iter_mut().zip(p.data.chunks_exact(rows * columns)) {
                    *present = values.iter().any(|&v| quantized(v) > 0);
                }
            }
        }
    }
}

fn quantized(probability: f32) -> u8 {
    (probability * f32::from(MOST)).round() as u8
}

/// Labels of the source's size that are stored with other axes, in the order of the source; nothing where they are in it already.
/// Errors: labels of that size at another place.
pub(super) fn turned(labels: &Labels, source: &Source) -> Result<Option<Labels>> {
    let grid = Lattice { sides: [source.columns, source.rows, source.slices.len()], geometry: &source.geometry };
    let (mut here, mut there) = (labels.lattice().sides, grid.sides);
    here.sort_unstable();
    there.sort_unstable();
    if here != there {
        return Ok(None); // a crop, or nothing that belongs here
    }
    match labels.onto(grid)? {
        Cow::Owned(turned) => Ok(Some(turned)),
        Cow::Borrowed(_) => Ok(None),
    }
}

/// Column and row of the source at which the input's grid starts.
fn offset(geometry: &Geometry, shape: [usize; 3], source: &Source) -> Result<(usize, usize)> {
    let [frames, rows, columns] = shape;
    let (slices, whole) = (source.slices.len(), (source.rows, source.columns));
    let no_match = |why: &str| {
        Error::invalid(format!(
            "labels of {frames} x {rows} x {columns} do not belong to the DICOM source of {slices} x {} x {} (slices x rows x \
             columns): {why}",
            whole.0, whole.1
        ))
    };
    if frames != slices {
        return Err(no_match("another number of slices"));
    }
    if (rows, columns) == whole {
        let grid = |geometry| Lattice { sides: [columns, rows, frames], geometry };
        return grid(geometry).lies_on(&grid(&source.geometry)).map(|()| (0, 0));
    }
    if rows > whole.0 || columns > whole.1 {
        return Err(no_match("larger slices"));
    }
    let column = |affine: &[[f64; 4]; 4], n: usize| [0, 1, 2].map(|row| affine[row][n]);
    let (here, there) = (&geometry.affine, &source.geometry.affine);
    let [from, to] = [column(there, 3), column(here, 3)];
    let shift = [0, 1, 2].map(|axis| to[axis] - from[axis]);
    // the axes of a slice are at right angles: each coordinate is a projection
    let along = |n: usize| {
        let axis = column(there, n);
        let squared: f64 = axis.iter().map(|v| v * v).sum();
        axis.iter().zip(shift).map(|(a, s)| a * s).sum::<f64>() / squared
    };
    let (x, y) = (along(0), along(1));
    let on_grid = |v: f64, room: usize| (v - v.round()).abs() < OFF && v > -OFF && v.round() as usize <= room;
    if !on_grid(x, whole.1 - columns) || !on_grid(y, whole.0 - rows) {
        return Err(no_match("no crop of its slices lies there"));
    }
    Ok((x.round() as usize, y.round() as usize))
}
