//! Voxels in memory that a host lends: nothing is copied but the slice that is looked at, and the host learns when it may free them.
//!
//! A viewer holds its volumes itself, in whatever order suits it. Strides in bytes say where the voxels lie, so that C and Fortran
//! order, flipped axes, crops and one slice shown many times are all read where they are. The memory is only read.

use super::{FrameSource, Geometry, Volume, Voxels};
use crate::{Error, Result};
use half::f16;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The type of lent numbers, in the machine's byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Dtype {
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
    /// read as float32
    F16,
    /// one byte each; read as uint8, 0 and 1
    Bool,
}

impl Dtype {
    const NAMES: [(Self, &'static str); 12] = [
        (Self::U8, "uint8"),
        (Self::I8, "int8"),
        (Self::U16, "uint16"),
        (Self::I16, "int16"),
        (Self::U32, "uint32"),
        (Self::I32, "int32"),
        (Self::U64, "uint64"),
        (Self::I64, "int64"),
        (Self::F32, "float32"),
        (Self::F64, "float64"),
        (Self::F16, "float16"),
        (Self::Bool, "bool"),
    ];

    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// numpy's name of the type that the voxels are read as.
    fn read_as(self) -> &'static str {
        match self {
            Self::F16 => "float32",
            Self::Bool => "uint8",
            _ => Self::NAMES.iter().find(|(dtype, _)| *dtype == self).map_or("", |(_, name)| name),
        }
    }
}

impl FromStr for Dtype {
    type Err = Error;

    /// By numpy's name.
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(_, name)| *name == text).map(|(dtype, _)| *dtype);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::NAMES.iter().map(|(_, name)| *name).collect();
            Error::invalid(format!("voxels of type \"{text}\" are not understood; there are {}", names.join(", ")))
        })
    }
}

/// Voxels that somebody else owns. See [`Volume::lent`].
pub struct Lent {
    data: *const u8,
    shape: [usize; 4],
    strides: [isize; 4],
    dtype: Dtype,
    /// dropped when nobody reads the voxels any more
    _owner: Box<dyn Send + Sync>,
}

// SAFETY: the memory is only read, it may be read from any thread (the contract of `Lent::new`), and the owner may move and be shared.
unsafe impl Send for Lent {}
unsafe impl Sync for Lent {}

impl Lent {
    /// Voxels of `shape` `[frames, rows, columns, channels]`, the first of which lies at `data`; `strides` are the bytes from one to the
    /// next along each of these, and may be negative or 0. Numbers need not be aligned. `owner` is dropped exactly once: when the last
    /// user is gone, or at once when this is an error.
    ///
    /// Errors: no memory, a size of 0, channels other than 1 and 3, a shape or strides that reach beyond what a machine can address.
    ///
    /// # Safety
    /// Every voxel must lie in memory that may be read from any thread, and that nobody frees or changes, until `owner` is dropped.
    pub unsafe fn new(
        data: *const u8,
        shape: [usize; 4],
        strides: [isize; 4],
        dtype: Dtype,
        owner: Box<dyn Send + Sync>,
    ) -> Result<Self> {
        if data.is_null() {
            return Err(Error::invalid("the lent volume has no memory (a null pointer)"));
        }
        if shape.contains(&0) || !matches!(shape[3], 1 | 3) {
            let what = "every size must be at least 1, and there are 1 (grey) or 3 (RGB) channels";
            return Err(Error::invalid(format!(
                "the lent volume has the shape {shape:?} (frames, rows, columns, channels): {what}"
            )));
        }
        let addressable = |bytes: &usize| isize::try_from(*bytes).is_ok();
        let bytes = shape.iter().try_fold(dtype.bytes(), |bytes, &size| bytes.checked_mul(size));
        if bytes.filter(addressable).is_none() || !reachable(data, shape, strides, dtype) {
            return Err(Error::invalid(format!(
                "the lent volume of shape {shape:?} and strides {strides:?} reaches beyond the machine's memory"
            )));
        }
        Ok(Self { data, shape, strides, dtype, _owner: owner })
    }

    /// One slice, every number as `T` and then through `convert`.
    fn gather<T: Copy, V>(&self, frame: usize, convert: impl Fn(T) -> V) -> Result<Vec<V>> {
        let [_, rows, columns, channels] = self.shape;
        let mut values = self.reserve(rows * columns * channels)?;
        for row in 0..rows {
            for column in 0..columns {
                for channel in 0..channels {
                    let at = self.at([frame, row, column, channel]).cast::<T>();
                    // SAFETY: `at` is a voxel of the lent memory, and any bytes are a number
                    values.push(convert(unsafe { at.read_unaligned() }));
                }
            }
        }
        Ok(values)
    }

    /// One slice of numbers as they lie there; rows without gaps are copied at once.
    fn plain<T: Copy>(&self, frame: usize) -> Result<Vec<T>> {
        let [_, rows, columns, channels] = self.shape;
        let ([_, _, column_stride, channel_stride], size) = (self.strides, size_of::<T>() as isize);
        let dense =
            (channels == 1 || channel_stride == size) && (columns == 1 || column_stride == size * channels as isize);
        if !dense {
            return self.gather(frame, |value| value);
        }
        let length = columns * channels;
        let mut values: Vec<T> = self.reserve(rows * length)?;
        for row in 0..rows {
            let from = self.at([frame, row, 0, 0]);
            // SAFETY: the row's bytes are lent memory without gaps; there is room for them behind the rows before, in memory of our own
            unsafe {
                let to = values.as_mut_ptr().add(row * length);
                std::ptr::copy_nonoverlapping(from, to.cast::<u8>(), length * size_of::<T>());
                values.set_len((row + 1) * length);
            }
        }
        Ok(values)
    }

    /// Where a voxel lies.
    fn at(&self, index: [usize; 4]) -> *const u8 {
        let steps = index.iter().zip(self.strides);
        self.data.wrapping_offset(steps.map(|(&i, stride)| (i as isize).wrapping_mul(stride)).sum())
    }

    fn reserve<V>(&self, count: usize) -> Result<Vec<V>> {
        let mut values = Vec::new();
        let lacking = |_| Error::Unsupported("not enough memory for one slice of the lent volume".into());
        values.try_reserve_exact(count).map_err(lacking)?;
        Ok(values)
    }
}

/// Do all voxels lie at addresses that exist, and no further apart than memory can be?
fn reachable(data: *const u8, shape: [usize; 4], strides: [isize; 4], dtype: Dtype) -> bool {
    let mut ends = (0i128, dtype.bytes() as i128);
    for (size, stride) in shape.into_iter().zip(strides) {
        let Some(reach) = (size as i128 - 1).checked_mul(stride as i128) else { return false };
        ends = (ends.0 + reach.min(0), ends.1 + reach.max(0));
    }
    let start = data.addr() as i128;
    start + ends.0 > 0 && start + ends.1 <= usize::MAX as i128 && ends.1 - ends.0 <= isize::MAX as i128
}

impl FrameSource for Lent {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        if frame >= self.shape[0] {
            return Err(Error::invalid(format!("slice {frame} does not exist in the lent volume {:?}", self.shape)));
        }
        Ok(match self.dtype {
            Dtype::U8 => self.plain::<u8>(frame)?.into(),
            Dtype::I8 => self.plain::<i8>(frame)?.into(),
            Dtype::U16 => self.plain::<u16>(frame)?.into(),
            Dtype::I16 => self.plain::<i16>(frame)?.into(),
            Dtype::U32 => self.plain::<u32>(frame)?.into(),
            Dtype::I32 => self.plain::<i32>(frame)?.into(),
            Dtype::U64 => self.plain::<u64>(frame)?.into(),
            Dtype::I64 => self.plain::<i64>(frame)?.into(),
            Dtype::F32 => self.plain::<f32>(frame)?.into(),
            Dtype::F64 => self.plain::<f64>(frame)?.into(),
            Dtype::F16 => self.gather(frame, |bits: u16| f16::from_bits(bits).to_f32())?.into(),
            Dtype::Bool => self.gather(frame, |byte: u8| u8::from(byte != 0))?.into(),
        })
    }

    fn dtype(&self) -> &'static str {
        self.dtype.read_as()
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({:?}, {:?}, strides {:?})", self.dtype, self.shape, self.strides)
    }
}

impl Volume {
    /// A volume over memory that a host lends, without a copy; see [`Lent::new`] for the layout, the errors and the owner.
    ///
    /// # Safety
    /// As for [`Lent::new`]: every voxel must stay readable and unchanged until `owner` is dropped.
    pub unsafe fn lent(
        data: *const u8,
        shape: [usize; 4],
        strides: [isize; 4],
        dtype: Dtype,
        owner: Box<dyn Send + Sync>,
        geometry: Geometry,
    ) -> Result<Self> {
        // SAFETY: the caller's promise is that of `Lent::new`
        let source = unsafe { Lent::new(data, shape, strides, dtype, owner)? };
        Ok(Self::lazy(shape, Arc::new(source), geometry, "lent"))
    }
}
