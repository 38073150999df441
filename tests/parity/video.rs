//! Sessions: the scenarios of the video predictor, step by step, and the preparation of slices.

use crate::fixture::*;
use sam_octa2_core::intensity::{Window, Windows};
use sam_octa2_core::model::config::InputImage;
use sam_octa2_core::model::{Model, Sam2};
use sam_octa2_core::progress::Flow;
use sam_octa2_core::prompts::Direction;
use sam_octa2_core::session::{Compat, Marks, Mask, Point, Range, Session, Settings, prepare};
use sam_octa2_core::volume::{Geometry, Volume, Voxels};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use tch::{Kind, Tensor};

/// The 8 test slices, 100 x 72, RGB.
pub fn frames() -> Volume {
    let read = |i: usize| image::open(data().join(format!("frames/{i:05}.png"))).expect("frame").to_rgb8();
    let voxels: Vec<u8> = (0..8).flat_map(|i| read(i).into_raw()).collect();
    Volume::new([8, 72, 100, 3], Voxels::U8(voxels), Geometry::unknown(), "stack").expect("volume")
}

#[test]
fn slices_are_prepared_as_the_reference_does() {
    let Some(root) = full() else { return };
    let expected = Tensor::read_safetensors(root.join("frames.safetensors")).expect("frames");
    let (_, expected) = expected.into_iter().find(|(name, _)| name == "images").expect("images");
    let volume = frames();
    let input = InputImage { size: 256, neighbours: 0 };
    for i in 0..8 {
        let image = prepare(&volume, i, Windows::Volume(Window::EIGHT_BIT), input).expect("prepare").squeeze_dim(0);
        close(&format!("slice {i}"), &image, &expected.get(i as i64), 1e-5);
    }
}

/// What the fixtures allow for tracked slices.
struct Tolerance {
    mean: f64,
    p999: f64,
    max: f64,
    flips: f64,
    score: f64,
}

const F32_MEMORY: Tolerance = Tolerance { mean: 1e-3, p999: 3e-2, max: 3e-2, flips: 5e-4, score: 2e-3 };
const BF16_MEMORY: Tolerance = Tolerance { mean: 0.06, p999: 1.5, max: 6.0, flips: 8e-3, score: 0.15 };
const NO_MEMORY: Tolerance = Tolerance { mean: 2e-3, p999: 2e-3, max: 2e-3, flips: 0.0, score: 1e-3 };

fn check(what: &str, found: &Tensor, fixture: &Fixture, key: &str, tolerance: &Tolerance, rounding: f64) {
    let expected = fixture.get(key);
    let (max, mean) = difference(found, &expected);
    let sorted = (found.to_kind(Kind::Float) - &expected).abs().flatten(0, -1).sort(0, false).0;
    let p999 = sorted.double_value(&[((sorted.numel() as f64 * 0.999) as i64).min(sorted.numel() as i64 - 1)]);
    let flips = found.gt(0.0).logical_xor(&expected.gt(0.0)).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
    println!("{what} {key}: max {max:.2e}, mean {mean:.2e}, p99.9 {p999:.2e}, flips {:.3} %", 100.0 * flips);
    assert!(
        max <= tolerance.max + rounding && mean <= tolerance.mean + rounding && p999 <= tolerance.p999 + rounding,
        "{what} {key}"
    );
    assert!(flips <= tolerance.flips + if rounding > 0.0 { 2e-4 } else { 0.0 }, "{what} {key}: {flips} flips");
}

fn check_scores(what: &str, found: &[f32], fixture: &Fixture, key: &str, tolerance: &Tolerance) {
    let expected = Vec::<f32>::try_from(fixture.get(key).flatten(0, -1)).expect("scores");
    assert_eq!(found.len(), expected.len(), "{what} {key}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(f64::from((found - expected).abs()) <= tolerance.score, "{what} {key}: {found} instead of {expected}");
    }
}

fn number(step: &Value, key: &str) -> Option<usize> {
    step[key].as_u64().map(|n| n as usize)
}

fn marks(step: &Value, mask: Option<Tensor>) -> Marks {
    let floats = |value: &Value| {
        value.as_array().map(|list| list.iter().map(|v| v.as_f64().expect("number") as f32).collect::<Vec<_>>())
    };
    let points = step["points"].as_array().into_iter().flatten().zip(step["labels"].as_array().into_iter().flatten());
    let points = points.map(|(xy, label)| {
        let xy = floats(xy).expect("point");
        Point { x: xy[0], y: xy[1], positive: label.as_i64() == Some(1) }
    });
    let mask = mask.map(|mask| Mask {
        rows: mask.size()[0] as usize,
        columns: mask.size()[1] as usize,
        pixels: Vec::<u8>::try_from(mask.flatten(0, -1)).expect("mask").iter().map(|&v| v != 0).collect(),
    });
    let bounds = floats(&step["box"]).map(|b| [b[0], b[1], b[2], b[3]]);
    let replace = step["clear_old_points"].as_bool().unwrap_or(true);
    Marks { points: points.collect(), bounds, mask, replace, ..Marks::default() }
}

fn run(config: &str, name: &str, fixture: &Fixture) {
    follow(&format!("{config} {name}"), mini(config, name.starts_with("post_")), name.starts_with("f32mem"), fixture);
}

/// The steps of a fixture, each beside what the reference says of it.
pub fn follow(what: &str, model: Sam2, f32_memory: bool, fixture: &Fixture) {
    let model = Arc::new(Model::from(model));
    let memory_kind = if f32_memory { Kind::Float } else { Kind::BFloat16 };
    let settings = Settings { compat: Compat::Reference, memory_kind: Some(memory_kind), ..Settings::default() };
    let mut session = Session::new(model, Arc::new(frames()), settings).expect("session");
    let tracked = if f32_memory { &F32_MEMORY } else { &BF16_MEMORY };
    // the repository's copies are stored in half precision
    let rounding = if fixture.json["stored"] == "float16" { 0.02 } else { 0.0 };
    for (i, step) in fixture.json["steps"].as_array().expect("steps").iter().enumerate() {
        let object = number(step, "obj").unwrap_or(0) as u32;
        match step["op"].as_str().expect("op") {
            op @ ("points" | "mask") => {
                let mask = (op == "mask").then(|| fixture.get(&format!("s{i}.mask")));
                let frame = number(step, "frame").expect("frame");
                let first = step["is_cond"].as_bool() != Some(false);
                let answer = session.prompt(frame, object, marks(step, mask)).expect("prompt");
                let tolerance = if first && i == 0 { &NO_MEMORY } else { tracked };
                check(
                    what,
                    &session.slice_logits(frame).expect("logits").unsqueeze(1),
                    fixture,
                    &format!("s{i}.logits"),
                    tolerance,
                    rounding,
                );
                check_scores(what, &[answer.object_score], fixture, &format!("s{i}.object_score_logits"), tolerance);
            }
            "propagate" => {
                let direction = if step["reverse"] == true { Direction::Backward } else { Direction::Forward };
                let range = Range {
                    direction,
                    start: number(step, "start"),
                    max_frames: number(step, "max"),
                    ..Range::default()
                };
                let (mut frames, mut logits, mut scores) = (Vec::new(), Vec::new(), Vec::new());
                let followed = session.propagate(range, |slice| {
                    frames.push(slice.frame);
                    scores.extend(slice.masks.iter().map(|mask| mask.object_score));
                    logits.push(
                        Tensor::stack(&slice.masks.iter().map(|mask| &mask.logits).collect::<Vec<_>>(), 0).unsqueeze(1),
                    );
                    Ok(Flow::Continue)
                });
                followed.expect("propagate");
                let expected: Vec<usize> =
                    step["frames"].as_array().expect("frames").iter().map(|v| v.as_u64().unwrap() as usize).collect();
                assert_eq!(frames, expected, "{what} step {i}");
                check(what, &Tensor::stack(&logits, 0), fixture, &format!("s{i}.logits"), tracked, rounding);
                check_scores(what, &scores, fixture, &format!("s{i}.object_score_logits"), tracked);
            }
            "clear_frame" => {
                let frame = number(step, "frame").expect("frame");
                session.clear_slice(frame, object).expect("clear");
                let logits = session.slice_logits(frame).expect("logits").unsqueeze(1);
                check(what, &logits, fixture, &format!("s{i}.logits"), tracked, rounding);
            }
            "remove" => session.remove_object(object).expect("remove"),
            "reset" => session.reset().unwrap(),
            op => panic!("unknown step {op}"),
        }
        let ids: Vec<u64> = step["obj_ids"].as_array().expect("obj_ids").iter().filter_map(Value::as_u64).collect();
        assert_eq!(session.objects().iter().map(|&id| u64::from(id)).collect::<Vec<_>>(), ids, "{what} step {i}");
    }
}

fn run_all(root: PathBuf) {
    for config in ["mini", "mini21"] {
        let mut names: Vec<_> = std::fs::read_dir(root.join(config))
            .expect("fixtures")
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        for name in names.iter().filter_map(|name| name.strip_prefix("video_")?.strip_suffix(".json")) {
            run(config, name, &Fixture::read(root.join(config).join(format!("video_{name}"))));
        }
    }
}

#[test]
fn scenarios() {
    run_all(data());
}

#[test]
fn all_scenarios() {
    full().into_iter().for_each(run_all);
}
