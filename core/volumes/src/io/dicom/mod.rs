//! DICOM to a [`Volume`]: one multi-frame file, the files of one series in a folder, or what a DICOMDIR names.
//!
//! Headers first (`file`, `elements`, `header`), then which series (`series`), the order of the slices and their place in the patient
//! (`geometry`), then the pixels frame by frame (`stack`, `pixels`, `fragments`, `codec`, `palette`): at once into memory, or, for large
//! ones, when they are asked for. Modality LUT applied, window not ([`Volume::window`] tells it); MONOCHROME1 not inverted; palettes and
//! YBR as RGB; padding values kept. Standard: DICOM PS3.3 C.7.6.2 (image plane), C.7.6.3 (pixels), C.7.6.16 (multi-frame), C.11.1 (LUT),
//! PS3.5, PS3.10.

mod charset;
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
use dicom_dictionary_std::{tags, uids};
use file::DicomFile;
use geometry::Slice;
use header::{Content, Header};
use pixels::Pixels;
use stack::{Slices, Stack};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use elements::DataSet;
pub(super) use file::{is_dicom, is_named_so};
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
    stack.notes.iter().for_each(|note| observer.note(&format!("{}: {note}", source.display())));
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

/// A slice as [`read`] stacks it: its file, the frame in it from 0, and where its first pixel and its axes lie (left-back-up).
pub(super) struct PlacedSlice {
    pub path: PathBuf,
    pub frame: usize,
    pub position: Option<[f64; 3]>,
    pub orientation: Option<[f64; 6]>,
}

/// The slices of one series in the order of the volume, and the volume's geometry.
pub(super) fn slices(source: &Path, files: &[PathBuf], options: &OpenOptions) -> Result<(Vec<PlacedSlice>, Geometry)> {
    let Stack { headers, order, geometry, .. } = Stack::of(source, files, options)?;
    let slice = |slice: Slice| {
        let (header, frame) = (&headers[slice.file], &headers[slice.file].frames[slice.frame]);
        let (position, orientation) = (frame.position, frame.orientation);
        PlacedSlice { path: header.path.clone(), frame: slice.frame, position, orientation }
    };
    Ok((order.into_iter().map(slice).collect(), geometry))
}

/// Syntaxes that cannot pack without loss.
const LOSSY: [&str; 4] =
    [uids::JPEG_BASELINE8_BIT, uids::JPEG_EXTENDED12_BIT, uids::JPEGLS_NEAR_LOSSLESS, uids::JPEGXLJPEG_RECOMPRESSION];

/// Were values of one of the files rounded when it was packed, as far as it says? For people.
pub(super) fn lossy(source: &Path, files: &[PathBuf]) -> Result<Option<String>> {
    let files = match files {
        [one] => series::referenced_files(one)?.unwrap_or_else(|| files.to_vec()),
        several => several.to_vec(),
    };
    for path in files {
        let file = DicomFile::open(&path)?;
        if LOSSY.contains(&file.syntax.as_str()) || file.set.text(tags::LOSSY_IMAGE_COMPRESSION) == "01" {
            let name = if path == source { String::new() } else { format!(" ({})", path.display()) };
            return Ok(Some(format!("a DICOM image that was compressed with loss{name}")));
        }
    }
    Ok(None)
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

/// Texts of a file as they are in it, and the character set that they are in.
pub(super) struct Texts {
    set: DataSet,
    path: PathBuf,
}

impl Texts {
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { set: DicomFile::open(path)?.set, path: path.to_path_buf() })
    }

    /// The elements.
    pub fn set(&self) -> &DataSet {
        &self.set
    }

    /// The bytes of an element; nothing where it is absent.
    pub fn bytes(&self, tag: Tag) -> Option<&[u8]> {
        self.set.bytes(tag)
    }

    /// The value of SpecificCharacterSet; empty where there is none.
    pub fn character_sets(&self) -> String {
        self.set.character_sets()
    }

    /// The text in Unicode. Errors: a character set that is not known, bytes that are not of it.
    pub fn unicode(&self, tag: Tag) -> Result<String> {
        let sets = self.character_sets();
        let text = charset::decoded(self.set.bytes(tag).unwrap_or_default(), &sets).ok_or_else(|| {
            let what = format!("{} cannot be read in the character set \"{sets}\"", elements::name(tag));
            let how = "describe the segmentation with ASCII alone, then it is copied as it is";
            Error::format(&self.path, format!("{what}: {how}"))
        })?;
        Ok(text.trim_end_matches([' ', '\0']).to_owned())
    }
}

/// Everything before the pixels of a file, read with no more memory than the file has bytes.
pub(super) fn elements_of(path: &Path) -> Result<DataSet> {
    Ok(DicomFile::open(path)?.set)
}
