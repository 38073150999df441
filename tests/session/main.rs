//! What a viewer relies on when it drives a session: corrections hold, objects are independent, nothing is lost. On the small test model,
//! whose masks mean nothing but whose every number counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers outside of the test functions

mod ahead;
mod changes;
mod checks;
mod copies;
mod describe;
mod features;
mod geometry;
mod history;
mod lent;
mod limits;
mod nano;
mod notices;
mod objects;
mod preview;
mod propagation;
#[path = "../root.rs"]
mod root;
mod state;
mod stopping;

use root::root;
use sam_octa2_core::device;
use sam_octa2_core::model::params::Params;
use sam_octa2_core::model::{Model, ModelConfig};
use sam_octa2_core::progress::Flow;
use sam_octa2_core::session::{Point, Range, Session, Settings};
use sam_octa2_core::volume::{Geometry, Volume, Voxels};
use sam_octa2_core::weights;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use tch::{Device, Kind, Tensor};

const FRAMES: usize = 8;
const ROWS: usize = 72;
const COLUMNS: usize = 100;

fn data(name: &str) -> PathBuf {
    root().join("../tests/data/parity").join(name)
}

/// Where the tests compute: `SAM_OCTA2_TEST_DEVICE`, or the CPU.
fn device() -> device::Device {
    let name = std::env::var("SAM_OCTA2_TEST_DEVICE").unwrap_or_else(|_| "cpu".into());
    name.parse().expect("SAM_OCTA2_TEST_DEVICE")
}

static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| {
    let tensors = weights::read(data("mini21.pt")).expect("weights").tensors;
    let config = ModelConfig::from_file(data("mini21.yaml")).expect("configuration");
    let device = device().resolve().expect("the device of SAM_OCTA2_TEST_DEVICE");
    Arc::new(Model::new(Params::from_tensors(tensors, device, Kind::Float), config).expect("model"))
});

/// The test slices in grey.
fn volume() -> Arc<Volume> {
    let read = |i: usize| image::open(data(&format!("frames/{i:05}.png"))).expect("frame").to_luma8();
    let voxels: Vec<u8> = (0..FRAMES).flat_map(|i| read(i).into_raw()).collect();
    Arc::new(Volume::new([FRAMES, ROWS, COLUMNS, 1], Voxels::U8(voxels), Geometry::unknown(), "stack").expect("volume"))
}

fn session() -> Session {
    Session::new(MODEL.clone(), volume(), Settings::default()).expect("session")
}

fn click(x: f32, y: f32, positive: bool) -> [Point; 1] {
    [Point { x, y, positive }]
}

/// Propagates and returns (slice, object, logits) of every mask in the order in which they came.
fn follow(session: &mut Session, range: Range) -> Vec<(usize, u32, Tensor)> {
    let mut all = Vec::new();
    let result = session.propagate(range, |slice| {
        all.extend(slice.masks.into_iter().map(|mask| (slice.frame, mask.object, mask.logits)));
        Ok(Flow::Continue)
    });
    result.expect("propagate");
    all
}

fn logits(session: &Session, frame: usize, object: u32) -> Tensor {
    session.mask(frame, object).expect("mask").logits
}

fn frames_of(results: &[(usize, u32, Tensor)], object: u32) -> Vec<usize> {
    results.iter().filter(|result| result.1 == object).map(|result| result.0).collect()
}
