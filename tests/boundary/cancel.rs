//! Every long call ends at the very step of its work at which the host asks it to, and what it worked on is as good as before. Steps are counted,
//! not seconds: an eager host hears of each.

use super::interfaces::both;
use super::{data, demo_volume, json, mini};
use sam_octa2_abi::{Api, CancelToken, Flow, HostObserver, Plugin, PluginError, Prompt};
use serde_json::{Value, json};
use std::path::Path;

/// Counts the steps, and stops at one: with its token, or by its answer.
struct Host {
    token: Option<CancelToken>,
    stop_at: usize,
    received: usize,
}

impl HostObserver for Host {
    fn progress(&mut self, _: &str, _: u64, _: u64) -> Flow {
        self.received += 1;
        match (&self.token, self.received == self.stop_at) {
            (Some(token), true) => {
                token.trigger();
                Flow::CONTINUE
            }
            (None, true) => Flow::CANCEL,
            _ => Flow::CONTINUE,
        }
    }

    fn cancel_token(&self) -> Option<CancelToken> {
        self.token.clone()
    }
}

/// Runs a call to its end, and stops it at several steps in between. `least`: as many steps it has at least.
fn stops(name: &str, least: usize, call: &mut dyn FnMut(&mut Host) -> Result<(), PluginError>) {
    let mut whole = Host { token: None, stop_at: usize::MAX, received: 0 };
    call(&mut whole).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert!(whole.received >= least, "{name}: {} steps", whole.received);
    for stop_at in [1, whole.received / 4, whole.received / 2] {
        for token in [None, Some(CancelToken::new())] {
            let by = if token.is_some() { "token" } else { "answer" };
            let mut host = Host { token, stop_at: stop_at.max(1), received: 0 };
            let error = call(&mut host).expect_err(name);
            assert_eq!(error.code, "cancelled", "{name}, {by}, step {stop_at}: {error}");
            assert_eq!(host.received, host.stop_at, "{name}, {by}: went on after step {stop_at}");
        }
    }
}

fn eager(api: Api) {
    api.selftest("eager", &mut ()).unwrap();
}

fn model_request() -> Value {
    json!({"model": data("parity/mini21.pt"), "model_config": data("parity/mini21.yaml"), "device": "cpu"})
}

/// Some objects on one slice, so that a slice of a propagation is long.
fn objects(api: Api, count: u32) -> sam_octa2_abi::Session {
    let session = api.session(&demo_volume(api), &mini(api), None, &mut ()).unwrap();
    for object in 1..=count {
        session.prompt(&Prompt::click(0, object, [30.0 + f64::from(object), 30.0]), &mut ()).unwrap();
    }
    session
}

#[test]
fn a_prompt_and_an_encoding_stop_inside() {
    for (interface, api) in both() {
        eager(api);
        let session = objects(api, 1);
        let logits = |session: &sam_octa2_abi::Session| {
            let mask = session.prompt(&Prompt::click(5, 2, [60.0, 60.0]), &mut ()).unwrap();
            session.remove_prompt(5, 2, None, &mut ()).unwrap();
            mask.view(sam_octa2_abi::Form::Logits).unwrap().values::<f32>().unwrap().to_vec()
        };
        let expected = logits(&session);
        let steps = || json(&session.describe().unwrap())["undo"].clone();
        let before = steps();
        stops(&format!("{interface}: prompt"), 20, &mut |host| {
            session.free_caches().unwrap();
            session.prompt(&Prompt::click(5, 2, [60.0, 60.0]), host)?;
            session.remove_prompt(5, 2, None, &mut ())
        });
        stops(&format!("{interface}: encode"), 15, &mut |host| {
            session.free_caches().unwrap();
            session.encode(7, host)
        });
        assert_eq!(
            steps().as_u64().unwrap(),
            before.as_u64().unwrap() + 2,
            "{interface}: only what came to its end is a step"
        );
        assert!(logits(&session) == expected, "{interface}: the session goes on as if nothing had happened");
    }
}

#[test]
fn what_a_session_gives_stops_inside() {
    for (interface, api) in both() {
        eager(api);
        let session = objects(api, 3);
        session.propagate(None, &mut |_| Flow::CONTINUE, &mut ()).unwrap();
        stops(&format!("{interface}: labels"), 12, &mut |host| session.labels(host).map(drop));
        stops(&format!("{interface}: save"), 30, &mut |host| session.save(host).map(drop));
        stops(&format!("{interface}: script"), 12, &mut |host| session.script(host).map(drop));
        let (volume, model, state) = (demo_volume(api), mini(api), session.save(&mut ()).unwrap());
        let state = state.values::<u8>().unwrap();
        stops(&format!("{interface}: restore"), 30, &mut |host| {
            api.restore(&volume, &model, state, None, host).map(drop)
        });
        let labels = session.labels(&mut ()).unwrap();
        stops(&format!("{interface}: run lengths"), 12, &mut |host| labels.rle(host).map(drop));
    }
}

#[test]
fn a_propagation_stops_inside_a_slice() {
    for (interface, api) in both() {
        eager(api);
        let session = objects(api, 4);
        let follow = |host: &mut Host| {
            let mut slices = 0;
            let result = session.propagate(
                Some(r#"{"max_frames": 2}"#),
                &mut |_| {
                    slices += 1;
                    Flow::CONTINUE
                },
                host,
            );
            (slices, result)
        };
        let mut first = Host { token: None, stop_at: 1, received: 0 };
        let (slices, result) = follow(&mut first);
        assert_eq!(
            (slices, result.unwrap_err().code.as_str()),
            (0, "cancelled"),
            "{interface}: before the first slice"
        );
        let mut whole = Host { token: None, stop_at: usize::MAX, received: 0 };
        assert_eq!(follow(&mut whole).0, 3, "{interface}");
        assert!(whole.received > 3 * 4 * 10, "{interface}: {} steps in three slices", whole.received);
        stops(&format!("{interface}: propagate"), 3 * 4 * 10, &mut |host| {
            let (slices, result) = follow(host);
            assert!(result.is_ok() || slices < 3, "{interface}: {slices} slices, and stopped");
            result
        });
        let labels = session.labels(&mut ()).unwrap();
        assert_eq!(json(&labels.info().unwrap())["shape"], json!([12, 256, 256]), "{interface}");
    }
}

#[test]
fn a_call_within_a_stopped_call_is_not_stopped() {
    for (interface, api) in both() {
        eager(api);
        let (session, other) = (objects(api, 1), objects(api, 1));
        let token = CancelToken::new();
        let mut host = Host { token: Some(token.clone()), stop_at: usize::MAX, received: 0 };
        let mut within = None;
        let stopped = session.propagate(
            None,
            &mut |slice| {
                token.trigger();
                let asked = other.prompt(&Prompt::click(3, 2, [60.0, 60.0]), &mut ());
                within = Some((asked.map(drop), slice.masks[0].info().map(drop), other.labels(&mut ()).map(drop)));
                Flow::CONTINUE
            },
            &mut host,
        );
        assert_eq!(stopped.unwrap_err().code, "cancelled", "{interface}");
        assert_eq!(within, Some((Ok(()), Ok(()), Ok(()))), "{interface}");
    }
}

#[test]
fn files_and_models_stop_while_they_are_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    for (interface, api) in both() {
        eager(api);
        let request = model_request().to_string();
        stops(&format!("{interface}: load_model"), 20, &mut |host| api.load_model(&request, host).map(drop));
        let demo = data("demo/volume.nii.gz");
        stops(&format!("{interface}: open_volume"), 2, &mut |host| api.open_volume(&demo, None, host).map(drop));
        let (volume, output) = (demo_volume(api), folder.path().join("copy.nii.gz").display().to_string());
        stops(&format!("{interface}: write"), 2, &mut |host| volume.write(&output, host));
    }
    leaves_nothing(folder.path());
}

#[test]
fn scripts_stop_inside_native_calls() {
    for (interface, api) in both() {
        eager(api);
        let script = api.script().unwrap();
        let source = r#"let session = new_session(open_volume(arg("input")), load_model(arg("model"), #{config: arg("config")}));
            progress("script", 0, 1); session.click(0, 30, 30); session.propagate(#{max_frames: 2})"#;
        let args = json!({"input": data("demo/volume.nii.gz"), "model": data("parity/mini21.pt"), "config": data("parity/mini21.yaml")});
        let request = json!({"source": source, "args": args}).to_string();
        stops(&format!("{interface}: script"), 60, &mut |host| script.run(&request, host).map(drop));
    }
}

#[test]
fn tasks_stop_and_keep_what_is_done() {
    let plugin = Plugin::load(&super::library()).unwrap();
    let [(_, rust), (_, c)] = both();
    type Task<'a> = &'a dyn Fn(&str, &str, &mut Host) -> Result<String, PluginError>;
    let through_rust = |name: &str, request: &str, host: &mut Host| plugin.task(name, request, host);
    let through_c = |name: &str, request: &str, host: &mut Host| c.task(name, request, host);
    eager(rust);
    for (interface, task, token) in [("rust", &through_rust as Task<'_>, false), ("c", &through_c, true)] {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let input = data("demo/volume.nii.gz");
        let with = |mut request: Value, more: Value| {
            let more = more.as_object().cloned().unwrap_or_default();
            request.as_object_mut().unwrap().extend(more);
            request.to_string()
        };
        let volume = json!({"input": input});
        let segment =
            with(with_model(&volume), json!({"prompts": data("demo/prompts.json"), "out": file("labels.nii.gz")}));
        let tasks: [(&str, String, usize); 6] = [
            ("segment", segment.clone(), 200),
            ("export", with(model_request(), json!({"output": file("tiny.pt")})), 20),
            ("convert", with(volume.clone(), json!({"output": file("copy.npy")})), 10),
            ("phantom", json!({"out": file("p.npy"), "options": {"size": 64, "slices": 2}}).to_string(), 5),
            ("vessels", json!({"map": data("measure/tree.png"), "output": file("v.nii.gz")}).to_string(), 20),
            ("measure", measured(&file("v.nii.gz")), 20),
        ];
        for (name, request, least) in &tasks {
            let mut tried = |host: &mut Host| {
                if !token {
                    host.token = None; // a task through the Rust interface has none
                }
                task(name, request, host).map(drop)
            };
            stops(&format!("{interface}: {name}"), *least, &mut tried);
        }
        // stopped in the middle of the propagation: the slices until then are in a file beside `out`, which stays
        let before = std::fs::read(file("labels.nii.gz")).unwrap();
        let mut whole = Host { token: None, stop_at: usize::MAX, received: 0 };
        task("segment", &segment, &mut whole).unwrap();
        let mut host = Host { token: None, stop_at: whole.received * 3 / 4, received: 0 };
        let error = task("segment", &segment, &mut host).unwrap_err();
        let detail = json(&error.detail_json);
        let kept = file("labels.partial.nii.gz");
        assert_eq!(
            (error.code.as_str(), detail["kept"].as_str()),
            ("cancelled", kept.to_str()),
            "{interface}: {error}"
        );
        assert!(detail["done"].as_u64().unwrap() > 0 && kept.is_file(), "{interface}: {error}");
        assert_eq!(std::fs::read(file("labels.nii.gz")).unwrap(), before, "{interface}");
        leaves_nothing(folder.path());
    }
}

fn with_model(volume: &Value) -> Value {
    let mut request = model_request();
    request.as_object_mut().unwrap().extend(volume.as_object().cloned().unwrap());
    request
}

fn measured(labels: &Path) -> String {
    json!({"labels": labels, "options": {"spacing": [0.01, 0.01, 0.01], "eye": "right"}}).to_string()
}

/// No file of a stopped call lies about.
fn leaves_nothing(folder: &Path) {
    let names = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".sam-octa2-")).collect();
    assert!(left.is_empty(), "{left:?}");
}
