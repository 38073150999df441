//! The order of DICOM slices and their place in the patient.
//!
//! ImagePositionPatient along the normal of ImageOrientationPatient orders the slices, whatever the files are called (PS3.3
//! C.7.6.2.1.1); InstanceNumber where there is no geometry. What no affine can express is refused and named: gaps, unequal spacing,
//! slices at one place, at different angles or pushed sideways. DICOM counts to the patient's left and back (LPS), NIfTI and
//! [`Geometry`] to the right and front (RAS): the first two rows of the affine change their sign.

use super::header::{FrameHeader, Header};
use crate::volume::Geometry;
use crate::{Error, Result};
use std::path::Path;

/// how far, relative to the spacing, slices may lie off the even grid that an affine can express
const EVEN: f64 = 0.02;
/// how far, relative to the spacing, a slice may lie beside the line of the others
const SIDEWAYS: f64 = 0.1;
/// slices nearer than this, in millimetres, are at one place
const SAME_PLACE: f64 = 1e-4;

/// One slice: index of its file, and of the frame in that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    pub file: usize,
    pub frame: usize,
}

/// Slices in the order of the volume, and the volume's geometry. `uneven`: accept gaps and unequal spacing, the median counts.
pub(super) fn arrange(source: &Path, headers: &[&Header], uneven: bool) -> Result<(Vec<Slice>, Geometry)> {
    let slices: Vec<Slice> = headers
        .iter()
        .enumerate()
        .flat_map(|(file, header)| (0..header.frames.len()).map(move |frame| Slice { file, frame }))
        .collect();
    same_spacing(headers)?;
    let placed: Vec<Placed> = slices.iter().filter_map(|&slice| Placed::of(headers, slice)).collect();
    if placed.is_empty() {
        return Ok((by_number(headers, slices), unplaced(headers)));
    }
    if let Some(slice) = slices.iter().find(|&&slice| Placed::of(headers, slice).is_none()) {
        let with = &headers[placed[0].slice.file].path.file_name().unwrap_or_default().display();
        let what = format!(
            "has no position or orientation (slice {}), but {with} has: one of the two is not of the stack",
            slice.frame
        );
        return Err(Error::format(&headers[slice.file].path, what));
    }
    by_position(source, headers, placed, uneven)
}

struct Placed {
    slice: Slice,
    orientation: [f64; 6],
    position: [f64; 3],
}

impl Placed {
    fn of(headers: &[&Header], slice: Slice) -> Option<Self> {
        let FrameHeader { orientation, position, .. } = headers[slice.file].frames[slice.frame];
        Some(Self { slice, orientation: orientation?, position: position? })
    }
}

/// Direction across the slices.
pub(super) fn normal(orientation: [f64; 6]) -> [f64; 3] {
    let [a, b, c, d, e, f] = orientation;
    cross([a, b, c], [d, e, f])
}

fn by_position(
    source: &Path,
    headers: &[&Header],
    mut placed: Vec<Placed>,
    uneven: bool,
) -> Result<(Vec<Slice>, Geometry)> {
    same_angle(headers, &placed)?;
    let orientation = placed[0].orientation;
    let [along_row, along_column] = [[0, 1, 2], [3, 4, 5]].map(|axes| axes.map(|axis| orientation[axis]));
    let normal = normal(orientation);
    placed.sort_by(|a, b| dot(a.position, normal).total_cmp(&dot(b.position, normal)));
    let first = &headers[placed[0].slice.file];
    let [between_rows, between_columns] = first.frames[placed[0].slice.frame].spacing.unwrap_or([1.0; 2]);
    let stack = Stack { source, headers, placed: &placed, normal };
    let step = stack.step(uneven)?;
    let affine = lps_to_ras([
        along_row.map(|v| v * between_columns),
        along_column.map(|v| v * between_rows),
        step,
        placed[0].position,
    ]);
    Ok((placed.iter().map(|p| p.slice).collect(), Geometry::from_affine(affine)))
}

fn same_angle(headers: &[&Header], placed: &[Placed]) -> Result<()> {
    let path = |placed: &Placed| &headers[placed.slice.file].path;
    let orientation = placed[0].orientation;
    let [along_row, along_column] = [[0, 1, 2], [3, 4, 5]].map(|axes| axes.map(|axis| orientation[axis]));
    if (dot(along_row, along_row) - 1.0).abs() > 0.01
        || (dot(along_column, along_column) - 1.0).abs() > 0.01
        || dot(along_row, along_column).abs() > 0.01
    {
        let what = "has an ImageOrientationPatient that is not two unit vectors at right angles";
        return Err(Error::format(path(&placed[0]), what));
    }
    let off = |p: &&Placed| p.orientation.iter().zip(orientation).any(|(a, b)| (a - b).abs() > 1e-3);
    match placed.iter().find(off) {
        None => Ok(()),
        Some(other) if path(other) == path(&placed[0]) => {
            let what =
                format!("holds slices at different angles (0 and {}): a radial scan is not a stack", other.slice.frame);
            Err(Error::format(path(other), what))
        }
        Some(other) => {
            let what = format!(
                "lies at another angle than {}: a localizer? Remove one of the two",
                path(&placed[0]).display()
            );
            Err(Error::format(path(other), what))
        }
    }
}

/// Pixels of one size in all slices.
fn same_spacing(headers: &[&Header]) -> Result<()> {
    let first = headers[0].frames[0].spacing;
    let differs = |spacing: Option<[f64; 2]>| match (first, spacing) {
        (Some(a), Some(b)) => a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3 * a.abs()),
        (a, b) => a.is_some() != b.is_some(),
    };
    let shown = |spacing: Option<[f64; 2]>| spacing.map_or("no size".to_owned(), |[y, x]| format!("{y} x {x} mm"));
    for header in headers {
        if let Some(frame) = header.frames.iter().find(|frame| differs(frame.spacing)) {
            let name = headers[0].path.file_name().unwrap_or_default().display();
            let what = format!("has pixels of {} where {name} has {}", shown(frame.spacing), shown(first));
            return Err(Error::format(&header.path, what));
        }
    }
    Ok(())
}

/// Slices in order.
struct Stack<'a> {
    source: &'a Path,
    headers: &'a [&'a Header],
    placed: &'a [Placed],
    normal: [f64; 3],
}

impl Stack<'_> {
    /// From one slice to the next; an error where they are not evenly spaced, which no affine can express.
    fn step(&self, uneven: bool) -> Result<[f64; 3]> {
        let [first, .., last] = self.placed else {
            let thickness = self.headers[self.placed[0].slice.file].thickness.unwrap_or(1.0);
            return Ok(self.normal.map(|v| v * thickness));
        };
        let mut gaps: Vec<f64> = (0..self.placed.len() - 1).map(|i| self.gap(i)).collect();
        if let Some(i) = gaps.iter().position(|&gap| gap < SAME_PLACE) {
            let what = format!(
                "holds two slices at the same place ({} and {}): several time points or a copy? Keep one acquisition per folder",
                self.name(i),
                self.name(i + 1)
            );
            return Err(Error::format(self.source, what));
        }
        let whole = [0, 1, 2].map(|axis| last.position[axis] - first.position[axis]);
        let even = whole.map(|v| v / gaps.len() as f64);
        let unsorted = gaps.clone();
        gaps.sort_by(f64::total_cmp);
        // the lower one of two: where slices are missing, gaps are too wide
        let median = gaps[(gaps.len() - 1) / 2];
        let off = |gap: &f64| (gap - median).abs() > EVEN * median;
        if !unsorted.iter().any(off) {
            self.straight(even)?;
            return Ok(even);
        }
        if uneven {
            let length = dot(whole, self.normal);
            return Ok(whole.map(|v| v * median / length));
        }
        let odd: Vec<usize> = (0..unsorted.len()).filter(|&i| off(&unsorted[i])).collect();
        Err(Error::format(self.source, self.uneven(&odd, &unsorted, median)))
    }

    /// The sentence that names the first few gaps.
    fn uneven(&self, odd: &[usize], gaps: &[f64], median: f64) -> String {
        let named: Vec<String> = odd
            .iter()
            .take(3)
            .map(|&i| {
                format!("{:.4} mm between slices {i} and {} ({}, {})", gaps[i], i + 1, self.name(i), self.name(i + 1))
            })
            .collect();
        let more = if odd.len() > 3 { format!(" and {} more", odd.len() - 3) } else { String::new() };
        format!(
            "slices are not evenly spaced: {}{more}, {median:.4} mm elsewhere: is a slice missing? To read it as it is, with the \
             median spacing, ask for uneven slices",
            named.join(", ")
        )
    }

    /// Do the slices lie on one line?
    fn straight(&self, step: [f64; 3]) -> Result<()> {
        let allowed = SIDEWAYS * dot(step, step).sqrt() + 1e-3;
        for (i, placed) in self.placed.iter().enumerate() {
            let off =
                [0, 1, 2].map(|axis| placed.position[axis] - self.placed[0].position[axis] - step[axis] * i as f64);
            if dot(off, off).sqrt() > allowed {
                let what = format!(
                    "slice {i} ({}) lies {:.4} mm beside the line of the others, which is not a stack",
                    self.name(i),
                    dot(off, off).sqrt()
                );
                return Err(Error::format(self.source, what));
            }
        }
        Ok(())
    }

    fn gap(&self, i: usize) -> f64 {
        dot(self.placed[i + 1].position, self.normal) - dot(self.placed[i].position, self.normal)
    }

    /// The file, and the frame in it where it has several.
    fn name(&self, i: usize) -> String {
        let Slice { file, frame } = self.placed[i].slice;
        let name = self.headers[file].path.file_name().unwrap_or_default().display();
        if self.headers[file].frames.len() > 1 { format!("{name} frame {frame}") } else { name.to_string() }
    }
}

/// InstanceNumber, then the order of the names.
fn by_number(headers: &[&Header], mut slices: Vec<Slice>) -> Vec<Slice> {
    slices.sort_by_key(|slice| (headers[slice.file].instance, slice.file, slice.frame));
    slices
}

fn unplaced(headers: &[&Header]) -> Geometry {
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
