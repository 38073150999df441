//! Scripts that call the host, and get what it lends.

use super::interfaces::both;
use super::{demo_volume, json};
use sam_octa2_abi::{HostObserver, Severity};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

fn source(text: &str, args: Value) -> String {
    json!({"source": text, "args": args}).to_string()
}

#[test]
fn values_go_both_ways() {
    for (interface, api) in both() {
        let script = api.script().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let hearing = received.clone();
        script
            .add_function(
                r#"{"name": "ask", "doc": "Asks the user.", "parameters": [{"name": "what"}, {"name": "more", "optional": true}]}"#,
                move |arguments| {
                    hearing.lock().unwrap().push(arguments.to_owned());
                    Ok(r#"{"answer": [1, 2.5, "three", true, null]}"#.to_owned())
                },
            )
            .unwrap();
        let text = r#"let a = viewer::ask("who?", #{x: [1, 2]}); viewer::ask("again"); a.answer[2] + a.answer[0]"#;
        let reply = script.run(&source(text, json!({})), &mut ()).unwrap();
        assert_eq!(super::json(&reply)["result"], "three1", "{interface}");
        assert_eq!(*received.lock().unwrap(), [r#"["who?",{"x":[1,2]}]"#, r#"["again"]"#], "{interface}");
    }
}

#[test]
fn volumes_and_labels_go_as_handles() {
    for (interface, api) in both() {
        let script = Arc::new(api.script().unwrap());
        let id = script.share_volume(&demo_volume(api)).unwrap();
        let shapes = Arc::new(Mutex::new(Vec::new()));
        let (seen, weak) = (shapes.clone(), Arc::downgrade(&script));
        script
            .add_function(r#"{"name": "show", "parameters": [{"name": "what"}]}"#, move |arguments| {
                let script = weak.upgrade().unwrap();
                let what = &json(arguments)[0];
                let id = what["handle"].as_u64().unwrap();
                let response = match what["kind"].as_str().unwrap() {
                    "volume" => script.volume(id).unwrap().info().unwrap(),
                    _ => script.labels(id).unwrap().info().unwrap(),
                };
                seen.lock().unwrap().push(json(&response)["shape"].clone());
                Ok("null".to_owned())
            })
            .unwrap();
        let text = r#"
            let volume = arg("volume");
            let model = load_model(arg("model"), #{config: arg("config")});
            let session = new_session(volume, model);
            session.click(2, 30, 30);
            viewer::show(volume);
            viewer::show(session.labels());
            #{volume: volume, labels: session.labels()}"#;
        let args = json!({"volume": {"handle": id}, "model": super::data("parity/mini21.pt"),
            "config": super::data("parity/mini21.yaml")});
        let result = json(&script.run(&source(text, args), &mut ()).unwrap())["result"].clone();
        assert_eq!(*shapes.lock().unwrap(), [json!([12, 256, 256]), json!([12, 256, 256])], "{interface}");
        let labels = script.labels(result["labels"]["handle"].as_u64().unwrap()).unwrap();
        assert_eq!(json(&labels.info().unwrap())["objects"], json!([1]), "{interface}");
        assert!(
            script.volume(result["labels"]["handle"].as_u64().unwrap()).is_err(),
            "{interface}: labels are no volume"
        );
        assert!(script.labels(9999).is_err(), "{interface}");
    }
}

#[test]
fn an_error_of_the_host_says_where() {
    for (interface, api) in both() {
        let script = api.script().unwrap();
        script.add_function(r#"{"name": "fail"}"#, |_| Err("the interface is closed".to_owned())).unwrap();
        script.add_function(r#"{"name": "panics"}"#, |_| panic!("inside the host")).unwrap();
        script.add_function(r#"{"name": "nonsense"}"#, |_| Ok("{".to_owned())).unwrap();
        let error = script.run(&source("let x = 1;\nviewer::fail()", json!({})), &mut ()).unwrap_err();
        assert!(error.code == "script" && error.message.contains("the interface is closed"), "{interface}: {error}");
        assert_eq!(json(&error.detail_json)["line"], 2, "{interface}: {error:?}");
        let caught = script
            .run(&source("let c = \"\"; try { viewer::fail() } catch (e) { c = e.code } c", json!({})), &mut ())
            .unwrap();
        assert_eq!(json(&caught)["result"], "host", "{interface}");
        assert!(script.run(&source("viewer::panics()", json!({})), &mut ()).is_err(), "{interface}");
        assert!(script.run(&source("viewer::nonsense()", json!({})), &mut ()).is_err(), "{interface}");
        assert!(script.run(&source("viewer::unknown()", json!({})), &mut ()).is_err(), "{interface}");
        assert!(script.run("{}", &mut ()).unwrap_err().message.contains("source"), "{interface}");
    }
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_function_is_released_once() {
    for (interface, api) in both() {
        let count = Arc::new(AtomicUsize::new(0));
        let script = api.script().unwrap();
        let add = |declaration: &str| {
            let dropped = Dropped(count.clone());
            script.add_function(declaration, move |_| {
                let _ = &dropped;
                Ok("1".to_owned())
            })
        };
        add(r#"{"name": "one"}"#).unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 0, "{interface}");
        let refused = [
            r#"{"name": "one"}"#,
            "{",
            r#"{"name": "not a name"}"#,
            r#"{"name": "while"}"#,
            r#"{"name": "x", "extra": 1}"#,
            r#"{"name": "x", "parameters": [{"name": "a", "optional": true}, {"name": "b"}]}"#,
        ];
        for (at, declaration) in refused.iter().enumerate() {
            assert_eq!(add(declaration).unwrap_err().code, "invalid_argument", "{interface}: {declaration}");
            assert_eq!(count.load(Ordering::SeqCst), at + 1, "{interface}: {declaration}");
        }
        script.run(&source("viewer::one()", json!({})), &mut ()).unwrap();
        drop(script);
        assert_eq!(count.load(Ordering::SeqCst), refused.len() + 1, "{interface}");
    }
}

#[derive(Default)]
struct Log(Vec<String>);

impl HostObserver for Log {
    fn log(&mut self, severity: Severity, message: &str) {
        self.0.push(format!("{} {message}", severity.number()));
    }
}

#[test]
fn what_a_script_prints_goes_to_the_host() {
    for (interface, api) in both() {
        let mut log = Log::default();
        api.script().unwrap().run(&source("print(\"hello\"); debug(3)", json!({})), &mut log).unwrap();
        assert_eq!(log.0, ["16 hello", "1 script:1: 3"], "{interface}");
    }
}

#[test]
fn a_run_within_a_run_is_busy() {
    for (interface, api) in both() {
        let script = Arc::new(api.script().unwrap());
        let weak = Arc::downgrade(&script);
        script
            .add_function(r#"{"name": "again"}"#, move |_| {
                let error = weak.upgrade().unwrap().run(&source("1", json!({})), &mut ()).unwrap_err();
                Ok(json!(error.code.as_str()).to_string())
            })
            .unwrap();
        let reply = script.run(&source("viewer::again()", json!({})), &mut ()).unwrap();
        assert_eq!(json(&reply)["result"], "busy", "{interface}");
    }
}
