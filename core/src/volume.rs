//! The middle of the data flow: `bytes -> Volume -> Session -> Labels -> bytes`.
//!
//! A [`Volume`] is a stack of equally sized slices ("frames") with its [`Geometry`]; [`Labels`] are one object number per voxel of
//! the same grid. Neither knows file formats nor tensors.

use crate::{Error, Result};
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

/// Voxel values in `[frames, rows, columns, channels]` order, in the type that the file declares.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Voxels {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Runs one expression over whichever vector a [`Voxels`] holds.
#[macro_export]
macro_rules! with_voxels {
    ($voxels:expr, $values:ident => $body:expr) => {{
        // casts that seven of the ten types need
        #[allow(clippy::unnecessary_cast, clippy::let_and_return, clippy::let_unit_value)]
        let result = match $voxels {
            $crate::volume::Voxels::U8($values) => $body,
            $crate::volume::Voxels::I8($values) => $body,
            $crate::volume::Voxels::U16($values) => $body,
            $crate::volume::Voxels::I16($values) => $body,
            $crate::volume::Voxels::U32($values) => $body,
            $crate::volume::Voxels::I32($values) => $body,
            $crate::volume::Voxels::U64($values) => $body,
            $crate::volume::Voxels::I64($values) => $body,
            $crate::volume::Voxels::F32($values) => $body,
            $crate::volume::Voxels::F64($values) => $body,
        };
        result
    }};
}

macro_rules! voxels_from {
    ($($variant:ident: $element:ty),*) => {$(
        impl From<Vec<$element>> for Voxels {
            fn from(values: Vec<$element>) -> Self {
                Self::$variant(values)
            }
        }
    )*};
}
voxels_from!(U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, U64: u64, I64: i64, F32: f32, F64: f64);

impl Voxels {
    /// Number of values, channels included.
    pub fn len(&self) -> usize {
        with_voxels!(self, values => values.len())
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// numpy's name of the type: `uint8`, `float32`, ...
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::U8(_) => "uint8",
            Self::I8(_) => "int8",
            Self::U16(_) => "uint16",
            Self::I16(_) => "int16",
            Self::U32(_) => "uint32",
            Self::I32(_) => "int32",
            Self::U64(_) => "uint64",
            Self::I64(_) => "int64",
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
        }
    }

    /// Takes the values of `other` to the end; `false` (and nothing done) when the types differ.
    pub fn append(&mut self, other: &Self) -> bool {
        macro_rules! same_type {
            ($($variant:ident),*) => {
                match (self, other) {
                    $((Self::$variant(values), Self::$variant(more)) => values.extend_from_slice(more),)*
                    _ => return false,
                }
            };
        }
        same_type!(U8, I8, U16, I16, U32, I32, U64, I64, F32, F64);
        true
    }

    /// The values of a range as float32.
    pub fn to_f32(&self, range: std::ops::Range<usize>) -> Vec<f32> {
        with_voxels!(self, values => values[range].iter().map(|&v| v as f32).collect())
    }

    /// Smallest and largest finite value; `(0, 0)` when there is none.
    pub fn range(&self) -> (f64, f64) {
        let (low, high) = with_voxels!(self, values => values
            .iter()
            .map(|&v| v as f64)
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v))));
        if low > high { (0.0, 0.0) } else { (low, high) }
    }
}

/// A stack of equally sized slices.
#[derive(Debug, Clone)]
pub struct Volume {
    /// number of slices
    pub frames: usize,
    /// height of a slice in pixels
    pub rows: usize,
    /// width of a slice in pixels
    pub columns: usize,
    /// 1 (grey) or 3 (RGB)
    pub channels: usize,
    /// the values, `[frames, rows, columns, channels]`
    pub voxels: Voxels,
    /// where the voxels lie
    pub geometry: Geometry,
    /// what was read: `"nifti"`, `"dicom"`, `"stack"`, `"npy"`
    pub format: &'static str,
}

impl Volume {
    /// Checks that the number of values fits the shape `[frames, rows, columns, channels]`.
    pub fn new(shape: [usize; 4], voxels: Voxels, geometry: Geometry, format: &'static str) -> Result<Self> {
        let [frames, rows, columns, channels] = shape;
        let wanted = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        if wanted != Some(voxels.len()) || voxels.is_empty() || !matches!(channels, 1 | 3) {
            return Err(Error::invalid(format!(
                "a volume of shape {shape:?} (frames, rows, columns, channels) cannot hold {} values",
                voxels.len()
            )));
        }
        Ok(Self { frames, rows, columns, channels, voxels, geometry, format })
    }

    /// Index range of one frame's values.
    pub fn frame_range(&self, frame: usize) -> Result<std::ops::Range<usize>> {
        if frame >= self.frames {
            return Err(Error::invalid(format!(
                "slice {frame} does not exist: the volume has slices 0 to {}",
                self.frames - 1
            )));
        }
        let size = self.rows * self.columns * self.channels;
        Ok(frame * size..(frame + 1) * size)
    }

    /// One frame as float32, `[rows, columns, channels]`.
    pub fn frame_f32(&self, frame: usize) -> Result<Vec<f32>> {
        Ok(self.voxels.to_f32(self.frame_range(frame)?))
    }
}

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
