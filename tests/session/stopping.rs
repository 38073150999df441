//! A watch stops the session between two layers of the model; what was there before stays as it was.

use super::*;
use crate::root::root;
use sam_octa2_core::measure::{self, Grid};
use sam_octa2_core::progress::{Watch, watched};
use sam_octa2_core::{Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Stops when it was asked this many times.
struct After {
    questions: usize,
    asked: AtomicUsize,
}

impl After {
    fn new(questions: usize) -> Arc<Self> {
        Arc::new(Self { questions, asked: AtomicUsize::new(0) })
    }
}

impl Watch for After {
    fn stop(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.questions
    }

    fn written(&self, _: u64) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_click_stops_inside_the_encoder() {
    let whole = session().add_points(0, 1, &click(24.5, 29.0, true)).expect("click").logits;
    for questions in [0, 1, 7, 40] {
        let mut session = session();
        let stopped = watched(After::new(questions), || session.add_points(0, 1, &click(24.5, 29.0, true)));
        assert!(matches!(stopped, Err(Error::Cancelled)), "{questions}");
        assert!(session.objects().is_empty() || session.frames_of(1).is_empty(), "{questions}: nothing half done");
        let again = session.add_points(0, 1, &click(24.5, 29.0, true)).expect("afterwards").logits;
        assert!(again.equal(&whole), "{questions}");
    }
}

#[test]
fn a_propagation_stops_inside_a_slice_and_goes_on_as_if_it_had_not() {
    let mut whole = session();
    whole.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    let watch = After::new(usize::MAX);
    watched(watch.clone(), || Ok::<_, Error>(follow(&mut whole, Range::default()))).expect("propagate");
    let all = watch.asked.load(Ordering::Relaxed);
    assert!(all > FRAMES * 100, "{all} checkpoints in {FRAMES} slices");
    for questions in [0, all / 3, all / 2, all - 1] {
        let mut session = session();
        session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
        let stopped = watched(After::new(questions), || session.propagate(Range::default(), |_| Ok(Flow::Continue)));
        assert!(matches!(stopped, Err(Error::Cancelled)), "{questions}");
        follow(&mut session, Range::default());
        for frame in 0..FRAMES {
            assert!(logits(&session, frame, 1).equal(&logits(&whole, frame, 1)), "{questions}: slice {frame}");
        }
    }
}

#[test]
fn measuring_and_cleaning_up_stop_too() {
    let grid = Grid { shape: [4, 30, 30], spacing: [1.0; 3], inside: (0..3600).map(|i| i % 7 < 4).collect() };
    type Work = fn(&Grid);
    let works: [(&str, Work); 5] = [
        ("distances", |grid| drop(measure::squared_distances(grid))),
        ("boundary", |grid| drop(measure::boundary(grid))),
        ("components", |grid| drop(measure::components(grid, measure::Connectivity::Corners))),
        ("smooth", |grid| drop(measure::smooth(grid, 2.0))),
        ("fill_holes", |grid| drop(measure::fill_holes(grid))),
    ];
    for (name, work) in works {
        let stopped = watched(After::new(2), || {
            work(&grid);
            Ok::<_, Error>(())
        });
        assert!(matches!(stopped, Err(Error::Cancelled)), "{name}");
    }
}

/// Decoders of others are kept from panicking through the reader; a stop inside of one is no damage of the file.
#[test]
fn reading_stops_and_is_no_damage() {
    let data = root().join("../tests/data");
    for name in ["demo/volume.nii.gz", "io/npy/float64.npy", "io/pictures/grey8.bmp", "io/dicom/multiframe.dcm"] {
        let watch = After::new(usize::MAX);
        let read = |watch: Arc<After>| {
            watched(watch, || sam_octa2_core::io::open(data.join(name), &Default::default()).map(drop))
        };
        read(watch.clone()).expect(name);
        for questions in 0..watch.asked.load(Ordering::Relaxed).min(50) {
            let stopped = read(After::new(questions));
            assert!(matches!(stopped, Err(Error::Cancelled)), "{name}, {questions}: {stopped:?}");
        }
    }
}
