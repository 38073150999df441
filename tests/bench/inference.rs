//! Times of the stages of segmentation: a slice encoded, a click on it, following objects with full memories; one line of JSON.
//!
//! `cargo build --release --workspace --examples; target/release/examples/inference --size tiny --precision f32 --objects 1 --slices 10`
//! `--device cuda:0` measures on a GPU, which is waited for at the end of every stage. `--size` takes an official size or a configuration file; weights are random, since speed does not depend on their values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement

#[path = "shared.rs"]
mod shared;

use sam_octa2_core::device::{self, Precision};
use sam_octa2_core::model::params::Params;
use sam_octa2_core::model::{MemoryEntry, Model, ModelConfig, PointerEntry};
use sam_octa2_core::progress::Flow;
use sam_octa2_core::session::{Point, Range, Session, Settings};
use serde_json::{Value, json};
use shared::{number, option, volume};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

fn main() {
    let (objects, slices, repeats) = (number("objects", "1"), number("slices", "10"), number("repeats", "3"));
    device::set_threads(number("threads", "2")).expect("threads");
    let _no_graph = tch::no_grad_guard();

    let device = option("device", "cpu").parse::<device::Device>().and_then(device::Device::resolve);
    let device = device.unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1)
    });
    let kind = option("precision", "f32").parse::<Precision>().expect("a precision").resolve(device);
    let model = Arc::new(model(&option("size", "tiny"), kind, device));
    let mut session = Session::new(model.clone(), volume(slices), Settings::default()).expect("a session");
    let point = |i: usize| Point { x: (512.0 * (0.2 + 0.1 * i as f32)), y: 102.0, positive: true };
    for object in 0..objects {
        session.add_points(0, object as u32 + 1, &[point(object)]).expect("a click");
    }

    let size = model.config().image_size;
    let image = Tensor::randn([1, 3, size, size], (Kind::Float, device));
    let encode = fastest(device, repeats, || drop(model.encode_image(&image)));
    let click = fastest(device, repeats, || drop(session.add_points(0, 1, &[point(0)]).expect("a click")));
    let mut per_slice = Vec::new();
    let (before, mut start) = (processor_seconds(), Instant::now());
    let range = Range::default();
    let follow = session.propagate(range, |_| {
        per_slice.push(start.elapsed().as_secs_f64());
        start = Instant::now();
        Ok(Flow::Continue)
    });
    follow.expect("a propagation");
    let worked = (processor_seconds() - before) / (slices - 1).max(1) as f64;
    let line = json!({
        "stages_s": stages(&model, repeats),
        "objects": objects, "device": format!("{device:?}"), "threads": device::threads(), "kind": format!("{kind:?}"),
        "encode_s": encode, "click_s": click, "per_slice_s": per_slice, "per_slice_cpu_s": worked, "peak_mb": peak_mb(),
        "gemm_gflops": {"f32": gemm(Kind::Float, device), "bf16": gemm(Kind::BFloat16, device)},
    });
    println!("{line}");
}

/// What following an object costs on a slice that is encoded, with seven memories and their pointers.
fn stages(model: &Model, repeats: usize) -> Value {
    let (device, options) = (model.device(), (Kind::Float, model.device()));
    let size = model.config().image_size;
    let features = model.encode_image(&Tensor::randn([1, 3, size, size], options));
    let conditioned = model.without_memory(&features);
    let decode = || model.forward_sam_heads(&conditioned, &features, None, None, false);
    let output = decode();
    let remember = || model.encode_memory(&features, &output.low_res, &output.object_score_logits, false);
    let memory = remember();
    let memories: Vec<_> = (0..7).map(|t_pos| MemoryEntry { features: &memory, t_pos }).collect();
    let pointers: Vec<_> = (1..8).map(|distance| PointerEntry { obj_ptr: &output.obj_ptr, distance }).collect();
    json!({
        "attend": fastest(device, repeats, || drop(model.with_memory(&features, &memories, &pointers, 20))),
        "decode": fastest(device, repeats, || drop(decode())),
        "remember": fastest(device, repeats, || drop(remember())),
    })
}

fn fastest(device: Device, repeats: usize, mut work: impl FnMut()) -> f64 {
    let wait = || {
        if let Device::Cuda(index) = device {
            tch::Cuda::synchronize(index as i64);
        }
    };
    if device.is_cuda() {
        work(); // plans and kernels are made at the first call
    }
    let seconds = (0..repeats).map(|_| {
        wait();
        let start = Instant::now();
        work();
        wait();
        start.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min)
}

/// What a square matrix product reaches: the practical limit of the machine in this run.
fn gemm(kind: Kind, device: Device) -> f64 {
    const N: i64 = 2048;
    let a = Tensor::randn([N, N], (Kind::Float, device)).to_kind(kind);
    let mut out = a.matmul(&a);
    let seconds = fastest(device, 6, || out = a.f_mm_out(&out, &a).expect("a product"));
    2.0 * (N * N * N) as f64 / seconds / 1e9
}

/// An official size, or a configuration, with random weights; the object is there on every slice.
fn model(size: &str, kind: Kind, device: Device) -> Model {
    let config = ModelConfig::load(size).expect("an official size or a configuration");
    let params = Params::random(1, Device::Cpu, Kind::Float).remembering();
    drop(Model::new(params.clone(), config.clone()).expect("a model"));
    let mut tensors: BTreeMap<String, Tensor> = params.given();
    if let Some(head) = tensors.get_mut("sam_mask_decoder.pred_obj_score_head.layers.2.bias") {
        *head = &*head + 10.0; // objects are there
    }
    Model::new(Params::from_tensors(tensors, device, kind), config).expect("a model")
}

/// What this process had of all cores, in seconds: to a hundredth.
fn processor_seconds() -> f64 {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}
