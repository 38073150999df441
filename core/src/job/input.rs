//! Which volume to work on, as every job asks for it.

use crate::Result;
use crate::io::{self, OpenOptions};
use crate::progress::Observer;
use crate::volume::{Axis, Volume};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A volume and how to read it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct InputRequest {
    /// a file or a folder
    pub input: PathBuf,
    /// region of every slice, `"X,Y,W,H"` in pixels or percent
    #[serde(default)]
    pub crop: Option<String>,
    /// the axis along which slices are taken: `z` (as stored), `y` or `x`
    #[serde(default)]
    pub axis: Option<String>,
}

impl InputRequest {
    /// How to read the file.
    pub fn options(&self) -> Result<OpenOptions> {
        OpenOptions::with_crop(self.crop.as_deref())
    }

    /// The axis along which slices are taken.
    pub fn axis(&self) -> Result<Axis> {
        self.axis.as_deref().map_or(Ok(Axis::Z), str::parse)
    }

    /// Reads the volume as stored (cropped).
    pub fn open(&self, observer: &mut dyn Observer) -> Result<Volume> {
        io::open_observed(&self.input, &self.options()?, observer)
    }
}
