//! `segment` and `replay` from the command line: the files they promise, numbers equal to the Python reference, errors, Ctrl-C.

use crate::util::{Host, Ran};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn data(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name).display().to_string()
}

/// The small model's arguments.
fn model() -> [String; 4] {
    ["--model".into(), data("parity/mini21.pt"), "--model-config".into(), data("parity/mini21.yaml")]
}

fn segment(host: &Host, input: &str, prompts: &str, more: &[&str]) -> Ran {
    let model = model();
    let arguments: Vec<&str> =
        ["segment", input, "--prompts", prompts].into_iter().chain(model.iter().map(String::as_str)).collect();
    host.run(&[&arguments, more].concat())
}

fn floats(file: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = file.tensor(name).unwrap();
    let values = match tensor.dtype() {
        Dtype::F32 => tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::F16 => {
            tensor.data().as_chunks::<2>().0.iter().map(|&bytes| half::f16::from_le_bytes(bytes).to_f32()).collect()
        }
        other => panic!("{name} is {other:?}"),
    };
    (tensor.shape().to_vec(), values)
}

#[test]
fn segment_writes_what_it_promises() {
    let host = Host::new();
    let (input, prompts) = (data("demo/volume.nii.gz"), data("demo/prompts.json"));
    let files = ["--out", "labels.nii.gz", "--logits", "logits.safetensors", "--overlay", "look.png", "--json"];
    let report: Value = serde_json::from_str(&segment(&host, &input, &prompts, &files).ok()).unwrap();
    assert_eq!(report["slices"], 12);
    let bytes = std::fs::read(host.path("logits.safetensors")).unwrap();
    let logits = SafeTensors::deserialize(&bytes).unwrap();
    let (shape, values) = floats(&logits, "logits");
    assert_eq!(shape, [12, 2, 256, 256]);
    assert_eq!(floats(&logits, "object_scores").0, [12, 2]);
    let integers = |name: &str| -> Vec<i64> {
        logits.tensor(name).unwrap().data().as_chunks::<8>().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect()
    };
    assert_eq!(integers("object_ids"), [1, 2]);
    assert_eq!(integers("frames"), (0..12).collect::<Vec<_>>());

    // the labels are the objects' logits, the larger one where both are positive
    let info: Value = serde_json::from_str(&host.run(&["info", "labels.nii.gz", "--json"]).ok()).unwrap();
    let source: Value = serde_json::from_str(&host.run(&["info", &input, "--json"]).ok()).unwrap();
    assert_eq!((&info["shape"], &info["affine"]), (&source["shape"], &source["affine"]));
    host.run(&["convert", "labels.nii.gz", "labels.npy"]).ok();
    let labels = std::fs::read(host.path("labels.npy")).unwrap();
    let labels = &labels[labels.len() - 12 * 256 * 256..];
    let plane = 256 * 256;
    for (i, &label) in labels.iter().enumerate() {
        let (frame, pixel) = (i / plane, i % plane);
        let (one, two) = (values[2 * frame * plane + pixel], values[(2 * frame + 1) * plane + pixel]);
        let expected = if one.max(two) <= 0.0 {
            0
        } else if one >= two {
            1
        } else {
            2
        };
        assert_eq!(label, expected, "slice {frame}, pixel {pixel}: {one} {two}");
    }
    let objects = report["objects"].as_array().unwrap();
    assert_eq!(objects[0]["voxels"], labels.iter().filter(|&&label| label == 1).count());
    assert!(image::open(host.path("look.png")).unwrap().width() > 256);
}

#[test]
fn a_case_that_was_open_before_is_not_encoded_again() {
    let host = Host::new();
    let (input, prompts) = (data("demo/volume.nii.gz"), data("demo/prompts.json"));
    let run = |out: &str, more: &[&str]| -> Value {
        let arguments = [&["--out", out, "--features", "kept", "--json"], more].concat();
        serde_json::from_str(&segment(&host, &input, &prompts, &arguments).ok()).unwrap()
    };
    let (first, second) = (run("a.npy", &[]), run("b.npy", &["--features-mb", "100"]));
    let numbers = |report: &Value| (report["encoded_slices"].clone(), report["features"]["read"].clone());
    assert_eq!(numbers(&first), (12.into(), 0.into()));
    assert_eq!(numbers(&second), (0.into(), 12.into()));
    assert_eq!(std::fs::read(host.path("a.npy")).unwrap(), std::fs::read(host.path("b.npy")).unwrap());
    let said = segment(&host, &input, &prompts, &["--out", "c.npy", "--features", "kept"]).ok();
    assert!(said.contains("kept: features of 12 slices read, 0 encoded"), "{said}");
    let bad = ["--out", "c.npy", "--features", "a.npy"];
    segment(&host, &input, &prompts, &bad).fails_with(&["a.npy", "features cannot be kept here"]);
}

/// The whole thread against the Python reference: pictures -> host -> plugin -> session -> file.
#[test]
fn replay_equals_the_reference() {
    for scenario in ["a_one_point", "d_correction", "g_clear_remove_reset", "f32mem_a_one_point"] {
        let host = Host::new();
        let fixture = data(&format!("parity/mini21/video_{scenario}"));
        let (frames, steps, model) = (data("parity/frames"), format!("{fixture}.json"), model());
        let arguments = ["replay", &frames, &steps, "--compat", "reference", "--logits", "out.safetensors"];
        host.run(&[&arguments[..], &model.each_ref().map(String::as_str)].concat()).ok();
        let (found, expected) = (
            std::fs::read(host.path("out.safetensors")).unwrap(),
            std::fs::read(format!("{fixture}.safetensors")).unwrap(),
        );
        let (found, expected) =
            (SafeTensors::deserialize(&found).unwrap(), SafeTensors::deserialize(&expected).unwrap());
        let tolerance = if scenario.starts_with("f32mem") { 1e-3 } else { 0.08 };
        let mut compared = 0;
        for name in expected
            .names()
            .into_iter()
            .filter(|name| name.ends_with(".logits") || name.ends_with(".object_score_logits"))
        {
            let (expected, found) = (floats(&expected, name), floats(&found, name));
            assert_eq!(found.0, expected.0, "{scenario} {name}");
            let mean = found.1.iter().zip(&expected.1).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>()
                / found.1.len() as f64;
            println!("{scenario} {name}: mean difference {mean:.1e}");
            assert!(mean < tolerance, "{scenario} {name}: {mean}");
            compared += 1;
        }
        assert!(compared >= 4, "{scenario}: {compared} tensors");
    }
}

#[test]
fn mistakes_are_found_and_named() {
    let host = Host::new();
    let input = data("demo/volume.nii.gz");
    let prompts = |text: &str| host.file("p.json", text).display().to_string();
    let fails = |prompts: &str, more: &[&str], texts: &[&str]| {
        segment(&host, &input, prompts, more).fails_with(texts);
    };
    let out = ["--out", "labels.nii.gz"];
    let good = data("demo/prompts.json");
    fails(&good, &[], &["nothing to write"]);
    fails(&good, &["--out", &input], &["overwrite"]);
    fails(&good, &["--out", "labels.nii.gz", "--crop", "0,0,300,10"], &["300"]);
    fails(&good, &["--out", "labels.nii.gz", "--device", "cuda:99"], &["cuda:99 cannot be used"]);
    fails("missing.json", &out, &["missing.json"]);
    fails(&prompts(r#"{"objects": []}"#), &out, &["p.json", "no prompts"]);
    fails(
        &prompts(r#"{"objects": [{"id": 1, "prompts": [{"frame": 0, "pionts": [[1, 2]]}]}]}"#),
        &out,
        &["p.json", "objects[0].prompts[0]", "pionts"],
    );
    fails(
        &prompts(r#"{"objects": [{"id": 3, "prompts": [{"frame": 12, "points": [[1, 2]]}]}]}"#),
        &out,
        &["object 3, slice 12", "slices 0 to 11"],
    );
    fails(
        &prompts(r#"{"objects": [{"id": 1, "prompts": [{"frame": 0, "points": [[999, 2]]}]}]}"#),
        &out,
        &["point (999, 2) lies outside", "256 wide"],
    );
    fails(&prompts(r#"{"objects": [{"id": 1, "prompts": [{"frame": 0, "mask": "no.png"}]}]}"#), &out, &["no.png"]);
    let no_model = host.run(&["segment", &input, "--prompts", &good, "--model", "2.1-large", "--out", "labels.nii.gz"]);
    no_model.fails_with(&["092824/sam2.1_hiera_large.pt", "sam2_weights"]);
    let no_config = host.run(&[
        "segment",
        &input,
        "--prompts",
        &good,
        "--model",
        &data("parity/mini21.pt"),
        "--out",
        "labels.nii.gz",
    ]);
    no_config.fails_with(&["mini21.pt", "configuration"]);
    let wrong = host.run(&[
        "segment",
        &input,
        "--prompts",
        &good,
        "--model",
        &data("parity/mini21.pt"),
        "--model-config",
        "tiny",
        "--out",
        "l.nii.gz",
    ]);
    wrong.fails_with(&["mini21.pt", "of wrong shape"]);
    assert!(!host.path("labels.nii.gz").exists());
}

/// Ctrl-C, a service manager's stop, and a terminal that closes.
#[cfg(unix)]
#[test]
fn signals_keep_what_is_done_and_the_previous_file() {
    for signal in crate::util::signals() {
        keeps_what_is_done(signal);
    }
}

#[cfg(unix)]
fn keeps_what_is_done(signal: &str) {
    let host = Host::new();
    // 400 slices of 64 x 64: the first line comes after the first of them
    let mut header = "{'descr': '|u1', 'fortran_order': False, 'shape': (400, 64, 64), }".to_owned();
    header.extend(std::iter::repeat_n(' ', (118 - 1) - header.len()));
    let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    file.extend(format!("{header}\n").bytes());
    file.extend((0..400 * 64 * 64).map(|i: usize| (i.wrapping_mul(2654435761) >> 13) as u8));
    host.file("long.npy", file);
    host.file("labels.nii.gz", "the previous result");
    host.file("p.json", r#"{"objects": [{"id": 1, "prompts": [{"frame": 0, "points": [[32, 32]]}]}]}"#);
    let model = model();
    let arguments =
        ["segment", "long.npy", "--prompts", "p.json", "--out", "labels.nii.gz", "--record", "session.rhai"];
    let mut command = host.command(&[&arguments[..], &model.each_ref().map(String::as_str)].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().starts_with("propagate")).expect("progress").unwrap();
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}: {rest:#?}");
    let error = rest.iter().find(|line| line.starts_with("error: ")).unwrap();
    assert!(error.contains("cancelled after") && error.contains("labels.partial.nii.gz"), "{error}");
    assert_eq!(std::fs::read(host.path("labels.nii.gz")).unwrap(), b"the previous result");
    let info: Value = serde_json::from_str(&host.run(&["info", "labels.partial.nii.gz", "--json"]).ok()).unwrap();
    assert_eq!(info["shape"], serde_json::json!([400, 64, 64]));
    // the record of what was done gives what was kept
    assert!(!host.path("session.rhai").exists());
    let [model, config] = ["parity/mini21.pt", "parity/mini21.yaml"].map(data);
    let (model, config) = (format!("model={model}"), format!("config={config}"));
    let again = ["run", "session.partial.rhai", "--set", &model, "--set", &config, "--set", "out=again.nii.gz"];
    assert_eq!(host.run(&again).ok(), "the labels are those of the record\nagain.nii.gz\n");
    let read = |name: &str| std::fs::read(host.path(name)).unwrap();
    assert_eq!(read("again.nii.gz"), read("labels.partial.nii.gz"));
    let names = std::fs::read_dir(host.path("")).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".sam-octa2-")).collect();
    assert!(left.is_empty(), "{signal}: {left:?}");
}

#[test]
fn slices_along_another_axis_come_back_as_stored() {
    let host = Host::new();
    let input = data("demo/volume.nii.gz");
    let info = |more: &[&str]| -> Value {
        serde_json::from_str(&host.run(&[&["info", "--json"], more].concat()).ok()).unwrap()
    };
    let stored = info(&[&input]);
    let en_face = info(&[&input, "--axis", "y"]);
    assert_eq!(
        (&stored["shape"], &en_face["shape"]),
        (&serde_json::json!([12, 256, 256]), &serde_json::json!([256, 12, 256]))
    );
    assert_eq!(en_face["spacing"][2], stored["spacing"][1]);

    host.file(
        "p.json",
        r#"{"objects": [{"id": 1, "prompts": [{"frame": 120, "points": [[128, 6]]}]}], "max_frames": 2}"#,
    );
    let report =
        segment(&host, &input, "p.json", &["--axis", "y", "--out", "labels.nii.gz", "--window", "10,200", "--json"])
            .ok();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["shape"], serde_json::json!([256, 12, 256]));
    assert_eq!(report["window"], serde_json::json!({"low": 10.0, "high": 200.0}));
    let labels = info(&["labels.nii.gz"]);
    assert_eq!((&labels["shape"], &labels["affine"]), (&stored["shape"], &stored["affine"]));
    // only rows 120 to 122 were followed
    host.run(&["convert", "labels.nii.gz", "labels.npy"]).ok();
    let bytes = std::fs::read(host.path("labels.npy")).unwrap();
    let labels = &bytes[bytes.len() - 12 * 256 * 256..];
    let rows: std::collections::BTreeSet<usize> =
        labels.iter().enumerate().filter(|(_, v)| **v != 0).map(|(i, _)| i / 256 % 256).collect();
    assert!(rows.iter().all(|row| (120..=122).contains(row)), "{rows:?}");
    segment(&host, &input, "p.json", &["--out", "l.nii.gz", "--window", "9,3"])
        .fails_with(&["window \"9,3\"", "LOW%,HIGH%"]);
}
