//! What is extracted from Optovue's (Visionix') RTVue XR Avanti: files without a header whose sizes follow from their lengths and names.
//!
//! Layouts, depths and sizes as oct-to-tiff gives them (<https://github.com/camlloyd/oct-to-tiff>): A-scans one after another, their deepest
//! voxel first.

use super::{FileKind, at_hand, placed};
use crate::io::OpenOptions;
use crate::io::raw::numbers;
use crate::volume::{Geometry, Scan, Volume, Voxels};
use crate::{Error, Result};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// rows of extracted flow, and how deep one is in mm
const FLOW_ROWS: u64 = 160;
const FLOW_MM: f64 = 0.012283;
/// rows of reflectivity in angiography patterns, and how deep one is in mm
const OCT_ROWS: u64 = 640;
const OCT_MM: f64 = 0.003071;
/// fewest and most A-scans along a side
const SIDES: std::ops::RangeInclusive<u64> = 8..=4096;

/// Angiography patterns by what their names hold: A-scans and B-scans, and mm along a side.
const PATTERNS: [(&str, u64, f64); 4] =
    [("HD Angio Disc", 400, 4.5), ("HD Angio Retina", 400, 6.0), ("Angio Disc", 304, 3.0), ("Angio Retina", 304, 6.0)];

/// The kind that the name of a file says: `.OCT` of an angiography pattern.
pub(in crate::io) fn named_so(name: &str) -> bool {
    name.ends_with(".oct") && pattern(name).is_some()
}

fn pattern(name: &str) -> Option<(u64, f64)> {
    let named = |known: &str| name.to_lowercase().contains(&known.to_lowercase());
    PATTERNS.iter().find(|(known, ..)| named(known)).map(|&(_, side, mm)| (side, mm))
}

/// Reads a file of the kind said.
pub(in crate::io) fn read(path: &Path, kind: FileKind, options: &OpenOptions) -> Result<Volume> {
    let length = fs::metadata(path).map_err(Error::io(path))?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match kind {
        FileKind::OptovueEnFace => en_face(path, length, options),
        FileKind::OptovueAngio => {
            let side = side(path, length, 2 * FLOW_ROWS, "flow (uint16, 160 rows)")?;
            bscans(path, side, FLOW_ROWS, 2, FLOW_MM, None, options)
        }
        _ => {
            let side = side(path, length, 4 * OCT_ROWS, "reflectivity (float32, 640 rows)")?;
            let field = pattern(&name).filter(|(known, _)| *known == side).map(|(_, mm)| mm);
            bscans(path, side, OCT_ROWS, 4, OCT_MM, field, options)
        }
    }
}

/// A-scans along a side of a square of `bytes` each. Errors: a length that is no square.
fn side(path: &Path, length: u64, bytes: u64, what: &str) -> Result<u64> {
    let count = length / bytes;
    let side = count.isqrt();
    match length.is_multiple_of(bytes) && side * side == count && SIDES.contains(&side) {
        true => Ok(side),
        false => {
            let text = format!(
                "holds {length} bytes, which are no square of A-scans with {what}: another kind of file, or truncated"
            );
            Err(Error::format(path, text))
        }
    }
}

fn bscans(
    path: &Path,
    side: u64,
    rows: u64,
    width: u64,
    row_mm: f64,
    field: Option<f64>,
    options: &OpenOptions,
) -> Result<Volume> {
    let slice = side * rows * width;
    let (side, rows) = (side as usize, rows as usize);
    let decode = move |reader: &mut dyn Read| {
        Ok(match width {
            2 => Voxels::U16(upright(&numbers::<u16>(reader, side * rows, false)?, side, rows)),
            _ => Voxels::F32(upright(&numbers::<f32>(reader, side * rows, false)?, side, rows)),
        })
    };
    let starts = (0..side as u64).map(|frame| frame * slice).collect();
    let source = Arc::new(placed(path, starts, slice, Box::new(decode))?);
    let geometry = options.of_field(path, field, [side, side], row_mm)?;
    let lazy =
        Volume::lazy([side, rows, side, 1], source, geometry, "optovue").with_scan(Some(Arc::new(Scan::default())));
    at_hand(path, lazy, slice * side as u64, options)
}

/// `[columns, rows]` from the deepest row up, as `[rows, columns]` from the top down.
fn upright<T: Copy>(values: &[T], columns: usize, rows: usize) -> Vec<T> {
    (0..rows).rev().flat_map(|row| (0..columns).map(move |column| values[column * rows + row])).collect()
}

fn en_face(path: &Path, length: u64, options: &OpenOptions) -> Result<Volume> {
    let side = side(path, length, 4, "one float32 each (en face)")?;
    options.check_size(path, length)?;
    let mut file = fs::File::open(path).map_err(Error::io(path))?;
    let side = side as usize;
    let voxels = numbers::<f32>(&mut file, side * side, false).map_err(Error::io(path))?;
    let geometry = match options.assume_size {
        Some([x, y]) => Geometry::from_spacing([x / side as f64, y / side as f64, 1.0], true),
        None => Geometry::unknown(),
    };
    Volume::new([1, side, side, 1], Voxels::F32(voxels), geometry, "optovue")
}
