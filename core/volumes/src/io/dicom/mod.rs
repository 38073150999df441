//! DICOM to a [`Volume`]: one multi-frame file, the files of one series in a folder, or what a DICOMDIR names.
//!
//! Headers first (`file`, `elements`, `header`), then which series (`series`), the order of the slices and their place in the patient
//! (`geometry`), then the pixels frame by frame (`stack`, `pixels`, `fragments`, `codec`, `palette`): at once into memory, or, for large
//! ones, when they are asked for. Modality LUT applied, window not ([`Volume::window`] tells it); MONOCHROME1 not inverted; palettes and
//! YBR as RGB; padding values kept. Standard: DICOM PS3.3 C.7.6.2 (image plane), C.7.6.3 (pixels), C.7.6.16 (multi-frame), C.11.1 (LUT),
//! PS3.5, PS3.10.

mod codec;
mod elements;
mod file;
mod fragments;
mod geometry;
mod header;
mod palette;
mod pixels;
mod series;
mod stack;

use super::OpenOptions;
use super::frames::{Frames, crop_volume};
use crate::progress::Observer;
use crate::volume::{Geometry, Volume, Voxels};
use crate::{Error, Result};
use dicom_core::Tag;
use dicom_object::{DefaultDicomObject, OpenFileOptions};
use file::DicomFile;
use header::{Content, Header};
use pixels::Pixels;
use stack::{Slices, Stack};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use file::is_dicom;
pub(super) use series::directory_of;

/// Reads one series; `source` is what the user named, `files` the DICOM files there.
pub(super) fn read(
    source: &Path,
    files: &[PathBuf],
    options: &OpenOptions,
    observer: &mut dyn Observer,
) -> Result<Volume> {
    let stack = Stack::of(source, files, options)?;
    let (geometry, window) = (stack.geometry.clone(), stack.window());
    let slices = Slices::of(stack)?;
    let bytes = slices.bytes(options.crop.as_ref())?;
    let volume = if options.is_lazy(bytes) {
        let whole = Volume::lazy(slices.shape(), Arc::new(slices), geometry, "dicom");
        observer.step("open", 1, 1)?;
        match &options.crop {
            Some(crop) => crop_volume(whole, crop)?,
            None => whole,
        }
    } else {
        options.check_size(source, bytes)?;
        let [count, ..] = slices.shape();
        let mut frames = Frames::new(options.crop, count);
        for slice in 0..count {
            observer.step("open", slice, count)?;
            let (path, frame) = slices.decode(slice)?;
            frames.push(path, frame)?;
        }
        observer.step("open", count, count)?;
        frames.finish(source, &geometry, "dicom")?
    };
    Ok(volume.with_window(window))
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

/// The frames of one file, whatever they show: values as they are stored.
pub(super) struct StoredFrames {
    header: Box<Header>,
    pixels: Pixels,
}

impl StoredFrames {
    pub fn open(path: &Path) -> Result<Self> {
        let Content::Image(header) = Header::read(path)? else { return Err(Error::format(path, "has no frames")) };
        Ok(Self { pixels: Pixels::open(&header)?, header })
    }

    pub fn are_compressed(&self) -> bool {
        self.pixels.are_compressed()
    }

    /// `[rows, columns]` of a frame that is there; an error names it otherwise.
    pub fn frame(&mut self, frame: usize) -> Result<Voxels> {
        if frame >= self.header.frames.len() {
            return Err(Error::format(&self.header.path, format!("has no frame {frame}: damaged")));
        }
        self.pixels.stored(&self.header, frame)
    }
}

/// A DICOM file's elements, whole or up to a tag, after a look at the lengths that it claims.
pub(super) fn open_object(path: &Path, until: Option<Tag>) -> Result<DefaultDicomObject> {
    let ours = DicomFile::open(path)?.syntax;
    let open = |until| {
        let options = OpenFileOptions::new();
        let options = if let Some(tag) = until { options.read_until(tag) } else { options };
        options.open_file(path).map_err(|error| Error::format(path, one_line(&error.to_string())))
    };
    // in another syntax the same bytes are other lengths, and the crate asks for as much memory as they say
    let theirs = open(Some(Tag(8, 0)))?;
    match theirs.meta().transfer_syntax().trim_matches(['\0', ' ']) {
        same if same == ours => open(until),
        _ => Err(Error::format(
            path,
            "does not say how it is written (transfer syntax): its meta information is damaged",
        )),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
