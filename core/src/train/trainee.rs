//! A model in training: a checkpoint whose chosen parts have gradients. Adapters as PEFT makes them (`LoraConfig`), whole parts by name.

use crate::model::config::TrunkConfig;
use crate::model::lora::{Lora, Training};
use crate::model::params::Params;
use crate::model::{Model, ModelConfig};
use crate::weights::{self, Adapter, Tensors};
use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Never trained, whatever `train` says: in the reference no parameter but a constant, and what is derived from it is computed once.
pub(crate) const FREQUENCIES: &str = "positional_encoding_gaussian_matrix";
/// Never trained either: statistics of batch normalisations, which stay those of the checkpoint.
const STATISTICS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];

/// Is it a parameter, and not a constant of the network?
fn can_be_trained(name: &str) -> bool {
    !name.ends_with(FREQUENCIES) && !STATISTICS.iter().any(|statistic| name.ends_with(statistic))
}

/// Which parts are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adapt {
    /// rank of the adapters; 0: none
    pub rank: i64,
    /// they are scaled by alpha / rank
    pub alpha: f64,
    /// share of their inputs left out while training
    pub dropout: f64,
    /// the linear layers that get one: a regular expression over the whole of the checkpoint's names, without `.weight`
    pub targets: String,
    /// which biases are trained too
    pub bias: Bias,
    /// parameters trained as they are: a regular expression over the whole of the checkpoint's names (`sam_mask_decoder\..*`); empty: none
    pub train: String,
}

/// Which biases are trained beside the adapters (PEFT's `bias`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    /// none
    None,
    /// those of layers with an adapter
    #[default]
    LoraOnly,
}

impl Default for Adapt {
    /// SAM-OCTA2's: every `qkv` of the image encoder, with its bias.
    fn default() -> Self {
        Self {
            rank: 32,
            alpha: 32.0,
            dropout: 0.1,
            targets: r"image_encoder\..*\.qkv".into(),
            bias: Bias::LoraOnly,
            train: String::new(),
        }
    }
}

impl Adapt {
    /// SAM-OCTA2's choice means nothing to a network without `qkv` layers. Of a U-Net all is trained instead; of EdgeTAM, whose trunk has no
    /// linear layers, queries and values of the memory attention and of the mask decoder get the adapters.
    fn for_model(self, config: &ModelConfig) -> Self {
        let trunk = config.image_encoder.as_ref().map(|encoder| &encoder.trunk);
        match trunk {
            _ if config.prompted_unet.is_some() && self == Self::default() => {
                Self { rank: 0, targets: String::new(), train: ".*".into(), ..self }
            }
            Some(TrunkConfig::TimmBackbone(_)) if self.targets == Self::default().targets => {
                Self { targets: r"(memory_attention|sam_mask_decoder)\..*\.(q|v)_proj".into(), ..self }
            }
            _ => self,
        }
    }

    /// What the adapters are multiplied with.
    pub fn scaling(&self) -> f64 {
        self.alpha / self.rank.max(1) as f64
    }

    fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::invalid(what));
        match self {
            Self { rank, .. } if !(0..=4096).contains(rank) => wrong(format!("rank {rank}: 0 (none) to 4096")),
            Self { alpha, .. } if !alpha.is_finite() => wrong(format!("alpha {alpha} is no number")),
            Self { dropout, .. } if !(0.0..1.0).contains(dropout) => wrong(format!("dropout {dropout}: 0 to below 1")),
            _ => Ok(()),
        }
    }
}

/// A regular expression that must match whole names; none for an empty one.
fn whole(name: &str, pattern: &str) -> Result<Option<Regex>> {
    if pattern.is_empty() {
        return Ok(None);
    }
    let regex = Regex::new(&format!("^(?:{pattern})$"));
    regex.map(Some).map_err(|error| {
        let line = error.to_string().lines().last().unwrap_or_default().to_owned();
        Error::invalid(format!("{name} {pattern:?} is no regular expression: {line}"))
    })
}

/// A model with what is trained in it.
pub struct Trainee {
    /// computes with the trained parameters as they are now
    pub model: Model,
    /// how it was adapted
    pub adapt: Adapt,
    /// the trained parameters by name (`….lora_A.weight`, `….bias`, …), float32; the model uses these very tensors
    pub parameters: Vec<(String, Tensor)>,
    /// switches dropout on and off
    pub training: Training,
    /// the name of the weights that it started from (`weights::fingerprint`)
    pub base: String,
}

impl Trainee {
    /// From the tensors of a checkpoint and the adapters it carries. `kind` is what frozen parts compute in; what is trained is kept in
    /// float32, and whole parts can be trained in float32 only. `seed` fixes the adapters' start.
    #[allow(clippy::too_many_arguments)] // one call, in the trainer
    pub fn new(
        tensors: Tensors,
        adapters: BTreeMap<String, Adapter>,
        config: ModelConfig,
        adapt: Adapt,
        device: Device,
        kind: Kind,
        seed: u64,
    ) -> Result<Self> {
        let adapt = adapt.for_model(&config);
        adapt.check()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (targets, train) = (whole("targets", &adapt.targets)?, whole("train", &adapt.train)?);
        let targets = targets.filter(|_| adapt.rank > 0);
        let matches = |regex: &Option<Regex>, name: &str| regex.as_ref().is_some_and(|regex| regex.is_match(name));
        let layer = |name: &str| name.strip_suffix(".weight").is_some_and(|layer| matches(&targets, layer));
        let layers: Vec<_> = tensors.iter().filter(|(name, tensor)| layer(name) && tensor.dim() == 2).collect();
        let layers: Vec<_> =
            layers.iter().map(|(name, tensor)| (name.trim_end_matches(".weight").to_owned(), tensor.size())).collect();
        if layers.is_empty() && targets.is_some() {
            return Err(Error::invalid(format!("targets {:?} name no layer of the checkpoint", adapt.targets)));
        }
        let base = weights::fingerprint(&tensors);
        let mut parameters = Vec::new();
        let mut leaf = |name: String, tensor: &Tensor| {
            let tensor = tensor.detach().to_device(device).to_kind(Kind::Float).copy().set_requires_grad(true);
            parameters.push((name, tensor.shallow_clone()));
            tensor
        };
        let training = Training::default();
        let mut loras = BTreeMap::new();
        for (layer, size) in &layers {
            let (a, b) = match adapters.get(layer) {
                Some(Adapter { a, b }) => (a.shallow_clone(), b.shallow_clone()),
                None => fresh(adapt.rank, size, &mut rng),
            };
            let lora = Lora {
                a: leaf(format!("{layer}.lora_A.weight"), &a),
                b: leaf(format!("{layer}.lora_B.weight"), &b),
                scaling: adapt.scaling(),
                dropout: adapt.dropout,
                training: training.clone(),
            };
            loras.insert(layer.clone(), lora);
        }
        if let Some(other) = adapters.keys().find(|layer| !loras.contains_key(*layer)) {
            return Err(Error::invalid(format!(
                "the checkpoint has an adapter of {other}, which is not among the targets"
            )));
        }
        let mut parts = Tensors::new();
        for (name, tensor) in tensors {
            let bias = name.strip_suffix(".bias").is_some_and(|layer| loras.contains_key(layer));
            let trained = (matches(&train, &name) && can_be_trained(&name)) || (bias && adapt.bias == Bias::LoraOnly);
            if trained && kind != Kind::Float && !bias {
                return Err(Error::invalid(format!("{name} can be trained in float32 only; choose precision f32")));
            }
            let tensor = if trained { leaf(name.clone(), &tensor) } else { tensor };
            parts.insert(name, tensor);
        }
        if parameters.is_empty() {
            return Err(Error::invalid("nothing is trained: rank is 0 and `train` names no parameter"));
        }
        let params = Params::from_tensors(parts, device, kind).with_adapters(loras);
        let model = Model::new(params, config)?;
        Ok(Self { model, adapt, parameters, training, base })
    }
}

impl Trainee {
    /// The first parameter that comes before the features of a slice, if one is trained.
    pub fn encoder_parameter(&self) -> Option<&str> {
        self.parameters.iter().map(|(name, _)| name.as_str()).find(|name| self.model.is_encoder(name))
    }

    /// Do gradients have to go back through the image encoder?
    pub fn trains_encoder(&self) -> bool {
        self.encoder_parameter().is_some()
    }
}

/// PEFT's start: A as Kaiming's uniform (`U(-1/sqrt(in), 1/sqrt(in))`), B zero, so that nothing changes at first.
fn fresh(rank: i64, size: &[i64], rng: &mut ChaCha8Rng) -> (Tensor, Tensor) {
    let bound = (size[1] as f32).powf(-0.5);
    let numbers: Vec<f32> = (0..rank * size[1]).map(|_| rng.random_range(-bound..bound)).collect();
    (Tensor::from_slice(&numbers).view([rank, size[1]]), Tensor::zeros([size[0], rank], (Kind::Float, Device::Cpu)))
}
