//! Vessels as objects: `vessel mask -> skeleton -> graph -> trees (one number per vessel) -> layers -> SAM-OCTA2's folders`.
//!
//! SAM-OCTA2 (arXiv 2409.09286) colours the vessels of an en-face map by hand and cuts the layers' masks along it. Here the map may come from a
//! picture (`colours`) or from the mask alone (`trees`); everything behind it works on labels.

mod colours;
mod crossings;
mod export;
mod found;
mod graph;
mod layers;
mod skeleton;
mod trees;

pub use colours::{COLOURS, coloured, of_colours};
pub use export::{ExportReport, Sample, export};
pub use found::{FAZ, LEAST_VESSEL, clean_vessels, clean_zone, objects};
pub use graph::{Branch, Graph};
pub use layers::{LEAST, erase, fitted, on_layers};
pub use skeleton::skeleton;
pub use trees::{TreeOptions, claimed, keep_numbers, trees};

use crate::volume::Labels;
use crate::{Error, Result};

/// One slice seen from the front. Errors: labels of several slices.
fn check_flat(what: &str, labels: &Labels) -> Result<()> {
    match labels.frames {
        1 => Ok(()),
        frames => Err(Error::invalid(format!("{what} is one slice, not {frames}: project the labels first"))),
    }
}
