//! `phantom`: synthetic volumes and their truth, as a person at a terminal and as a script gets them.

use crate::util::Host;
use serde_json::{Value, json};

fn info(host: &Host, path: &str) -> Value {
    serde_json::from_str(&host.run(&["info", path, "--json"]).ok()).unwrap()
}

#[test]
fn a_phantom_is_written_with_all_of_its_truth() {
    let host = Host::new();
    let files = [
        "--out",
        "v.nii.gz",
        "--labels",
        "l.nii.gz",
        "--region",
        "r.npy",
        "--en-face",
        "e.tif",
        "--en-face-labels",
        "t.npy",
    ];
    let options =
        ["--seed", "7", "--size", "96", "--slices", "4", "--layers", "vessels", "--field", "6", "--scanner", "dark"];
    let text = host.run(&[&["phantom"], &files[..], &options].concat()).ok();
    assert!(text.starts_with("4 slices of 96 x 96, 0.0625 x 0.0625 x ") && text.contains("seed 7"), "{text}");
    assert!(text.ends_with("\nv.nii.gz\nl.nii.gz\nr.npy\nt.npy\ne.tif\n"), "{text}");
    for (path, shape) in
        [("v.nii.gz", [4, 96, 96]), ("l.nii.gz", [4, 96, 96]), ("r.npy", [4, 96, 96]), ("e.tif", [1, 96, 96])]
    {
        assert_eq!(info(&host, path)["shape"], json!(shape), "{path}");
    }
    assert_eq!(info(&host, "v.nii.gz")["spacing"][0], json!(0.0625));
    let again = [&["phantom", "--out", "w.nii.gz", "--labels", "m.nii.gz"], &options[..]].concat();
    host.run(&again).ok();
    for (first, second) in [("v.nii.gz", "w.nii.gz"), ("l.nii.gz", "m.nii.gz")] {
        assert!(std::fs::read(host.path(first)).unwrap() == std::fs::read(host.path(second)).unwrap(), "{first}");
    }
}

#[test]
fn a_script_gets_what_the_command_writes() {
    let host = Host::new();
    host.run(&["phantom", "--out", "v.npy", "--labels", "l.npy", "--seed", "3", "--size", "64", "--slices", "2"]).ok();
    let source = r#"
        let made = phantom(#{seed: 3, size: 64, slices: 2});
        made.labels.save("labels.npy");
        made.volume.save("volume.npy");
        let vessels = made.report.vessels.map(|vessel| vessel.object);
        let known = made.en_face_labels.objects;
        [vessels.len() == known.len() - 1, known[0], made.report.options.layers, made.region.objects,
         made.labels.objects.all(|object| object in known), made.en_face.frames]
    "#;
    let report: Value = serde_json::from_str(&host.script(source, &["--json"]).ok()).unwrap();
    assert_eq!(report["result"], json!([true, 1, "whole", [1], true, 1]));
    for (written, saved) in [("v.npy", "volume.npy"), ("l.npy", "labels.npy")] {
        assert_eq!(std::fs::read(host.path(written)).unwrap(), std::fs::read(host.path(saved)).unwrap());
    }
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let host = Host::new();
    host.run(&["phantom", "--out", "p.npy", "--size", "20"]).fails_with(&["size is 20", "between 64 and 1024"]);
    host.run(&["phantom", "--out", "p.npy", "--layers", "deep"]).fails_with(&["`layers`", "unknown variant `deep`"]);
    host.run(&["phantom", "--out", "p.npy", "--labels", "p.npy"]).fails_with(&["p.npy: two outputs have this name"]);
    host.run(&["phantom", "--out", "p.npy", "--labels", "l.xyz.gz"]).fails_with(&["l.xyz.gz: cannot write .gz"]);
    assert!(!host.path("p.npy").exists());
    host.script("phantom(#{sise: 3})", &[]).fails_with(&["test.rhai:1:1", "unknown field `sise`", "`size`"]);
    host.script("phantom(#{noise: \"much\"})", &[]).fails_with(&["test.rhai:1:1", "`noise`"]);
    host.script("phantom(3)", &[]).fails_with(&["test.rhai:1:1", "phantom: options: expected an option map, got 3"]);
}
