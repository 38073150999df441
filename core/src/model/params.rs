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

/// names listed of each kind of mistake
const SHOWN: usize = 8;

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
    missing: Vec<String>,
    misshapen: Vec<String>,
    not_float: Vec<String>,
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
        let source = Source { tensors, missing: Vec::new(), misshapen: Vec::new(), not_float: Vec::new() };
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
        let Some(tensors) = &mut source.tensors else {
            return random(&full, shape).to_device(self.device).to_kind(kind);
        };
        match tensors.remove(&full) {
            Some(tensor) if !tensor.is_floating_point() => {
                source.not_float.push(format!("{full} ({:?})", tensor.kind()))
            }
            Some(tensor) if tensor.size() == shape => return tensor.to_device(self.device).to_kind(kind),
            Some(tensor) => source.misshapen.push(format!("{full} {:?} instead of {shape:?}", tensor.size())),
            None => source.missing.push(full),
        }
        Tensor::zeros(shape, (kind, self.device)) // never used: `finish` fails
    }

    /// Ends the building: an error that lists everything missing, misshapen or left over.
    pub fn finish(self) -> Result<()> {
        let source = self.source.borrow();
        let unexpected = source.tensors.iter().flat_map(BTreeMap::keys).cloned().collect();
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
