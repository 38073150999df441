//! Objects as a viewer lists them: names, colours and locks are state like masks; overlaps follow one rule; chosen objects are followed,
//! and no further than they are there.

use super::*;
use sam_octa2_core::io::{self, LabelOptions};
use sam_octa2_core::prompts::Direction;
use sam_octa2_core::session::{Compat, Mask, Notice, Overlap, PropertyChange, Step};

fn named(name: &str) -> PropertyChange {
    PropertyChange { name: Some(name.to_owned()), ..PropertyChange::default() }
}

fn lock(locked: bool) -> PropertyChange {
    PropertyChange { locked: Some(locked), ..PropertyChange::default() }
}

/// Columns `from..to` of the slice.
fn band(from: usize, to: usize) -> Mask {
    let pixels = (0..ROWS * COLUMNS).map(|at| (from..to).contains(&(at % COLUMNS))).collect();
    Mask { rows: ROWS, columns: COLUMNS, pixels }
}

fn with(overlap: Overlap) -> Session {
    Session::new(MODEL.clone(), volume(), Settings { overlap, ..Settings::default() }).unwrap()
}

fn pixels(session: &Session, frame: usize, object: u32) -> Vec<bool> {
    session.mask(frame, object).unwrap().values().unwrap().iter().map(|&logit| logit > 0.0).collect()
}

#[test]
fn properties_are_undone_saved_and_recorded() {
    let mut session = session();
    session.add_points(2, 1, &click(24.5, 29.0, true)).unwrap();
    let all = PropertyChange {
        name: Some("FAZ".to_owned()),
        colour: Some("#ff8000".to_owned()),
        property: Some("faz".to_owned()),
        visible: Some(false),
        locked: Some(true),
    };
    session.set_object(1, &all).unwrap();
    session.set_object(7, &named("a new one")).unwrap();
    assert_eq!(session.objects(), [1, 7]);
    let told = serde_json::to_value(session.object(1).unwrap()).unwrap();
    for (key, value) in [("name", "FAZ"), ("colour", "#ff8000"), ("property", "faz")] {
        assert_eq!(told[key].as_str(), Some(value), "{told}");
    }
    assert_eq!((told["visible"].as_bool(), told["locked"].as_bool()), (Some(false), Some(true)));

    let bytes = session.save().unwrap();
    let restored = Session::restore(MODEL.clone(), volume(), &bytes, Settings::default()).unwrap();
    assert_eq!(restored.describe().unwrap().objects, session.describe().unwrap().objects);

    session
        .set_object(1, &PropertyChange { name: Some(String::new()), locked: Some(false), ..Default::default() })
        .unwrap();
    let changed = session.properties(1).unwrap();
    assert_eq!((changed.name, changed.locked, changed.property.as_deref()), (None, false, Some("faz")));
    session.undo().unwrap();
    assert_eq!(session.properties(1), restored.properties(1));
    session.undo().unwrap();
    assert_eq!(session.objects(), [1], "the new object is undone with its name");
    session.redo().unwrap();
    let steps: Vec<Step> = session.history().record.to_vec();
    let mut again = super::session();
    steps.iter().try_for_each(|step| again.apply(step, |_| Ok(Flow::Continue))).unwrap();
    assert_eq!(again.describe().unwrap().objects, session.describe().unwrap().objects);
}

#[test]
fn properties_that_no_file_could_say_are_refused() {
    let mut session = session();
    let change = |name: &str, colour: &str, property: &str| {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        PropertyChange { name: given(name), colour: given(colour), property: given(property), ..Default::default() }
    };
    let long = "x".repeat(65);
    let wrong = [
        (&*long, "", "", "64 characters"),
        ("a\nb", "", "", "line ends"),
        ("", "red", "", "#rrggbb"),
        ("", "", "vesel", "vessel"),
    ];
    for (name, colour, property, says) in wrong {
        let error = session.set_object(1, &change(name, colour, property)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    for object in [0, 65536] {
        assert!(session.set_object(object, &named("x")).is_err());
    }
    assert!(session.objects().is_empty() && session.history().record.is_empty());
}

#[test]
fn a_locked_object_stays_as_it_is() {
    let mut session = session();
    session.add_mask(2, 1, band(10, 40)).unwrap();
    session.add_mask(2, 2, band(30, 60)).unwrap();
    session.propagate(Range { max_frames: Some(2), ..Range::default() }, |_| Ok(Flow::Continue)).unwrap();
    let kept: Vec<Tensor> = (2..5).map(|frame| logits(&session, frame, 1)).collect();
    session.set_object(1, &PropertyChange { name: Some("FAZ".to_owned()), ..lock(true) }).unwrap();
    let done = session.history().record.len();
    let errors = [
        session.add_points(2, 1, &click(5.0, 5.0, true)).unwrap_err(),
        session.remove_prompt(2, 1, 0).unwrap_err(),
        session.remove_last_prompt(2, 1).unwrap_err(),
        session.clear_slice(2, 1).unwrap_err(),
        session.remove_object(1).unwrap_err(),
        session.reset().unwrap_err(),
        session.propagate(Range { objects: vec![1], ..Range::default() }, |_| Ok(Flow::Continue)).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("object 1 (FAZ) is locked"), "{error}");
    }
    assert_eq!(session.history().record.len(), done, "what is refused is no step");
    // the others go on, also over its slices
    session.add_mask(3, 2, band(0, 100)).unwrap();
    let seen = follow(&mut session, Range { direction: Direction::Both, ..Range::default() });
    assert_eq!(frames_of(&seen, 1), [0usize; 0]);
    assert_eq!(frames_of(&seen, 2).len(), FRAMES);
    for (frame, before) in (2..5).zip(&kept) {
        assert!(logits(&session, frame, 1).equal(before));
        let labels = session.slice_labels(frame).unwrap();
        let inside = pixels(&session, frame, 1);
        assert!(labels.iter().zip(&inside).all(|(label, inside)| !inside || *label == 1), "slice {frame} lost a voxel");
    }
    session.set_object(2, &lock(true)).unwrap();
    let error = session.propagate(Range::default(), |_| Ok(Flow::Continue)).unwrap_err().to_string();
    assert!(error.contains("every object is locked"), "{error}");
    session.set_object(1, &lock(false)).unwrap();
    session.remove_object(1).unwrap();
}

#[test]
fn overlaps_are_decided_by_one_rule() {
    let draw = |session: &mut Session| {
        session.add_mask(2, 1, band(10, 40)).unwrap();
        session.add_mask(2, 2, band(30, 60)).unwrap();
    };
    let mut counted = Vec::new();
    for (overlap, winner) in [(Overlap::Keep, 1), (Overlap::Later, 2)] {
        let mut session = with(overlap);
        draw(&mut session);
        let (first, second) = (pixels(&session, 2, 1), pixels(&session, 2, 2));
        let both = first.iter().zip(&second).filter(|(first, second)| **first && **second).count();
        assert!(both > 0);
        let (labels, decided) = session.decided_labels().unwrap();
        assert_eq!(decided, both);
        let shared =
            labels.frame(2).iter().zip(first.iter().zip(&second)).filter(|(_, (first, second))| **first && **second);
        assert!(shared.clone().all(|(label, _)| *label == winner), "{overlap}");
        counted.push(decided);
        // saved and recorded with the session
        let restored =
            Session::restore(MODEL.clone(), volume(), &session.save().unwrap(), Settings::default()).unwrap();
        assert_eq!(restored.labels().unwrap(), labels);
    }
    assert_eq!(counted[0], counted[1]);
    let mut session = with(Overlap::Forbid);
    session.add_mask(2, 1, band(10, 20)).unwrap();
    session.add_mask(2, 2, band(40, 60)).unwrap();
    session.labels().unwrap();
    session.add_mask(2, 2, band(10, 60)).unwrap();
    let error = session.labels().unwrap_err().to_string();
    assert!(error.contains("object 2 and object 1 share") && error.contains("slice 2"), "{error}");
}

#[test]
fn what_was_drawn_comes_before_what_was_followed() {
    for compat in [Compat::Holding, Compat::Reference] {
        let mut session =
            Session::new(MODEL.clone(), volume(), Settings { compat, overlap: Overlap::Keep, ..Settings::default() })
                .unwrap();
        session.add_mask(2, 1, band(10, 90)).unwrap();
        session.propagate(Range { max_frames: Some(1), ..Range::default() }, |_| Ok(Flow::Continue)).unwrap();
        let followed = pixels(&session, 3, 1);
        session.add_mask(3, 2, band(0, 100)).unwrap();
        let labels = session.slice_labels(3).unwrap();
        let whole = labels.iter().zip(pixels(&session, 3, 2)).all(|(label, inside)| !inside || *label == 2);
        let lost = followed.iter().zip(&labels).any(|(inside, label)| *inside && *label == 1);
        assert!(followed.contains(&true));
        assert_eq!((whole, lost), (compat == Compat::Holding, compat == Compat::Reference));
    }
}

#[test]
fn only_chosen_objects_are_followed() {
    let two = || {
        let mut session = session();
        session.add_points(2, 1, &click(24.5, 29.0, true)).unwrap();
        session.add_points(4, 2, &click(60.0, 40.0, true)).unwrap();
        session
    };
    let (mut all, mut one) = (two(), two());
    let expected = follow(&mut all, Range { direction: Direction::Both, ..Range::default() });
    let seen = follow(&mut one, Range { direction: Direction::Both, objects: vec![2], ..Range::default() });
    assert_eq!(frames_of(&seen, 1), [0usize; 0]);
    assert_eq!(one.frames_of(1), [2]);
    for (frame, object, mask) in seen {
        assert!(expected.iter().any(|(f, o, m)| (*f, *o) == (frame, object) && m.equal(&mask)), "slice {frame}");
    }
    let error = one.propagate(Range { objects: vec![9], ..Range::default() }, |_| Ok(Flow::Continue)).unwrap_err();
    assert!(error.to_string().contains("no object 9"), "{error}");
}

#[test]
fn an_object_that_is_gone_is_followed_no_further() {
    let mut session = session();
    session.add_points(0, 1, &click(24.5, 29.0, true)).unwrap();
    let gone = Some(1e6); // nothing is as sure as that
    let mut last = None;
    let range = Range { patience: Some(2), threshold: gone, ..Range::default() };
    session
        .propagate(range, |slice| {
            last = Some((slice.frame, slice.done, slice.total));
            Ok(Flow::Continue)
        })
        .unwrap();
    assert_eq!(last, Some((2, 3, 3)), "slice, done, total");
    assert_eq!(session.frames_of(1), [0, 1, 2]);
    assert!(!pixels(&session, 1, 1).contains(&true));
    let notices = session.notices().unwrap();
    let lost = notices.iter().find(|told| matches!(told.notice, Notice::Lost { object: 1, first: 1, last: 2, .. }));
    let text = &lost.expect("it was lost").text;
    assert!(text.starts_with("object 1: lost after slice 0 (presence "), "{text}");
    let Some(Step::Propagate { slices, patience, .. }) = session.history().record.last() else { panic!("no step") };
    assert_eq!((*slices, *patience), (None, Some(2)), "it ended by itself");
    // a prompt ahead brings it back
    session.add_points(5, 1, &click(24.5, 29.0, true)).unwrap();
    let seen = follow(&mut session, Range { patience: Some(1), threshold: gone, ..Range::default() });
    assert_eq!(frames_of(&seen, 1), [0, 1, 5, 6]);
    let steps: Vec<Step> = session.history().record.to_vec();
    let mut again = super::session();
    steps.iter().try_for_each(|step| again.apply(step, |_| Ok(Flow::Continue))).unwrap();
    assert_eq!(again.labels().unwrap(), session.labels().unwrap());
    for wrong in
        [Range { patience: Some(0), ..Range::default() }, Range { threshold: Some(f32::NAN), ..Range::default() }]
    {
        assert!(session.propagate(wrong, |_| Ok(Flow::Continue)).is_err());
    }
}

#[test]
fn a_patience_that_is_not_used_up_changes_nothing() {
    let run = |patience, threshold| {
        let mut session = session();
        session.add_points(2, 1, &click(24.5, 29.0, true)).unwrap();
        follow(&mut session, Range { direction: Direction::Both, patience, threshold, ..Range::default() })
    };
    let (plain, patient) = (run(None, None), run(Some(FRAMES), Some(0.0)));
    assert_eq!(plain.len(), patient.len());
    assert!(plain.iter().zip(&patient).all(|(a, b)| (a.0, a.1) == (b.0, b.1) && a.2.equal(&b.2)));
}

#[test]
fn writers_say_what_objects_are() {
    let mut session = session();
    session.add_mask(2, 1, band(10, 40)).unwrap();
    session.add_mask(2, 2, band(60, 80)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |session: &Session, name: &str| {
        let mut options = LabelOptions::default();
        options.segments = session.segments().unwrap();
        io::write_labels_with(&session.labels().unwrap(), folder.path().join(name), &options).unwrap();
    };
    let read = |name: &str| String::from_utf8_lossy(&std::fs::read(folder.path().join(name)).unwrap()).into_owned();
    write(&session, "plain.nii.gz");
    assert!(!folder.path().join("plain.label.txt").exists(), "nothing is known, and nothing is said");
    let change = PropertyChange {
        name: Some("the \"zone\"".to_owned()),
        colour: Some("#102030".to_owned()),
        property: Some("SCT^59820001^Blood Vessel".to_owned()),
        visible: Some(false),
        ..Default::default()
    };
    session.set_object(1, &change).unwrap();
    ["l.nii.gz", "l.seg.nrrd", "l.json"].iter().for_each(|name| write(&session, name));
    let table = read("l.label.txt");
    assert!(table.contains("    1    16   32   48        1  0  0    \"the 'zone'\"\n"), "{table}");
    assert!(table.contains("    2    86  180  233        1  1  1    \"Object 2\"\n"), "{table}");
    let header = read("l.seg.nrrd");
    for line in [
        "Segment0_Name:=the \"zone\"\n",
        "Segment0_Color:=0.062745 0.125490 0.188235\n",
        "SCT^59820001^Blood Vessel",
        "Segment1_Name:=Object 2\n",
    ] {
        assert!(header.contains(line), "{line}");
    }
    let coco: serde_json::Value = serde_json::from_str(&read("l.json")).unwrap();
    assert_eq!(
        coco["categories"][0],
        serde_json::json!({"id": 1, "name": "the \"zone\"", "supercategory": "Blood Vessel", "color": [16, 32, 48]})
    );
    assert_eq!(coco["categories"][1], serde_json::json!({"id": 2, "name": "object 2"}));
    for name in ["l.nii.gz", "l.seg.nrrd", "l.json"] {
        assert_eq!(io::read_labels(folder.path().join(name)).unwrap().data, session.labels().unwrap().data, "{name}");
    }
}
