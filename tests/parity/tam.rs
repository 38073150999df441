//! EfficientTAM and EdgeTAM beside their own Python code (`tests/data/parity/tam`, made by `tests/tools/make_tam_fixtures.py`).

use crate::fixture::*;
use crate::video::follow;
use sam_octa2_core::model::memory_attention::Memory;
use sam_octa2_core::model::params::Params;
use sam_octa2_core::model::transformer::Keys;
use sam_octa2_core::model::{ImageFeatures, Model, ModelConfig, Sam2};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tch::{Device, Kind, Tensor, no_grad};

/// Side of the small models' features.
const SIDE: i64 = 16;
/// EfficientTAM's three attentions to memories, with the same weights, and EdgeTAM.
const MINIS: [&str; 4] = ["efficienttam", "efficienttam_1", "efficienttam_2", "edgetam"];

fn file(name: &str) -> PathBuf {
    data().join("tam").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file(name)).expect("fixture")).expect("json")
}

/// The checksum of zip files.
fn crc32(text: &str) -> u64 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    let byte = |crc: u32, byte: u8| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc));
    u64::from(!text.bytes().fold(!0, byte))
}

/// Numbers by name, as the script makes them: evenly between `mean - scale` and `mean + scale`.
fn values(name: &str, shape: &[i64], mean: f64, scale: f64) -> Tensor {
    let start = crc32(name) << 32;
    let number = |place: u64| {
        let mixed = [0x9E37_79B9_7F4A_7C15_u64, 0xD6E8_FEB8_6659_FD93]
            .iter()
            .fold(start.wrapping_add(place), |x, &factor| (x ^ x >> 32).wrapping_mul(factor));
        let even = ((mixed ^ mixed >> 32) >> 40) as f64 / f64::from(1 << 23) - 1.0;
        (even * scale + mean) as f32
    };
    let count = shape.iter().product::<i64>() as u64;
    Tensor::from_slice(&(0..count).map(number).collect::<Vec<_>>()).view(shape).to_device(device())
}

fn given(block: &str, argument: &str, shape: &[i64]) -> Tensor {
    values(&format!("input.{block}.{argument}"), shape, 0.0, 1.0)
}

/// The weights of a small model, by name.
pub fn weights(name: &str) -> BTreeMap<String, Tensor> {
    let family = name.split('_').next().unwrap();
    let rows = json(&format!("mini_{family}.weights.json"));
    let row = |row: &Value| {
        let name = row[0].as_str().unwrap().to_owned();
        let shape: Vec<i64> = row[1].as_array().unwrap().iter().filter_map(Value::as_i64).collect();
        let tensor = values(&name, &shape, row[2].as_f64().unwrap(), row[3].as_f64().unwrap());
        (name, tensor)
    };
    rows.as_array().unwrap().iter().map(row).collect()
}

pub fn config(name: &str) -> ModelConfig {
    ModelConfig::from_file(file(&format!("mini_{name}.yaml"))).expect("configuration")
}

fn mini(name: &str) -> Sam2 {
    let params = Params::from_tensors(weights(name), device(), Kind::Float);
    Sam2::new(params, config(name)).expect("model")
}

#[test]
fn blocks() {
    for name in MINIS {
        let fixture = Fixture::read(file(&format!("mini_{name}.blocks")));
        no_grad(|| {
            let model = mini(name);
            trunk_and_neck(name, &model, &fixture);
            memory_attention(name, &model, &fixture);
            memory(name, &model, &fixture);
        });
    }
}

fn trunk_and_neck(name: &str, model: &Sam2, fixture: &Fixture) {
    let image = given("image", "pixels", &[1, 3, 16 * SIDE, 16 * SIDE]);
    let encoder = model.image_encoder();
    for (at, stage) in encoder.stages(&image).iter().enumerate() {
        let key = format!("trunk.{at}");
        if fixture.tensors.contains_key(&key) {
            close(&format!("{name} {key}"), stage, &fixture.get(&key), 2e-4);
        }
    }
    let levels = encoder.forward(&image);
    close(&format!("{name} neck"), levels.last().unwrap(), &fixture.get("neck"), 2e-4);
}

fn memory_attention(name: &str, model: &Sam2, fixture: &Fixture) {
    let get = |argument: &str, tokens: i64, width: i64| {
        given("memory_attention", argument, &[tokens, 1, width]).transpose(0, 1)
    };
    let [height, width] = model.config.memory_shape();
    let keys = Keys { memories: 3, pointers: 8 };
    let tokens = keys.memories * height * width + keys.pointers;
    let memory = Memory { tokens: get("memory", tokens, 16), position: get("memory_pos", tokens, 16), keys };
    let (image, position) = (get("curr", SIDE * SIDE, 64), get("curr_pos", SIDE * SIDE, 64));
    let found = model.memory_attention().forward(&image, &position, &memory);
    close(&format!("{name} memory attention"), &found, &fixture.get("memory_attention"), 5e-4);
}

fn memory(name: &str, model: &Sam2, fixture: &Fixture) {
    if let Some(perceiver) = model.spatial_perceiver() {
        let get = |argument: &str| given("perceiver", argument, &[1, 16, SIDE, SIDE]);
        let position = get("position").flatten(2, 3).transpose(1, 2);
        close(&format!("{name} perceiver"), &perceiver.forward(&get("memory"), &position), &fixture.get("perceiver"), 2e-4);
        close(&format!("{name} latents"), &perceiver.position(device()), &fixture.get("perceiver.position"), 2e-5);
    }
    let vision = given("memory", "features", &[SIDE * SIDE, 1, 64]).permute([1, 2, 0]).view([1, 64, SIDE, SIDE]);
    // the reference is given the mask at full size; there, the session's resizing changes nothing
    let mask = given("memory", "mask", &[1, 1, 16 * SIDE, 16 * SIDE]) * 4.0;
    let score = Tensor::ones([1, 1], (Kind::Float, device()));
    let found = model.encode_memory(&ImageFeatures::new(vision, None), &mask, &score, false);
    let found = if model.spatial_perceiver().is_some() { found.squeeze_dim(3).transpose(1, 2) } else { found };
    close(&format!("{name} memory"), &found, &fixture.get("memory"), 5e-4);
}

#[test]
fn sequences() {
    for name in MINIS {
        let start = format!("mini_{name}.video_");
        let files = std::fs::read_dir(data().join("tam")).expect("fixtures");
        let mut names: Vec<_> = files.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        let scenarios = names.iter().filter_map(|file| file.strip_prefix(&start)?.strip_suffix(".json"));
        for scenario in scenarios {
            let fixture = Fixture::read(file(&format!("{start}{scenario}")));
            follow(&format!("{name} {scenario}"), mini(name), scenario.starts_with("f32mem"), &fixture);
        }
    }
}

/// The official files are read, give what is known by name, and are written so that they are read again.
#[test]
fn official_configurations() {
    for family in ["efficienttam", "edgetam"] {
        for (name, model) in json(&format!("{family}.configs.json")).as_object().unwrap() {
            let config = ModelConfig::from_value(serde_json::json!({ "model": model })).unwrap();
            assert_eq!(config, ModelConfig::preset(name).unwrap(), "{name}");
            let [as_json, as_yaml] =
                [serde_json::to_string(&config).unwrap(), serde_yaml_ng::to_string(&config).unwrap()];
            assert_eq!(config, ModelConfig::from_text(&as_json).unwrap(), "{name}");
            assert_eq!(config, ModelConfig::from_text(&as_yaml).unwrap(), "{name}");
        }
    }
}

/// Every parameter of the official models has its place, with its shape, and no other is asked for; of a batch normalisation's counter the
/// checkpoint may have none.
#[test]
fn official_parameters() {
    for family in ["efficienttam", "edgetam"] {
        for entry in json(&format!("{family}.keys.json")).as_array().unwrap() {
            let tensors = || -> BTreeMap<String, Tensor> {
                let zeros = |(name, shape): (&String, &Value)| {
                    let shape: Vec<i64> = shape.as_array().unwrap().iter().filter_map(Value::as_i64).collect();
                    let kind = if name.ends_with("num_batches_tracked") { Kind::Int64 } else { Kind::Float };
                    (name.clone(), Tensor::zeros(shape, (kind, Device::Cpu)))
                };
                entry["parameters"].as_object().unwrap().iter().map(zeros).collect()
            };
            for name in entry["configs"].as_array().unwrap().iter().filter_map(Value::as_str) {
                let build = |tensors| {
                    let params = Params::from_tensors(tensors, Device::Cpu, Kind::Float);
                    Model::new(params, ModelConfig::preset(name).unwrap()).map(drop).map_err(|error| error.to_string())
                };
                assert_eq!(build(tensors()), Ok(()), "{name}");
                let mut lacking = tensors();
                lacking.remove("image_encoder.neck.convs.0.conv_1x1.weight");
                lacking.remove("spatial_perceiver.latents_2d");
                lacking.insert("another".to_owned(), Tensor::zeros([1], (Kind::Float, Device::Cpu)));
                let error = build(lacking).unwrap_err();
                assert!(error.contains("1 missing: ") && error.contains("1 unexpected: another"), "{error}");
            }
        }
    }
}
