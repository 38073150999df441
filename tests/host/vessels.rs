//! Vessels and measurements through the built plugin: the gallery scripts, the commands, and what script functions refuse.

use crate::scripts::{demo, gallery, info, root, run, value};
use crate::util::{Host, Ran};
use serde_json::{Value, json};
use std::fs;

/// The same once more in a folder that is there.
fn gallery_in(host: &Host, name: &str) -> Ran {
    let script = root().join("scripts").join(name).display().to_string();
    let demo = demo();
    host.run(&["run", &script].into_iter().chain(demo.iter().map(String::as_str)).collect::<Vec<_>>())
}

#[test]
fn vessels_are_numbered_exported_and_measured() {
    let (host, stdout) = gallery("vessels.rhai", &["--set", "gap=2"]);
    let named: Vec<&str> = stdout.lines().filter(|line| line.starts_with("vessel ")).collect();
    assert!(!named.is_empty() && named[0].starts_with("vessel 1: "), "{stdout}");
    assert!(stdout.contains("vessels-output/map.png\n") && stdout.contains(" layers with "), "{stdout}");
    assert_eq!(info(&host, "vessels-output/vessels.nii.gz")["shape"], json!([12, 256, 256]));
    let strips = fs::read_dir(host.path("vessels-output/RV_LayerSequence/10301")).unwrap();
    let strips = strips.filter(|entry| entry.as_ref().unwrap().path().is_file()).count();
    assert!(strips > 0);
    // a second export into the same sample is refused
    let again = gallery_in(&host, "vessels.rhai");
    assert!(again.code == Some(1) && again.stderr.contains("is there already"), "{again:#?}");

    let script = root().join("scripts/measure.rhai").display().to_string();
    let labels = "labels=vessels-output/vessels.nii.gz";
    let reply = host.run(&["run", &script, "--set", labels, "--set", "eye=right", "--set", "field=3.0"]).ok();
    assert!(reply.contains("whole: density 0.") && reply.contains("inner_nasal: density"), "{reply}");
    let table = fs::read_to_string(host.path("measure-output/table.csv")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("projected,")).count();
    assert!(rows >= 8 && table.lines().count() > rows, "{table}");
    assert!(fs::read_to_string(host.path("measure-output/report.html")).unwrap().contains("data:image/png;base64,"));
}

#[test]
fn commands_number_measure_and_export() {
    let host = Host::new();
    let data = root().join("tests/data");
    let mask = data.join("measure/tree.png").display().to_string();
    let reply = host.run(&["vessels", &mask, "v.nii.gz", "--least", "50", "--picture", "map.png"]).ok();
    assert!(reply.contains(" vessels on 1 slices: v.nii.gz"), "{reply}");
    let again = host.run(&["vessels", "map.png", "w.nii.gz", "--coloured", "--json"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap()["layers"], 1);
    assert_eq!(
        host.run(&["info", "v.nii.gz", "--json"]).ok().replace("v.nii", "w.nii"),
        host.run(&["info", "w.nii.gz", "--json"]).ok()
    );

    let measure = ["measure", &mask, "--html", "r.html", "--csv", "t.csv"];
    let refused = host.run(&measure);
    assert!(refused.code == Some(1) && refused.stderr.contains("give `spacing`"), "{refused:#?}");
    let reply = host.run(&[&measure[..], &["--spacing", "0.01,0.01,0.01", "--eye", "left"]].concat()).ok();
    assert!(reply.contains("region") && reply.contains("whole"), "{reply}");
    assert!(host.path("r.html").is_file() && host.path("t.csv").is_file());
    let wrong = host.run(&[&measure[..], &["--spacing", "1,1,1", "--diameters", "3,1"]].concat());
    assert!(wrong.stderr.contains("ascending"), "{wrong:#?}");

    let volume = data.join("demo/volume.nii.gz").display().to_string();
    let export = ["export-octa500", &volume, "--root", "data", "--sample", "10302"];
    assert_eq!(host.run(&export).code, Some(2)); // neither vessels nor a FAZ
    let unfit = host.run(&[&export[..], &["--vessels", "v.nii.gz"]].concat());
    assert!(unfit.stderr.contains("do not fit"), "{unfit:#?}");
}

#[test]
fn script_functions_on_vessels_refuse_what_does_not_fit() {
    for (source, text) in [
        ("volume.threshold(100, 255).vessels(#{gap: -1})", "gap"),
        ("volume.threshold(100, 255).vessels(#{gaps: 1})", "did you mean `gap`"),
        ("volume.threshold(100, 255).on_layers(3)", "on_layers: regions: expected a Labels"),
        ("volume.threshold(100, 255).claimed_by(1)", "claimed_by: answers: expected a Labels"),
        ("volume.threshold(100, 255).claimed_by(volume.threshold(1, 255), #{share: 2.0})", "between 0 and 1"),
        ("volume.threshold(100, 255).resized(10, 10)", "project the labels first"),
        ("volume.threshold(100, 255).measure_octa(#{model: 9})", "option `model`: expected a Model"),
        ("volume.threshold(100, 255).measure_octa(#{eye: \"both\"})", "\"right\" or \"left\""),
        ("volume.threshold(100, 255).measure_octa(#{centre: [1]})", "[x, y] in pixels"),
        ("volume.export_octa500(\"data\", #{vessels: volume.threshold(100, 255)})", "option `sample`"),
        ("open_coloured(\"gone.png\")", "gone.png"),
    ] {
        let ran = run(&Host::new(), source);
        assert!(ran.code == Some(1) && ran.stderr.contains(text), "{source}: {ran:#?}");
    }
    let zone = value(
        "let spots = volume.threshold(100, 255); let told = spots.measure_octa(#{faz: 1, vessels: false, spacing: [0.01, 0.01, 0.01], layers: false}); [told.projected.regions.len(), told.projected.faz.area_mm2 > 0.0, told.layers.len()]",
    );
    assert_eq!(zone, json!([0, true, 0]));
}
