//! Numbers of a case: without a click from the terminal, the same masks through every way, reports and what they warn of.

use crate::scripts::root;
use crate::util::Host;
use serde_json::{Value, json};
use std::fs;

fn nano() -> String {
    root().join("sam2_weights/nano.safetensors").display().to_string()
}

/// A phantom of three slices, segmented without a click, with everything written.
fn segmented(host: &Host) -> String {
    host.run(&["phantom", "--out", "scan.nii.gz", "--labels", "truth.nii.gz", "--seed", "2", "--slices", "3"]).ok();
    let model = nano();
    let arguments = ["segment", "scan.nii.gz", "--model", &model, "--no-prompts", "--out", "found.nii.gz"];
    let numbers = [
        "--csv",
        "table.csv",
        "--vessels-csv",
        "vessels.csv",
        "--html",
        "report.html",
        "--eye",
        "right",
        "--case",
        "Eye <7>",
    ];
    host.run(&[&arguments[..], &numbers].concat()).ok()
}

/// One cell of a table.
fn cell(table: &str, line: usize, column: &str) -> f64 {
    let mut lines = table.lines();
    let at = lines.next().unwrap().split(',').position(|name| name == column).unwrap();
    lines.nth(line - 1).unwrap().split(',').nth(at).unwrap().parse().unwrap()
}

#[test]
fn one_command_segments_without_a_click_measures_and_reports() {
    let host = Host::new();
    let stdout = segmented(&host);
    assert!(stdout.contains("FAZ, object 1: ") && stdout.contains(" vessels, objects from 2 on: "), "{stdout}");
    assert!(stdout.contains("\nvalidated on ") && stdout.contains(" labelled images ("), "{stdout}");
    let ends = ["found.nii.gz", "table.csv", "report.html", "vessels.csv"];
    assert!(ends.iter().all(|name| stdout.lines().any(|line| line == *name)), "{stdout}");

    // the numbers once more, pixel by pixel
    let source = r#"
        let labels = open_labels("found.nii.gz");
        let zone = labels.object(1);
        let vessels = (labels - zone).project().renumber(1);
        let told = load_model(arg("model")).segment_all(open_volume("scan.nii.gz"));
        print([vessels.count(1), labels.rows * labels.columns, zone.project().count(1), labels.objects.len(), told.objects == labels,
            told.faz == zone, open_volume("scan.nii.gz").spacing]);
    "#;
    let told = host.script(source, &["--set", &format!("model={}", nano())]).ok();
    let told: Vec<Value> = serde_json::from_str(told.trim()).unwrap();
    let number = |at: usize| told[at].as_f64().unwrap();
    assert_eq!(told[4..6], [json!(true), json!(true)], "a script gets the masks of the command");
    let table = fs::read_to_string(host.path("table.csv")).unwrap();
    assert!((cell(&table, 1, "vessel_area_density") - number(0) / number(1)).abs() < 1e-9, "{table}");
    let pixel = told[6][0].as_f64().unwrap() * told[6][1].as_f64().unwrap();
    let area = cell(&table, 1, "faz_area_mm2");
    assert!((area / (number(2) * pixel) - 1.0).abs() < 0.01, "{area}, {told:?}");
    let vessels = fs::read_to_string(host.path("vessels.csv")).unwrap();
    assert_eq!(vessels.lines().count() as f64, number(3), "a line per vessel and the head: {vessels}");
    assert!(cell(&vessels, 1, "vessel") == 2.0 && cell(&vessels, 1, "last_layer") <= 2.0, "{vessels}");

    let page = fs::read_to_string(host.path("report.html")).unwrap();
    for text in [
        "<h1>Eye &lt;7&gt;</h1>",
        "<dd>right</dd>",
        "nano (",
        "without a click",
        ">nasal<",
        "Vessel area density (%)",
        "ROSSA/val",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(
        !page.contains("<script") && !page.contains("NaN") && !page.contains("src=\"http"),
        "a file that needs no other"
    );
}

#[test]
fn measuring_the_written_labels_gives_the_same_numbers() {
    let host = Host::new();
    segmented(&host);
    let validation = root().join("sam2_weights/nano.validation.json").display().to_string();
    let measure = [
        "measure",
        "found.nii.gz",
        "--faz-object",
        "1",
        "--csv",
        "again.csv",
        "--vessels-csv",
        "singles.csv",
        "--eye",
        "right",
    ];
    let told = host.run(&[&measure[..], &["--validation", &validation, "--html", "again.html"]].concat()).ok();
    assert!(told.contains("validated on "), "{told}");
    for (a, b) in [("table.csv", "again.csv"), ("vessels.csv", "singles.csv")] {
        assert_eq!(fs::read(host.path(a)).unwrap(), fs::read(host.path(b)).unwrap(), "{a}");
    }
    assert!(fs::read_to_string(host.path("again.html")).unwrap().contains("<h1>found.nii.gz</h1>"));
    host.run(&["measure", "found.nii.gz", "--validation", "scan.nii.gz"]).fails_with(&["scan.nii.gz"]);
}

/// The table beside the weights is of these weights and thresholds: whoever changes either measures anew (`make evaluate`).
#[test]
fn the_validation_is_of_the_model_that_is_here() {
    let host = Host::new();
    let model = format!("model={}", nano());
    let told = host
        .script("let m = load_model(arg(\"model\")); print([m.fingerprint, m.thresholds])", &["--set", &model])
        .ok();
    let text = fs::read_to_string(root().join("sam2_weights/nano.validation.json")).unwrap();
    let table: Value = serde_json::from_str(&text).unwrap();
    let told: Value = serde_json::from_str(told.trim()).unwrap();
    assert_eq!(
        told,
        json!([table["fingerprint"], table["thresholds"]]),
        "sam2_weights/nano.validation.json is of another model"
    );
    let sets = table["sets"].as_array().unwrap();
    let images = |set: &Value| set["images"].as_u64().unwrap();
    let all = sets.iter().find(|set| set["data"] == "all").unwrap();
    assert_eq!(sets.iter().map(images).sum::<u64>(), 2 * images(all));
}

#[test]
fn what_is_missing_or_odd_is_a_result_with_a_warning() {
    let host = Host::new();
    let source = r#"
        let dark = phantom(#{size: 64, slices: 1}).volume.threshold(900, 901);
        dark.save("empty.nii.gz");
        let all = phantom(#{size: 64, slices: 1}).volume.threshold(0, 255);
        all.save("full.nii.gz");
    "#;
    host.script(source, &[]).ok();
    let told = host.run(&["measure", "empty.nii.gz", "--faz-object", "1"]).ok();
    for text in [
        "warning: no vessels",
        "warning: no FAZ",
        "object 1, which should be the FAZ, is not in the labels",
        "not validated",
    ] {
        assert!(told.contains(text), "{text}: {told}");
    }
    let told = host.run(&["measure", "full.nii.gz", "--spacing", "1,1,1"]).ok();
    assert!(told.contains("vessels cover 100 %") && told.contains("which no OCTA scan is"), "{told}");
}

#[test]
fn what_does_not_go_together_is_refused_before_the_work() {
    let host = Host::new();
    let model = nano();
    let picture = root().join("tests/data/rossa/102_image.png").display().to_string();
    let segment = ["segment", &picture, "--model", &model];
    let ran = host.run(&[&segment[..], &["--no-prompts", "--html", "r.html"]].concat());
    ran.fails_with(&["how large a pixel is", "--assume-size"]);
    let both = host.run(&[&segment[..], &["--no-prompts", "--prompts", "p.json", "--out", "x.npy"]].concat());
    assert_eq!(both.code, Some(2), "{both:#?}");
    assert_eq!(host.run(&[&segment[..], &["--out", "x.npy"]].concat()).code, Some(2));
    host.run(&[&segment[..], &["--no-prompts", "--logits", "x.safetensors"]].concat())
        .fails_with(&["`logits` goes with prompts only"]);
    host.run(&[&segment[..], &["--no-prompts"]].concat()).fails_with(&["nothing to write"]);
    // without a size the labels come all the same
    let told = host.run(&[&segment[..], &["--no-prompts", "--out", "x.npy"]].concat()).ok();
    assert!(told.contains(" vessels, objects from 2 on: ") && !told.contains("region"), "{told}");
    let (weights, config) = (root().join("tests/data/parity/mini21.pt"), root().join("tests/data/parity/mini21.yaml"));
    let (weights, config) = (weights.display().to_string(), config.display().to_string());
    let plain = ["segment", &picture, "--model", &weights, "--model-config", &config, "--no-prompts", "--out", "x.npy"];
    host.run(&plain).fails_with(&["answers prompts only"]);
}
