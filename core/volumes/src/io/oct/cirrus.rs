//! Zeiss Cirrus' raw cubes, `.img`: one byte for each voxel, 1024 rows, everything back to front.
//!
//! Names and order as in the readers of AURA and retimat (<https://github.com/mu-biomed/retimat>): a name such as
//! `P1_Macular Cube 512x128_1-2-2014_9-8-7_OD_sn1_cube_z.img` says columns x B-scans and the eye; columns, rows and B-scans all lie
//! backwards. The cube is 2 mm deep, and 6 mm wide and high for the macular and optic-disc cubes.

use super::{at_hand, placed};
use crate::io::OpenOptions;
use crate::volume::{Eye, Scan, Volume, Voxels};
use crate::{Error, Result};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

const ROWS: u64 = 1024;
const DEPTH_MM: f64 = 2.0;
/// of the macular and optic-disc cubes
const CUBE_MM: f64 = 6.0;

/// Does the file's name (in lower case) follow the device's habit?
pub(in crate::io) fn is_named_so(name: &str) -> bool {
    name.ends_with(".img")
        && (name.contains("_cube_z") || name.contains("_cube_raw") || name.contains("cube ") && sides(name).is_some())
}

/// `512x128` or `3x3`, wherever in the name: columns and B-scans, or millimetres, and what stands behind.
fn pairs(name: &str) -> Vec<(u64, u64, bool)> {
    let words = name.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '.'));
    let pair = |word: &str| {
        let (plain, mm) = word.strip_suffix("mm").map_or((word, false), |plain| (plain, true));
        let (a, b) = plain.split_once('x')?;
        Some((a.trim_end_matches("mm").parse().ok()?, b.parse().ok()?, mm))
    };
    words.filter_map(pair).collect()
}

/// Columns and B-scans that a name says.
fn sides(name: &str) -> Option<(u64, u64)> {
    pairs(name).into_iter().find(|&(a, b, mm)| !mm && a >= 16 && b >= 2).map(|(a, b, _)| (a, b))
}

/// Millimetres along a side that a name says.
fn field(name: &str) -> Option<f64> {
    let said = pairs(name).into_iter().find(|&(a, b, _)| a == b && (2..=15).contains(&a)).map(|(a, ..)| a as f64);
    said.or_else(|| (name.contains("macular cube") || name.contains("optic disc cube")).then_some(CUBE_MM))
}

/// Reads a cube. Columns come from the name, or from a length that is a square of columns.
/// Errors: a length that fits neither; another number of columns may be given with `shape`.
pub(in crate::io) fn read(path: &Path, options: &OpenOptions) -> Result<Volume> {
    let length = fs::metadata(path).map_err(Error::io(path))?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let ascans = length / ROWS;
    let square = Some(ascans.isqrt()).filter(|side| side * side == ascans).map(|side| (side, side));
    let wrong = |what: String| Error::format(path, what);
    if !length.is_multiple_of(ROWS) || length == 0 {
        return Err(wrong(format!(
            "holds {length} bytes, which are no A-scans of {ROWS} rows: no Cirrus cube, or truncated"
        )));
    }
    let (columns, frames) = match (options.columns, sides(&name), square) {
        (Some(columns), ..) if columns > 0 => (columns as u64, ascans / columns as u64),
        (_, Some(said), _) => said,
        (_, None, Some(square)) => square,
        _ => {
            let what = format!(
                "holds {ascans} A-scans and does not say how many make a B-scan: name it as the device does (512x128), or give --columns"
            );
            return Err(wrong(what));
        }
    };
    if columns.checked_mul(frames) != Some(ascans) {
        return Err(wrong(format!(
            "holds {ascans} A-scans of {ROWS} rows, not {frames} B-scans of {columns}: truncated, or another kind of file"
        )));
    }
    let (columns, frames, rows) = (columns as usize, frames as usize, ROWS as usize);
    let slice = columns * rows;
    let decode = move |reader: &mut dyn Read| {
        let mut values = crate::io::raw::numbers::<u8>(reader, slice, false)?;
        // rows from below and columns from the right: the whole slice backwards
        values.reverse();
        Ok(Voxels::U8(values))
    };
    let starts = (0..frames as u64).rev().map(|frame| frame * slice as u64).collect();
    let source = Arc::new(placed(path, starts, slice as u64, Box::new(decode))?);
    let eye = name.split(['_', ' ', '.']).find_map(|word| Eye::of(word).filter(|_| word.len() == 2));
    let geometry = options.of_field(path, field(&name), [columns, frames], DEPTH_MM / ROWS as f64)?;
    let scan = Scan { eye, ..Scan::default() };
    let lazy = Volume::lazy([frames, rows, columns, 1], source, geometry, "cirrus").with_scan(Some(Arc::new(scan)));
    at_hand(path, lazy, length, options)
}
