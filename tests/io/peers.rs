//! Every fixture has the shape, type, geometry and values that its peer reads.

use crate::{as_f64, data, distance, open};
use sam_octa2_volumes::io::VolumeInfo;
use sam_octa2_volumes::job::{self, InputRequest};
use sam_octa2_volumes::volume::Voxels;
use serde_json::Value;

fn expected() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(data("io/expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// All fixtures of one folder; the count keeps an empty list from passing.
fn check(folder: &str, count: usize) {
    let expected = expected();
    let names: Vec<&String> = expected.keys().filter(|name| name.starts_with(folder)).collect();
    assert_eq!(names.len(), count, "fixtures in {folder}");
    for name in names {
        check_one(name, &expected[name]);
    }
}

fn info(name: &str) -> VolumeInfo {
    let request = InputRequest { input: data("io").join(name), ..InputRequest::default() };
    job::info(&request, &mut ()).unwrap()
}

fn check_one(name: &str, expected: &Value) {
    let volume = open(name);
    let info = info(name);
    assert_eq!(serde_json::json!(info.shape), expected["shape"], "{name}: shape");
    assert_eq!(info.dtype, expected["dtype"], "{name}: type");
    assert_eq!(info.geometry_known, expected["known"], "{name}: geometry known");
    let affine: [[f64; 4]; 4] = serde_json::from_value(expected["affine"].clone()).unwrap();
    assert!(distance(&info.affine, &affine) < 2e-6, "{name}: affine {:?} instead of {affine:?}", info.affine);
    for (ours, theirs) in info.spacing.iter().zip(expected["spacing"].as_array().unwrap()) {
        assert!(
            (ours - theirs.as_f64().unwrap()).abs() < 1e-6,
            "{name}: spacing {:?} instead of {}",
            info.spacing,
            expected["spacing"]
        );
    }
    let values = expected["values"].as_array().unwrap();
    assert_eq!(values.len(), volume.voxels().unwrap().len(), "{name}: number of values");
    match &*volume.voxels().unwrap() {
        // beyond what a float64 holds: compared as text
        Voxels::U64(ours) => ours.iter().zip(values).for_each(|(a, b)| assert_eq!(a.to_string(), text(b), "{name}")),
        Voxels::I64(ours) => ours.iter().zip(values).for_each(|(a, b)| assert_eq!(a.to_string(), text(b), "{name}")),
        // float32 after a slope that the peer computes in float64; the last bit of a float64 in JSON
        Voxels::F32(_) | Voxels::F64(_) => as_f64(&volume.voxels().unwrap()).iter().zip(values).for_each(|(a, b)| {
            let b = b.as_f64().unwrap();
            let tolerance = if info.dtype == "float32" { 6e-8 } else { 3e-16 };
            assert!((a - b).abs() <= tolerance * b.abs(), "{name}: {a} instead of {b}");
        }),
        other => as_f64(other).iter().zip(values).for_each(|(a, b)| assert_eq!(*a, b.as_f64().unwrap(), "{name}")),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn nifti_reads_as_in_nibabel() {
    check("nifti/", 33);
}

#[test]
fn dicom_reads_as_in_pydicom_and_simpleitk() {
    check("dicom/", 24);
}

#[test]
fn pictures_read_as_in_pillow() {
    check("pictures/", 16);
}

#[test]
fn npy_reads_as_in_numpy() {
    check("npy/", 9);
}

#[test]
fn info_is_json_and_text() {
    let info = info("dicom/rescaled");
    let json = serde_json::to_value(&info).unwrap();
    assert_eq!(json["shape"], serde_json::json!([2, 3, 4]));
    assert_eq!(json["format"], "dicom");
    let text = info.to_string();
    assert!(text.contains("2 x 3 x 4") && text.contains("0.5 x 0.5 x 5 mm") && text.contains("int32"), "{text}");
}
