//! Low-rank adaptation of a linear layer (LoRA, arXiv 2106.09685; PEFT's `lora.Linear`): `y = W x + b + B A dropout(x) * scaling`.
//!
//! For inference adapters are merged into `W` (`weights::Checkpoint::merged`); here they stay apart, because they are what is trained.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tch::Tensor;

/// Whether dropout is at work; shared by all layers of a model.
#[derive(Debug, Clone, Default)]
pub struct Training(Arc<AtomicBool>);

impl Training {
    /// Switches dropout on or off.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    /// Is dropout at work?
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The adapter of one layer.
#[derive(Debug)]
pub struct Lora {
    /// `[r, in]` float32
    pub a: Tensor,
    /// `[out, r]` float32
    pub b: Tensor,
    /// alpha / r
    pub scaling: f64,
    /// share of the inputs that is left out while training
    pub dropout: f64,
    /// whether dropout is at work
    pub training: Training,
}

impl Lora {
    /// What the adapter adds: `[.., in]` -> `[.., out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let dropped = if self.dropout > 0.0 && self.training.get() { &x.dropout(self.dropout, true) } else { x };
        let [a, b] = [&self.a, &self.b].map(|weight| weight.to_kind(x.kind()));
        dropped.linear(&a, None::<&Tensor>).linear(&(b * self.scaling), None::<&Tensor>)
    }
}
