//! Teaching the network hand-labelled layers: request in; weights, checkpoint, tables out. The loop is that of fine-tuning
//! (`train::training_loop`); a sample is one labelled layer, varied.
//!
//! SAM-OCTA2's training is `schedule: "reference"`, AdamW with 1e-4 and weight decay 1e-4, plain Dice, no augmentation, no validation. The
//! defaults here: a learning rate that warms up and falls along a cosine, augmentation, validation wherever layers are set apart.

use super::config::SwinUnetrConfig;
use super::gradients::gradients;
use super::input;
use super::request::{LayerRun, TrainSegmenterRequest};
use super::segmenter::CONFIG;
use super::unetr::SwinUnetr;
use crate::guard::guard;
use crate::intensity::{Intensity, Windows};
use crate::model::params::Params;
use crate::progress::{Flow, Observer};
use crate::train::clip::{Clip, ClipObject};
use crate::train::data::sample::{LoadedCase, Sorted};
use crate::train::data::{self, BadData, Case, Subset};
use crate::train::records::{EpochRecord, Means, SliceRecord, measure, sheet, write_test};
use crate::train::state::read_parameters;
use crate::train::step::SliceLoss;
use crate::train::training_loop::{Outcome, Sample, Trainable, Validated};
use crate::weights::{self, Tensors, write_safetensors};
use crate::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use tch::{Kind, Tensor};

/// How it went.
#[derive(Debug, Clone, Serialize)]
pub struct TrainSegmenterReport {
    /// every epoch
    pub epochs: Vec<EpochRecord>,
    /// the epoch with the best validation (or the smallest loss, where nothing validates)
    pub best_epoch: Option<usize>,
    /// weights of the best epoch
    pub segmenter: PathBuf,
    /// sizes of the network
    pub network: SwinUnetrConfig,
    /// numbers that were trained
    pub trained_parameters: usize,
    /// left out, in all epochs
    pub skipped: usize,
    /// means over the layers of the test cases with the best weights, where there are any
    pub test: Option<Means>,
}

/// Trains. `on_epoch` hears about every epoch and may end the training there. Progress: stage `"train"` counts layers. A cancelled run leaves
/// a checkpoint to resume from.
pub fn train_segmenter(
    request: &TrainSegmenterRequest,
    observer: &mut dyn Observer,
    on_epoch: &mut dyn FnMut(&EpochRecord) -> Result<Flow>,
) -> Result<TrainSegmenterReport> {
    request.check()?;
    let (tensors, config) = request.network.tensors(request.run.seed)?;
    let cases = data::cases(&request.data)?;
    std::fs::create_dir_all(&request.output).map_err(Error::io(&request.output))?;
    let sorted = Sorted::read(cases, request.run.on_bad_data, |case| LoadedCase::read(case.as_ref()))?;
    let layers = Layers::new(request, tensors, config, sorted)?;
    let training = request.training_loop(layers.identity());
    let mut outcome = training.run(&layers, layers.skipped, observer, on_epoch)?;
    let test = layers.measure_test(&mut outcome, observer)?;
    let Outcome { epochs, best_epoch, skipped } = outcome;
    Ok(TrainSegmenterReport {
        epochs,
        best_epoch,
        segmenter: layers.file("segmenter.safetensors"),
        trained_parameters: layers.parameters.iter().map(|(_, tensor)| tensor.numel()).sum(),
        network: layers.network.config,
        skipped,
        test,
    })
}

/// A network in training, and labelled layers.
struct Layers<'a> {
    request: &'a TrainSegmenterRequest,
    network: SwinUnetr,
    /// the network's very tensors
    parameters: Vec<(String, Tensor)>,
    base: String,
    device: tch::Device,
    train: Vec<LabelledLayer>,
    validation: Vec<LabelledLayer>,
    /// read at the end
    test: Vec<Box<dyn Case>>,
    skipped: usize,
}

/// One slice of a volume, with its region.
struct LabelledLayer {
    case: Rc<LoadedCase>,
    windows: Windows,
    frame: usize,
    /// for messages
    name: String,
}

impl LabelledLayer {
    /// The slices of a volume that have labels; the slice of a single picture counts as labelled whatever its mask is.
    fn of(mut case: LoadedCase) -> Result<Vec<Self>> {
        case.volume = input::grey(&case.volume)?;
        let windows = Intensity::Auto.of(&case.volume)?;
        let (frames, case) = (case.volume.frames, Rc::new(case));
        let labelled = |frame: &usize| frames == 1 || case.labels.frame(*frame).iter().any(|&label| label != 0);
        let name = |frame| if frames == 1 { case.name.clone() } else { format!("{}, slice {frame}", case.name) };
        let layer = |frame| Self { case: case.clone(), windows, frame, name: name(frame) };
        Ok((0..frames).filter(labelled).map(layer).collect())
    }

    /// The layer and its region in the network's square, `[1, 1, S, S]`.
    fn clip(&self, side: i64) -> Result<Clip> {
        let LoadedCase { volume, labels, .. } = &*self.case;
        let image = input::slice(volume, self.frame, self.windows, side)?;
        let mask: Vec<bool> = labels.frame(self.frame).iter().map(|&label| label != 0).collect();
        let mask = input::resized_mask(&mask, [labels.rows, labels.columns], [side as usize; 2])?;
        let truth = guard(|| Ok(Tensor::from_slice(&mask).view([1, 1, side, side]).to_kind(Kind::Float)))?;
        let object = ClipObject { id: 1, truth: vec![truth], prompts: Default::default() };
        Ok(Clip { name: self.name.clone(), images: vec![image], objects: vec![object], dense: Vec::new() })
    }
}

impl<'a> Layers<'a> {
    fn new(
        request: &'a TrainSegmenterRequest,
        tensors: Tensors,
        config: SwinUnetrConfig,
        Sorted { train, validation, test, skipped }: Sorted<LoadedCase>,
    ) -> Result<Self> {
        if (config.in_channels, config.out_channels) != (1, 1) {
            let what = format!("{} channels, {} masks", config.in_channels, config.out_channels);
            return Err(Error::invalid(format!(
                "a network of {what}: layers are learnt from one channel, as one mask"
            )));
        }
        let device = request.network.device.resolve()?;
        let base = weights::fingerprint(&tensors);
        let leaf = |(name, tensor): (String, Tensor)| {
            let leaf =
                guard(|| Ok(tensor.detach().to_device(device).to_kind(Kind::Float).copy().set_requires_grad(true)));
            Ok((name, leaf?))
        };
        let leaves: Tensors = tensors.into_iter().map(leaf).collect::<Result<_>>()?;
        let parameters = leaves.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        let network = guard(|| SwinUnetr::new(Params::from_tensors(leaves, device, Kind::Float), config))?;
        let layers = |cases: Vec<LoadedCase>| -> Result<Vec<_>> {
            Ok(cases.into_iter().map(LabelledLayer::of).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        };
        let (train, validation) = (layers(train)?, layers(validation)?);
        Ok(Self { request, network, parameters, base, device, train, validation, test, skipped })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.request.output.join(name)
    }

    /// The configuration as far as it decides the numbers; more epochs may be asked for.
    fn identity(&self) -> Value {
        let TrainSegmenterRequest { data, loss, optimizer, augment, run, .. } = self.request;
        let LayerRun { views, accumulate, seed, validate_every, threshold, on_bad_data, .. } = run;
        let run = json!([views, accumulate, seed, validate_every, threshold, on_bad_data]);
        json!([self.network.config, data, loss, optimizer, augment, run])
    }

    fn side(&self) -> i64 {
        self.network.config.image_size
    }

    /// Writes the weights under MONAI's names, with the configuration.
    fn write_weights(&self, name: &str, metrics: &Value) -> Result<()> {
        let tensors = self.parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        let entries = [
            (CONFIG, serde_json::to_string(&self.network.config).unwrap_or_default()),
            ("metrics", metrics.to_string()),
            ("format", "pt".to_owned()),
        ];
        let metadata: HashMap<_, _> = entries.map(|(key, value)| (key.to_owned(), value)).into();
        write_safetensors(&self.file(name), &tensors, metadata)
    }

    /// The quality of a layer; a picture of it if one is wanted.
    fn measured(&self, epoch: usize, subset: Subset, layer: &LabelledLayer, picture: bool) -> Result<SliceRecord> {
        let clip = layer.clip(self.side())?;
        let found = [self.evaluate(&clip)?];
        if picture {
            let name = format!("{}_{}.png", layer.case.file_name(), layer.frame);
            sheet(&self.file("sheets/last").join(name), &clip, &found)?;
        }
        let measured = measure(epoch, subset, &layer.case, &clip, &found)?.pop();
        let mut record = measured.ok_or_else(|| Error::invalid(format!("{}: nothing to measure", layer.name)))?;
        record.frame = layer.frame; // of the volume, not of the clip
        Ok(record)
    }

    /// The labelled layers of the test cases with the best weights; they go into `test.csv`.
    fn measure_test(&self, outcome: &mut Outcome, observer: &mut dyn Observer) -> Result<Option<Means>> {
        let best = self.file("segmenter.safetensors");
        if self.test.is_empty() || !best.exists() {
            return Ok(None);
        }
        read_parameters(&best, &self.parameters)?;
        let mut records = Vec::new();
        for (at, case) in self.test.iter().enumerate() {
            observer.step("test", at, self.test.len())?;
            match LoadedCase::read(case.as_ref()).and_then(LabelledLayer::of) {
                Ok(layers) => {
                    for layer in &layers {
                        records.push(self.measured(outcome.best_epoch.unwrap_or(0), Subset::Test, layer, false)?);
                    }
                }
                Err(_) if self.request.run.on_bad_data == BadData::Skip => outcome.skipped += 1,
                Err(error) => return Err(error),
            }
        }
        write_test(&self.request.output, &records)?;
        Ok(Means::of(&records))
    }

    /// Loss and logits of a layer, without gradients.
    fn evaluate(&self, layer: &Clip) -> Result<SliceLoss> {
        let threshold = self.request.run.threshold;
        guard(|| {
            let logits = self.network.forward(&layer.images[0].to_device(self.device))?.to_device(tch::Device::Cpu);
            let loss = self.request.loss.of(&logits, &layer.objects[0].truth[0]).double_value(&[]);
            // measured are logits above 0
            let low_res = logits - (threshold / (1.0 - threshold)).ln();
            Ok(SliceLoss { object: 1, frame: 0, loss, low_res, score: 0.0 })
        })
    }
}

impl Trainable for Layers<'_> {
    fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    fn base(&self) -> &str {
        &self.base
    }

    fn cases(&self) -> Vec<&str> {
        self.train.iter().map(|layer| layer.name.as_str()).collect()
    }

    fn learn(&self, case: usize, sample: &mut Sample, share: f64) -> Result<f64> {
        let mut layer = self.train[case].clip(self.side())?;
        let (image, truth) = guard(|| {
            self.request.augment.apply(&mut layer, &mut sample.rng);
            let image = layer.images[0].clamp(0.0, 1.0); // brightness and contrast lead out of it
            Ok((image.to_device(self.device), layer.objects[0].truth[0].to_device(self.device)))
        })?;
        let loss = |logits: &Tensor| self.request.loss.of(logits, &truth) * share;
        let found = gradients(&self.network, &image, loss, self.request.run.recompute);
        found.map(|loss| loss / share).map_err(|error| match error {
            Error::Invalid(what) => Error::Invalid(format!("{}: {what}", layer.name)),
            other => other,
        })
    }

    /// Every labelled layer, as it is.
    fn validate(&self, epoch: usize, observer: &mut dyn Observer) -> Result<Validated> {
        let (layers, subset) = if self.validation.is_empty() {
            (&self.train, Subset::Train)
        } else {
            (&self.validation, Subset::Validation)
        };
        let mut records = Vec::new();
        for (at, layer) in layers.iter().enumerate() {
            observer.step("validate", at, layers.len())?;
            records.push(self.measured(epoch, subset, layer, at < self.request.run.sheets)?);
        }
        Ok((records, None))
    }

    fn write(&self, best: bool, metrics: &Value) -> Result<()> {
        if best {
            self.write_weights("segmenter.safetensors", metrics)?;
        }
        self.write_weights("last.safetensors", metrics)
    }
}
