//! Teaching the segmentation network: the smallest one, on pictures of a disc with its mask beside it.

use crate::root::root;
use crate::{merge, same};
use sam_octa2_core::progress::{Flow, Progress};
use sam_octa2_core::sparse::input::resized_map;
use sam_octa2_core::sparse::{
    Predictor, SegmenterRequest, TrainSegmenterReport, TrainSegmenterRequest, train_segmenter,
};
use sam_octa2_core::volume::{Geometry, Volume, Voxels};
use sam_octa2_core::{Error, Result, io};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const SIDE: usize = 64;

/// A disc at `x`, bright on a speckled ground, and its mask on the right.
fn strip(x: f64) -> Vec<u8> {
    let disc = |column: usize, row: usize| (column as f64 - x).powi(2) + (row as f64 - 30.0).powi(2) < 225.0;
    let pixel = |i: usize| {
        let (row, column) = (i / (2 * SIDE), i % (2 * SIDE));
        match column.checked_sub(SIDE) {
            Some(right) => u8::from(disc(right, row)) * 255,
            None if disc(column, row) => 150 + (i * 7 % 60) as u8,
            None => (i * 11 % 60) as u8,
        }
    };
    (0..2 * SIDE * SIDE).map(pixel).collect()
}

/// A folder `layers` of four such pictures.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let layers = folder.path().join("layers");
    fs::create_dir(&layers).unwrap();
    for (at, x) in [18.0, 26.0, 34.0, 42.0].into_iter().enumerate() {
        image::GrayImage::from_raw(2 * SIDE as u32, SIDE as u32, strip(x))
            .unwrap()
            .save(layers.join(format!("{at}.png")))
            .unwrap();
    }
    folder
}

fn request(folder: &Path, output: &str, more: &Value) -> TrainSegmenterRequest {
    let mut request = json!({
        "network": {"size": "tiny", "image_size": 64, "device": "cpu"},
        "data": {"side_by_side": {"folder": folder.join("layers"), "validation": ["2.png"]}},
        "output": folder.join(output),
        "augment": {"rotation": 5.0},
        "run": {"epochs": 2},
    });
    merge(&mut request, more);
    serde_json::from_value(request).unwrap()
}

fn train(request: &TrainSegmenterRequest) -> Result<TrainSegmenterReport> {
    train_segmenter(request, &mut (), &mut |_| Ok(Flow::Continue))
}

#[test]
fn a_disc_is_learnt_and_found_on_other_slices() {
    let folder = folder();
    let request = request(folder.path(), "out", &json!({"run": {"epochs": 20}}));
    assert_eq!((request.optimizer.weight_decay, request.optimizer.warm_up), (1e-4, 10), "what is not said is as usual");
    let report = train(&request).unwrap();
    let dice = report.epochs[19].validation.unwrap().dice;
    assert!(dice > 0.9, "{dice}");
    assert_eq!(report.epochs[0].validation.unwrap().slices, 1);
    assert_eq!(fs::read_to_string(folder.path().join("out/steps.csv")).unwrap().lines().count(), 1 + 20 * 3);

    let segmenter = SegmenterRequest { segmenter: report.segmenter.display().to_string(), ..Default::default() };
    let segmenter = segmenter.load().unwrap();
    assert_eq!((segmenter.config(), segmenter.config().image_size), (&report.network, 64));
    let slices =
        [22.0, 38.0].map(|x| strip(x).chunks(2 * SIDE).flat_map(|row| row[..SIDE].to_vec()).collect::<Vec<_>>());
    let volume = Volume::new([2, SIDE, SIDE, 1], Voxels::U8(slices.concat()), Geometry::unknown(), "test").unwrap();
    let mut predictor = Predictor::new(&segmenter, &volume, Default::default(), Default::default()).unwrap();
    predictor.run(None, &mut ()).unwrap();
    for (frame, x) in [22.0, 38.0].into_iter().enumerate() {
        let region = predictor.predicted.region.frame(frame);
        let truth: Vec<bool> =
            strip(x).chunks(2 * SIDE).flat_map(|row| row[SIDE..].iter().map(|&v| v > 0).collect::<Vec<_>>()).collect();
        let both = region.iter().zip(&truth).filter(|(label, inside)| **label == 1 && **inside).count();
        let all = region.iter().filter(|label| **label == 1).count() + truth.iter().filter(|inside| **inside).count();
        assert!(2 * both * 10 > all * 9, "slice {frame}: {both} of {all}");
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let folder = folder();
    train(&request(folder.path(), "whole", &json!({}))).unwrap();
    let part = request(folder.path(), "part", &json!({"run": {"resume": true}}));
    let mut steps = 0;
    let mut stop = |progress: Progress<'_>| {
        steps += usize::from(progress.stage == "train");
        if steps == 6 { Flow::Cancel } else { Flow::Continue } // in the second epoch
    };
    let stopped = train_segmenter(&part, &mut stop, &mut |_| Ok(Flow::Continue));
    assert!(matches!(stopped, Err(Error::Cancelled)), "{:?}", stopped.err());
    train(&part).unwrap();
    let file = |run: &str, name: &str| folder.path().join(run).join(name);
    same(file("whole", "last.safetensors"), file("part", "last.safetensors"));
    let text = |run: &str| fs::read_to_string(file(run, "metrics.csv")).unwrap();
    assert_eq!(text("whole"), text("part"));
    let other = request(folder.path(), "part", &json!({"run": {"resume": true}, "network": {"image_size": 32}}));
    let error = train(&other).unwrap_err().to_string();
    assert!(error.contains("another configuration"), "{error}");
}

#[test]
fn memory_is_bought_with_time_and_nothing_else() {
    let folder = folder();
    train(&request(folder.path(), "parts", &json!({"run": {"epochs": 1}}))).unwrap();
    train(&request(folder.path(), "whole", &json!({"run": {"epochs": 1, "recompute": false}}))).unwrap();
    let losses = |run: &str| fs::read_to_string(folder.path().join(run).join("steps.csv")).unwrap();
    let numbers = |text: String| -> Vec<f64> {
        text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
    };
    for (a, b) in numbers(losses("parts")).into_iter().zip(numbers(losses("whole"))) {
        assert!((a - b).abs() < 1e-3, "{a} and {b}");
    }
}

#[test]
fn training_goes_on_from_weights_and_learns_labelled_slices_only() {
    let folder = folder();
    let first = train(&request(folder.path(), "first", &json!({"run": {"epochs": 1}}))).unwrap();
    let slices =
        [18.0, 26.0, 34.0].map(|x| strip(x).chunks(2 * SIDE).flat_map(|row| row[..SIDE].to_vec()).collect::<Vec<_>>());
    let volume = Volume::new([3, SIDE, SIDE, 1], Voxels::U8(slices.concat()), Geometry::unknown(), "test").unwrap();
    io::write_volume(&volume, folder.path().join("v.nii.gz"), &mut ()).unwrap();
    let mut labels = sam_octa2_core::volume::Labels::empty_like(&volume);
    labels.frame_mut(1)[20 * SIDE + 20..20 * SIDE + 30].fill(3);
    io::write_labels(&labels, folder.path().join("l.nii.gz")).unwrap();
    let rows = "image,labels,subset\nv.nii.gz,l.nii.gz,train\nv.nii.gz,l.nii.gz,test\n";
    fs::write(folder.path().join("pairs.csv"), rows).unwrap();
    let more = json!({"network": {"size": null, "segmenter": first.segmenter}, "run": {"epochs": 1}});
    let mut second = request(folder.path(), "second", &more);
    second.data = serde_json::from_value(json!({"manifest": folder.path().join("pairs.csv")})).unwrap();
    let report = train(&second).unwrap();
    assert_eq!(report.network, first.network, "the checkpoint says the side");
    assert_eq!(report.test.unwrap().slices, 1);
    assert_eq!(
        fs::read_to_string(folder.path().join("second/steps.csv")).unwrap().lines().count(),
        2,
        "one labelled slice"
    );
}

#[test]
fn errors_say_what_is_wrong() {
    let folder = folder();
    let error = |more: Value| train(&request(folder.path(), "bad", &more)).unwrap_err().to_string();
    for (more, part) in [
        (json!({"network": {"size": "huge"}}), "no size \"huge\""),
        (json!({"network": {"segmenter": "x.pth"}}), "name one of"),
        (json!({"network": {"image_size": 33}}), "image_size is 33"),
        (json!({"run": {"views": 0}}), "run.views is 0"),
        (json!({"run": {"views": u64::MAX}}), "100000 is the most"),
        (json!({"run": {"threshold": 1.0}}), "run.threshold is 1"),
        (json!({"data": {"side_by_side": {"validation": ["7"]}}}), "no picture 7"),
        (json!({"data": {"side_by_side": {"folder": folder.path().join("none")}}}), "none"),
    ] {
        let error = error(more);
        assert!(error.contains(part), "{part}: {error}");
    }
    image::GrayImage::new(50, 40).save(folder.path().join("layers/9.png")).unwrap();
    let error = error(json!({}));
    assert!(error.contains("9.png") && error.contains("twice as wide as high"), "{error}");
}

#[test]
fn labels_without_objects_teach_nothing() {
    let folder = folder();
    let volume =
        Volume::new([2, SIDE, SIDE, 1], Voxels::U8(vec![7; 2 * SIDE * SIDE]), Geometry::unknown(), "test").unwrap();
    io::write_volume(&volume, folder.path().join("v.nii.gz"), &mut ()).unwrap();
    let empty = sam_octa2_core::volume::Labels::empty_like(&volume);
    io::write_labels(&empty, folder.path().join("l.nii.gz")).unwrap();
    fs::write(folder.path().join("pairs.csv"), "image,labels\nv.nii.gz,l.nii.gz\n").unwrap();
    let mut request = request(folder.path(), "out", &json!({}));
    request.data = serde_json::from_value(json!({"manifest": folder.path().join("pairs.csv")})).unwrap();
    let error = train(&request).unwrap_err().to_string();
    assert!(error.contains("v.nii.gz: the labels are empty on every slice"), "{error}");
}

/// The published strips: their third square is the first within the vessel map, resized.
#[test]
fn vessels_are_those_of_the_published_strips() {
    let root = root().join("../../shared/octa500");
    if !root.is_dir() {
        eprintln!("skipped: there is no OCTA-500 in {}", root.display());
        return;
    }
    let (rows, columns, map) = io::read_mask(root.join("3M/GT_LargeVessel/10301.bmp")).unwrap();
    let map = resized_map(&map, [rows, columns], [512, 512]).unwrap();
    for layer in [237, 241, 246] {
        let strip = image::open(root.join(format!("RV_LayerSequence/10301/{layer}.png"))).unwrap().into_rgb8();
        let square = |at: u32| move |i: usize| (512 * at + i as u32 % 512, i as u32 / 512);
        let green = |(x, y): (u32, u32)| strip.get_pixel(x, y)[1] > strip.get_pixel(x, y)[0].saturating_add(20);
        let theirs = |i: usize| green(square(2)(i));
        let ours = |i: usize| strip.get_pixel(square(0)(i).0, square(0)(i).1)[0] > 127 && map[i];
        let differ = (0..512 * 512).filter(|&i| ours(i) != theirs(i)).count();
        let vessels = (0..512 * 512).filter(|&i| theirs(i)).count();
        println!("layer {layer}: {vessels} pixels of vessels, {differ} differ");
        assert!(vessels > 1000 && differ < vessels / 200, "layer {layer}: {differ} of {vessels} differ");
    }
}
