//! Undo and redo: whatever was done, every level comes back bit for bit, and so does what is done from there; what was recorded can be done
//! again.

use super::*;
use sam_octa2_core::Result;
use sam_octa2_core::prompts::Direction;
use sam_octa2_core::session::{Compat, Marks, Mask, PromptStep, Step};
use sam_octa2_core::volume::FrameSource;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicUsize, Ordering};

/// All that can be seen of a session: objects, prompts, and every mask to the last bit.
fn seen(session: &Session) -> Vec<String> {
    let mask = |frame: usize, object: u32| {
        let mask = session.mask(frame, object).expect("mask");
        let bytes: Vec<u8> = mask.values().expect("values").into_iter().flat_map(f32::to_le_bytes).collect();
        format!("slice {frame}: {:x} {:?} {:?}", Sha256::digest(bytes), mask.iou, mask.object_score)
    };
    let one = |object: u32| {
        let prompts = (0..FRAMES).map(|frame| format!("{:?}", session.prompts(frame, object))).collect::<String>();
        let prompts = format!("{:x}", Sha256::digest(prompts));
        let masks: Vec<_> = session.frames_of(object).into_iter().map(|frame| mask(frame, object)).collect();
        format!("object {object}: {prompts} {masks:?}")
    };
    session.objects().into_iter().map(one).collect()
}

/// A small generator of numbers, the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn place(&mut self) -> Point {
        let (x, y) = (self.below(10 * COLUMNS) as f32 / 10.0, self.below(10 * ROWS) as f32 / 10.0);
        Point { x, y, positive: self.below(3) > 0 }
    }

    /// Any verb, with two objects; not every one is possible at all times.
    fn step(&mut self) -> Step {
        let (frame, object) = (self.below(FRAMES), 1 + self.below(2) as u32);
        let prompt = |marks: Marks| Step::Prompt(PromptStep::new(frame, object, &marks));
        match self.below(12) {
            0..=3 => prompt(Marks { points: vec![self.place()], ..Marks::default() }),
            4 => {
                let (left, top) = (self.below(40) as f32 + 0.3, self.below(30) as f32);
                let replace = self.below(2) == 0;
                prompt(Marks { bounds: Some([left, top, left + 40.1, top + 25.0]), replace, ..Marks::default() })
            }
            5 => {
                let (left, width) = (self.below(50), 10 + self.below(30));
                let inside = |i: usize| (left..left + width).contains(&(i % COLUMNS)) && i / COLUMNS > 20;
                let mask = Mask { rows: ROWS, columns: COLUMNS, pixels: (0..ROWS * COLUMNS).map(inside).collect() };
                prompt(Marks { mask: Some(mask), ..Marks::default() })
            }
            6 => Step::RemovePrompt { frame, object, index: 0 },
            7 => Step::Clear { frame, object },
            8 if self.below(3) == 0 => Step::Reset,
            8 => Step::Remove { object },
            _ => Step::Propagate {
                direction: [Direction::Forward, Direction::Backward, Direction::Both][self.below(3)],
                start: None,
                max_frames: Some(2 + self.below(3)),
                objects: Vec::new(),
                patience: None,
                threshold: None,
                slices: [None, Some(1), Some(3)][self.below(3)],
            },
        }
    }
}

fn with(settings: Settings) -> Session {
    Session::new(MODEL.clone(), volume(), settings).expect("session")
}

fn apply(session: &mut Session, step: &Step) -> Result<()> {
    session.apply(step, |_| Ok(Flow::Continue))
}

/// Does random steps, `most` of them that succeed. -> what was seen before the first and after each
fn play(session: &mut Session, random: &mut Random, most: usize) -> Vec<Vec<String>> {
    let mut levels = vec![seen(session)];
    while levels.len() <= most {
        let (step, steps) = (random.step(), session.history().record.len());
        match apply(session, &step) {
            Ok(()) => levels.push(seen(session)),
            Err(_) => {
                assert_eq!(&seen(session), levels.last().expect("level"), "{step:?} failed and changed something");
                assert_eq!(session.history().record.len(), steps, "{step:?} failed and was recorded");
            }
        }
    }
    levels
}

fn replayed<'a>(settings: &Settings, steps: impl IntoIterator<Item = &'a Step>) -> Session {
    let mut session = with(settings.clone());
    steps.into_iter().for_each(|step| apply(&mut session, step).expect("a recorded step"));
    session
}

fn random_steps_come_back(settings: &Settings, seed: u64) {
    let mut random = Random(seed);
    let mut session = with(settings.clone());
    let mut levels = play(&mut session, &mut random, 9);
    // all the way back and forth
    for level in levels.iter().rev().skip(1) {
        session.undo().expect("undo");
        assert_eq!(&seen(&session), level);
    }
    assert!(session.undo().unwrap_err().to_string().contains("nothing to undo"));
    for level in levels.iter().skip(1) {
        session.redo().expect("redo");
        assert_eq!(&seen(&session), level);
    }
    assert!(session.redo().unwrap_err().to_string().contains("nothing to redo"));
    // back to the middle, and on from there: the other branch is gone
    for _ in 0..4 {
        session.undo().expect("undo");
    }
    levels.truncate(levels.len() - 4);
    assert_eq!((session.history().undo, session.history().undone.len()), (5, 4));
    levels.extend(play(&mut session, &mut random, 3).into_iter().skip(1));
    assert!(session.redo().is_err());
    // undone steps leave no trace, and doing everything again gives the same
    let record: Vec<Step> = session.history().record.to_vec();
    let done: Vec<Step> = session.history().done.into_iter().cloned().collect();
    assert_eq!(done.len(), 8);
    for (steps, what) in [(&done, "the steps in force"), (&record, "the whole record")] {
        let mut other = replayed(settings, steps);
        assert_eq!(seen(&other), seen(&session), "seed {seed}: {what}");
        assert_eq!(other.history().done, session.history().done);
        for level in levels.iter().rev().skip(1) {
            other.undo().expect("undo");
            assert_eq!(&seen(&other), level, "seed {seed}: {what}");
        }
    }
}

#[test]
fn random_steps_are_undone_redone_and_replayed() {
    (1..=4).for_each(|seed| random_steps_come_back(&Settings::default(), seed * 7919));
}

#[test]
fn so_they_are_in_the_reference_s_manner() {
    random_steps_come_back(&Settings { compat: Compat::Reference, ..Settings::default() }, 31337);
}

#[test]
fn so_they_are_where_everything_lies_in_the_file() {
    let tight = Settings { feature_cache_bytes: 0, state_bytes: 1 << 10, ..Settings::default() };
    random_steps_come_back(&tight, 4711);
}

/// A correction is found, a propagation goes over it, all of it is taken back and done again.
fn corrected(settings: Settings) -> Session {
    let mut session = with(settings);
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    follow(&mut session, Range::default());
    session.add_points(5, 1, &click(80.0, 60.0, false)).expect("correction");
    follow(&mut session, Range::default());
    session
}

#[test]
fn undo_and_redo_compute_nothing() {
    let mut session = corrected(Settings::default());
    session.free_caches();
    let encoded = session.encoded_slices();
    let after = seen(&session);
    assert_eq!(session.undo().expect("undo").to_string(), "propagation forward");
    assert_eq!(session.undo().expect("undo").to_string(), "slice 5, object 1: 1 point");
    assert_eq!(session.prompted_frames(1), [0]);
    session.redo().expect("redo");
    session.redo().expect("redo");
    assert_eq!(seen(&session), after);
    assert_eq!(session.encoded_slices(), encoded);
    let reply = session.describe().unwrap();
    assert_eq!((reply.undo, reply.redo), (4, 0));
}

#[test]
fn a_stopped_propagation_is_a_step_of_as_many_slices() {
    let mut session = session();
    session.add_points(2, 1, &click(24.5, 29.0, true)).expect("click");
    let before = seen(&session);
    let both = Range { direction: Direction::Both, ..Range::default() };
    let stopped = session.propagate(both, |slice| Ok(if slice.done == 7 { Flow::Cancel } else { Flow::Continue }));
    assert_eq!(stopped.unwrap_err().code(), "cancelled");
    let kept = seen(&session);
    let step = session.history().done[1].clone();
    assert!(matches!(step, Step::Propagate { slices: Some(7), direction: Direction::Both, .. }), "{step:?}");
    assert_eq!(seen(&replayed(&Settings::default(), session.history().record)), kept);
    session.undo().expect("undo");
    assert_eq!(seen(&session), before);
}

/// Slices of the test volume; reading one of them may fail.
struct Fragile {
    volume: Arc<Volume>,
    broken: AtomicUsize,
}

impl FrameSource for Fragile {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        match self.broken.load(Ordering::Relaxed) {
            broken if broken == frame => Err(sam_octa2_core::Error::NotFound("the disk is gone".to_owned())),
            _ => self.volume.frame(frame),
        }
    }

    fn dtype(&self) -> &'static str {
        "uint8"
    }
}

#[test]
fn a_failure_keeps_whole_slices_or_nothing() {
    let source = Arc::new(Fragile { volume: volume(), broken: AtomicUsize::new(99) });
    let lazy = Arc::new(Volume::lazy(source.volume.shape(), source.clone(), Geometry::unknown(), "test"));
    let mut session =
        Session::new(MODEL.clone(), lazy, Settings { feature_cache_bytes: 0, ..Settings::default() }).expect("session");
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    session.add_points(0, 2, &click(60.0, 40.0, true)).expect("click");
    let before = seen(&session);
    source.broken.store(1, Ordering::Relaxed);
    let nothing = session.propagate(Range { start: Some(1), ..Range::default() }, |_| Ok(Flow::Continue));
    assert_eq!(nothing.unwrap_err().code(), "not_found");
    assert_eq!(
        (seen(&session), session.history().done.len()),
        (before.clone(), 2),
        "no slice was done, so nothing was"
    );
    source.broken.store(4, Ordering::Relaxed);
    session.propagate(Range::default(), |_| Ok(Flow::Continue)).expect_err("slice 4 is gone");
    assert_eq!((session.frames_of(1), session.frames_of(2)), (vec![0, 1, 2, 3], vec![0, 1, 2, 3]));
    assert!(session.add_points(4, 1, &click(1.0, 1.0, true)).is_err());
    assert_eq!(session.history().done.len(), 3);
    source.broken.store(99, Ordering::Relaxed);
    assert_eq!(seen(&replayed(&Settings::default(), session.history().record)), seen(&session));
    session.undo().expect("undo");
    assert_eq!(seen(&session), before);
}

#[test]
fn the_history_keeps_to_its_budget_and_the_last_step_can_be_undone() {
    let mut session = corrected(Settings { history_bytes: 0, ..Settings::default() });
    assert_eq!((session.history().done.len(), session.history().undo), (4, 1));
    session.undo().expect("the last step");
    let error = session.undo().unwrap_err().to_string();
    assert!(error.contains("step 2 (slice 5, object 1: 1 point)") && error.contains("history_bytes"), "{error}");
    session.redo().expect("redo");
    assert_eq!(seen(&session), seen(&corrected(Settings::default())));

    // beyond the budget of memory, what only the history holds goes to the file
    let tight = Settings { feature_cache_bytes: 0, state_bytes: 100 << 10, ..Settings::default() };
    let mut session = with(tight);
    let mut clicks = |n: usize| {
        for i in 0..n {
            session.add_points(0, 1, &click(20.0 + i as f32, 29.0, true)).expect("click");
        }
        session.bytes()
    };
    let (few, many) = (clicks(3), clicks(30));
    assert!(many.0 < few.0 + (100 << 10), "{few:?} bytes in memory and in the file, then {many:?}");
    assert!(many.1 > 30 * 16 * 1024, "30 masks of 64 x 64 lie there: {many:?}");
    assert_eq!(session.history().undo, 33);
}

#[test]
fn a_restored_session_can_be_undone() {
    let mut session = corrected(Settings::default());
    let after = seen(&session);
    session.undo().expect("undo");
    session.undo().expect("undo");
    let bytes = session.save().expect("save");
    let restore =
        |bytes: &[u8]| Session::restore(MODEL.clone(), volume(), bytes, Settings::default()).expect("restore");
    let mut restored = restore(&bytes);
    assert_eq!(restored.history(), session.history());
    for session in [&mut session, &mut restored] {
        session.redo().expect("redo");
        session.redo().expect("redo");
        assert_eq!(seen(session), after);
        for _ in 0..4 {
            session.undo().expect("undo");
        }
        assert_eq!(seen(session), Vec::<String>::new());
        session.redo().expect("redo");
    }
    assert!(session.save().expect("save") == restored.save().expect("save"));
}

#[test]
fn a_saved_session_holds_the_nearest_steps() {
    let mut session = corrected(Settings::default());
    for _ in 0..30 {
        follow(&mut session, Range::default()); // replaces six masks of 32 kB
    }
    let restored = Session::restore(MODEL.clone(), volume(), &session.save().expect("save"), Settings::default());
    let mut restored = restored.expect("restore");
    let kept = restored.history().undo;
    assert!((10..30).contains(&kept), "4 MB hold {kept} of 34");
    assert_eq!(restored.history().record, session.history().record, "the record is whole");
    restored.undo().expect("undo");
    session.undo().expect("undo");
    assert_eq!(seen(&restored), seen(&session));
}
