//! EfficientTAM and EdgeTAM beside their own Python code (`tests/data/parity/tam`, made by `tests/tools/make_tam_fixtures.py`).

use crate::fixture::*;
use crate::known::{file, json, values, weights};
use crate::video::{follow, frames};
use sam_octa2_core::model::memory_attention::Memory;
use sam_octa2_core::model::params::Params;
use sam_octa2_core::model::transformer::Keys;
use sam_octa2_core::model::{ImageFeatures, Model, ModelConfig, Sam2};
use sam_octa2_core::progress::Flow;
use sam_octa2_core::session::{Point, Range, Session, Settings};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tch::{Device, Kind, Tensor, no_grad};

/// Side of the small models' features.
const SIDE: i64 = 16;
/// EfficientTAM's three attentions to memories, with the same weights, and EdgeTAM.
const MINIS: [&str; 4] = ["efficienttam", "efficienttam_1", "efficienttam_2", "edgetam"];

fn given(block: &str, argument: &str, shape: &[i64]) -> Tensor {
    values(&format!("input.{block}.{argument}"), shape, 0.0, 1.0).to_device(device())
}

fn mini(name: &str) -> Sam2 {
    let params = Params::from_tensors(weights(name), device(), Kind::Float);
    let config = ModelConfig::from_file(file(&format!("mini_{name}.yaml"))).expect("configuration");
    Sam2::new(params, config).expect("model")
}

#[test]
fn blocks() {
    for name in MINIS {
        let fixture = Fixture::read(file(&format!("mini_{name}_blocks")));
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
        close(
            &format!("{name} perceiver"),
            &perceiver.forward(&get("memory"), &position),
            &fixture.get("perceiver"),
            2e-4,
        );
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
        let start = format!("mini_{name}_video_");
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

/// Memories are latents or pooled where they are looked at; a session that was saved with them goes on as if it had not been.
#[test]
fn saved_sessions_go_on() {
    for name in ["efficienttam_1", "edgetam"] {
        let (model, volume) = (Arc::new(Model::from(mini(name))), Arc::new(frames()));
        let follow = |session: &mut Session, max_frames: Option<usize>| {
            let mut masks = Vec::new();
            let range = Range { max_frames, start: Some(0), ..Range::default() };
            let done = session.propagate(range, |slice| {
                masks.push(slice.masks[0].logits.shallow_clone());
                Ok(Flow::Continue)
            });
            done.expect("propagate");
            Tensor::stack(&masks, 0)
        };
        let mut session = Session::new(model.clone(), volume.clone(), Settings::default()).expect("session");
        session.add_points(0, 1, &[Point { x: 24.5, y: 29.0, positive: true }]).expect("click");
        drop(follow(&mut session, Some(3)));
        let saved = session.save().expect("saved");
        let mut restored = Session::restore(model, volume, &saved, Settings::default()).expect("restored");
        assert_eq!(follow(&mut session, None), follow(&mut restored, None), "{name}");
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
