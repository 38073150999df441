//! From a device's file to labels and numbers: `info`, `convert`, `segment --slab`, `measure`, and the same in scripts.

use crate::util::Host;
use serde_json::{Value, json};
use std::path::PathBuf;

fn data(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name).display().to_string()
}

fn info(host: &Host, arguments: &[&str]) -> Value {
    serde_json::from_str(&host.run(&[&["info"], arguments, &["--json"]].concat()).ok()).unwrap()
}

/// The float32 values of an array that numpy or this program wrote.
fn values(bytes: &[u8], count: usize) -> Vec<f32> {
    bytes[bytes.len() - 4 * count..].as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
}

#[test]
fn a_scan_tells_its_eye_and_layers_and_gives_eyepys_slab() {
    let host = Host::new();
    let angio = data("io/oct/Angio.vol");
    let reply = host.run(&["info", &angio]).ok();
    assert!(reply.contains("eye        left (OS)") && reply.contains("layers     ILM, BM, RNFL"), "{reply}");
    host.run(&["convert", &angio, "svc.npy", "--slab", "SVC", "--projection", "sum"]).ok();
    let ours = values(&std::fs::read(host.path("svc.npy")).unwrap(), 60);
    let theirs = values(&std::fs::read(data("io/oct/slab_SVC.npy")).unwrap(), 60);
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 5e-6), "{ours:?} {theirs:?}");
    host.run(&["convert", &angio, "svc.nii.gz", "--slab", "SVC"]).ok();
    assert_eq!(info(&host, &["svc.nii.gz"])["shape"], json!([1, 5, 12]));
    let layers = info(&host, &[&angio, "--layers-along", "ILM,0,40,10"]);
    assert_eq!((&layers["shape"], &layers["eye"]), (&json!([5, 5, 12]), &json!("left")));
    // curves of another file
    let borrowed = info(&host, &[&data("io/oct/angio.npy"), "--layers", &data("io/oct/layers.mat")]);
    assert_eq!(borrowed["surfaces"], json!(["ILM", "IPL", "OPL", "ISOS", "RPE", "BM"]));
    let flow = info(&host, &[&data("io/oct/flow.dat"), "--kind", "optovue-angio", "--assume-size", "3mm"]);
    assert_eq!((&flow["shape"], &flow["spacing"][1]), (&json!([8, 160, 8]), &json!(0.012283)));
}

#[test]
fn a_slab_is_segmented_and_measured() {
    let host = Host::new();
    let angio = data("io/oct/Angio.vol");
    let prompts = json!({"objects": [{"id": 1, "prompts": [{"frame": 0, "box": [2, 0, 10, 4]}]}]}).to_string();
    host.file("clicks.json", prompts);
    let (model, config) = (data("parity/mini21.pt"), data("parity/mini21.yaml"));
    let segment =
        ["segment", &angio, "--slab", "SVC", "--prompts", "clicks.json", "--model", &model, "--model-config", &config];
    host.run(
        &[
            &segment[..],
            &[
                "--out",
                "labels.seg.nrrd",
                "--out-bscans",
                "b.nii.gz",
                "--seg-property",
                "faz",
                "--record",
                "again.rhai",
            ],
        ]
        .concat(),
    )
    .ok();
    let labels = info(&host, &["labels.seg.nrrd"]);
    assert_eq!((&labels["shape"], &labels["geometry_known"]), (&json!([1, 5, 12]), &json!(true)));
    // back in the B-scans, which --out-bscans needs
    let scan = info(&host, &[&angio]);
    assert_eq!(info(&host, &["b.nii.gz"])["shape"], scan["shape"]);
    // the record opens the same slab
    let record = std::fs::read_to_string(host.path("again.rhai")).unwrap();
    assert!(record.contains("slab: \"SVC\""), "{record}");
    // a mask of which the size is known, whatever the model answered
    host.run(&["run", &host.file("mask.rhai", MASK).display().to_string(), "--set", &format!("input={angio}")]).ok();
    let measure = [
        "measure",
        "mask.nii.gz",
        "--volume",
        &angio,
        "--slab",
        "SVC",
        "--diameters",
        "0.05",
        "--json",
        "--html",
        "page.html",
    ];
    let report: Value = serde_json::from_str(&host.run(&measure).ok()).unwrap();
    assert_eq!((&report["eye"], &report["magnification"]), (&json!("left"), &Value::Null));
    let long = [&measure[..], &["--axial-length", "26", "--device-axial-length", "23.95"]].concat();
    let corrected: Value = serde_json::from_str(&host.run(&long).ok()).unwrap();
    let factor = (26.0 - 1.82) / (23.95 - 1.82);
    let [before, after] = [&report, &corrected].map(|report| report["spacing"][0].as_f64().unwrap());
    assert!((after / before - factor).abs() < 1e-9, "{before} {after}");
    for (arguments, part) in [
        (&["convert", &data("demo/volume.nii.gz"), "x.npy", "--slab", "SVC"][..], "no layer curves"),
        (&["convert", &angio, "x.npy", "--slab", "SVP..RPE"], "no surface \"SVP\""),
        (&["convert", &angio, "x.npy", "--slab", "SVX"], "did you mean `SV"),
        (
            &["segment", &angio, "--prompts", "clicks.json", "--model", "nano", "--out-bscans", "b.nii.gz"],
            "goes with a slab or layers",
        ),
        (&["info", &angio, "--kind", "optovue"], "kind of file"),
        (&["info", &angio, "--assume-size", "3mm"], "says itself"),
    ] {
        let refused = host.run(arguments);
        assert!(refused.code == Some(1) && refused.stderr.contains(part), "{part}: {refused:#?}");
    }
}

const MASK: &str = r#"
let scan = open_volume(arg("input"));
let slab = scan.slab("SVC", #{projection: "mean"});
let labels = slab.threshold(0.3, 1.0);
labels.save("mask.nii.gz");
let back = labels.on_bscans();
if back.frames != scan.frames || back.count(1) < labels.count(1) { throw "labels did not come back"; }
let layers = scan.layers_along("ILM", 0, 40, 10);
if layers.shape != [5, 5, 12] || layers.eye != "left" { throw `layers of ${layers.shape}`; }
if scan.layer_lines().objects.len() != scan.surfaces.len() { throw "lines"; }
let again = open_volume(arg("input"), #{slab: "SVC", projection: "mean"});
if again.values(0) != slab.values(0) { throw "the option is not the function"; }
"#;
