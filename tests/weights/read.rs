//! Checkpoints that PyTorch wrote (`tests/tools/make_checkpoints.py`), and safetensors.

use crate::data;
use sam_octa2_core::model::ModelConfig;
use sam_octa2_core::weights::{self, Checkpoint, Tensors};
use std::path::Path;
use tch::Kind;

fn assert_equal(got: &Tensors, expected: &Tensors) {
    assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, tensor) in got {
        assert_eq!(tensor.kind(), expected[name].kind(), "{name}");
        assert_eq!(tensor.size(), expected[name].size(), "{name}");
        assert!(tensor.equal(&expected[name]), "{name}");
    }
}

fn expected(name: &str) -> Tensors {
    weights::read(data(name)).unwrap().tensors
}

#[test]
fn nested_dict_of_every_type_and_stride() {
    let checkpoint = weights::read(data("nested.pt")).unwrap();
    assert_eq!((checkpoint.tensors.len(), checkpoint.adapters.len(), checkpoint.config.is_none()), (17, 0, true));
    assert_eq!(checkpoint.tensors["bf16"].kind(), Kind::BFloat16);
    assert_eq!(checkpoint.tensors["transposed"].stride(), [1, 8]);
    assert_equal(&checkpoint.tensors, &expected("nested.safetensors"));
    let shared = |name: &str| checkpoint.tensors[name].data_ptr();
    assert_eq!(shared("base"), shared("transposed"));
}

#[test]
fn bare_state_dict() {
    assert_equal(&weights::read(data("bare.pth")).unwrap().tensors, &expected("bare.safetensors"));
}

#[test]
fn peft_names_become_official_and_merge() {
    let checkpoint = weights::read(data("peft.pth")).unwrap();
    let layer = "image_encoder.trunk.blocks.0.attn.qkv";
    assert_eq!(checkpoint.adapters[layer].a.size(), [2, 4]);
    assert_eq!(checkpoint.adapters[layer].b.size(), [12, 2]);
    let base = checkpoint.tensors[&format!("{layer}.weight")].copy();
    let (merged, expected) = (checkpoint.merged().unwrap(), expected("peft_merged.safetensors"));
    assert_eq!(merged.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, tensor) in &merged {
        assert!(tensor.allclose(&expected[name], 1e-6, 1e-6, false), "{name}");
    }
    let unscaled = Checkpoint { scaling: 0.0, ..weights::read(data("peft.pth")).unwrap() }.merged().unwrap();
    assert!(unscaled[&format!("{layer}.weight")].equal(&base));
}

#[test]
fn safetensors_carry_their_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let config = ModelConfig::from_file(data("mini21.yaml")).unwrap();
    let write = |path: &Path, metadata: &str| {
        let header = format!(r#"{{"__metadata__":{metadata},"w":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes().chain(1f32.to_le_bytes()));
        std::fs::write(path, bytes).unwrap();
    };
    let text = serde_json::to_string(&serde_json::json!({"model": config})).unwrap();
    write(&path, &serde_json::json!({"config": text}).to_string());
    assert_eq!(weights::read(&path).unwrap().config, Some(config));

    write(&path, r#"{"config": "{}"}"#);
    let error = weights::read(&path).unwrap_err().to_string();
    assert!(error.contains("its config: the key \"image_encoder\" is missing"), "{error}");

    let named = folder.path().join("sam2.1_hiera_small.safetensors");
    write(&named, "{}");
    assert_eq!(weights::read(&named).unwrap().config, ModelConfig::preset("2.1-small").ok());

    write(&path, "{}");
    let error = weights::read(&path).unwrap().require_config().unwrap_err().to_string();
    assert!(error.contains("no configuration is known") && error.contains("2.1-base_plus"), "{error}");
}

/// The mini checkpoints and the fine-tuned one, beside the repository; `PARITY` names their folder.
#[test]
fn parity_checkpoints() {
    let Some(parity) = std::env::var_os("PARITY").map(std::path::PathBuf::from) else {
        return eprintln!("skipped: PARITY is not set");
    };
    for (name, keys) in [("mini", 368), ("mini21", 371)] {
        let tensors = weights::read(parity.join(format!("weights/{name}.pt"))).unwrap().tensors;
        assert_eq!(tensors.len(), keys);
        let manifest = std::fs::read_to_string(parity.join(format!("manifests/{name}.json"))).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        for entry in manifest["params"].as_array().unwrap() {
            let name = entry["name"].as_str().unwrap();
            assert_eq!(serde_json::json!(tensors[name].size()), entry["shape"], "{name}");
        }
        // the same tensors as torch.load gives, written by Python
        if let Some(dumped) = std::env::var_os("PARITY_DUMP") {
            let dumped = Path::new(&dumped).join(format!("{name}.safetensors"));
            assert_equal(&tensors, &weights::read(dumped).unwrap().tensors);
        }
    }
    let tuned = weights::read(parity.join("mini/mini_lora_after5.pth")).unwrap();
    assert_eq!((tuned.tensors.len(), tuned.adapters.len()), (368, 8));
    let merged = tuned.merged().unwrap();
    let mini = weights::read(parity.join("weights/mini.pt")).unwrap().tensors;
    assert!(merged.keys().eq(mini.keys()));
    if let Some(dumped) = std::env::var_os("PARITY_DUMP") {
        let expected = weights::read(Path::new(&dumped).join("merged.safetensors")).unwrap().tensors;
        for (name, tensor) in &merged {
            assert!(tensor.allclose(&expected[name], 1e-6, 1e-6, false), "{name}");
        }
    }
}
