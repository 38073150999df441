//! The task `vessels`: an en-face map to one number per vessel, and those to the layers.

use crate::io::{self, OpenOptions};
use crate::progress::Observer;
use crate::vessels::{self, COLOURS, TreeOptions, coloured};
use crate::volume::Labels;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Which vessels, and where they go.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VesselsRequest {
    /// the en-face map: a mask or labels (several slices are projected), or a picture with a colour per vessel
    pub map: PathBuf,
    /// the map is such a picture
    #[serde(default)]
    pub coloured: bool,
    /// how a mask becomes vessels
    #[serde(default)]
    pub trees: TreeOptions,
    /// an earlier result whose numbers are kept
    #[serde(default)]
    pub earlier: Option<PathBuf>,
    /// labels that say where each layer cuts through the plexus; the vessels are then given layer by layer
    #[serde(default)]
    pub regions: Option<PathBuf>,
    /// labels of what is taken off the regions: one slice, or one per layer
    #[serde(default)]
    pub erased: Option<PathBuf>,
    /// fewest pixels of a vessel on a layer. _Default: 100._
    #[serde(default = "hundred")]
    pub least_on_layer: usize,
    /// the file to write, in any format of labels
    pub output: PathBuf,
    /// the map in colours, a PNG
    #[serde(default)]
    pub picture: Option<PathBuf>,
}

fn hundred() -> usize {
    vessels::LEAST
}

/// What a [`VesselsRequest`] gave.
#[derive(Debug, Clone, Serialize)]
pub struct VesselsReport {
    /// the file written
    pub output: PathBuf,
    /// pixels of each vessel of the map
    pub vessels: Vec<VesselSize>,
    /// slices written
    pub layers: usize,
}

/// One vessel.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct VesselSize {
    /// its number
    pub object: u16,
    /// its pixels on the map
    pub map_pixels: usize,
    /// its pixels on all slices written
    pub pixels: usize,
}

impl fmt::Display for VesselsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} vessels on {} slices: {}", self.vessels.len(), self.layers, self.output.display())?;
        self.vessels.iter().try_for_each(|one| write!(f, "\n{:>6} {:>8} pixels", one.object, one.pixels))
    }
}

/// Runs a [`VesselsRequest`].
pub fn vessels(request: &VesselsRequest, observer: &mut dyn Observer) -> Result<VesselsReport> {
    let inputs = [Some(&request.map), request.earlier.as_ref(), request.regions.as_ref(), request.erased.as_ref()];
    for input in inputs.into_iter().flatten() {
        io::check_output(input, &request.output)?;
    }
    if request.erased.is_some() && request.regions.is_none() {
        return Err(Error::invalid("`erased` is taken off `regions`: name them, too"));
    }
    let map = map(request)?;
    let reply = match &request.regions {
        None => map.clone(),
        Some(regions) => {
            observer.step("vessels", 0, 1)?;
            let regions = io::read_labels(regions)?;
            let left = match &request.erased {
                Some(erased) => vessels::erase(&regions, &io::read_labels(erased)?)?,
                None => regions,
            };
            vessels::on_layers(&map, &left, request.least_on_layer)?
        }
    };
    io::write_labels(&reply, &request.output)?;
    if let Some(picture) = &request.picture {
        io::write_picture(&coloured(&map)?, picture)?;
    }
    observer.step("vessels", 1, 1)?;
    let size = |object| VesselSize { object, map_pixels: map.count(object), pixels: reply.count(object) };
    let vessels = map.objects().into_iter().map(size).collect();
    Ok(VesselsReport { output: request.output.clone(), vessels, layers: reply.frames })
}

/// The vessels seen from the front, numbered.
fn map(request: &VesselsRequest) -> Result<Labels> {
    let map = if request.coloured {
        io::check_exact(&request.map, "a map of colours")?;
        vessels::of_colours(&io::open(&request.map, &OpenOptions::default())?, &COLOURS)?
    } else {
        let mask = io::read_labels(&request.map)?;
        vessels::trees(&if mask.frames == 1 { mask } else { mask.project() }, &request.trees)?
    };
    match &request.earlier {
        Some(earlier) => {
            let earlier = io::read_labels(earlier)?;
            vessels::keep_numbers(&map, &if earlier.frames == 1 { earlier } else { earlier.project() })
        }
        None => Ok(map),
    }
}
