//! A whole training: request in; adapters, checkpoints, tables and pictures out.
//!
//! Every clip draws from a random source of its own, made from the seed, the epoch and its number, so that a run that was stopped and goes
//! on is the same run.

use super::clip::Clip;
use super::data::sample::LoadedCase;
use super::data::{self, Case, Subset};
use super::estimate::{self, Estimate};
use super::features::FeatureCache;
use super::optimizer::Adam;
use super::records::{EpochRecord, Means, Records, SliceRecord, measure, sheet, write_test};
use super::request::{BadData, FineTuneRequest};
use super::state::{self, Position};
use super::step::{Stepper, is_encoder};
use super::trainee::Trainee;
use crate::progress::{Flow, Observer};
use crate::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

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
    /// means over the test cases with the best adapters, where there are any
    pub test: Option<Means>,
    /// memory and time, as they were estimated at the start
    pub estimate: Estimate,
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
    let training = Training::new(request, &trainee, cases)?;
    let estimate = training.estimate()?;
    if request.run.dry_run {
        return Ok(training.report(estimate, None));
    }
    training.run(estimate, observer, on_epoch)
}

fn feature_cache(request: &FineTuneRequest, trainee: &Trainee) -> Result<FeatureCache> {
    if let Some((name, _)) = trainee.parameters.iter().find(|(name, _)| is_encoder(name)) {
        return Err(Error::invalid(format!(
            "run.cache_features needs an image encoder that stays as it is, and {name} is trained; choose other adapt.targets"
        )));
    }
    let model = format!("{} {:?}", trainee.base, trainee.model.kind());
    FeatureCache::new(request.output.join("features"), model)
}

/// The slices that were measured, and Dice without prompts.
type Validated = (Vec<SliceRecord>, Option<[f64; 2]>);

/// A training under way.
struct Training<'a> {
    request: &'a FineTuneRequest,
    stepper: Stepper<'a>,
    adam: Adam,
    train: Vec<LoadedCase>,
    validation: Vec<LoadedCase>,
    /// read at the end
    test: Vec<Box<dyn Case>>,
    records: Records,
    position: Position,
    skipped: usize,
}

impl<'a> Training<'a> {
    fn new(request: &'a FineTuneRequest, trainee: &'a Trainee, cases: Vec<Box<dyn Case>>) -> Result<Self> {
        let parameters = trainee.parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
        let cache = match request.run.cache_features {
            true => Some(feature_cache(request, trainee)?),
            false => None,
        };
        let mut training = Self {
            request,
            stepper: Stepper { trainee, config: request.step(), cache },
            adam: Adam::new(parameters.collect(), request.optimizer.clone()),
            train: Vec::new(),
            validation: Vec::new(),
            test: Vec::new(),
            records: Records::new(&request.output, serde_json::to_value(request).unwrap_or_default()),
            position: Position::default(),
            skipped: 0,
        };
        for case in cases {
            let target = match case.subset() {
                Subset::Train => &mut training.train,
                Subset::Validation => &mut training.validation,
                Subset::Test => {
                    training.test.push(case);
                    continue;
                }
            };
            match LoadedCase::read(case.as_ref()) {
                Ok(case) => target.push(case),
                Err(_) if request.run.on_bad_data == BadData::Skip => training.skipped += 1,
                Err(error) => return Err(error),
            }
        }
        if training.train.is_empty() {
            return Err(Error::invalid("no case that could be read is for training"));
        }
        Ok(training)
    }

    /// Memory and time; refused where the memory cannot be enough.
    fn estimate(&self) -> Result<Estimate> {
        let estimate = estimate::memory(self.request, &self.stepper)?;
        let size = self.stepper.trainee.model.config.image_size;
        let drawn = self.request.sample.draw(&self.train[0], size, &self.request.augment, &mut self.rng(1, 0));
        let Ok(clip) = drawn else { return Ok(estimate) }; // the training will say what is wrong, or skip it
        let start = Instant::now();
        self.stepper.encode(&clip)?;
        let encoding = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let evaluated = self.stepper.evaluate(&clip, 0);
        let forward = start.elapsed().as_secs_f64();
        let run = &self.request.run;
        let clips = self.train.len() * run.clips_per_case * run.epochs;
        let encoder = self.stepper.trainee.parameters.iter().any(|(name, _)| is_encoder(name));
        Ok(evaluated.map_or(estimate, |_| estimate.with_time(forward, encoding, encoder, clips)))
    }

    fn run(
        mut self,
        estimate: Estimate,
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
            let record = match self.epoch(observer).and_then(|()| self.finish_epoch(observer)) {
                Ok(record) => record,
                Err(error) => {
                    if matches!(error, Error::Cancelled) {
                        self.save(&checkpoint)?; // to be resumed
                    }
                    return Err(error);
                }
            };
            self.save(&checkpoint)?;
            if on_epoch(&record)? == Flow::Cancel {
                break;
            }
        }
        let test = self.measure_test(observer)?;
        Ok(self.report(estimate, test))
    }

    fn report(self, estimate: Estimate, test: Option<Means>) -> FineTuneReport {
        FineTuneReport {
            best_epoch: self.records.best().map(|record| record.epoch),
            adapter: self.file("adapter.safetensors"),
            trained_parameters: self.stepper.trainee.parameters.iter().map(|(_, tensor)| tensor.numel()).sum(),
            skipped: self.skipped,
            test,
            estimate,
            epochs: self.records.epochs,
        }
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
                let before = self.adam.gradients();
                match self.clip(&self.train[case], at) {
                    Ok(clip_loss) => (loss, used) = (loss + clip_loss, used + 1),
                    Err(Error::Invalid(_)) if run.on_bad_data == BadData::Skip => {
                        skipped += 1;
                        self.adam.set_gradients(&before); // an object before the bad one may have left some
                    }
                    Err(error) => return Err(error),
                }
            }
            match if used > 0 { self.adam.step(rate).map(|_| ()) } else { Ok(()) } {
                Ok(()) => {}
                Err(Error::Invalid(_)) if run.on_bad_data == BadData::Skip => {
                    (loss, skipped, used) = (0.0, skipped + used, 0);
                }
                Err(error) => {
                    let names: Vec<_> =
                        order[self.position.clip..until].iter().map(|&i| &*self.train[i].name).collect();
                    return Err(Error::invalid(format!("{}: {error}", names.join(", "))));
                }
            }
            self.position.clip = until;
            self.position.loss += loss;
            self.position.skipped += skipped;
            if used > 0 {
                self.records.step(self.adam.steps(), loss / used as f64, rate);
            }
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
        Ok(losses.slices.iter().map(|slice| slice.loss).sum::<f64>() / visits as f64 + losses.dense.unwrap_or(0.0))
    }

    /// Validation, records, adapters; all of the running mean of the parameters where there is one.
    fn finish_epoch(&mut self, observer: &mut dyn Observer) -> Result<EpochRecord> {
        self.adam.exchange();
        let record = self.measure_epoch(observer);
        self.adam.exchange();
        let record = record?;
        self.position = Position { epoch: record.epoch, ..Position::default() };
        Ok(record)
    }

    fn measure_epoch(&mut self, observer: &mut dyn Observer) -> Result<EpochRecord> {
        let clips = self.position.clip - self.position.skipped;
        let loss = self.position.loss / clips.max(1) as f64;
        let epoch = self.position.epoch + 1;
        let last = epoch == self.request.run.epochs;
        let (slices, dense) = if epoch.is_multiple_of(self.request.run.validate_every) || last {
            self.validate(epoch, observer)?
        } else {
            Default::default()
        };
        let record = EpochRecord::new(epoch, loss, self.position.skipped, &slices, dense);
        let best = self.records.epoch(record.clone(), &slices)?;
        let metrics = serde_json::to_value(&record).unwrap_or_default();
        if best {
            self.stepper.trainee.write_adapter(&self.file("adapter.safetensors"), &metrics)?;
            self.keep_sheets()?;
            if self.request.run.peft {
                self.stepper.trainee.write_peft(&self.file("peft"))?;
            }
        }
        self.stepper.trainee.write_adapter(&self.file("last.safetensors"), &metrics)?;
        self.skipped += self.position.skipped;
        Ok(record)
    }

    /// Every object of every validation case (of the training cases where there is none for validation), without dropout.
    fn validate(&self, epoch: usize, observer: &mut dyn Observer) -> Result<Validated> {
        let size = self.stepper.trainee.model.config.image_size;
        let (cases, subset) = if self.validation.is_empty() {
            (&self.train, Subset::Train)
        } else {
            (&self.validation, Subset::Validation)
        };
        let (mut records, mut dense) = (Vec::new(), Vec::new());
        let mut sheets = self.request.run.sheets;
        for (at, case) in cases.iter().enumerate() {
            observer.step("validate", at, cases.len())?;
            records.extend(self.measure_case(epoch, subset, at, case, size, &mut sheets)?);
            if self.request.objective.dense != 0.0 && case.faz.is_some() {
                let frames: Vec<_> = (0..case.volume.frames).collect();
                dense.extend(self.stepper.evaluate_dense(&case.clip(&frames, &[], size)?)?);
            }
        }
        let mean = |class: usize| dense.iter().map(|dice: &[f64; 2]| dice[class]).sum::<f64>() / dense.len() as f64;
        let dense = (!dense.is_empty()).then(|| [mean(0), mean(1)]);
        Ok((records, dense))
    }

    fn measure_case(
        &self,
        epoch: usize,
        subset: Subset,
        at: usize,
        case: &LoadedCase,
        size: i64,
        sheets: &mut usize,
    ) -> Result<Vec<SliceRecord>> {
        let mut records = Vec::new();
        // the same prompts after every epoch
        let mut rng = ChaCha8Rng::seed_from_u64(self.request.run.seed ^ 0x5eed ^ at as u64);
        let clips: Vec<Clip> = self.request.sample.fixed(case, size, &mut rng)?;
        for clip in &clips {
            let losses = self.stepper.evaluate(clip, at as u64)?;
            records.extend(measure(epoch, subset, case, clip, &losses)?);
            if *sheets > 0 {
                *sheets -= 1;
                let object = clip.objects.first().map_or(0, |object| object.id);
                sheet(&self.file("sheets/last").join(format!("{}_{object}.png", case.file_name())), clip, &losses)?;
            }
        }
        Ok(records)
    }

    /// The sheets of the last validation become those of the best.
    fn keep_sheets(&self) -> Result<()> {
        let (last, best) = (self.file("sheets/last"), self.file("sheets/best"));
        let Ok(entries) = std::fs::read_dir(&last) else { return Ok(()) };
        std::fs::create_dir_all(&best).map_err(Error::io(&best))?;
        for entry in entries.flatten() {
            let target = best.join(entry.file_name());
            std::fs::copy(entry.path(), &target).map_err(Error::io(&target))?;
        }
        Ok(())
    }

    /// The test cases with the best parameters, one after the other; their slices go into `test.csv`.
    fn measure_test(&mut self, observer: &mut dyn Observer) -> Result<Option<Means>> {
        let best = self.file("adapter.safetensors");
        if self.test.is_empty() || !best.exists() {
            return Ok(None);
        }
        self.stepper.trainee.read_adapter(&best)?;
        let size = self.stepper.trainee.model.config.image_size;
        let epoch = self.records.best().map_or(0, |record| record.epoch);
        let mut slices = Vec::new();
        let cases = std::mem::take(&mut self.test);
        for (at, case) in cases.iter().enumerate() {
            observer.step("test", at, cases.len())?;
            match LoadedCase::read(case.as_ref()) {
                Ok(case) => slices.extend(self.measure_case(epoch, Subset::Test, at, &case, size, &mut 0)?),
                Err(_) if self.request.run.on_bad_data == BadData::Skip => self.skipped += 1,
                Err(error) => return Err(error),
            }
        }
        write_test(&self.request.output, &slices)?;
        Ok(Means::of(&slices))
    }

    fn save(&self, path: &Path) -> Result<()> {
        let state = json!({"position": self.position, "records": self.records.state(), "skipped": self.skipped,
            "request": self.request.identity()});
        state::save(path, self.stepper.trainee, &self.adam, &state)
    }

    fn restore(&mut self, path: &Path, state: Value) -> Result<()> {
        let damaged = |_| Error::format(path, "where the training stood cannot be read");
        if state["request"] != self.request.identity() {
            let what = "the training there had another configuration; take that one, or another output folder";
            return Err(Error::format(path, what));
        }
        self.position = serde_json::from_value(state["position"].clone()).map_err(damaged)?;
        self.skipped = state["skipped"].as_u64().unwrap_or(0) as usize;
        self.records.set_state(&state["records"]).map_err(damaged)
    }
}
