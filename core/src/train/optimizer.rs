//! Adam and AdamW (arXiv 1412.6980, 1711.05101), equal to PyTorch's, with a state that can be saved; learning-rate schedules; clipping.
//! tch's own optimizers cannot save their state, without which a resumed run would not be the same run.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::f64::consts::PI;
use tch::{Kind, Tensor, no_grad};

/// How parameters are changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// step size
    pub learning_rate: f64,
    /// memory of the mean and of the square
    pub betas: [f64; 2],
    /// keeps the division sound
    pub eps: f64,
    /// share of a parameter that is taken away per step, times the learning rate (AdamW); 0: Adam
    pub weight_decay: f64,
    /// most that the norm of all gradients may be; 0: any
    pub clip: f64,
    /// steps over which the learning rate rises from 0
    pub warm_up: usize,
    /// what happens afterwards
    pub schedule: Schedule,
    /// how much of the running mean of the parameters stays at each step (0.998); the mean is what is measured and written; 0: no mean
    pub average: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-4,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            clip: 1.0,
            warm_up: 0,
            schedule: Schedule::Constant,
            average: 0.0,
        }
    }
}

/// The schedule of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// stays
    #[default]
    Constant,
    /// falls to 0 in a straight line
    Linear,
    /// falls to 0 along half a cosine
    Cosine,
    /// SAM-OCTA2's for its segmentation network, epoch by epoch: up in a straight line over the first fifth of the epochs, then by 3 % an
    /// epoch down, but never below 1e-4. With its own learning rate of 1e-4 that floor is all there is: the rate stays 1e-4
    Reference,
}

impl OptimizerConfig {
    /// The learning rate of step `step` (from 0) of `steps` in so many epochs.
    pub fn learning_rate(&self, step: usize, steps: usize, epochs: usize) -> f64 {
        const FLOOR: f64 = 1e-4;
        if self.schedule == Schedule::Reference {
            let (epoch, rise) = (step * epochs / steps.max(1), epochs / 5);
            let left =
                if epoch <= rise { epoch as f64 / rise.max(1) as f64 } else { 0.97f64.powi((epoch - rise) as i32) };
            return (self.learning_rate * left).max(FLOOR);
        }
        if step < self.warm_up {
            return self.learning_rate * (step + 1) as f64 / self.warm_up as f64;
        }
        let done = (step - self.warm_up) as f64 / steps.saturating_sub(self.warm_up).max(1) as f64;
        let left = match self.schedule {
            Schedule::Constant | Schedule::Reference => 1.0,
            Schedule::Linear => 1.0 - done,
            Schedule::Cosine => 0.5 * (1.0 + (PI * done).cos()),
        };
        self.learning_rate * left.max(0.0)
    }
}

/// What Adam remembers of one parameter.
struct Moments {
    mean: Tensor,
    square: Tensor,
}

/// The optimizer of a set of parameters.
pub struct Adam {
    config: OptimizerConfig,
    parameters: Vec<(String, Tensor)>,
    moments: BTreeMap<String, Moments>,
    /// running means of the parameters, where `average` asks for them
    averages: Vec<Tensor>,
    /// steps taken
    steps: usize,
}

impl Adam {
    /// For parameters by name; their gradients are taken from the tensors themselves.
    pub fn new(parameters: Vec<(String, Tensor)>, config: OptimizerConfig) -> Self {
        Self { config, parameters, moments: BTreeMap::new(), averages: Vec::new(), steps: 0 }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Forgets the gradients.
    pub fn zero_grad(&mut self) {
        self.parameters.iter_mut().for_each(|(_, parameter)| parameter.zero_grad());
    }

    /// A copy of the gradients as they are.
    pub fn gradients(&self) -> Vec<Tensor> {
        self.parameters
            .iter()
            .map(|(_, parameter)| parameter.grad())
            .map(|gradient| if gradient.defined() { gradient.copy() } else { gradient })
            .collect()
    }

    /// The gradients as they were; what had none then has zeros.
    pub fn set_gradients(&mut self, gradients: &[Tensor]) {
        for ((_, parameter), before) in self.parameters.iter_mut().zip(gradients) {
            let mut now = parameter.grad();
            match (before.defined(), now.defined()) {
                (true, true) => no_grad(|| now.copy_(before)),
                _ => parameter.zero_grad(),
            }
        }
    }

    /// One step at `learning_rate`. -> the norm of all gradients before clipping
    pub fn step(&mut self, learning_rate: f64) -> Result<f64> {
        let norm = self.gradient_norm();
        if !norm.is_finite() {
            return Err(Error::invalid(format!("the gradients are not finite (norm {norm})")));
        }
        let OptimizerConfig { betas: [beta1, beta2], eps, weight_decay, clip, .. } = self.config;
        let scale = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        self.steps += 1;
        let (fix1, fix2) = (1.0 - beta1.powi(self.steps as i32), 1.0 - beta2.powi(self.steps as i32));
        no_grad(|| {
            for (name, parameter) in &mut self.parameters {
                let gradient = parameter.grad();
                if !gradient.defined() {
                    continue;
                }
                let gradient = gradient * scale;
                let moments = self
                    .moments
                    .entry(name.clone())
                    .or_insert_with(|| Moments { mean: gradient.zeros_like(), square: gradient.zeros_like() });
                moments.mean = &moments.mean * beta1 + &gradient * (1.0 - beta1);
                moments.square = &moments.square * beta2 + &gradient * &gradient * (1.0 - beta2);
                let spread = moments.square.sqrt() / fix2.sqrt() + eps;
                let _ = parameter.g_mul_scalar_(1.0 - learning_rate * weight_decay);
                let _ = parameter.g_sub_(&(&moments.mean / spread * (learning_rate / fix1)));
            }
        });
        self.average();
        Ok(norm)
    }

    /// The running means move towards the parameters: by little, and by more in the first steps.
    fn average(&mut self) {
        if self.config.average == 0.0 {
            return;
        }
        if self.averages.is_empty() {
            self.averages =
                no_grad(|| self.parameters.iter().map(|(_, parameter)| parameter.detach().copy()).collect());
        }
        let share = 1.0 - self.config.average.min((1.0 + self.steps as f64) / (10.0 + self.steps as f64));
        no_grad(|| {
            for ((_, parameter), average) in self.parameters.iter().zip(&mut self.averages) {
                *average = &*average * (1.0 - share) + parameter.detach() * share;
            }
        });
    }

    /// Exchanges the parameters and their running means, for measuring and writing; once more brings them back. Nothing where there are none.
    pub fn exchange(&mut self) {
        no_grad(|| {
            for ((_, parameter), average) in self.parameters.iter_mut().zip(&mut self.averages) {
                let now = parameter.detach().copy();
                parameter.copy_(average);
                *average = now;
            }
        });
    }

    fn gradient_norm(&self) -> f64 {
        let squares = self.parameters.iter().map(|(_, parameter)| parameter.grad()).filter(Tensor::defined);
        let squares: Vec<Tensor> = squares.map(|gradient| gradient.square().sum(Kind::Double)).collect();
        if squares.is_empty() { 0.0 } else { Tensor::stack(&squares, 0).sum(Kind::Double).sqrt().double_value(&[]) } // one wait for a GPU
    }

    /// What it remembers, by name, and the steps taken: to go on later.
    pub fn state(&self) -> (BTreeMap<String, Tensor>, usize) {
        let both = self.moments.iter().flat_map(|(name, moments)| {
            [("mean", &moments.mean), ("square", &moments.square)]
                .map(|(what, tensor)| (format!("{what}.{name}"), tensor.shallow_clone()))
        });
        let named = self.parameters.iter().zip(&self.averages);
        let averages = named.map(|((name, _), average)| (format!("average.{name}"), average.shallow_clone()));
        (both.chain(averages).collect(), self.steps)
    }

    /// Goes on from a state.
    pub fn set_state(&mut self, mut state: BTreeMap<String, Tensor>, steps: usize) -> Result<()> {
        self.moments.clear();
        for (name, parameter) in &self.parameters {
            let mut take = |what: &str| state.remove(&format!("{what}.{name}"));
            if let (Some(mean), Some(square)) = (take("mean"), take("square")) {
                if mean.size() != parameter.size() || square.size() != parameter.size() {
                    return Err(Error::invalid(format!("the optimizer's state does not fit {name}")));
                }
                let place = |tensor: Tensor| tensor.to_device(parameter.device());
                self.moments.insert(name.clone(), Moments { mean: place(mean), square: place(square) });
            }
        }
        let averages = self.parameters.iter().map(|(name, parameter)| {
            state.remove(&format!("average.{name}")).map(|average| average.to_device(parameter.device()))
        });
        self.averages = averages.collect::<Option<Vec<_>>>().unwrap_or_default();
        self.steps = steps;
        match state.keys().next() {
            Some(name) => Err(Error::invalid(format!("the optimizer's state has {name}, which is not trained here"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let config = OptimizerConfig {
            learning_rate: 1.0,
            warm_up: 2,
            schedule: Schedule::Cosine,
            ..OptimizerConfig::default()
        };
        let rates: Vec<_> = (0..6).map(|step| (config.learning_rate(step, 6, 6) * 1000.0).round()).collect();
        assert_eq!(rates, [500.0, 1000.0, 1000.0, 854.0, 500.0, 146.0]);
    }

    #[test]
    fn the_references_rule_is_its_floor() {
        let rate = |learning_rate: f64, epoch: usize| {
            let config = OptimizerConfig { learning_rate, schedule: Schedule::Reference, ..OptimizerConfig::default() };
            config.learning_rate(4 * epoch, 2000, 500) // four layers, 500 epochs
        };
        assert!((0..500).all(|epoch| rate(1e-4, epoch) == 1e-4));
        // with another learning rate the rule shows
        let rates = [0, 50, 100, 101, 499].map(|epoch| (rate(1e-2, epoch) * 1e5).round());
        assert_eq!(rates, [10.0, 500.0, 1000.0, 970.0, 10.0]);
    }
}
