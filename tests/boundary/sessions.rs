//! Sessions: every verb, one call at a time, cancelling, threads.

use super::interfaces::both;
use super::{clicked, demo_volume, json, mini};
use sam_octa2_abi::{CancelToken, Flow, Form, HostObserver, Mask, Prompt, Slice};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_click_is_answered_and_followed() {
    for (interface, api) in both() {
        let (session, click) = clicked(api);
        let mask = session.mask(2, 1).unwrap();
        let info = json(&mask.info().unwrap());
        assert_eq!((info["frame"].as_u64(), info["object"].as_u64()), (Some(2), Some(1)), "{interface}: {info}");
        let mut seen = Vec::new();
        let mut keep = None;
        session
            .propagate(
                Some(r#"{"direction": "both"}"#),
                &mut |slice: Slice<'_>| {
                    seen.push(slice.frame);
                    keep.get_or_insert_with(|| slice.masks[0].clone());
                    Flow::CONTINUE
                },
                &mut (),
            )
            .unwrap();
        let frames = json(&demo_volume(api).info().unwrap())["shape"][0].as_u64().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (0..frames).collect::<Vec<_>>(), "{interface}");
        assert!(keep.unwrap().info().is_ok(), "{interface}: a mask that was kept lives on");
        // the labels are the masks
        let labels = session.labels(&mut ()).unwrap();
        let stack = labels.view(Form::Labels).unwrap();
        let one = session.mask(2, 1).unwrap().view(Form::Dense).unwrap();
        let plane = one.shape().iter().product::<usize>();
        let slice = &stack.values::<u16>().unwrap()[2 * plane..3 * plane];
        assert!(slice.iter().zip(one.values::<u8>().unwrap()).all(|(&a, &b)| a == u16::from(b)), "{interface}");
        let reply = json(&session.describe().unwrap());
        assert_eq!(reply["objects"][0]["prompted_frames"][0], click.frame, "{interface}: {reply}");
    }
}

#[test]
fn both_doors_give_the_same_bits() {
    let masks = both().map(|(_, api)| {
        let (session, _) = clicked(api);
        session.propagate(None, &mut |_| Flow::CONTINUE, &mut ()).unwrap();
        session.mask(4, 1).unwrap().view(Form::Logits).unwrap().values::<f32>().unwrap().to_vec()
    });
    assert_eq!(masks[0], masks[1]);
}

#[test]
fn corrections_are_taken_back() {
    for (interface, api) in both() {
        let (session, click) = clicked(api);
        let before = session.mask(2, 1).unwrap().view(Form::Logits).unwrap().values::<f32>().unwrap().to_vec();
        let outside = Prompt { labels: vec![0], points: vec![5.0, 5.0], ..click.clone() };
        session.prompt(&outside, &mut ()).unwrap();
        session.remove_prompt(2, 1, None, &mut ()).unwrap();
        let after = session.mask(2, 1).unwrap().view(Form::Logits).unwrap().values::<f32>().unwrap().to_vec();
        assert_eq!(before, after, "{interface}");
        session.prompt(&outside, &mut ()).unwrap();
        session.remove_prompt(2, 1, Some(0), &mut ()).unwrap();
        assert_eq!(session.remove_prompt(2, 1, Some(9), &mut ()).unwrap_err().code, "invalid_argument", "{interface}");
        session.clear_slice(2, 1, &mut ()).unwrap();
        assert_eq!(session.mask(2, 1).unwrap_err().code, "not_found", "{interface}");
        session.remove_object(1).unwrap();
        assert_eq!(session.remove_object(1).unwrap_err().code, "not_found", "{interface}");
        session.prompt(&click, &mut ()).unwrap();
        session.free_caches().unwrap();
        session.encode(1, &mut ()).unwrap();
        session.reset().unwrap();
        assert_eq!(json(&session.describe().unwrap())["objects"].as_array().map(Vec::len), Some(0), "{interface}");
    }
}

#[test]
fn a_place_in_the_patient_is_the_same_as_its_pixel() {
    for (interface, api) in both() {
        let volume = demo_volume(api);
        let session = api.session(&volume, &mini(api), None, &mut ()).unwrap();
        let pixels = Prompt { bounds: vec![10.0, 12.0, 40.0, 44.0], ..Prompt::click(3, 1, [30.0, 20.0]) };
        let place = |x, y| volume.to_patient([x, y, 3.0]).unwrap();
        let patient = Prompt {
            object: 2,
            frame: -1,
            patient: true,
            points: place(30.0, 20.0).to_vec(),
            bounds: [place(10.0, 12.0), place(40.0, 44.0)].concat(),
            ..Prompt::default()
        };
        let masks = [pixels, patient.clone()].map(|prompt| session.prompt(&prompt, &mut ()).unwrap());
        let values = masks.map(|mask| mask.view(Form::Logits).unwrap().values::<f32>().unwrap().to_vec());
        assert!(values[0].iter().zip(&values[1]).all(|(a, b)| (a - b).abs() < 1e-3), "{interface}");
        // the first and the last pixel reach half a pixel farther than their centres
        let whole = [place(-0.5, -0.5), place(255.5, 255.5)];
        let corner = Prompt { points: whole[0].to_vec(), bounds: whole.concat(), ..patient.clone() };
        session.prompt(&corner, &mut ()).unwrap();
        let far = Prompt { points: vec![1e6, 0.0, 0.0], ..patient };
        assert!(session.prompt(&far, &mut ()).unwrap_err().message.contains("outside of the volume"), "{interface}");
    }
}

#[test]
fn a_drawn_mask_is_a_prompt() {
    for (interface, api) in both() {
        let volume = demo_volume(api);
        let size = volume.frame(0).unwrap().shape();
        let session = api.session(&volume, &mini(api), None, &mut ()).unwrap();
        let drawn: Vec<u8> = (0..size[0] * size[1]).map(|at| u8::from(at % size[1] < 20)).collect();
        let prompt = |rows| Prompt {
            object: 1,
            mask: Some((rows, size[0] * size[1] / rows, Arc::new(drawn.clone()))),
            ..Prompt::default()
        };
        session.prompt(&prompt(size[0]), &mut ()).unwrap();
        let wrong = session.prompt(&prompt(size[0] / 2), &mut ()).unwrap_err();
        assert!(wrong.code == "invalid_argument" && wrong.message.contains("mask"), "{interface}: {wrong}");
    }
}

#[test]
fn a_call_from_a_callback_gets_busy() {
    for (interface, api) in both() {
        let (session, click) = clicked(api);
        let mut codes = Vec::new();
        session
            .propagate(
                None,
                &mut |_| {
                    codes.push(session.prompt(&click, &mut ()).unwrap_err().code.to_string());
                    codes.push(session.describe().unwrap_err().code.to_string());
                    Flow::CANCEL
                },
                &mut (),
            )
            .unwrap_err();
        assert_eq!(codes, ["busy", "busy"], "{interface}");
        session.prompt(&click, &mut ()).unwrap();
    }
}

struct CancelAt(u64);

impl HostObserver for CancelAt {
    fn progress(&mut self, _: &str, done: u64, _: u64) -> Flow {
        if done >= self.0 { Flow::CANCEL } else { Flow::CONTINUE }
    }
}

#[test]
fn cancelled_at_any_step_the_session_goes_on() {
    for (interface, api) in both() {
        let (session, click) = clicked(api);
        for step in 1..4 {
            let error = session.propagate(None, &mut |_| Flow::CONTINUE, &mut CancelAt(step)).unwrap_err();
            assert_eq!(error.code, "cancelled", "{interface}, step {step}");
            session.prompt(&click, &mut ()).unwrap();
        }
        let mut slices = 0;
        let stop = &mut |_: Slice<'_>| {
            slices += 1;
            Flow::CANCEL
        };
        assert_eq!(session.propagate(None, stop, &mut ()).unwrap_err().code, "cancelled", "{interface}");
        assert_eq!(slices, 1, "{interface}");
        session.propagate(None, &mut |_| Flow::CONTINUE, &mut ()).unwrap();
    }
}

struct WithToken(CancelToken);

impl HostObserver for WithToken {
    fn cancel_token(&self) -> Option<CancelToken> {
        Some(self.0.clone())
    }
}

#[test]
fn a_token_stops_a_call_from_another_thread() {
    for (interface, api) in both() {
        let token = CancelToken::new();
        // it comes to its end after a minute
        let error = std::thread::scope(|threads| {
            threads.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                token.trigger();
            });
            api.selftest("sleep", &mut WithToken(token.clone())).unwrap_err()
        });
        assert_eq!(error.code, "cancelled", "{interface}");
    }
}

#[test]
fn two_sessions_work_on_two_threads() {
    for (interface, api) in both() {
        let (volume, model) = (demo_volume(api), mini(api));
        let one = |object: u32| {
            let session = api.session(&volume, &model, None, &mut ()).unwrap();
            let mask = session.prompt(&Prompt::click(2, object, [30.0, 30.0]), &mut ()).unwrap();
            mask.view(Form::Logits).unwrap().values::<f32>().unwrap().to_vec()
        };
        let (a, b) = std::thread::scope(|threads| {
            let other = threads.spawn(|| one(1));
            (one(2), other.join().unwrap())
        });
        assert_eq!(a, b, "{interface}");
    }
}

#[test]
fn objects_have_names_and_locks_and_are_chosen() {
    for (door, api) in both() {
        let (session, click) = clicked(api);
        session.prompt(&Prompt { object: 2, ..click.clone() }, &mut ()).unwrap();
        session.set_object(1, r##"{"name": "FAZ", "colour": "#ff8000", "property": "faz", "locked": true}"##).unwrap();
        let object = json(&session.object(1).unwrap());
        assert_eq!((object["name"].as_str(), object["colour"].as_str()), (Some("FAZ"), Some("#ff8000")), "{door}");
        assert_eq!(json(&session.describe().unwrap())["objects"][0], object, "{door}");
        let error = session.prompt(&click, &mut ()).unwrap_err();
        assert!(
            error.code == "invalid_argument" && error.message.contains("object 1 (FAZ) is locked"),
            "{door}: {error}"
        );
        for wrong in [r#"{"colour": "red"}"#, r#"{"nam": "x"}"#] {
            assert_eq!(session.set_object(1, wrong).unwrap_err().code, "invalid_argument", "{door}: {wrong}");
        }
        assert_eq!(session.object(9).unwrap_err().code, "not_found", "{door}");
        let mut seen = Vec::new();
        let range = r#"{"objects": [2], "max_frames": 3, "patience": 1, "threshold": 1000}"#;
        let mut each = |slice: Slice<'_>| {
            seen.push((slice.frame, slice.masks.len(), slice.total));
            Flow::CONTINUE
        };
        session.propagate(Some(range), &mut each, &mut ()).unwrap();
        let first = click.frame as u64;
        assert_eq!(seen, [(first, 1, 4), (first + 1, 1, 2)], "{door}: lost at once, and no further");
        let labels = json(&session.labels(&mut ()).unwrap().info().unwrap());
        let area = json(&session.mask(2, 1).unwrap().info().unwrap())["area"].clone();
        assert_eq!(labels["decided"], area, "{door}: on the clicked slice both have the same mask");
        assert!(session.script(&mut ()).unwrap().contains("session.set_object(1, #{name: \"FAZ\""), "{door}");
        assert!(session.propagate(Some(r#"{"objects": [1]}"#), &mut |_| Flow::CONTINUE, &mut ()).is_err(), "{door}");
    }
}

#[test]
fn a_preview_changes_nothing_and_shows_the_choices() {
    for (door, api) in both() {
        let (session, _) = clicked(api);
        let told = || {
            let told = json(&session.describe().unwrap());
            [&told["objects"], &told["undo"]].map(ToString::to_string)
        };
        let before = told();
        let hover = Prompt::click(4, 3, [120.0, 90.0]);
        let masks = session.preview(&hover, &mut ()).unwrap();
        assert_eq!((masks.len(), told()), (4, before), "{door}");
        let logits = |mask: &Mask| mask.view(Form::Logits).unwrap().values::<f32>().unwrap().to_vec();
        let given = session.prompt(&hover, &mut ()).unwrap();
        assert!(logits(&given) == logits(&masks[0]), "{door}");
        session.undo().unwrap();
        let chosen = session.prompt(&Prompt { choice: 3, ..hover.clone() }, &mut ()).unwrap();
        assert!(logits(&chosen) == logits(&masks[3]), "{door}");
        assert!(session.script(&mut ()).unwrap().contains("choice: 3"), "{door}");
        for wrong in [Prompt { choice: 9, ..hover.clone() }, Prompt { line: vec![1.0], ..hover.clone() }] {
            assert_eq!(session.preview(&wrong, &mut ()).unwrap_err().code, "invalid_argument", "{door}");
        }
        // a scribble is clicks, a polygon a drawn mask
        let line =
            Prompt { points: Vec::new(), line: vec![100.0, 90.0, 120.0, 90.0], line_width: 10.0, ..hover.clone() };
        session.prompt(&line, &mut ()).unwrap();
        let corners = vec![20.0, 20.0, 40.0, 20.0, 40.0, 40.0, 20.0, 40.0];
        let drawn =
            session.prompt(&Prompt { object: 5, points: Vec::new(), polygon: corners, ..hover }, &mut ()).unwrap();
        assert!(json(&drawn.info().unwrap())["area"].as_u64().is_some_and(|area| (300..600).contains(&area)), "{door}");
        let objects = json(&session.describe().unwrap())["objects"].clone();
        let clicks = &objects[1]["prompts"][1]["points"];
        assert_eq!(*clicks, serde_json::json!([[100.0, 90.0], [110.0, 90.0], [120.0, 90.0]]), "{door}");
        assert_eq!(objects[2]["prompts"][0]["mask"], true, "{door}");
    }
}
