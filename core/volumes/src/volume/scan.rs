//! What an OCT device says of a scan beside its voxels: which eye, the boundaries of the retina's layers, where the B-scans lie.
//!
//! It belongs to a [`Volume`](super::Volume) whose slices are B-scans (rows are depth), and goes where their columns and rows go.

use super::{Labels, Volume};
use crate::{Error, Result, did_you_mean};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Which eye an en-face picture shows, as seen from the front: in a right eye the nose is on the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eye {
    /// OD
    Right,
    /// OS
    Left,
}

impl Eye {
    /// `OD`, `R`, `right`, `OS`, `L`, `left`; `None` for anything else.
    pub fn of(text: &str) -> Option<Self> {
        match text.trim_matches(['\0', ' ']).to_lowercase().as_str() {
            "od" | "r" | "right" => Some(Self::Right),
            "os" | "l" | "left" => Some(Self::Left),
            _ => None,
        }
    }
}

/// The boundary between two layers of the retina, named as HEYEX and eyepy name it: after the layer above (`RNFL` ends at `RNFL`), `ILM` at
/// the top.
#[derive(Debug, Clone, PartialEq)]
pub struct Surface {
    /// `ILM`, `RNFL`, `IPL`, `OPL`, `BM`, ...
    pub name: String,
    /// the row of each column of each B-scan, `[frames, columns]`, between rows where fractions say so; NaN where nobody knows
    pub rows: Vec<f32>,
}

impl Surface {
    /// The edges of layers that are labelled, from the vitreous down: the upper edge of all as `ILM`, then the lower edge of each object under its
    /// name, else under its number. Columns without the object have none.
    pub fn of_labels(labels: &Labels, names: &[(u16, String)]) -> Vec<Self> {
        let name = |object: u16| {
            let named = names.iter().find(|(own, _)| *own == object).map(|(_, name)| name.clone());
            named.unwrap_or_else(|| object.to_string())
        };
        let top = Self { name: "ILM".to_owned(), rows: edge(labels, None) };
        let below = |object| Self { name: name(object), rows: edge(labels, Some(object)) };
        std::iter::once(top).chain(labels.objects().into_iter().map(below)).collect()
    }
}

/// In each column of each B-scan the row below the last voxel of an object, or the first row of any.
fn edge(labels: &Labels, object: Option<u16>) -> Vec<f32> {
    let columns = labels.columns;
    let row = |frame: usize, column: usize| {
        let slice = labels.frame(frame);
        let mut rows = 0..labels.rows;
        let found = match object {
            Some(object) => rows.rev().find(|row| slice[row * columns + column] == object).map(|row| row + 1),
            None => rows.find(|row| slice[row * columns + column] != 0),
        };
        found.map_or(f32::NAN, |row| row as f32)
    };
    (0..labels.frames)
        .flat_map(|frame| (0..columns).map(move |column| (frame, column)))
        .map(|(f, c)| row(f, c))
        .collect()
}

/// The picture of the fundus that the device took with the scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Fundus {
    /// its height
    pub rows: usize,
    /// its width
    pub columns: usize,
    /// `[rows, columns]`
    pub pixels: Vec<u8>,
    /// millimetres of a pixel along x and y
    pub spacing: [f64; 2],
}

/// What a device says of a scan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scan {
    /// which eye
    pub eye: Option<Eye>,
    /// horizontal angle of the fundus picture in degrees
    pub angle: Option<f64>,
    /// Is the first B-scan the lowest of the fundus? _Then it is the last row of a picture en face._
    pub bottom_up: bool,
    /// boundaries between the layers of the retina
    pub surfaces: Vec<Surface>,
    /// start x, y and end x, y of each B-scan in mm on the fundus picture
    pub positions: Vec<[f64; 4]>,
    /// the fundus picture
    pub fundus: Option<Fundus>,
}

impl Scan {
    /// The surface of this name, whatever its case. Errors: none of this name; those that there are.
    pub fn surface(&self, name: &str) -> Result<&Surface> {
        self.surfaces.iter().find(|surface| surface.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let hint = did_you_mean(name, self.surfaces.iter().map(|surface| surface.name.as_str()));
            Error::invalid(format!("the scan has no surface {name:?}{hint}; it has {}", self.names()))
        })
    }

    /// The names of its surfaces, for people.
    pub fn names(&self) -> String {
        match self.surfaces.is_empty() {
            true => "no layer curves".to_owned(),
            false => self.surfaces.iter().map(|surface| surface.name.as_str()).collect::<Vec<_>>().join(", "),
        }
    }

    /// The scan of a region of every B-scan: `columns` from column `x` on, with `y` rows cut off above.
    pub fn cropped(&self, x: usize, y: usize, columns: usize, whole: usize) -> Self {
        let cut = |surface: &Surface| {
            let lines = surface.rows.chunks_exact(whole.max(1));
            let rows = lines.flat_map(|line| &line[x..x + columns]).map(|row| row - y as f32).collect();
            Surface { name: surface.name.clone(), rows }
        };
        let along = |[x0, y0, x1, y1]: [f64; 4], part: f64| [x0 + (x1 - x0) * part, y0 + (y1 - y0) * part];
        let last = (whole.max(2) - 1) as f64;
        let end = |position: &[f64; 4]| {
            let [a, b] = [x, x + columns - 1].map(|column| along(*position, column as f64 / last));
            [a[0], a[1], b[0], b[1]]
        };
        let positions = self.positions.iter().map(end).collect();
        Self { surfaces: self.surfaces.iter().map(cut).collect(), positions, ..self.clone() }
    }

    /// The scan of some of the B-scans.
    pub fn frames(&self, frames: Range<usize>, columns: usize) -> Self {
        let cut = |surface: &Surface| Surface {
            name: surface.name.clone(),
            rows: surface.rows[frames.start * columns..frames.end * columns].to_vec(),
        };
        let positions = self.positions.get(frames.clone()).unwrap_or_default().to_vec();
        Self { surfaces: self.surfaces.iter().map(cut).collect(), positions, ..self.clone() }
    }

    /// The curves as labels of the B-scans, one row each: objects from 1 in the order of the surfaces, the later over the earlier.
    pub fn drawn(&self, volume: &Volume) -> Labels {
        let mut labels = Labels::empty_like(volume);
        for (object, surface) in (1..=u16::MAX).zip(&self.surfaces) {
            for (at, row) in surface.rows.iter().enumerate() {
                let (frame, column) = (at / volume.columns, at % volume.columns);
                let row = row.round_ties_even();
                // not a number is in no range
                if (0.0..volume.rows as f32).contains(&row) && frame < volume.frames {
                    labels.frame_mut(frame)[row as usize * volume.columns + column] = object;
                }
            }
        }
        labels
    }

    /// What stays true of slices that are no longer B-scans.
    pub fn without_bscans(&self) -> Self {
        Self { eye: self.eye, angle: self.angle, ..Self::default() }
    }
}
