//! NIfTI (`.nii`, `.hdr` + `.img`, versions 1 and 2, packed or not) into a [`Volume`].
//!
//! Standard: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>. The file stores x fastest, then y, then z: the same memory
//! order as `[frames, rows, columns]`, so no voxel moves. Extensions, `cal_min` and `cal_max` do not count.

mod geometry;
mod header;
mod pair;
mod stream;
mod voxels;
mod write;

pub(super) use write::{Kind, write, write_parts, write_values};

use super::OpenOptions;
use super::lazy::{FileFrames, InOrder};
use crate::progress::Observer;
use crate::volume::{Geometry, Volume};
use crate::{Error, Result};
use header::Header;
use pair::Stream;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use stream::Packed;
use voxels::Datatype;

/// Does the file's name (in lower case) end like a NIfTI's?
pub(super) fn is_named_so(name: &str) -> bool {
    name.ends_with(".nii") || name.ends_with(".nii.gz") || pair::is_half(name)
}

/// Reads a volume; of a pair, either file may be named.
pub(super) fn read(path: &Path, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Volume> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let header_path = if pair::is_half(&name) { pair::half(path, "hdr")? } else { path.to_path_buf() };
    let header = Header::read(&header_path, &mut Stream::open(&header_path)?.0)?;
    let datatype = Datatype::of(&header_path, &header)?;
    let shape = header.shape();
    let count: u64 = shape.iter().product();
    let bytes = count.checked_mul(datatype.size()).ok_or_else(|| truncated(path, u64::MAX))?;
    let chosen =
        options.chosen_volume(path, header.volumes(), &format!("axes {:?}: x, y, z, time, ...", header.axes()))?;
    let voxels_path = if header.single { header_path.clone() } else { pair::half(&header_path, "img")? };
    let (mut stream, most) = Stream::open(&voxels_path)?;
    let start = chosen.checked_mul(bytes).and_then(|skip| skip.checked_add(header.voxels_at));
    let Some(start) = start.filter(|start| start.checked_add(bytes).is_some_and(|end| end <= most)) else {
        return Err(truncated(&voxels_path, bytes));
    };
    let [frames, rows, columns] = shape.map(|n| n as usize);
    let (place, note) = geometry::of_header(&header);
    if let Some(note) = note {
        observer.note(&format!("{}: {note}", header_path.display()));
    }
    if options.is_lazy(bytes) || options.once {
        return lazy(&voxels_path, stream, start, datatype, &header, [frames, rows, columns], place, options.once);
    }
    options.check_size(&voxels_path, bytes)?;
    let count = usize::try_from(count).map_err(|_| truncated(&voxels_path, bytes))?;
    stream.skip_to(0, start).map_err(damaged(&voxels_path))?;
    let (voxels, channels) =
        datatype.read(&mut stream, count, header.big_endian).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => truncated(&voxels_path, bytes),
            ErrorKind::OutOfMemory => {
                Error::Unsupported(format!("{}: not enough memory for {bytes} bytes", path.display()))
            }
            _ => damaged(&voxels_path)(error),
        })?;
    // reading on to the end lets gzip check its checksum
    std::io::copy(&mut stream.take(1 << 20), &mut std::io::sink()).map_err(damaged(&voxels_path))?;
    let voxels = if channels == 1 { voxels::scaled(voxels, header.slope, header.inter) } else { voxels };
    Volume::new([frames, rows, columns, channels], voxels, place, "nifti")
}

/// A volume whose slices are read when they are asked for.
#[allow(clippy::too_many_arguments, reason = "private, and all of it is the file's")]
fn lazy(
    path: &Path,
    stream: Stream,
    start: u64,
    datatype: Datatype,
    header: &Header,
    [frames, rows, columns]: [usize; 3],
    place: Geometry,
    once: bool,
) -> Result<Volume> {
    let count = rows * columns;
    let slice = count * datatype.size() as usize;
    let (big_endian, slope, inter) = (header.big_endian, header.slope, header.inter);
    let channels = datatype.channels();
    let decode = move |reader: &mut dyn Read| {
        let (voxels, channels) = datatype.read(reader, count, big_endian)?;
        Ok(if channels == 1 { voxels::scaled(voxels, slope, inter) } else { voxels })
    };
    let shape = [frames, rows, columns, channels];
    if once && matches!(stream, Stream::Gzip(_)) {
        let source = InOrder::new(Packed::new(path, stream, start, slice, frames, Box::new(decode))?)?;
        return Ok(Volume::lazy(shape, Arc::new(source), place, "nifti"));
    }
    let (file, start) = stream.into_file(0, start, (frames * slice) as u64).map_err(damaged(path))?;
    let source = FileFrames::new(path, file, start, slice, Box::new(decode))?;
    Ok(Volume::lazy(shape, Arc::new(source), place, "nifti"))
}

fn truncated(path: &Path, bytes: u64) -> Error {
    Error::format(path, format!("is truncated: its NIfTI header promises {bytes} bytes of voxels, more than there are"))
}

fn damaged(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |error| Error::format(&path, format!("is damaged or truncated ({})", one_line(&error.to_string())))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
