//! numpy's `.npy` to and from a [`Volume`]: `[frames, rows, columns]` or `[frames, rows, columns, 3]`. The `npyz` crate reads and words
//! the header.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. It carries no geometry. Large arrays are read slice
//! by slice when they are used, except those in Fortran order, where every slice is strewn over the whole file.

use super::OpenOptions;
use super::lazy::FileFrames;
use super::raw::numbers;
use crate::volume::{Geometry, Volume, Voxels};
use crate::{Error, Result, with_voxels};
use bytemuck::{Pod, Zeroable};
use half::f16;
use npyz::{AutoSerialize, DType, Endianness, NpyHeader, Order, TypeChar, TypeStr};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

/// numpy itself refuses longer headers
const MAX_HEADER: usize = 10_000;

/// Reads so many values, in the byte order of the big end or not.
type ReadValues = fn(&mut dyn Read, usize, bool) -> std::io::Result<Voxels>;

/// Reads an array; two axes are one frame.
pub(super) fn read(path: &Path, options: &OpenOptions) -> Result<Volume> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = BufReader::new(file);
    check_start(path, &mut reader)?;
    let header = NpyHeader::from_reader(&mut reader).map_err(|error| {
        Error::format(path, format!("is not a .npy file, or truncated: {}", error.to_string().replace('\n', " ")))
    })?;
    let start = reader.stream_position().map_err(Error::io(path))?;
    let shape = shape(path, header.shape())?;
    let DType::Plain(ty) = header.dtype() else {
        return Err(Error::format(path, "is a .npy file of records; save a plain array of numbers"));
    };
    let values = values_of(path, &ty)?;
    let big_endian = ty.endianness() == Endianness::Big;
    let count = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n as u64));
    let bytes = count.and_then(|count| count.checked_mul(ty.size_field()));
    let Some(bytes) = bytes.filter(|bytes| bytes.checked_add(start).is_some_and(|end| end <= length)) else {
        let promised = header.shape();
        let what =
            format!("is truncated: its header promises an array of shape {promised:?}, more than the file holds");
        return Err(Error::format(path, what));
    };
    if (options.once || options.is_lazy(bytes)) && header.order() == Order::C {
        return lazy(path, reader.into_inner(), start, shape, ty.size_field(), values, big_endian);
    }
    options.check_size(path, bytes)?;
    let voxels = values(&mut reader, shape.iter().product(), big_endian).map_err(damaged(path))?;
    let voxels = match header.order() {
        Order::C => voxels,
        Order::Fortran => with_voxels!(voxels, values => Voxels::from(to_c_order(&values, shape))),
    };
    Volume::new(shape, voxels, Geometry::unknown(), "npy")
}

/// A volume whose slices are read when they are asked for.
fn lazy(
    path: &Path,
    file: File,
    start: u64,
    shape: [usize; 4],
    size: u64,
    values: ReadValues,
    big_endian: bool,
) -> Result<Volume> {
    let count: usize = shape[1..].iter().product();
    let decode = move |reader: &mut dyn Read| values(reader, count, big_endian);
    let source = FileFrames::new(path, file, start, count * size as usize, Box::new(decode))?;
    Ok(Volume::lazy(shape, Arc::new(source), Geometry::unknown(), "npy"))
}

fn damaged(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |error| match error.kind() {
        ErrorKind::OutOfMemory => Error::Unsupported(format!("{}: not enough memory for its values", path.display())),
        _ => Error::format(&path, format!("is damaged or truncated ({error})")),
    }
}

/// How values of a numpy type are read.
fn values_of(path: &Path, ty: &TypeStr) -> Result<ReadValues> {
    fn plain<T: Pod + Zeroable>(reader: &mut dyn Read, count: usize, big_endian: bool) -> std::io::Result<Voxels>
    where
        Voxels: From<Vec<T>>,
    {
        numbers::<T>(reader, count, big_endian).map(Voxels::from)
    }
    Ok(match (ty.type_char(), ty.size_field()) {
        (TypeChar::Bool, 1) => |reader, count, big_endian| {
            let values = numbers::<u8>(reader, count, big_endian)?;
            Ok(values.into_iter().map(|v| u8::from(v != 0)).collect::<Vec<_>>().into())
        },
        (TypeChar::Float, 2) => |reader, count, big_endian| {
            let values = numbers::<u16>(reader, count, big_endian)?;
            Ok(values.into_iter().map(|bits| f16::from_bits(bits).to_f32()).collect::<Vec<_>>().into())
        },
        (TypeChar::Uint, 1) => plain::<u8>,
        (TypeChar::Int, 1) => plain::<i8>,
        (TypeChar::Uint, 2) => plain::<u16>,
        (TypeChar::Int, 2) => plain::<i16>,
        (TypeChar::Uint, 4) => plain::<u32>,
        (TypeChar::Int, 4) => plain::<i32>,
        (TypeChar::Uint, 8) => plain::<u64>,
        (TypeChar::Int, 8) => plain::<i64>,
        (TypeChar::Float, 4) => plain::<f32>,
        (TypeChar::Float, 8) => plain::<f64>,
        _ => return Err(Error::format(path, format!("holds values of type {ty}; save integers or floats"))),
    })
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

/// Writes an array in C order, as it lies in memory.
pub(crate) fn write<T: AutoSerialize + Pod>(path: &Path, values: &[T], shape: &[u64]) -> Result<()> {
    let write = || {
        let mut out = File::create(path)?;
        out.write_all(&header_of(values, shape))?;
        out.write_all(bytemuck::cast_slice(values))
    };
    write().map_err(Error::io(path))
}

/// The header of an array of such values in C order.
pub(super) fn header_of<T: AutoSerialize>(_: &[T], shape: &[u64]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let kind = T::default_dtype().descr();
    let mut text = format!("{{'descr': {kind}, 'fortran_order': False, 'shape': ({sides}), }}");
    // the values begin at a multiple of 64; the line end closes the header
    let before = 10 + text.len() + 1;
    text.extend(std::iter::repeat_n(' ', before.next_multiple_of(64) - before));
    text.push('\n');
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
}
