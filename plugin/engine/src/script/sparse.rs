//! `Segmenter` in scripts: a small network that proposes the region of every slice, taught a few hand-labelled layers.

use super::Context;
use super::engine::HostRef;
use super::files::Files;
use super::labels::LabelsValue;
use super::library::Library;
use super::values::{Checked, Fallible, Options, float64, int, native, refused, text, truth, whole};
use super::volume::VolumeValue;
use crate::convert::ToHost;
use rhai::{Array, Dynamic, Map, NativeCallContext};
use sam_octa2_core::intensity::Intensity;
use sam_octa2_core::io;
use sam_octa2_core::sparse::{CleanUp, Predictor, Segmenter, SegmenterRequest};
use sam_octa2_core::volume::Labels;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A network under the name that the script gave.
#[derive(Clone)]
pub struct SegmenterValue(Arc<Segmenter>);

/// Makes them known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let (host, files, same) = (context.host, context.files.clone(), context.files.clone());
    library.engine().register_type_with_name::<SegmenterValue>("Segmenter");
    library
        .section("Sparse annotation", "A small network (SwinUNETR) learns a few hand-labelled layers and proposes the region on all others.")
        .function(
            "load_segmenter(name: String, options?: #{image_size, device, precision}) -> Segmenter",
            "A checkpoint of `train_segmenter`, of MONAI's SwinUNETR (`spatial_dims=2`) or of SAM-OCTA2's. `image_size`: side of the square that \
             slices are resized to, a multiple of 32 [what the file says, else 512]; `device`, `precision` as in `load_model`.",
            "load_segmenter(arg(\"segmenter\"), #{device: \"cpu\"})",
            move |call: NativeCallContext, name: Dynamic, options: Dynamic| -> Fallible<SegmenterValue> {
                native(&call, || SegmenterValue::load(&files, &name, Some(&options)))
            },
        )
        .also("load_segmenter", move |call: NativeCallContext, name: Dynamic| -> Fallible<SegmenterValue> {
            native(&call, || SegmenterValue::load(&same, &name, None))
        })
        .function(
            "predict(segmenter: Segmenter, volume: Volume, options?: #{threshold, min_size, fill_holes, sigma, window, batch, vessels, pictures, probabilities}) -> Map #{region: Labels, \
             vessels: Labels, expected_error}",
            "The region of every slice, and the vessels in it, both labels with object 1. Inside is what is likelier than `threshold` [0.8]; \
             smaller components than `min_size` go, holes are filled (`fill_holes`), a Gaussian of `sigma` and Otsu's threshold smooth the edge \
             (0: not), all in pixels of the network's square [500 and 5 at 512]. `vessels`: an en-face map, a picture or labels; the vessels of \
             a slice are its region within the map. `pictures`: a folder for four-panel pictures; `probabilities`: a `.nii.gz`. `expected_error`: for every \
             slice the share of pixels expected to be wrong.",
            "load_segmenter(arg(\"segmenter\"), #{image_size: 64}).predict(volume, #{threshold: 0.5}).region.count(1)",
            move |call: NativeCallContext, segmenter: &mut SegmenterValue, volume: Dynamic, options: Dynamic| {
                native(&call, || segmenter.predict(host, &volume, Some(&options)))
            },
        )
        .also("predict", move |call: NativeCallContext, segmenter: &mut SegmenterValue, volume: Dynamic| {
            native(&call, || segmenter.predict(host, &volume, None))
        })
        .property(
            "image_size(segmenter: Segmenter) -> int",
            "To how many pixels a slice is resized for it.",
            "load_segmenter(arg(\"segmenter\")).image_size",
            |segmenter: &mut SegmenterValue| int(segmenter.0.config().image_size),
        )
        .property(
            "feature_size(segmenter: Segmenter) -> int",
            "The width of its first stage.",
            "load_segmenter(arg(\"segmenter\")).feature_size",
            |segmenter: &mut SegmenterValue| int(segmenter.0.config().feature_size),
        );
    library
        .engine()
        .register_fn("to_string", |segmenter: &mut SegmenterValue| segmenter.describe())
        .register_fn("to_debug", |segmenter: &mut SegmenterValue| segmenter.describe());
}

impl SegmenterValue {
    fn load(files: &Files, name: &Dynamic, options: Option<&Dynamic>) -> Checked<Self> {
        let mut request = SegmenterRequest { segmenter: text("load_segmenter: name", name)?, ..Default::default() };
        if let Some(options) = options {
            let options = Options::new("load_segmenter", options, &["image_size", "device", "precision"])?;
            request.image_size = options.get("image_size", whole)?.map(|side| i64::try_from(side).unwrap_or(i64::MAX));
            request.place.device = options.parsed("device")?.unwrap_or_default();
            request.place.precision = options.parsed("precision")?.unwrap_or_default();
        }
        let path = Path::new(&request.segmenter);
        if path.components().count() > 1 || path.exists() {
            files.check_read(path)?;
            files.opened(path);
        }
        Ok(Self(Arc::new(request.load()?)))
    }

    fn predict(&self, host: HostRef, volume: &Dynamic, options: Option<&Dynamic>) -> Checked<Map> {
        let volume: VolumeValue = super::values::typed("predict: volume", "Volume", volume)?;
        let options = Asked::read(&volume, options)?;
        let mut predictor = Predictor::new(&self.0, &volume.volume, options.intensity, options.clean)?;
        if let Some(batch) = options.batch {
            predictor = predictor.with_batch(batch)?;
        }
        if let Some((rows, columns, map)) = options.vessels {
            predictor = predictor.with_vessels([rows, columns], &map)?;
        }
        if options.probabilities.is_some() {
            predictor = predictor.with_probabilities()?;
        }
        predictor.run(options.pictures.as_deref(), &mut ToHost(host.calls()))?;
        let predicted = predictor.predicted;
        if let (Some(path), Some(probabilities)) = (&options.probabilities, predicted.probabilities) {
            io::write_probabilities(path, &probabilities.along(volume.axis))?;
        }
        let labels = |labels: Labels| Dynamic::from(LabelsValue::new(labels, volume.clone()));
        let expected_error: Array = predicted.expected_error.into_iter().map(Dynamic::from_float).collect();
        Ok(Map::from([
            ("region".into(), labels(predicted.region)),
            ("vessels".into(), predicted.vessels.map_or(Dynamic::UNIT, labels)),
            ("expected_error".into(), expected_error.into()),
        ]))
    }

    fn describe(&self) -> String {
        let config = self.0.config();
        format!("Segmenter({}, {} px, {})", config.feature_size, config.image_size, self.0.device())
    }
}

/// The options of `predict`.
#[derive(Default)]
struct Asked {
    clean: CleanUp,
    intensity: Intensity,
    batch: Option<usize>,
    vessels: Option<(usize, usize, Vec<bool>)>,
    pictures: Option<PathBuf>,
    probabilities: Option<PathBuf>,
}

impl Asked {
    fn read(volume: &VolumeValue, options: Option<&Dynamic>) -> Checked<Self> {
        const KEYS: [&str; 9] =
            ["threshold", "min_size", "fill_holes", "sigma", "window", "batch", "vessels", "pictures", "probabilities"];
        let Some(options) = options else { return Ok(Self::default()) };
        let options = Options::new("predict", options, &KEYS)?;
        let usual = CleanUp::default();
        let probabilities = options.get("probabilities", |what, path| volume.output(what, path))?;
        probabilities.iter().try_for_each(io::check_probabilities_output)?;
        Ok(Self {
            clean: CleanUp {
                threshold: options.get("threshold", float64)?.unwrap_or(usual.threshold),
                min_size: options.get("min_size", whole)?,
                fill_holes: options.get("fill_holes", truth)?.unwrap_or(usual.fill_holes),
                sigma: options.get("sigma", float64)?,
            },
            intensity: options.parsed("window")?.unwrap_or_default(),
            batch: options.get("batch", whole)?,
            vessels: options.get("vessels", |what, value| vessel_map(&volume.files, what, value))?,
            pictures: options.get("pictures", |what, path| volume.output(what, path))?,
            probabilities,
        })
    }
}

/// An en-face map: a picture, or labels seen from above.
fn vessel_map(files: &Files, what: &str, value: &Dynamic) -> Checked<(usize, usize, Vec<bool>)> {
    if let Some(labels) = value.clone().try_cast::<LabelsValue>() {
        let flat = labels.labels.project();
        return Ok((flat.rows, flat.columns, flat.data.iter().map(|&label| label != 0).collect()));
    }
    if !value.is_string() {
        return Err(refused(what, "a picture's path or Labels", value));
    }
    Ok(io::read_mask(files.input(what, value)?)?)
}
