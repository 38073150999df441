//! Run-length encoding and COCO JSON, against what pycocotools makes of the same masks.

use crate::open;
use sam_octa2_volumes::io::{Counts, Rle, read_labels, write_labels};
use sam_octa2_volumes::volume::Labels;

type Mask = (usize, usize, fn(usize, usize) -> bool);

/// `pycocotools.mask.encode` of three masks.
const PYCOCOTOOLS: [(Mask, &str); 3] = [
    (
        (9, 70, |y, x| x >= 65 || ((2..7).contains(&y) && (3..60).contains(&x) && !(y == 4 && (10..50).contains(&x)))),
        "m054000000000000MM030M030M030M030M030M030M030M030M030M030M030M030M030M030M030M030M030M030M030M030M030M030M030\
         M030M030M030M030M030M030M030M030M030M030M030M030M030M030M030M030M033000000000000000000[1X1",
    ),
    ((5, 4, |y, x| (x + y) % 2 == 0), "011000000000000000000"),
    ((30, 40, |y, x| x >= 30 && (10..20).contains(&y)), "^l0:d000000000000000000F"),
];

#[test]
fn strings_are_those_of_pycocotools() {
    for ((rows, columns, inside), counts) in PYCOCOTOOLS {
        let mask: Vec<bool> = (0..rows * columns).map(|i| inside(i / columns, i % columns)).collect();
        let rle = Rle::encode(rows, columns, |i| mask[i], true);
        assert_eq!(rle, Rle { size: [rows, columns], counts: Counts::Compressed(counts.to_owned()) });
        assert_eq!(rle.decode().unwrap(), mask);
        let plain = Rle::encode(rows, columns, |i| mask[i], false);
        assert!(matches!(plain.counts, Counts::Plain(_)));
        assert_eq!(plain.decode().unwrap(), mask);
    }
}

#[test]
fn damaged_runs_are_errors() {
    for counts in ["", "m", "m0", "mmmmmmmmmmmmmmm", "\u{7f}", "é", "o", "0110000000000000000000", "OOOOOOO"] {
        let rle = Rle { size: [5, 4], counts: Counts::Compressed(counts.to_owned()) };
        assert!(rle.decode().is_err(), "{counts:?}");
    }
    for runs in [vec![], vec![19], vec![21], vec![u32::MAX, u32::MAX, 20]] {
        assert!(Rle { size: [5, 4], counts: Counts::Plain(runs) }.decode().is_err());
    }
    assert!(Rle { size: [usize::MAX, 4], counts: Counts::Plain(vec![4]) }.decode().is_err());
}

fn labels() -> Labels {
    let mut labels = Labels::empty_like(&open("nifti/packed.nii.gz"));
    labels.data.iter_mut().enumerate().for_each(|(i, object)| *object = [0, 1, 1, 700][i * i % 4]);
    labels
}

#[test]
fn labels_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.json");
    let before = labels();
    write_labels(&before, &path).unwrap();
    let after = read_labels(&path).unwrap();
    assert_eq!(after.data, before.data);
    assert_eq!((after.frames, after.rows, after.columns), (before.frames, before.rows, before.columns));
    assert!(crate::distance(&after.geometry.affine, &before.geometry.affine) < 1e-12);
}

#[test]
fn areas_and_boxes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.json");
    let mut labels = Labels::empty_like(&open("nifti/packed.nii.gz"));
    let columns = labels.columns;
    for at in [columns + 1, columns + 2, 2 * columns + 2] {
        labels.frame_mut(1)[at] = 9;
    }
    write_labels(&labels, &path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let [annotation] = &json["annotations"].as_array().unwrap()[..] else { panic!("{json}") };
    assert_eq!(annotation["area"], 3);
    assert_eq!(annotation["bbox"], serde_json::json!([1.0, 1.0, 2.0, 2.0]));
    assert_eq!((annotation["image_id"].as_u64(), annotation["category_id"].as_u64()), (Some(2), Some(9)));
    assert_eq!(json["categories"][0]["id"], 9);
}

#[test]
fn other_json_is_an_error_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.json");
    let image = r#""images": [{"id": 1, "width": 2, "height": 2}]"#;
    let annotation = |fields: &str| format!(r#"{{{image}, "annotations": [{{"id": 5, {fields}}}]}}"#);
    let full = r#""segmentation": {"size": [2, 2], "counts": [0, 4]}"#;
    for (text, part) in [
        ("{".to_owned(), "no COCO JSON"),
        (r#"{"images": [], "annotations": []}"#.to_owned(), "no images"),
        (r#"{"images": [{"id": 1, "width": 99999999, "height": 99999999}], "annotations": []}"#.to_owned(), "claims"),
        (annotation(r#""image_id": 1, "category_id": 1, "segmentation": [[1, 2, 3]]"#), "annotations[0]"),
        (annotation(&format!(r#""image_id": 3, "category_id": 1, {full}"#)), "no image 3"),
        (annotation(&format!(r#""image_id": 1, "category_id": 70000, {full}"#)), "category 70000"),
        (
            annotation(r#""image_id": 1, "category_id": 1, "segmentation": {"size": [2, 2], "counts": [0, 3]}"#),
            "3 pixels",
        ),
        (
            annotation(r#""image_id": 1, "category_id": 1, "segmentation": {"size": [3, 2], "counts": [0, 6]}"#),
            "[3, 2]",
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        let error = read_labels(&path).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("l.json") && !error.contains('\n'), "{text}: {error}");
    }
}
