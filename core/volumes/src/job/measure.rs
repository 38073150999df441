//! The task `measure`, `host-demo measure`: vessels and FAZ in numbers, as tables and as a page.

use crate::io::{self, OpenOptions};
use crate::measure::octa::{OctaOptions, OctaReport, measure_octa};
use crate::picture::enface::Scene;
use crate::progress::Observer;
use crate::volume::Labels;
use crate::{Error, Result};
use serde::Deserialize;
use std::path::PathBuf;

/// What to measure, and what to write.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureRequest {
    /// labels; every object is vessel, but for `faz_object`
    pub labels: PathBuf,
    /// the object that is the foveal avascular zone
    #[serde(default)]
    pub faz_object: Option<u16>,
    /// labels of the foveal avascular zone, instead
    #[serde(default)]
    pub faz: Option<PathBuf>,
    /// the volume that was segmented, for the pictures
    #[serde(default)]
    pub volume: Option<PathBuf>,
    /// eye, centre, circles, spacing
    #[serde(default)]
    pub options: OctaOptions,
    /// a table, `.csv`
    #[serde(default)]
    pub csv: Option<PathBuf>,
    /// the same, `.json`
    #[serde(default)]
    pub json: Option<PathBuf>,
    /// a page with pictures, `.html`
    #[serde(default)]
    pub html: Option<PathBuf>,
}

/// Runs a [`MeasureRequest`].
pub fn measure(request: &MeasureRequest, observer: &mut dyn Observer) -> Result<OctaReport> {
    let inputs = [Some(&request.labels), request.faz.as_ref(), request.volume.as_ref()];
    for output in [&request.csv, &request.json, &request.html].into_iter().flatten() {
        inputs.into_iter().flatten().try_for_each(|input| io::check_output(input, output))?;
    }
    let labels = io::read_labels(&request.labels)?;
    let (vessels, faz) = parts(request, labels)?;
    let volume = request.volume.as_ref().map(|path| io::open(path, &OpenOptions::default())).transpose()?;
    let mut options = request.options.clone();
    if let (None, false, Some(volume)) =
        (options.spacing, vessels.as_ref().or(faz.as_ref()).is_some_and(|l| l.geometry.known), &volume)
    {
        options.spacing = volume.geometry.known.then_some(volume.geometry.spacing); // labels without a place lie on the volume's grid
    }
    let report = measure_octa(vessels.as_ref(), faz.as_ref(), &options, observer)?;
    if let Some(path) = &request.csv {
        io::write_text(path, &report.csv()?)?;
    }
    if let Some(path) = &request.json {
        io::write_text(path, &report.json())?;
    }
    if let Some(path) = &request.html {
        let scene = Scene { volume: volume.as_ref(), vessels: vessels.as_ref(), faz: faz.as_ref() };
        let title = request.labels.file_name().unwrap_or_default().to_string_lossy();
        io::write_text(path, &report.html(&title, &scene.pictures(&report, &options)?))?;
    }
    Ok(report)
}

/// Vessels and FAZ of the files.
fn parts(request: &MeasureRequest, labels: Labels) -> Result<(Option<Labels>, Option<Labels>)> {
    if request.faz_object.is_some() && request.faz.is_some() {
        return Err(Error::invalid("the FAZ is either an object of the labels (`faz_object`) or another file (`faz`)"));
    }
    let faz = match (request.faz_object, &request.faz) {
        (Some(object), _) if !labels.data.contains(&object) => {
            let what = format!("there is no object {object}; there are {:?}", labels.objects());
            return Err(Error::format(&request.labels, what));
        }
        (Some(object), _) => Some(labels.map(|label| u16::from(label == object))),
        (None, Some(path)) => Some(io::read_labels(path)?),
        (None, None) => None,
    };
    let vessels = match request.faz_object {
        Some(object) => labels.map(|label| if label == object { 0 } else { label }),
        None => labels,
    };
    let any = faz.is_none() || vessels.data.iter().any(|&label| label != 0);
    Ok((any.then_some(vessels), faz))
}
