//! JSON that hosts give: what nobody knows is refused wherever it stands, with the nearest name; a script's roots grant what they name and no more.

use super::interfaces::both;
use super::{clicked, data, demo_volume, json, mini};
use sam_octa2_abi::{Api, Flow, PluginError};
use serde_json::{Value, json};

/// Every option of every call, with one letter wrong.
fn wrong(api: Api) -> Vec<(&'static str, &'static str, PluginError)> {
    let (session, _) = clicked(api);
    let (labels, script) = (session.labels(&mut ()).unwrap(), api.script().unwrap());
    let demo = data("demo/volume.nii.gz");
    let host = &mut ();
    let model = |extra: &str| format!(r#"{{"model": "{}", {extra}: "cpu"}}"#, data("parity/mini21.pt"));
    let open = |options: &str| api.open_volume(&demo, Some(options), &mut ()).map(drop).unwrap_err();
    let make =
        |options: &str| api.session(&demo_volume(api), &mini(api), Some(options), &mut ()).map(drop).unwrap_err();
    let run = |request: &str| script.run(request, &mut ()).map(drop).unwrap_err();
    let task = |name: &str, request: Value| api.task(name, &request.to_string(), &mut ()).map(drop).unwrap_err();
    let follow = |range: &str| session.propagate(Some(range), &mut |_| Flow::CONTINUE, &mut ()).unwrap_err();
    vec![
        ("devise", "device", api.load_model(&model("\"devise\""), host).map(drop).unwrap_err()),
        ("presicion", "precision", api.load_model(&model("\"presicion\""), host).map(drop).unwrap_err()),
        ("corp", "crop", open(r#"{"corp": "0,0,8,8"}"#)),
        ("spaceing", "spacing", open(r#"{"spaceing": [1, 1, 1]}"#)),
        ("windo", "window", make(r#"{"windo": "auto"}"#)),
        ("history_byte", "history_bytes", make(r#"{"history_byte": 1}"#)),
        ("directon", "direction", follow(r#"{"directon": "both"}"#)),
        (
            "propertys",
            "properties",
            labels.write("/nowhere/x.dcm", Some(r#"{"propertys": ["vessel"]}"#), &mut ()).unwrap_err(),
        ),
        ("sorce", "source", run(r#"{"sorce": "1"}"#)),
        ("sekonds", "seconds", run(r#"{"source": "1", "limits": {"sekonds": 1}}"#)),
        ("reed", "read", run(r#"{"source": "1", "roots": {"reed": []}}"#)),
        (
            "parameter",
            "parameters",
            script.add_function(r#"{"name": "f", "parameter": []}"#, |_| Ok(String::new())).unwrap_err(),
        ),
        (
            "option",
            "optional",
            script
                .add_function(r#"{"name": "f", "parameters": [{"name": "a", "option": true}]}"#, |_| Ok(String::new()))
                .unwrap_err(),
        ),
        ("corp", "crop", task("info", json!({"input": demo, "corp": "0,0,8,8"}))),
        (
            "devise",
            "device",
            task("segment", json!({"input": demo, "model": "tiny", "prompts": "p.json", "devise": "cpu"})),
        ),
        ("reed", "read", task("script", json!({"source": "1", "roots": {"reed": []}}))),
        ("weights_dir", "weights_dirs", task("models", json!({"weights_dir": []}))),
        (
            "epoch",
            "epochs",
            task(
                "fine_tune",
                json!({"model": {"model": "tiny"}, "data": {"phantoms": {}}, "run": {"epoch": 3}, "output": "o"}),
            ),
        ),
    ]
}

#[test]
fn a_key_that_nobody_knows_is_refused_with_the_nearest() {
    for (interface, api) in both() {
        for (key, nearest, error) in wrong(api) {
            assert_eq!(error.code, "invalid_argument", "{interface}, {key}: {error}");
            let response = format!("unknown key `{key}`; did you mean `{nearest}`?");
            let deep = format!(".{key}`; did you mean `{nearest}`?");
            assert!(error.message.contains(&response) || error.message.contains(&deep), "{interface}, {key}: {error}");
            let detail = json(&error.detail_json);
            assert_eq!(detail["nearest"], nearest, "{interface}, {key}: {detail}");
            assert!(detail["key"].as_str().unwrap().ends_with(key), "{interface}, {key}: {detail}");
        }
        let named = api.open_volume("a.nii", Some(r#"{"input": "b.nii"}"#), &mut ()).map(drop).unwrap_err();
        assert!(named.code == "invalid_argument" && named.message.contains("input"), "{interface}: {named}");
    }
}

#[test]
fn roots_grant_what_they_name_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("in.json"), "[7]").unwrap();
    std::fs::write(outside.path().join("in.json"), "[7]").unwrap();
    let source = r#"
        let did = [];
        for folder in [arg("inside"), arg("outside")] {
            try { read_json(folder + "/in.json"); did.push("read"); } catch (e) { did.push(e.code); }
            try { write_json(folder + "/out.json", [1]); did.push("written"); } catch (e) { did.push(e.code); }
        }
        did"#;
    let inside = folder.path().display().to_string();
    let args = json!({"inside": inside, "outside": outside.path()});
    for (interface, api) in both() {
        let all = |result: Value| {
            let all: Vec<String> = serde_json::from_value(result).unwrap();
            all.join(" ")
        };
        for (roots, expected) in [
            (json!({}), "refused refused refused refused"),
            (json!({"read": [], "write": []}), "refused refused refused refused"),
            (json!({"read": [inside]}), "read refused refused refused"),
            (json!({"write": [inside]}), "read written refused refused"),
            (json!({"read": [inside], "write": null}), "read refused refused refused"),
            (json!({"read": null}), "refused refused refused refused"),
            (json!(null), "read written read written"),
        ] {
            let mut request = json!({"source": source, "args": args, "roots": roots});
            let run = json(&api.script().unwrap().run(&request.to_string(), &mut ()).unwrap());
            assert_eq!(all(run["result"].clone()), expected, "{interface}: {roots}");
            let task = json(&api.task("script", &request.to_string(), &mut ()).unwrap());
            assert_eq!(all(task["report"]["result"].clone()), expected, "{interface}, task: {roots}");
            request.as_object_mut().unwrap().remove("roots");
        }
    }
}

#[test]
fn errors_say_what_they_are_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("damaged.nii"), b"no header").unwrap();
    for (interface, api) in both() {
        let (session, click) = clicked(api);
        let detail = |error: PluginError| (error.code.to_string(), json(&error.detail_json));
        let opened = |name: &str| detail(api.open_volume(&path(name), None, &mut ()).map(drop).unwrap_err());
        let (code, about) = opened("gone.nii");
        assert_eq!(
            (code.as_str(), about["file"].as_str()),
            ("not_found", Some(path("gone.nii").as_str())),
            "{interface}"
        );
        let (code, about) = opened("damaged.nii");
        assert_eq!(
            (code.as_str(), about["file"].as_str()),
            ("format", Some(path("damaged.nii").as_str())),
            "{interface}"
        );
        let invalid = |about| ("invalid_argument".to_owned(), about);
        let missing = |about| ("not_found".to_owned(), about);
        let far = sam_octa2_abi::Prompt { frame: 99, ..click.clone() };
        let none_there = invalid(json!({"frame": 99, "object": 1}));
        assert_eq!(detail(session.prompt(&far, &mut ()).map(drop).unwrap_err()), none_there, "{interface}");
        let outside = sam_octa2_abi::Prompt { points: vec![-9.0, 3.0], ..click.clone() };
        let place_2 = json!({"frame": 2, "object": 1});
        assert_eq!(
            detail(session.prompt(&outside, &mut ()).map(drop).unwrap_err()),
            invalid(place_2.clone()),
            "{interface}"
        );
        assert_eq!(detail(session.remove_prompt(2, 1, Some(9), &mut ()).unwrap_err()), invalid(place_2), "{interface}");
        assert_eq!(
            detail(session.remove_prompt(99, 1, None, &mut ()).unwrap_err()),
            invalid(json!({"frame": 99})),
            "{interface}"
        );
        assert_eq!(
            detail(session.clear_slice(99, 1, &mut ()).unwrap_err()),
            invalid(json!({"frame": 99})),
            "{interface}"
        );
        assert_eq!(detail(session.encode(99, &mut ()).unwrap_err()), invalid(json!({"frame": 99})), "{interface}");
        assert_eq!(detail(session.mask(99, 1).map(drop).unwrap_err()), invalid(json!({"frame": 99})), "{interface}");
        let none = session.mask(3, 1).map(drop).unwrap_err();
        assert_eq!(detail(none), missing(json!({"frame": 3, "object": 1})), "{interface}");
        assert_eq!(detail(session.remove_object(5).unwrap_err()), missing(json!({"object": 5})), "{interface}");
        let request = json!({"input": path("gone.nii")}).to_string();
        let (_, about) = detail(api.task("info", &request, &mut ()).unwrap_err());
        assert_eq!(about["file"].as_str(), Some(path("gone.nii").as_str()), "{interface}");
        assert_eq!(json(&session.describe().unwrap())["undo"], 1, "{interface}: a refusal is no step");
    }
}

#[test]
fn scripts_hear_the_same_refusals() {
    let source = r#"
        let session = new_session(open_volume(arg("input")), load_model(arg("model"), #{config: arg("config")}));
        session.click(0, 30, 30);
        let codes = [];
        let tries = [|s| s.clear(999, 1), |s| s.clear(0, 9), |s| s.remove_prompt(999, 1), |s| s.remove(9), |s| s.click(999, 3, 3)];
        for verb in tries { try { verb.call(session); codes.push("fine") } catch (e) { codes.push(e.code) } }
        #{codes: codes, steps: session.history().record.len()}"#;
    let args = json!({"input": data("demo/volume.nii.gz"), "model": data("parity/mini21.pt"), "config": data("parity/mini21.yaml")});
    for (interface, api) in both() {
        let reply = api.script().unwrap().run(&json!({"source": source, "args": args}).to_string(), &mut ()).unwrap();
        let expected = ["invalid_argument", "not_found", "invalid_argument", "not_found", "invalid_argument"];
        assert_eq!(json(&reply)["result"], json!({"codes": expected, "steps": 1}), "{interface}");
    }
}
