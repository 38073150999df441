//! Peak memory and time of one training step: SAM-OCTA2's adapters on a model of an official size with random weights, one object with a
//! click on the first slice.
//!
//! `cargo build --release --workspace --examples; target/release/examples/training_memory tiny 4 [steps] [keep_images] [keep_frame_steps]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement

use sam_octa2_core::device;
use sam_octa2_core::model::params::Params;
use sam_octa2_core::model::{Model, ModelConfig};
use sam_octa2_core::session::Point;
use sam_octa2_core::train::clip::{Clip, ClipObject, Prompt};
use sam_octa2_core::train::frame_step::Memory;
use sam_octa2_core::train::losses::Objective;
use sam_octa2_core::train::step::{Keep, StepConfig, Stepper};
use sam_octa2_core::train::trainee::{Adapt, Trainee};
use std::collections::BTreeMap;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [size, frames, more @ ..] = &arguments[..] else {
        panic!("training_memory SIZE FRAMES [STEPS] [KEEP_IMAGES] [KEEP_VISITS]")
    };
    let frames: usize = frames.parse().expect("a number of slices");
    let number = |at: usize, default: usize| more.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (steps, keep) = (number(0, 2), Keep { images: number(1, 0), frame_steps: number(2, 0) });

    let trainee = trainee(size);
    let clip = clip(trainee.model.config().image_size, frames);
    let memory = Memory { kind: Kind::BFloat16, pointers_ahead: true };
    let stepper = Stepper {
        trainee: &trainee,
        config: StepConfig { objective: Objective::reference(), memory, keep },
        cache: None,
    };
    println!(
        "{size}, {frames} slices, {} threads, {keep:?}; before the first step {:.2} GB",
        device::threads(),
        peak()
    );
    for step in 0..steps {
        let start = Instant::now();
        stepper.gradients(&clip, step as u64, 1.0).expect("a step");
        println!("step {step}: {:.1} s, peak {:.2} GB", start.elapsed().as_secs_f64(), peak());
    }
}

/// SAM-OCTA2's training of an official size.
fn trainee(size: &str) -> Trainee {
    let config = ModelConfig::preset(size).expect("an official size");
    let params = Params::random(1, Device::Cpu, Kind::Float).remembering();
    let model = Model::new(params.clone(), config.clone()).expect("a model");
    drop(model);
    let mut tensors = params.given();
    let head = tensors.get_mut("sam_mask_decoder.pred_obj_score_head.layers.2.bias").expect("the presence head");
    *head = &*head + 10.0; // the object is there on every slice
    Trainee::new(tensors, BTreeMap::new(), config, Adapt::default(), Device::Cpu, Kind::Float, 1).expect("a trainee")
}

fn clip(side: i64, frames: usize) -> Clip {
    let options = (Kind::Float, Device::Cpu);
    let images = (0..frames).map(|_| Tensor::randn([1, 3, side, side], options)).collect();
    let mask = Tensor::zeros([1, 1, side, side], options);
    let _ = mask.narrow(2, side / 4, side / 4).narrow(3, side / 4, side / 4).fill_(1.0);
    let truth = (0..frames).map(|_| mask.shallow_clone()).collect();
    let click = Point { x: side as f32 / 3.0, y: side as f32 / 3.0, positive: true };
    let prompt = Prompt { points: vec![click], ..Prompt::default() };
    let object = ClipObject { id: 1, truth, prompts: [(0, prompt)].into() };
    Clip { name: "noise".into(), images, objects: vec![object], dense: Vec::new() }
}

/// The largest resident size of this process so far, in GB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0 / 1e9
}
