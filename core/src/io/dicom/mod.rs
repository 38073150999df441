//! DICOM to a [`Volume`], by the `dicom-*` crates: one multi-frame file, or the single-frame files of one series in a folder.
//!
//! Headers first (`header`), then the order of the slices and their place in the patient (`geometry`), then the pixels file by file
//! (`pixels`), so that only one file lies in memory beside the volume. Modality LUT applied, window not; MONOCHROME1 not inverted;
//! palettes and YBR as RGB. Standard: DICOM PS3.3 C.7.6.2 (image plane), C.7.6.3 (pixels), C.7.6.16 (multi-frame), C.11.1 (LUT).

mod geometry;
mod guard;
mod header;
mod pixels;

use super::OpenOptions;
use super::frames::Frames;
use crate::progress::Observer;
use crate::volume::{Geometry, Volume};
use crate::{Error, Result};
use dicom_core::Tag;
use dicom_object::{DefaultDicomObject, OpenFileOptions};
use header::Header;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Has the file the mark of a DICOM file, `DICM` after 128 bytes?
pub(super) fn is_dicom(path: &Path) -> Result<bool> {
    let mut start = Vec::with_capacity(132);
    std::fs::File::open(path).map_err(Error::io(path))?.take(132).read_to_end(&mut start).map_err(Error::io(path))?;
    Ok(start.ends_with(b"DICM") && start.len() == 132)
}

/// Reads one series; `source` is what the user named, `files` the DICOM files there.
pub(super) fn read(
    source: &Path,
    files: &[PathBuf],
    options: &OpenOptions,
    observer: &mut dyn Observer,
) -> Result<Volume> {
    let mut headers = Vec::with_capacity(files.len());
    for path in files {
        // reports, presentation states and DICOMDIR files lie beside the images
        if let Some(header) = Header::read(path)? {
            headers.push(header);
        }
    }
    one_series(source, &headers)?;
    let (order, geometry) = geometry::arrange(source, &headers)?;
    let output = pixels::Output::of(&headers);
    let mut frames = Frames::new(options.crop, order.len());
    let mut open: Option<(usize, pixels::Decoded)> = None;
    for (done, slice) in order.iter().enumerate() {
        observer.step("open", done, order.len())?;
        let header = &headers[slice.file];
        let decoded = match open.take() {
            Some((file, decoded)) if file == slice.file => decoded,
            _ => pixels::Decoded::read(header)?,
        };
        frames.push(&header.path, decoded.frame(header, slice.frame, output)?)?;
        open = Some((slice.file, decoded));
    }
    observer.step("open", order.len(), order.len())?;
    frames.finish(source, &geometry, "dicom")
}

/// Slices of different series do not make one volume; the error lists what is there.
fn one_series(source: &Path, headers: &[Header]) -> Result<()> {
    let mut series: BTreeMap<&str, Vec<&Header>> = BTreeMap::new();
    for header in headers {
        series.entry(&header.series).or_default().push(header);
    }
    match series.len() {
        0 => Err(Error::format(source, "holds no DICOM image")),
        1 => Ok(()),
        count => {
            let list: Vec<String> = series
                .iter()
                .map(|(uid, files)| {
                    let label = [&files[0].series_number, &files[0].description].map(|text| text.as_str()).join(" ");
                    let first = files[0].path.file_name().unwrap_or_default().display();
                    format!("{} (series {uid}, {} files, {first})", label.trim(), files.len())
                })
                .collect();
            let what = format!("holds {count} series: {}; move one of them into a folder of its own", list.join("; "));
            Err(Error::format(source, what))
        }
    }
}

/// The slices of one series in the order in which [`read`] stacks them, and their place: the file, and the frame in it from 0.
pub(super) fn slices(source: &Path, files: &[PathBuf]) -> Result<(Vec<(PathBuf, usize)>, Geometry)> {
    let headers = files.iter().filter_map(|path| Header::read(path).transpose()).collect::<Result<Vec<_>>>()?;
    one_series(source, &headers)?;
    let (order, geometry) = geometry::arrange(source, &headers)?;
    Ok((order.into_iter().map(|slice| (headers[slice.file].path.clone(), slice.frame)).collect(), geometry))
}

/// A DICOM file's elements, whole or up to a tag, after a look at the lengths that it claims.
pub(super) fn open_object(path: &Path, until: Option<Tag>) -> Result<DefaultDicomObject> {
    if !is_dicom(path)? {
        return Err(Error::format(path, "is not a DICOM file (no DICM mark after 128 bytes)"));
    }
    guard::check_lengths(path)?;
    let options = OpenFileOptions::new();
    let options = if let Some(tag) = until { options.read_until(tag) } else { options };
    options.open_file(path).map_err(|error| header::unreadable(path, &error))
}
