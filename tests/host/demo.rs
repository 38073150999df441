//! The small model in the repository, as a new user meets it: `make demo`'s script, and the two precisions in which it may compute.

use crate::scripts::{info, root};
use crate::util::{Host, Ran};
use serde_json::json;
use std::fs;

/// `demo.rhai` with the small model of the repository, after these settings.
fn first_minute(host: &Host, sets: &[&str]) -> Ran {
    let script = root().join("scripts/demo.rhai").display().to_string();
    let model = format!("model={}", root().join("sam2_weights/nano.safetensors").display());
    let arguments: Vec<&str> =
        ["run", &script, "--set", &model].into_iter().chain(sets.iter().flat_map(|set| ["--set", set])).collect();
    host.run(&arguments)
}

/// Click, and the mask follows: on a real image cut into layers and on a phantom. Random weights reach less than 0.1 everywhere.
#[test]
fn the_demo_follows_what_is_clicked() {
    let host = Host::new();
    let real = format!("real={}", root().join("tests/data/rossa").display());
    let stdout = first_minute(&host, &["objects=3", &real]).ok();
    let cells = |from: usize, start: &str| -> Vec<f64> {
        let mut lines = stdout.lines().skip(from).filter(|line| line.trim_start().starts_with(start));
        let line = lines.next().unwrap_or_else(|| panic!("{stdout}"));
        line.split_whitespace().filter_map(|cell| cell.parse().ok()).collect()
    };
    let phantom = stdout.lines().position(|line| line.starts_with("a phantom")).unwrap_or_else(|| panic!("{stdout}"));
    // clicked slice, followed
    let real = cells(0, "vessels   mean");
    assert!(real[0] > 0.6 && real[1] > 0.55, "{stdout}");
    let made = cells(phantom, "vessels   mean");
    assert!(made[0] > 0.55 && made[1] > 0.25, "{stdout}");
    let faz = cells(phantom, "FAZ ");
    assert!(faz[1] > 0.6 && faz[2] > 0.4, "{stdout}");
    assert_eq!(stdout.lines().filter(|line| line.trim_start().starts_with("vessel ")).count(), 3 + 3 + 2, "{stdout}");

    let end: Vec<&str> = stdout.lines().rev().take(10).collect();
    let names = [
        "report.html",
        "vessels.csv",
        "table.csv",
        "found.nii.gz",
        "overlay.png",
        "front.png",
        "labels.nii.gz",
        "real/overlay.png",
        "real/front.png",
        "real/labels.nii.gz",
    ];
    assert_eq!(end, names.map(|name| format!("demo-output/{name}")), "{stdout}");
    assert_eq!(info(&host, end[6])["shape"], json!([8, 512, 512]));
    // slice, truth, followed; and a row for each of the eight
    assert_eq!(info(&host, end[5])["shape"], json!([1, 384, 3 * 388 - 4, 3]));
    assert_eq!(info(&host, end[4])["shape"], json!([1, 8 * 388 - 4, 3 * 388 - 4, 3]));
    let page = fs::read_to_string(host.path(end[0])).unwrap();
    assert!(page.contains("<img") && page.contains("<h2>Foveal avascular zone</h2>"), "a page with pictures");
}

#[test]
fn the_demo_takes_a_volume_of_your_own() {
    let host = Host::new();
    host.run(&["phantom", "--out", "scan.nii.gz", "--labels", "truth.nii.gz", "--seed", "2", "--slices", "3"]).ok();
    let stdout = first_minute(&host, &["input=scan.nii.gz", "objects=2", "out=own"]).ok();
    assert!(!stdout.contains("Dice") && !stdout.contains("(truth"), "there is none: {stdout}");
    assert!(
        stdout.contains("3 clicks on one slice for each of ") && stdout.contains("where the model itself found them"),
        "{stdout}"
    );
    assert!(stdout.ends_with("own/found.nii.gz\nown/table.csv\nown/vessels.csv\nown/report.html\n"), "{stdout}");
    let labels = info(&host, "own/labels.nii.gz");
    assert_eq!(labels["shape"], json!([3, 512, 512]));
    assert!(labels["intensity_range"][1].as_f64().unwrap() >= 2.0, "vessels have numbers from 2 on: {labels}");

    // a picture does not say how large it is
    host.run(&[
        "phantom",
        "--out",
        "layers.nii.gz",
        "--labels",
        "l.npy",
        "--seed",
        "2",
        "--slices",
        "1",
        "--en-face",
        "front.npy",
    ])
    .ok();
    let ran = first_minute(&host, &["input=front.npy", "objects=1", "out=picture"]);
    assert!(ran.stderr.contains("no report: ") && ran.stderr.contains("field=3.0"), "{ran:#?}");
    assert!(ran.ok().ends_with("picture/found.nii.gz\n"));
    let stdout = first_minute(&host, &["input=front.npy", "objects=1", "out=picture", "field=3.0"]).ok();
    assert!(stdout.ends_with("picture/report.html\n"), "{stdout}");

    first_minute(&host, &["input=gone.nii.gz"]).fails_with(&["gone.nii.gz", "No such file"]);
    host.script("phantom(#{size: 64, slices: 1}).volume.threshold(900, 901).save(\"black.nii.gz\")", &[]).ok();
    first_minute(&host, &["input=black.nii.gz"]).fails_with(&["black.nii.gz", "neither vessels nor a FAZ"]);
}

/// A phantom's stack, its vessels and their map; the small network has random weights, so that its region says little.
#[test]
fn the_closed_loop_joins_answers_with_what_is_found_without_a_click() {
    let host = Host::new();
    let source = r#"
        let made = phantom(#{seed: 2, slices: 3, layers: "vessels"});
        let vessels = made.labels - made.labels.object(1);
        made.volume.save("scan.nii.gz");
        vessels.save("truth.nii.gz");
        vessels.project().save("map.nii.gz");
    "#;
    host.script(source, &[]).ok();
    let script = root().join("scripts/closed_loop.rhai").display().to_string();
    let sets = [
        format!("model={}", root().join("sam2_weights/nano.safetensors").display()),
        format!("segmenter={}", host.segmenter()),
        "input=scan.nii.gz".into(),
        "truth=truth.nii.gz".into(),
        "vessels=map.nii.gz".into(),
        "side=128".into(),
        "threshold=0.1".into(),
    ];
    let arguments: Vec<&str> =
        ["run", &script].into_iter().chain(sets.iter().flat_map(|set| ["--set", set.as_str()])).collect();
    let stdout = host.run(&arguments).ok();
    let dice = |step: &str| -> f64 {
        let line = stdout.lines().find_map(|line| line.strip_prefix(&format!("{step}: Dice ")));
        line.and_then(|line| line.split(',').next()).unwrap_or_else(|| panic!("{step}: {stdout}")).parse().unwrap()
    };
    assert!(dice("both") > 0.6 && dice("both") > dice("SAM 2"), "{stdout}");
    assert!(dice("corrected") >= dice("both"), "{stdout}");
    assert_eq!(info(&host, "loop-output/labels.nii.gz")["shape"], json!([3, 512, 512]));
}

/// What counts as found is the configuration's business (`prompted_unet.thresholds`) unless a script says otherwise.
#[test]
fn dense_maps_have_thresholds_of_their_own() {
    let host = Host::new();
    let model = format!("model={}", root().join("sam2_weights/nano.safetensors").display());
    let source = r#"
        let volume = phantom(#{seed: 3, slices: 1}).volume;
        let model = load_model(arg("model"));
        let all = [#{}, #{threshold: VESSELS}, #{threshold: FAZ}, #{threshold: 0.05}].map(|how| model.segment_all(volume, how));
        print([model.dense_head, all[0].vessels == all[1].vessels, all[0].faz == all[2].faz, all[0].vessels == all[3].vessels]);
    "#;
    let config = sam_octa2_config(&root().join("sam2_weights/nano.yaml"));
    let source = source.replace("VESSELS", &config[0]).replace("FAZ", &config[1]);
    let stdout = host.script(&source, &["--set", &model]).ok();
    assert!(stdout.ends_with("[true, true, true, false]\n"), "{stdout}");
}

/// The thresholds that a configuration names, vessels and FAZ.
fn sam_octa2_config(path: &std::path::Path) -> [String; 2] {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("thresholds: [")).unwrap();
    let mut numbers = line.split(']').next().unwrap().split(',').map(|number| number.trim().to_owned());
    [numbers.next().unwrap(), numbers.next().unwrap()]
}

/// A click is never silence: the answer holds it, wherever it lies.
#[test]
fn the_small_model_answers_every_click_with_a_mask_that_holds_it() {
    let host = Host::new();
    let source = r#"
        let made = phantom(#{seed: 3, slices: 1});
        let session = made.volume.new_session(load_model(arg("model")));
        for place in [[3, 3], [508, 4], [256, 256], [100, 400], [17, 300]] {
            session.reset();
            if session.click(0, place[0], place[1]).area == 0 { print(`nothing at ${place}`); }
            for notice in session.notices() { print(notice.text); }
        }
        print("done");
    "#;
    let model = root().join("sam2_weights/nano.safetensors").display().to_string();
    let stdout = host.script(source, &["--set", &format!("model={model}")]).ok();
    assert_eq!(stdout.trim(), "done");
}

/// What `auto` chooses differs between machines; the masks must not.
#[test]
fn masks_in_bfloat16_are_those_in_float32() {
    if !std::is_x86_feature_detected!("avx512bf16") {
        eprintln!(
            "skipped: this processor has no instructions for bfloat16, and emulating them takes a quarter of an hour"
        );
        return;
    }
    let host = Host::new();
    let model = root().join("sam2_weights/nano.safetensors").display().to_string();
    let source = r#"
        let made = phantom(#{seed: 3, slices: 3});
        let truth = made.labels;
        let shown = [];
        for object in truth.objects { if truth.frames_of(object).contains(1) { shown.push(object); } }
        let answers = ["f32", "bf16"].map(|precision| {
            let session = new_session(made.volume, load_model(arg("model"), #{precision: precision}));
            for object in shown { session.points(1, object, truth.clicks(1, object, 3)); }
            session.propagate();
            session.labels()
        });
        let told = answers[0].compare(answers[1]);
        print(`${told.dice}`);
    "#;
    let stdout = host.script(source, &["--set", &format!("model={model}")]).ok();
    let dice: f64 = stdout.lines().last().unwrap().parse().unwrap();
    println!("Dice between float32 and bfloat16: {dice}");
    assert!(dice > 0.95 && dice < 1.0, "{stdout}");
}
