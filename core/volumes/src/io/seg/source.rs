//! The images that were segmented: patient, study and equipment of the first, identity and place of each.
//!
//! Slices come in the order of the reader (`dicom::slices`), so that slice i here is slice i of the labels.

use crate::io::dicom::{self, DataSet, PlacedSlice, Texts};
use crate::io::{Kind, OpenOptions};
use crate::volume::Geometry;
use crate::{Error, Result};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// All that a segmentation takes from its source.
pub(super) struct Source {
    pub files: Vec<PathBuf>,
    /// what the first slice's file says before its pixels
    pub texts: Texts,
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
        let Kind::Dicom(files) = Kind::of(path, &OpenOptions::default())? else {
            let what = "is no DICOM image: a DICOM Segmentation refers to the DICOM images that were segmented";
            return Err(Error::format(path, what));
        };
        let (order, geometry) = dicom::slices(path, &files, options)?;
        let Stack { instances, slices, files, first } = Stack::read(&order)?;
        let (file, frame) = first.ok_or_else(|| Error::format(path, "holds no DICOM image"))?;
        let texts = Texts::open(&file)?;
        let header = texts.set();
        // the reader has made sure that they are there
        let size = |tag| whole(Some(header), tag).unwrap_or(0);
        let (rows, columns) = (size(tags::ROWS), size(tags::COLUMNS));
        let measure = |tag| in_frame(header, frame, tags::PIXEL_MEASURES_SEQUENCE, tag);
        let thickness = floats(measure(tags::SLICE_THICKNESS), tags::SLICE_THICKNESS);
        let thickness = thickness.map(|[mm]: [f64; 1]| mm).filter(|&mm| mm > 0.0);
        let written: Option<[f64; 2]> = floats(measure(tags::PIXEL_SPACING), tags::PIXEL_SPACING);
        let written = written.filter(|size| size.iter().all(|&mm| mm > 0.0));
        let [x, y, _] = geometry.spacing;
        Ok(Self {
            files,
            texts,
            orientation: order.first().and_then(|slice| slice.orientation),
            // as it is written, where it can be read: no digit more
            spacing: written.or_else(|| geometry.has_size().then_some([y, x])),
            thickness: thickness.unwrap_or(geometry.spacing[2]),
            instances,
            slices,
            rows,
            columns,
            geometry,
        })
    }

    /// A text of the first file, without padding; empty where there is none.
    pub fn text(&self, tag: Tag) -> String {
        self.texts.set().text(tag)
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
    first: Option<(PathBuf, usize)>,
}

impl Stack {
    fn read(order: &[PlacedSlice]) -> Result<Self> {
        let mut stack = Self::default();
        let mut known: HashMap<&Path, usize> = HashMap::new();
        // single-frame files come one after the other: one header at a time is enough
        let mut open: Option<(&Path, DataSet)> = None;
        for PlacedSlice { path: file, frame, position, .. } in order {
            let header = match open.take() {
                Some((path, header)) if path == file => header,
                _ => dicom::elements_of(file)?,
            };
            let new = stack.instances.len();
            let instance = *known.entry(file).or_insert(new);
            if instance == new {
                stack.instances.push(Instance::of(file, &header)?);
                stack.files.push(file.clone());
            }
            stack.slices.push(Slice { instance, frame: *frame, position: *position });
            stack.first.get_or_insert_with(|| (file.clone(), *frame));
            open = Some((file, header));
        }
        Ok(stack)
    }
}

impl Instance {
    fn of(file: &Path, header: &DataSet) -> Result<Self> {
        let needed = |tag, name: &str| match header.text(tag) {
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
            multi_frame: header.has(tags::NUMBER_OF_FRAMES),
        })
    }
}

/// The data set that holds an attribute where the multi-frame standard may have put it: the frame's functional group, the shared one, or plainly
/// the file.
pub(super) fn in_frame(object: &DataSet, frame: usize, group: Tag, tag: Tag) -> Option<&DataSet> {
    let within = |sequence: Tag, item: usize| {
        object.items(sequence).get(item)?.items(group).first().filter(|item| item.has(tag))
    };
    within(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame)
        .or_else(|| within(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0))
        .or(Some(object).filter(|object| object.has(tag)))
}

/// So many numbers of an element; nothing where it cannot be read.
pub(super) fn floats<const N: usize>(set: Option<&DataSet>, tag: Tag) -> Option<[f64; N]> {
    set?.exactly(tag).ok()?
}

/// A whole number; nothing where there is none.
pub(super) fn whole(set: Option<&DataSet>, tag: Tag) -> Option<usize> {
    usize::try_from(set?.integer(tag).ok()??).ok()
}
