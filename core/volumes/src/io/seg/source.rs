//! The images that were segmented: patient, study and equipment of the first, identity and place of each.
//!
//! Slices come in the order of the reader (`dicom::slices`), so that slice i here is slice i of the labels.

use crate::io::{Kind, OpenOptions, dicom};
use crate::volume::Geometry;
use crate::{Error, Result};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// All that a segmentation takes from its source.
pub(super) struct Source {
    pub files: Vec<PathBuf>,
    /// the first slice's file, without pixels
    pub header: InMemDicomObject,
    /// one per file
    pub instances: Vec<Instance>,
    pub slices: Vec<Slice>,
    pub rows: usize,
    pub columns: usize,
    pub geometry: Geometry,
    /// direction of increasing column, of increasing row, left-back-up
    pub orientation: Option<[f64; 6]>,
    /// between rows, between columns
    pub spacing: Option<[f64; 2]>,
    /// SliceThickness, else what the reader takes the slices to be apart
    pub thickness: f64,
}

/// One file.
pub(super) struct Instance {
    pub class: String,
    pub uid: String,
    pub multi_frame: bool,
}

/// One slice of the volume.
pub(super) struct Slice {
    pub instance: usize,
    /// from 0
    pub frame: usize,
    /// centre of the first pixel, left-back-up
    pub position: Option<[f64; 3]>,
}

impl Source {
    /// The images at `path`, found as the reader of volumes found them with the same options.
    pub fn read(path: &Path, options: &OpenOptions) -> Result<Self> {
        let Kind::Dicom(files) = Kind::of(path)? else {
            let what = "is no DICOM image: a DICOM Segmentation refers to the DICOM images that were segmented";
            return Err(Error::format(path, what));
        };
        let (order, geometry) = dicom::slices(path, &files, options)?;
        let geometry = match options.spacing {
            Some(spacing) if !geometry.known => Geometry::from_spacing(spacing, true),
            _ => geometry,
        };
        let Stack { instances, slices, files, first } = Stack::read(&order)?;
        let (header, frame) = first.ok_or_else(|| Error::format(path, "holds no DICOM image"))?;
        // the reader has made sure that they are there
        let size = |tag| header.get(tag).and_then(|e| e.to_int::<u16>().ok()).map_or(0, usize::from);
        let (rows, columns) = (size(tags::ROWS), size(tags::COLUMNS));
        let measure = |tag| in_frame(&header, frame, tags::PIXEL_MEASURES_SEQUENCE, tag);
        let thickness = floats(measure(tags::SLICE_THICKNESS)).map(|[mm]: [f64; 1]| mm).filter(|&mm| mm > 0.0);
        let orientation = in_frame(&header, frame, tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT);
        Ok(Self {
            files,
            orientation: floats(orientation),
            spacing: floats(measure(tags::PIXEL_SPACING)),
            thickness: thickness.unwrap_or(geometry.spacing[2]),
            instances,
            slices,
            rows,
            columns,
            geometry,
            header,
        })
    }

    /// A text of the first file, without padding; empty where there is none.
    pub fn text(&self, tag: Tag) -> String {
        text(&self.header, tag)
    }

    /// Does every slice have a place in the patient?
    pub fn placed(&self) -> bool {
        self.orientation.is_some() && self.slices.iter().all(|slice| slice.position.is_some())
    }

    /// Is it an image of the eye, by its modality (PS3.3 C.7.3.1.1.1)?
    pub fn shows_an_eye(&self) -> bool {
        ["OP", "OPM", "OPT", "OPTENF", "OPTBSV", "OCT"].contains(&self.text(tags::MODALITY).as_str())
    }
}

/// The files of a stack and what lies in them.
#[derive(Default)]
struct Stack {
    instances: Vec<Instance>,
    slices: Vec<Slice>,
    /// one per instance
    files: Vec<PathBuf>,
    /// the file of the first slice, and the frame in it
    first: Option<(InMemDicomObject, usize)>,
}

impl Stack {
    fn read(order: &[(PathBuf, usize)]) -> Result<Self> {
        let mut stack = Self::default();
        let mut known: HashMap<&Path, usize> = HashMap::new();
        // single-frame files come one after the other: one header at a time is enough
        let mut open: Option<(&Path, InMemDicomObject)> = None;
        for (file, frame) in order {
            let header = match open.take() {
                Some((path, header)) if path == file => header,
                _ => dicom::open_object(file, Some(tags::PIXEL_DATA))?.into_inner(),
            };
            let new = stack.instances.len();
            let instance = *known.entry(file).or_insert(new);
            if instance == new {
                stack.instances.push(Instance::of(file, &header)?);
                stack.files.push(file.clone());
            }
            let position =
                floats(in_frame(&header, *frame, tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT));
            stack.slices.push(Slice { instance, frame: *frame, position });
            stack.first.get_or_insert_with(|| (header.clone(), *frame));
            open = Some((file, header));
        }
        Ok(stack)
    }
}

impl Instance {
    fn of(file: &Path, header: &InMemDicomObject) -> Result<Self> {
        let needed = |tag, name: &str| match text(header, tag) {
            missing if missing.is_empty() => {
                Err(Error::format(file, format!("has no {name}: a DICOM Segmentation cannot refer to it")))
            }
            uid => Ok(uid),
        };
        needed(tags::STUDY_INSTANCE_UID, "StudyInstanceUID")?;
        needed(tags::SERIES_INSTANCE_UID, "SeriesInstanceUID")?;
        Ok(Self {
            class: needed(tags::SOP_CLASS_UID, "SOPClassUID")?,
            uid: needed(tags::SOP_INSTANCE_UID, "SOPInstanceUID")?,
            multi_frame: header.get(tags::NUMBER_OF_FRAMES).is_some(),
        })
    }
}

/// An attribute where the multi-frame standard may have put it: the frame's functional group, the shared one, or plainly the file.
pub(super) fn in_frame(object: &InMemDicomObject, frame: usize, group: Tag, tag: Tag) -> Option<&InMemElement> {
    let within =
        |sequence: Tag, item: usize| object.get(sequence)?.items()?.get(item)?.get(group)?.items()?.first()?.get(tag);
    within(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame)
        .or_else(|| within(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0))
        .or_else(|| object.get(tag))
}

pub(super) fn floats<const N: usize>(element: Option<&InMemElement>) -> Option<[f64; N]> {
    let values = element?.to_multi_float64().ok()?;
    <[f64; N]>::try_from(values).ok().filter(|values| values.iter().all(|v| v.is_finite()))
}

pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let text = object.get(tag).and_then(|element| element.to_str().ok());
    text.map(|text| text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()).unwrap_or_default()
}
