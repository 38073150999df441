//! EfficientTAM and EdgeTAM learn as SAM 2 does: adapters, and all of their parameters.

use crate::known::{file, weights};
use crate::{folder, request, tensors, train};
use sam_octa2_core::job::{self, Layout};
use sam_octa2_core::loader::ModelRequest;
use serde_json::{Value, json};
use std::path::Path;
use tch::Tensor;

const MINIS: [&str; 3] = ["efficienttam", "efficienttam_1", "edgetam"];

/// `more`, for a small model whose weights lie in `folder`.
fn asked(folder: &Path, name: &str, mut more: Value) -> Value {
    let path = folder.join(format!("{name}.safetensors"));
    Tensor::write_safetensors(&weights(name).iter().collect::<Vec<_>>(), &path).unwrap();
    more["model"] = json!({"model": path, "model_config": file(&format!("mini_{name}.yaml"))});
    more
}

fn answer(model: &ModelRequest) -> Tensor {
    let model = model.load().unwrap().model;
    let image = Tensor::ones([1, 3, 256, 256], (tch::Kind::Float, tch::Device::Cpu));
    let features = model.encode_image(&image);
    model.forward_sam_heads(&model.without_memory(&features), &features, None, None, true).multimasks
}

fn difference(a: &ModelRequest, b: &ModelRequest) -> f64 {
    (answer(a) - answer(b)).abs().max().double_value(&[])
}

#[test]
fn adapters_are_learnt_merged_and_used() {
    for name in MINIS {
        let folder = folder();
        let more = json!({"adapt": {"train": ""}, "optimizer": {"learning_rate": 0.01},
            "sample": {"prompt": "points", "corrections": 0}, "run": {"epochs": 4, "clips_per_case": 4}});
        let request = request(folder.path(), "out", &asked(folder.path(), name, more));
        let report = train(&request).unwrap();
        let losses: Vec<_> = report.epochs.iter().map(|epoch| epoch.loss).collect();
        assert!(losses[3] < losses[0], "{name}: {losses:?}");
        let layer = if name == "edgetam" { "memory_attention." } else { "image_encoder.trunk.blocks." };
        assert!(
            tensors(report.adapter.clone()).iter().any(|(name, _)| name.contains(layer) && name.contains("lora_B"))
        );

        let tuned = ModelRequest { adapter: Some(report.adapter), ..request.model.clone() };
        assert!(difference(&request.model, &tuned) > 1e-3, "{name}: the adapters change nothing");
        let output = folder.path().join("merged.safetensors");
        job::export(&job::ExportRequest { model: tuned.clone(), output: output.clone(), layout: Layout::Official })
            .unwrap();
        let merged = ModelRequest { model: output.display().to_string(), ..ModelRequest::default() };
        let apart = difference(&merged, &tuned);
        assert!(apart < 1e-3, "{name}: the merged file, which carries its configuration, differs by {apart}");
    }
}

#[test]
fn whole_models_are_learnt() {
    for name in MINIS {
        let folder = folder();
        let more = json!({"adapt": {"rank": 0, "targets": "", "train": ".*"}, "optimizer": {"learning_rate": 0.0005},
            "sample": {"prompt": "points", "corrections": 0}, "run": {"epochs": 3, "clips_per_case": 4}});
        let request = request(folder.path(), "out", &asked(folder.path(), name, more));
        let report = train(&request).unwrap();
        let losses: Vec<_> = report.epochs.iter().map(|epoch| epoch.loss).collect();
        assert!(losses[2] < losses[0], "{name}: {losses:?}");
        let learnt = tensors(report.adapter.clone());
        assert!(learnt.iter().all(|(name, _)| !name.contains("running_")), "statistics stay");
        let before = weights(name);
        let same = |(name, tensor): &(String, Tensor)| before.get(name).is_some_and(|before| before == tensor);
        let unchanged: Vec<_> = learnt.iter().filter(|one| same(one)).map(|(name, _)| name).collect();
        let all = learnt.len();
        assert!(unchanged.len() * 10 < all, "{name}: {} of {all} did not learn: {unchanged:?}", unchanged.len());
        let tuned = ModelRequest { adapter: Some(report.adapter), ..request.model.clone() };
        assert!(difference(&request.model, &tuned) > 1e-3, "{name}");
    }
}
