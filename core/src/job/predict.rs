//! `host-demo predict`: volume + segmentation network -> region and vessels of every slice, probabilities, pictures.

use super::segment::partial;
use super::{InputRequest, SegRequest};
use crate::intensity::{Intensity, Windows};
use crate::io;
use crate::progress::{Observer, stoppable, unwatched};
use crate::sparse::{CleanUp, Predicted, Predictor, SegmenterRequest};
use crate::volume::{Axis, Labels};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to look at, with which network, and what to write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PredictRequest {
    /// the volume
    #[serde(flatten)]
    pub input: InputRequest,
    /// the network
    #[serde(flatten)]
    pub segmenter: SegmenterRequest,
    /// which values the network sees as 0 and 1, see [`crate::intensity`]
    #[serde(default)]
    pub window: Option<String>,
    /// from probabilities to a region
    #[serde(default)]
    pub clean: CleanUp,
    /// slices that go through the network together; default: 1 on a CPU, 8 on a GPU
    #[serde(default)]
    pub batch: Option<usize>,
    /// en-face vessel map: a picture of any size, vessels are what is not black
    #[serde(default)]
    pub vessels: Option<PathBuf>,
    /// region (object 1) to write, by its ending ([`io::write_labels`])
    #[serde(default)]
    pub out: Option<PathBuf>,
    /// vessels (object 1) to write: the region within the vessel map
    #[serde(default)]
    pub vessels_out: Option<PathBuf>,
    /// what a DICOM Segmentation says beside its voxels
    #[serde(default)]
    pub seg: SegRequest,
    /// probabilities to write: `.nii`, `.nii.gz`
    #[serde(default)]
    pub probabilities: Option<PathBuf>,
    /// folder to fill with a picture per slice: region, region over slice, vessels over slice, slice
    #[serde(default)]
    pub pictures: Option<PathBuf>,
}

impl PredictRequest {
    /// Errors that need no work to be found.
    fn check(&self) -> Result<()> {
        let outputs = [&self.out, &self.vessels_out, &self.probabilities, &self.pictures].into_iter().flatten();
        if outputs.clone().next().is_none() {
            return Err(Error::invalid("predict: nothing to write; name out, vessels_out, probabilities or pictures"));
        }
        if self.vessels_out.is_some() && self.vessels.is_none() {
            return Err(Error::invalid("predict: vessels_out needs an en-face vessel map; name it as vessels"));
        }
        for output in outputs {
            let inputs = [Some(&self.input.input), self.vessels.as_ref()];
            inputs.into_iter().flatten().try_for_each(|input| io::check_output(input, output))?;
        }
        if self.seg.fractional {
            return Err(Error::invalid(
                "predict: a DICOM Segmentation of probabilities is not written; name probabilities (.nii.gz)",
            ));
        }
        let options = self.seg.options(&self.input)?.into();
        let labels = [&self.out, &self.vessels_out];
        labels.into_iter().flatten().try_for_each(|path| io::check_label_output(path, &options))?;
        self.probabilities.iter().try_for_each(io::check_probabilities_output)?;
        self.clean.check()
    }

    fn write_labels(&self, labels: &Labels, path: &Path) -> Result<()> {
        let options = self.seg.options(&self.input)?.into();
        io::write_labels_with(&labels.along(self.input.axis()?), path, &options)
    }
}

/// What a [`PredictRequest`] gave.
#[derive(Debug, Clone, Serialize)]
pub struct PredictReport {
    /// region written
    pub labels: Option<PathBuf>,
    /// vessels written
    pub vessels: Option<PathBuf>,
    /// probabilities written
    pub probabilities: Option<PathBuf>,
    /// pictures written
    pub pictures: Option<PathBuf>,
    /// the checkpoint used
    pub segmenter: PathBuf,
    /// its feature size
    pub feature_size: i64,
    /// side of the square that slices were resized to
    pub image_size: i64,
    /// where it computed
    pub device: String,
    /// how exactly
    pub precision: &'static str,
    /// slices, rows, columns as looked at
    pub shape: [usize; 3],
    /// values of the volume that the network saw as 0 and 1
    pub window: Windows,
    /// every slice
    pub layers: Vec<LayerReport>,
    /// for all slices
    pub seconds: f64,
}

/// One slice of a [`PredictReport`].
#[derive(Debug, Clone, Serialize)]
pub struct LayerReport {
    /// from 0
    pub frame: usize,
    /// pixels of the region
    pub region: usize,
    /// pixels of the vessels
    pub vessels: Option<usize>,
    /// share of pixels that is expected to be on the wrong side: the mean of min(p, 1 - p)
    pub expected_error: f64,
}

impl fmt::Display for PredictReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layers, seconds, device, precision, feature_size, image_size, .. } = self;
        let each = seconds / layers.len().max(1) as f64;
        let network = format!("feature size {feature_size}, {image_size} x {image_size}, {device}, {precision}");
        write!(f, "{} slices in {seconds:.1} s ({each:.2} s each, {network})", layers.len())?;
        let with = layers.iter().filter(|layer| layer.region > 0).count();
        write!(f, "\na region on {with} of them")?;
        let written = [&self.labels, &self.vessels, &self.probabilities, &self.pictures];
        written.into_iter().flatten().try_for_each(|path| write!(f, "\n{}", path.display()))
    }
}

/// Runs a [`PredictRequest`].
///
/// When `observer` cancels, the region of the slices done so far is written beside `out` (`NAME.partial...`), and `out` stays as it was.
pub fn predict(request: &PredictRequest, observer: &mut dyn Observer) -> Result<PredictReport> {
    request.check()?;
    let axis = request.input.axis()?;
    let intensity = request.window.as_deref().map_or(Ok(Intensity::Auto), str::parse)?;
    let volume = request.input.open_once(observer)?.along(axis)?;
    let map = request.vessels.as_deref().map(io::read_mask).transpose()?;
    observer.step("load", 0, 1)?;
    let segmenter = request.segmenter.load()?;
    let mut predictor = Predictor::new(&segmenter, &volume, intensity, request.clean.clone())?;
    if let Some(batch) = request.batch {
        predictor = predictor.with_batch(batch)?;
    }
    if let Some((rows, columns, map)) = map {
        predictor = predictor.with_vessels([rows, columns], &map)?;
    }
    if request.probabilities.is_some() {
        predictor = predictor.with_probabilities()?;
    }
    let started = Instant::now();
    let done = stoppable(|| predictor.run(request.pictures.as_deref(), observer));
    done.map_err(|error| unwatched(|| keep_partial(request, &predictor, error)))?;
    let seconds = started.elapsed().as_secs_f64();
    let (window, layers) = (predictor.windows(), layers(&predictor));
    let written = stoppable(|| write_outputs(request, &mut predictor.predicted, axis));
    written.map_err(|error| unwatched(|| keep_partial(request, &predictor, error)))?;
    Ok(PredictReport {
        labels: request.out.clone(),
        vessels: request.vessels_out.clone(),
        probabilities: request.probabilities.clone(),
        pictures: request.pictures.clone(),
        feature_size: segmenter.config().feature_size,
        image_size: segmenter.config().image_size,
        device: segmenter.device(),
        precision: segmenter.precision(),
        segmenter: segmenter.path,
        shape: [volume.frames, volume.rows, volume.columns],
        window,
        layers,
        seconds,
    })
}

fn write_outputs(request: &PredictRequest, predicted: &mut Predicted, axis: Axis) -> Result<()> {
    if let Some(path) = &request.out {
        request.write_labels(&predicted.region, path)?;
    }
    if let (Some(path), Some(vessels)) = (&request.vessels_out, &predicted.vessels) {
        request.write_labels(vessels, path)?;
    }
    if let (Some(path), Some(probabilities)) = (&request.probabilities, predicted.probabilities.take()) {
        io::write_probabilities(path, &probabilities.along(axis))?;
    }
    Ok(())
}

fn layers(predictor: &Predictor<'_>) -> Vec<LayerReport> {
    let predicted = &predictor.predicted;
    let pixels = |labels: &Labels, frame: usize| labels.frame(frame).iter().filter(|&&label| label != 0).count();
    let layer = |(frame, &expected_error): (usize, &f64)| LayerReport {
        frame,
        region: pixels(&predicted.region, frame),
        vessels: predicted.vessels.as_ref().map(|vessels| pixels(vessels, frame)),
        expected_error,
    };
    predicted.expected_error.iter().enumerate().map(layer).collect()
}

/// After a cancellation: what is done goes beside the output, under another name.
fn keep_partial(request: &PredictRequest, predictor: &Predictor<'_>, error: Error) -> Error {
    let done = predictor.predicted.done();
    let Some(out) = request.out.as_deref().filter(|_| matches!(error, Error::Cancelled) && done > 0) else {
        return error;
    };
    let kept = partial(out);
    match request.write_labels(&predictor.predicted.region, &kept) {
        Ok(()) => Error::CancelledWith { done, kept },
        Err(error) => error,
    }
}
