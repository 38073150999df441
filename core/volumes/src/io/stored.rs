//! Voxels that lie in a file as a header describes them: numbers of one type, x fastest, plain or packed. NIfTI, NRRD and MetaImage differ
//! in their headers alone; this reads what they announce, at once or slice by slice.

use super::OpenOptions;
use super::lazy::{FileFrames, InOrder};
use super::packed::Packed;
use super::raw::numbers;
use super::stream::{Packing, Stream};
use crate::volume::{Geometry, Volume, Voxels};
use crate::{Error, Result, with_voxels};
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// The type of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Scalar {
    /// Bytes of a number.
    pub fn size(self) -> u64 {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    fn read(self, reader: &mut dyn Read, count: usize, big_endian: bool) -> std::io::Result<Voxels> {
        Ok(match self {
            Self::U8 => numbers::<u8>(reader, count, big_endian)?.into(),
            Self::I8 => numbers::<i8>(reader, count, big_endian)?.into(),
            Self::U16 => numbers::<u16>(reader, count, big_endian)?.into(),
            Self::I16 => numbers::<i16>(reader, count, big_endian)?.into(),
            Self::U32 => numbers::<u32>(reader, count, big_endian)?.into(),
            Self::I32 => numbers::<i32>(reader, count, big_endian)?.into(),
            Self::U64 => numbers::<u64>(reader, count, big_endian)?.into(),
            Self::I64 => numbers::<i64>(reader, count, big_endian)?.into(),
            Self::F32 => numbers::<f32>(reader, count, big_endian)?.into(),
            Self::F64 => numbers::<f64>(reader, count, big_endian)?.into(),
        })
    }
}

/// What one voxel is, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element {
    pub scalar: Scalar,
    pub big_endian: bool,
    /// numbers side by side in one voxel
    pub components: usize,
    /// the first of them that counts
    pub first: usize,
    /// how many count from there on: 1 (grey) or 3 (colour)
    pub kept: usize,
    /// `slope * value + intercept`; slope 0 and 1, 0 are none
    pub scale: (f64, f64),
}

impl Element {
    /// Single numbers that stand for themselves.
    pub fn plain(scalar: Scalar, big_endian: bool) -> Self {
        Self { scalar, big_endian, components: 1, first: 0, kept: 1, scale: (1.0, 0.0) }
    }

    /// Colour: three numbers, or four of which the last (alpha) does not count.
    pub fn colour(scalar: Scalar, big_endian: bool, components: usize) -> Self {
        Self { components, kept: 3, ..Self::plain(scalar, big_endian) }
    }

    /// Bytes of a voxel.
    pub fn size(&self) -> u64 {
        self.scalar.size() * self.components as u64
    }

    /// Reads `count` voxels.
    pub fn read(&self, reader: &mut dyn Read, count: usize) -> std::io::Result<Voxels> {
        let too_many = || std::io::Error::from(ErrorKind::OutOfMemory);
        let all = count.checked_mul(self.components).ok_or_else(too_many)?;
        let voxels = self.scalar.read(reader, all, self.big_endian)?;
        let voxels = if self.components == self.kept { voxels } else { self.chosen(&voxels) };
        Ok(if self.kept == 1 { scaled(voxels, self.scale) } else { voxels })
    }

    fn chosen(&self, voxels: &Voxels) -> Voxels {
        let range = self.first..self.first + self.kept;
        with_voxels!(voxels, values => {
            let kept: Vec<_> = values.chunks_exact(self.components).flat_map(|voxel| &voxel[range.clone()]).copied().collect();
            Voxels::from(kept)
        })
    }
}

/// `slope * value + intercept`, as float32 where that holds the stored values exactly, else float64. Slope 0 means: no scaling.
fn scaled(voxels: Voxels, (slope, intercept): (f64, f64)) -> Voxels {
    let intercept = if intercept.is_finite() { intercept } else { 0.0 };
    if slope == 0.0 || !slope.is_finite() || (slope, intercept) == (1.0, 0.0) {
        return voxels;
    }
    let small = matches!(voxels, Voxels::U8(_) | Voxels::I8(_) | Voxels::U16(_) | Voxels::I16(_) | Voxels::F32(_));
    with_voxels!(voxels, values => {
        let values = values.into_iter().map(|v| v as f64 * slope + intercept);
        if small { Voxels::F32(values.map(|v| v as f32).collect()) } else { Voxels::F64(values.collect()) }
    })
}

/// Where the voxels of a volume lie and what they are.
#[derive(Debug)]
pub(super) struct Stored {
    /// the file that holds them
    pub path: PathBuf,
    /// what announces them, for errors: `"NIfTI"`
    pub header: &'static str,
    /// what was read, for people and programs: `"nifti"`
    pub format: &'static str,
    /// the byte of the file at which they begin, still packed
    pub at: u64,
    pub packing: Packing,
    /// bytes to step over, once unpacked
    pub skip: u64,
    /// `[frames, rows, columns]`
    pub shape: [u64; 3],
    pub element: Element,
    pub geometry: Geometry,
}

impl Stored {
    /// Reads the voxels, or has them read when they are asked for.
    /// Errors: fewer bytes than announced, found before memory is asked for; more than the options allow.
    pub fn read(self, options: &OpenOptions) -> Result<Volume> {
        let count = self.shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side));
        let bytes = count.and_then(|count| count.checked_mul(self.element.size()));
        let (Some(count), Some(bytes)) = (count, bytes) else { return Err(self.truncated(u64::MAX)) };
        let (mut stream, most) = Stream::open_at(&self.path, self.at, self.packing)?;
        if self.skip.checked_add(bytes).is_none_or(|end| end > most) {
            return Err(self.truncated(bytes));
        }
        if options.is_lazy(bytes) || options.once {
            return self.lazy(stream, options.once);
        }
        options.check_size(&self.path, bytes)?;
        let count = usize::try_from(count).map_err(|_| self.truncated(bytes))?;
        stream.skip(self.skip).map_err(|error| self.damaged(&error))?;
        let voxels = self.element.read(&mut stream, count).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.truncated(bytes),
            ErrorKind::OutOfMemory => {
                Error::Unsupported(format!("{}: not enough memory for {bytes} bytes", self.path.display()))
            }
            _ => self.damaged(&error),
        })?;
        stream.finish().map_err(|error| self.damaged(&error))?;
        Volume::new(self.sides(), voxels, self.geometry, self.format)
    }

    /// A volume whose slices are read when they are asked for.
    fn lazy(self, mut stream: Stream, once: bool) -> Result<Volume> {
        let shape @ [frames, rows, columns, _] = self.sides();
        let (count, element) = (rows * columns, self.element);
        let slice = count * element.size() as usize;
        let decode = Box::new(move |reader: &mut dyn Read| element.read(reader, count));
        let (geometry, format) = (self.geometry.clone(), self.format);
        if once && matches!(stream, Stream::Packed(_)) {
            let (at, packing, skip) = (self.at, self.packing, self.skip);
            let source = InOrder::new(Packed::new(&self.path, at, packing, skip, slice, frames, decode)?)?;
            return Ok(Volume::lazy(shape, Arc::new(source), geometry, format));
        }
        let into_file = |stream: Stream| stream.into_file((frames * slice) as u64);
        let file = stream.skip(self.skip).and_then(|()| into_file(stream));
        let (file, start) = file.map_err(|error| self.damaged(&error))?;
        let source = FileFrames::new(&self.path, file, start, slice, decode)?;
        Ok(Volume::lazy(shape, Arc::new(source), geometry, format))
    }

    fn sides(&self) -> [usize; 4] {
        let [frames, rows, columns] = self.shape.map(|side| side as usize);
        [frames, rows, columns, self.element.kept]
    }

    fn truncated(&self, bytes: u64) -> Error {
        let what =
            format!("is truncated: its {} header promises {bytes} bytes of voxels, more than there are", self.header);
        Error::format(&self.path, what)
    }

    fn damaged(&self, error: &std::io::Error) -> Error {
        super::packed::damaged(&self.path)(error)
    }
}
