//! Training from request to adapters: what is written, that a run can be stopped and goes on as if it had not been, what is refused.
//! Small model, a disc that moves through six slices.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers outside of the test functions

#[path = "../parity/known.rs"]
mod known;
mod machine;
mod records;
mod relatives;
#[path = "../root.rs"]
mod root;
mod segmenter;

use root::root;
use sam_octa2_core::io;
use sam_octa2_core::loader::ModelRequest;
use sam_octa2_core::progress::{Flow, Progress, Watch, watched};
use sam_octa2_core::train::data::{self, BadData, DataConfig, Subset, octa500::Octa500, octa500::Task};
use sam_octa2_core::train::request::RunConfig;
use sam_octa2_core::train::{FineTuneReport, FineTuneRequest, fine_tune};
use sam_octa2_core::vessels::{Sample, export};
use sam_octa2_core::volume::{Geometry, Labels, Volume, Voxels};
use sam_octa2_core::{Error, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Kind, Tensor};

const SIDE: usize = 64;
const FRAMES: usize = 6;

/// Where the tests compute: `SAM_OCTA2_TEST_DEVICE`, or the CPU.
fn device() -> String {
    std::env::var("SAM_OCTA2_TEST_DEVICE").unwrap_or_else(|_| "cpu".into())
}

fn parity(name: &str) -> String {
    root().join("../tests/data/parity").join(name).display().to_string()
}

/// A folder with a volume, its labels and a manifest.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |i: usize| (i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
    let disc = |i: usize| {
        let (frame, y, x) = at(i);
        (x as f64 - 20.0 - 3.0 * frame as f64).powi(2) + (y as f64 - 30.0).powi(2) < 100.0
    };
    let voxels = (0..FRAMES * SIDE * SIDE).map(|i| if disc(i) { 200 } else { 30 + (i * 7 % 40) as u8 }).collect();
    let volume = Volume::new([FRAMES, SIDE, SIDE, 1], Voxels::U8(voxels), Geometry::unknown(), "test").unwrap();
    let labels =
        Labels { data: (0..FRAMES * SIDE * SIDE).map(|i| u16::from(disc(i))).collect(), ..Labels::empty_like(&volume) };
    io::write_volume(&volume, folder.path().join("disc.nii.gz"), &mut ()).unwrap();
    io::write_labels(&labels, folder.path().join("truth.nii.gz")).unwrap();
    fs::write(folder.path().join("pairs.csv"), "image, labels\ndisc.nii.gz, truth.nii.gz\n").unwrap();
    folder
}

fn request(folder: &Path, output: &str, more: &Value) -> FineTuneRequest {
    let mut request = json!({
        "model": {"model": parity("mini21.pt"), "model_config": parity("mini21.yaml"), "device": device()},
        "data": {"manifest": folder.join("pairs.csv")},
        "output": folder.join(output),
        "adapt": {"rank": 4, "alpha": 4.0, "train": "sam_mask_decoder\\..*"},
        "optimizer": {"learning_rate": 0.003},
        "sample": {"frames": 2, "prompt": "any", "corrections": 1},
        "run": {"epochs": 2, "clips_per_case": 3, "peft": false},
    });
    merge(&mut request, more);
    serde_json::from_value(request).unwrap()
}

fn merge(target: &mut Value, more: &Value) {
    match (target, more) {
        (Value::Object(target), Value::Object(more)) => {
            more.iter().for_each(|(key, value)| merge(target.entry(key).or_insert(Value::Null), value));
        }
        (target, more) => *target = more.clone(),
    }
}

fn train(request: &FineTuneRequest) -> Result<FineTuneReport> {
    fine_tune(request, &mut (), &mut |_| Ok(Flow::Continue))
}

fn tensors(path: PathBuf) -> Vec<(String, Tensor)> {
    let mut tensors = Tensor::read_safetensors(path).unwrap();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

#[track_caller]
fn same(a: PathBuf, b: PathBuf) {
    let (a, b) = (tensors(a), tensors(b));
    assert_eq!(a.len(), b.len());
    for ((name, a), (other, b)) in a.iter().zip(&b) {
        assert!(name == other && a == b, "{name} differs");
    }
}

#[test]
fn adapters_are_learnt_written_and_used() {
    let folder = folder();
    let request = request(folder.path(), "out", &json!({"run": {"epochs": 3, "clips_per_case": 6}}));
    let report = train(&request).unwrap();
    let losses: Vec<_> = report.epochs.iter().map(|epoch| epoch.loss).collect();
    assert!(losses[2] < losses[0], "{losses:?}");
    let means = report.epochs[2].validation.unwrap();
    assert_eq!(means.slices, 2, "two slices of the one object");
    assert!(report.trained_parameters > 1000 && report.skipped == 0);
    let out = folder.path().join("out");
    let table = fs::read_to_string(out.join("metrics.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 3 * 2, "{table}");
    assert_eq!(fs::read_to_string(out.join("steps.csv")).unwrap().lines().count(), 1 + 3 * 6);

    let base = request.model.load().unwrap().model;
    let tuned = ModelRequest { adapter: Some(report.adapter.clone()), ..request.model.clone() }.load().unwrap().model;
    assert_ne!(base.fingerprint(), tuned.fingerprint());
    let image = Tensor::ones([1, 3, 256, 256], (Kind::Float, tch::Device::Cpu));
    let difference = (base.encode_image(&image).vision - tuned.encode_image(&image).vision).abs().max();
    assert!(difference.double_value(&[]) > 1e-4, "the adapters change the features");
}

#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let folder = folder();
    let whole = request(folder.path(), "whole", &json!({"run": {"accumulate": 2}}));
    train(&whole).unwrap();

    let part = request(folder.path(), "part", &json!({"run": {"accumulate": 2, "resume": true}}));
    let mut steps = 0;
    let mut stop = |progress: Progress<'_>| {
        steps += usize::from(progress.stage == "train");
        if steps == 4 { Flow::Cancel } else { Flow::Continue } // in the second epoch
    };
    let stopped = fine_tune(&part, &mut stop, &mut |_| Ok(Flow::Continue));
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    assert!(folder.path().join("part/adapter.safetensors").exists(), "of the first epoch");
    train(&part).unwrap();

    let file = |run: &str, name: &str| folder.path().join(run).join(name);
    same(file("whole", "last.safetensors"), file("part", "last.safetensors"));
    let text = |run: &str, name: &str| fs::read_to_string(file(run, name)).unwrap();
    assert_eq!(text("whole", "metrics.csv"), text("part", "metrics.csv"));
    assert_eq!(text("whole", "steps.csv"), text("part", "steps.csv"));
}

/// Stops when it was asked this many times.
struct After {
    questions: usize,
    asked: AtomicUsize,
}

impl Watch for After {
    fn stop(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.questions
    }

    fn written(&self, _: u64) -> Result<()> {
        Ok(())
    }
}

/// A host's cancel comes in the middle of a step: the checkpoint is written all the same.
#[test]
fn a_run_that_was_stopped_inside_a_step_goes_on_as_if_it_had_not_been() {
    let folder = folder();
    let watch = |questions| Arc::new(After { questions, asked: AtomicUsize::new(0) });
    let all = watch(usize::MAX);
    let whole = request(folder.path(), "whole", &json!({"run": {"accumulate": 2}}));
    watched(all.clone(), || train(&whole)).unwrap();
    let all = all.asked.load(Ordering::Relaxed);
    assert!(all > 500, "{all} questions");

    let part = request(folder.path(), "part", &json!({"run": {"accumulate": 2, "resume": true}}));
    let stopped = watched(watch(all * 6 / 10), || train(&part));
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    train(&part).unwrap();
    let file = |run: &str, name: &str| folder.path().join(run).join(name);
    same(file("whole", "last.safetensors"), file("part", "last.safetensors"));
    assert_eq!(fs::read(file("whole", "steps.csv")).unwrap(), fs::read(file("part", "steps.csv")).unwrap());
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let folder = folder();
    train(&request(folder.path(), "out", &json!({"run": {"epochs": 1}}))).unwrap();
    let more = json!({"run": {"resume": true}, "optimizer": {"learning_rate": 0.1}});
    let error = train(&request(folder.path(), "out", &more)).unwrap_err().to_string();
    assert!(error.contains("checkpoint.safetensors") && error.contains("another configuration"), "{error}");
    let more = json!({"run": {"resume": true}, "adapt": {"rank": 2}});
    let error = train(&request(folder.path(), "out", &more)).unwrap_err().to_string();
    assert!(error.contains("lora_A"), "{error}");
}

#[test]
fn the_closure_ends_the_training() {
    let folder = folder();
    let request = request(folder.path(), "out", &json!({"run": {"epochs": 50}}));
    let report = fine_tune(&request, &mut (), &mut |_| Ok(Flow::Cancel)).unwrap();
    assert_eq!(report.epochs.len(), 1);
}

#[test]
fn adapters_of_other_weights_are_refused() {
    let folder = folder();
    let request = request(folder.path(), "out", &json!({"run": {"epochs": 1, "clips_per_case": 1}}));
    let adapter = train(&request).unwrap().adapter;
    let mut weights = tensors(adapter.clone());
    weights.retain(|(name, _)| !name.contains("lora"));
    let mut other = sam_octa2_core::weights::read(parity("mini21.pt")).unwrap().tensors;
    other.insert("no_mem_embed".into(), other["no_mem_embed"].ones_like());
    let file = folder.path().join("other.safetensors");
    Tensor::write_safetensors(&other.iter().collect::<Vec<_>>(), &file).unwrap();
    let model = ModelRequest { model: file.display().to_string(), adapter: Some(adapter), ..request.model };
    let error = model.load().err().unwrap().to_string();
    assert!(error.contains("trained from other weights"), "{error}");
}

#[test]
fn pefts_folder_says_the_same() {
    let folder = folder();
    let more = json!({"adapt": {"train": ""}, "run": {"epochs": 1, "clips_per_case": 1, "peft": true}});
    let request = request(folder.path(), "out", &more);
    let report = train(&request).unwrap();
    let load =
        |adapter: PathBuf| ModelRequest { adapter: Some(adapter), ..request.model.clone() }.load().unwrap().model;
    let ours = load(report.adapter);
    assert_eq!(ours.fingerprint(), load(folder.path().join("out/peft")).fingerprint());
    assert_ne!(ours.fingerprint(), request.model.load().unwrap().model.fingerprint());
}

#[test]
fn data_that_make_no_sense_are_named() {
    let folder = folder();
    let manifest = |text: &str| fs::write(folder.path().join("pairs.csv"), text).unwrap();
    let more = json!({"run": {"epochs": 1, "clips_per_case": 1}});
    let error = |more: &Value| train(&request(folder.path(), "out", more)).unwrap_err().to_string();
    manifest("image,labels\nmissing.nii.gz,truth.nii.gz\n");
    assert!(error(&more).contains("missing.nii.gz"), "{}", error(&more));
    manifest("image,labels,colour\ndisc.nii.gz,truth.nii.gz,red\n");
    assert!(error(&more).contains("colour"), "{}", error(&more));
    manifest("image,labels,subset\ndisc.nii.gz,truth.nii.gz,test\n");
    assert!(error(&more).contains("no row is for training"), "{}", error(&more));

    let small = Labels { frames: 1, rows: 2, columns: 2, data: vec![1; 4], geometry: Geometry::unknown() };
    io::write_labels(&small, folder.path().join("small.nii.gz")).unwrap();
    let empty = Labels { frames: FRAMES, rows: SIDE, columns: SIDE, data: vec![0; FRAMES * SIDE * SIDE], ..small };
    io::write_labels(&empty, folder.path().join("empty.nii.gz")).unwrap();
    manifest("image,labels\ndisc.nii.gz,truth.nii.gz\ndisc.nii.gz,small.nii.gz\n");
    assert!(error(&more).contains("disc.nii.gz: labels of 1 x 2 x 2"), "{}", error(&more));
    manifest("image,labels,name\ndisc.nii.gz,truth.nii.gz,good\ndisc.nii.gz,empty.nii.gz,bad\n");
    assert!(error(&more).contains("bad: the labels are empty"), "{}", error(&more));

    let skip = request(folder.path(), "out", &more);
    let skip = FineTuneRequest { run: RunConfig { on_bad_data: BadData::Skip, ..skip.run }, ..skip };
    assert_eq!(train(&skip).unwrap().skipped, 1);
}

#[test]
fn a_loss_that_is_no_number_names_its_sample() {
    let folder = folder();
    let more = json!({"optimizer": {"learning_rate": 1e30}});
    let error = train(&request(folder.path(), "out", &more)).unwrap_err().to_string();
    assert!(error.starts_with("disc.nii.gz: ") && error.contains("NaN"), "{error}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let folder = folder();
    for (more, part) in [
        (json!({"run": {"epochs": 0}}), "run.epochs"),
        (json!({"sample": {"frames": 0}}), "sample.frames"),
        (json!({"augment": {"rotation": 500.0}}), "augment.rotation"),
        (json!({"adapt": {"targets": "(", "rank": 2}}), "regular expression"),
        (json!({"adapt": {"targets": "nothing", "rank": 2}}), "name no layer"),
        (json!({"adapt": {"rank": 0, "train": ""}}), "nothing is trained"),
    ] {
        let error = train(&request(folder.path(), "out", &more)).unwrap_err().to_string();
        assert!(error.contains(part), "{more}: {error}");
    }
}

#[test]
fn what_is_exported_is_read_for_training() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |i: usize, object: usize| {
        i / SIDE % SIDE / 20 == object && i % SIDE > 10 && (2..5).contains(&(i / SIDE / SIDE))
    };
    let voxels = (0..FRAMES * SIDE * SIDE).map(|i| (i * 7 % 251) as u8).collect();
    let volume = Volume::new([FRAMES, SIDE, SIDE, 1], Voxels::U8(voxels), Geometry::unknown(), "test").unwrap();
    let number = |i: usize| (1..4).find(|&n| inside(i, n - 1)).map_or(0, |n| [1, 4, 12][n - 1]);
    let vessels = Labels { data: (0..FRAMES * SIDE * SIDE).map(number).collect(), ..Labels::empty_like(&volume) };
    let faz = vessels.map(|label| u16::from(label == 4));
    let sample =
        Sample { number: 10301, volume: &volume, vessels: Some(&vessels), regions: None, faz: Some(&faz), first: 98 };
    let report = export(folder.path(), &sample, &mut ()).unwrap();
    assert_eq!((report.vessel_layers, report.vessels, report.faz_layers), (3, 3, 3));
    let names = [
        "RV_LayerSequence/10301/100.png",
        "RV_LayerSequence/10301/102/11.png",
        "RV_LayerSequence/10301/101/objects.npy",
    ];
    assert!(names.iter().all(|name| folder.path().join(name).is_file()));
    let read = |task| {
        let config = Octa500 { root: folder.path().to_owned(), task, train: Vec::new(), validation: Vec::new() };
        data::cases(&DataConfig::Octa500(config)).unwrap()[0].read().unwrap()
    };
    let (layers, labels) = read(Task::RvLayers);
    assert_eq!(layers.shape(), [3, SIDE, SIDE, 1]);
    let part = |labels: &Labels| labels.data[2 * SIDE * SIDE..5 * SIDE * SIDE].to_vec();
    assert!(labels.data == part(&vessels));
    assert_eq!(layers.voxels().unwrap().to_f32(), volume.slices(2..5).unwrap().voxels().unwrap().to_f32());
    assert!(read(Task::FazLayers).1.data == part(&faz));
    assert!(export(folder.path(), &sample, &mut ()).unwrap_err().to_string().contains("is there already"));
    let oblong = Volume::new([1, 2, 3, 1], Voxels::U8(vec![0; 6]), Geometry::unknown(), "test").unwrap();
    let sample = Sample { volume: &oblong, vessels: None, faz: None, ..sample };
    assert!(export(folder.path(), &sample, &mut ()).unwrap_err().to_string().contains("square"));
}

/// A picture en face with its mask beside it in a folder of another name.
fn picture(root: &Path, subset: &str, kinds: [&str; 2], name: &str, vessel: u32) {
    for (kind, bright) in kinds.into_iter().zip([90, 255]) {
        let folder = root.join(subset).join(kind);
        fs::create_dir_all(&folder).unwrap();
        image::GrayImage::from_fn(8, 6, |x, _| image::Luma([if x == vessel { bright } else { 0 }]))
            .save(folder.join(name))
            .unwrap();
    }
}

#[test]
fn sets_of_pictures_en_face_are_found_by_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let read = |set: Value| data::cases(&serde_json::from_value(json!({"en_face": set})).unwrap());
    let rossa = folder.path().join("ROSSA");
    for (subset, name) in [("train_manual", "1.png"), ("train_sam", "1.png"), ("val", "7.png")] {
        picture(&rossa, subset, ["image", "label"], name, 3);
    }
    let cases = read(json!({"folder": rossa})).unwrap();
    let found: Vec<_> = cases.iter().map(|case| (case.name().to_owned(), case.subset())).collect();
    let expected = [("train_manual/1", Subset::Train), ("train_sam/1", Subset::Train), ("val/7", Subset::Validation)];
    assert_eq!(found, expected.map(|(name, subset)| (name.to_owned(), subset)));
    let (volume, labels) = cases[0].read().unwrap();
    assert_eq!((volume.shape(), labels.count(1), labels.data[3]), ([1, 6, 8, 1], 6, 1));

    let rose = folder.path().join("ROSE-1/SVC");
    picture(&rose, "train", ["img", "gt"], "01.png", 2);
    picture(&rose, "train", ["img", "thick_gt"], "01.png", 5);
    picture(&rose, "test", ["img", "gt"], "01.png", 2);
    picture(&rose, "test", ["img", "thick_gt"], "01.png", 5);
    let of = |masks: Option<&str>| read(json!({"folder": rose, "masks": masks})).unwrap()[1].read().unwrap().1.data;
    assert_eq!((of(None)[2], of(Some("thick_gt"))[5]), (1, 1));
    assert_eq!(read(json!({"folder": rose})).unwrap()[0].subset(), Subset::Test);

    let refused = |set: Value| read(set).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused(json!({"folder": folder.path()})).contains("ROSE-1/SVC"));
    assert!(refused(json!({"folder": rose, "masks": "thin_gt"})).contains("has no folder thin_gt"));
    fs::remove_file(rossa.join("val/label/7.png")).unwrap();
    assert!(refused(json!({"folder": rossa})).contains("no mask of this name"));
}

/// Real samples, where they are.
#[test]
fn octa500_is_read_as_sam_octa2_lays_it_out() {
    let root = root().join("../../shared/octa500");
    if !root.is_dir() {
        eprintln!("skipped: there is no OCTA-500 in {}", root.display());
        return;
    }
    let read = |task| {
        let config = Octa500 { root: root.clone(), task, train: vec![10301], validation: Vec::new() };
        let cases = data::cases(&DataConfig::Octa500(config)).unwrap();
        assert_eq!((cases.len(), cases[0].subset()), (1, Subset::Train));
        cases[0].read().unwrap()
    };
    let (volume, labels) = read(Task::FazLayers);
    assert_eq!(volume.shape(), [11, 512, 512, 1]);
    assert_eq!(labels.objects(), [1]);
    assert!(labels.count(1) > 10_000, "{}", labels.count(1));
    let (volume, labels) = read(Task::RvLayers);
    assert_eq!(volume.shape(), [10, 512, 512, 1]);
    assert!(labels.objects().contains(&1) && labels.objects().contains(&9), "{:?}", labels.objects());
    let (volume, labels) = read(Task::RvProjection);
    assert_eq!(volume.shape(), [3, 1024, 1024, 1]);
    assert_eq!(labels.frame(0), labels.frame(2));
    assert_eq!(read(Task::FazProjection).1.objects(), [1]);
}
