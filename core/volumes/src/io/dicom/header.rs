//! What a DICOM file says about its slices, read without the pixels.
//!
//! Attributes of a slice are looked up where the multi-frame modules put them: in the frame's functional groups, in the shared ones,
//! plainly in the file (PS3.3 C.7.6.16). Standard: PS3.3 C.7.6.2 (image plane), C.7.6.3 (pixels), C.8.8.3 (dose grids), C.11.1 and
//! C.11.2 (modality LUT, window).

use super::elements::{DataSet, Fault, Parsed, PixelElement, name};
use super::file::DicomFile;
use super::fragments;
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
    /// InstanceNumber, or why it cannot be read: it counts only where slices have no place
    pub instance: Parsed<Option<i64>>,
    pub rows: usize,
    pub columns: usize,
    pub samples: usize,
    pub stored: Stored,
    /// colour by plane instead of colour by pixel
    pub planar: bool,
    pub photometric: String,
    /// between slices, where there is no position, or why it is not known
    pub thickness: Parsed<f64>,
    pub has_modality_lut: bool,
    pub frames: Vec<FrameHeader>,
    /// what people should know of this file
    pub notes: Vec<String>,
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
    /// the smallest step that the text of the position can tell
    pub position_step: Option<f64>,
    /// PixelSpacing: between rows, between columns, or why it is not known
    pub spacing: Parsed<[f64; 2]>,
    /// stored value to modality units
    pub slope: f64,
    pub intercept: f64,
    /// what the file wants to be shown, in modality units
    pub window: Option<(f64, f64)>,
}

impl Header {
    /// Reads what a file says of itself.
    pub fn read(path: &Path) -> Result<Content> {
        let mut file = DicomFile::open(path)?;
        let damaged = |fault: Fault| Error::format(path, format!("{fault}: damaged"));
        let size = |tag| file.set.integer(tag).map_err(damaged);
        match (size(tags::ROWS)?.zip(size(tags::COLUMNS)?), file.pixels) {
            (Some(size), Some(pixels)) => {
                Self::of(path, &mut file, size, pixels).map(|header| Content::Image(Box::new(header)))
            }
            (None, Some(_)) => Err(Error::format(path, "has pixels but no Rows or Columns: damaged")),
            // spectra have rows and columns, too
            (Some(_), None) if file.set.text(tags::SOP_CLASS_UID) != uids::MR_SPECTROSCOPY_STORAGE => {
                Err(Error::format(path, "has no pixel data: damaged, truncated, or not an image"))
            }
            _ => Ok(Content::Other(file.set.text(tags::MODALITY))),
        }
    }

    fn of(path: &Path, file: &mut DicomFile, (rows, columns): (i64, i64), pixels: PixelElement) -> Result<Self> {
        let set = &file.set;
        let damaged = |fault: Fault| Error::format(path, fault);
        let number = |tag| set.integer(tag).map_err(damaged);
        let count = number(tags::NUMBER_OF_FRAMES)?.unwrap_or(1);
        let samples = number(tags::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        let stored = Stored::of(path, set, pixels.tag)?;
        // packed or not, a frame takes a byte or more
        let most = file.length - pixels.offset.min(file.length);
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
            instance: set.integer(tags::INSTANCE_NUMBER),
            rows: rows as usize,
            columns: columns as usize,
            samples: samples as usize,
            stored,
            planar: number(tags::PLANAR_CONFIGURATION)? == Some(1),
            photometric: photometric(set, samples),
            thickness: thickness(set),
            has_modality_lut: set.has(tags::MODALITY_LUT_SEQUENCE),
            frames: Vec::new(),
            notes: Vec::new(),
        };
        let count = header.frames_there(file, count as u64, &pixels)?;
        (header.frames, header.notes) = frames(&file.set, count, header.notes).map_err(damaged)?;
        Ok(header)
    }

    /// Bits of one uncompressed frame.
    pub fn frame_bits(&self) -> u64 {
        // YBR_FULL_422 stores two brightnesses and one pair of colours for two pixels
        let samples = if self.photometric == "YBR_FULL_422" { 2 } else { self.samples };
        (self.rows * self.columns * samples) as u64 * u64::from(self.stored.allocated)
    }

    /// Before a description of every frame is made: how many are there? Fewer than claimed is an error; more are read, and a note says so.
    fn frames_there(&mut self, file: &mut DicomFile, claimed: u64, pixels: &PixelElement) -> Result<usize> {
        let there = match pixels.length {
            Some(length) => self.uncompressed(length, claimed)?,
            None => {
                let there =
                    fragments::count(file, pixels, claimed).map_err(|fault| Error::format(&self.path, fault))?;
                if there < claimed {
                    let what = format!("is truncated or damaged: {there} compressed frames instead of {claimed}");
                    return Err(Error::format(&self.path, what));
                }
                there
            }
        };
        if there == claimed {
            return Ok(claimed as usize);
        }
        let described = file.set.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).len() as u64;
        let says = format!("NumberOfFrames says {claimed} frames, the pixel data hold {there}");
        if described != 0 && described < there {
            let what = format!("{says}, and {described} are described: its header is damaged");
            return Err(Error::format(&self.path, what));
        }
        self.notes.push(format!("{says}: all {there} are read"));
        Ok(there as usize)
    }

    /// How many frames uncompressed pixels hold.
    fn uncompressed(&self, there: u64, claimed: u64) -> Result<u64> {
        let wanted = self.frame_bits().saturating_mul(claimed).div_ceil(8);
        if there < wanted {
            let what = format!("is truncated: {there} bytes of pixel data instead of {wanted}");
            return Err(Error::format(&self.path, what));
        }
        let planes = self.samples == 1 && (self.photometric == "RGB" || self.photometric.starts_with("YBR"));
        if planes && there / 3 >= wanted {
            let what = format!("is {} with SamplesPerPixel 1, but its pixel data hold three planes", self.photometric);
            return Err(Error::format(&self.path, format!("{what}: its header is damaged")));
        }
        // an odd number of bytes is padded
        let surplus = there.saturating_sub(wanted + wanted % 2);
        let more = surplus.saturating_mul(8) / self.frame_bits().max(1);
        Ok(if surplus >= self.frame_bits().div_ceil(8) { claimed.saturating_add(more) } else { claimed })
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
        let number = |tag| set.integer(tag).map_err(|fault| Error::format(path, fault));
        let missing = || Error::format(path, "has no BitsAllocated: damaged, or not an image");
        let allocated = number(tags::BITS_ALLOCATED)?.ok_or_else(missing)?;
        let bits = number(tags::BITS_STORED)?.unwrap_or(allocated);
        let high = number(tags::HIGH_BIT)?.unwrap_or(bits - 1);
        let signed = number(tags::PIXEL_REPRESENTATION)? == Some(1);
        let fits = (1..=allocated).contains(&bits) && high < allocated && high + 1 >= bits;
        if !matches!(allocated, 1 | 8 | 16 | 32 | 64) || !fits {
            let what = format!("stores {bits} of {allocated} bits (high bit {high}), which is not supported");
            return Err(Error::format(path, what));
        }
        Ok(Self { allocated: allocated as u16, bits: bits as u16, high: high as u16, signed, float: false })
    }
}

/// The description of every frame; `notes` grow by what people should know.
fn frames(set: &DataSet, count: usize, mut notes: Vec<String>) -> Parsed<(Vec<FrameHeader>, Vec<String>)> {
    let shared = set.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
    let own = set.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    let mut of = |own: Option<&DataSet>| FrameHeader::of(&Lookup { set, shared, own }, &mut notes);
    let described = own.iter().take(count).map(|own| of(Some(own))).collect::<Parsed<Vec<_>>>()?;
    let mut frames = described;
    if frames.len() < count {
        frames.resize(count, of(None)?);
    }
    if own.is_empty() && count > 1 {
        place_plain_frames(set, &mut frames)?;
    }
    notes.dedup();
    Ok((frames, notes))
}

/// One position for many frames: the first one's. The others follow along the normal, by the offsets of a dose grid or the spacing
/// between slices; where neither is given their place is unknown.
fn place_plain_frames(set: &DataSet, frames: &mut [FrameHeader]) -> Parsed<()> {
    let offsets = set.numbers(tags::GRID_FRAME_OFFSET_VECTOR)?;
    if let Some(offsets) = offsets.as_ref().filter(|offsets| offsets.len() != frames.len()) {
        let (offset, count) = (name(tags::GRID_FRAME_OFFSET_VECTOR), frames.len());
        return Err(format!("{offset} has {} values for {count} frames", offsets.len()));
    }
    let between = set.number(tags::SPACING_BETWEEN_SLICES)?.filter(|&between| between != 0.0);
    for (i, frame) in frames.iter_mut().enumerate() {
        let offset = match (&offsets, between) {
            (Some(offsets), _) => Some(offsets[i] - offsets[0]),
            (None, Some(between)) => Some(between * i as f64),
            _ => None,
        };
        frame.position_step = None;
        frame.position = match (frame.position, frame.orientation, offset) {
            (Some(first), Some(orientation), Some(offset)) => {
                let normal = super::geometry::normal(orientation);
                Some([0, 1, 2].map(|axis| first[axis] + normal[axis] * offset))
            }
            _ => None,
        };
    }
    Ok(())
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

    fn numbers<const N: usize>(&self, group: Tag, tag: Tag) -> Parsed<Option<[f64; N]>> {
        self.find(group, tag).map_or(Ok(None), |set| set.exactly(tag))
    }
}

impl FrameHeader {
    fn of(lookup: &Lookup<'_>, notes: &mut Vec<String>) -> Parsed<Self> {
        let one = |tag| lookup.numbers::<1>(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tag);
        let [slope] = one(tags::RESCALE_SLOPE)?.unwrap_or([1.0]);
        let [intercept] = one(tags::RESCALE_INTERCEPT)?.unwrap_or([0.0]);
        if slope == 0.0 {
            return Err(format!("{} is 0: every value would be the same", name(tags::RESCALE_SLOPE)));
        }
        let position = (tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT);
        // a window that cannot be read is no window: values keep their meaning
        let window = window(lookup).unwrap_or_else(|fault| {
            notes.push(format!("{fault}: taken as if there were no window"));
            None
        });
        Ok(Self {
            orientation: lookup.numbers(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT)?,
            position: lookup.numbers(position.0, position.1)?,
            position_step: lookup.find(position.0, position.1).and_then(|set| set.written_step(position.1)),
            spacing: spacing(lookup),
            slope,
            intercept,
            window,
        })
    }
}

/// Between rows and between columns. Projections and scanned pictures have a spacing of their own name.
fn spacing(lookup: &Lookup<'_>) -> Parsed<[f64; 2]> {
    let plain = |tag| lookup.set.exactly::<2>(tag);
    let found = match lookup.numbers(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING)? {
        Some(found) => Some((tags::PIXEL_SPACING, found)),
        None => match plain(tags::IMAGER_PIXEL_SPACING)? {
            Some(found) => Some((tags::IMAGER_PIXEL_SPACING, found)),
            None => plain(tags::NOMINAL_SCANNED_PIXEL_SPACING)?.map(|f| (tags::NOMINAL_SCANNED_PIXEL_SPACING, f)),
        },
    };
    match found {
        Some((_, spacing)) if spacing.iter().all(|&mm| mm > 0.0) => Ok(spacing),
        Some((tag, [y, x])) => Err(format!("{} is {y}, {x} mm, which is no size", name(tag))),
        None => Err(format!("{} is missing", name(tags::PIXEL_SPACING))),
    }
}

/// The first window (PS3.3 C.11.2.1.2), else the input range of the VOI LUT.
fn window(lookup: &Lookup<'_>) -> Parsed<Option<(f64, f64)>> {
    let group = tags::FRAME_VOILUT_SEQUENCE;
    let first = |tag| lookup.find(group, tag).map_or(Ok(None), |set| set.number(tag));
    if let (Some(centre), Some(width)) = (first(tags::WINDOW_CENTER)?, first(tags::WINDOW_WIDTH)?) {
        let function = lookup.find(group, tags::VOILUT_FUNCTION).map(|set| set.text(tags::VOILUT_FUNCTION));
        let exact = function.is_some_and(|name| name == "LINEAR_EXACT" || name == "SIGMOID");
        let (centre, width) = if exact { (centre, width) } else { (centre - 0.5, width - 1.0) };
        return Ok((width >= 0.0).then_some((centre - width / 2.0, centre + width / 2.0)));
    }
    let Some(item) = lookup.set.items(tags::VOILUT_SEQUENCE).first() else { return Ok(None) };
    let Some([count, first, _]) = item.exactly::<3>(tags::LUT_DESCRIPTOR)? else { return Ok(None) };
    let count = if count <= 0.0 { count + 65536.0 } else { count };
    Ok(Some((first, first + count - 1.0)))
}

/// SpacingBetweenSlices, else SliceThickness.
fn thickness(set: &DataSet) -> Parsed<f64> {
    let shared = set.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
    let own = set.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).first();
    let lookup = Lookup { set, shared, own };
    for tag in [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS] {
        match lookup.numbers::<1>(tags::PIXEL_MEASURES_SEQUENCE, tag)? {
            Some([mm]) if mm != 0.0 => return Ok(mm.abs()),
            _ => {}
        }
    }
    Err(format!("{} is missing", name(tags::SLICE_THICKNESS)))
}
