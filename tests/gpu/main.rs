//! What a first day with a GPU has to show, beside the parity, session and training tests, which run on the device that
//! `SAM_OCTA2_TEST_DEVICE` names. `make test-gpu` runs them all. Without a GPU every test says why it is skipped.
//!
//! `SAM_OCTA2_TEST_DEVICE=cpu` runs them on a CPU, where most must hold, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers outside of the test functions

mod memory;
#[path = "../root.rs"]
mod root;
mod same;

use root::root;
use sam_octa2_core::device::{Device, Precision, cuda};
use sam_octa2_core::io;
use sam_octa2_core::loader::{ModelRequest, Place};
use sam_octa2_core::model::Model;
use sam_octa2_core::progress::Flow;
use sam_octa2_core::session::{Point, Range, Session, Settings};
use sam_octa2_core::volume::Volume;
use std::path::PathBuf;
use std::sync::Arc;

/// The device under test; `None`, and one line that says why, where there is none.
fn device() -> Option<Device> {
    let name = std::env::var("SAM_OCTA2_TEST_DEVICE").unwrap_or_else(|_| "cuda:0".to_owned());
    let device: Device = name.parse().expect("SAM_OCTA2_TEST_DEVICE");
    device.resolve().inspect_err(|error| eprintln!("skipped: {error}")).ok().map(|_| device)
}

fn data(name: &str) -> PathBuf {
    root().join("../tests/data").join(name)
}

/// The small SAM 2.1 of the fixtures.
fn mini(device: Device, precision: Precision) -> Arc<Model> {
    let place = Place { device, precision, weights_dirs: Vec::new() };
    let name = |file: &str| data("parity").join(file).display().to_string();
    let request = ModelRequest {
        model: name("mini21.pt"),
        model_config: Some(name("mini21.yaml")),
        place,
        ..ModelRequest::default()
    };
    request.load().expect("mini21").model
}

/// The demo's stack.
fn stack() -> Arc<Volume> {
    Arc::new(io::open(data("demo/volume.nii.gz"), &io::OpenOptions::default()).expect("demo volume"))
}

fn session(model: &Arc<Model>, settings: Settings) -> Session {
    let mut session = Session::new(model.clone(), stack(), settings).expect("session");
    let middle = [Point { x: 100.0, y: 100.0, positive: true }];
    session.add_points(0, 1, &middle).expect("click");
    session
}

/// Follows the click; the session, and its labels.
fn followed(model: &Arc<Model>, settings: Settings) -> (Session, Vec<u16>) {
    let mut session = session(model, settings);
    session.propagate(Range::default(), |_| Ok(Flow::Continue)).expect("propagate");
    let labels = session.labels().expect("labels").data;
    (session, labels)
}

/// Dice of object 1.
fn dice(a: &[u16], b: &[u16]) -> f64 {
    let count = |of: &[u16]| of.iter().filter(|&&label| label == 1).count() as f64;
    let both = a.iter().zip(b).filter(|(a, b)| (**a, **b) == (1, 1)).count() as f64;
    if count(a) + count(b) == 0.0 { 1.0 } else { 2.0 * both / (count(a) + count(b)) }
}

/// A model on the CPU computes first; then the GPU still works, and `auto` takes it.
#[test]
fn a_gpu_works_after_the_cpu() {
    let Some(device) = device() else { return };
    let (_, expected) = followed(&mini(Device::Cpu, Precision::F32), Settings::default());
    let (_, labels) = followed(&mini(device, Precision::F32), Settings::default());
    assert!(dice(&expected, &labels) > 0.999, "{}", dice(&expected, &labels));
    if let Device::Cuda(_) = device {
        assert_eq!(Device::Auto.resolve().unwrap(), tch::Device::Cuda(0));
        assert!(cuda::memory(0).is_some_and(|(free, total)| free > 0 && free <= total));
    }
}

/// Narrower numbers change little, and none of them is lost.
#[test]
fn bfloat16_and_half_stay_near_float32() {
    let Some(device) = device() else { return };
    let (_, expected) = followed(&mini(Device::Cpu, Precision::F32), Settings::default());
    for precision in [Precision::Bf16, Precision::F16] {
        let (session, labels) = followed(&mini(device, precision), Settings::default());
        let flips = expected.iter().zip(&labels).filter(|(a, b)| a != b).count() as f64 / labels.len() as f64;
        println!("{precision}: Dice {:.4}, {:.3} % of the pixels differ", dice(&expected, &labels), 100.0 * flips);
        for frame in session.frames_of(1) {
            let logits = session.mask(frame, 1).unwrap().logits;
            assert_eq!(logits.isfinite().all().int64_value(&[]), 1, "{precision}, slice {frame}");
        }
        // random weights: many logits lie near zero. On a CPU 0.86 % differ
        assert!(precision == Precision::F16 || flips < 0.012, "{precision}: {flips}");
    }
}
