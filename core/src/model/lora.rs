//! Low-rank adaptation of a linear layer (LoRA, arXiv 2106.09685; PEFT's `lora.Linear`): `y = W x + b + B A dropout(x) * scaling`.
//!
//! For inference adapters are merged into `W` (`weights::Checkpoint::merged`); here they stay apart, because they are what is trained.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Kind, Tensor};

/// Whether dropout is at work, and its source of randomness; shared by all layers of a model. libtorch's own source belongs to the whole
/// process, host included, and is left alone.
#[derive(Debug, Clone, Default)]
pub struct Training(Arc<Mutex<Option<ChaCha8Rng>>>);

impl Training {
    /// Dropout is at work from here on, and goes the way of this seed.
    pub fn start(&self, seed: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ChaCha8Rng::seed_from_u64(seed));
    }

    /// Dropout is at work no more.
    pub fn stop(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// `x` with a share of its elements set to 0 and the others raised to keep the mean.
    fn dropout(&self, x: &Tensor, share: f64) -> Tensor {
        let keys = match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(rng) if share > 0.0 => [rng.next_u32(), rng.next_u32()].map(i64::from),
            _ => return x.shallow_clone(),
        };
        let places = Tensor::arange(x.numel() as i64, (Kind::Int64, x.device()));
        let numbers = keys.iter().fold(places, |numbers, &key| mixed(&numbers.bitwise_xor(key)));
        let keep = numbers.ge((share * f64::from(u32::MAX)) as i64).view(x.size().as_slice());
        x * (keep.to_kind(x.kind()) / (1.0 - share))
    }
}

/// A hash of 32 bits, each in an int64 (the low-bias integer hash of C. Wellons' prospector): the same numbers on every device, made where they
/// are needed. No product reaches 2^63.
fn mixed(x: &Tensor) -> Tensor {
    const ALL: i64 = 0xffff_ffff;
    let shifted = |x: &Tensor, by: i64| x.bitwise_xor_tensor(&x.bitwise_right_shift_tensor_scalar(by));
    let x = (shifted(x, 16) * 0x21f0_aaad_i64).bitwise_and(ALL);
    let x = (shifted(&x, 15) * 0x735a_2d97_i64).bitwise_and(ALL);
    shifted(&x, 15)
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
    /// dropout's switch
    pub training: Training,
}

impl Lora {
    /// What the adapter adds: `[.., in]` -> `[.., out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let dropped = self.training.dropout(x, self.dropout);
        let [a, b] = [&self.a, &self.b].map(|weight| weight.to_kind(x.kind()));
        dropped.linear(&a, None::<&Tensor>).linear(&(b * self.scaling), None::<&Tensor>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn dropout_keeps_the_mean_and_repeats() {
        let (x, training) = (Tensor::ones([100, 1000], (Kind::Float, Device::Cpu)), Training::default());
        assert_eq!(training.dropout(&x, 0.1), x, "not in training");
        training.start(5);
        let dropped = training.dropout(&x, 0.1);
        let left_out = dropped.eq(0.0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
        assert!((left_out - 0.1).abs() < 0.005, "{left_out}");
        assert!((dropped.mean(Kind::Float).double_value(&[]) - 1.0).abs() < 0.01);
        assert_ne!(training.dropout(&x, 0.1), dropped, "goes on");
        training.start(5);
        assert_eq!(training.dropout(&x, 0.1), dropped, "repeats");
    }
}
