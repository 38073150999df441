//! How a DICOM Segmentation is to describe what was found, as a person asks for it; and the probabilities that one may hold.

use super::InputRequest;
use crate::guard::{guard, torch};
use crate::io::{Probabilities, SegOptions};
use crate::progress::check;
use crate::session::Session;
use crate::volume::{Axis, Labels, Volume};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tch::Kind;

/// What to say in a DICOM Segmentation (`.dcm`) beside its voxels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegRequest {
    /// what objects are: `vessel`, `artery`, `vein`, `capillary`, `faz`, `unspecified` or codes
    /// ([`Property`](crate::io::Property)); `2=faz` for one object
    #[serde(default)]
    pub properties: Vec<String>,
    /// probabilities (FRACTIONAL) instead of yes and no (BINARY)
    #[serde(default)]
    pub fractional: bool,
    /// equal input gives equal bytes
    #[serde(default)]
    pub deterministic: bool,
    /// SeriesDescription
    #[serde(default)]
    pub description: Option<String>,
    /// SeriesNumber
    #[serde(default)]
    pub number: Option<u32>,
    /// SegmentAlgorithmName
    #[serde(default)]
    pub algorithm: Option<String>,
}

impl SegRequest {
    /// For a segmentation of `input`. Errors: properties that are none.
    pub fn options(&self, input: &InputRequest) -> Result<SegOptions> {
        let mut options = SegOptions::of(&input.input);
        options.open = input.options()?;
        self.properties.iter().try_for_each(|text| options.describe(text))?;
        options.deterministic = self.deterministic;
        options.series_number = self.number;
        if let Some(description) = &self.description {
            options.series_description.clone_from(description);
        }
        if let Some(algorithm) = &self.algorithm {
            options.algorithm_name.clone_from(algorithm);
        }
        Ok(options)
    }

    /// An error where something is asked for that `output` cannot say.
    pub fn check_output(&self, output: Option<&Path>) -> Result<()> {
        let name = output.and_then(Path::file_name).unwrap_or_default().to_string_lossy().to_lowercase();
        // a segmentation of 3D Slicer says what objects are, and nothing else of it
        let properties = Self { properties: self.properties.clone(), ..Self::default() };
        if *self == Self::default() || name.ends_with(".dcm") || (name.ends_with(".seg.nrrd") && *self == properties) {
            return Ok(());
        }
        let named = output.map_or_else(|| "nothing".to_owned(), |path| path.display().to_string());
        Err(Error::invalid(format!(
            "the description of a DICOM Segmentation needs an output that ends in .dcm; labels are to be written to {named}"
        )))
    }
}

/// How likely each voxel belongs to each object, in the orientation of the file that was opened along `axis`.
pub fn probabilities(session: &Session, axis: Axis) -> Result<Probabilities> {
    let Volume { frames, rows, columns, ref geometry, .. } = **session.volume();
    let ids = session.objects();
    let plane = rows * columns;
    let mut data = Vec::new();
    let size = ids.len() * frames * plane;
    let lacking = |_| Error::Unsupported(format!("not enough memory for the probabilities of {} objects", ids.len()));
    data.try_reserve_exact(size).map_err(lacking)?;
    data.resize(size, 0.0);
    for frame in 0..frames {
        check()?;
        if ids.iter().all(|&id| !session.frames_of(id).contains(&frame)) {
            continue;
        }
        let logits = session.slice_logits(frame)?;
        let values = guard(|| torch(|| Vec::<f32>::try_from(logits.sigmoid().to_kind(Kind::Float).flatten(0, -1))))?;
        for (object, values) in values.chunks_exact(plane).enumerate() {
            data[(object * frames + frame) * plane..][..plane].copy_from_slice(values);
        }
    }
    let grid = Labels { frames, rows, columns, data: Vec::new(), geometry: geometry.clone() };
    let objects = ids.into_iter().map(|id| id as u16).collect();
    Ok(Probabilities { objects, data, ..Probabilities::on_grid_of(&grid) }.along(axis))
}
