//! The task `measure`, `host-demo measure`: vessels and FAZ in numbers, as tables and as a page.

use super::InputRequest;
use crate::io;
use crate::measure::octa::{About, OctaOptions, OctaReport, Validation, measure_octa};
use crate::measure::quality;
use crate::picture::Enface;
use crate::progress::Observer;
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// What to measure, and what to write.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// the slab of that volume on which the labels were made
    #[serde(default)]
    pub slab: Option<String>,
    /// a file with the layer curves of that volume
    #[serde(default)]
    pub layers: Option<PathBuf>,
    /// eye, centre, circles, spacing
    #[serde(default)]
    pub options: OctaOptions,
    /// whose eye, which model, and what else stands on the page
    #[serde(default)]
    pub about: About,
    /// what the numbers of the model that made the labels were validated on: `NAME.validation.json`
    #[serde(default)]
    pub validation: Option<PathBuf>,
    /// what to write
    #[serde(default)]
    pub write: MeasureFiles,
}

/// The files that a measurement goes into.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureFiles {
    /// a table, `.csv`
    pub csv: Option<PathBuf>,
    /// the same as JSON
    pub json: Option<PathBuf>,
    /// a page with pictures, `.html`
    pub html: Option<PathBuf>,
    /// a table with a line per vessel, `.csv`
    pub vessels_csv: Option<PathBuf>,
}

impl MeasureFiles {
    /// All files to write.
    pub fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.csv, &self.json, &self.html, &self.vessels_csv].into_iter().flatten()
    }

    /// Writes a report. `title` stands on the page above the pictures of `scene`. Errors: files that cannot be written.
    pub fn write(&self, report: &OctaReport, title: &str, scene: &Enface<'_>, options: &OctaOptions) -> Result<()> {
        if let Some(path) = &self.csv {
            io::write_text(path, &report.csv()?)?;
        }
        if let Some(path) = &self.vessels_csv {
            io::write_text(path, &report.vessels_csv()?)?;
        }
        if let Some(path) = &self.json {
            io::write_text(path, &report.json())?;
        }
        match &self.html {
            Some(path) => io::write_text(path, &report.html(title, &scene.pictures(report, options)?)),
            None => Ok(()),
        }
    }
}

/// Runs a [`MeasureRequest`].
pub fn measure(request: &MeasureRequest, observer: &mut dyn Observer) -> Result<OctaReport> {
    let inputs = [Some(&request.labels), request.faz.as_ref(), request.volume.as_ref()];
    for output in request.write.all() {
        inputs.into_iter().flatten().try_for_each(|input| io::check_output(input, output))?;
    }
    let (slab, layers) = (request.slab.clone(), request.layers.clone());
    if request.volume.is_none() && (slab.is_some() || layers.is_some()) {
        return Err(Error::invalid("`slab` and `layers` belong to a volume: name it (`volume`)"));
    }
    let input = request.volume.clone().map(|input| InputRequest { input, slab, layers, ..InputRequest::default() });
    let volume = input.map(|input| input.open(observer)).transpose()?;
    let labels = read(&request.labels, volume.as_ref())?;
    let mut about = request.about.clone();
    if let Some(object) = request.faz_object.filter(|object| !labels.data.contains(object)) {
        about.notes.push(format!(
            "object {object}, which should be the FAZ, is not in the labels; there are {:?}",
            labels.objects()
        ));
    }
    let (vessels, faz) = parts(request, labels, volume.as_ref())?;
    let mut options = request.options.clone();
    // labels that do not say how large their pixels are lie on the grid of the volume
    let sized = vessels.as_ref().or(faz.as_ref()).is_some_and(|labels| labels.geometry.has_size());
    if let (None, false, Some(volume)) = (options.spacing, sized, &volume) {
        options.spacing = volume.geometry.has_size().then_some(volume.geometry.spacing);
    }
    if options.eye.is_none() {
        options.eye = volume.as_ref().and_then(|volume| volume.scan.as_deref()?.eye);
    }
    if let Some(path) = &request.validation {
        about.validated(Validation::read(path)?);
    }
    about.layers = about.layers.or_else(|| request.slab.clone());
    let scene = Enface { volume: volume.as_ref(), vessels: vessels.as_ref(), faz: faz.as_ref() };
    report_on(&scene, &request.labels, &options, about, &request.write, observer)
}

/// Measures what a scene shows, judges its picture, and writes. `source` names the page where no case does.
pub fn report_on(
    scene: &Enface<'_>,
    source: &Path,
    options: &OctaOptions,
    mut about: About,
    files: &MeasureFiles,
    observer: &mut dyn Observer,
) -> Result<OctaReport> {
    let report = measure_octa(scene.vessels, scene.faz, options, observer)?;
    about.quality = match scene.volume.filter(|volume| volume.channels == 1) {
        Some(volume) => Some(quality(volume)?),
        None => None,
    };
    let report = report.with_about(about);
    let title = source.file_name().unwrap_or_default().to_string_lossy();
    files.write(&report, &title, scene, options)?;
    Ok(report)
}

/// Labels on the grid of the volume that they belong to; one slice of them may be a projection of it.
fn read(path: &Path, volume: Option<&Volume>) -> Result<Labels> {
    let labels = io::read_labels(path)?;
    let Some(volume) = volume else { return Ok(labels) };
    if labels.frames == 1 && volume.frames > 1 && (labels.rows, labels.columns) == (volume.rows, volume.columns) {
        return Ok(labels);
    }
    let fitted = labels.onto(volume.lattice());
    fitted.map(Cow::into_owned).map_err(|error| Error::format(path, format!("does not lie on `volume`: {error}")))
}

/// Vessels and FAZ of the files.
fn parts(
    request: &MeasureRequest,
    labels: Labels,
    volume: Option<&Volume>,
) -> Result<(Option<Labels>, Option<Labels>)> {
    if request.faz_object.is_some() && request.faz.is_some() {
        return Err(Error::invalid("the FAZ is either an object of the labels (`faz_object`) or another file (`faz`)"));
    }
    let (vessels, faz) = match (request.faz_object, &request.faz) {
        // an object that is nowhere is a zone that was not found: a result, which the report says
        (Some(object), _) => {
            let (vessels, faz) = labels.without(object);
            (vessels, Some(faz))
        }
        (None, Some(path)) => (labels, Some(read(path, volume)?)),
        (None, None) => (labels, None),
    };
    let none = |labels: &Labels| labels.data.iter().all(|&label| label == 0);
    let only_zone = faz.as_ref().is_some_and(|faz| !none(faz)) && none(&vessels);
    Ok(((!only_zone).then_some(vessels), faz))
}
