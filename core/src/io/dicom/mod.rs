//! DICOM to a [`Volume`]: one multi-frame file, the files of one series in a folder, or what a DICOMDIR names.
//!
//! Headers first (`file`, `elements`, `header`), then which series (`series`), the order of the slices and their place in the patient
//! (`geometry`), then the pixels frame by frame (`pixels`, `fragments`, `codec`, `palette`), so that only one frame lies in memory beside
//! the volume. Modality LUT applied, window not ([`window`] tells it); MONOCHROME1 not inverted; palettes and YBR as RGB; padding
//! values kept. Standard: DICOM PS3.3 C.7.6.2 (image plane), C.7.6.3 (pixels), C.7.6.16 (multi-frame), C.11.1 (LUT), PS3.5, PS3.10.

mod codec;
mod elements;
mod file;
mod fragments;
mod geometry;
mod header;
mod palette;
mod pixels;
mod series;

use super::OpenOptions;
use super::frames::Frames;
use crate::progress::Observer;
use crate::volume::{Geometry, Volume};
use crate::{Error, Result};
use dicom_core::Tag;
use dicom_object::{DefaultDicomObject, OpenFileOptions};
use file::DicomFile;
use geometry::Slice;
use header::Header;
use std::path::{Path, PathBuf};

pub(super) use file::is_dicom;
pub(super) use series::directory_of;

/// The slices of one series, in order; nothing of their pixels.
struct Stack {
    headers: Vec<Header>,
    order: Vec<Slice>,
    geometry: Geometry,
}

impl Stack {
    /// `source` is what the user named, `files` the DICOM files there.
    fn of(source: &Path, files: &[PathBuf], options: &OpenOptions) -> Result<Self> {
        let referenced = match files {
            [one] => series::referenced_files(one)?,
            _ => None,
        };
        let mut headers = Vec::with_capacity(files.len());
        for path in referenced.as_deref().unwrap_or(files) {
            // reports, presentation states and DICOMDIR files lie beside the images
            if let Some(header) = Header::read(path)? {
                headers.push(header);
            }
        }
        let chosen = series::choose(source, &headers, options.series.as_deref())?;
        let (order, geometry) = geometry::arrange(source, &chosen, options.uneven)?;
        let chosen: Vec<PathBuf> = chosen.iter().map(|header| header.path.clone()).collect();
        headers.retain(|header| chosen.contains(&header.path));
        Ok(Self { headers, order, geometry })
    }
}

/// Reads one series; `source` is what the user named, `files` the DICOM files there.
pub(super) fn read(
    source: &Path,
    files: &[PathBuf],
    options: &OpenOptions,
    observer: &mut dyn Observer,
) -> Result<Volume> {
    let Stack { headers, order, geometry } = Stack::of(source, files, options)?;
    let output = pixels::Output::of(&headers.iter().collect::<Vec<_>>());
    let mut frames = Frames::new(options.crop, order.len());
    let mut open: Option<(usize, pixels::Pixels)> = None;
    for (done, slice) in order.iter().enumerate() {
        observer.step("open", done, order.len())?;
        let header = &headers[slice.file];
        let mut pixels = match open.take() {
            Some((file, pixels)) if file == slice.file => pixels,
            _ => pixels::Pixels::open(header)?,
        };
        frames.push(&header.path, pixels.frame(header, slice.frame, output)?)?;
        open = Some((slice.file, pixels));
    }
    observer.step("open", order.len(), order.len())?;
    let middle = order[order.len() / 2];
    let window = headers[middle.file].frames[middle.frame].window;
    Ok(frames.finish(source, &geometry, "dicom")?.with_window(window))
}

/// The slices of one series in the order in which [`read`] stacks them, and their place: the file, and the frame in it from 0.
pub(super) fn slices(
    source: &Path,
    files: &[PathBuf],
    options: &OpenOptions,
) -> Result<(Vec<(PathBuf, usize)>, Geometry)> {
    let Stack { headers, order, geometry } = Stack::of(source, files, options)?;
    Ok((order.into_iter().map(|slice| (headers[slice.file].path.clone(), slice.frame)).collect(), geometry))
}

/// A DICOM file's elements, whole or up to a tag, after a look at the lengths that it claims.
pub(super) fn open_object(path: &Path, until: Option<Tag>) -> Result<DefaultDicomObject> {
    DicomFile::open(path)?;
    let options = OpenFileOptions::new();
    let options = if let Some(tag) = until { options.read_until(tag) } else { options };
    options.open_file(path).map_err(|error| Error::format(path, one_line(&error.to_string())))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
