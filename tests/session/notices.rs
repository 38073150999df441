//! What a session says about its answers.

use crate::{follow, session};
use sam_octa2_core::session::{Mask, Notice, Point, Range};

/// Random weights answer somewhere: whatever they answer, an empty mask, a missed click and a lost object are said, and nothing else is.
#[test]
fn notices_are_what_the_masks_say() {
    let mut session = session();
    let places = [[10.0, 10.0], [50.0, 40.0], [90.0, 60.0]];
    for (object, [x, y]) in (1..).zip(places) {
        session.add_points(1, object, &[Point { x, y, positive: true }]).expect("a click");
    }
    follow(&mut session, Range::default());
    let notices: Vec<Notice> = session.notices().expect("notices").into_iter().map(|reply| reply.notice).collect();
    for (object, [x, y]) in (1..).zip(places) {
        let mask = session.mask(1, object).expect("a mask");
        let inside = mask.logits.double_value(&[y as i64, x as i64]) > 0.0;
        let empty = mask.area().expect("area") == 0;
        let said = |wanted: fn(&Notice) -> Option<u32>| notices.iter().filter_map(wanted).any(|id| id == object);
        let told_empty = said(|notice| matches!(notice, Notice::Empty { .. }).then(|| id(notice)));
        assert_eq!(told_empty, empty, "object {object}");
        let missed = said(|notice| matches!(notice, Notice::MissedClick { .. }).then(|| id(notice)));
        assert_eq!(missed, !inside && !empty, "object {object}");
        let lost: Vec<usize> = session
            .frames_of(object)
            .into_iter()
            .filter(|&frame| frame != 1 && session.mask(frame, object).expect("a mask").area().expect("area") == 0)
            .collect();
        let reply: Vec<usize> = notices
            .iter()
            .filter(|notice| id(notice) == object)
            .filter_map(|notice| match notice {
                Notice::Lost { first, last, .. } => Some(*first..=*last),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(reply, lost, "object {object}");
    }
}

/// An object drawn on one slice and empty on the next is lost after it.
#[test]
fn a_drawn_mask_is_present_and_its_sentence_names_the_slice() {
    let mut session = session();
    let volume = session.volume().clone();
    let pixels = (0..volume.rows * volume.columns).map(|at| at % volume.columns < 20).collect();
    session.add_mask(2, 7, Mask { rows: volume.rows, columns: volume.columns, pixels }).expect("a mask");
    assert!(session.notices().expect("notices").is_empty(), "a drawn mask is what it is");
    follow(&mut session, Range::default());
    for reply in session.notices().expect("notices") {
        assert!(reply.text.starts_with("object 7: lost after slice "), "{}", reply.text);
        assert!(reply.text.contains("presence"), "{}", reply.text);
    }
}

fn id(notice: &Notice) -> u32 {
    match notice {
        Notice::Empty { object, .. } | Notice::MissedClick { object, .. } | Notice::Lost { object, .. } => *object,
        _ => 0,
    }
}
