//! Sessions with the model of the repository, whose network is another one than SAM 2's.

use crate::limits::Counting;
use crate::root::root;
use crate::{click, device, follow, logits, volume};
use sam_octa2_core::device::Precision;
use sam_octa2_core::loader::{ModelRequest, Place};
use sam_octa2_core::model::Model;
use sam_octa2_core::progress::Flow;
use sam_octa2_core::prompts::Direction;
use sam_octa2_core::session::{Range, Session, Settings};
use sam_octa2_core::volume::{Geometry, Volume};
use std::sync::{Arc, LazyLock};

pub static NANO: LazyLock<Arc<Model>> = LazyLock::new(|| {
    let path = root().join("../sam2_weights/nano.safetensors");
    let place = Place { device: device(), precision: Precision::F32, weights_dirs: Vec::new() };
    let request = ModelRequest { model: path.display().to_string(), place, ..ModelRequest::default() };
    request.load().expect("nano").model
});

const BOTH: Range = Range {
    direction: Direction::Both,
    start: None,
    max_frames: None,
    objects: Vec::new(),
    patience: None,
    threshold: None,
};

fn session(settings: Settings) -> Session {
    Session::new(NANO.clone(), volume(), settings).expect("session")
}

/// Save, restore and undo keep every bit, as with SAM 2.
#[test]
fn a_session_with_nano_is_saved_restored_and_undone() {
    let mut session = session(Settings::default());
    session.add_points(3, 1, &click(40.0, 30.0, true)).expect("click");
    follow(&mut session, BOTH);
    let bytes = session.save().expect("saved");
    let mut restored = Session::restore(NANO.clone(), volume(), &bytes, Settings::default()).expect("restored");
    for frame in session.frames_of(1) {
        assert_eq!(logits(&session, frame, 1), logits(&restored, frame, 1), "slice {frame}");
    }
    let before = logits(&session, 5, 1);
    for session in [&mut session, &mut restored] {
        session.add_points(5, 1, &click(70.0, 50.0, true)).expect("correction");
        follow(session, BOTH);
    }
    assert_eq!(logits(&session, 6, 1), logits(&restored, 6, 1));
    session.undo().expect("undo");
    session.undo().expect("undo");
    assert_eq!(logits(&session, 5, 1), before);
}

/// Clicks hold, whatever the picture: a positive one lies inside, a negative one outside, also on a slice that was followed.
#[test]
fn clicks_hold_with_nano() {
    let mut session = session(Settings::default());
    let at = |session: &Session, frame, x: i64, y: i64| logits(session, frame, 1).double_value(&[y, x]);
    for (x, y) in [(2.0, 2.0), (50.0, 36.0), (97.0, 70.0)] {
        session.add_points(2, 1, &click(x, y, true)).expect("click");
        assert!(at(&session, 2, x as i64, y as i64) > 0.0, "({x}, {y})");
    }
    session.add_points(2, 1, &click(20.0, 60.0, false)).expect("click");
    assert!(at(&session, 2, 20, 60) < 0.0);
    session.propagate(BOTH, |_| Ok(Flow::Continue)).expect("propagation");
    session.add_points(4, 1, &click(30.0, 10.0, true)).expect("click");
    assert!(at(&session, 4, 30, 10) > 0.0);
    assert!(session.notices().expect("notices").iter().all(|reply| !reply.text.contains("misses")));
}

/// What the image U-Net gave is found on disk again, and gives the same bits.
#[test]
fn features_of_nano_are_kept_on_disk() {
    let folder = tempfile::tempdir().expect("folder");
    let settings = || Settings { features: Some(folder.path().to_path_buf()), ..Settings::default() };
    let mut first = session(settings());
    first.add_points(3, 1, &click(40.0, 30.0, true)).expect("click");
    let mut second = session(settings());
    second.add_points(3, 1, &click(40.0, 30.0, true)).expect("click");
    assert_eq!((first.encoded_slices(), second.encoded_slices()), (1, 0));
    assert_eq!(logits(&first, 3, 1), logits(&second, 3, 1));
}

/// A slice is part of the picture of every neighbour, but it is read for itself and once as a neighbour, however slow its source.
#[test]
fn neighbours_are_read_once() {
    let source = Arc::new(Counting { volume: volume(), reads: Default::default() });
    let lazy = Volume::lazy(source.volume.shape(), source.clone(), Geometry::unknown(), "test");
    let mut lazy = Session::new(NANO.clone(), Arc::new(lazy), Settings::default()).expect("session");
    let mut whole = session(Settings::default());
    for session in [&mut lazy, &mut whole] {
        session.add_points(0, 1, &click(40.0, 30.0, true)).expect("click");
        follow(session, BOTH);
    }
    let reads = source.reads.lock().expect("reads").clone();
    assert!((0..8).all(|frame| reads[1..].iter().filter(|read| **read == frame).count() == 2), "{reads:?}");
    assert!((0..8).all(|frame| logits(&lazy, frame, 1) == logits(&whole, frame, 1)));
}
