//! Sessions written down as scripts: running them gives the same labels, bit for bit, and says so when volume or model are others.

use crate::util::{Host, Ran};
use std::path::Path;

fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").canonicalize().unwrap().join(name).display().to_string()
}

/// `--set` for what the record was made with: its own paths may not be read from a test's folder.
fn sets(input: &str) -> [String; 3] {
    let (model, config) = (data("parity/mini21.pt"), data("parity/mini21.yaml"));
    [format!("input={input}"), format!("model={model}"), format!("config={config}")]
}

/// Runs a record.
fn again(host: &Host, script: &str, input: &str, more: &[&str]) -> Ran {
    let sets = sets(input);
    let mut arguments = vec!["run", script];
    sets.iter().for_each(|set| arguments.extend(["--set", set.as_str()]));
    host.run(&[&arguments, more].concat())
}

/// Runs a job that records, then the record, and compares the labels.
fn recorded(host: &Host, input: &str, job: &[&str]) -> String {
    let (model, config) = (data("parity/mini21.pt"), data("parity/mini21.yaml"));
    let model = ["--model", model.as_str(), "--model-config", config.as_str(), "--record", "session.rhai"];
    host.run(&[job, &model].concat()).ok();
    host.run(&["check", "session.rhai"]).ok();
    let reply = again(host, "session.rhai", input, &["--set", "out=again.npy"]).ok();
    assert_eq!(reply, "the labels are those of the record\nagain.npy\n");
    std::fs::read_to_string(host.path("session.rhai")).unwrap()
}

#[test]
fn segment_records_a_script_that_does_the_same() {
    let host = Host::new();
    let input = data("demo/volume.nii.gz");
    image::GrayImage::from_fn(256, 12, |x, y| image::Luma([u8::from(x > 80 && x < 140 && y > 3) * 255]))
        .save(host.path("drawn.png"))
        .unwrap();
    host.file(
        "p.json",
        r#"{"objects": [{"id": 1, "prompts": [{"frame": 120, "points": [[128.3, 6], [20, 2.7]], "labels": [1, 0]}]},
                        {"id": 9, "prompts": [{"frame": 121, "box": [10.1, 1, 90, 9], "points": [[60, 5]]},
                                              {"frame": 122, "mask": "drawn.png"}]}], "direction": "both", "max_frames": 2}"#,
    );
    let job = ["segment", &input, "--prompts", "p.json", "--out", "labels.npy", "--axis", "y", "--window", "2%,98%"];
    let script = recorded(&host, &input, &job);
    assert_eq!(std::fs::read(host.path("again.npy")).unwrap(), std::fs::read(host.path("labels.npy")).unwrap());
    for part in [
        "axis: \"y\"",
        "window asked for: 2%,98%",
        "session.prompt(120, 1, #{points: [[128.3, 6], [20, 2.7]], labels: [1, 0]});",
        "box: [10.1, 1, 90, 9]});",
        "session.prompt(122, 9, #{mask: #{size: [12, 256], counts: \"",
        "session.propagate(#{direction: \"both\", max_frames: 2});",
    ] {
        assert!(script.contains(part), "no {part} in {script}");
    }
    let about = host.run(&["run", "session.rhai", "--about"]).ok();
    assert!(
        about.contains("A session, written down: 4 steps") && about.contains("differs  (default: \"error\")"),
        "{about}"
    );
}

#[test]
fn replay_records_too() {
    for scenario in ["d_correction", "f32mem_a_one_point", "g_clear_remove_reset"] {
        let (host, input) = (Host::new(), data("parity/frames"));
        let steps = data(&format!("parity/mini21/video_{scenario}.json"));
        let job = ["replay", &input, &steps, "--compat", "reference", "--logits", "out.safetensors"];
        let script = recorded(&host, &input, &job);
        assert!(script.contains("compat: \"reference\""), "{script}");
        assert_eq!(script.contains("memory_precision: \"f32\""), scenario.starts_with("f32mem"), "{script}");
    }
}

#[test]
fn undo_and_redo_are_steps_of_a_replay() {
    let (host, input) = (Host::new(), data("demo/volume.nii.gz"));
    let steps = r#"{"steps": [{"op": "points", "frame": 3, "obj": 1, "points": [[131, 126]], "labels": [1]},
        {"op": "propagate", "max": 1}, {"op": "undo"}, {"op": "redo"}, {"op": "undo"}, {"op": "undo"}]}"#;
    host.file("steps.json", steps);
    let script = recorded(&host, &input, &["replay", &input, "steps.json", "--logits", "out.safetensors"]);
    assert_eq!(script.matches("session.undo();").count(), 3, "{script}");
    host.file("steps.json", r#"{"steps": [{"op": "redo"}]}"#);
    let model = ["--model", &data("parity/mini21.pt"), "--model-config", &data("parity/mini21.yaml")];
    let ran = host.run(&[&["replay", &input, "steps.json", "--logits", "out.safetensors"][..], &model].concat());
    ran.fails_with(&["steps.json: step 0: there is nothing to redo"]);
}

#[test]
fn another_volume_is_an_error_or_a_warning() {
    let (host, input) = (Host::new(), data("demo/volume.nii.gz"));
    let source = r#"
        let volume = open_volume(arg("input"));
        let model = load_model(arg("model"), #{config: arg("config")});
        let session = new_session(volume, model);
        session.click(3, 131, 126);
        session.propagate(#{max_frames: 2}, |slice| slice.done < 2);
        session.save_script("session.rhai");
        volume.slices(0..11).save("shorter.nii.gz");
        let part = new_session(volume.slices(2..5), model);
        part.click(1, 131, 126);
        part.save_script("part.rhai");
        "#;
    host.file("make.rhai", source);
    again(&host, "make.rhai", &input, &[]).ok();
    let script = std::fs::read_to_string(host.path("session.rhai")).unwrap();
    assert!(script.contains("|slice| slice.done < 2"), "{script}");
    let reply = again(&host, "session.rhai", &input, &[]).ok();
    assert_eq!(reply, "the labels are those of the record\n");
    again(&host, "session.rhai", "shorter.nii.gz", &[]).fails_with(&[
        "session.rhai:",
        "the volume is not the one of the record",
        "--set differs=warn",
    ]);
    let warned = again(&host, "session.rhai", "shorter.nii.gz", &["--set", "differs=warn"]).ok();
    assert!(warned.starts_with("warning: the volume is not the one of the record"), "{warned}");
    assert!(warned.ends_with("\nthe labels differ from those of the record\n"), "{warned}");
    // a volume that a script made has no file to name
    let part = std::fs::read_to_string(host.path("part.rhai")).unwrap();
    assert!(part.contains("let input = arg(\"input\");"), "{part}");
    let config = std::fs::read_to_string(data("parity/mini21.yaml")).unwrap();
    host.file("other.yaml", config.replace("multimask_max_pt_num: 1", "multimask_max_pt_num: 2"));
    again(&host, "session.rhai", &input, &["--set", "config=other.yaml"])
        .fails_with(&["the model is not the one of the record"]);
    host.run(&["run", "session.rhai"]).fails_with(&["may not read here", "--allow"]);
}

#[test]
fn the_gallery_s_record_does_the_same_on_any_axis() {
    let input = data("demo/volume.nii.gz");
    for options in [&["axis=z", "window=auto"], &["axis=x", "window=10,200"]] {
        let host = Host::new();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/record.rhai").display().to_string();
        let mut sets = vec!["--set", "out=."];
        options.iter().for_each(|option| sets.extend(["--set", option]));
        let reply = again(&host, &script, &input, &sets).ok();
        let lines: Vec<&str> = reply.lines().collect();
        assert!(lines.contains(&"propagation both, stopped after 3 slices"), "{reply}");
        assert_eq!(lines[lines.len() - 3..], ["the same labels again", "./session.rhai", "./labels.nii.gz"], "{reply}");
        let reply = again(&host, "session.rhai", &input, &["--set", "out=again.nii.gz"]).ok();
        assert_eq!(reply, "the labels are those of the record\nagain.nii.gz\n");
        let script = "print(open_labels(\"labels.nii.gz\") == open_labels(\"again.nii.gz\")); print(open_labels(\"again.nii.gz\").voxels > 0)";
        assert_eq!(host.script(script, &[]).ok(), "true\ntrue\n");
    }
}
