//! What a training needs of the machine: the estimate, features on disk, other precision; and checkpoints for other programs.

use crate::{folder, parity, request, same, tensors, train};
use sam_octa2_core::job::{self, Layout};
use sam_octa2_core::loader::{ModelRequest, Place};
use sam_octa2_core::weights;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

#[test]
fn a_dry_run_says_what_the_training_needs() {
    let folder = folder();
    let report = train(&request(folder.path(), "out", &json!({"run": {"dry_run": true}}))).unwrap();
    let estimate = report.estimate;
    assert!(estimate.memory_gb > 0.1 && estimate.memory_gb < estimate.available_gb.unwrap(), "{estimate:?}");
    assert!(estimate.seconds_per_clip > 0.0 && estimate.hours > 0.0, "{estimate:?}");
    assert!(report.epochs.is_empty() && !folder.path().join("out/checkpoint.safetensors").exists());
}

#[test]
fn what_cannot_fit_is_refused_with_advice() {
    let folder = folder();
    let error = |more: Value| train(&request(folder.path(), "out", &more)).unwrap_err().to_string();
    let text = error(json!({"run": {"memory_limit": 0.01, "keep_images": 2}}));
    assert!(
        text.contains("there are 0.0 GB") && text.contains("run.keep_images and run.keep_frame_steps 0 ("),
        "{text}"
    );
    assert!(text.contains("run.memory_limit"), "{text}");
    assert!(!error(json!({"run": {"memory_limit": 0.01}})).contains("keep_images"), "nothing is kept");
}

/// Hundreds of cases need not lie in memory: what is read anew for every clip gives the same numbers.
#[test]
fn which_cases_stay_in_memory_does_not_matter() {
    let folder = folder();
    let rows: String = (0..5)
        .map(|at| format!("disc.nii.gz,truth.nii.gz,{},case{at}\n", if at < 4 { "train" } else { "validation" }))
        .collect();
    fs::write(folder.path().join("pairs.csv"), format!("image,labels,subset,name\n{rows}")).unwrap();
    let run = |output: &str, gb: f64| {
        let more = json!({"run": {"epochs": 2, "clips_per_case": 1, "case_memory": gb}});
        train(&request(folder.path(), output, &more)).unwrap();
        let read = |name: &str| fs::read(folder.path().join(output).join(name)).unwrap();
        [read("metrics.csv"), read("steps.csv")]
    };
    let all = run("all", 1.0);
    // room for two of five cases, and for none
    assert!(all == run("two", 160e-6) && all == run("none", 1e-9));
    for other in ["two", "none"] {
        same(folder.path().join("all/last.safetensors"), folder.path().join(other).join("last.safetensors"));
    }
}

/// Nothing before the features is trained, images do not change.
fn frozen(cache: bool) -> Value {
    json!({
        "adapt": {"targets": "memory_attention\\..*_proj", "train": "sam_mask_decoder\\.transformer\\..*"},
        "augment": {"flip": 0.0, "rotation": 0.0, "contrast": 0.0, "brightness": 0.0, "blur": 0.0},
        "run": {"cache_features": cache},
    })
}

#[test]
fn cached_features_are_the_features() {
    let folder = folder();
    let file = |run: &str, name: &str| folder.path().join(run).join(name);
    train(&request(folder.path(), "cold", &frozen(true))).unwrap();
    fs::create_dir_all(file("warm", "")).unwrap();
    fs::rename(file("cold", "features"), file("warm", "features")).unwrap();
    let files = || fs::read_dir(file("warm", "features")).unwrap().count();
    let before = files();
    assert!((2..=6).contains(&before), "{before} slices of 6 were seen");
    train(&request(folder.path(), "warm", &frozen(true))).unwrap();
    assert_eq!(before, files(), "nothing was computed again");
    same(file("cold", "last.safetensors"), file("warm", "last.safetensors"));

    train(&request(folder.path(), "plain", &frozen(false))).unwrap();
    let losses = |run: &str| -> Vec<f64> {
        let text = fs::read_to_string(file(run, "steps.csv")).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
    };
    let (plain, cached) = (losses("plain"), losses("cold"));
    assert_eq!(plain, cached);
}

#[test]
fn features_that_change_are_not_cached() {
    let folder = folder();
    let error = |more: Value| train(&request(folder.path(), "out", &more)).unwrap_err().to_string();
    assert!(error(json!({"run": {"cache_features": true}})).contains("every option of `augment`"));
    let mut more = frozen(true);
    more["adapt"]["targets"] = json!(".*qkv");
    assert!(error(more).contains("image_encoder."));
}

/// Frozen parts in bfloat16, adapters in float32.
#[test]
fn adapters_of_a_bfloat16_model_learn() {
    let folder = folder();
    let more = json!({"model": {"precision": "bf16"}, "adapt": {"train": ""}, "optimizer": {"learning_rate": 0.01},
        "sample": {"prompt": "points", "corrections": 0}, "run": {"epochs": 4, "clips_per_case": 4}});
    let report = train(&request(folder.path(), "out", &more)).unwrap();
    let losses: Vec<_> = report.epochs.iter().map(|epoch| epoch.loss).collect();
    assert!(losses[3] < losses[0], "{losses:?}");
    assert!(tensors(report.adapter).iter().all(|(_, tensor)| tensor.kind() == tch::Kind::Float));
    let error = train(&request(folder.path(), "whole", &json!({"model": {"precision": "bf16"}}))).unwrap_err();
    assert!(error.to_string().contains("float32 only"), "{error}");
}

fn export(model: &ModelRequest, output: PathBuf, layout: Layout) -> sam_octa2_core::Result<job::ExportReport> {
    job::export(&job::ExportRequest { model: model.clone(), output, layout })
}

/// Every form of a tuned model is the same model.
#[test]
fn a_tuned_model_is_written_as_one_file() {
    let folder = folder();
    let more = json!({"adapt": {"train": "", "alpha": 2.0}, "run": {"epochs": 1, "clips_per_case": 1}});
    let request = request(folder.path(), "out", &more);
    let model = ModelRequest { adapter: Some(train(&request).unwrap().adapter), ..request.model.clone() };
    let tuned = model.load().unwrap().model;
    for (name, layout) in [
        ("merged.pt", Layout::Official),
        ("merged.safetensors", Layout::Official),
        ("octa.pth", Layout::SamOcta2),
        ("octa.safetensors", Layout::SamOcta2),
    ] {
        let file = folder.path().join(name);
        let report = export(&model, file.clone(), layout).unwrap();
        assert_eq!((report.adapters, report.size), (8, fs::metadata(&file).unwrap().len()), "{name}");
        let read = weights::read(&file).unwrap();
        assert_eq!(read.adapters.len(), if layout == Layout::SamOcta2 { 8 } else { 0 }, "{name}");
        let config = (!name.ends_with("safetensors")).then(|| parity("mini21.yaml")); // .safetensors carry it
        let again = ModelRequest { model: file.display().to_string(), model_config: config, ..ModelRequest::default() };
        let again = again.load().unwrap().model;
        let image = tch::Tensor::ones([1, 3, 256, 256], (tch::Kind::Float, tch::Device::Cpu));
        let difference = (again.encode_image(&image).vision - tuned.encode_image(&image).vision).abs().max();
        assert!(difference.double_value(&[]) < 1e-5, "{name}: {difference:?}");
    }

    let place = Place { precision: "bf16".parse().unwrap(), ..Place::default() };
    let half = ModelRequest { place, ..model.clone() };
    let file = folder.path().join("half.safetensors");
    let report = export(&half, file.clone(), Layout::Official).unwrap();
    assert!(report.size < 4_000_000, "{report:?}");
    assert_eq!(weights::read(&file).unwrap().tensors["no_mem_embed"].kind(), tch::Kind::BFloat16);

    let plain = ModelRequest { adapter: None, ..model };
    let refused = |model, name: &str, layout| export(model, folder.path().join(name), layout).unwrap_err().to_string();
    assert!(refused(&plain, "x.pth", Layout::SamOcta2).contains("no adapters"));
    assert!(refused(&plain, "x.onnx", Layout::Official).contains(".safetensors"));
}
