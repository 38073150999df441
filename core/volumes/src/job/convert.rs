//! `host-demo convert`: a volume into another format.

use super::InputRequest;
use crate::Result;
use crate::io;
use crate::progress::Observer;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What to convert, and into which file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConvertRequest {
    /// the volume
    #[serde(flatten)]
    pub input: InputRequest,
    /// the file to write; its ending says the format
    pub output: PathBuf,
}

/// What a [`ConvertRequest`] gave.
#[derive(Debug, Clone, Serialize)]
pub struct ConvertReport {
    /// the file written
    pub output: PathBuf,
}

/// Runs a [`ConvertRequest`].
pub fn convert(request: &ConvertRequest, observer: &mut dyn Observer) -> Result<ConvertReport> {
    io::check_output(&request.input.input, &request.output)?;
    let volume = request.input.open_once(observer)?.along(request.input.axis()?)?;
    io::write_volume(&volume, &request.output, observer)?;
    Ok(ConvertReport { output: request.output.clone() })
}
