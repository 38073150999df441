//! How long a stopped call still works: the longest time between two of its questions whether to go on, of every kind of long work.
//!
//! `target/release/examples/cancel --size 2.1-tiny --objects 50 --precision f32`: random weights, 512 x 512 pixels of speckle. Read the numbers on an
//! idle machine; the tests count questions instead. With `--weights FILE` (tests/tools/parity/make_weights.py) loading is measured, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement

#[path = "shared.rs"]
mod shared;

use sam_octa2_core::device::{self, Precision};
use sam_octa2_core::intensity::Intensity;
use sam_octa2_core::loader::ModelRequest;
use sam_octa2_core::model::dense_head::DenseHeadConfig;
use sam_octa2_core::model::params::Params;
use sam_octa2_core::model::{ModelConfig, Sam2};
use sam_octa2_core::progress::{Flow, Watch, watched};
use sam_octa2_core::session::{Point, Range, Session, Settings, segment_all};
use sam_octa2_core::{Error, Result};
use shared::{number, option, volume};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tch::Device;

fn main() {
    device::set_threads(number("threads", "1")).expect("threads");
    let kind = option("precision", "f32").parse::<Precision>().expect("a precision").resolve(Device::Cpu);
    let objects = number("objects", "50");
    let mut config = ModelConfig::load(&option("size", "2.1-tiny")).expect("a size");
    config.dense_head = Some(DenseHeadConfig { width: 64, thresholds: [0.5; 2] });
    let model = Arc::new(Sam2::new(Params::random(1, Device::Cpu, kind), config).expect("a model"));
    let stack = volume(4);
    let mut session = Session::new(model.clone(), stack.clone(), Settings::default()).expect("a session");

    measure("encode", || session.encode(0));
    measure("first prompts", || {
        (0..objects).try_for_each(|object| session.add_points(0, object as u32 + 1, &[point(object)]).map(drop))
    });
    measure("propagate", || {
        session.propagate(Range { max_frames: Some(2), ..Range::default() }, |_| Ok(Flow::Continue))
    });
    measure("correction", || session.add_points(2, 1, &[point(3)]).map(drop));
    measure("labels", || session.labels().map(drop));
    measure("save", || session.save().map(drop));
    let state = session.save().expect("a state");
    measure("restore", || Session::restore(model.clone(), stack.clone(), &state, Settings::default()).map(drop));
    let file = option("weights", "");
    if !file.is_empty() {
        let request =
            ModelRequest { model: file, model_config: Some(option("size", "2.1-tiny")), ..ModelRequest::default() };
        measure("load", || request.load().map(drop));
    }
    measure("segment_all", || segment_all(&model, &stack, Intensity::Auto, None, &mut ()).map(drop));
}

fn point(object: usize) -> Point {
    Point { x: 20.0 + 45.0 * (object % 10) as f32, y: 40.0 + 90.0 * (object / 10) as f32, positive: true }
}

/// Keeps the longest pause between two questions.
struct Pauses(Mutex<(Instant, Duration, usize)>);

impl Watch for Pauses {
    fn stop(&self) -> bool {
        let mut kept = self.0.lock().expect("one thread");
        kept.1 = kept.1.max(kept.0.elapsed());
        *kept = (Instant::now(), kept.1, kept.2 + 1);
        false
    }

    fn written(&self, _: u64) -> Result<()> {
        Ok(())
    }
}

fn measure(name: &str, work: impl FnOnce() -> Result<()>) {
    let pauses = Arc::new(Pauses(Mutex::new((Instant::now(), Duration::ZERO, 0))));
    let start = Instant::now();
    watched::<_, Error>(pauses.clone(), work).expect(name);
    pauses.stop(); // to the end
    let (_, longest, questions) = *pauses.0.lock().expect("one thread");
    println!(
        "{name:14} {:7.2} s, {questions:6} questions, the longest pause {:6.3} s",
        start.elapsed().as_secs_f64(),
        longest.as_secs_f64()
    );
}
