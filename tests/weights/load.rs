//! Strict loading, and where checkpoints are looked for.

use crate::data;
use sam_octa2_core::loader;
use sam_octa2_core::model::config::Official;
use sam_octa2_core::model::params::Params;
use sam_octa2_core::weights::{self, Checkpoint, Tensors};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Two layers, as a model would ask for them.
fn build(tensors: Tensors) -> (Result<(), sam_octa2_core::Error>, Vec<Tensor>) {
    let p = Params::from_tensors(tensors, Device::Cpu, Kind::BFloat16);
    let tensors = vec![
        p.sub(0).get("weight", &[4, 3]),
        p.sub(0).get_kind("bias", &[4], Kind::Float),
        p.sub(1).get("weight", &[4]),
        p.sub(1).get("bias", &[4]),
    ];
    (p.finish(), tensors)
}

#[test]
fn parameters_come_in_the_type_that_the_model_computes_in() {
    let tensors = weights::read(data("bare.pth")).unwrap().tensors;
    let expected = tensors["0.weight"].shallow_clone();
    let (finished, built) = build(tensors);
    finished.unwrap();
    assert_eq!((built[0].kind(), built[1].kind()), (Kind::BFloat16, Kind::Float));
    assert!(built[0].to_kind(Kind::Float).allclose(&expected, 1e-2, 1e-2, false));
}

#[test]
fn every_mistake_is_listed() {
    let mut tensors = weights::read(data("bare.pth")).unwrap().tensors;
    tensors.remove("0.bias");
    tensors.insert("0.weight".into(), Tensor::zeros([3, 4], (Kind::Float, Device::Cpu)));
    tensors.insert("1.weight".into(), Tensor::zeros([4], (Kind::Int64, Device::Cpu)));
    tensors.extend((0..12).map(|i| (format!("extra.{i}"), Tensor::from(1f32))));
    let error = build(tensors).0.unwrap_err().to_string();
    for part in [
        "1 missing: 0.bias",
        "12 unexpected: extra.0",
        ", ...",
        "1 of wrong shape: 0.weight [3, 4] instead of [4, 3]",
        "1 not of a float type: 1.weight (Int64)",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn official_sizes_are_found_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = [folder.path().join("sam2_weights")];
    std::fs::create_dir(&dirs[0]).unwrap();
    let error = weights::find("2.1-tiny", &dirs).unwrap_err().to_string();
    assert!(error.contains("https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_tiny.pt"), "{error}");
    assert!(error.contains(dirs[0].to_str().unwrap()) && !error.contains('\n'), "{error}");

    for (name, file) in [
        ("2.1-tiny", "sam2.1_hiera_tiny.pt"),
        ("large", "sam2_hiera_large.safetensors"),
        ("mine", "mine.pth"),
        ("other.pt", "other.pt"),
    ] {
        std::fs::write(dirs[0].join(file), "").unwrap();
        assert_eq!(weights::find(name, &dirs).unwrap(), dirs[0].join(file));
        let path = dirs[0].join(file);
        assert_eq!(weights::find(path.to_str().unwrap(), &[]).unwrap(), path);
    }
    assert!(weights::find("yours", &dirs).unwrap_err().to_string().contains("2.1-base_plus"));
    assert_eq!(weights::default_dirs(&folder.path().join("target/release/demo"))[0], dirs[0]);
}

/// In a checkout the folder beside the program and `./sam2_weights` are one.
#[test]
fn a_checkpoint_is_listed_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.pt"), "").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("weights");
    std::os::unix::fs::symlink(folder.path(), &other).unwrap();
    let listed = loader::list(&[folder.path().to_path_buf(), other]).unwrap();
    assert_eq!(listed.iter().filter(|model| model.entry.name == "mine").count(), 1, "{listed:?}");
}

#[test]
fn a_nameless_checkpoint_is_likened_to_a_size() {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    for official in Official::all() {
        let encoder = official.config().image_encoder.unwrap();
        let trunk = encoder.trunk.hiera().unwrap();
        let mut tensors: Tensors = (0..trunk.depth())
            .map(|i| (format!("image_encoder.trunk.blocks.{i}.norm1.weight"), zeros(&[1])))
            .chain([("image_encoder.trunk.patch_embed.proj.bias".to_owned(), zeros(&[trunk.embed_dim]))])
            .collect();
        if official.config().no_obj_embed_spatial {
            tensors.insert("no_obj_embed_spatial".to_owned(), zeros(&[1, 64]));
        }
        let (path, adapters) = ("mine.pth".into(), BTreeMap::new());
        let checkpoint = Checkpoint { path, tensors, adapters, scaling: 1.0, config: None };
        assert_eq!(checkpoint.resembles(), Some(official));
        let error = checkpoint.require_config().unwrap_err().to_string();
        assert!(error.contains(&format!("the shapes of \"{official}\"")), "{error}");
    }
}
