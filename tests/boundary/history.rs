//! Undo, redo and the record, through both interfaces.

use super::interfaces::both;
use super::{clicked, data, demo_volume, json, mini};
use sam_octa2_abi::{Api, Flow, Form, Prompt, Session};
use serde_json::json;

fn labels(session: &Session) -> Vec<u16> {
    session.labels(&mut ()).unwrap().view(Form::Labels).unwrap().values::<u16>().unwrap().to_vec()
}

#[test]
fn steps_go_back_and_forth() {
    for (interface, api) in both() {
        let (session, click) = clicked(api);
        let one = labels(&session);
        session.propagate(Some(r#"{"max_frames": 2}"#), &mut |_| Flow::CONTINUE, &mut ()).unwrap();
        let tracked = labels(&session);
        assert_ne!(one, tracked, "{interface}");
        session.prompt(&Prompt { frame: 3, points: vec![5.0, 5.0], labels: vec![0], ..click }, &mut ()).unwrap();
        session.remove_prompt(3, 1, None, &mut ()).unwrap(); // removes the prompt, which is a step
        assert_eq!(labels(&session), tracked, "{interface}");
        assert_eq!(json(&session.undo().unwrap())["op"], "remove_prompt", "{interface}");
        assert_eq!(json(&session.undo().unwrap())["text"], "slice 3, object 1: 1 point", "{interface}");
        assert_eq!(json(&session.undo().unwrap())["op"], "propagate", "{interface}");
        assert_eq!(labels(&session), one, "{interface}");
        assert_eq!(json(&session.redo().unwrap())["max_frames"], 2, "{interface}");
        assert_eq!(labels(&session), tracked, "{interface}");
        let response = json(&session.history().unwrap());
        let lengths = ["done", "undone", "record"].map(|key| response[key].as_array().unwrap().len());
        assert_eq!((lengths, &response["undo"]), ([2, 2, 8], &json!(2)), "{interface}: {response}");
        session.reset().unwrap();
        assert_eq!(session.redo().unwrap_err().code, "invalid_argument", "{interface}");
        session.undo().unwrap();
        assert_eq!(labels(&session), tracked, "{interface}: a reset is undone, too");
    }
}

/// The labels that a script ends with.
fn run(api: Api, source: &str, input: serde_json::Value) -> Vec<u16> {
    let script = api.script().unwrap();
    let shared = script.share_volume(&demo_volume(api)).unwrap();
    let input = if input.is_null() { json!({"handle": shared}) } else { input };
    let reply = script.run(&json!({"source": source, "args": {"input": input}}).to_string(), &mut ()).unwrap();
    let id = json(&reply)["result"]["handle"].as_u64().unwrap();
    script.labels(id).unwrap().view(Form::Labels).unwrap().values::<u16>().unwrap().to_vec()
}

#[test]
fn the_script_of_a_session_gives_its_labels() {
    for (interface, api) in both() {
        let (session, click) = clicked(api);
        session
            .propagate(None, &mut |slice| if slice.done < 4 { Flow::CONTINUE } else { Flow::CANCEL }, &mut ())
            .unwrap_err();
        session.prompt(&Prompt { object: 2, points: vec![60.3, 70.7], ..click }, &mut ()).unwrap();
        let text = session.script(&mut ()).unwrap();
        assert_eq!(run(api, &text, json!(data("demo/volume.nii.gz"))), labels(&session), "{interface}: from its file");
        assert_eq!(run(api, &text, json!(null)), labels(&session), "{interface}: the viewer's own volume");
        // restored from bytes, it is the same session with the same record
        let state = session.save(&mut ()).unwrap();
        let restored =
            api.restore(&demo_volume(api), &mini(api), state.values::<u8>().unwrap(), None, &mut ()).unwrap();
        assert_eq!(restored.script(&mut ()).unwrap(), text, "{interface}");
    }
}

#[test]
fn a_busy_session_has_no_history_to_tell() {
    for (interface, api) in both() {
        let (session, _) = clicked(api);
        let mut codes = Vec::new();
        let ask = &mut |_: sam_octa2_abi::Slice<'_>| {
            codes.push(session.undo().unwrap_err().code.to_string());
            codes.push(session.script(&mut ()).unwrap_err().code.to_string());
            Flow::CANCEL
        };
        session.propagate(None, ask, &mut ()).unwrap_err();
        assert_eq!(codes, ["busy", "busy"], "{interface}");
    }
}
