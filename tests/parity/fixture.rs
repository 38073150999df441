//! Reading fixtures, building the small models, comparing.

use crate::root::root;
use sam_octa2_core::device;
use sam_octa2_core::model::params::Params;
use sam_octa2_core::model::{ModelConfig, Sam2};
use sam_octa2_core::weights;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};

/// The fixtures in the repository.
pub fn data() -> PathBuf {
    root().join("../tests/data/parity")
}

/// The full set of fixtures, where there is one.
pub fn full() -> Option<PathBuf> {
    let beside = root().join("../../shared/parity");
    let root = std::env::var_os("SAM_OCTA2_PARITY").map_or(beside, PathBuf::from);
    if !root.join("mini21").is_dir() {
        eprintln!("skipped: the full parity fixtures are not in {} (set SAM_OCTA2_PARITY)", root.display());
        return None;
    }
    Some(root)
}

/// Where the tests compute.
pub fn device() -> Device {
    let name = std::env::var("SAM_OCTA2_TEST_DEVICE").unwrap_or_else(|_| "cpu".into());
    let choice: device::Device = name.parse().expect("SAM_OCTA2_TEST_DEVICE");
    choice.resolve().expect("the device of SAM_OCTA2_TEST_DEVICE")
}

/// Tensors and description of one fixture.
pub struct Fixture {
    pub tensors: BTreeMap<String, Tensor>,
    pub json: Value,
}

impl Fixture {
    pub fn read(path: PathBuf) -> Self {
        let tensors = Tensor::read_safetensors(path.with_extension("safetensors")).expect("fixture");
        let json = std::fs::read_to_string(path.with_extension("json")).expect("fixture");
        Self { tensors: tensors.into_iter().collect(), json: serde_json::from_str(&json).expect("json") }
    }

    pub fn get(&self, name: &str) -> Tensor {
        let tensor = self.tensors.get(name).unwrap_or_else(|| panic!("no tensor {name} in the fixture"));
        if tensor.kind() == Kind::Half { tensor.to_kind(Kind::Float) } else { tensor.shallow_clone() }
    }

    pub fn on(&self, name: &str, device: Device) -> Tensor {
        self.get(name).to_device(device)
    }
}

/// The configuration `mini` (SAM 2.0 flags) or `mini21` (SAM 2.1), with the reference's post-processing or without.
pub fn mini_config(name: &str, postprocessing: bool) -> ModelConfig {
    let config = ModelConfig::from_file(data().join(format!("{name}.yaml"))).expect("configuration");
    if postprocessing { config.with_postprocessing() } else { config }
}

/// The small model. Both share `mini21.pt`; `mini` does without the three tensors of SAM 2.1.
pub fn mini(name: &str, postprocessing: bool) -> Sam2 {
    let mut tensors = weights::read(data().join("mini21.pt")).expect("weights").tensors;
    if name == "mini" {
        tensors.retain(|key, _| !key.starts_with("no_obj_embed_spatial") && !key.starts_with("obj_ptr_tpos_proj"));
    }
    let (device, kind) = (device(), Kind::Float);
    println!("{name} on {device:?} in {kind:?}");
    let params = Params::from_tensors(tensors, device, kind);
    Sam2::new(params, mini_config(name, postprocessing)).expect("model")
}

/// Largest and mean absolute difference.
pub fn difference(a: &Tensor, b: &Tensor) -> (f64, f64) {
    let a = a.to_device(Device::Cpu).to_kind(Kind::Double);
    let b = b.to_device(Device::Cpu).to_kind(Kind::Double);
    assert_eq!(a.size(), b.size(), "shapes");
    let difference = (a - b).abs();
    (difference.max().double_value(&[]), difference.mean(Kind::Double).double_value(&[]))
}

/// Fails where a difference exceeds the tolerance; prints what was found.
#[track_caller]
pub fn close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    let (max, mean) = difference(found, expected);
    println!("{what}: largest difference {max:.2e}, mean {mean:.2e} (allowed {tolerance:.0e})");
    assert!(max <= tolerance, "{what}: {max} > {tolerance}");
}
