//! Prompts come and go.

use super::*;
use sam_octa2_core::session::{Compat, Marks, Mask};

#[test]
fn a_slice_is_encoded_once() {
    let mut session = session();
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    session.add_points(0, 1, &click(60.0, 60.0, false)).expect("click");
    session.add_box(0, 2, [10.0, 10.0, 50.0, 50.0]).expect("box");
    assert_eq!(session.encoded_slices(), 1);
}

#[test]
fn a_correction_holds_through_the_next_propagation() {
    let mut session = session();
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    follow(&mut session, Range::default());
    let tracked = logits(&session, 5, 1);
    let corrected = session.add_points(5, 1, &click(80.0, 60.0, false)).expect("correction").logits;
    assert!(!corrected.equal(&tracked));
    let before = logits(&session, 6, 1);
    let results = follow(&mut session, Range::default());
    assert!(results[5].2.equal(&corrected), "the propagation hands out the corrected mask");
    assert!(logits(&session, 5, 1).equal(&corrected), "and keeps it");
    assert!(!logits(&session, 6, 1).equal(&before), "the next slices learn from it");
}

#[test]
fn the_reference_forgets_the_correction() {
    let settings = Settings { compat: Compat::Reference, ..Settings::default() };
    let mut session = Session::new(MODEL.clone(), volume(), settings).expect("session");
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    follow(&mut session, Range::default());
    let tracked = logits(&session, 5, 1);
    session.add_points(5, 1, &click(80.0, 60.0, false)).expect("correction");
    follow(&mut session, Range::default());
    assert!(logits(&session, 5, 1).equal(&tracked));
}

#[test]
fn taking_back_a_click_gives_the_mask_before_it() {
    let mut session = session();
    let one = session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click").logits;
    let two = session.add_points(0, 1, &click(60.0, 60.0, false)).expect("click").logits;
    session.add_points(0, 1, &click(10.0, 10.0, false)).expect("click");
    assert_eq!(session.prompts(0, 1).len(), 3);
    session.remove_prompt(0, 1, 2).expect("undo");
    assert!(logits(&session, 0, 1).equal(&two));
    session.remove_prompt(0, 1, 1).expect("undo");
    assert!(logits(&session, 0, 1).equal(&one));
    session.remove_prompt(0, 1, 0).expect("undo");
    assert!(session.mask(0, 1).is_err(), "no prompt, no mask");
    assert!(session.remove_prompt(0, 1, 0).unwrap_err().to_string().contains("0 prompts"));
}

#[test]
fn clearing_a_corrected_slice_brings_the_tracked_mask_back() {
    let mut session = session();
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    follow(&mut session, Range::default());
    let tracked = logits(&session, 5, 1);
    session.add_points(5, 1, &click(80.0, 60.0, false)).expect("correction");
    session.clear_slice(5, 1).expect("clear");
    assert!(logits(&session, 5, 1).equal(&tracked));
    assert_eq!(session.prompted_frames(1), [0]);
}

#[test]
fn objects_do_not_touch_each_other() {
    let alone = {
        let mut session = session();
        session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
        follow(&mut session, Range::default())
    };
    let mut session = session();
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    session.add_points(3, 2, &click(70.0, 45.0, true)).expect("click");
    let together = follow(&mut session, Range::default());
    for (frame, _, logits) in &alone {
        let same = together.iter().find(|(f, object, _)| f == frame && *object == 1).expect("object 1");
        assert!(same.2.equal(logits), "slice {frame}");
    }
    assert_eq!(frames_of(&together, 2), [3, 4, 5, 6, 7], "object 2 starts where it was marked");

    // a third one, added afterwards, leaves the others as they are
    session.add_points(2, 3, &click(50.0, 20.0, true)).expect("click");
    let again = follow(&mut session, Range::default());
    assert!(again.iter().filter(|r| r.1 == 1).zip(&alone).all(|(a, b)| a.2.equal(&b.2)));
    session.remove_object(2).expect("remove");
    assert_eq!(session.objects(), [1, 3]);
    assert!(session.mask(4, 2).is_err());
    session.reset().unwrap();
    assert!(session.objects().is_empty());
    assert!(session.labels().expect("labels").data.iter().all(|&v| v == 0));
}

#[test]
fn a_drawn_mask_is_the_answer_and_a_start() {
    let pixels: Vec<bool> =
        (0..ROWS * COLUMNS).map(|i| (18..41).contains(&(i / COLUMNS)) && (19..41).contains(&(i % COLUMNS))).collect();
    let mask = Mask { rows: ROWS, columns: COLUMNS, pixels: pixels.clone() };
    let mut session = session();
    let answer = session.add_mask(0, 1, mask.clone()).expect("mask");
    let found = Vec::<bool>::try_from(answer.logits.gt(0.0).flatten(0, -1)).expect("logits");
    let wrong = found.iter().zip(&pixels).filter(|(a, b)| a != b).count();
    assert!(wrong < 40, "{wrong} pixels differ (a low-resolution outline)");
    assert_eq!((answer.iou, answer.object_score), (1.0, 10.0));

    // with a point and a box at once the model starts from it
    let point = click(24.5, 29.0, true).to_vec();
    let mixed =
        Marks { points: point.clone(), bounds: Some([18.5, 17.5, 41.25, 40.75]), mask: Some(mask), ..Marks::default() };
    let mixed = session.prompt(0, 2, mixed).expect("mixture");
    let without = Marks { points: point, bounds: Some([18.5, 17.5, 41.25, 40.75]), ..Marks::default() };
    let without = session.prompt(0, 3, without).expect("box and point");
    assert!((mixed.object_score - without.object_score).abs() > 0.1, "the mask counts");
    assert!(mixed.iou < 1.0, "and so do point and box");
}

#[test]
fn overlapping_objects_share_pixels_by_the_larger_logit() {
    let mut session = session();
    session.add_points(0, 4, &click(24.5, 29.0, true)).expect("click");
    session.add_points(0, 9, &click(70.0, 45.0, true)).expect("click");
    let (a, b) = (logits(&session, 0, 4), logits(&session, 0, 9));
    let labels = session.slice_labels(0).expect("labels");
    let value = |x: &Tensor, i: usize| x.double_value(&[(i / COLUMNS) as i64, (i % COLUMNS) as i64]);
    for (i, &label) in labels.iter().enumerate() {
        let (a, b) = (value(&a, i), value(&b, i));
        let expected = if a.max(b) <= 0.0 {
            0
        } else if a >= b {
            4
        } else {
            9
        };
        assert_eq!(label, expected, "pixel {i}: {a} {b}");
    }
}
