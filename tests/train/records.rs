//! Tables, events, curves and pictures of a training; test cases at its end.

use crate::{folder, request, train};
use serde_json::json;
use std::fs;
use std::path::Path;

/// The data of a TensorBoard file's records; lengths must add up to the file.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (mut at, mut records) = (0, Vec::new());
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        records.push(bytes[at + 12..at + 12 + length].to_vec());
        at += 12 + length + 4;
    }
    assert_eq!(at, bytes.len());
    records
}

#[test]
fn a_run_is_written_down() {
    let folder = folder();
    let more = json!({"run": {"epochs": 2, "clips_per_case": 3, "sheets": 1}});
    train(&request(folder.path(), "out", &more)).unwrap();
    let out = folder.path().join("out");

    let events = records(&out.join("tensorboard/events.out.tfevents.0.sam_octa2"));
    assert_eq!(events.len(), 1 + 6 + 2 * 2, "version, steps, two for every epoch");
    let holds = |event: &[u8], text: &str| event.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds(&events[0], "brain.Event:2"));
    assert_eq!(events.iter().filter(|event| holds(event, "validation/dice")).count(), 2);
    assert_eq!(events.iter().filter(|event| holds(event, "train/loss")).count(), 6);

    assert!(fs::read(out.join("metrics.xlsx")).unwrap().starts_with(b"PK"));
    let curves = fs::read_to_string(out.join("curves.svg")).unwrap();
    assert!(curves.contains("Dice") && curves.contains("<polyline"), "{curves}");
    for sheet in ["sheets/last/disc.nii.gz_1.png", "sheets/best/disc.nii.gz_1.png"] {
        let picture = image::open(out.join(sheet)).unwrap();
        assert_eq!((picture.width(), picture.height()), (2 * 256 + 4, 3 * 256 + 2 * 4), "two slices, three rows");
    }
}

/// A run that goes on writes the events of its first part again.
#[test]
fn events_of_both_parts_are_there() {
    let folder = folder();
    let run = |epochs: usize| json!({"run": {"epochs": epochs, "clips_per_case": 2, "resume": true}});
    train(&request(folder.path(), "out", &run(1))).unwrap();
    train(&request(folder.path(), "out", &run(2))).unwrap();
    let events = records(&folder.path().join("out/tensorboard/events.out.tfevents.0.sam_octa2"));
    assert_eq!(events.len(), 1 + 4 + 2 * 2);
}

#[test]
fn test_cases_are_measured_once_at_the_end() {
    let folder = folder();
    let text = "image,labels,subset,name\ndisc.nii.gz,truth.nii.gz,train,a\ndisc.nii.gz,truth.nii.gz,test,b\n";
    fs::write(folder.path().join("pairs.csv"), text).unwrap();
    let report = train(&request(folder.path(), "out", &json!({}))).unwrap();
    assert_eq!(report.test.unwrap().slices, 2);
    let table = fs::read_to_string(folder.path().join("out/test.csv")).unwrap();
    assert!(table.lines().count() == 3 && table.lines().skip(1).all(|line| line.contains(",test,b,")), "{table}");
    let metrics = fs::read_to_string(folder.path().join("out/metrics.csv")).unwrap();
    assert!(!metrics.contains(",b,"), "{metrics}");
}
