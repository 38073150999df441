//! Whole jobs as a person at a terminal asks for them: a request in, files and a report out.

mod description;
mod export;
mod logits;
mod measured;
mod predict;
mod prompts;
mod replay;
mod script;
mod segment;

pub use description::{SegRequest, probabilities};
pub use export::{ExportReport, ExportRequest, FreshRequest, Layout, export, fresh};
pub use measured::NumbersRequest;
pub use predict::{LayerReport, PredictReport, PredictRequest, predict};
pub use prompts::{drawn, give_prompts, read_mask, read_prompts};
pub use replay::{ReplayReport, ReplayRequest, TensorReport, replay};
pub use sam_octa2_volumes::job::{InputRequest, MeasureFiles, PhantomReport, explained, report_on, unknown_key};
pub use script::{script, write_script};
pub use segment::{ObjectReport, SegmentReport, SegmentRequest, segment};

use crate::session::Compat;
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads a JSON file; an error says the line and what was expected.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| Error::format(path, explained(&error.to_string())))
}

fn compat(name: Option<&str>) -> Result<Compat> {
    name.map_or(Ok(Compat::Holding), str::parse)
}
