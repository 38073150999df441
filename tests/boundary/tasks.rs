//! Whole tasks that need no model: done by the library that a viewer opens, without the engine and without libtorch.

use super::interfaces::symbols;
use super::libtorch::{child, folder, says};
use super::{data, json, library};
use sam_octa2_abi::{Api, Flow, HostObserver, Plugin, PluginError};
use serde_json::json;
use std::path::Path;

#[test]
fn tasks_without_a_model_need_neither_engine_nor_libtorch() {
    let alone = folder(None);
    for (library, beside) in [(library(), "true"), (alone.path().join("libsam_octa2.so"), "false")] {
        let scratch = tempfile::tempdir().unwrap();
        let output = child("tasks::does_them_through_both_doors", &library, scratch.path());
        says(&output, &["libtorch: false", &format!("engine: {beside}")]);
    }
}

/// Hears the stages, and cancels at a stage.
#[derive(Default)]
struct Host {
    stages: Vec<String>,
    cancel_at: &'static str,
}

impl HostObserver for Host {
    fn progress(&mut self, stage: &str, done: u64, total: u64) -> Flow {
        assert!(done <= total);
        if self.stages.last().is_none_or(|last| last != stage) {
            self.stages.push(stage.to_owned());
        }
        if stage == self.cancel_at { Flow::CANCEL } else { Flow::CONTINUE }
    }
}

#[test]
#[ignore = "a child of the test above"]
fn does_them_through_both_doors() {
    let library = std::env::var("SAM_OCTA2_TEST_LIBRARY").unwrap();
    let scratch = std::env::var("SAM_OCTA2_TEST_EXTRA").unwrap();
    let (library, scratch) = (Path::new(&library), Path::new(&scratch));
    let plugin = Plugin::load(library).unwrap();
    // Safety: the symbols of `sam_octa2.h`.
    let c = unsafe { Api::from_tables(symbols(library)) };
    type Task<'a> = &'a dyn Fn(&str, &str, &mut Host) -> Result<String, PluginError>;
    let rust = |name: &str, request: &str, host: &mut Host| plugin.task(name, request, host);
    let c = |name: &str, request: &str, host: &mut Host| c.task(name, request, host);
    let interfaces: [(&str, Task<'_>); 2] = [("rust", &rust), ("c", &c)];
    for (interface, task) in interfaces {
        let output = scratch.join(format!("{interface}.npy"));
        check_info(task);
        check_convert(task, &output);
        check_phantom(task, scratch);
        check_errors(task, scratch);
        check_vessels(task, &scratch.join(interface));
    }
    let read = |interface: &str| std::fs::read(scratch.join(format!("{interface}.npy"))).unwrap();
    assert_eq!(read("rust"), read("c"));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    println!("libtorch: {}", maps.contains("libtorch") || maps.contains("libc10") || maps.contains("_engine"));
    // only now
    let engine = plugin.task("models", "{}", &mut ());
    println!("engine: {}", engine.is_ok());
    assert!(engine.is_ok_and(|reply| json(&reply)["report"].is_array()) || !library.with_file_name(ENGINE).exists());

    fn check_info(task: Task<'_>) {
        let mut host = Host::default();
        let request = json!({"input": data("demo/volume.nii.gz")}).to_string();
        let reply = json(&task("info", &request, &mut host).unwrap());
        assert_eq!(reply["report"]["format"], "nifti");
        assert!(reply["text"].as_str().unwrap().contains("spacing"), "{reply}");
        assert_eq!(host.stages, ["open", "range"]);
        let mut host = Host { cancel_at: "range", ..Host::default() };
        assert_eq!(task("info", &request, &mut host).unwrap_err().code, "cancelled");
    }

    fn check_convert(task: Task<'_>, output: &Path) {
        let request = json!({"input": data("demo/volume.nii.gz"), "output": output}).to_string();
        let mut host = Host { cancel_at: "write", ..Host::default() };
        assert_eq!(task("convert", &request, &mut host).unwrap_err().code, "cancelled");
        assert!(!output.exists());
        let mut host = Host::default();
        let reply = json(&task("convert", &request, &mut host).unwrap());
        assert_eq!(reply["report"]["output"], json!(output));
        assert_eq!(host.stages, ["open", "write"]);
        assert!(output.is_file());
    }

    fn check_phantom(task: Task<'_>, scratch: &Path) {
        let [out, labels] = ["phantom.npy", "truth.npy"].map(|name| scratch.join(name));
        let options = json!({"size": 64, "slices": 2, "seed": 5});
        let request = json!({"options": options, "out": out, "labels": labels}).to_string();
        let mut host = Host::default();
        let reply = json(&task("phantom", &request, &mut host).unwrap());
        assert_eq!(reply["report"]["shape"], json!([2, 64, 64]));
        assert!(reply["text"].as_str().unwrap().contains("seed 5"), "{reply}");
        assert_eq!(host.stages, ["phantom", "write"]);
        assert!(out.is_file() && labels.is_file());
    }

    /// A mask to vessels, measured, exported.
    fn check_vessels(task: Task<'_>, folder: &Path) {
        let does = |name: &str, request: serde_json::Value| {
            json(&task(name, &request.to_string(), &mut Host::default()).unwrap())["report"].clone()
        };
        let vessels = folder.join("v.nii.gz");
        let response =
            does("vessels", json!({"map": data("measure/tree.png"), "trees": {"least": 50}, "output": vessels}));
        assert!(response["vessels"].as_array().is_some_and(|found| !found.is_empty()), "{response}");
        let options = json!({"spacing": [0.01, 0.01, 0.01], "eye": "right"});
        let request = json!({"labels": vessels, "options": options, "write": {"html": folder.join("r.html")}});
        let response = does("measure", request.clone());
        assert_eq!(response["projected"]["regions"][0]["region"], "whole");
        assert!(folder.join("r.html").is_file());
        let mut host = Host { cancel_at: "measure", ..Host::default() };
        assert_eq!(task("measure", &request.to_string(), &mut host).unwrap_err().code, "cancelled");
        let crop = json!({"input": data("measure/tree.png"), "crop": "0,0,120,120", "sample": 10301, "root": folder});
        let error = task("export_octa500", &crop.to_string(), &mut Host::default()).unwrap_err();
        assert_eq!(error.message, "nothing to export: no slice has a vessel or a FAZ");
    }

    fn check_errors(task: Task<'_>, scratch: &Path) {
        let damaged = scratch.join("damaged.tif");
        std::fs::write(&damaged, b"II*\0\xff\xff\xff\xff").unwrap();
        let gone = json!({"input": scratch.join("gone.nii")}).to_string();
        let damaged = json!({"input": damaged}).to_string();
        for (name, request, code, text) in [
            ("info", gone.as_str(), "not_found", "gone.nii"),
            ("info", &damaged, "format", "damaged.tif"),
            ("info", "{", "invalid_argument", "the request of the task `info`"),
            ("convert", &gone, "invalid_argument", "output"),
            (
                "info",
                r#"{"input": "a.nii", "corp": "0,0,8,8"}"#,
                "invalid_argument",
                "unknown key `corp`; did you mean `crop`?",
            ),
            ("phantom", r#"{"out": "p.npy", "options": {"size": 1}}"#, "invalid_argument", "size is 1"),
            ("phantom", r#"{"options": {}}"#, "invalid_argument", "missing field `out`"),
            ("magic", "{}", "not_found", "there are info, convert, phantom, vessels, measure"),
        ] {
            let error = task(name, request, &mut Host::default()).unwrap_err();
            assert!(error.code == code && error.message.contains(text), "{name}: {error:?}");
            assert!(!error.message.contains('\n'), "{error}");
        }
    }
}

/// Beside the library or not.
const ENGINE: &str = "libsam_octa2_engine.so";
