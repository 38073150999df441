//! The order of DICOM slices and their place in the patient.
//!
//! ImagePositionPatient along the normal of ImageOrientationPatient orders the slices, whatever the files are called (PS3.3
//! C.7.6.2.1.1); InstanceNumber where there is no geometry. DICOM counts to the patient's left and back (LPS), NIfTI and
//! [`Geometry`] to the right and front (RAS): the first two rows of the affine change their sign.

use super::header::{FrameHeader, Header};
use crate::volume::Geometry;
use crate::{Error, Result};
use std::path::Path;

/// how far, relative to the spacing, slices may lie off the even grid that an affine can express
const EVEN: f64 = 0.02;

/// One slice: index of its file, and of the frame in that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    pub file: usize,
    pub frame: usize,
}

/// Slices in the order of the volume, and the volume's geometry.
pub(super) fn arrange(source: &Path, headers: &[Header]) -> Result<(Vec<Slice>, Geometry)> {
    let slices: Vec<Slice> = headers
        .iter()
        .enumerate()
        .flat_map(|(file, header)| (0..header.frames.len()).map(move |frame| Slice { file, frame }))
        .collect();
    let placed: Option<Vec<Placed>> = slices.iter().map(|&slice| Placed::of(headers, slice)).collect();
    match placed {
        Some(placed) => by_position(source, headers, placed),
        None => Ok((by_number(headers, slices), unplaced(headers))),
    }
}

struct Placed {
    slice: Slice,
    orientation: [f64; 6],
    position: [f64; 3],
}

impl Placed {
    fn of(headers: &[Header], slice: Slice) -> Option<Self> {
        let FrameHeader { orientation, position, .. } = headers[slice.file].frames[slice.frame];
        Some(Self { slice, orientation: orientation?, position: position? })
    }
}

fn by_position(source: &Path, headers: &[Header], mut placed: Vec<Placed>) -> Result<(Vec<Slice>, Geometry)> {
    let path = |placed: &Placed| &headers[placed.slice.file].path;
    let orientation = placed[0].orientation;
    let [along_row, along_column] = [[0, 1, 2], [3, 4, 5]].map(|axes| axes.map(|axis| orientation[axis]));
    if (dot(along_row, along_row) - 1.0).abs() > 0.01
        || (dot(along_column, along_column) - 1.0).abs() > 0.01
        || dot(along_row, along_column).abs() > 0.01
    {
        return Err(Error::format(
            path(&placed[0]),
            "has an ImageOrientationPatient that is not two unit vectors at right angles",
        ));
    }
    if let Some(other) =
        placed.iter().find(|p| p.orientation.iter().zip(orientation).any(|(a, b)| (a - b).abs() > 1e-3))
    {
        let what =
            format!("lies at another angle than {}: a localizer? Remove one of the two", path(&placed[0]).display());
        return Err(Error::format(path(other), what));
    }
    let normal = cross(along_row, along_column);
    placed.sort_by(|a, b| dot(a.position, normal).total_cmp(&dot(b.position, normal)));
    let first = &headers[placed[0].slice.file];
    let [between_rows, between_columns] = first.frames[placed[0].slice.frame].spacing.unwrap_or([1.0; 2]);
    let step = step(source, headers, &placed, normal)?;
    let affine = lps_to_ras([
        along_row.map(|v| v * between_columns),
        along_column.map(|v| v * between_rows),
        step,
        placed[0].position,
    ]);
    Ok((placed.iter().map(|p| p.slice).collect(), Geometry::from_affine(affine)))
}

/// From one slice to the next; an error where they are not evenly spaced, which no affine can express.
fn step(source: &Path, headers: &[Header], placed: &[Placed], normal: [f64; 3]) -> Result<[f64; 3]> {
    let [first, .., last] = placed else {
        let thickness = headers[placed[0].slice.file].thickness.unwrap_or(1.0);
        return Ok(normal.map(|v| v * thickness));
    };
    let gaps = (placed.len() - 1) as f64;
    let step = [0, 1, 2].map(|axis| (last.position[axis] - first.position[axis]) / gaps);
    let gap = |i: usize| dot(placed[i + 1].position, normal) - dot(placed[i].position, normal);
    let by_gap = |a: &usize, b: &usize| gap(*a).total_cmp(&gap(*b));
    let all = 0..placed.len() - 1;
    let (narrowest, widest) = (all.clone().min_by(by_gap).unwrap_or(0), all.max_by(by_gap).unwrap_or(0));
    let name = |i: usize| headers[placed[i].slice.file].path.file_name().unwrap_or_default().display();
    if gap(narrowest) < 1e-4 {
        let (a, b) = (name(narrowest), name(narrowest + 1));
        return Err(Error::format(
            source,
            format!("holds two slices at the same place ({a} and {b}): keep one acquisition per folder"),
        ));
    }
    if gap(widest) - gap(narrowest) > EVEN * gap(narrowest) {
        let what = format!(
            "slices are not evenly spaced: {:.4} mm between slices {widest} and {} ({}, {}), {:.4} mm elsewhere: is a slice missing?",
            gap(widest),
            widest + 1,
            name(widest),
            name(widest + 1),
            gap(narrowest)
        );
        return Err(Error::format(source, what));
    }
    Ok(step)
}

/// InstanceNumber, then the order of the names.
fn by_number(headers: &[Header], mut slices: Vec<Slice>) -> Vec<Slice> {
    slices.sort_by_key(|slice| (headers[slice.file].instance, slice.file, slice.frame));
    slices
}

fn unplaced(headers: &[Header]) -> Geometry {
    let [y, x] = headers[0].frames[0].spacing.unwrap_or([1.0; 2]);
    Geometry::from_spacing([x, y, headers[0].thickness.unwrap_or(1.0)], false)
}

fn lps_to_ras(columns: [[f64; 3]; 4]) -> [[f64; 4]; 4] {
    // 0.0 - v instead of -v: no negative zeros
    let row = |axis: usize, sign: f64| columns.map(|column| if sign < 0.0 { 0.0 - column[axis] } else { column[axis] });
    [row(0, -1.0), row(1, -1.0), row(2, 1.0), [0.0, 0.0, 0.0, 1.0]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}
