//! The task `export_octa500`: a volume and its labels into the folders of SAM-OCTA2.

use super::InputRequest;
use crate::Result;
use crate::io;
use crate::progress::Observer;
use crate::vessels::{ExportReport, Sample, export};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What to export, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportRequest {
    /// the layers
    #[serde(flatten)]
    pub input: InputRequest,
    /// labels with a number per vessel
    #[serde(default)]
    pub vessels: Option<PathBuf>,
    /// labels that say where each layer cuts through the plexus
    #[serde(default)]
    pub regions: Option<PathBuf>,
    /// labels of the foveal avascular zone
    #[serde(default)]
    pub faz: Option<PathBuf>,
    /// the number of the sample
    pub sample: u32,
    /// the number of the first layer. _Default: 0._
    #[serde(default)]
    pub first_layer: usize,
    /// the folder with `RV_LayerSequence`, `FAZ_LayerSequence`, `Colored_RV`
    pub root: PathBuf,
}

/// Runs an [`ExportRequest`].
pub fn export_octa500(request: &ExportRequest, observer: &mut dyn Observer) -> Result<ExportReport> {
    let axis = request.input.axis()?;
    let volume = request.input.open(observer)?.along(axis)?;
    let read = |path: &Option<PathBuf>| {
        let labels = path.as_ref().map(io::read_labels).transpose()?;
        Ok::<_, crate::Error>(labels.map(|labels| labels.along(axis).into_owned()))
    };
    let (vessels, regions, faz) = (read(&request.vessels)?, read(&request.regions)?, read(&request.faz)?);
    let sample = Sample {
        number: request.sample,
        volume: &volume,
        vessels: vessels.as_ref(),
        regions: regions.as_ref(),
        faz: faz.as_ref(),
        first: request.first_layer,
    };
    export(&request.root, &sample, observer)
}
