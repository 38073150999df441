//! What a DICOM file says about its slices, read without the pixels.

use super::guard;
use crate::{Error, Result};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::mem::InMemElement;
use dicom_object::{InMemDicomObject, OpenFileOptions};
use std::path::{Path, PathBuf};

/// where float pixel data would start: just before the pixels of any kind
const BEFORE_PIXELS: Tag = Tag(0x7FE0, 0x0008);

/// One file's description.
pub(super) struct Header {
    pub path: PathBuf,
    pub series: String,
    pub series_number: String,
    pub description: String,
    pub instance: Option<i64>,
    pub rows: usize,
    pub columns: usize,
    pub samples: usize,
    pub bits_allocated: u16,
    pub bits_stored: u16,
    pub high_bit: u16,
    pub signed: bool,
    /// colour by plane instead of colour by pixel
    pub planar: bool,
    pub photometric: String,
    /// between slices, where there is no position
    pub thickness: Option<f64>,
    pub has_modality_lut: bool,
    pub frames: Vec<FrameHeader>,
}

/// What may differ from frame to frame of a multi-frame file.
pub(super) struct FrameHeader {
    /// ImageOrientationPatient: direction of increasing column, of increasing row
    pub orientation: Option<[f64; 6]>,
    /// ImagePositionPatient: centre of the first pixel
    pub position: Option<[f64; 3]>,
    /// PixelSpacing: between rows, between columns
    pub spacing: Option<[f64; 2]>,
    /// stored value to modality units
    pub slope: f64,
    pub intercept: f64,
}

impl Header {
    /// `None` for a DICOM file that is no image.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
        if !super::is_dicom(path)? {
            return Err(Error::format(path, "is not a DICOM file (no DICM mark after 128 bytes)"));
        }
        guard::check_lengths(path)?;
        let object = OpenFileOptions::new()
            .read_until(BEFORE_PIXELS)
            .open_file(path)
            .map_err(|error| unreadable(path, &error))?;
        let number = |tag| integer(object.get(tag));
        let (Some(rows), Some(columns)) = (number(tags::ROWS), number(tags::COLUMNS)) else { return Ok(None) };
        let needed = |tag, name: &str| {
            number(tag).ok_or_else(|| Error::format(path, format!("has no {name}: damaged, or not an image")))
        };
        let count = number(tags::NUMBER_OF_FRAMES).unwrap_or(1);
        // no frame takes less than a byte, compressed or not
        if rows < 1 || columns < 1 || count < 1 || count as u64 > length {
            let what =
                format!("claims {count} frames of {columns} x {rows} pixels in {length} bytes: damaged or truncated");
            return Err(Error::format(path, what));
        }
        let bits_allocated = needed(tags::BITS_ALLOCATED, "BitsAllocated")?;
        let bits_stored = number(tags::BITS_STORED).unwrap_or(bits_allocated);
        let high_bit = number(tags::HIGH_BIT).unwrap_or(bits_stored - 1);
        if !matches!(bits_allocated, 8 | 16 | 32)
            || !(1..=bits_allocated).contains(&bits_stored)
            || high_bit >= bits_allocated
            || high_bit + 1 < bits_stored
        {
            let what =
                format!("stores {bits_stored} of {bits_allocated} bits (high bit {high_bit}), which is not supported");
            return Err(Error::format(path, what));
        }
        Ok(Some(Self {
            path: path.to_path_buf(),
            series: string(object.get(tags::SERIES_INSTANCE_UID)),
            series_number: string(object.get(tags::SERIES_NUMBER)),
            description: string(object.get(tags::SERIES_DESCRIPTION)),
            instance: number(tags::INSTANCE_NUMBER),
            rows: rows as usize,
            columns: columns as usize,
            samples: number(tags::SAMPLES_PER_PIXEL).unwrap_or(1).max(1) as usize,
            bits_allocated: bits_allocated as u16,
            bits_stored: bits_stored as u16,
            high_bit: high_bit as u16,
            signed: number(tags::PIXEL_REPRESENTATION) == Some(1),
            planar: number(tags::PLANAR_CONFIGURATION) == Some(1),
            photometric: string(object.get(tags::PHOTOMETRIC_INTERPRETATION)),
            thickness: thickness(&object),
            has_modality_lut: object.get(tags::MODALITY_LUT_SEQUENCE).is_some(),
            frames: (0..count as usize).map(|frame| FrameHeader::of(&object, frame)).collect(),
        }))
    }
}

impl FrameHeader {
    fn of(object: &InMemDicomObject, frame: usize) -> Self {
        let one = |group, tag| floats::<1>(in_frame(object, frame, group, tag)).map(|[value]| value);
        Self {
            orientation: floats(in_frame(
                object,
                frame,
                tags::PLANE_ORIENTATION_SEQUENCE,
                tags::IMAGE_ORIENTATION_PATIENT,
            )),
            position: floats(in_frame(object, frame, tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT)),
            spacing: floats(in_frame(object, frame, tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING))
                .filter(|spacing: &[f64; 2]| spacing.iter().all(|&s| s > 0.0)),
            slope: one(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tags::RESCALE_SLOPE).unwrap_or(1.0),
            intercept: one(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tags::RESCALE_INTERCEPT).unwrap_or(0.0),
        }
    }
}

/// SpacingBetweenSlices, else SliceThickness.
fn thickness(object: &InMemDicomObject) -> Option<f64> {
    [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS].into_iter().find_map(|tag| {
        floats::<1>(in_frame(object, 0, tags::PIXEL_MEASURES_SEQUENCE, tag))
            .map(|[value]| value.abs())
            .filter(|&value| value > 0.0)
    })
}

/// An attribute as the multi-frame standard hides it: in the frame's functional group, in the shared one, or plainly in the file.
fn in_frame(object: &InMemDicomObject, frame: usize, group: Tag, tag: Tag) -> Option<&InMemElement> {
    let group_item =
        |sequence: Tag, item: usize| object.get(sequence)?.items()?.get(item)?.get(group)?.items()?.first()?.get(tag);
    group_item(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame)
        .or_else(|| group_item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0))
        .or_else(|| object.get(tag))
}

fn floats<const N: usize>(element: Option<&InMemElement>) -> Option<[f64; N]> {
    let values = element?.to_multi_float64().ok()?;
    <[f64; N]>::try_from(values).ok().filter(|values| values.iter().all(|v| v.is_finite()))
}

fn integer(element: Option<&InMemElement>) -> Option<i64> {
    element?.to_int::<i64>().ok()
}

fn string(element: Option<&InMemElement>) -> String {
    let text = element.and_then(|element| element.to_str().ok());
    text.map(|text| text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()).unwrap_or_default()
}

/// The whole chain of reasons on one line.
pub(super) fn unreadable(path: &Path, error: &dyn std::error::Error) -> Error {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    Error::format(
        path,
        format!(
            "cannot be read as DICOM, damaged or truncated ({})",
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        ),
    )
}
