//! Where a model takes its parameters from while it is built: a checkpoint's tensors, walked by name like folders.
//!
//! Building a layer asks for `name` + shape. What is missing, has another shape, or is left over at the end is collected and
//! reported at once by [`Params::finish`], so that a wrong file gives one complete error and never a half-random model.

use crate::{Error, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;
use tch::{Device, Kind, Tensor};

/// A place in the tree of parameter names. Cheap to clone.
#[derive(Clone)]
pub struct Params {
    source: Rc<RefCell<Source>>,
    prefix: String,
    device: Device,
    kind: Kind,
}

struct Source {
    /// tensors not asked for yet; `None`: make random ones
    tensors: Option<BTreeMap<String, Tensor>>,
    problems: Vec<String>,
}

impl Params {
    /// Parameters from a checkpoint, to be placed on `device` as `kind`.
    pub fn from_tensors(tensors: BTreeMap<String, Tensor>, device: Device, kind: Kind) -> Self {
        Self::new(Some(tensors), device, kind)
    }

    /// Random parameters (normal, scaled by fan-in; norms 1, biases 0): for training from scratch and for speed measurements.
    pub fn random(seed: i64, device: Device, kind: Kind) -> Self {
        tch::manual_seed(seed);
        Self::new(None, device, kind)
    }

    fn new(tensors: Option<BTreeMap<String, Tensor>>, device: Device, kind: Kind) -> Self {
        let source = Source { tensors, problems: Vec::new() };
        Self { source: Rc::new(RefCell::new(source)), prefix: String::new(), device, kind }
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
        let problem = match &mut source.tensors {
            None => return random(&full, shape).to_device(self.device).to_kind(kind),
            Some(tensors) => match tensors.remove(&full) {
                Some(tensor) if !tensor.is_floating_point() => format!("{full} holds {:?}, not numbers with a fraction", tensor.kind()),
                Some(tensor) if tensor.size() == shape => return tensor.to_device(self.device).to_kind(kind),
                Some(tensor) => format!("{full} has shape {:?} instead of {shape:?}", tensor.size()),
                None => format!("{full} is missing"),
            },
        };
        source.problems.push(problem);
        Tensor::zeros(shape, (kind, self.device)) // never used: `finish` fails
    }

    /// Ends the building: an error that lists everything missing, misshapen or left over.
    pub fn finish(self) -> Result<()> {
        let mut source = self.source.borrow_mut();
        let unexpected: Vec<_> = source.tensors.iter().flat_map(|left| left.keys()).map(|name| format!("{name} is not part of it")).collect();
        source.problems.extend(unexpected);
        if source.problems.is_empty() {
            return Ok(());
        }
        let (total, shown) = (source.problems.len(), 8);
        let rest = if total > shown { format!("; and {} more", total - shown) } else { String::new() };
        let list = source.problems[..total.min(shown)].join("; ");
        Err(Error::invalid(format!("the weights do not fit the model configuration ({total} differences): {list}{rest}")))
    }

    fn full(&self, name: impl Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }
}

fn random(name: &str, shape: &[i64]) -> Tensor {
    let options = (Kind::Float, Device::Cpu);
    let norm = name.contains("norm") && shape.len() == 1;
    if name.ends_with("bias") {
        return Tensor::zeros(shape, options);
    }
    if norm || (name.ends_with("weight") && shape.len() == 1) {
        return Tensor::ones(shape, options);
    }
    let fan_in: i64 = shape.iter().skip(1).product();
    Tensor::randn(shape, options) * (fan_in.max(1) as f64).powf(-0.5)
}
