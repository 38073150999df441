//! What a training is asked for: model, data, trained parts, objective, and how the run goes.

use super::data::augment::Augment;
use super::data::sample::SampleConfig;
use super::data::{BadData, DataConfig};
use super::frame_step::Memory;
use super::losses::Objective;
use super::optimizer::OptimizerConfig;
use super::step::{Keep, StepConfig};
use super::trainee::{Adapt, Trainee};
use super::training_loop::{Rounds, TrainingLoop};
use crate::loader::ModelRequest;
use crate::{Error, Result, weights};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
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
    /// frame steps whose activations are kept instead of computed twice
    pub keep_frame_steps: usize,
    /// write the best adapters as PEFT does, too (folder `peft`)
    pub peft: bool,
    /// go on where the output folder's checkpoint stands
    pub resume: bool,
    /// what becomes of a clip or a case that cannot be used
    pub on_bad_data: BadData,
    /// keep the encoder's features on disk (folder `features`), where the encoder is not trained and images are not varied
    pub cache_features: bool,
    /// clips that are drawn after a validation (folder `sheets`), at most
    pub sheets: usize,
    /// memory that the training may take, in GB; 0: what the machine has free
    pub memory_limit: f64,
    /// cases that stay in memory, in GB; the others are read anew for every clip. 0: a quarter of what there is
    pub case_memory: f64,
    /// estimate memory and time, train nothing
    pub dry_run: bool,
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
            keep_frame_steps: 0,
            peft: false,
            resume: false,
            on_bad_data: BadData::Stop,
            cache_features: false,
            sheets: 8,
            memory_limit: 0.0,
            case_memory: 0.0,
            dry_run: false,
        }
    }
}

impl FineTuneRequest {
    /// An error where the options make no sense together.
    pub fn check(&self) -> Result<()> {
        self.training_loop().check("clips_per_case")?;
        if self.run.cache_features && self.augment != Augment::NONE {
            return Err(Error::invalid(
                "run.cache_features keeps the features of images that do not change; set every option of `augment` to 0",
            ));
        }
        self.sample.check()?;
        self.augment.check()
    }

    /// The model with its trained parts.
    pub(super) fn trainee(&self) -> Result<Trainee> {
        let (checkpoint, config, device) = self.model.parts()?;
        let kind = self.model.place.precision.for_training()?;
        let weights::Checkpoint { path, tensors, adapters, .. } = checkpoint;
        crate::guard::guard(|| Trainee::new(tensors, adapters, config, self.adapt.clone(), device, kind, self.run.seed))
            .map_err(|error| Error::format(path, error.to_string()))
    }

    pub(super) fn training_loop(&self) -> TrainingLoop<'_> {
        let RunConfig { epochs, accumulate, seed, validate_every, resume, on_bad_data, .. } = self.run;
        let per_case = self.run.clips_per_case;
        let rounds = Rounds { epochs, per_case, accumulate, seed, validate_every, resume, on_bad_data };
        TrainingLoop::new(rounds, &self.optimizer, &self.output, self.identity(), self)
    }

    pub(super) fn step(&self) -> StepConfig {
        let RunConfig { bf16_memory, pointers_ahead, keep_images, keep_frame_steps, .. } = self.run;
        StepConfig {
            objective: self.objective.clone(),
            memory: Memory { kind: if bf16_memory { Kind::BFloat16 } else { Kind::Float }, pointers_ahead },
            keep: Keep { images: keep_images, frame_steps: keep_frame_steps },
        }
    }

    /// The configuration as far as it decides the numbers; more epochs may be asked for.
    fn identity(&self) -> Value {
        let Self { data, adapt, objective, optimizer, sample, augment, run, .. } = self;
        let RunConfig {
            clips_per_case,
            accumulate,
            seed,
            validate_every,
            bf16_memory,
            pointers_ahead,
            on_bad_data,
            ..
        } = run;
        let run = json!([clips_per_case, accumulate, seed, validate_every, bf16_memory, pointers_ahead, on_bad_data]);
        json!([data, adapt, objective, optimizer, sample, augment, run])
    }
}
