//! `Volume + several Labels -> a PNG`: a row per slice, first the slice alone, then each of the labels over it: truth beside results.

use super::{Mark, PERCENTILES, SHEET_SLICES, Scene, on_grid_of, pick, write_grid};
use crate::intensity::volume_percentiles;
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// longest side of a drawn slice
const SIDE: usize = 384;
/// columns beside the slice, at most
const MOST: usize = 8;

/// A column of the picture: what stands above it, and the labels.
pub type Column<'a> = (&'a str, &'a Labels);

/// Draws a row per slice that carries any of the labels (at most 36, evenly picked): the slice, then each column over it, the marks in the last.
///
/// Titles stand in the first row. Errors: no column or more than 8, labels that do not fit the volume, an ending that is not `.png`.
pub fn write_columns(path: impl AsRef<Path>, volume: &Volume, columns: &[Column<'_>], marks: &[Mark]) -> Result<()> {
    let path = path.as_ref();
    if columns.is_empty() || columns.len() > MOST {
        return Err(Error::invalid(format!("overlay: expected 1 to {MOST} columns, got {}", columns.len())));
    }
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        return Err(Error::Invalid(format!("{}: columns side by side are a .png", path.display())));
    }
    let window = volume_percentiles(volume, PERCENTILES.0, PERCENTILES.1)?;
    let zoom = (SIDE as f32 / volume.rows.max(volume.columns) as f32).min(super::zoom(volume));
    let nothing = Labels::empty_like(volume);
    let fitted = columns.iter().map(|(_, labels)| on_grid_of(volume, labels)).collect::<Result<Vec<_>>>()?;
    let mut scenes = vec![];
    for (at, labels) in fitted.iter().enumerate() {
        let marks = if at + 1 == columns.len() { marks } else { &[] };
        scenes.push(Scene { volume, labels, marks, window, zoom });
    }
    let used: BTreeSet<usize> = scenes.iter().flat_map(Scene::used).collect();
    let slices =
        pick(if used.is_empty() { (0..volume.frames).collect() } else { used.into_iter().collect() }, SHEET_SLICES);
    scenes.insert(0, Scene { volume, labels: &nothing, marks: &[], window, zoom });
    let mut rows = vec![];
    for &frame in &slices {
        let mut row = vec![];
        for scene in &scenes {
            row.push(scene.canvas(frame)?);
        }
        row[0].text(4, 4, &frame.to_string());
        rows.push(row);
    }
    for (canvas, (title, _)) in rows[0][1..].iter_mut().zip(columns) {
        canvas.text(4, 4, title);
    }
    write_grid(path, &rows)
}
