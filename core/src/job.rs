//! Whole jobs as a person at a terminal asks for them: a request in, files and a report out.

use crate::Result;
use crate::progress::Observer;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which weights to use, in which shape, where and how exactly.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRequest {
    /// an official size by name (`tiny`, `2.1-base_plus`, ...), looked up in the weights folders, or a checkpoint file
    pub model: String,
    /// an official size by name or a configuration file; default: implied by the checkpoint
    #[serde(default)]
    pub model_config: Option<String>,
    /// `auto`, `cpu`, `cuda:0`
    #[serde(default = "auto")]
    pub device: String,
    /// `auto`, `f32`, `bf16`, `f16`
    #[serde(default = "auto")]
    pub precision: String,
    /// folders searched for checkpoints, besides the defaults
    #[serde(default)]
    pub weights_dirs: Vec<PathBuf>,
}

fn auto() -> String {
    "auto".to_owned()
}

/// `host-demo segment`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SegmentRequest {
    /// volume: a file or a folder
    pub input: PathBuf,
    /// region of every slice, `"X,Y,W,H"` in pixels or percent
    #[serde(default)]
    pub crop: Option<String>,
    /// the model
    #[serde(flatten)]
    pub model: ModelRequest,
    /// prompt file
    pub prompts: PathBuf,
    /// `"reference"`: behave as the Python package does
    #[serde(default)]
    pub compat: Option<String>,
    /// label volume to write
    #[serde(default)]
    pub out: Option<PathBuf>,
    /// safetensors file to write
    #[serde(default)]
    pub logits: Option<PathBuf>,
    /// picture to write
    #[serde(default)]
    pub overlay: Option<PathBuf>,
}

/// Runs [`SegmentRequest`]; the report is what `--json` prints.
pub fn segment(_request: &SegmentRequest, _observer: &mut dyn Observer) -> Result<serde_json::Value> {
    Err(crate::Error::Unsupported("segment: not built yet".into()))
}

/// `host-demo replay`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// volume: a file or a folder
    pub input: PathBuf,
    /// region of every slice, `"X,Y,W,H"` in pixels or percent
    #[serde(default)]
    pub crop: Option<String>,
    /// the model
    #[serde(flatten)]
    pub model: ModelRequest,
    /// `{"steps": [...]}`
    pub steps: PathBuf,
    /// `"reference"`: behave as the Python package does
    #[serde(default)]
    pub compat: Option<String>,
    /// safetensors file to write
    pub logits: PathBuf,
}

/// Runs [`ReplayRequest`].
pub fn replay(_request: &ReplayRequest, _observer: &mut dyn Observer) -> Result<serde_json::Value> {
    Err(crate::Error::Unsupported("replay: not built yet".into()))
}
