//! A whole training: request in; adapters, checkpoints, tables and pictures out.
//!
//! Every clip draws from a random source of its own, made from the seed, the epoch and its number, so that a run that was stopped and goes
//! on is the same run.

use super::clip::Clip;
use super::data::augment::Augment;
use super::data::sample::{LoadedCase, SampleConfig};
use super::data::{self, Case, DataConfig, Subset};
use super::losses::Objective;
use super::optimizer::{Adam, OptimizerConfig};
use super::records::{EpochRecord, Records, SliceRecord};
use super::state::{self, Position};
use super::step::{Keep, StepConfig, Stepper};
use super::trainee::{Adapt, Trainee};
use super::visit::Memory;
use crate::loader::ModelRequest;
use crate::progress::{Flow, Observer};
use crate::{Error, Result, weights};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tch::Kind;

/// What to train, on what, how, and where the results go.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTuneRequest {
    /// the model to start from
    pub model: ModelRequest,
    /// what to learn from
    pub data: DataConfig,
    /// folder for adapters, checkpoints, tables, pictures
    pub output: PathBuf,
    /// the parts that are trained
    #[serde(default)]
    pub adapt: Adapt,
    /// what is made small
    #[serde(default)]
    pub objective: Objective,
    /// how parameters change
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// how clips are made
    #[serde(default)]
    pub sample: SampleConfig,
    /// how they are varied
    #[serde(default)]
    pub augment: Augment,
    /// the run
    #[serde(default)]
    pub run: RunConfig,
}

/// How long, how repeatable, how careful.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// times that all training cases are gone through
    pub epochs: usize,
    /// clips of each case in an epoch
    pub clips_per_case: usize,
    /// clips whose gradients are added up before the parameters change
    pub accumulate: usize,
    /// fixes everything that is random
    pub seed: u64,
    /// epochs between two validations
    pub validate_every: usize,
    /// memories are rounded to bfloat16, as at inference in the reference
    pub bf16_memory: bool,
    /// tracked slices look at prompts ahead of them, as the reference does in training
    pub pointers_ahead: bool,
    /// images whose activations are kept instead of computed twice
    pub keep_images: usize,
    /// visits whose activations are kept instead of computed twice
    pub keep_visits: usize,
    /// write the best adapters as PEFT does, too (folder `peft`)
    pub peft: bool,
    /// go on where the output folder's checkpoint stands
    pub resume: bool,
    /// what becomes of a clip or a case that cannot be used
    pub on_bad_data: BadData,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            epochs: 20,
            clips_per_case: 1,
            accumulate: 1,
            seed: 1,
            validate_every: 1,
            bf16_memory: false,
            pointers_ahead: false,
            keep_images: 0,
            keep_visits: 0,
            peft: false,
            resume: false,
            on_bad_data: BadData::Stop,
        }
    }
}

/// What becomes of data that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BadData {
    /// the training stops and names them
    #[default]
    Stop,
    /// they are left out and counted
    Skip,
}

/// How it went.
#[derive(Debug, Clone, Serialize)]
pub struct FineTuneReport {
    /// every epoch
    pub epochs: Vec<EpochRecord>,
    /// the epoch with the best validation (or the smallest loss, where nothing validates)
    pub best_epoch: Option<usize>,
    /// adapters of the best epoch
    pub adapter: PathBuf,
    /// numbers that were trained
    pub trained_parameters: usize,
    /// left out, in all epochs
    pub skipped: usize,
}

/// Trains. `on_epoch` hears about every epoch and may end the training there. Progress: stage `"train"` counts clips. A cancelled run leaves a checkpoint to resume from.
pub fn fine_tune(
    request: &FineTuneRequest,
    observer: &mut dyn Observer,
    on_epoch: &mut dyn FnMut(&EpochRecord) -> Result<Flow>,
) -> Result<FineTuneReport> {
    request.check()?;
    let trainee = request.trainee()?;
    let cases = data::cases(&request.data)?;
    std::fs::create_dir_all(&request.output).map_err(Error::io(&request.output))?;
    Training::new(request, &trainee, cases)?.run(observer, on_epoch)
}

impl FineTuneRequest {
    fn check(&self) -> Result<()> {
        let RunConfig { epochs, clips_per_case, accumulate, validate_every, .. } = self.run;
        let counts = [
            ("epochs", epochs),
            ("clips_per_case", clips_per_case),
            ("accumulate", accumulate),
            ("validate_every", validate_every),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(Error::invalid(format!("run.{name} is 0; 1 is the least")));
        }
        self.sample.check()?;
        self.augment.check()
    }

    /// The model with its trained parts.
    fn trainee(&self) -> Result<Trainee> {
        let (checkpoint, config, device, kind) = self.model.parts()?;
        let weights::Checkpoint { path, tensors, adapters, .. } = checkpoint;
        crate::guard::guard(|| Trainee::new(tensors, adapters, config, self.adapt.clone(), device, kind, self.run.seed))
            .map_err(|error| Error::format(path, error.to_string()))
    }

    fn step(&self) -> StepConfig {
        let RunConfig { bf16_memory, pointers_ahead, keep_images, keep_visits, .. } = self.run;
        StepConfig {
            objective: self.objective.clone(),
            memory: Memory { kind: if bf16_memory { Kind::BFloat16 } else { Kind::Float }, pointers_ahead },
            keep: Keep { images: keep_images, visits: keep_visits },
        }
    }
}

/// A training under way.
struct Training<'a> {
    request: &'a FineTuneRequest,
    stepper: Stepper<'a>,
    adam: Adam,
    train: Vec<LoadedCase>,
    validation: Vec<LoadedCase>,
    records: Records,
    position: Position,
    skipped: usize,
}

impl<'a> Training<'a> {
    fn new(request: &'a FineTuneRequest, trainee: &'a Trainee, cases: Vec<Box<dyn Case>>) -> Result<Self> {
        let parameters = trainee.parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
        let mut training = Self {
            request,
            stepper: Stepper { trainee, config: request.step() },
            adam: Adam::new(parameters.collect(), request.optimizer.clone()),
            train: Vec::new(),
            validation: Vec::new(),
            records: Records::new(&request.output),
            position: Position::default(),
            skipped: 0,
        };
        for case in cases {
            let target = match case.subset() {
                Subset::Train => &mut training.train,
                Subset::Validation => &mut training.validation,
                Subset::Test => continue,
            };
            match case.read() {
                Ok((volume, labels)) => target.push(LoadedCase { name: case.name().to_owned(), volume, labels }),
                Err(_) if request.run.on_bad_data == BadData::Skip => training.skipped += 1,
                Err(error) => return Err(error),
            }
        }
        if training.train.is_empty() {
            return Err(Error::invalid("no case that could be read is for training"));
        }
        Ok(training)
    }

    fn run(
        mut self,
        observer: &mut dyn Observer,
        on_epoch: &mut dyn FnMut(&EpochRecord) -> Result<Flow>,
    ) -> Result<FineTuneReport> {
        let checkpoint = self.file("checkpoint.safetensors");
        if self.request.run.resume && checkpoint.exists() {
            let state = state::load(&checkpoint, self.stepper.trainee, &mut self.adam)?;
            self.restore(&checkpoint, state)?;
        }
        let epochs = self.request.run.epochs;
        while self.position.epoch < epochs {
            if let Err(error) = self.epoch(observer) {
                if matches!(error, Error::Cancelled) {
                    self.save(&checkpoint)?; // to be resumed
                }
                return Err(error);
            }
            let record = self.finish_epoch(observer)?;
            self.save(&checkpoint)?;
            if on_epoch(&record)? == Flow::Cancel {
                break;
            }
        }
        Ok(FineTuneReport {
            best_epoch: self.records.best().map(|record| record.epoch),
            adapter: self.file("adapter.safetensors"),
            trained_parameters: self.stepper.trainee.parameters.iter().map(|(_, tensor)| tensor.numel()).sum(),
            skipped: self.skipped,
            epochs: self.records.epochs,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.request.output.join(name)
    }

    /// A random source of its own for every clip.
    fn rng(&self, what: u64, at: usize) -> ChaCha8Rng {
        let mut seed = [0; 32];
        for (part, number) in
            seed.chunks_exact_mut(8).zip([self.request.run.seed, what, self.position.epoch as u64, at as u64])
        {
            part.copy_from_slice(&number.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }

    /// The clips of the epoch that are left, in an order of its own.
    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let run = &self.request.run;
        let mut order: Vec<usize> = (0..self.train.len() * run.clips_per_case).map(|i| i % self.train.len()).collect();
        order.shuffle(&mut self.rng(0, 0));
        let total = order.len() * run.epochs;
        let steps = (order.len().div_ceil(run.accumulate)) * run.epochs;
        while self.position.clip < order.len() {
            observer.step("train", self.position.epoch * order.len() + self.position.clip, total)?;
            let until = (self.position.clip + run.accumulate).min(order.len());
            let rate = self.request.optimizer.learning_rate(self.adam.steps(), steps);
            self.adam.zero_grad();
            let (mut loss, mut skipped, mut used) = (0.0, 0, 0);
            for (at, &case) in order.iter().enumerate().take(until).skip(self.position.clip) {
                match self.clip(&self.train[case], at) {
                    Ok(clip_loss) => (loss, used) = (loss + clip_loss, used + 1),
                    Err(Error::Invalid(_)) if run.on_bad_data == BadData::Skip => skipped += 1,
                    Err(error) => return Err(error),
                }
            }
            if used > 0 {
                self.adam.step(rate)?;
            }
            self.position.clip = until;
            self.position.loss += loss;
            self.position.skipped += skipped;
            self.records.step(self.adam.steps(), loss / used.max(1) as f64, rate);
        }
        observer.step("train", (self.position.epoch + 1) * order.len(), total)
    }

    /// One clip: its gradients are added up; -> its mean loss per slice and object.
    fn clip(&self, case: &LoadedCase, at: usize) -> Result<f64> {
        let mut rng = self.rng(1, at);
        let size = self.stepper.trainee.model.config.image_size;
        let clip = self.request.sample.draw(case, size, &self.request.augment, &mut rng)?;
        let visits: usize = clip.objects.iter().map(|object| object.truth.len()).sum();
        let scale = 1.0 / (visits * self.request.run.accumulate) as f64;
        let seed =
            self.request.run.seed.wrapping_mul(0x9e37_79b9).wrapping_add((self.position.epoch * 1_000_003 + at) as u64);
        let losses = self.stepper.gradients(&clip, seed, scale)?;
        Ok(losses.iter().map(|slice| slice.loss).sum::<f64>() / visits as f64)
    }

    /// Validation, records, adapters.
    fn finish_epoch(&mut self, observer: &mut dyn Observer) -> Result<EpochRecord> {
        let clips = self.position.clip - self.position.skipped;
        let loss = self.position.loss / clips.max(1) as f64;
        let epoch = self.position.epoch + 1;
        let last = epoch == self.request.run.epochs;
        let slices = if epoch.is_multiple_of(self.request.run.validate_every) || last {
            self.validate(epoch, observer)?
        } else {
            Vec::new()
        };
        self.skipped += self.position.skipped;
        let record = EpochRecord::new(epoch, loss, self.position.skipped, &slices);
        let best = self.records.epoch(record.clone(), &slices)?;
        let metrics = serde_json::to_value(&record).unwrap_or_default();
        if best {
            self.stepper.trainee.write_adapter(&self.file("adapter.safetensors"), &metrics)?;
            if self.request.run.peft {
                self.stepper.trainee.write_peft(&self.file("peft"))?;
            }
        }
        self.stepper.trainee.write_adapter(&self.file("last.safetensors"), &metrics)?;
        self.position = Position { epoch, ..Position::default() };
        Ok(record)
    }

    /// Every object of every validation case (of the training cases where there is none for validation), without dropout.
    fn validate(&self, epoch: usize, observer: &mut dyn Observer) -> Result<Vec<SliceRecord>> {
        let size = self.stepper.trainee.model.config.image_size;
        let (cases, subset) = if self.validation.is_empty() {
            (&self.train, Subset::Train)
        } else {
            (&self.validation, Subset::Validation)
        };
        let mut records = Vec::new();
        for (at, case) in cases.iter().enumerate() {
            observer.step("validate", at, cases.len())?;
            // the same prompts after every epoch
            let mut rng = ChaCha8Rng::seed_from_u64(self.request.run.seed ^ 0x5eed ^ at as u64);
            let clips: Vec<Clip> = self.request.sample.fixed(case, size, &mut rng)?;
            for clip in &clips {
                let losses = self.stepper.evaluate(clip, at as u64)?;
                records.extend(self.records.measure(epoch, subset, case, clip, &losses)?);
            }
        }
        Ok(records)
    }

    fn save(&self, path: &Path) -> Result<()> {
        let state = json!({"position": self.position, "records": self.records.state(), "skipped": self.skipped,
            "request": self.request_hash()});
        state::save(path, self.stepper.trainee, &self.adam, &state)
    }

    fn restore(&mut self, path: &Path, state: Value) -> Result<()> {
        let damaged = |_| Error::format(path, "where the training stood cannot be read");
        if state["request"] != self.request_hash() {
            let what = "the training there had another configuration; take that one, or another output folder";
            return Err(Error::format(path, what));
        }
        self.position = serde_json::from_value(state["position"].clone()).map_err(damaged)?;
        self.skipped = state["skipped"].as_u64().unwrap_or(0) as usize;
        self.records.set_state(&state["records"]).map_err(damaged)
    }

    /// The configuration as far as it decides the numbers; more epochs may be asked for.
    fn request_hash(&self) -> Value {
        let FineTuneRequest { data, adapt, objective, optimizer, sample, augment, run, .. } = self.request;
        let run = RunConfig { epochs: 0, resume: false, keep_images: 0, keep_visits: 0, ..run.clone() };
        json!([data, adapt, objective, optimizer, sample, augment, run])
    }
}
