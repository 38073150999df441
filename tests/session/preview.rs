//! What a pointer shows that hovers: the answer of a prompt that was not given, and the masks to choose from.

use super::*;
use sam_octa2_core::session::{Marks, Mask, Step};

fn marks(x: f32, y: f32) -> Marks {
    Marks { points: click(x, y, true).to_vec(), ..Marks::default() }
}

#[test]
fn a_preview_is_the_answer_and_changes_nothing() {
    let mut session = session();
    let hovered = session.preview(2, 1, &marks(24.5, 29.0)).unwrap();
    assert!(session.objects().is_empty() && session.history().record.is_empty());
    assert_eq!(hovered.alternatives.len(), 3);
    let encoded = session.encoded_slices();
    let given = session.prompt(2, 1, marks(24.5, 29.0)).unwrap();
    assert!(given.logits.equal(&hovered.mask.logits));
    assert_eq!((given.iou, given.object_score), (hovered.mask.iou, hovered.mask.object_score));
    assert_eq!(session.encoded_slices(), encoded, "the slice was encoded for the preview");
    // on a slice that was followed, with memories that were not made yet, and undone steps that wait
    follow(&mut session, Range { max_frames: Some(2), ..Range::default() });
    session.add_points(2, 1, &click(60.0, 40.0, false)).unwrap();
    session.add_points(2, 1, &click(61.0, 41.0, false)).unwrap();
    session.undo().unwrap();
    let before = session.save().unwrap();
    let hovered = session.preview(3, 1, &marks(30.0, 30.0)).unwrap();
    assert_eq!(session.save().unwrap(), before, "not a byte");
    let given = session.prompt(3, 1, marks(30.0, 30.0)).unwrap();
    assert!(given.logits.equal(&hovered.mask.logits));
    assert!(session.preview(99, 1, &marks(1.0, 1.0)).is_err() && session.preview(2, 1, &Marks::default()).is_err());
}

#[test]
fn a_choice_is_one_of_the_masks() {
    let mut session = session();
    // on this slice the model says that the object is there, else all masks are empty
    let all = session.preview(0, 1, &marks(24.5, 29.0)).unwrap().alternatives;
    let mut seen = Vec::new();
    for choice in 1..=3u8 {
        let chosen = session.prompt(0, 1, Marks { choice: Some(choice), replace: true, ..marks(24.5, 29.0) }).unwrap();
        let expected = &all[usize::from(choice) - 1];
        assert_eq!(chosen.iou, expected.iou, "choice {choice}");
        assert!(chosen.logits.equal(&expected.logits), "choice {choice}");
        seen.push(chosen.logits);
        session.undo().unwrap();
    }
    assert!(!seen[0].equal(&seen[1]) && !seen[1].equal(&seen[2]));
    session.prompt(0, 1, Marks { choice: Some(2), ..marks(24.5, 29.0) }).unwrap();
    follow(&mut session, Range { max_frames: Some(1), ..Range::default() });
    let steps: Vec<Step> = serde_json::from_str(&serde_json::to_string(session.history().record).unwrap()).unwrap();
    let mut again = super::session();
    steps.iter().try_for_each(|step| again.apply(step, |_| Ok(Flow::Continue))).unwrap();
    assert_eq!(again.labels().unwrap(), session.labels().unwrap());
    assert!(logits(&again, 1, 1).equal(&logits(&session, 1, 1)));
    let restored = Session::restore(MODEL.clone(), volume(), &session.save().unwrap(), Settings::default()).unwrap();
    assert_eq!(restored.describe().unwrap().objects, session.describe().unwrap().objects);
    let mask = Some(Mask { rows: ROWS, columns: COLUMNS, pixels: vec![true; ROWS * COLUMNS] });
    for wrong in [Marks { choice: Some(4), ..marks(1.0, 1.0) }, Marks { choice: Some(1), mask, ..Marks::default() }] {
        assert!(session.prompt(0, 1, wrong).unwrap_err().to_string().contains("choice"));
    }
}
