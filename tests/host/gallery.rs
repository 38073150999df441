//! Everything in `scripts/`, run through the built host. Small model, random weights: what is checked is what must hold for any weights (`demo` has the
//! tests with trained ones, `batch` those of batch.rhai, `folds` those of a cross-validation).

use crate::scripts::{demo, gallery, info, root};
use crate::util::Host;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

#[test]
fn every_script_of_the_gallery_is_tested_and_listed() {
    let folder = root().join("scripts");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".rhai"))
        .collect();
    names.sort();
    let tested = [
        "batch.rhai",
        "both.rhai",
        "clicks.rhai",
        "closed_loop.rhai",
        "compare.rhai",
        "corrections.rhai",
        "demo.rhai",
        "enface.rhai",
        "evaluate.rhai",
        "faz.rhai",
        "fine_tune.rhai",
        "fine_tune_enface.rhai",
        "folds.rhai",
        "folds_report.rhai",
        "from_scratch.rhai",
        "inspect.rhai",
        "layers.rhai",
        "measure.rhai",
        "next_slice.rhai",
        "octa500.rhai",
        "record.rhai",
        "regions.rhai",
        "segment.rhai",
        "vessels.rhai",
        "viewer.rhai",
    ];
    assert_eq!(names, tested, "a new script needs a test here");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    for name in names {
        assert!(readme.contains(&format!("[{name}]({name})")), "{name} is not in scripts/README.md");
        assert!(fs::read_to_string(folder.join(&name)).unwrap().starts_with("// "), "{name} has no header");
    }
}

#[test]
fn segment_writes_labels_and_pictures() {
    let prompts = format!("prompts={}", root().join("tests/data/demo/prompts.json").display());
    let (host, stdout) = gallery("segment.rhai", &["--set", &prompts, "--set", "out=results"]);
    let slices: Vec<&str> = stdout.lines().filter(|line| line.starts_with("slice ")).collect();
    assert_eq!(slices.len(), 12, "{stdout}");
    assert!(slices[11].starts_with("slice 11 (12/12)  object 1: "), "{stdout}");
    let end: Vec<&str> = stdout.lines().rev().take(4).collect();
    let (gif, png, labels) = ("results/overlay.gif", "results/overlay.png", "results/labels.nii.gz");
    assert_eq!(end[..3], [gif, png, labels], "{stdout}");
    assert!(end[3].starts_with("2 objects, 12 slices, "), "{stdout}");

    let labels = info(&host, labels);
    assert_eq!(labels["shape"], json!([12, 256, 256]));
    assert_eq!(labels["intensity_range"], json!([0.0, 2.0]));
    assert_eq!(info(&host, png)["shape"], json!([1, 776, 1036, 3]));
    assert_eq!(&fs::read(host.path(gif)).unwrap()[..6], b"GIF89a");
}

#[test]
fn segment_crops() {
    let host = Host::new();
    let prompts = host.file("p.json", r#"{"objects": [{"id": 7, "prompts": [{"frame": 10, "points": [[5, 5]]}]}]}"#);
    let prompts = format!("prompts={}", prompts.display());
    let (host, stdout) = gallery("segment.rhai", &["--set", &prompts, "--set", "out=.", "--set", "crop=75%,0,25%,50%"]);
    assert_eq!(stdout.lines().filter(|line| line.starts_with("slice ")).count(), 2, "{stdout}");
    assert_eq!(info(&host, "labels.nii.gz")["shape"], json!([12, 128, 64]));
}

#[test]
fn clicks_corrects_and_takes_back() {
    let (host, stdout) = gallery("clicks.rhai", &["--set", "x=131", "--set", "y=126", "--set", "out=labels.npy"]);
    let pixels = |text: &str| {
        let after = stdout.split(text).nth(1).unwrap_or_else(|| panic!("no `{text}` in {stdout}"));
        after.split_whitespace().next().unwrap().to_owned()
    };
    let tracked = stdout.lines().find(|line| line.contains("pixels tracked")).unwrap();
    assert!(stdout.contains("followed over 6 slices\n"), "{stdout}");
    assert!(tracked.starts_with(&format!("slice 5: {} pixels tracked", pixels("after the correction\nslice 5: "))));
    assert!(!tracked.contains(&format!(", {} after the correction", pixels("after the correction\nslice 5: "))));
    assert!(stdout.contains("voxels on slices [0, 1, 2, 3, 4, 5]\nlabels.npy\n"), "{stdout}");
    assert_eq!(info(&host, "labels.npy")["shape"], json!([12, 256, 256]));
}

#[test]
fn corrections_go_back_and_forth() {
    let (host, stdout) = gallery(
        "corrections.rhai",
        &["--set", "x=131", "--set", "y=126", "--set", "last=3", "--set", "out=labels.npy"],
    );
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].starts_with("slice ") && lines[0].contains(" is the least sure: predicted IoU 0."), "{stdout}");
    assert!(lines[1].starts_with("corrected: ") && !lines[1].ends_with(" by 0 voxels"), "{stdout}");
    assert_eq!(lines[2], "undo: propagation forward");
    assert!(lines[3].starts_with("undo: slice ") && lines[3].ends_with(", object 1: 1 point"), "{stdout}");
    let end = ["as it was tracked", "as it was corrected", "4 steps in force, 8 in the record", "labels.npy"];
    assert_eq!(lines[4..], end, "{stdout}");
    assert_eq!(info(&host, "labels.npy")["shape"], json!([12, 256, 256]));
}

#[test]
fn inspect_tells_of_every_slice() {
    let (host, stdout) = gallery("inspect.rhai", &["--set", "out=flat.nii.gz"]);
    assert_eq!(stdout.lines().filter(|line| line.starts_with("slice ")).count(), 12, "{stdout}");
    assert_eq!(info(&host, "flat.nii.gz")["shape"], json!([1, 256, 256]));
}

#[test]
fn enface_and_compare_measure_vessels() {
    let (host, stdout) = gallery("enface.rhai", &[]);
    assert!(stdout.starts_with("vessels 1.4378") && stdout.contains("7 parts"), "{stdout}");
    assert!(host.path("enface-output/vessels.png").is_file());
    let compare = root().join("scripts/compare.rhai").display().to_string();
    let vessels = "enface-output/vessels.nii.gz";
    let (found, truth) = (format!("found={vessels}"), format!("truth={vessels}"));
    let reply = host.run(&["run", &compare, "--set", &found, "--set", &truth, "--set", "out=c.csv"]).ok();
    assert!(reply.starts_with("all: dice 1.0, jaccard 1.0, boundaries within 0.0 mm"), "{reply}");
    assert_eq!(fs::read_to_string(host.path("c.csv")).unwrap().lines().count(), 3);
}

#[test]
fn regions_come_with_pictures_and_doubt() {
    let host = Host::new();
    let (segmenter, map) = (host.segmenter(), host.path("map.png"));
    let input = root().join("tests/data/demo/volume.nii.gz").display().to_string();
    let flat =
        "let m = open_volume(arg(\"input\")).project(#{how: \"mean\"}); draw(\"map.png\", m, m.threshold(60, 255));";
    host.script(&flat.replace("draw", "overlay"), &["--set", &format!("input={input}")]).ok();
    let script = root().join("scripts/regions.rhai").display().to_string();
    let sets = [("input", input), ("segmenter", segmenter), ("vessels", map.display().to_string())];
    let sets: Vec<String> = sets.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut arguments = vec!["run", &script, "--set", "size=64", "--set", "threshold=0.5"];
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    let stdout = host.run(&arguments).ok();
    assert_eq!(stdout.lines().filter(|line| line.contains(" pixels, expected_error 0.")).count(), 12, "{stdout}");
    assert!(stdout.starts_with("Segmenter(12, 64 px, cpu) on Volume(nifti, 12 x 256 x 256"), "{stdout}");
    assert_eq!(info(&host, "regions-output/strips")["shape"], json!([12, 64, 256, 3]));
    assert_eq!(info(&host, "regions-output/region.nii.gz")["shape"], json!([12, 256, 256]));
    let table = fs::read_to_string(host.path("regions-output/regions.csv")).unwrap();
    assert!(table.lines().count() == 13 && table.contains("vessels"), "{table}");
}

#[test]
fn layers_are_learnt_and_proposed() {
    let host = Host::new();
    fs::create_dir(host.path("layers")).unwrap();
    for at in 0..3u32 {
        let inside = |x: u32, y: u32| x.abs_diff(12 + 4 * at) < 8 && y.abs_diff(16) < 8;
        let pixel = |x: u32, y: u32| match x.checked_sub(32) {
            Some(right) => u8::from(inside(right, y)) * 255,
            None => {
                if inside(x, y) {
                    200
                } else {
                    20
                }
            }
        };
        let picture = image::GrayImage::from_fn(64, 32, |x, y| image::Luma([pixel(x, y)]));
        picture.save(host.path(&format!("layers/{at}.png"))).unwrap();
    }
    let input = format!("input={}", root().join("tests/data/demo/volume.nii.gz").display());
    let script = root().join("scripts/layers.rhai").display().to_string();
    let options =
        ["--set", "layers=layers", "--set", "size=tiny", "--set", "side=32", "--set", "epochs=2", "--set", &input];
    let stdout = host.run(&[&["run", script.as_str()], &options[..]].concat()).ok();
    let epochs: Vec<&str> = stdout.lines().filter(|line| line.starts_with("epoch ")).collect();
    assert!(epochs.len() == 2 && epochs[1].contains("Dice 0."), "{stdout}");
    assert!(stdout.contains("best: epoch") && stdout.contains("of 12 slices: layers-output/region.nii.gz"), "{stdout}");
    assert_eq!(info(&host, "layers-output/strips")["shape"], json!([12, 32, 128, 3]));
}

#[test]
fn a_mask_is_carried_from_slice_to_slice() {
    let more = ["--set", "x=131", "--set", "y=126", "--set", "last=2", "--set", "out=labels.npy"];
    let (host, stdout) = gallery("next_slice.rhai", &more);
    let lines: Vec<&str> = stdout.lines().collect();
    let clicked = lines[0].strip_prefix("slice 0: clicked, ").unwrap();
    assert!(lines[1].starts_with(&format!("slice 1: {clicked} given, ")) && lines.len() == 4, "{stdout}");
    assert_eq!(info(&host, "labels.npy")["shape"], json!([12, 256, 256]));
}

/// What the head of a script says that it prints is what it prints.
#[test]
fn fine_tune_promises_what_it_prints() {
    let about = Host::new().run(&["run", &root().join("scripts/fine_tune.rhai").display().to_string(), "--about"]).ok();
    assert!(about.contains("epoch 1: loss") && !about.contains("click"), "{about}");
}

#[test]
fn fine_tuning_writes_adapters_that_segment_takes() {
    let host = Host::new();
    let data = root().join("tests/data");
    let truth = host.path("truth.nii.gz").display().to_string();
    let head = "let labels = open_volume(arg(\"input\")).threshold(120, 255); labels.save(\"truth.nii.gz\");";
    host.script(head, &["--set", &format!("input={}", data.join("demo/volume.nii.gz").display())]).ok();
    host.file("pairs.csv", format!("image,labels\n{},{truth}\n", data.join("demo/volume.nii.gz").display()));
    let script = root().join("scripts/fine_tune.rhai").display().to_string();
    let demo = demo();
    let more = ["--set", "manifest=pairs.csv", "--set", "epochs=2", "--set", "frames=2"];
    let arguments: Vec<&str> = ["run", &script].into_iter().chain(demo.iter().map(String::as_str).skip(2)).collect();
    let ran = host.run(&[&arguments, &more[..]].concat());
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let stdout = ran.stdout;
    let lines: Vec<&str> = stdout.lines().filter(|line| line.starts_with("epoch ")).collect();
    assert!(lines.len() == 2 && lines[1].contains("loss") && lines[1].contains("Dice"), "{stdout}");
    assert!(stdout.contains("best: epoch"), "{stdout}");
    for kind in ["prompted ", "followed ", "1 cases for training, 0 for validation", " GB are free"] {
        assert!(stdout.contains(kind), "{kind}: {stdout}");
    }
    for warning in ["1 training case(s)", "no case of its own validates"] {
        assert!(ran.stderr.contains(warning), "{warning}: {}", ran.stderr);
    }
    let quiet = host.run(&[&arguments, &more[..], &["--set", "plan=true", "--quiet"]].concat());
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty() && quiet.code == Some(0), "quiet is quiet: {quiet:#?}");

    let (input, prompts) = (data.join("demo/volume.nii.gz"), data.join("demo/prompts.json"));
    let (model, config) = (data.join("parity/mini21.pt"), data.join("parity/mini21.yaml"));
    let path = |path: &Path| path.display().to_string();
    let base = [
        "segment",
        &path(&input),
        "--model",
        &path(&model),
        "--model-config",
        &path(&config),
        "--prompts",
        &path(&prompts),
    ]
    .map(str::to_owned);
    let logits = |more: &[&str], out: &str| {
        let arguments: Vec<&str> =
            base.iter().map(String::as_str).chain(more.iter().copied()).chain(["--logits", out]).collect();
        host.run(&arguments).ok();
        fs::read(host.path(out)).unwrap()
    };
    let plain = logits(&[], "plain.safetensors");
    let tuned = ["--adapter", "tuned/adapter.safetensors", "--record", "again.rhai"];
    assert_ne!(plain, logits(&tuned, "tuned.safetensors"));
    let again = host.run(&["run", "again.rhai", "--allow", &path(&data)]).ok();
    assert!(again.contains("the labels are those of the record"), "{again}");
    let arguments: Vec<&str> =
        base.iter().map(String::as_str).chain(["--adapter", "pairs.csv", "--logits", "x.safetensors"]).collect();
    host.run(&arguments).fails_with(&["pairs.csv", "safetensors"]);
}

#[test]
fn both_follows_two_objects_in_both_directions() {
    let (host, stdout) = gallery("both.rhai", &["--set", "first=131,126", "--set", "second=60,60", "--set", "slice=5"]);
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].starts_with("object 1: ") && lines[1].starts_with("object 2: "), "{stdout}");
    assert!(lines[2].starts_with("12 slices from slice 5 on in "), "{stdout}");
    let table = fs::read_to_string(host.path("both-output/areas.csv")).unwrap();
    assert!(table.starts_with("largest,object,slices,volume_mm3,voxels\n") && table.lines().count() == 3, "{table}");
    assert_eq!(info(&host, "both-output/labels.nii.gz")["intensity_range"], json!([0.0, 2.0]));
    assert_eq!(&fs::read(host.path("both-output/overlay.gif")).unwrap()[..6], b"GIF89a");
}

#[test]
fn faz_agrees_on_a_dark_disc() {
    let host = Host::new();
    // vessels everywhere but in a disc of 20 pixels, larger in the lower half
    let radius = |frame: usize| if frame < 4 { 20.0f64 } else { 24.0 };
    let value = |frame: usize, row: usize, column: usize| {
        let apart = (row as f64 - 40.0).hypot(column as f64 - 50.0);
        if apart < radius(frame) { 20 } else { 160 + (row * 7 + column * 3) as u8 % 60 }
    };
    let voxels = (0..8).flat_map(|f| (0..80).flat_map(move |r| (0..100).map(move |c| value(f, r, c))));
    let head = "{'descr': '|u1', 'fortran_order': False, 'shape': (8, 80, 100), }";
    let mut bytes = b"\x93NUMPY\x01\x00v\x00".to_vec();
    bytes.extend(format!("{head:<117}\n").bytes());
    bytes.extend(voxels);
    host.file("disc.npy", bytes);
    let script = root().join("scripts/faz.rhai").display().to_string();
    let stdout = host.run(&["run", &script, "--set", "input=disc.npy", "--set", "smooth=1.0"]).ok();
    let areas: Vec<f64> =
        stdout.lines().take(4).map(|l| l.split_whitespace().rev().find_map(|w| w.parse().ok()).unwrap()).collect();
    let areas = [areas[0], areas[1], areas[2]];
    let agreed: f64 = stdout.split("agreed: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let disc = |radius: f64| std::f64::consts::PI * radius * radius;
    assert!((areas[1] - disc(20.0)).abs() < 60.0 && (areas[2] - disc(24.0)).abs() < 60.0, "{stdout}");
    assert!(areas[1] <= agreed && agreed <= areas[2], "{stdout}");
    assert!(stdout.ends_with("faz-output/faz.nii.gz\nfaz-output/faz.png\n"), "{stdout}");
    assert_eq!(info(&host, "faz-output/faz.nii.gz")["shape"], json!([1, 80, 100]));
}

#[test]
fn viewer_asks_and_shows() {
    let host = Host::new();
    let script = root().join("scripts/viewer.rhai").display().to_string();
    let volume = root().join("tests/data/demo/volume.nii.gz").display().to_string();
    let stdout = host.run(&["run", &script, "--volume", &volume, "--answer", "90"]).ok();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(
        lines[..4],
        ["pictures/001.png", "pictures/002.png", "pictures/003.png", "pictures/004.png"],
        "{stdout}"
    );
    assert!(lines[4].contains(" voxels from 90.0 on, "), "{stdout}");
    assert_eq!(fs::read(host.path("pictures/003.png")).unwrap(), fs::read(host.path("pictures/004.png")).unwrap());
}

/// A sample as SAM-OCTA2 lays it out: strips of preview, raw layer and mask.
#[test]
fn octa500_follows_one_layer_through_the_others() {
    let host = Host::new();
    let folder = host.path("FAZ_LayerSequence/10301");
    fs::create_dir_all(&folder).unwrap();
    for layer in 0..3u32 {
        let disc = |x: u32, y: u32| (x - 32).pow(2) + (y - 30 - layer).pow(2) < 200;
        let strip = image::RgbImage::from_fn(192, 64, |x, y| {
            let inside = disc(32.max(x % 64), (30 + layer).max(y));
            let value = match (x / 64, inside) {
                (2, inside) => {
                    if inside {
                        255
                    } else {
                        0
                    }
                }
                (_, true) => 20,
                (_, false) => 120 + (x * 7 + y * 13) as u8 % 60,
            };
            image::Rgb([value; 3])
        });
        strip.save(folder.join(format!("{}.png", 300 + layer))).unwrap();
    }
    let script = root().join("scripts/octa500.rhai").display().to_string();
    let demo = demo();
    let arguments: Vec<&str> =
        ["run", &script, "--set", "root=."].into_iter().chain(demo.iter().map(String::as_str).skip(2)).collect();
    let stdout = host.run(&[&arguments[..], &["--set", "layer=1"]].concat()).ok();
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines.len() == 4 && lines[1].ends_with(", given"), "{stdout}");
    let areas: Vec<u32> = lines[1].split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    assert!(areas[1].abs_diff(areas[2]) * 50 < areas[2], "the given layer is as it was given: {stdout}");
    assert!(lines[3].starts_with("all layers: Dice 0."), "{stdout}");
    assert_eq!(info(&host, "octa500-output/labels.nii.gz")["shape"], json!([3, 64, 64]));
}

#[test]
fn the_loop_is_closed() {
    let host = Host::new();
    let input = root().join("tests/data/demo/volume.nii.gz").display().to_string();
    // the truth: what is bright
    host.script(
        "open_volume(arg(\"input\")).threshold(60, 255).save(\"truth.nii.gz\")",
        &["--set", &format!("input={input}")],
    )
    .ok();
    let script = root().join("scripts/closed_loop.rhai").display().to_string();
    let segmenter = format!("segmenter={}", host.segmenter());
    let demo = demo();
    let sets = [
        "--set",
        &segmenter,
        "--set",
        "truth=truth.nii.gz",
        "--set",
        "epochs=1",
        "--set",
        "threshold=0.1",
        "--set",
        "side=128",
        "--set",
        "looks=2",
    ];
    let arguments: Vec<&str> =
        ["run", &script].into_iter().chain(demo.iter().map(String::as_str)).chain(sets).collect();
    let stdout = host.run(&arguments).ok();
    let starts = |start: &str| stdout.lines().filter(|line| line.starts_with(start)).count();
    for step in
        ["small network: Dice ", "SAM 2: Dice ", "corrected: Dice ", "fine-tuned: ", "small network: loop-output"]
    {
        assert_eq!(starts(step), 1, "{step}: {stdout}");
    }
    assert_eq!(starts("look at slice "), 2, "{stdout}");
    let review = fs::read_to_string(host.path("loop-output/review.csv")).unwrap();
    assert!(review.lines().count() > 2 && review.contains("disagreement"), "{review}");
    assert_eq!(info(&host, "loop-output/labels.nii.gz")["shape"], json!([12, 256, 256]));
    let prompts = fs::read_to_string(host.path("loop-output/prompts.json")).unwrap();
    assert!(prompts.contains("\"points\""), "{prompts}");
}

/// One image of ROSSA: the bias of its numbers is (found - truth) / truth, recomputed from the masks, and goes into the table for reports.
#[test]
fn evaluate_measures_how_far_numbers_are_off() {
    let host = Host::new();
    let source = root().join("tests/data/rossa");
    for (kind, file) in [("image", "102_image.png"), ("label", "102_label.png")] {
        fs::create_dir_all(host.path(&format!("faces/own/{kind}"))).unwrap();
        fs::copy(source.join(file), host.path(&format!("faces/own/{kind}/1.png"))).unwrap();
    }
    let script = root().join("scripts/evaluate.rhai").display().to_string();
    let model = format!("model={}", root().join("sam2_weights/nano.safetensors").display());
    let sets = ["enface=faces", "sets=own", "methods=none", &model];
    let arguments: Vec<&str> = ["run", &script].into_iter().chain(sets.iter().flat_map(|set| ["--set", set])).collect();
    let stdout = host.run(&arguments).ok();
    assert!(stdout.contains("| own | 1 | ") && stdout.ends_with("evaluate-output/validation.json\n"), "{stdout}");
    let source = "let found = load_model(arg(\"model\")).segment_all(open_volume(\"faces/own/image/1.png\")).vessels.count(1);
        print((found - open_labels(\"faces/own/label/1.png\").voxels) / open_labels(\"faces/own/label/1.png\").voxels.to_float());";
    let error: f64 = host.script(source, &["--set", &model]).ok().trim().parse().unwrap();
    let text = fs::read_to_string(host.path("evaluate-output/validation.json")).unwrap();
    let table: Value = serde_json::from_str(&text).unwrap();
    let told = &table["sets"][0]["measures"]["vessel_area_density"];
    assert!((told["bias"].as_f64().unwrap() - error).abs() < 1e-4 && told["sd"].is_null(), "{error}: {text}");
    // the table is one that reports take
    host.script("phantom(#{size: 64, slices: 1}).labels.save(\"l.nii.gz\")", &[]).ok();
    let told = host.run(&["measure", "l.nii.gz", "--validation", "evaluate-output/validation.json"]).ok();
    assert!(told.contains("validated on 1 labelled images (1 of own): vessel area "), "{told}");
}

/// A model with random weights on a small phantom: what is checked holds for any weights.
#[test]
fn evaluate_prints_a_table_for_any_model() {
    let host = Host::new();
    let script = root().join("scripts/evaluate.rhai").display().to_string();
    let demo = demo();
    let sets = ["phantoms=1", "size=64", "slices=3", "objects=2"];
    let arguments: Vec<&str> = ["run", &script]
        .into_iter()
        .chain(demo.iter().map(String::as_str).skip(2))
        .chain(sets.iter().flat_map(|set| ["--set", set]))
        .collect();
    let stdout = host.run(&arguments).ok();
    let line = |start: &str| stdout.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{stdout}"));
    let cells: Vec<&str> = line("| phantoms | FAZ | model |").split('|').map(str::trim).collect();
    assert_eq!(cells[4], "1", "one object: {stdout}");
    assert!(cells[5].is_empty() && cells[6..10].iter().all(|cell| cell.contains(" / ")), "{stdout}");
    for method in ["otsu", "frangi", "random_walker"] {
        line(&format!("| phantoms | vessel | {method}, copied | 2 |  | "));
    }
    line("| phantoms | FAZ | truth copied | 1 | 1.0 / ");
    line("| phantoms | vessel | model, different clicks | 1 |  |  | ");

    let written = |name: &str| fs::read_to_string(host.path(&format!("evaluate-output/{name}"))).unwrap();
    let report: Value = serde_json::from_str(&written("dice.json")).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3 * (4 * 5 + 1) + 1, "one FAZ, two vessels, one line for their clicks: {stdout}");
    assert_eq!(written("dice.csv").lines().count(), rows.len() + 1);
    assert!(
        rows.iter().all(|row| (0.0..=1.0)
            .contains(&row[if row["clicked"].is_null() { "followed" } else { "clicked" }].as_f64().unwrap())),
        "{rows:?}"
    );
    host.run(&arguments[..arguments.len() - 8]).fails_with(&["give octa500, enface or phantoms"]);
}

/// With a model without the head and a phantom of 64 pixels: the way through all phases.
#[test]
fn a_small_sam2_is_trained_in_phases() {
    let host = Host::new();
    let script = root().join("scripts/from_scratch.rhai").display().to_string();
    let config = root().join("tests/data/parity/mini21.yaml").display().to_string();
    let sets = ["share=0.01", "cases=1", "size=64", &format!("config={config}"), &format!("small={config}")];
    let arguments: Vec<&str> = ["run", &script].into_iter().chain(sets.iter().flat_map(|set| ["--set", set])).collect();
    let stdout = host.run(&arguments).ok();
    assert_eq!(stdout.lines().last(), Some("small/small.safetensors"), "{stdout}");
    assert_eq!(stdout.lines().filter(|line| line.starts_with("  1: loss ")).count(), 7, "{stdout}");
    let again = host.run(&arguments).ok();
    assert_eq!(again.lines().filter(|line| line.starts_with("  1: loss ")).count(), 0, "what is done stays: {again}");
}

/// One image of ROSSA for training and validation: the whole way, and a second run that goes on.
#[test]
fn en_face_images_fine_tune_the_small_model() {
    let host = Host::new();
    let source = root().join("tests/data/rossa");
    for (subset, name) in [("train", "125"), ("val", "102")] {
        for kind in ["image", "label"] {
            let folder = host.path(&format!("set/{subset}/{kind}"));
            fs::create_dir_all(&folder).unwrap();
            fs::copy(source.join(format!("{name}_{kind}.png")), folder.join("1.png")).unwrap();
        }
    }
    let script = root().join("scripts/fine_tune_enface.rhai").display().to_string();
    let model = format!("model={}", root().join("sam2_weights/nano.safetensors").display());
    let run = || {
        let sets = ["enface=set", "epochs=2", "out=tuned", &model];
        let arguments: Vec<&str> =
            ["run", &script].into_iter().chain(sets.iter().flat_map(|set| ["--set", set])).collect();
        host.run(&arguments).ok()
    };
    let stdout = run();
    assert!(stdout.contains("epoch 2: loss ") && stdout.ends_with("tuned/tuned.safetensors\n"), "{stdout}");
    let dice = stdout.lines().find_map(|line| line.strip_prefix("val: Dice ")).and_then(|line| line.split(' ').next());
    assert!(dice.unwrap().parse::<f64>().unwrap() > 0.6, "{stdout}");
    assert!(!run().contains("epoch 1:"), "it goes on where it stopped");
}
