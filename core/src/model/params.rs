//! Where a model takes its parameters from while it is built: a checkpoint's tensors, walked by name like folders.
//!
//! Building a layer asks for `name` + shape. What is missing, has another shape, or is left over at the end is collected and
//! reported at once by [`Params::finish`], so that a wrong file gives one complete error and never a half-random model.

use super::ModelConfig;
use super::lora::Lora;
use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;
use tch::{Device, Kind, Tensor};

/// names listed of each kind of mistake
const SHOWN: usize = 8;
/// numbers of each parameter that the fingerprint looks at
const HEAD: i64 = 64;

/// A place in the tree of parameter names. Cheap to clone.
#[derive(Clone)]
pub struct Params {
    source: Rc<RefCell<Source>>,
    prefix: String,
    device: Device,
    kind: Kind,
}

enum Tensors {
    /// those of a checkpoint that were not asked for yet
    Left(BTreeMap<String, Tensor>),
    /// made when they are asked for
    Random(Box<ChaCha8Rng>),
}

struct Source {
    tensors: Tensors,
    /// adapters not asked for yet, by the name of their layer
    adapters: BTreeMap<String, Lora>,
    /// every parameter given out, where it is asked for
    given: Option<BTreeMap<String, Tensor>>,
    missing: Vec<String>,
    misshapen: Vec<String>,
    not_float: Vec<String>,
    /// shape and first numbers of every parameter given out
    heads: BTreeMap<String, Vec<u8>>,
}

impl Params {
    /// Parameters from a checkpoint, to be placed on `device` as `kind`.
    pub fn from_tensors(tensors: BTreeMap<String, Tensor>, device: Device, kind: Kind) -> Self {
        Self::new(Tensors::Left(tensors), device, kind)
    }

    /// Random parameters (normal, scaled by fan-in; norms 1, biases 0; tables of position biases small): for training from scratch and for
    /// speed measurements. libtorch's own source of randomness is left alone.
    pub fn random(seed: u64, device: Device, kind: Kind) -> Self {
        Self::new(Tensors::Random(Box::new(ChaCha8Rng::seed_from_u64(seed))), device, kind)
    }

    fn new(tensors: Tensors, device: Device, kind: Kind) -> Self {
        let (adapters, given) = Default::default();
        let (missing, misshapen, not_float, heads) = Default::default();
        let source = Source { tensors, adapters, given, missing, misshapen, not_float, heads };
        Self { source: Rc::new(RefCell::new(source)), prefix: String::new(), device, kind }
    }

    /// The same with adapters for some of the linear layers (by name: `image_encoder.trunk.blocks.0.attn.qkv`).
    pub fn with_adapters(self, adapters: BTreeMap<String, Lora>) -> Self {
        self.source.borrow_mut().adapters = adapters;
        self
    }

    /// The same, remembering what it gives out for [`Params::given`].
    pub fn remembering(self) -> Self {
        self.source.borrow_mut().given = Some(BTreeMap::new());
        self
    }

    /// Every parameter given out so far, by name.
    pub fn given(&self) -> BTreeMap<String, Tensor> {
        self.source.borrow_mut().given.take().unwrap_or_default()
    }

    /// The adapter of the linear layer at this level.
    pub fn adapter(&self, input: i64, output: i64) -> Option<Lora> {
        let mut source = self.source.borrow_mut();
        let lora = source.adapters.remove(&self.prefix)?;
        let rank = lora.a.size()[0];
        if lora.a.size() == [rank, input] && lora.b.size() == [output, rank] {
            return Some(lora);
        }
        let (a, b) = (lora.a.size(), lora.b.size());
        let what = format!("the adapter of {} {a:?}, {b:?} for a layer [{output}, {input}]", self.prefix);
        source.misshapen.push(what);
        None
    }

    /// The device that the parameters are placed on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The type that the parameters are converted to.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Goes down one level: `trunk` / `blocks` / `3`.
    pub fn sub(&self, name: impl Display) -> Self {
        Self { prefix: self.full(name), ..self.clone() }
    }

    /// The parameter `name` of this level.
    pub fn get(&self, name: &str, shape: &[i64]) -> Tensor {
        self.get_kind(name, shape, self.kind)
    }

    /// The parameter `name` in a type of its own (coordinates want float32 whatever the model computes in).
    pub fn get_kind(&self, name: &str, shape: &[i64], kind: Kind) -> Tensor {
        let full = self.full(name);
        let mut source = self.source.borrow_mut();
        match source.take(full.clone(), shape) {
            Some(tensor) => {
                // what is trained stays the very tensor that the optimizer changes, in its own type
                let tensor = if tensor.requires_grad() { tensor } else { tensor.to_device(self.device).to_kind(kind) };
                source.given.iter_mut().for_each(|given| drop(given.insert(full.clone(), tensor.shallow_clone())));
                tensor
            }
            None => Tensor::zeros(shape, (kind, self.device)), // never used: `finish` fails
        }
    }

    /// Something of this level that plays no part: a counter.
    pub fn ignore(&self, name: &str) {
        if let Tensors::Left(tensors) = &mut self.source.borrow_mut().tensors {
            tensors.remove(&self.full(name));
        }
    }

    /// A name for the model with these parameters: sha256 (hexadecimal) over the configuration and, of every parameter given out so far,
    /// name, shape and the first 64 numbers as float32. Whatever type a file holds them in, the same weights have the same name.
    pub fn fingerprint(&self, config: &ModelConfig) -> String {
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(config).unwrap_or_default());
        for (name, head) in &self.source.borrow().heads {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update((head.len() as u64).to_le_bytes());
            hash.update(head);
        }
        format!("{:x}", hash.finalize())
    }

    /// Ends the building: an error that lists everything missing, misshapen or left over.
    pub fn finish(self) -> Result<()> {
        let source = self.source.borrow();
        let adapters = source.adapters.keys().map(|layer| format!("an adapter of {layer}"));
        let left = match &source.tensors {
            Tensors::Left(tensors) => tensors.keys().cloned().collect(),
            Tensors::Random(_) => Vec::new(),
        };
        let unexpected = left.into_iter().chain(adapters).collect();
        let groups = [
            (&source.missing, "missing"),
            (&unexpected, "unexpected"),
            (&source.misshapen, "of wrong shape"),
            (&source.not_float, "not of a float type"),
        ];
        let list: Vec<_> = groups
            .into_iter()
            .filter(|(names, _)| !names.is_empty())
            .map(|(names, what)| {
                let more = if names.len() > SHOWN { ", ..." } else { "" };
                format!("{} {what}: {}{more}", names.len(), names[..names.len().min(SHOWN)].join(", "))
            })
            .collect();
        if list.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(format!("the weights do not fit the model configuration: {}", list.join("; "))))
    }

    fn full(&self, name: impl Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }
}

impl Source {
    /// The parameter, if it is there and what it should be; otherwise the mistake is written down.
    fn take(&mut self, name: String, shape: &[i64]) -> Option<Tensor> {
        let tensor = match &mut self.tensors {
            Tensors::Random(rng) => random(&name, shape, rng),
            Tensors::Left(tensors) => match tensors.remove(&name) {
                None => {
                    self.missing.push(name);
                    return None;
                }
                Some(tensor) => tensor,
            },
        };
        if !tensor.is_floating_point() {
            self.not_float.push(format!("{name} ({:?})", tensor.kind()));
            return None;
        }
        if tensor.size() != shape {
            self.misshapen.push(format!("{name} {:?} instead of {shape:?}", tensor.size()));
            return None;
        }
        self.heads.insert(name, head(&tensor));
        Some(tensor)
    }
}

/// Shape and first numbers.
pub(crate) fn head(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.flatten(0, -1);
    let first = flat.narrow(0, 0, flat.numel().min(HEAD as usize) as i64).to_device(Device::Cpu).to_kind(Kind::Float);
    let mut numbers = vec![0f32; first.numel()];
    first.copy_data(&mut numbers, first.numel());
    let shape = tensor.size().into_iter().flat_map(i64::to_le_bytes);
    shape.chain(numbers.into_iter().flat_map(f32::to_le_bytes)).collect()
}

/// A start for training (PyTorch's and SAM 2's own, where they matter): norms 1, biases 0, tables of positions and what stands for "nothing"
/// small, prompt embeddings and the frequencies of coordinates standard normal, layer scales next to 0, the rest normal by fan-in.
fn random(name: &str, shape: &[i64], rng: &mut ChaCha8Rng) -> Tensor {
    const SMALL: [&str; 6] = ["pos_embed", "tpos_enc", "no_mem_", "no_obj_", "pos_embed_window", "relative_position"];
    let options = (Kind::Float, Device::Cpu);
    let mut normal = |deviation: f64| normal(shape, rng) * deviation;
    if name.ends_with("bias") {
        Tensor::zeros(shape, options)
    } else if SMALL.iter().any(|part| name.contains(part)) {
        normal(0.02)
    } else if name.ends_with("running_mean") {
        Tensor::zeros(shape, options)
    } else if name.ends_with("running_var") {
        Tensor::ones(shape, options)
    } else if name.ends_with("gamma") {
        Tensor::ones(shape, options) * 1e-6
    } else if name.ends_with("weight") && shape.len() == 1 {
        Tensor::ones(shape, options)
    } else if name.contains("gaussian_matrix") || name.contains("embed") && shape.len() == 2 {
        normal(1.0)
    } else {
        let fan_in: i64 = shape.iter().skip(1).product();
        normal((fan_in.max(1) as f64).powf(-0.5))
    }
}

/// Standard normal numbers (Box and Muller).
fn normal(shape: &[i64], rng: &mut ChaCha8Rng) -> Tensor {
    let mut number = || {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        (radius * (2.0 * std::f64::consts::PI * rng.random::<f64>()).cos()) as f32
    };
    let count = shape.iter().product::<i64>().max(0);
    Tensor::from_slice(&(0..count).map(|_| number()).collect::<Vec<f32>>()).view(shape)
}
