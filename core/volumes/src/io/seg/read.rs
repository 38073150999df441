//! DICOM Segmentations of any maker to [`Labels`] (PS3.3 A.51, C.8.20.2).
//!
//! BINARY, FRACTIONAL (a voxel goes to the segment with the highest value, from a half up) and LABELMAP. Frames are put where their
//! position says; slices without frames are empty. Objects keep their numbers in files of this program, else they are the segment
//! numbers.

use super::source::{floats, in_frame, whole};
use crate::io::dicom::{self, DataSet, StoredFrames};
use crate::volume::{Geometry, Labels, Voxels};
use crate::{Error, Result};
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use std::path::Path;

/// start of our TrackingIDs; the object's number follows
pub(super) const TRACKING: &str = "SAM-OCTA2 object ";
/// our private element: the number of slices of the source
pub(super) const PRIVATE_CREATOR: &str = "SAM-OCTA2";
pub(super) const PRIVATE_CREATOR_TAG: Tag = Tag(0x0063, 0x0010);
pub(super) const PRIVATE_SLICES: Tag = Tag(0x0063, 0x1001);

/// how far, relative to the spacing, frames may lie off an even grid
const EVEN: f64 = 0.02;
/// more slices or voxels than this are a mistake: between two frames may be any number of empty slices
const MOST_SLICES: usize = 20_000;
const MOST_VOXELS: usize = 1 << 31;

/// Is the file a segmentation, by its SOP class?
pub(in crate::io) fn is_seg(path: &Path) -> Result<bool> {
    let class = dicom::elements_of(path)?.text(tags::SOP_CLASS_UID);
    Ok(class == uids::SEGMENTATION_STORAGE || class == uids::LABEL_MAP_SEGMENTATION_STORAGE)
}

/// Reads a segmentation as labels.
pub(in crate::io) fn read(path: &Path) -> Result<Labels> {
    let object = dicom::elements_of(path)?;
    let header = Header::of(path, &object)?;
    let places = header.places(path, &object)?;
    let slices = places.iter().map(|place| place.slice + 1).max().unwrap_or(0);
    let declared = number(&object, PRIVATE_SLICES).filter(|_| is_ours(&object)).unwrap_or(0);
    let slices = slices.max(declared.min(MOST_SLICES));
    let mut frames = header.pixels(path)?;
    let voxels = slices.checked_mul(header.rows * header.columns).filter(|&n| n <= MOST_VOXELS);
    let voxels = voxels.ok_or_else(|| Error::format(path, format!("claims {slices} slices: too large, or damaged")))?;
    let geometry = header.geometry(&object, &places);
    let mut labels =
        Labels { frames: slices, rows: header.rows, columns: header.columns, data: vec![0; voxels], geometry };
    // the highest value so far, where values compete
    let mut best = vec![0u16; if header.kind == Kind::Fractional { voxels } else { 0 }];
    for (frame, place) in places.iter().enumerate() {
        header.paint(path, frames.frame(frame)?, *place, &mut labels, &mut best)?;
    }
    Ok(labels)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Binary,
    Fractional,
    LabelMap,
}

struct Header {
    kind: Kind,
    rows: usize,
    columns: usize,
    frames: usize,
    bits: u16,
    /// the value that stands for 1
    most: u16,
    /// segment number to object number
    objects: Vec<u16>,
}

/// Where a frame belongs.
#[derive(Clone, Copy)]
struct Place {
    segment: u16,
    slice: usize,
}

impl Header {
    fn of(path: &Path, object: &DataSet) -> Result<Self> {
        let kind = match object.text(tags::SEGMENTATION_TYPE).as_str() {
            "BINARY" => Kind::Binary,
            "FRACTIONAL" => Kind::Fractional,
            "LABELMAP" => Kind::LabelMap,
            other => {
                return Err(Error::format(path, format!("has SegmentationType {other:?}, which is not supported")));
            }
        };
        let needed = |tag, name: &str, most: usize| {
            number(object, tag)
                .filter(|n| (1..=most).contains(n))
                .ok_or_else(|| Error::format(path, format!("has no {name}, or a wrong one: damaged")))
        };
        let header = Self {
            kind,
            rows: needed(tags::ROWS, "Rows", 65535)?,
            columns: needed(tags::COLUMNS, "Columns", 65535)?,
            frames: needed(tags::NUMBER_OF_FRAMES, "NumberOfFrames", i32::MAX as usize)?,
            bits: needed(tags::BITS_ALLOCATED, "BitsAllocated", 16)? as u16,
            most: number(object, tags::MAXIMUM_FRACTIONAL_VALUE).unwrap_or(255).clamp(1, 255) as u16,
            objects: objects(path, object)?,
        };
        let bits = match kind {
            Kind::Binary => header.bits == 1,
            Kind::Fractional => header.bits == 8,
            Kind::LabelMap => matches!(header.bits, 8 | 16),
        };
        let groups = object.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).len();
        let voxels = (header.rows * header.columns).checked_mul(header.frames);
        if voxels.is_none_or(|voxels| voxels > MOST_VOXELS) || !bits || groups != header.frames {
            let what = format!(
                "has {} frames of {} x {} with {} bits and {groups} descriptions of frames: damaged, or too large",
                header.frames, header.columns, header.rows, header.bits
            );
            return Err(Error::format(path, what));
        }
        Ok(header)
    }

    /// The frames; the first is decoded, so that there is something to ask for memory for.
    fn pixels(&self, path: &Path) -> Result<StoredFrames> {
        let mut frames = StoredFrames::open(path)?;
        if self.bits == 1 && frames.are_compressed() {
            return Err(Error::Unsupported(format!("{}: compressed BINARY frames cannot be read", path.display())));
        }
        frames.frame(0)?;
        Ok(frames)
    }

    /// Segment and slice of every frame.
    fn places(&self, path: &Path, object: &DataSet) -> Result<Vec<Place>> {
        let segment = |frame| {
            let tag = tags::REFERENCED_SEGMENT_NUMBER;
            let number = whole(in_frame(object, frame, tags::SEGMENT_IDENTIFICATION_SEQUENCE, tag), tag)?;
            u16::try_from(number).ok().filter(|&n| self.objects.get(usize::from(n)).is_some_and(|&o| o > 0))
        };
        let slices = self.slices(path, object)?;
        let place = |(frame, slice)| match (self.kind, segment(frame)) {
            (Kind::LabelMap, _) => Ok(Place { segment: 0, slice }),
            (_, Some(segment)) => Ok(Place { segment, slice }),
            _ => Err(Error::format(path, format!("frame {frame} belongs to no segment of the file: damaged"))),
        };
        slices.into_iter().enumerate().map(place).collect()
    }

    /// The slice of every frame: by its position in our stacks, by its place, else one after the other.
    fn slices(&self, path: &Path, object: &DataSet) -> Result<Vec<usize>> {
        let all = 0..self.frames;
        let in_stack = |frame| {
            let tag = tags::IN_STACK_POSITION_NUMBER;
            let number = whole(in_frame(object, frame, tags::FRAME_CONTENT_SEQUENCE, tag), tag);
            number.filter(|n| (1..=MOST_SLICES).contains(n)).map(|n| n - 1)
        };
        let numbered: Option<Vec<usize>> = all.clone().map(in_stack).collect();
        if let Some(slices) = numbered.filter(|_| is_ours(object)) {
            return Ok(slices);
        }
        let Some(places) = heights(object, self.frames) else {
            let source = |frame| source_frame(object, frame);
            return Ok(all.clone().map(source).collect::<Option<_>>().unwrap_or_else(|| all.collect()));
        };
        let lowest = places.iter().copied().fold(f64::INFINITY, f64::min);
        let step = step(&places).unwrap_or(1.0);
        let slices = places.iter().map(|place| (place - lowest) / step);
        if slices.clone().any(|slice| (slice - slice.round()).abs() > EVEN || slice > MOST_SLICES as f64) {
            return Err(Error::format(path, format!("frames are not evenly spaced (nearest: {step:.4} mm)")));
        }
        Ok(slices.map(|slice| slice.round() as usize).collect())
    }

    /// The place of slice 0, and the step from slice to slice.
    fn geometry(&self, object: &DataSet, places: &[Place]) -> Geometry {
        let measure = |tag| in_frame(object, 0, tags::PIXEL_MEASURES_SEQUENCE, tag);
        let size = floats(measure(tags::PIXEL_SPACING), tags::PIXEL_SPACING)
            .filter(|size: &[f64; 2]| size.iter().all(|&mm| mm > 0.0));
        let (known, [between_rows, between_columns]) = (size.is_some(), size.unwrap_or([1.0; 2]));
        let between =
            [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS].into_iter().find_map(|tag| floats(measure(tag), tag));
        let [between]: [f64; 1] = between.unwrap_or([1.0]);
        let position = |frame| position(object, frame);
        let (Some(orientation), Some(start)) = (orientation(object), position(0)) else {
            return Geometry::from_spacing([between_columns, between_rows, between], false);
        };
        let [row, column] = [[0, 1, 2], [3, 4, 5]].map(|axes| axes.map(|axis| orientation[axis]));
        // the frames that lie farthest apart say the step best
        let far = (0..places.len()).max_by_key(|&frame| places[frame].slice.abs_diff(places[0].slice)).unwrap_or(0);
        let steps = places[far].slice as f64 - places[0].slice as f64;
        let step = match position(far) {
            Some(end) if steps != 0.0 => [0, 1, 2].map(|axis| (end[axis] - start[axis]) / steps),
            _ => cross(row, column).map(|v| v * between),
        };
        let first = [0, 1, 2].map(|axis| start[axis] - step[axis] * places[0].slice as f64);
        let columns = [row.map(|v| v * between_columns), column.map(|v| v * between_rows), step, first];
        // left and back become right and front; 0.0 - v leaves no negative zeros
        let line = |axis: usize| columns.map(|c| if axis < 2 { 0.0 - c[axis] } else { c[axis] });
        Geometry { known, ..Geometry::from_affine([line(0), line(1), line(2), [0.0, 0.0, 0.0, 1.0]]) }
    }

    /// Puts one frame into the labels.
    fn paint(
        &self,
        path: &Path,
        values: Voxels,
        Place { segment, slice }: Place,
        labels: &mut Labels,
        best: &mut [u16],
    ) -> Result<()> {
        let size = self.rows * self.columns;
        let values: Vec<u16> = match values {
            Voxels::U8(values) if values.len() == size => values.into_iter().map(u16::from).collect(),
            Voxels::U16(values) if values.len() == size => values,
            other => {
                let what = format!("has a frame of {} values of {}: damaged", other.len(), other.dtype());
                return Err(Error::format(path, what));
            }
        };
        let object = self.objects.get(usize::from(segment)).copied().unwrap_or(0);
        for (i, (label, value)) in labels.frame_mut(slice).iter_mut().zip(values).enumerate() {
            match (self.kind, value) {
                (Kind::Binary, 0) => {}
                (Kind::Binary, _) if *label != 0 && *label != object => {
                    let what = format!(
                        "objects {} and {object} overlap on slice {slice}: labels have one object per voxel",
                        *label
                    );
                    return Err(Error::format(path, what));
                }
                (Kind::Binary, _) => *label = object,
                (Kind::Fractional, value) => {
                    let best = &mut best[slice * size + i];
                    if u32::from(value) * 2 >= u32::from(self.most) && value > *best {
                        (*best, *label) = (value, object);
                    }
                }
                (Kind::LabelMap, value) => *label = value,
            }
        }
        Ok(())
    }
}

/// Object numbers by segment number; 0 where there is no such segment.
fn objects(path: &Path, object: &DataSet) -> Result<Vec<u16>> {
    let segments = object.items(tags::SEGMENT_SEQUENCE);
    let ours = |segment: &DataSet| {
        segment.text(tags::TRACKING_ID).strip_prefix(TRACKING)?.parse::<u16>().ok().filter(|&n| n > 0)
    };
    let all_ours = segments.iter().all(|segment| ours(segment).is_some());
    let mut objects = vec![0; usize::from(u16::MAX) + 1];
    for segment in segments {
        let number = number(segment, tags::SEGMENT_NUMBER).and_then(|n| u16::try_from(n).ok());
        let number = number.ok_or_else(|| Error::format(path, "has a segment without a number: damaged"))?;
        objects[usize::from(number)] = ours(segment).filter(|_| all_ours).unwrap_or(number);
    }
    Ok(objects)
}

fn is_ours(object: &DataSet) -> bool {
    object.text(PRIVATE_CREATOR_TAG) == PRIVATE_CREATOR
}

fn position(object: &DataSet, frame: usize) -> Option<[f64; 3]> {
    let tag = tags::IMAGE_POSITION_PATIENT;
    floats(in_frame(object, frame, tags::PLANE_POSITION_SEQUENCE, tag), tag)
}

fn orientation(object: &DataSet) -> Option<[f64; 6]> {
    let tag = tags::IMAGE_ORIENTATION_PATIENT;
    floats(in_frame(object, 0, tags::PLANE_ORIENTATION_SEQUENCE, tag), tag)
}

/// How far every frame lies along the normal of its plane.
fn heights(object: &DataSet, frames: usize) -> Option<Vec<f64>> {
    let orientation = orientation(object)?;
    let [row, column] = [[0, 1, 2], [3, 4, 5]].map(|axes| axes.map(|axis| orientation[axis]));
    let normal = cross(row, column);
    let height = |p: [f64; 3]| p[0] * normal[0] + p[1] * normal[1] + p[2] * normal[2];
    (0..frames).map(|frame| position(object, frame).map(height)).collect()
}

/// The smallest distance between frames that do not lie in one plane.
fn step(heights: &[f64]) -> Option<f64> {
    let mut sorted = heights.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|&gap| gap > 1e-4).min_by(f64::total_cmp)
}

/// From 0, the frame of a multi-frame image that a frame was made from.
fn source_frame(object: &DataSet, frame: usize) -> Option<usize> {
    let derivation = in_frame(object, frame, tags::DERIVATION_IMAGE_SEQUENCE, tags::SOURCE_IMAGE_SEQUENCE)?;
    let number = whole(derivation.items(tags::SOURCE_IMAGE_SEQUENCE).first(), tags::REFERENCED_FRAME_NUMBER)?;
    (1..=MOST_SLICES).contains(&number).then(|| number - 1)
}

fn number(object: &DataSet, tag: Tag) -> Option<usize> {
    whole(Some(object), tag)
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}
