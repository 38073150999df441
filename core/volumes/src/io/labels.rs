//! Label volumes and prompt masks: `Labels -> bytes -> Labels`, and any picture as yes or no.

use super::png::{self, Pixels};
use super::write::{Target, atomic_file, check_output, png_folder};
use super::{
    Kind, OpenOptions, SegOptions, Segment, coco, contained, dicom, label_table, meta, nifti, npy, nrrd, open_observed,
    seg, stack, tiff,
};
use crate::volume::{Geometry, Labels};
use crate::{Error, Result, with_voxels};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Writes labels by the ending of `path`, on the grid and with the geometry of the volume they belong to.
///
/// `.nii`, `.nii.gz`, `.nrrd`, `.nhdr`, `.mha`, `.mhd`, `.npy` and `.tif` (one page per slice): uint8 where every object number fits, else
/// uint16. `.seg.nrrd`: the same with a name, a colour and codes for each object, as 3D Slicer shows them. `.json`: COCO with
/// run-length encoded masks. `.dcm`: a DICOM Segmentation, which needs [`LabelOptions::seg`]. Otherwise a folder of PNGs: indexed
/// (the pixel value is the object number, shown in a colour) where numbers are at most 255, else 16-bit grey. What is known about objects
/// ([`LabelOptions::segments`]) lies in a table beside a NIfTI file.
pub fn write_labels(labels: &Labels, path: impl AsRef<Path>) -> Result<()> {
    write_labels_with(labels, path, &LabelOptions::default())
}

/// What a label file may need to know beside the labels.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LabelOptions {
    /// what was segmented, and how a DICOM Segmentation is to describe it. _Default: unknown._
    pub seg: Option<SegOptions>,
    /// what single objects are, by their number: `.seg.nrrd`, `.json` and `.dcm` say it, NIfTI in a table of labels beside (`NAME.label.txt`).
    /// What `seg` says of an object counts before. _Default: nothing is known._
    pub segments: BTreeMap<u16, Segment>,
}

impl LabelOptions {
    /// Labels of the volume at `source`.
    pub fn of(source: impl Into<PathBuf>) -> Self {
        SegOptions::of(source).into()
    }

    /// What is known about an object.
    pub(super) fn segment_of(&self, object: u16) -> Segment {
        let own = self.segments.get(&object).cloned().unwrap_or_default();
        self.seg.as_ref().map_or(own.clone(), |seg| seg.known_of(object, &own))
    }

    /// What a DICOM Segmentation says, objects included.
    fn described(&self, seg: &SegOptions) -> SegOptions {
        seg.clone().knowing(&self.segments)
    }
}

impl From<SegOptions> for LabelOptions {
    fn from(options: SegOptions) -> Self {
        Self { seg: Some(options), ..Self::default() }
    }
}

/// Errors of [`write_labels_with`] that can be known before there are labels: an ending that is none, a `.dcm` without a DICOM source.
pub fn check_label_output(path: impl AsRef<Path>, options: &LabelOptions) -> Result<()> {
    let path = path.as_ref();
    match (Target::of(path)?, &options.seg) {
        (Target::Seg, Some(seg)) => seg::check(&options.described(seg), path),
        (Target::Seg, None) => Err(no_source(path)),
        _ => Ok(()),
    }
}

fn no_source(path: &Path) -> Error {
    let what = "a DICOM Segmentation refers to the DICOM images that were segmented: name them as the source";
    Error::Invalid(format!("{}: {what}", path.display()))
}

/// [`write_labels`], with what some formats need beside the labels. Refuses to overwrite the source.
pub fn write_labels_with(labels: &Labels, path: impl AsRef<Path>, options: &LabelOptions) -> Result<()> {
    let path = path.as_ref();
    options.seg.as_ref().map_or(Ok(()), |seg| check_output(&seg.source, path))?;
    let Labels { frames, rows, columns, ref data, ref geometry } = *labels;
    if frames * rows * columns != data.len() || data.is_empty() {
        return Err(Error::invalid(format!(
            "labels of {frames} x {rows} x {columns} cannot hold {} values",
            data.len()
        )));
    }
    let small: Option<Vec<u8>> = data.iter().map(|&object| u8::try_from(object).ok()).collect();
    let shape = [frames, rows, columns];
    match (Target::of(path)?, &small) {
        (Target::Nifti, small) => {
            label_table::write_beside(labels, path, options)?;
            match small {
                Some(small) => nifti::write(path, small, &[columns, rows, frames], geometry),
                None => nifti::write(path, data, &[columns, rows, frames], geometry),
            }
        }
        (Target::Nrrd, small) => nrrd::write_labels(labels, small.as_deref(), path, options),
        (Target::Meta, small) => meta::write_labels(labels, small.as_deref(), path),
        (Target::Npy, small) => atomic_file(path, |temporary| {
            let shape = shape.map(|n| n as u64);
            match small {
                Some(small) => npy::write(temporary, small, &shape),
                None => npy::write(temporary, data, &shape),
            }
        }),
        (Target::Tiff, small) => tiff::write_labels(labels, small.as_deref(), path),
        (Target::Coco, _) => coco::write(labels, path, options),
        (Target::Seg, _) => {
            let seg = options.seg.as_ref().ok_or_else(|| no_source(path))?;
            seg::write_seg(path, labels, &options.described(seg))
        }
        (Target::PngFolder, small) => png_folder(path, frames, &mut (), |frame, file| {
            let range = frame * rows * columns..(frame + 1) * rows * columns;
            let pixels = match small {
                Some(small) => Pixels::Objects(&small[range]),
                None => Pixels::Grey16(&data[range]),
            };
            png::write(file, columns, rows, pixels)
        }),
    }
}

/// Reads what [`write_labels`] writes, and any other volume of whole numbers from 0 to 65535.
pub fn read_labels(path: impl AsRef<Path>) -> Result<Labels> {
    let path = path.as_ref();
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) {
        return coco::read(path);
    }
    match Kind::of(path, &OpenOptions::default())? {
        Kind::Pictures(files) => {
            files.iter().try_for_each(|file| check_exact(file, "labels"))?;
            if let Some(labels) = indexed(path, &files)? {
                return Ok(labels);
            }
        }
        Kind::Dicom(files) => {
            if let [file] = &files[..]
                && contained(file, || seg::is_seg(file))?
            {
                return contained(file, || seg::read(file));
            }
            if let Some(how) = contained(path, || dicom::lossy(path, &files))? {
                return Err(not_exact(path, &how, "labels"));
            }
        }
        Kind::Nrrd => {
            if let Some(labels) = contained(path, || nrrd::read_segmentation(path))? {
                return Ok(labels);
            }
        }
        _ => {}
    }
    let volume = open_observed(path, &OpenOptions::default(), &mut ())?;
    if volume.channels != 1 {
        return Err(Error::format(path, "is a colour image, not labels: each voxel must be one object number"));
    }
    let data: Option<Vec<u16>> =
        with_voxels!(&*volume.voxels()?, values => values.iter().map(|&v| object_number(v as f64)).collect());
    let data = data
        .ok_or_else(|| Error::format(path, "is no label volume: its values are not whole numbers from 0 to 65535"))?;
    let crate::volume::Volume { frames, rows, columns, geometry, .. } = volume;
    Ok(Labels { frames, rows, columns, data, geometry })
}

/// Compression with loss makes numbers of its own around every edge: a mask in it is another mask. Errors: such a picture.
pub fn check_exact(path: &Path, what: &str) -> Result<()> {
    match stack::lossy(path)? {
        Some(how) => Err(not_exact(path, how, what)),
        None => Ok(()),
    }
}

fn not_exact(path: &Path, how: &str, what: &str) -> Error {
    let why = "values near edges are no longer what was drawn";
    Error::format(path, format!("is {how}, which {what} cannot be read from: {why}; save it as PNG, TIFF or NIfTI"))
}

fn object_number(value: f64) -> Option<u16> {
    (value.fract() == 0.0 && (0.0..=65535.0).contains(&value)).then_some(value as u16)
}

/// Indexed PNGs, whose pixel values the other readers would turn into colours; `None` when the first is of another kind.
fn indexed(source: &Path, files: &[PathBuf]) -> Result<Option<Labels>> {
    let mut labels: Option<Labels> = None;
    for path in files {
        match (png::read_indices(path, stack::most_bytes(path)?), &mut labels) {
            (None, None) => return Ok(None),
            (Some((rows, columns, indices)), None) => {
                let data = indices.into_iter().map(u16::from).collect();
                labels = Some(Labels { frames: 1, rows, columns, data, geometry: Geometry::unknown() });
            }
            (Some((rows, columns, indices)), Some(labels)) if (rows, columns) == (labels.rows, labels.columns) => {
                labels.data.extend(indices.into_iter().map(u16::from));
                labels.frames += 1;
            }
            (_, Some(labels)) => {
                let what = format!(
                    "is not an indexed PNG of {} x {} pixels like the others in {}",
                    labels.columns,
                    labels.rows,
                    source.display()
                );
                return Err(Error::format(path, what));
            }
        }
    }
    Ok(labels)
}

/// Reads a picture as a mask: `(rows, columns, [rows, columns] values)`, true where any colour channel is not zero; alpha does not
/// count.
pub fn read_mask(path: impl AsRef<Path>) -> Result<(usize, usize, Vec<bool>)> {
    let path = path.as_ref();
    if std::fs::metadata(path).map_err(Error::io(path))?.is_dir() {
        return Err(Error::format(path, "is a folder; a mask is one picture"));
    }
    check_exact(path, "a mask")?;
    let volume = stack::read(path, &[path.to_path_buf()], &OpenOptions::default(), &mut ())?;
    if volume.frames != 1 {
        return Err(Error::format(path, format!("holds {} pages; a mask is one picture", volume.frames)));
    }
    let mask = with_voxels!(&*volume.voxels()?, values => values
        .chunks_exact(volume.channels)
        .map(|pixel| pixel.iter().any(|&v| v as f64 != 0.0))
        .collect());
    Ok((volume.rows, volume.columns, mask))
}
