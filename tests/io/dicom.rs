//! DICOM beyond the plain cases: every transfer syntax, unusual starts of files, choice of series, DICOMDIR, uneven slices, windows,
//! ophthalmic images; damaged compressed files. Fixtures and expectations: `tests/tools/make_dicom_fixtures.py`.

use crate::{as_f64, data, distance};
use sam_octa2_volumes::io::{self, OpenOptions};
use sam_octa2_volumes::volume::Volume;
use serde_json::Value;

fn fixture(name: &str) -> std::path::PathBuf {
    data("dicom").join(name)
}

fn options(series: Option<&str>, uneven: bool) -> OpenOptions {
    let mut options = OpenOptions::default();
    options.series = series.map(str::to_owned);
    options.uneven = uneven;
    options
}

fn open_with(path: &str, series: Option<&str>, uneven: bool) -> Result<Volume, String> {
    io::open(data(path), &options(series, uneven)).map_err(|error| error.to_string())
}

#[test]
fn every_transfer_syntax_reads_as_in_pydicom() {
    let text = std::fs::read_to_string(fixture("expected.json")).unwrap();
    let expected: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), 40);
    for (name, expected) in &expected {
        let volume = io::open(fixture(name), &OpenOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut shape = vec![volume.frames, volume.rows, volume.columns];
        shape.extend((volume.channels > 1).then_some(volume.channels));
        assert_eq!(serde_json::json!(shape), expected["shape"], "{name}");
        assert_eq!(volume.dtype(), expected["dtype"], "{name}");
        let tolerance = expected["tolerance"].as_f64().unwrap();
        let values = expected["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap());
        // the last bit of a float64 in JSON
        let tolerance = tolerance.max(1e-15);
        let worst =
            as_f64(&volume.voxels().unwrap()).iter().zip(values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst <= tolerance, "{name}: off by {worst}");
    }
}

#[test]
fn a_series_is_chosen_by_number_uid_or_place() {
    let error = open_with("io/bad/two_series", None, false).unwrap_err();
    assert!(error.contains("2 series: #1 number 1, \"series 1\", OT, 1 slices"), "{error}");
    let first = open_with("io/bad/two_series", Some("1"), false).unwrap();
    let second = open_with("io/bad/two_series", Some("1.2.826.0.1.3680043.8.498.8.2"), false).unwrap();
    assert_ne!(first.voxels().unwrap(), second.voxels().unwrap());
    assert_eq!(open_with("io/bad/two_series", Some("#2"), false).unwrap().voxels().unwrap(), second.voxels().unwrap());
    for wrong in ["3", "#3", "#0", "", "1.2.3"] {
        let error = open_with("io/bad/two_series", Some(wrong), false).unwrap_err();
        assert!(error.contains("has no series") && error.contains("#2 number 2"), "{wrong}: {error}");
    }
}

#[test]
fn a_dicomdir_names_its_files() {
    for path in ["dicom/directory", "dicom/directory/DICOMDIR"] {
        let error = open_with(path, None, false).unwrap_err();
        assert!(error.contains("2 series") && error.contains("scan 2"), "{error}");
        let volume = open_with(path, Some("6"), false).unwrap();
        assert_eq!((volume.frames, volume.geometry.spacing), (2, [1.0, 1.0, 2.0]));
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("directory/DICOMDIR"), folder.path().join("DICOMDIR")).unwrap();
    let error = io::open(folder.path(), &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("4 files that are not there"), "{error}");
}

/// As in pydicom's `DICOMDIR-nooffset`: two elements taken out of the last record, whose item still claims their bytes.
#[test]
fn a_dicomdir_whose_last_record_claims_too_much_reads() {
    let folder = tempfile::tempdir().unwrap();
    let copied = folder.path().join("directory");
    copy_folder(&fixture("directory"), &copied);
    let mut bytes = std::fs::read(copied.join("DICOMDIR")).unwrap();
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).rposition(|window| window == what).unwrap();
    for element in [b"\x04\0\0\x14UL\x04\0", b"\x04\0\x20\x14UL\x04\0"] {
        let at = find(&bytes, element);
        assert!(at > find(&bytes, b"\xfe\xff\0\xe0"), "not in the last record");
        bytes.drain(at..at + 12);
    }
    let sequence = find(&bytes, b"\x04\0\x20\x12SQ") + 8;
    let length = (bytes.len() - sequence - 4) as u32;
    std::fs::write(copied.join("DICOMDIR"), &bytes).unwrap();
    assert!(io::open(&copied, &options(Some("6"), false)).is_err(), "the sequence is longer than the file");
    bytes[sequence..sequence + 4].copy_from_slice(&length.to_le_bytes());
    std::fs::write(copied.join("DICOMDIR"), &bytes).unwrap();
    assert_eq!(io::open(&copied, &options(Some("6"), false)).unwrap().frames, 2);
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn gaps_are_accepted_only_when_asked() {
    let error = open_with("io/bad/missing_slice", None, false).unwrap_err();
    assert!(error.contains("2.0000 mm between slices 1 and 2") && error.contains("uneven"), "{error}");
    let volume = open_with("io/bad/missing_slice", None, true).unwrap();
    assert_eq!((volume.frames, volume.geometry.spacing[2]), (3, 1.0));
    let error = open_with("io/bad/same_place", None, true).unwrap_err();
    assert!(error.contains("same place"), "{error}");
    assert!(open_with("io/bad/localizer", None, true).is_err());
}

#[test]
fn frames_of_a_b_scan_volume_are_placed_one_by_one() {
    let volume = open_with("dicom/opt.dcm", None, false).unwrap();
    let affine = [[-0.012, 0.0, 0.0, -1.0], [0.0, 0.0, -0.05, -2.0], [0.0, -0.004, 0.0, 3.0], [0.0, 0.0, 0.0, 1.0]];
    assert!(volume.geometry.known && distance(&volume.geometry.affine, &affine) < 1e-9, "{:?}", volume.geometry);
    let face = open_with("dicom/en_face.dcm", None, false).unwrap();
    assert_eq!((face.geometry.known, face.geometry.spacing), (false, [0.01, 0.02, 1.0]));
}

#[test]
fn windows_are_told_and_not_applied() {
    let window = |path: &str| io::open(data(path), &OpenOptions::default()).unwrap().window;
    assert_eq!(window("io/dicom/windowed.dcm"), Some((75.0, 124.0)));
    // the slice in the middle, third by its place
    assert_eq!(window("dicom/opt.dcm"), Some((76.5, 126.5)));
    assert_eq!(window("dicom/en_face.dcm"), Some((0.0, 4095.0)));
    assert_eq!(window("io/dicom/rgb.dcm"), None);
    assert_eq!(window("io/nifti/slope.nii"), None);
}

#[test]
fn transfer_syntaxes_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(fixture("jpeg_grey8.dcm")).unwrap();
    let at = bytes.windows(22).position(|w| w == b"1.2.840.10008.1.2.4.50").unwrap();
    // the second is a finding of fuzzing: a damaged name must not break the line
    for (name, shown) in
        [(b"1.2.840.10008.1.2.4.55", "1.2.840.10008.1.2.4.55"), (b"1.2.840.10008.1.\n.4.90", "1.2.840.10008.1..4.90")]
    {
        bytes[at..at + 22].copy_from_slice(name);
        let path = folder.path().join("unknown.dcm");
        std::fs::write(&path, &bytes).unwrap();
        let error = io::open(&path, &OpenOptions::default()).unwrap_err();
        let text = error.to_string();
        assert_eq!((error.code(), text.lines().count()), ("unsupported", 1));
        assert!(text.contains(shown) && text.contains("transfer syntax"), "{text}");
    }
}

/// Files cut off and with bytes flipped: an error or a volume, one line, never a panic.
#[test]
fn damage_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.dcm");
    for entry in std::fs::read_dir(data("dicom")).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|ending| ending == "json") || entry.is_dir() {
            continue;
        }
        let whole = std::fs::read(&entry).unwrap();
        let step = (whole.len() / 40).max(1);
        for at in (0..whole.len()).step_by(step) {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                std::fs::write(&path, &changed).unwrap();
                if let Err(error) = io::open(&path, &OpenOptions::default()) {
                    assert_eq!(error.to_string().lines().count(), 1, "{error}");
                }
            }
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(io::open(&path, &OpenOptions::default()).is_err() || at > 300, "{} at {at}", entry.display());
        }
    }
}
