//! Peak memory and time of one training step of the segmentation network, beside MONAI's (`segmenter.py`): random weights, one layer.
//!
//! `target/release/examples/segmenter_memory FEATURE_SIZE SIDE [STEPS] [whole]`; `whole` keeps all activations, as MONAI does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement

use sam_octa2_core::device;
use sam_octa2_core::model::params::Params;
use sam_octa2_core::sparse::gradients::gradients;
use sam_octa2_core::sparse::{SwinUnetr, SwinUnetrConfig};
use sam_octa2_core::train::losses::dice;
use sam_octa2_core::train::optimizer::{Adam, OptimizerConfig};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: i64| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (feature_size, side, steps) = (number(0, 72), number(1, 512), number(2, 3));
    let recompute = arguments.get(3).is_none();

    let config = SwinUnetrConfig { feature_size, image_size: side, ..SwinUnetrConfig::default() };
    let params = Params::random(1, Device::Cpu, Kind::Float).remembering();
    SwinUnetr::new(params.clone(), config.clone()).expect("a network");
    let leaf = |(name, tensor): (String, Tensor)| (name, tensor.set_requires_grad(true));
    let leaves: Vec<_> = params.given().into_iter().map(leaf).collect();
    let all = leaves.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    let network = SwinUnetr::new(Params::from_tensors(all, Device::Cpu, Kind::Float), config).expect("a network");
    let mut adam = Adam::new(leaves, OptimizerConfig { weight_decay: 1e-4, clip: 0.0, ..OptimizerConfig::default() });

    let image = Tensor::rand([1, 1, side, side], (Kind::Float, Device::Cpu));
    let truth = image.gt(0.5).to_kind(Kind::Float);
    println!("ours, feature size {feature_size}, {side} px, {} threads, recompute {recompute}", device::threads());
    for step in 0..steps {
        let (start, before) = (Instant::now(), processor_seconds());
        adam.zero_grad();
        gradients(&network, &image, |logits| dice(&logits.sigmoid(), &truth, 1e-6), recompute).expect("a step");
        adam.step(1e-4).expect("a step");
        let (wall, processor) = (start.elapsed().as_secs_f64(), processor_seconds() - before);
        println!("step {step}: {processor:.1} s of processor, {wall:.1} s, peak {:.2} GB", peak());
    }
}

/// Time of all threads of this process so far: on a busy machine the clock says more of the others.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// The largest resident size of this process so far, in GB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0 / 1e9
}
