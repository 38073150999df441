//! SwinUNETR against MONAI: logits, gradients, names. Weights and images follow from names and indices, see
//! `tests/tools/parity/fx_swin.py`.

use crate::fixture::*;
use sam_octa2_core::guard;
use sam_octa2_core::loader::Place;
use sam_octa2_core::model::layers::resize_bilinear;
use sam_octa2_core::model::params::Params;
use sam_octa2_core::sparse::gradients::gradients;
use sam_octa2_core::sparse::{SegmenterRequest, SwinUnetr, SwinUnetrConfig};
use sam_octa2_core::train::losses::dice;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// Numbers of -1 to 1 that depend on a name only.
fn uniform(name: &str, shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    let start = u64::from(crc32(name.as_bytes())) << 32;
    let number = |i: i64| {
        let z = start.wrapping_add(i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    };
    Tensor::from_slice(&(0..count).map(number).collect::<Vec<f64>>()).view(shape)
}

fn parameter(name: &str, shape: &[i64]) -> Tensor {
    let x = uniform(name, shape);
    let x = match shape {
        _ if name.contains("bias_table") => x * 0.5,
        [_] if name.ends_with("weight") => x * 0.2 + 1.0,
        [_] => x * 0.2,
        [first, rest @ ..] => {
            let fan = if name.contains("transp_conv") { *first } else { rest.iter().product() };
            x * (3.0 / fan as f64).sqrt() * if name == "out.conv.conv.weight" { 3.0 } else { 1.0 }
        }
        [] => x,
    };
    x.to_kind(Kind::Float)
}

fn image(name: &str, height: i64, width: i64) -> Tensor {
    let coarse = uniform(name, &[1, 1, height / 8, width / 8]).to_kind(Kind::Float);
    resize_bilinear(&coarse, [height, width]).clamp(0.0, 1.0)
}

/// Names and shapes of a network of these sizes.
fn shapes(config: &SwinUnetrConfig) -> BTreeMap<String, Vec<i64>> {
    let params = Params::random(1, Device::Cpu, Kind::Float).remembering();
    SwinUnetr::new(params.clone(), config.clone()).unwrap();
    params.given().into_iter().map(|(name, tensor)| (name, tensor.size())).collect()
}

fn tiny() -> SwinUnetrConfig {
    SwinUnetrConfig::preset("tiny").unwrap()
}

fn weights() -> BTreeMap<String, Tensor> {
    shapes(&tiny()).into_iter().map(|(name, shape)| (name.clone(), parameter(&name, &shape))).collect()
}

fn fixture() -> Fixture {
    Fixture::read(data().join("swin/swinunetr"))
}

#[test]
fn logits_are_monais() {
    let fixture = fixture();
    let params = Params::from_tensors(weights(), device(), Kind::Float);
    let network = SwinUnetr::new(params, tiny()).unwrap();
    for (name, height, width) in [("square", 64, 64), ("wide", 32, 96)] {
        let image = image(name, height, width).to_device(device());
        let logits = guard::guard(|| network.forward(&image)).unwrap();
        close(name, &logits, &fixture.get(&format!("{name}.logits")), 1e-3);
    }
    let error = network.forward(&image("square", 64, 72)).unwrap_err().to_string();
    assert!(error.contains("multiples of 32"), "{error}");
}

/// Dice on the image's bright places, as in SAM-OCTA2's training, in parts and in one go.
#[test]
fn gradients_are_monais() {
    let fixture = fixture();
    for recompute in [true, false] {
        let leaf = |(name, tensor): (String, Tensor)| (name, tensor.to_device(device()).set_requires_grad(true));
        let leaves: BTreeMap<_, _> = weights().into_iter().map(leaf).collect();
        let all = leaves.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        let network = SwinUnetr::new(Params::from_tensors(all, device(), Kind::Float), tiny()).unwrap();
        let image = image("square", 64, 64).to_device(device());
        let truth = image.gt(0.3).to_kind(Kind::Float);
        let loss = |logits: &Tensor| dice(&logits.sigmoid(), &truth, 1e-6);
        let found = gradients(&network, &image, loss, recompute).unwrap();
        assert!((found - fixture.json["dice_loss"].as_f64().unwrap()).abs() < 1e-5, "{found}");
        // what instance normalisation takes away again (a bias in front of it) has no gradient but rounding
        let largest = leaves.values().map(|leaf| leaf.grad().norm().double_value(&[])).fold(0.0, f64::max);
        for (name, leaf) in &leaves {
            let (ours, theirs) =
                (leaf.grad().norm().double_value(&[]), fixture.json["parameters"][name][1].as_f64().unwrap());
            assert!((ours - theirs).abs() < 1e-3 * theirs + 1e-5 * largest, "{name}: {ours} and {theirs}");
        }
    }
}

/// A file under SAM-OCTA2's names, with the index tables that its network keeps.
fn wrapped(path: &Path, change: impl FnOnce(&mut BTreeMap<String, Tensor>)) {
    let mut tensors: BTreeMap<_, _> = weights();
    for (name, _) in weights() {
        if let Some(block) = name.strip_suffix("relative_position_bias_table") {
            tensors
                .insert(format!("{block}relative_position_index"), Tensor::zeros([49, 49], (Kind::Int64, Device::Cpu)));
        }
    }
    change(&mut tensors);
    let named: Vec<_> = tensors.iter().map(|(name, tensor)| (format!("original_model.{name}"), tensor)).collect();
    Tensor::write_safetensors(&named, path).unwrap();
}

fn request(path: &Path) -> SegmenterRequest {
    let place = Place { device: sam_octa2_core::device::Device::Cpu, ..Place::default() };
    SegmenterRequest { segmenter: path.display().to_string(), place, ..SegmenterRequest::default() }
}

#[test]
fn a_state_dict_says_its_sizes_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rv.safetensors");
    wrapped(&file, |_| {});
    let segmenter = request(&file).load().unwrap();
    assert_eq!(segmenter.config(), &tiny());
    let answer = segmenter.probabilities(&image("square", 64, 64)).unwrap();
    close("probabilities", &answer, &fixture().get("square.logits").sigmoid(), 3e-4);
    let small = SegmenterRequest { image_size: Some(256), ..request(&file) }.load().unwrap();
    assert_eq!(small.config().image_size, 256);
    let error = SegmenterRequest { image_size: Some(250), ..request(&file) }.load().err().unwrap().to_string();
    assert!(error.contains("image_size is 250"), "{error}");
}

#[test]
fn a_wrong_file_is_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rv.safetensors");
    let error = || request(&file).load().err().unwrap().to_string();
    wrapped(&file, |tensors| drop(tensors.remove("encoder1.layer.conv1.conv.weight")));
    assert!(
        error().contains("rv.safetensors") && error().contains("1 missing: encoder1.layer.conv1.conv.weight"),
        "{}",
        error()
    );
    wrapped(&file, |tensors| {
        let volume = Tensor::zeros([12, 1, 2, 2, 2], (Kind::Float, Device::Cpu));
        tensors.insert("swinViT.patch_embed.proj.weight".into(), volume);
    });
    assert!(error().contains("spatial_dims=2"), "{}", error());
    let error = request(&data().join("mini21.pt")).load().err().unwrap().to_string();
    assert!(error.contains("no SwinUNETR: swinViT.patch_embed.proj.weight is not in it"), "{error}");
}

#[test]
fn names_are_the_references() {
    let Some(root) = full() else { return };
    let text = std::fs::read_to_string(root.join("misc/swinunetr_fs72_manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = manifest["params"].as_array().unwrap().iter().map(|row| {
        let shape = row[1].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect::<Vec<_>>();
        (row[0].as_str().unwrap().trim_start_matches("original_model.").to_owned(), shape)
    });
    let expected: BTreeMap<_, _> = expected.filter(|(name, _)| !name.ends_with("relative_position_index")).collect();
    assert_eq!(shapes(&SwinUnetrConfig::default()), expected);
}

/// The fixtures of the full set, whose weights numpy makes: `make_weights.py manifests/swinunetr_fs12.json FILE`.
#[test]
fn logits_of_a_real_layer_are_monais() {
    let (Some(root), Some(file)) = (full(), std::env::var_os("SAM_OCTA2_SWIN_WEIGHTS")) else {
        return eprintln!("skipped: SAM_OCTA2_SWIN_WEIGHTS names no file of make_weights.py");
    };
    let fixture = Fixture::read(root.join("misc/swinunetr_fs12"));
    let segmenter = request(Path::new(&file)).load().unwrap();
    for side in [64, 96] {
        let image = fixture.get(&format!("in{side}"));
        let logits = guard::guard(|| segmenter.network.forward(&image)).unwrap();
        close(&format!("{side}"), &logits, &fixture.get(&format!("logits{side}")), 1e-3);
    }
}
