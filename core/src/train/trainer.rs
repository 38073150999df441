//! Fine-tuning SAM 2: request in; adapters, checkpoints, tables and pictures out. `training_loop` is the loop.

use super::clip::Clip;
use super::data::kept::{KeptCase, Shelf};
use super::data::sample::{LoadedCase, Sorted};
use super::data::{self, BadData, Case, Subset};
use super::estimate::{self, Estimate};
use super::records::{EpochRecord, Means, SliceRecord, measure, sheet, write_test};
use super::request::FineTuneRequest;
use super::state::read_parameters;
use super::step::{DenseDice, Stepper};
use super::trainee::Trainee;
use super::training_loop::{Outcome, Sample, Trainable, Validated};
use super::warnings::warnings;
use crate::features::FeatureFolder;
use crate::model::config::InputImage;
use crate::progress::{Flow, Observer};
use crate::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Instant;
use tch::Tensor;

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
    /// cases for training, validation and test
    pub cases: [usize; 3],
    /// what to know before trusting it: too little data, no validation of its own, a loss that does not fall, propagation that gets worse
    pub warnings: Vec<String>,
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
    let clips = Clips::new(request, &trainee, cases)?;
    let estimate = clips.estimate()?;
    if request.run.dry_run {
        let nothing = Outcome { epochs: Vec::new(), best_epoch: None, skipped: clips.skipped };
        return Ok(clips.report(estimate, nothing, None));
    }
    let mut outcome = request.training_loop().run(&clips, clips.skipped, observer, on_epoch)?;
    let test = clips.measure_test(&mut outcome, observer)?;
    Ok(clips.report(estimate, outcome, test))
}

fn feature_folder(request: &FineTuneRequest, trainee: &Trainee) -> Result<FeatureFolder> {
    if let Some(name) = trainee.encoder_parameter() {
        return Err(Error::invalid(format!(
            "run.cache_features needs an image encoder that stays as it is, and {name} is trained; choose other adapt.targets"
        )));
    }
    FeatureFolder::open(&request.output.join("features"), &trainee.model, &trainee.base, u64::MAX)
}

/// SAM 2 on clips.
struct Clips<'a> {
    request: &'a FineTuneRequest,
    stepper: Stepper<'a>,
    train: Vec<KeptCase>,
    validation: Vec<KeptCase>,
    /// read at the end
    test: Vec<Box<dyn Case>>,
    /// bytes of the largest case that is read anew for every clip
    reading: u64,
    skipped: usize,
}

impl<'a> Clips<'a> {
    fn new(request: &'a FineTuneRequest, trainee: &'a Trainee, cases: Vec<Box<dyn Case>>) -> Result<Self> {
        let cache = match request.run.cache_features {
            true => Some(feature_folder(request, trainee)?),
            false => None,
        };
        let mut shelf = Shelf::new(estimate::room_for_cases(request));
        let sorted = Sorted::read(cases, request.run.on_bad_data, |case| shelf.read(case))?;
        let Sorted { train, validation, test, skipped } = sorted;
        let stepper = Stepper { trainee, config: request.step(), cache };
        Ok(Self { request, stepper, train, validation, test, reading: shelf.largest_outside, skipped })
    }

    /// Memory and time; refused where the memory cannot be enough.
    fn estimate(&self) -> Result<Estimate> {
        let estimate = estimate::memory(self.request, &self.stepper, self.reading)?;
        let input = self.stepper.trainee.model.config().input();
        let first = self.train[0].get()?;
        let drawn = self.request.sample.draw(
            &first,
            input,
            &self.request.augment,
            &mut self.request.training_loop().sample(0, 0).rng,
        );
        let Ok(clip) = drawn else { return Ok(estimate) }; // the training will say what is wrong, or skip it
        let device = self.stepper.trainee.model.device();
        let finished = || {
            if let tch::Device::Cuda(index) = device {
                tch::Cuda::synchronize(index as i64)
            }
        };
        if device.is_cuda() {
            self.stepper.encode(&clip)?; // the first round chooses kernels
            finished();
        }
        let start = Instant::now();
        self.stepper.encode(&clip)?;
        finished();
        let encoding = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let evaluated = self.stepper.evaluate(&clip, 0);
        finished();
        let forward = start.elapsed().as_secs_f64();
        let run = &self.request.run;
        let clips = self.train.len() * run.clips_per_case * run.epochs;
        let encoder = self.stepper.trainee.trains_encoder();
        Ok(evaluated.map_or(estimate, |_| estimate.with_time(forward, encoding, encoder, clips)))
    }

    fn report(&self, estimate: Estimate, outcome: Outcome, test: Option<Means>) -> FineTuneReport {
        let Outcome { epochs, best_epoch, skipped } = outcome;
        let cases = [self.train.len(), self.validation.len(), self.test.len()];
        FineTuneReport {
            cases,
            warnings: warnings([cases[0], cases[1]], &epochs, best_epoch),
            epochs,
            best_epoch,
            adapter: self.file("adapter.safetensors"),
            trained_parameters: self.stepper.trainee.parameters.iter().map(|(_, tensor)| tensor.numel()).sum(),
            skipped,
            test,
            estimate,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.request.output.join(name)
    }

    fn measure_case(
        &self,
        epoch: usize,
        subset: Subset,
        at: usize,
        case: &LoadedCase,
        input: InputImage,
        sheets: &mut usize,
    ) -> Result<Vec<SliceRecord>> {
        let mut records = Vec::new();
        // the same prompts after every epoch
        let mut rng = ChaCha8Rng::seed_from_u64(self.request.run.seed ^ 0x5eed ^ at as u64);
        let clips: Vec<Clip> = self.request.sample.fixed(case, input, &mut rng)?;
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

    /// The test cases with the best parameters, one after the other; their slices go into `test.csv`.
    fn measure_test(&self, outcome: &mut Outcome, observer: &mut dyn Observer) -> Result<Option<Means>> {
        let best = self.file("adapter.safetensors");
        if self.test.is_empty() || !best.exists() {
            return Ok(None);
        }
        read_parameters(&best, &self.stepper.trainee.parameters)?;
        let input = self.stepper.trainee.model.config().input();
        let epoch = outcome.best_epoch.unwrap_or(0);
        let mut slices = Vec::new();
        for (at, case) in self.test.iter().enumerate() {
            observer.step("test", at, self.test.len())?;
            match LoadedCase::read(case.as_ref()) {
                Ok(case) => slices.extend(self.measure_case(epoch, Subset::Test, at, &case, input, &mut 0)?),
                Err(_) if self.request.run.on_bad_data == BadData::Skip => outcome.skipped += 1,
                Err(error) => return Err(error),
            }
        }
        write_test(&self.request.output, &slices)?;
        Ok(Means::of(&slices))
    }
}

impl Trainable for Clips<'_> {
    fn parameters(&self) -> &[(String, Tensor)] {
        &self.stepper.trainee.parameters
    }

    fn base(&self) -> &str {
        &self.stepper.trainee.base
    }

    fn cases(&self) -> Vec<&str> {
        self.train.iter().map(KeptCase::name).collect()
    }

    /// One clip; its mean loss per slice and object.
    fn learn(&self, case: usize, sample: &mut Sample, share: f64) -> Result<f64> {
        let input = self.stepper.trainee.model.config().input();
        let case = self.train[case].get()?;
        let clip = self.request.sample.draw(&case, input, &self.request.augment, &mut sample.rng)?;
        let frame_steps: usize = clip.objects.iter().map(|object| object.truth.len()).sum();
        let losses = self.stepper.gradients(&clip, sample.seed, share / frame_steps as f64)?;
        Ok(losses.slices.iter().map(|slice| slice.loss).sum::<f64>() / frame_steps as f64 + losses.dense.unwrap_or(0.0))
    }

    /// Every object of every case, without dropout.
    fn validate(&self, epoch: usize, observer: &mut dyn Observer) -> Result<Validated> {
        let input = self.stepper.trainee.model.config().input();
        let (cases, subset) = if self.validation.is_empty() {
            (&self.train, Subset::Train)
        } else {
            (&self.validation, Subset::Validation)
        };
        let (mut records, mut dense) = (Vec::new(), Vec::new());
        let mut sheets = self.request.run.sheets;
        for (at, case) in cases.iter().enumerate() {
            observer.step("validate", at, cases.len())?;
            let case = case.get()?;
            records.extend(self.measure_case(epoch, subset, at, &case, input, &mut sheets)?);
            if self.request.objective.dense != 0.0 && case.whole.is_some() {
                let frames: Vec<_> = (0..case.volume.frames).collect();
                dense.extend(self.stepper.evaluate_dense(&case.clip(&frames, &[], input)?)?);
            }
        }
        let mean = |class: usize| {
            let known: Vec<f64> = dense.iter().filter_map(|dice: &DenseDice| dice[class]).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let dense = (!dense.is_empty()).then(|| [mean(0), mean(1)]);
        Ok((records, dense))
    }

    fn write(&self, best: bool, metrics: &Value) -> Result<()> {
        if best {
            self.stepper.trainee.write_adapter(&self.file("adapter.safetensors"), metrics)?;
            if self.request.run.peft {
                self.stepper.trainee.write_peft(&self.file("peft"))?;
            }
        }
        self.stepper.trainee.write_adapter(&self.file("last.safetensors"), metrics)
    }
}
