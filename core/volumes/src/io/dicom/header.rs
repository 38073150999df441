//! What a DICOM file says about its slices, read without the pixels.
//!
//! Attributes of a slice are looked up where the multi-frame modules put them: in the frame's functional groups, in the shared ones,
//! plainly in the file (PS3.3 C.7.6.16). Standard: PS3.3 C.7.6.2 (image plane), C.7.6.3 (pixels), C.8.8.3 (dose grids), C.11.1 and
//! C.11.2 (modality LUT, window).

use super::elements::{DataSet, PixelElement};
use super::file::DicomFile;
use crate::{Error, Result};
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use std::path::{Path, PathBuf};

/// Made from images, on their grid: beside the images that they belong to they are results, not slices.
const SEGMENTATIONS: [&str; 3] =
    [uids::SEGMENTATION_STORAGE, uids::LABEL_MAP_SEGMENTATION_STORAGE, uids::HEIGHT_MAP_SEGMENTATION_STORAGE];

/// What lies in a DICOM file.
pub(super) enum Content {
    Image(Box<Header>),
    /// a report, a presentation state, spectra, a DICOMDIR: its modality
    Other(String),
}

/// One file's description.
pub(super) struct Header {
    pub path: PathBuf,
    /// a segmentation, which may lie beside the images that it was made of
    pub is_segmentation: bool,
    pub series: String,
    pub series_number: String,
    pub description: String,
    pub modality: String,
    /// SOPInstanceUID
    pub uid: String,
    pub instance: Option<i64>,
    pub rows: usize,
    pub columns: usize,
    pub samples: usize,
    pub stored: Stored,
    /// colour by plane instead of colour by pixel
    pub planar: bool,
    pub photometric: String,
    /// between slices, where there is no position
    pub thickness: Option<f64>,
    pub has_modality_lut: bool,
    pub frames: Vec<FrameHeader>,
}

/// How numbers are stored (PS3.5 8.1.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stored {
    pub allocated: u16,
    pub bits: u16,
    pub high: u16,
    pub signed: bool,
    /// Float Pixel Data, Double Float Pixel Data
    pub float: bool,
}

/// What may differ from frame to frame of a multi-frame file.
#[derive(Debug, Clone)]
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
    /// what the file wants to be shown, in modality units
    pub window: Option<(f64, f64)>,
}

impl Header {
    /// Reads what a file says of itself.
    pub fn read(path: &Path) -> Result<Content> {
        let file = DicomFile::open(path)?;
        let set = &file.set;
        let size = set.integer(tags::ROWS).zip(set.integer(tags::COLUMNS));
        match (size, file.pixels) {
            (Some(size), Some(pixels)) => {
                Self::of(path, &file, size, pixels).map(|header| Content::Image(Box::new(header)))
            }
            (None, Some(_)) => Err(Error::format(path, "has pixels but no Rows or Columns: damaged")),
            // spectra have rows and columns, too
            (Some(_), None) if set.text(tags::SOP_CLASS_UID) != uids::MR_SPECTROSCOPY_STORAGE => {
                Err(Error::format(path, "has no pixel data: damaged, truncated, or not an image"))
            }
            _ => Ok(Content::Other(set.text(tags::MODALITY))),
        }
    }

    fn of(path: &Path, file: &DicomFile, (rows, columns): (i64, i64), pixels: PixelElement) -> Result<Self> {
        let set = &file.set;
        let number = |tag| set.integer(tag);
        let count = number(tags::NUMBER_OF_FRAMES).unwrap_or(1);
        let samples = number(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let stored = Stored::of(path, set, pixels.tag)?;
        // compressed or not, a frame takes a few bits
        let most = (file.length - pixels.offset.min(file.length)).saturating_mul(8);
        if rows < 1 || columns < 1 || count < 1 || !(1..=4).contains(&samples) || count as u64 > most {
            let what = format!(
                "claims {count} frames of {columns} x {rows} pixels with {samples} values in {} bytes: damaged or truncated",
                file.length
            );
            return Err(Error::format(path, what));
        }
        let mut header = Self {
            path: path.to_path_buf(),
            is_segmentation: SEGMENTATIONS.contains(&set.text(tags::SOP_CLASS_UID).as_str()),
            series: set.text(tags::SERIES_INSTANCE_UID),
            series_number: set.text(tags::SERIES_NUMBER),
            description: set.text(tags::SERIES_DESCRIPTION),
            modality: set.text(tags::MODALITY),
            uid: set.text(tags::SOP_INSTANCE_UID),
            instance: number(tags::INSTANCE_NUMBER),
            rows: rows as usize,
            columns: columns as usize,
            samples: samples as usize,
            stored,
            planar: number(tags::PLANAR_CONFIGURATION) == Some(1),
            photometric: photometric(set, samples),
            thickness: thickness(set),
            has_modality_lut: set.has(tags::MODALITY_LUT_SEQUENCE),
            frames: Vec::new(),
        };
        if pixels.length.is_some() {
            header.check_length(count as u64, &pixels)?;
        }
        header.frames = frames(set, count as usize);
        Ok(header)
    }

    /// Bits of one uncompressed frame.
    pub fn frame_bits(&self) -> u64 {
        // YBR_FULL_422 stores two brightnesses and one pair of colours for two pixels
        let samples = if self.photometric == "YBR_FULL_422" { 2 } else { self.samples };
        (self.rows * self.columns * samples) as u64 * u64::from(self.stored.allocated)
    }

    /// Before a description of every frame is made: are they there?
    fn check_length(&self, count: u64, pixels: &PixelElement) -> Result<()> {
        let there = pixels.length.unwrap_or(0);
        let wanted = self.frame_bits().saturating_mul(count).div_ceil(8);
        if there < wanted {
            let what = format!("is truncated: {there} bytes of pixel data instead of {wanted}");
            return Err(Error::format(&self.path, what));
        }
        Ok(())
    }
}

/// What the file says; grey or RGB where it says nothing.
fn photometric(set: &DataSet, samples: i64) -> String {
    let text = set.text(tags::PHOTOMETRIC_INTERPRETATION).to_uppercase();
    match (text.is_empty(), samples) {
        (false, _) => text,
        (true, 1) => "MONOCHROME2".to_owned(),
        (true, _) => "RGB".to_owned(),
    }
}

impl Stored {
    fn of(path: &Path, set: &DataSet, pixels: Tag) -> Result<Self> {
        if pixels != tags::PIXEL_DATA {
            let allocated = if pixels == tags::FLOAT_PIXEL_DATA { 32 } else { 64 };
            return Ok(Self { allocated, bits: allocated, high: allocated - 1, signed: true, float: true });
        }
        let missing = || Error::format(path, "has no BitsAllocated: damaged, or not an image");
        let allocated = set.integer(tags::BITS_ALLOCATED).ok_or_else(missing)?;
        let bits = set.integer(tags::BITS_STORED).unwrap_or(allocated);
        let high = set.integer(tags::HIGH_BIT).unwrap_or(bits - 1);
        let signed = set.integer(tags::PIXEL_REPRESENTATION) == Some(1);
        let fits = (1..=allocated).contains(&bits) && high < allocated && high + 1 >= bits;
        if !matches!(allocated, 1 | 8 | 16 | 32 | 64) || !fits {
            let what = format!("stores {bits} of {allocated} bits (high bit {high}), which is not supported");
            return Err(Error::format(path, what));
        }
        Ok(Self { allocated: allocated as u16, bits: bits as u16, high: high as u16, signed, float: false })
    }
}

fn frames(set: &DataSet, count: usize) -> Vec<FrameHeader> {
    let shared = set.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
    let own = set.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    let plain = FrameHeader::of(&Lookup { set, shared, own: None });
    let mut frames: Vec<FrameHeader> = (0..count)
        .map(|frame| {
            own.get(frame)
                .map_or_else(|| plain.clone(), |_| FrameHeader::of(&Lookup { set, shared, own: own.get(frame) }))
        })
        .collect();
    if own.is_empty() && count > 1 {
        place_plain_frames(set, &mut frames);
    }
    frames
}

/// One position for many frames: the first one's. The others follow along the normal, by the offsets of a dose grid or the spacing
/// between slices; where neither is given their place is unknown.
fn place_plain_frames(set: &DataSet, frames: &mut [FrameHeader]) {
    let offsets = set.numbers(tags::GRID_FRAME_OFFSET_VECTOR).filter(|offsets| offsets.len() == frames.len());
    let between = set.number(tags::SPACING_BETWEEN_SLICES).filter(|&between| between != 0.0);
    for (i, frame) in frames.iter_mut().enumerate() {
        let offset = match (&offsets, between) {
            (Some(offsets), _) => Some(offsets[i] - offsets[0]),
            (None, Some(between)) => Some(between * i as f64),
            _ => None,
        };
        frame.position = match (frame.position, frame.orientation, offset) {
            (Some(first), Some(orientation), Some(offset)) => {
                let normal = super::geometry::normal(orientation);
                Some([0, 1, 2].map(|axis| first[axis] + normal[axis] * offset))
            }
            _ => None,
        };
    }
}

/// Where an attribute of a frame may be.
struct Lookup<'a> {
    set: &'a DataSet,
    shared: Option<&'a DataSet>,
    own: Option<&'a DataSet>,
}

impl<'a> Lookup<'a> {
    /// The data set that holds `tag`: the frame's group, the shared group, the file.
    fn find(&self, group: Tag, tag: Tag) -> Option<&'a DataSet> {
        let in_group = |groups: Option<&'a DataSet>| groups?.items(group).first().filter(|item| item.has(tag));
        in_group(self.own).or_else(|| in_group(self.shared)).or(Some(self.set).filter(|set| set.has(tag)))
    }

    fn numbers<const N: usize>(&self, group: Tag, tag: Tag) -> Option<[f64; N]> {
        let numbers = self.find(group, tag)?.numbers(tag)?;
        <[f64; N]>::try_from(numbers).ok().filter(|values| values.iter().all(|v| v.is_finite()))
    }
}

impl FrameHeader {
    fn of(lookup: &Lookup<'_>) -> Self {
        let one = |tag| lookup.numbers::<1>(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tag).map(|[value]| value);
        let positive = |spacing: &[f64; 2]| spacing.iter().all(|&s| s > 0.0);
        let plain = |tag| lookup.set.numbers(tag).and_then(|v| <[f64; 2]>::try_from(v).ok());
        Self {
            orientation: lookup.numbers(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT),
            position: lookup.numbers(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT),
            // projections and scanned pictures have a spacing of their own name
            spacing: lookup
                .numbers(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING)
                .or_else(|| plain(tags::IMAGER_PIXEL_SPACING))
                .or_else(|| plain(tags::NOMINAL_SCANNED_PIXEL_SPACING))
                .filter(positive),
            slope: one(tags::RESCALE_SLOPE).unwrap_or(1.0),
            intercept: one(tags::RESCALE_INTERCEPT).unwrap_or(0.0),
            window: window(lookup),
        }
    }
}

/// The first window (PS3.3 C.11.2.1.2), else the input range of the VOI LUT.
fn window(lookup: &Lookup<'_>) -> Option<(f64, f64)> {
    let group = tags::FRAME_VOILUT_SEQUENCE;
    let first = |tag| lookup.find(group, tag)?.number(tag);
    if let (Some(centre), Some(width)) = (first(tags::WINDOW_CENTER), first(tags::WINDOW_WIDTH)) {
        let function = lookup.find(group, tags::VOILUT_FUNCTION).map(|set| set.text(tags::VOILUT_FUNCTION));
        let exact = function.is_some_and(|name| name == "LINEAR_EXACT" || name == "SIGMOID");
        let (centre, width) = if exact { (centre, width) } else { (centre - 0.5, width - 1.0) };
        return (width >= 0.0).then_some((centre - width / 2.0, centre + width / 2.0));
    }
    let table = lookup.set.items(tags::VOILUT_SEQUENCE).first()?.numbers(tags::LUT_DESCRIPTOR)?;
    let [count, first, _] = table[..] else { return None };
    let count = if count <= 0.0 { count + 65536.0 } else { count };
    Some((first, first + count - 1.0))
}

/// SpacingBetweenSlices, else SliceThickness.
fn thickness(set: &DataSet) -> Option<f64> {
    let shared = set.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
    let own = set.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).first();
    let lookup = Lookup { set, shared, own };
    [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS].into_iter().find_map(|tag| {
        let [value] = lookup.numbers::<1>(tags::PIXEL_MEASURES_SEQUENCE, tag)?;
        Some(value.abs()).filter(|&value| value > 0.0)
    })
}
