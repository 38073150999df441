//! The order of DICOM slices and their place in the patient.
//!
//! ImagePositionPatient along the normal of ImageOrientationPatient orders the slices, whatever the files are called (PS3.3
//! C.7.6.2.1.1); InstanceNumber where there is no geometry. What no affine can express is refused and named: gaps, unequal spacing,
//! slices at one place, at different angles or pushed sideways. Positions are rounded by those who write them: whether slices are even is
//! judged against the line that fits all of them best, with the digits that their text has. DICOM counts to the patient's left and back (LPS), NIfTI and
//! [`Geometry`] to the right and front (RAS): the first two rows of the affine change their sign.

use super::elements::Parsed;
use super::header::{FrameHeader, Header};
use crate::volume::Geometry;
use crate::{Error, Result};
use std::path::Path;

/// how far, relative to the spacing, slices may lie off the even grid that an affine can express
const EVEN: f64 = 0.02;
/// how far, relative to the spacing, rounding may push slices off the grid: a slice that is missing pushes farther
const ROUNDED: f64 = 0.3;
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

/// Slices in the order of the volume, and where they lie.
pub(super) struct Arranged {
    pub slices: Vec<Slice>,
    pub geometry: Geometry,
    /// what people should know of it
    pub notes: Vec<String>,
}

/// Puts slices in order. `uneven`: accept gaps and unequal spacing, the median counts.
pub(super) fn arrange(source: &Path, headers: &[&Header], uneven: bool) -> Result<Arranged> {
    let slices: Vec<Slice> = headers
        .iter()
        .enumerate()
        .flat_map(|(file, header)| (0..header.frames.len()).map(move |frame| Slice { file, frame }))
        .collect();
    same_spacing(headers)?;
    let placed: Vec<Placed> = slices.iter().filter_map(|&slice| Placed::of(headers, slice)).collect();
    if placed.is_empty() {
        return unplaced(headers, slices);
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
    step: Option<f64>,
}

impl Placed {
    fn of(headers: &[&Header], slice: Slice) -> Option<Self> {
        let FrameHeader { orientation, position, position_step: step, .. } = headers[slice.file].frames[slice.frame];
        Some(Self { slice, orientation: orientation?, position: position?, step })
    }
}

/// Direction across the slices.
pub(super) fn normal(orientation: [f64; 6]) -> [f64; 3] {
    let [a, b, c, d, e, f] = orientation;
    cross([a, b, c], [d, e, f])
}

fn by_position(source: &Path, headers: &[&Header], mut placed: Vec<Placed>, uneven: bool) -> Result<Arranged> {
    same_angle(headers, &placed)?;
    let orientation = placed[0].orientation;
    let [along_row, along_column] = [[0, 1, 2], [3, 4, 5]].map(|axes| axes.map(|axis| orientation[axis]));
    let normal = normal(orientation);
    placed.sort_by(|a, b| dot(a.position, normal).total_cmp(&dot(b.position, normal)));
    let first = &headers[placed[0].slice.file];
    let mut notes = Vec::new();
    let spacing = first.frames[placed[0].slice.frame].spacing.clone();
    let known = spacing.is_ok();
    let [between_rows, between_columns] = spacing.unwrap_or_else(|fault| {
        notes.push(format!("{fault}: how large pixels are is not known (give the spacing)"));
        [1.0; 2]
    });
    let stack = Stack { source, headers, placed: &placed, normal };
    let step = stack.step(uneven, &mut notes)?;
    let affine = lps_to_ras([
        along_row.map(|v| v * between_columns),
        along_column.map(|v| v * between_rows),
        step,
        placed[0].position,
    ]);
    let geometry = Geometry { known, ..Geometry::from_affine(affine) };
    Ok(Arranged { slices: placed.iter().map(|p| p.slice).collect(), geometry, notes })
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
    let first = &headers[0].frames[0].spacing;
    let differs = |spacing: &Parsed<[f64; 2]>| match (first, spacing) {
        (Ok(a), Ok(b)) => a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3 * a.abs()),
        (a, b) => a.is_ok() != b.is_ok(),
    };
    let shown = |spacing: &Parsed<[f64; 2]>| match spacing {
        Ok([y, x]) => format!("{y} x {x} mm"),
        Err(fault) => format!("no size ({fault})"),
    };
    for header in headers {
        if let Some(frame) = header.frames.iter().find(|frame| differs(&frame.spacing)) {
            let name = headers[0].path.file_name().unwrap_or_default().display();
            let what = format!("has pixels of {} where {name} has {}", shown(&frame.spacing), shown(first));
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
    fn step(&self, uneven: bool, notes: &mut Vec<String>) -> Result<[f64; 3]> {
        let [first, .., last] = self.placed else {
            let thickness = &self.headers[self.placed[0].slice.file].thickness;
            let thickness = thickness.clone().unwrap_or_else(|fault| {
                notes.push(format!("{fault}: the slice is taken to be 1 mm thick"));
                1.0
            });
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
        if !unsorted.iter().any(off) || self.fits_a_line() {
            self.straight(even)?;
            return Ok(even);
        }
        if uneven {
            let length = dot(whole, self.normal);
            return Ok(whole.map(|v| v * median / length));
        }
        let farther = |least: f64| -> Vec<usize> {
            (0..unsorted.len()).filter(|&i| (unsorted[i] - median).abs() > least).collect()
        };
        // what rounding explains is not named, unless nothing else is there
        let odd = farther((EVEN * median).max(1.01 * self.rounding()));
        let odd = if odd.is_empty() { farther(EVEN * median) } else { odd };
        Err(Error::format(self.source, self.uneven(&odd, &unsorted, median)))
    }

    /// Do all slices lie on an even grid, but for what rounding does to their positions?
    fn fits_a_line(&self) -> bool {
        let heights: Vec<f64> = self.placed.iter().map(|placed| dot(placed.position, self.normal)).collect();
        let middle = (heights.len() - 1) as f64 / 2.0;
        let mean = heights.iter().sum::<f64>() / heights.len() as f64;
        let along = |i: usize| i as f64 - middle;
        let covered: f64 = (0..heights.len()).map(|i| along(i) * along(i)).sum();
        let step = heights.iter().enumerate().map(|(i, height)| along(i) * (height - mean)).sum::<f64>() / covered;
        let allowed = (EVEN * step).max(self.rounding().min(ROUNDED * step));
        heights.iter().enumerate().all(|(i, height)| (height - mean - along(i) * step).abs() <= allowed)
    }

    /// How far the digits of the positions may push a slice across the stack; the finest of all counts.
    fn rounding(&self) -> f64 {
        let digit =
            self.placed.iter().map(|placed| placed.step).try_fold(f64::INFINITY, |all, one| Some(all.min(one?)));
        digit.unwrap_or(0.0) * self.normal.iter().map(|v| v.abs()).sum::<f64>()
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

/// Without places: by InstanceNumber, then by the order of the names; of the size alone something may be known.
fn unplaced(headers: &[&Header], mut slices: Vec<Slice>) -> Result<Arranged> {
    for header in headers {
        if let Err(fault) = &header.instance {
            let what = format!("{fault}, and without positions the order of the slices follows from it");
            return Err(Error::format(&header.path, what));
        }
    }
    let number = |slice: &Slice| headers[slice.file].instance.clone().ok().flatten();
    slices.sort_by_key(|slice| (number(slice), slice.file, slice.frame));
    let spacing = &headers[0].frames[0].spacing;
    let [y, x] = spacing.clone().unwrap_or([1.0; 2]);
    let geometry = Geometry::from_spacing([x, y, headers[0].thickness.clone().unwrap_or(1.0)], false);
    // one that is missing is said by the geometry
    let unread = spacing.as_ref().err().filter(|fault| !fault.ends_with("is missing"));
    let notes = unread.map(|fault| format!("{fault}: how large pixels are is not known (give the spacing)"));
    Ok(Arranged { slices, geometry, notes: notes.into_iter().collect() })
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
