//! What a training of the segmentation network is asked for: network, layers, losses, and how the run goes.

use super::config::SwinUnetrConfig;
use super::segmenter::SegmenterRequest;
use super::unetr::SwinUnetr;
use crate::device::Device;
use crate::guard::guard;
use crate::model::params::Params;
use crate::train::data::augment::Augment;
use crate::train::data::{BadData, DataConfig};
use crate::train::losses::Objective;
use crate::train::optimizer::{OptimizerConfig, Schedule};
use crate::train::training_loop::{Rounds, TrainingLoop};
use crate::weights::Tensors;
use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
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
    pub(super) fn of(&self, logits: &Tensor, truth: &Tensor) -> Tensor {
        let Self { dice, dice_smooth, cldice, focal, bce } = *self;
        Objective { dice, dice_smooth, cldice, focal, bce, ..Objective::reference() }.mask(logits, truth)
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

impl NetworkRequest {
    /// The parameters to start with, float32 on the CPU, and the sizes.
    pub(super) fn tensors(&self, seed: u64) -> Result<(Tensors, SwinUnetrConfig)> {
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
    pub(super) fn check(&self) -> Result<()> {
        self.training_loop(Value::Null).check("views")?;
        if !(0.0..1.0).contains(&self.run.threshold) || self.run.threshold == 0.0 {
            return Err(Error::invalid(format!("run.threshold is {}: between 0 and 1", self.run.threshold)));
        }
        self.augment.check()
    }

    pub(super) fn training_loop(&self, identity: Value) -> TrainingLoop<'_> {
        let LayerRun { epochs, views: per_case, accumulate, seed, validate_every, resume, on_bad_data, .. } = self.run;
        let rounds = Rounds { epochs, per_case, accumulate, seed, validate_every, resume, on_bad_data };
        TrainingLoop::new(rounds, &self.optimizer, &self.output, identity, self)
    }
}
