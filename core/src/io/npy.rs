//! numpy's `.npy` to and from a [`Volume`], by the `npyz` crate: `[frames, rows, columns]` or `[frames, rows, columns, 3]`.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. It carries no geometry.

use super::OpenOptions;
use crate::volume::{Geometry, Volume, Voxels};
use crate::{Error, Result, with_voxels};
use half::f16;
use npyz::{AutoSerialize, DType, Deserialize, NpyFile, Order, TypeChar, WriterBuilder};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// numpy itself refuses longer headers
const MAX_HEADER: usize = 10_000;

/// Reads an array; two axes are one frame.
pub(super) fn read(path: &Path, options: &OpenOptions) -> Result<Volume> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = BufReader::new(file);
    check_start(path, &mut reader)?;
    let npy = NpyFile::new(reader).map_err(|error| {
        Error::format(path, format!("is not a .npy file, or truncated: {}", error.to_string().replace('\n', " ")))
    })?;
    let shape = shape(path, npy.shape())?;
    let count = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n as u64));
    let DType::Plain(ty) = npy.dtype() else {
        return Err(Error::format(path, "is a .npy file of records; save a plain array of numbers"));
    };
    let bytes = count.and_then(|count| count.checked_mul(ty.size_field()));
    if bytes.is_none_or(|bytes| bytes > length) {
        let what =
            format!("is truncated: its header promises an array of shape {:?}, more than the file holds", npy.shape());
        return Err(Error::format(path, what));
    }
    options.check_size(path, bytes.unwrap_or(u64::MAX))?;
    let order = npy.order();
    let voxels = match (ty.type_char(), ty.size_field()) {
        (TypeChar::Bool, 1) => typed::<bool, _>(path, npy)?.into_iter().map(u8::from).collect::<Vec<_>>().into(),
        (TypeChar::Uint, 1) => typed::<u8, _>(path, npy)?.into(),
        (TypeChar::Int, 1) => typed::<i8, _>(path, npy)?.into(),
        (TypeChar::Uint, 2) => typed::<u16, _>(path, npy)?.into(),
        (TypeChar::Int, 2) => typed::<i16, _>(path, npy)?.into(),
        (TypeChar::Uint, 4) => typed::<u32, _>(path, npy)?.into(),
        (TypeChar::Int, 4) => typed::<i32, _>(path, npy)?.into(),
        (TypeChar::Uint, 8) => typed::<u64, _>(path, npy)?.into(),
        (TypeChar::Int, 8) => typed::<i64, _>(path, npy)?.into(),
        (TypeChar::Float, 2) => typed::<f16, _>(path, npy)?.into_iter().map(f32::from).collect::<Vec<_>>().into(),
        (TypeChar::Float, 4) => typed::<f32, _>(path, npy)?.into(),
        (TypeChar::Float, 8) => typed::<f64, _>(path, npy)?.into(),
        _ => return Err(Error::format(path, format!("holds values of type {ty}; save integers or floats"))),
    };
    let voxels = match order {
        Order::C => voxels,
        Order::Fortran => with_voxels!(voxels, values => Voxels::from(to_c_order(&values, shape))),
    };
    Volume::new(shape, voxels, Geometry::unknown(), "npy")
}

/// Mark and length of the header, before anything is allocated for it.
fn check_start(path: &Path, reader: &mut BufReader<File>) -> Result<()> {
    let start = reader.fill_buf().map_err(Error::io(path))?;
    let header = match start {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => usize::from(u16::from_le_bytes([*a, *b])),
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]) as usize,
        _ => return Err(Error::format(path, "is not a .npy file, or truncated: its first bytes are no numpy header")),
    };
    if header > MAX_HEADER {
        return Err(Error::format(path, format!("claims a .npy header of {header} bytes, more than {MAX_HEADER}")));
    }
    Ok(())
}

fn shape(path: &Path, shape: &[u64]) -> Result<[usize; 4]> {
    let sizes: Vec<usize> = shape.iter().filter_map(|&n| usize::try_from(n).ok()).collect();
    match sizes[..] {
        [rows, columns] if rows > 0 && columns > 0 => Ok([1, rows, columns, 1]),
        [frames, rows, columns] if frames > 0 && rows > 0 && columns > 0 => Ok([frames, rows, columns, 1]),
        [frames, rows, columns, channels @ (1 | 3)] if frames > 0 && rows > 0 && columns > 0 => {
            Ok([frames, rows, columns, channels])
        }
        _ => Err(Error::format(
            path,
            format!(
                "holds an array of shape {shape:?}; a volume is [frames, rows, columns] or [frames, rows, columns, 3]"
            ),
        )),
    }
}

fn typed<T: Deserialize, R: Read>(path: &Path, npy: NpyFile<R>) -> Result<Vec<T>> {
    npy.into_vec().map_err(|error| Error::format(path, format!("is damaged or truncated ({error})")))
}

/// First index fastest to last index fastest.
fn to_c_order<T: Copy>(values: &[T], [frames, rows, columns, channels]: [usize; 4]) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    for frame in 0..frames {
        for row in 0..rows {
            for column in 0..columns {
                let pixel = frame + frames * (row + rows * column);
                out.extend((0..channels).map(|channel| values[pixel + frames * rows * columns * channel]));
            }
        }
    }
    out
}

/// Writes an array in C order.
pub(super) fn write<T: AutoSerialize + Copy>(path: &Path, values: &[T], shape: &[u64]) -> Result<()> {
    let file = File::create(path).map_err(Error::io(path))?;
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::new(file);
        let mut npy = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut out).begin_nd()?;
        npy.extend(values.iter().copied())?;
        npy.finish()?;
        out.flush()
    };
    write().map_err(Error::io(path))
}
