//! Directions, ranges, cancelling.

use super::*;
use sam_octa2_core::Error;
use sam_octa2_core::prompts::Direction;

fn marked_in_the_middle() -> Session {
    let mut session = session();
    session.add_points(3, 1, &click(24.5, 29.0, true)).expect("click");
    session.add_points(5, 2, &click(70.0, 45.0, true)).expect("click");
    session
}

#[test]
fn every_object_goes_from_its_own_slices() {
    let both = Range { direction: Direction::Both, ..Range::default() };
    let results = follow(&mut marked_in_the_middle(), both);
    assert_eq!(frames_of(&results, 1), [3, 4, 5, 6, 7, 2, 1, 0]);
    assert_eq!(frames_of(&results, 2), [5, 6, 7, 4, 3, 2, 1, 0]);
    let backward = Range { direction: Direction::Backward, ..Range::default() };
    assert_eq!(frames_of(&follow(&mut marked_in_the_middle(), backward), 2), [5, 4, 3, 2, 1, 0]);
}

#[test]
fn both_directions_equal_one_after_the_other() {
    let mut once = marked_in_the_middle();
    follow(&mut once, Range { direction: Direction::Both, ..Range::default() });
    let mut twice = marked_in_the_middle();
    follow(&mut twice, Range::default());
    follow(&mut twice, Range { direction: Direction::Backward, ..Range::default() });
    for object in [1, 2] {
        for frame in 0..FRAMES {
            assert!(
                logits(&once, frame, object).equal(&logits(&twice, frame, object)),
                "object {object}, slice {frame}"
            );
        }
    }
}

#[test]
fn ranges_are_counted_from_the_start() {
    let range = Range { max_frames: Some(2), direction: Direction::Both, ..Range::default() };
    let results = follow(&mut marked_in_the_middle(), range);
    assert_eq!(frames_of(&results, 1), [3, 4, 5, 2, 1]);
    let range = Range { start: Some(6), ..Range::default() };
    let results = follow(&mut marked_in_the_middle(), range);
    assert_eq!(frames_of(&results, 1), [6, 7]);
}

#[test]
fn cancelling_keeps_what_is_done_and_the_session_goes_on() {
    let mut whole = marked_in_the_middle();
    follow(&mut whole, Range::default());
    let mut session = marked_in_the_middle();
    let stopped =
        session.propagate(Range::default(), |slice| Ok(if slice.done == 2 { Flow::Cancel } else { Flow::Continue }));
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(session.frames_of(1), [3, 4]);
    assert!(logits(&session, 4, 1).equal(&logits(&whole, 4, 1)));
    follow(&mut session, Range::default());
    assert!((3..FRAMES).all(|frame| logits(&session, frame, 1).equal(&logits(&whole, frame, 1))));
}

#[test]
fn progress_counts_slices() {
    let mut steps = Vec::new();
    let range = Range { direction: Direction::Both, ..Range::default() };
    let result = marked_in_the_middle().propagate(range, |slice| {
        steps.push((slice.done, slice.total));
        Ok(Flow::Continue)
    });
    result.expect("propagate");
    assert_eq!(steps, (1..=10).map(|i| (i, 10)).collect::<Vec<_>>()); // 3..=7 forward, 4..=0 backward
}

#[test]
fn nothing_to_follow_is_an_error() {
    let mut session = session();
    let error = session.propagate(Range::default(), |_| Ok(Flow::Continue)).unwrap_err();
    assert!(error.to_string().contains("mark an object"), "{error}");
    session.add_points(3, 1, &click(24.5, 29.0, true)).expect("click");
    let outside = Range { start: Some(8), ..Range::default() };
    let error = session.propagate(outside, |_| Ok(Flow::Continue)).unwrap_err();
    assert!(error.to_string().contains("slices 0 to 7"), "{error}");
    session.clear_slice(3, 1).expect("clear");
    let error = session.propagate(Range::default(), |_| Ok(Flow::Continue)).unwrap_err();
    assert!(error.to_string().contains("no prompts"), "{error}");
}

/// Switches of a configuration that change what a session does.
fn configured(change: impl FnOnce(&mut ModelConfig)) -> Session {
    let tensors = weights::read(data("mini21.pt")).expect("weights").tensors;
    let mut config = ModelConfig::from_file(data("mini21.yaml")).expect("configuration");
    change(&mut config);
    let model = Model::new(Params::from_tensors(tensors, Device::Cpu, Kind::Float), config).expect("model");
    Session::new(Arc::new(model), volume(), Settings::default()).expect("session")
}

#[test]
fn masks_do_not_overlap_where_the_configuration_says_so() {
    let overlapping = |mut session: Session| {
        session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
        session.add_points(0, 2, &click(26.5, 29.0, true)).expect("click");
        let results = follow(&mut session, Range { max_frames: Some(1), ..Range::default() });
        let both = results[0].2.gt(0.0).logical_and(&results[1].2.gt(0.0));
        (
            both.sum(Kind::Int64).int64_value(&[]),
            session
                .slice_logits(0)
                .expect("logits")
                .gt(0.0)
                .sum_dim_intlist(0, false, Kind::Int64)
                .max()
                .int64_value(&[]),
        )
    };
    let (pixels, most) = overlapping(session());
    assert!(pixels > 0 && most == 2, "the test needs objects that overlap");
    assert_eq!(overlapping(configured(|config| config.non_overlap_masks = true)), (0, 1));
}

#[test]
fn memories_around_a_correction_can_be_forgotten() {
    let after_correction = |mut session: Session| {
        session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
        follow(&mut session, Range::default());
        session.add_points(7, 1, &click(80.0, 60.0, false)).expect("correction");
        follow(&mut session, Range { start: Some(6), ..Range::default() });
        (session.frames_of(1), logits(&session, 6, 1))
    };
    let (kept, with_memories) = after_correction(session());
    assert_eq!(kept, (0..FRAMES).collect::<Vec<_>>());
    let (kept, without) = after_correction(configured(|config| config.clear_non_cond_mem_around_input = true));
    assert_eq!(kept, [0, 6, 7]);
    assert!(!without.equal(&with_memories));
}
