//! NIfTI (`.nii`, `.hdr` + `.img`, versions 1 and 2, packed or not) into a [`Volume`].
//!
//! Standard: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>. The file stores x fastest, then y, then z: the same memory
//! order as `[frames, rows, columns]`, so no voxel moves. Extensions, `cal_min` and `cal_max` do not count.

mod geometry;
mod header;
mod pair;
mod voxels;
mod write;

pub(super) use write::{Kind, write, write_parts, write_values};

use super::OpenOptions;
use super::stored::Stored;
use super::stream::{Packing, Stream};
use crate::progress::Observer;
use crate::volume::Volume;
use crate::{Error, Result};
use header::Header;
use std::path::Path;

/// Does the file's name (in lower case) end like a NIfTI's?
pub(super) fn is_named_so(name: &str) -> bool {
    name.ends_with(".nii") || name.ends_with(".nii.gz") || pair::is_half(name)
}

/// Reads a volume; of a pair, either file may be named.
pub(super) fn read(path: &Path, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Volume> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let header_path = if pair::is_half(&name) { pair::half(path, "hdr")? } else { path.to_path_buf() };
    let header = Header::read(&header_path, &mut Stream::open(&header_path)?.0)?;
    let element = voxels::element_of(&header_path, &header)?;
    let shape = header.shape();
    let chosen =
        options.chosen_volume(path, header.volumes(), &format!("axes {:?}: x, y, z, time, ...", header.axes()))?;
    let voxels_path = if header.single { header_path.clone() } else { pair::half(&header_path, "img")? };
    let (geometry, note) = geometry::of_header(&header);
    if let Some(note) = note {
        observer.note(&format!("{}: {note}", header_path.display()));
    }
    // what the axes promise was checked to be countable; where that is more than any file holds, so is this
    let volume = shape.iter().fold(element.size(), |bytes, &side| bytes.saturating_mul(side));
    let skip = header.voxels_at.saturating_add(chosen.saturating_mul(volume));
    let packing = Packing::of_file(&voxels_path)?;
    let (header, format) = ("NIfTI", "nifti");
    Stored { path: voxels_path, header, format, at: 0, packing, skip, shape, element, geometry }.read(options)
}

fn damaged(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let damaged = crate::io::packed::damaged(path);
    move |error| damaged(&error)
}
