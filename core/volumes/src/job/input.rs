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
    /// which DICOM series: SeriesInstanceUID, series number, or `#2` for the second in the list
    #[serde(default)]
    pub series: Option<String>,
    /// accept DICOM slices with gaps or unequal spacing
    #[serde(default)]
    pub uneven: bool,
    /// which volume of a file that holds several, from 0
    #[serde(default)]
    pub volume: Option<usize>,
    /// what becomes of colour: `red`, `green`, `blue` or `luminance`; default: it stays colour
    #[serde(default)]
    pub channel: Option<String>,
    /// millimetres between voxels along x, y, z, where the source does not say
    #[serde(default)]
    pub spacing: Option<[f64; 3]>,
    /// the axis along which slices are taken: `z` (as stored), `y` or `x`
    #[serde(default)]
    pub axis: Option<String>,
}

impl InputRequest {
    /// How to read the file.
    pub fn options(&self) -> Result<OpenOptions> {
        let mut options = OpenOptions::with_crop(self.crop.as_deref())?;
        options.series.clone_from(&self.series);
        options.channel = self.channel.as_deref().map(str::parse).transpose()?;
        (options.uneven, options.volume, options.spacing) = (self.uneven, self.volume, self.spacing);
        Ok(options)
    }

    /// The axis along which slices are taken.
    pub fn axis(&self) -> Result<Axis> {
        self.axis.as_deref().map_or(Ok(Axis::Z), str::parse)
    }

    /// Reads the volume as stored (cropped).
    pub fn open(&self, observer: &mut dyn Observer) -> Result<Volume> {
        io::open_observed(&self.input, &self.options()?, observer)
    }

    /// The same for work that goes through the slices once: large files cost no memory.
    pub fn open_once(&self, observer: &mut dyn Observer) -> Result<Volume> {
        let mut options = self.options()?;
        options.once = true;
        io::open_observed(&self.input, &options, observer)
    }
}
