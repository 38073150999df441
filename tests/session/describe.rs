//! What a viewer shows beside the picture: probabilities, and what is in a session.

use super::*;
use sam_octa2_core::session::{Marks, Mask};

#[test]
fn probabilities_are_the_logits_through_a_sigmoid() {
    let mut session = session();
    let logits = session.add_points(0, 1, &click(24.5, 29.0, true)).expect("click").logits;
    let probability = session.probability(0, 1).expect("probability");
    assert_eq!(probability.len(), ROWS * COLUMNS);
    let logits = Vec::<f32>::try_from(logits.flatten(0, -1)).expect("logits");
    for (p, logit) in probability.iter().zip(logits) {
        assert!((p - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6, "{p} of {logit}");
        assert_eq!(*p > 0.5, logit > 0.0);
    }
    assert!(session.probability(1, 1).is_err() && session.probability(0, 2).is_err());
}

#[test]
fn a_session_describes_itself() {
    let mut session = session();
    assert!(session.describe().unwrap().objects.is_empty());
    session.add_points(2, 5, &click(24.5, 29.0, true)).expect("click");
    let marks = Marks {
        points: click(60.25, 60.0, false).to_vec(),
        bounds: Some([10.0, 10.0, 90.0, 70.0]),
        mask: Some(Mask { rows: ROWS, columns: COLUMNS, pixels: vec![true; ROWS * COLUMNS] }),
        replace: true,
        ..Marks::default()
    };
    session.prompt(2, 5, marks).expect("mixture");
    session.add_box(4, 3, [10.0, 10.0, 50.0, 50.0]).expect("box");
    follow(&mut session, Range { max_frames: Some(1), ..Range::default() });
    let info = session.describe().unwrap();
    assert_eq!((info.encoded_slices, info.bytes_on_disk), (4, 0));
    assert_eq!((info.bytes_in_memory, info.bytes_on_disk), session.bytes());
    let reply = serde_json::to_value(&info).expect("json");
    assert_eq!(reply["shape"], serde_json::json!([FRAMES, ROWS, COLUMNS, 1]));
    assert_eq!((reply["compat"].as_str(), reply["intensity"].as_str()), (Some("holding"), Some("auto")));
    assert_eq!(reply["model"].as_str(), Some(MODEL.fingerprint()));
    assert_eq!(reply["window"], serde_json::json!({"low": 0.0, "high": 255.0}));
    let expected = serde_json::json!([
        {"id": 5, "prompted_frames": [2], "frames": [2, 3], "prompts": [
            {"frame": 2, "points": [[24.5, 29.0]], "labels": [1], "box": null, "mask": false, "replace": false},
            {"frame": 2, "points": [[60.25, 60.0]], "labels": [0], "box": [10.0, 10.0, 90.0, 70.0], "mask": true,
             "replace": true}]},
        {"id": 3, "prompted_frames": [4], "frames": [4, 5], "prompts": [
            {"frame": 4, "points": [], "labels": [], "box": [10.0, 10.0, 50.0, 50.0], "mask": false, "replace": false}]},
    ]);
    let mut objects = reply["objects"].clone();
    for object in objects.as_array_mut().unwrap() {
        let object = object.as_object_mut().unwrap();
        let properties = ["name", "colour", "property", "visible", "locked"].map(|key| object.remove(key).unwrap());
        assert_eq!(properties[3..], [serde_json::json!(true), serde_json::json!(false)]);
        assert!(properties[1].as_str().unwrap().starts_with('#') && properties[0].is_null());
    }
    assert_eq!(objects, expected);
}
