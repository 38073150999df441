//! Teaching the network hand-labelled layers: request in; weights, checkpoint, tables out. The loop is that of fine-tuning
//! (`train::course`); a sample is one labelled layer, varied.
//!
//! SAM-OCTA2's training is `schedule: "reference"`, AdamW with 1e-4 and weight decay 1e-4, plain Dice, no augmentation, no validation. The
//! defaults here: a learning rate that warms up and falls along a cosine, augmentation, validation wherever layers are set apart.

use super::config::SwinUnetrConfig;
use super::gradients::gradients;
use super::input;
use super::segmenter::{CONFIG, SegmenterRequest};
use super::unetr::SwinUnetr;
use crate::device::Device;
use crate::guard::guard;
use crate::intensity::{Intensity, Windows};
use crate::model::params::Params;
use crate::progress::{Flow, Observer};
use crate::train::clip::{Clip, ClipObject};
use crate::train::course::{Course, Learner, Outcome, Sample, Validated};
use crate::train::data::augment::Augment;
use crate::train::data::sample::{LoadedCase, Sorted};
use crate::train::data::{self, BadData, Case, DataConfig, Subset};
use crate::train::losses::{bce, dice, focal, soft_cldice};
use crate::train::optimizer::{OptimizerConfig, Schedule};
use crate::train::records::{EpochRecord, Means, SliceRecord, measure, sheet, write_test};
use crate::train::state::read_parameters;
use crate::train::step::SliceLoss;
use crate::weights::{self, Tensors, write_safetensors};
use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use tch::{Kind, Tensor};

/// What to teach to which network, how, and where the results go.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSegmenterRequest {
    /// the network
    #[serde(default)]
    pub network: NetworkRequest,
    /// what to learn from
    pub data: DataConfig,
    /// folder for weights, checkpoint, tables
    pub output: PathBuf,
    /// what is made small
    #[serde(default)]
    pub loss: LayerLoss,
    /// how parameters change
    #[serde(default = "usual_optimizer", deserialize_with = "over_usual_optimizer")]
    pub optimizer: OptimizerConfig,
    /// how layers are varied
    #[serde(default)]
    pub augment: Augment,
    /// the run
    #[serde(default)]
    pub run: LayerRun,
}

/// A network to start from: a fresh one of some size, or one that has learnt before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkRequest {
    /// a fresh one by its size's name: `tiny`, `small` (default), `medium`, `reference`
    pub size: Option<String>,
    /// a fresh one of any sizes
    pub config: Option<SwinUnetrConfig>,
    /// a checkpoint: a file, or the name of one in the weights folders
    pub segmenter: Option<String>,
    /// side of the square that layers are resized to; default: 512, or what the checkpoint says
    pub image_size: Option<i64>,
    /// where to compute
    pub device: Device,
}

/// What is made small: weights of the losses of a layer's mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerLoss {
    /// weight of Dice
    pub dice: f64,
    /// added above and below in Dice, in pixels
    pub dice_smooth: f64,
    /// weight of clDice
    pub cldice: f64,
    /// weight of the focal loss (exponent 2)
    pub focal: f64,
    /// weight of binary cross-entropy
    pub bce: f64,
}

impl Default for LayerLoss {
    /// SAM-OCTA2's: Dice alone.
    fn default() -> Self {
        Self { dice: 1.0, dice_smooth: 1e-6, cldice: 0.0, focal: 0.0, bce: 0.0 }
    }
}

impl LayerLoss {
    /// Logits and truth `[1, 1, H, W]`.
    fn of(&self, logits: &Tensor, truth: &Tensor) -> Tensor {
        let probability = logits.sigmoid();
        let mut loss = Tensor::zeros([], (Kind::Float, logits.device()));
        let mut add = |weight: f64, term: &dyn Fn() -> Tensor| {
            if weight != 0.0 {
                loss = &loss + term() * weight;
            }
        };
        add(self.dice, &|| dice(&probability, truth, self.dice_smooth));
        add(self.cldice, &|| soft_cldice(&probability, truth));
        add(self.focal, &|| focal(logits, truth, 2.0, None));
        add(self.bce, &|| bce(logits, truth));
        loss
    }
}

/// How long, how repeatable, how careful.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerRun {
    /// times that all labelled layers are gone through
    pub epochs: usize,
    /// times that every labelled layer is seen in an epoch, each time varied anew
    pub views: usize,
    /// layers whose gradients are added up before the parameters change
    pub accumulate: usize,
    /// fixes everything that is random
    pub seed: u64,
    /// epochs between two validations
    pub validate_every: usize,
    /// what is likelier counts as inside when it is measured
    pub threshold: f64,
    /// layers that are drawn after a validation (folder `sheets`), at most
    pub sheets: usize,
    /// compute each part of the network twice, so that the activations of one part at a time lie in memory
    pub recompute: bool,
    /// go on where the output folder's checkpoint stands
    pub resume: bool,
    /// what becomes of a case that cannot be used
    pub on_bad_data: BadData,
}

impl Default for LayerRun {
    fn default() -> Self {
        Self {
            epochs: 100,
            views: 1,
            accumulate: 1,
            seed: 1,
            validate_every: 1,
            threshold: 0.5,
            sheets: 8,
            recompute: true,
            resume: false,
            on_bad_data: BadData::Stop,
        }
    }
}

/// AdamW, warmed up over ten steps, then along a cosine.
fn usual_optimizer() -> OptimizerConfig {
    OptimizerConfig {
        learning_rate: 1e-3,
        weight_decay: 1e-4,
        warm_up: 10,
        schedule: Schedule::Cosine,
        ..OptimizerConfig::default()
    }
}

/// What is not said is as usual here, not as in fine-tuning.
fn over_usual_optimizer<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<OptimizerConfig, D::Error> {
    let mut usual = json!(usual_optimizer());
    match Value::deserialize(deserializer)? {
        Value::Object(said) => said.into_iter().for_each(|(key, value)| usual[key] = value),
        other => usual = other,
    }
    serde_json::from_value(usual).map_err(serde::de::Error::custom)
}

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
    let layers = Layers::new(request, tensors, config, Sorted::read(cases, request.run.on_bad_data)?)?;
    let course = request.course(layers.identity());
    let mut outcome = course.run(&layers, layers.skipped, observer, on_epoch)?;
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

impl NetworkRequest {
    /// The parameters to start with, float32 on the CPU, and the sizes.
    fn tensors(&self, seed: u64) -> Result<(Tensors, SwinUnetrConfig)> {
        let named = [self.size.is_some(), self.config.is_some(), self.segmenter.is_some()];
        if named.into_iter().filter(|named| *named).count() > 1 {
            return Err(Error::invalid("network: name one of size, config and segmenter"));
        }
        if let Some(segmenter) = &self.segmenter {
            let request = SegmenterRequest {
                segmenter: segmenter.clone(),
                image_size: self.image_size,
                ..SegmenterRequest::default()
            };
            let (_, tensors, config) = request.parts()?;
            return Ok((tensors, config));
        }
        let mut config = match &self.config {
            Some(config) => config.clone(),
            None => SwinUnetrConfig::preset(self.size.as_deref().unwrap_or("small"))?,
        };
        config.image_size = self.image_size.unwrap_or(config.image_size);
        let params = Params::random(seed, tch::Device::Cpu, Kind::Float).remembering();
        guard(|| SwinUnetr::new(params.clone(), config.clone()))?;
        Ok((params.given(), config))
    }
}

impl TrainSegmenterRequest {
    fn check(&self) -> Result<()> {
        self.course(Value::Null).check("views")?;
        if !(0.0..1.0).contains(&self.run.threshold) || self.run.threshold == 0.0 {
            return Err(Error::invalid(format!("run.threshold is {}: between 0 and 1", self.run.threshold)));
        }
        self.augment.check()
    }

    fn course(&self, identity: Value) -> Course<'_> {
        let LayerRun { epochs, views, accumulate, seed, validate_every, resume, on_bad_data, .. } = self.run;
        Course {
            epochs,
            per_case: views,
            accumulate,
            seed,
            validate_every,
            resume,
            skip_bad: on_bad_data == BadData::Skip,
            optimizer: &self.optimizer,
            folder: &self.output,
            identity,
            options: serde_json::to_value(self).unwrap_or_default(),
        }
    }
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
        Sorted { train, validation, test, skipped }: Sorted,
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

impl Learner for Layers<'_> {
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
