//! NIfTI voxel values: from the bytes of the file to [`Voxels`] of the stored type, and the slope applied.
//!
//! Data type codes: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>, `DT_*`.

use super::header::Header;
use crate::io::raw::numbers;
use crate::volume::Voxels;
use crate::{Error, Result};
use std::io::Read;
use std::path::Path;

/// What one voxel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datatype {
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
    Rgb,
    Rgba,
}

impl Datatype {
    pub fn of(path: &Path, header: &Header) -> Result<Self> {
        let unsupported = |what| {
            Error::Unsupported(format!("{}: holds {what}; save real numbers of at most 64 bits", path.display()))
        };
        Ok(match header.datatype {
            2 => Self::U8,
            256 => Self::I8,
            512 => Self::U16,
            4 => Self::I16,
            768 => Self::U32,
            8 => Self::I32,
            1280 => Self::U64,
            1024 => Self::I64,
            16 => Self::F32,
            64 => Self::F64,
            128 => Self::Rgb,
            2304 => Self::Rgba,
            1 => return Err(unsupported("1-bit voxels")),
            1536 => return Err(unsupported("128-bit floats")),
            32 | 1792 | 2048 => return Err(unsupported("complex numbers")),
            code => {
                let what = format!("has NIfTI data type code {code}, which is not an integer, float or RGB type");
                return Err(Error::format(path, what));
            }
        })
    }

    /// Bytes of a voxel; the header's `bitpix` says the same or is wrong.
    pub fn size(self) -> u64 {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::Rgb => 3,
            Self::U32 | Self::I32 | Self::F32 | Self::Rgba => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Values of a voxel that are kept: 3 for colour.
    pub fn channels(self) -> usize {
        if matches!(self, Self::Rgb | Self::Rgba) { 3 } else { 1 }
    }

    /// Reads `count` voxels: their values and the number of channels.
    pub fn read(self, reader: &mut dyn Read, count: usize, big_endian: bool) -> std::io::Result<(Voxels, usize)> {
        let voxels = match self {
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
            Self::Rgb => return Ok((numbers::<u8>(reader, count * 3, false)?.into(), 3)),
            Self::Rgba => {
                let rgba = numbers::<u8>(reader, count * 4, false)?;
                let rgb: Vec<u8> = rgba.chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect();
                return Ok((rgb.into(), 3));
            }
        };
        Ok((voxels, 1))
    }
}

/// `slope * value + inter`, as float32 where that holds the stored values exactly, else float64. Slope 0 means: no scaling.
pub(super) fn scaled(voxels: Voxels, slope: f64, inter: f64) -> Voxels {
    let inter = if inter.is_finite() { inter } else { 0.0 };
    if slope == 0.0 || !slope.is_finite() || (slope, inter) == (1.0, 0.0) {
        return voxels;
    }
    let small = matches!(voxels, Voxels::U8(_) | Voxels::I8(_) | Voxels::U16(_) | Voxels::I16(_) | Voxels::F32(_));
    crate::with_voxels!(voxels, values => {
        let values = values.into_iter().map(|v| v as f64 * slope + inter);
        if small { Voxels::F32(values.map(|v| v as f32).collect()) } else { Voxels::F64(values.collect()) }
    })
}
