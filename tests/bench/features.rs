//! What features on disk save: a slice encoded and kept, and the same slice in a later session; one line of JSON.
//!
//! `cargo build --release --workspace --examples; target/release/examples/features --size tiny --precision f32 --slices 5`
//! Random weights and speckle, 512 x 512 pixels: speed does not depend on their values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement

#[path = "shared.rs"]
mod shared;

use sam_octa2_core::device::{self, Precision};
use sam_octa2_core::model::params::Params;
use sam_octa2_core::model::{Model, ModelConfig};
use sam_octa2_core::session::{Session, Settings};
use serde_json::json;
use shared::{number, option, volume};
use std::sync::Arc;
use std::time::Instant;
use tch::Device;

fn main() {
    let slices = number("slices", "5");
    device::set_threads(number("threads", "2")).expect("threads");
    let kind = option("precision", "f32").parse::<Precision>().expect("a precision").resolve(Device::Cpu);
    let config = ModelConfig::load(&option("size", "tiny")).expect("an official size or a configuration");
    let model = Arc::new(Model::new(Params::random(1, Device::Cpu, kind), config).expect("a model"));
    let volume = volume(slices + 1);

    let folder = tempfile::tempdir().expect("a folder");
    let kept = Settings { features: Some(folder.path().to_path_buf()), ..Settings::default() };
    let times = |settings: &Settings, encoded: usize| {
        let start = Instant::now();
        let mut session = Session::new(model.clone(), volume.clone(), settings.clone()).expect("a session");
        let opened = start.elapsed().as_secs_f64();
        let each = (0..=slices).map(|frame| {
            let start = Instant::now();
            session.encode(frame).expect("a slice");
            start.elapsed().as_secs_f64()
        });
        let mut each: Vec<f64> = each.skip(1).collect(); // the first one warms libtorch up
        each.sort_by(f64::total_cmp);
        assert_eq!(session.encoded_slices(), encoded);
        (opened, each[each.len() / 2])
    };
    let (_, encoded) = times(&Settings::default(), slices + 1);
    let (opened, written) = times(&kept, slices + 1);
    let (_, read) = times(&kept, 0);
    let file = std::fs::read_dir(folder.path()).expect("the folder").next().expect("a file").expect("a file");
    let megabytes = file.metadata().expect("a file").len() as f64 / 1e6;
    println!(
        "{}",
        json!({"kind": format!("{kind:?}"), "open_s": opened, "encode_s": encoded, "encode_and_keep_s": written, "read_s": read,
            "file_mb": megabytes})
    );
}
