//! The training loop, whatever is trained: epochs, steps of the optimizer, validation, records, the best weights, a checkpoint to go
//! on from. What a sample is and what its gradients are, the [`Trainable`] knows: SAM 2 on clips (`trainer`), a segmentation network on
//! single layers (`sparse::train`).
//!
//! Every sample draws from a random source of its own, made from the seed, the epoch and its number, so that a run that was stopped and goes
//! on is the same run; on a CPU to the last bit, on a GPU as far as its sums are repeatable (docs/gpu.md).

use super::data::BadData;
use super::optimizer::{Adam, OptimizerConfig};
use super::records::{EpochRecord, Records, SliceRecord};
use super::state::{self, Position};
use super::step::DenseDice;
use crate::progress::{Flow, Observer, stoppable, unwatched};
use crate::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// most epochs, samples of a case in an epoch, samples of a step
const MOST_ROUNDS: usize = 100_000;

/// The slices that were measured, and Dice without prompts (`EpochRecord::new`).
pub type Validated = (Vec<SliceRecord>, Option<DenseDice>);

/// What is trained, and on what.
pub trait Trainable {
    /// what the optimizer changes, by name
    fn parameters(&self) -> &[(String, Tensor)];

    /// the name of the weights that it started from
    fn base(&self) -> &str;

    /// the training cases, by their names
    fn cases(&self) -> Vec<&str>;

    /// One sample of a case: adds its gradients, times `share`, to those of the parameters. -> its mean loss
    fn learn(&self, case: usize, sample: &mut Sample, share: f64) -> Result<f64>;

    /// The quality of every slice of the validation cases (of the training cases where there are none); pictures of some go into the folder
    /// `sheets/last`.
    fn validate(&self, epoch: usize, observer: &mut dyn Observer) -> Result<Validated>;

    /// Writes what was learnt: the last epoch's, and beside it the best's.
    fn write(&self, best: bool, metrics: &Value) -> Result<()>;
}

/// Where the randomness of one sample comes from.
pub struct Sample {
    /// for what is drawn
    pub rng: ChaCha8Rng,
    /// for what must repeat (dropout)
    pub seed: u64,
}

/// How long, how repeatable, how careful.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// times that all training cases are gone through
    pub epochs: usize,
    /// samples of each case in an epoch
    pub per_case: usize,
    /// samples whose gradients are added up before the parameters change
    pub accumulate: usize,
    /// fixes everything that is random
    pub seed: u64,
    /// epochs between two validations
    pub validate_every: usize,
    /// go on where the folder's checkpoint stands
    pub resume: bool,
    /// what becomes of a sample that cannot be used
    pub on_bad_data: BadData,
}

/// What there is to know of a run before its first sample.
pub struct TrainingLoop<'a> {
    /// how long, how repeatable, how careful
    pub rounds: Rounds,
    /// how parameters change
    pub optimizer: &'a OptimizerConfig,
    /// for checkpoint and tables
    pub folder: &'a Path,
    /// the configuration as far as it decides the numbers: a checkpoint of another one is refused
    pub identity: Value,
    /// the whole configuration, for the spreadsheet
    pub options: Value,
}

/// How it went.
pub struct Outcome {
    /// every epoch
    pub epochs: Vec<EpochRecord>,
    /// the epoch with the best validation (or the smallest loss, where nothing validates)
    pub best_epoch: Option<usize>,
    /// left out, in all epochs
    pub skipped: usize,
}

impl<'a> TrainingLoop<'a> {
    /// A run as `request` asks for it.
    pub fn new(
        rounds: Rounds,
        optimizer: &'a OptimizerConfig,
        folder: &'a Path,
        identity: Value,
        request: &impl Serialize,
    ) -> Self {
        let options = serde_json::to_value(request).unwrap_or_default(); // only shown
        Self { rounds, optimizer, folder, identity, options }
    }

    /// Errors: numbers that make no sense. `names` are those of the options, for messages.
    pub fn check(&self, per_case: &str) -> Result<()> {
        let Rounds { epochs, per_case: samples, accumulate, validate_every, .. } = self.rounds;
        let counts =
            [("epochs", epochs), (per_case, samples), ("accumulate", accumulate), ("validate_every", validate_every)];
        match counts.iter().find(|(_, count)| !(1..=MOST_ROUNDS).contains(count)) {
            Some((name, 0)) => Err(Error::invalid(format!("run.{name} is 0; 1 is the least"))),
            Some((name, count)) => Err(Error::invalid(format!("run.{name} is {count}; {MOST_ROUNDS} is the most"))),
            None => Ok(()),
        }
    }

    /// Trains. `on_epoch` hears about every epoch and may end the training there; `skipped` cases were left out before. Progress: stage
    /// `"train"` counts samples. A cancelled run leaves a checkpoint to resume from.
    pub fn run(
        &self,
        trainable: &dyn Trainable,
        skipped: usize,
        observer: &mut dyn Observer,
        on_epoch: &mut dyn FnMut(&EpochRecord) -> Result<Flow>,
    ) -> Result<Outcome> {
        let parameters = trainable.parameters().iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
        let run = Run {
            training: self,
            trainable,
            adam: Adam::new(parameters.collect(), self.optimizer.clone()),
            records: Records::new(self.folder, self.options.clone()),
            position: Position::default(),
            skipped,
        };
        run.run(observer, on_epoch)
    }

    /// A random source of its own for every sample.
    fn rng(&self, what: u64, epoch: usize, at: usize) -> ChaCha8Rng {
        let mut seed = [0; 32];
        for (part, number) in seed.chunks_exact_mut(8).zip([self.rounds.seed, what, epoch as u64, at as u64]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }

    /// The randomness of sample `at` of an epoch.
    pub fn sample(&self, epoch: usize, at: usize) -> Sample {
        let seed = self.rounds.seed.wrapping_mul(0x9e37_79b9).wrapping_add((epoch * 1_000_003 + at) as u64);
        Sample { rng: self.rng(1, epoch, at), seed }
    }
}

/// A training under way.
struct Run<'a> {
    training: &'a TrainingLoop<'a>,
    trainable: &'a dyn Trainable,
    adam: Adam,
    records: Records,
    position: Position,
    skipped: usize,
}

impl Run<'_> {
    fn run(
        mut self,
        observer: &mut dyn Observer,
        on_epoch: &mut dyn FnMut(&EpochRecord) -> Result<Flow>,
    ) -> Result<Outcome> {
        let checkpoint: PathBuf = self.training.folder.join("checkpoint.safetensors");
        if self.training.rounds.resume && checkpoint.exists() {
            let state = state::load(&checkpoint, self.trainable, &mut self.adam)?;
            self.restore(&checkpoint, &state)?;
        }
        while self.position.epoch < self.training.rounds.epochs {
            let record = match stoppable(|| self.epoch(observer).and_then(|()| self.finish_epoch(observer))) {
                Ok(record) => record,
                Err(error) => {
                    if matches!(error, Error::Cancelled) {
                        unwatched(|| self.save(&checkpoint))?; // to be resumed
                    }
                    return Err(error);
                }
            };
            self.save(&checkpoint)?;
            if on_epoch(&record)? == Flow::Cancel {
                break;
            }
        }
        let best_epoch = self.records.best().map(|record| record.epoch);
        Ok(Outcome { best_epoch, skipped: self.skipped, epochs: self.records.epochs })
    }

    /// The samples of the epoch that are left, in an order of its own.
    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let cases = self.trainable.cases().len();
        let mut order: Vec<usize> = (0..cases * self.training.rounds.per_case).map(|i| i % cases).collect();
        order.shuffle(&mut self.training.rng(0, self.position.epoch, 0));
        let total = order.len() * self.training.rounds.epochs;
        while self.position.clip < order.len() {
            observer.step("train", self.position.epoch * order.len() + self.position.clip, total)?;
            self.step(&order)?;
        }
        observer.step("train", (self.position.epoch + 1) * order.len(), total)
    }

    /// One step of the optimizer.
    fn step(&mut self, order: &[usize]) -> Result<()> {
        let Rounds { accumulate, epochs, .. } = self.training.rounds;
        let until = (self.position.clip + accumulate).min(order.len());
        let steps = order.len().div_ceil(accumulate) * epochs;
        let rate = self.training.optimizer.learning_rate(self.adam.steps(), steps, epochs);
        self.adam.zero_grad();
        let (mut loss, mut skipped, mut used) = (0.0, 0, 0);
        for (at, &case) in order.iter().enumerate().take(until).skip(self.position.clip) {
            let before = self.adam.gradients();
            let mut sample = self.training.sample(self.position.epoch, at);
            match self.trainable.learn(case, &mut sample, 1.0 / accumulate as f64) {
                Ok(sample_loss) => (loss, used) = (loss + sample_loss, used + 1),
                Err(Error::Invalid(_)) if self.training.rounds.on_bad_data == BadData::Skip => {
                    skipped += 1;
                    self.adam.set_gradients(&before); // what came before the mistake may have left some
                }
                Err(error) => return Err(error),
            }
        }
        match if used > 0 { self.adam.step(rate).map(|_| ()) } else { Ok(()) } {
            Ok(()) => {}
            Err(Error::Invalid(_)) if self.training.rounds.on_bad_data == BadData::Skip => {
                (loss, skipped, used) = (0.0, skipped + used, 0)
            }
            Err(error) => {
                let cases = self.trainable.cases();
                let names: Vec<_> = order[self.position.clip..until].iter().map(|&i| cases[i]).collect();
                return Err(Error::invalid(format!("{}: {error}", names.join(", "))));
            }
        }
        self.position.clip = until;
        self.position.loss += loss;
        self.position.skipped += skipped;
        if used > 0 {
            self.records.step(self.adam.steps(), loss / used as f64, rate);
        }
        Ok(())
    }

    /// Validation, records, weights; all of the running mean of the parameters where there is one.
    fn finish_epoch(&mut self, observer: &mut dyn Observer) -> Result<EpochRecord> {
        self.adam.exchange();
        let record = stoppable(|| self.measure_epoch(observer));
        self.adam.exchange();
        let record = record?;
        self.position = Position { epoch: record.epoch, ..Position::default() };
        Ok(record)
    }

    fn measure_epoch(&mut self, observer: &mut dyn Observer) -> Result<EpochRecord> {
        let samples = self.position.clip - self.position.skipped;
        let loss = self.position.loss / samples.max(1) as f64;
        let epoch = self.position.epoch + 1;
        let last = epoch == self.training.rounds.epochs;
        let (slices, dense) = if epoch.is_multiple_of(self.training.rounds.validate_every) || last {
            self.trainable.validate(epoch, observer)?
        } else {
            Default::default()
        };
        let record = EpochRecord::new(epoch, loss, self.position.skipped, &slices, dense);
        let best = self.records.epoch(record.clone(), &slices)?;
        self.trainable.write(best, &serde_json::to_value(&record).unwrap_or_default())?;
        if best {
            self.keep_sheets()?;
        }
        self.skipped += self.position.skipped;
        Ok(record)
    }

    /// The pictures of the last validation become those of the best.
    fn keep_sheets(&self) -> Result<()> {
        let [last, best] = ["sheets/last", "sheets/best"].map(|name| self.training.folder.join(name));
        let Ok(entries) = std::fs::read_dir(&last) else { return Ok(()) };
        std::fs::create_dir_all(&best).map_err(Error::io(&best))?;
        for entry in entries.flatten() {
            let target = best.join(entry.file_name());
            std::fs::copy(entry.path(), &target).map_err(Error::io(&target))?;
        }
        Ok(())
    }

    fn save(&self, path: &Path) -> Result<()> {
        let state = json!({"position": self.position, "records": self.records.state(), "skipped": self.skipped,
            "request": self.training.identity});
        state::save(path, self.trainable, &self.adam, &state)
    }

    fn restore(&mut self, path: &Path, state: &Value) -> Result<()> {
        let damaged = |_| Error::format(path, "where the training stood cannot be read");
        if state["request"] != self.training.identity {
            let what = "the training there had another configuration; take that one, or another output folder";
            return Err(Error::format(path, what));
        }
        self.position = serde_json::from_value(state["position"].clone()).map_err(damaged)?;
        self.skipped = state["skipped"].as_u64().unwrap_or(0) as usize;
        self.records.set_state(&state["records"]).map_err(damaged)
    }
}
