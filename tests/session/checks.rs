//! What does not exist is refused by the session itself, whoever asks; a refusal is no step, and says what it is about.

use super::*;
use sam_octa2_core::session::Marks;
use sam_octa2_core::{Error, Result};
use serde_json::{Value, json};

type Verb = (&'static str, fn(&mut Session, usize, u32) -> Result<()>);

/// Every verb and question that names a slice.
const OF_A_SLICE: [Verb; 10] = [
    ("prompt", |session, frame, object| session.add_points(frame, object, &click(24.5, 29.0, true)).map(drop)),
    ("box", |session, frame, object| session.add_box(frame, object, [1.0, 1.0, 9.0, 9.0]).map(drop)),
    ("remove_prompt", |session, frame, object| session.remove_prompt(frame, object, 0)),
    ("remove_last_prompt", |session, frame, object| session.remove_last_prompt(frame, object)),
    ("clear_slice", |session, frame, object| session.clear_slice(frame, object)),
    ("mask", |session, frame, object| session.mask(frame, object).map(drop)),
    ("probability", |session, frame, object| session.probability(frame, object).map(drop)),
    ("object_score", |session, frame, object| session.object_score(frame, object).map(drop)),
    ("encode", |session, frame, _| session.encode(frame)),
    ("propagate", |session, frame, _| {
        session.propagate(Range { start: Some(frame), ..Range::default() }, |_| Ok(Flow::Continue))
    }),
];

fn detail(error: &Error) -> Value {
    error.detail()
}

#[test]
fn a_slice_that_does_not_exist_is_refused_by_every_verb() {
    let mut session = session();
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    for frame in [FRAMES, 999, usize::MAX] {
        for (name, verb) in OF_A_SLICE {
            let error = verb(&mut session, frame, 1).expect_err(name);
            assert_eq!(error.code(), "invalid_argument", "{name}: {error}");
            assert!(error.to_string().contains(&format!("slice {frame} does not exist")), "{name}: {error}");
            assert_eq!(detail(&error)["frame"], json!(frame), "{name}");
        }
        assert!(session.slice_labels(frame).is_err() && session.slice_logits(frame).is_err());
        assert_eq!(session.history().record.len(), 1, "a refusal is no step");
    }
}

#[test]
fn an_object_that_does_not_exist_is_refused_by_every_verb() {
    let mut session = session();
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    let verbs: [Verb; 7] = [
        ("remove_prompt", |session, frame, object| session.remove_prompt(frame, object, 0)),
        ("remove_last_prompt", |session, frame, object| session.remove_last_prompt(frame, object)),
        ("clear_slice", |session, frame, object| session.clear_slice(frame, object)),
        ("remove_object", |session, _, object| session.remove_object(object)),
        ("mask", |session, frame, object| session.mask(frame, object).map(drop)),
        ("probability", |session, frame, object| session.probability(frame, object).map(drop)),
        ("object_score", |session, frame, object| session.object_score(frame, object).map(drop)),
    ];
    for (name, verb) in verbs {
        let error = verb(&mut session, 0, 7).expect_err(name);
        assert_eq!((error.code(), &detail(&error)["object"]), ("not_found", &json!(7)), "{name}: {error}");
        assert!(error.to_string().contains("no object 7"), "{name}: {error}");
    }
    for object in [0, 65536] {
        let error = session.add_points(0, object, &click(24.5, 29.0, true)).unwrap_err();
        assert_eq!(detail(&error), json!({"frame": 0, "object": object}), "{error}");
    }
    assert_eq!(session.history().record.len(), 1, "a refusal is no step");
}

#[test]
fn marks_that_make_no_sense_say_where() {
    let mut session = session();
    let error = session.prompt(3, 2, Marks::default()).unwrap_err();
    assert_eq!((error.code(), detail(&error)), ("invalid_argument", json!({"frame": 3, "object": 2})));
    let outside = session.add_points(3, 2, &click(-5.0, 1.0, true)).unwrap_err();
    assert_eq!(detail(&outside), json!({"frame": 3, "object": 2}), "{outside}");
    session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click");
    let none = session.mask(3, 1).unwrap_err();
    assert_eq!((none.code(), detail(&none)), ("not_found", json!({"frame": 3, "object": 1})), "{none}");
}

/// Where masks overlap, the larger logit wins; the labels of a slice are the same as from all logits at once.
#[test]
fn labels_are_the_largest_logits() {
    let mut session = session();
    for (object, x) in [(3, 20.0), (1, 24.5), (7, 30.0), (2, 10.0)] {
        session.add_points(0, object, &click(x, 29.0, true)).expect("click");
    }
    let logits = session.slice_logits(0).expect("logits");
    let (best, index) = logits.max_dim(0, false);
    let best: Vec<f32> = Vec::try_from(best.flatten(0, -1)).expect("numbers");
    let index: Vec<i64> = Vec::try_from(index.flatten(0, -1)).expect("numbers");
    let ids = session.objects();
    let expected: Vec<u16> =
        best.iter().zip(index).map(|(&best, at)| if best > 0.0 { ids[at as usize] as u16 } else { 0 }).collect();
    assert_eq!(session.slice_labels(0).expect("labels"), expected);
    assert!(expected.iter().any(|&label| label != 0));
    assert!(session.slice_labels(1).expect("no mask there").iter().all(|&label| label == 0));
}
