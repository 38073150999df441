//! `host-demo predict`: a network of no meaning, so that what is checked holds for any weights.

use crate::util::Host;
use serde_json::{Value, json};
use std::path::Path;

fn demo() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/demo/volume.nii.gz").display().to_string()
}

fn report(host: &Host, more: &[&str]) -> Value {
    let (input, segmenter) = (demo(), host.segmenter());
    let base = ["predict", &input, "--segmenter", &segmenter, "--image-size", "64", "--device", "cpu", "--json"];
    serde_json::from_str(&host.run(&[&base, more].concat()).ok()).unwrap()
}

fn info(host: &Host, path: &str) -> Value {
    serde_json::from_str(&host.run(&["info", path, "--json"]).ok()).unwrap()
}

#[test]
fn regions_vessels_probabilities_and_pictures() {
    let host = Host::new();
    let map = host.path("map.png");
    let script = "let v = open_volume(arg(\"input\")); overlay(\"map.png\", v, v.threshold(100, 255));";
    host.script(
        &script.replace("open_volume(arg(\"input\"))", "open_volume(arg(\"input\")).project(#{how: \"max\"})"),
        &["--set", &format!("input={}", demo())],
    )
    .ok();
    let reply = report(
        &host,
        &[
            "--out",
            "region.nii.gz",
            "--vessels",
            &map.display().to_string(),
            "--vessels-out",
            "vessels.npy",
            "--probabilities",
            "p.nii.gz",
            "--pictures",
            "strips",
            "--threshold",
            "0.5",
        ],
    );
    assert_eq!(reply["shape"], json!([12, 256, 256]));
    assert_eq!((&reply["image_size"], &reply["feature_size"]), (&json!(64), &json!(12)));
    let layers = reply["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 12);
    for layer in layers {
        assert!(layer["vessels"].as_u64() <= layer["region"].as_u64(), "{layer}");
        assert!((0.0..=0.5).contains(&layer["expected_error"].as_f64().unwrap()), "{layer}");
    }
    let region = info(&host, "region.nii.gz");
    assert_eq!((&region["shape"], &region["spacing"]), (&json!([12, 256, 256]), &info(&host, &demo())["spacing"]));
    let range = info(&host, "p.nii.gz")["intensity_range"].clone();
    assert!(range[0].as_f64() >= Some(0.0) && range[1].as_f64() <= Some(1.0), "{range}");
    assert_eq!(info(&host, "strips")["shape"], json!([12, 64, 256, 3]));
    assert_eq!(info(&host, "vessels.npy")["shape"], json!([12, 256, 256]));
}

#[test]
fn other_axes_come_back_as_stored_and_batches_change_nothing() {
    let host = Host::new();
    report(&host, &["--axis", "y", "--crop", "0,0,64,32", "--out", "a.nii.gz", "--threshold", "0.5"]);
    report(&host, &["--axis", "y", "--crop", "0,0,64,32", "--out", "b.nii.gz", "--threshold", "0.5", "--batch", "5"]);
    assert_eq!(info(&host, "a.nii.gz")["shape"], json!([12, 32, 64]));
    let equal = host.script("open_labels(\"a.nii.gz\").compare(open_labels(\"b.nii.gz\")).dice", &["--json"]).ok();
    let dice = serde_json::from_str::<Value>(&equal).unwrap()["result"].as_f64();
    assert!(dice > Some(0.999), "{equal}");
}

#[test]
fn errors_say_what_to_do() {
    let host = Host::new();
    let (input, segmenter) = (demo(), host.segmenter());
    let error = |arguments: &[&str]| {
        let ran = host.run(&[&["predict", &input], arguments].concat());
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        assert_eq!(ran.stderr.lines().filter(|line| line.contains("error")).count(), 1, "{ran:#?}");
        ran.stderr
    };
    let with = |more: &[&str]| error(&[&["--segmenter", &segmenter, "--out", "r.nii.gz"], more].concat());
    for (stderr, part) in [
        (error(&["--segmenter", &segmenter]), "nothing to write"),
        (error(&["--segmenter", "none.pth", "--out", "r.npy"]), "none.pth"),
        (error(&["--segmenter", &input, "--out", "r.npy"]), "volume.nii.gz"),
        (with(&["--image-size", "100"]), "image_size is 100"),
        (with(&["--threshold", "1.5"]), "threshold is 1.5"),
        (with(&["--sigma=-1"]), "sigma is -1"),
        (with(&["--batch", "0"]), "batch is 0"),
        (with(&["--vessels-out", "v.npy"]), "en-face vessel map"),
        (with(&["--probabilities", "p.tif"]), "p.tif: probabilities are written as .nii or .nii.gz"),
        (with(&["--vessels", "map.png"]), "map.png"),
        (error(&["--segmenter", &segmenter, "--out", &input]), "volume.nii.gz"),
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert!(!host.path("r.nii.gz").exists());
}
