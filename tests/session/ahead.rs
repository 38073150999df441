//! The next slice is read on a second thread while one is computed, each slice once, and nothing is read after the call.

use crate::{MODEL, click, follow, volume};
use sam_octa2_core::session::{Range, Session, Settings};
use sam_octa2_core::volume::{FrameSource, Volume, Voxels};
use sam_octa2_core::{Error, Result};
use std::sync::{Arc, Mutex};

/// Slices from memory; keeps which were read, and on which thread.
struct Watched {
    volume: Arc<Volume>,
    reads: Mutex<Vec<(usize, bool)>>,
    damaged: Option<usize>,
}

impl FrameSource for Watched {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        let ahead = std::thread::current().name() == Some("next slice");
        self.reads.lock().unwrap().push((frame, ahead));
        if self.damaged == Some(frame) {
            return Err(Error::invalid(format!("slice {frame} is damaged")));
        }
        self.volume.frame(frame)
    }

    fn dtype(&self) -> &'static str {
        self.volume.dtype()
    }
}

fn session(damaged: Option<usize>) -> (Session, Arc<Watched>) {
    let volume = volume();
    let source = Arc::new(Watched { volume: volume.clone(), reads: Mutex::default(), damaged });
    let lazy = Volume::lazy(volume.shape(), source.clone(), volume.geometry.clone(), "test");
    let mut session = Session::new(MODEL.clone(), Arc::new(lazy), Settings::default()).unwrap();
    session.add_points(2, 1, &click(40.0, 29.0, true)).unwrap();
    source.reads.lock().unwrap().clear();
    (session, source)
}

#[test]
fn the_next_slice_is_read_while_one_is_computed() {
    let (mut session, source) = session(None);
    follow(&mut session, Range { max_frames: Some(4), ..Range::default() });
    // slice 2 is encoded already, so that nothing is known of 3 before it is needed
    assert_eq!(*source.reads.lock().unwrap(), [(3, false), (4, true), (5, true), (6, true)]);
    drop(session);
    assert_eq!(Arc::strong_count(&source), 1);
}

/// A slice that cannot be read is an error on its own turn; what was followed before stays.
#[test]
fn a_damaged_slice_stops_where_it_is() {
    let (mut session, source) = session(Some(5));
    let error = session.propagate(Range::default(), |_| Ok(sam_octa2_core::progress::Flow::Continue)).unwrap_err();
    assert!(error.to_string().contains("slice 5 is damaged"), "{error}");
    assert_eq!(session.frames_of(1), [2, 3, 4]);
    assert_eq!(source.reads.lock().unwrap().iter().filter(|(frame, _)| *frame == 5).count(), 1);
}
