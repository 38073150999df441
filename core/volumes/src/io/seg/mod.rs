//! Labels and probabilities as DICOM Segmentation objects, and back.
//!
//! Standard: PS3.3 A.51 (the IOD), C.8.20.2 (Segmentation Image), C.7.6.16 (functional groups), C.7.6.17 (dimensions); PS3.5 8.2 (bits of
//! BINARY frames). [`write_seg`] takes patient, study and geometry from the `source` files, puts the segments (one per object, numbered
//! 1, 2, ...) frame by frame (`frames`) into a data set (`build`) and writes it; `read` turns such a file of any maker into labels.

mod build;
mod codes;
mod elements;
mod frames;
mod grid;
mod names;
mod options;
mod read;
mod source;
mod uid;

pub use codes::Code;
pub use options::{Algorithm, CodedProperty, Property, SegOptions, Segment};
pub(super) use read::{is_seg, read};

use super::probabilities::Probabilities;
use super::write::{atomic_file, check_output};
use crate::volume::Labels;
use crate::{Error, Result};
use source::Source;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// What a DICOM Segmentation is made of.
#[derive(Debug, Clone, Copy)]
pub enum SegInput<'a> {
    /// BINARY: one bit per voxel and object
    Labels(&'a Labels),
    /// FRACTIONAL, PROBABILITY: one byte per voxel and object
    Probabilities(&'a Probabilities),
}

impl<'a> From<&'a Labels> for SegInput<'a> {
    fn from(labels: &'a Labels) -> Self {
        Self::Labels(labels)
    }
}

impl<'a> From<&'a Probabilities> for SegInput<'a> {
    fn from(probabilities: &'a Probabilities) -> Self {
        Self::Probabilities(probabilities)
    }
}

/// Writes a DICOM Segmentation of the DICOM images at `options.source`, one segment per object that has voxels.
///
/// The input lies on the grid of the source, or on a part of it (labels of a cropped volume are put back into whole slices). Errors: no
/// object, a source that is no DICOM series or of another size, texts that DICOM has no room for, an output that would overwrite the
/// source.
pub fn write_seg<'a>(path: impl AsRef<Path>, input: impl Into<SegInput<'a>>, options: &SegOptions) -> Result<()> {
    let (path, input) = (path.as_ref(), input.into());
    options.check()?;
    let source = Source::read(&options.source, &options.open)?;
    for file in &source.files {
        check_output(file, path)?;
    }
    let turned = match input {
        SegInput::Labels(labels) => grid::turned(labels, &source)?,
        SegInput::Probabilities(_) => None,
    };
    let input = turned.as_ref().map_or(input, SegInput::Labels);
    let object = build::file(path, &grid::Content::new(input, &source)?, &source, options)?;
    atomic_file(path, |temporary| {
        let mut out = BufWriter::new(File::create(temporary).map_err(Error::io(path))?);
        object.write_all(&mut out).map_err(|error| Error::format(path, format!("cannot be written: {error}")))?;
        out.flush().map_err(Error::io(path))
    })
}

/// Would [`write_seg`] find what it needs? For callers that compute for long before they write.
pub(super) fn check(options: &SegOptions, output: &Path) -> Result<()> {
    options.check()?;
    let source = Source::read(&options.source, &options.open)?;
    source.files.iter().try_for_each(|file| check_output(file, output))
}
