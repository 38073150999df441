//! Files as devices and programs write them, each with a trap that reports from the field tell of (`tests/tools/make_field_fixtures.py`):
//! a value that cannot be read is never invented, a slice is never left out in silence.

use crate::{as_f64, data, distance};
use sam_octa2_volumes::Result;
use sam_octa2_volumes::io::{self, Channel, OpenOptions};
use sam_octa2_volumes::progress::{Flow, Observer, Progress};
use sam_octa2_volumes::volume::{Geometry, Labels, Volume};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    data("io/field").join(name)
}

fn open(name: &str) -> Result<Volume> {
    io::open(path(name), &OpenOptions::default())
}

fn error(name: &str) -> String {
    let error = open(name).map(|volume| format!("{volume:?}")).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

/// What pydicom, nibabel and tifffile read.
fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(path("expected.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn affine(value: &Value) -> [[f64; 4]; 4] {
    let rows: Vec<[f64; 4]> = value.as_array().unwrap().iter().map(|row| numbers(row).try_into().unwrap()).collect();
    rows.try_into().unwrap()
}

/// Remembers what a reader wants people to know.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn progress(&mut self, _: Progress<'_>) -> Flow {
        Flow::Continue
    }

    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

fn noted(name: &str) -> (Volume, String) {
    let mut notes = Notes::default();
    let volume = io::open_observed(&path(name), &OpenOptions::default(), &mut notes).unwrap();
    (volume, notes.0.join("; "))
}

fn sum(volume: &Volume) -> f64 {
    as_f64(&volume.voxels().unwrap()).iter().sum()
}

#[test]
fn sizes_of_pixels_are_read_or_not_known_and_never_invented() {
    for name in ["ok", "comma", "decimal_comma"] {
        let (volume, notes) = noted(&format!("dicom/spacing_{name}.dcm"));
        assert!(volume.geometry.known && notes.is_empty(), "{name}: {notes}");
        assert!((volume.geometry.spacing[1] - 0.0058).abs() < 1e-12, "{name}");
        assert!((volume.geometry.spacing[0] - 0.0019).abs() < 1e-12, "{name}");
    }
    for (name, said) in [
        ("one", "\"0.0058\": 1 of 2 values"),
        ("zero", "0, 0 mm, which is no size"),
        ("ambiguous", "\"0,0058\": 1 of 2 values"),
        ("text", "\"0.0058 mm\", which cannot be read"),
        ("missing", "is missing"),
    ] {
        let name = format!("dicom/spacing_{name}.dcm");
        let (volume, notes) = noted(&name);
        assert!(!volume.geometry.known && !volume.geometry.has_size(), "{name}");
        assert!(notes.contains("PixelSpacing (0028,0030)") && notes.contains(said), "{name}: {notes}");
        // whoever knows it may say it, and the place stays
        let mut options = OpenOptions::default();
        options.spacing = Some([0.25, 0.5, 0.5]);
        let sized = io::open(path(&name), &options).unwrap().geometry;
        assert_eq!((sized.known, sized.spacing), (true, [0.25, 0.5, 0.5]), "{name}");
        assert_eq!([0, 1, 2].map(|row| sized.affine[row][3]), [-1.0, -2.0, 3.0], "{name}");
    }
    let reply = noted("dicom/position_comma.dcm").0.geometry;
    assert_eq!((reply.spacing, [0, 1, 2].map(|row| reply.affine[row][3])), ([0.25, 0.5, 0.5], [-1.5, -2.5, 3.5]));
}

#[test]
fn a_segmentation_has_the_size_that_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let volume = open("dicom/spacing_comma.dcm").unwrap();
    let mut labels = Labels::empty_like(&volume);
    labels.data[5] = 1;
    let output = folder.path().join("l.dcm");
    io::write_labels_with(&labels, &output, &io::LabelOptions::of(path("dicom/spacing_comma.dcm"))).unwrap();
    let back = io::read_labels(&output).unwrap();
    assert_eq!(back.geometry.spacing, volume.geometry.spacing);
    assert!(distance(&back.geometry.affine, &volume.geometry.affine) < 1e-9);
}

#[test]
fn numbers_that_cannot_be_read_are_not_absent() {
    let rescaled = |name: &str| as_f64(&open(name).unwrap().voxels().unwrap());
    let (plain, comma) = (rescaled("dicom/window_text.dcm"), rescaled("dicom/rescale_comma.dcm"));
    assert_eq!(comma[0], plain[0] - 10.5);
    assert!(error("dicom/rescale_text.dcm").contains("RescaleIntercept (0028,1052) is \"none\""));
    assert!(error("dicom/slope_zero.dcm").contains("RescaleSlope (0028,1053) is 0"));
    assert!(error("dicom/frames_text.dcm").contains("NumberOfFrames (0028,0008) is \"1 frame\""));
    let (volume, notes) = noted("dicom/window_text.dcm");
    assert!(volume.window.is_none() && notes.contains("WindowCenter (0028,1050) is \"auto\""), "{notes}");
}

#[test]
fn names_are_in_a_segmentation_what_they_are_in_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let names = expected()["names"].as_object().unwrap().clone();
    for (name, reply) in &names {
        let source = path(&format!("dicom/name_{name}.dcm"));
        let mut labels = Labels::empty_like(&io::open(&source, &OpenOptions::default()).unwrap());
        labels.data[3] = 1;
        let output = folder.path().join(format!("{name}.dcm"));
        io::write_labels_with(&labels, &output, &io::LabelOptions::of(&source)).unwrap();
        let written = std::fs::read(&output).unwrap();
        let hex = reply["bytes"].as_str().unwrap();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let holds =
            |bytes: &[u8]| written.windows(bytes.len().max(1)).any(|window| window == bytes) || bytes.is_empty();
        assert!(holds(&bytes) && holds(reply["sets"].as_str().unwrap().as_bytes()), "{name}");
        // a text of ours that has other letters turns all into UTF-8
        let mut options = io::SegOptions::of(&source);
        options.series_description = "Gefäße".to_owned();
        let unicode = io::write_labels_with(&labels, folder.path().join("unicode.dcm"), &options.into());
        if ["undeclared", "unknown"].contains(&name.as_str()) {
            let error = unicode.unwrap_err().to_string();
            assert!(error.contains("PatientName (0010,0010)") && error.contains("ASCII"), "{error}");
            continue;
        }
        unicode.unwrap();
        let written = std::fs::read(folder.path().join("unicode.dcm")).unwrap();
        let text = reply["text"].as_str().unwrap().as_bytes();
        assert!(written.windows(text.len()).any(|window| window == text), "{name}");
    }
    assert!(names.len() > 9);
}

#[test]
fn frames_that_the_header_forgets_are_read_and_spoken_of() {
    for (name, said) in [("frames_too_few", 3), ("frames_unsaid", 1), ("frames_too_few_rle", 2)] {
        let (volume, notes) = noted(&format!("dicom/{name}.dcm"));
        assert_eq!((volume.frames, sum(&volume)), (6, expected()["frames"].as_f64().unwrap()), "{name}");
        assert!(notes.contains(&format!("says {said} frames, the pixel data hold 6")), "{name}: {notes}");
    }
    assert!(error("dicom/planes_as_one.dcm").contains("RGB with SamplesPerPixel 1"));
}

#[test]
fn rounded_positions_are_even() {
    let volume = open("dicom/rounded").unwrap();
    assert_eq!(volume.frames, 20);
    assert!((volume.geometry.spacing[2] - 0.0117).abs() < 2e-5, "{:?}", volume.geometry.spacing);
    // a slice that is missing is farther away than rounding
    let folder = tempfile::tempdir().unwrap();
    for i in (0..20).filter(|&i| i != 11) {
        let name = format!("{i:03}.dcm");
        std::fs::copy(path("dicom/rounded").join(&name), folder.path().join(name)).unwrap();
    }
    let error = io::open(folder.path(), &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("not evenly spaced") && error.contains("010.dcm, 012.dcm"), "{error}");
}

#[test]
fn nifti_forms_that_hold_no_place_give_way_to_the_next() {
    let reply = |name: &str| noted(&format!("nifti/{name}.nii"));
    let (volume, notes) = reply("q_neg_pixdim");
    assert!(
        distance(&volume.geometry.affine, &affine(&expected()["q_neg_affine"])) < 1e-5 && notes.is_empty(),
        "{notes}"
    );
    for name in ["s_zero_q_ok", "s_nan_q_ok"] {
        let (volume, notes) = reply(name);
        assert!(distance(&volume.geometry.affine, &affine(&expected()["q_affine"])) < 1e-5, "{name}");
        assert!(notes.contains("sform") && notes.contains("the qform counts"), "{name}: {notes}");
    }
    let (volume, notes) = reply("s_zero");
    assert!(!volume.geometry.known && volume.geometry.spacing[1] > 0.59 && notes.contains("sform"), "{notes}");
    let (volume, notes) = reply("q_zero_pixdim");
    assert!(!volume.geometry.has_size() && notes.contains("qform"), "{notes}");
}

#[test]
fn zeros_behind_gzip_are_padding_and_a_wrong_checksum_is_damage() {
    for once in [false, true] {
        let mut options = OpenOptions::default();
        (options.once, options.lazy_bytes) = (once, once.then_some(0));
        let volume = io::open(path("nifti/gz_trailing_zero.nii.gz"), &options).unwrap();
        assert_eq!(sum(&volume), expected()["nifti_sum"].as_f64().unwrap());
    }
    assert!(error("nifti/gz_wrong_crc.nii.gz").contains("damaged"));
}

/// The sum of every slice: the order tells which planes they are.
fn slices(name: &str, channel: Option<usize>, volume: Option<usize>, once: bool) -> Result<Vec<f64>> {
    let mut options = OpenOptions::default();
    (options.channel, options.volume, options.once) = (channel.map(Channel::Number), volume, once);
    let volume = io::open(path(name), &options)?;
    (0..volume.frames).map(|frame| Ok(as_f64(&volume.frame(frame)?).iter().sum())).collect()
}

#[test]
fn planes_behind_one_directory_are_slices() {
    for once in [false, true] {
        for name in ["tiff/one_ifd.tif", "tiff/one_ifd_be.tif"] {
            assert_eq!(slices(name, None, None, once).unwrap(), numbers(&expected()["five"]), "{name}");
        }
    }
    assert!(error("tiff/one_ifd_cut.tif").contains("promises 5 pictures"));
}

#[test]
fn channels_and_times_are_chosen_and_z_is_slices() {
    for name in ["tiff/hyper_tzc.tif", "tiff/ome_tczyx.ome.tif"] {
        for (time, channel) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let reply = numbers(&expected()[format!("hyper_{time}{channel}")]);
            for once in [false, true] {
                assert_eq!(slices(name, Some(channel), Some(time), once).unwrap(), reply, "{name} {time} {channel}");
            }
        }
        assert!(error(name).contains("2 channels: choose one with `--channel N` (option `channel`), 0 to 1"));
        let error = slices(name, Some(0), None, false).unwrap_err().to_string();
        assert!(error.contains("2 volumes") && error.contains("choose one with `--volume N`"), "{error}");
        let error = slices(name, Some(2), Some(0), false).unwrap_err().to_string();
        assert!(error.contains("has no channel 2"), "{error}");
    }
    let shaped = slices("tiff/shaped.tif", None, Some(1), false).unwrap();
    assert_eq!(shaped, numbers(&expected()["hyper_10"]));
    assert_eq!(slices("tiff/ome_order.ome.tif", None, None, false).unwrap(), numbers(&expected()["ome_order"]));
    assert_eq!(open("tiff/ome_order.ome.tif").unwrap().geometry.spacing, [0.002, 0.002, 0.005]);
    let error = slices("pictures/mask.png", Some(1), None, false).unwrap_err().to_string();
    assert!(error.contains("has no channel 1: it holds 1"), "{error}");
}

#[test]
fn units_of_their_own_white_and_the_order_of_bits() {
    let spacing = open("tiff/zunit.tif").unwrap().geometry.spacing;
    assert!((0..3).all(|axis| (spacing[axis] - [0.5, 0.002, 0.0035][axis]).abs() < 1e-12), "{spacing:?}");
    let values = |name: &str| as_f64(&open(name).unwrap().voxels().unwrap());
    assert_eq!(values("tiff/white_f4.tif"), [0.0, 1.0, 100.5, 200.0]);
    assert_eq!(values("tiff/white_i2.tif"), [-5.0, 0.0, 7.0]);
    assert_eq!(values("tiff/white_u2.tif"), [65535.0, 65534.0, 0.0]);
    for name in ["bits", "bits_deflate", "grey", "grey_lzw"] {
        let reply = numbers(&expected()[name.split('_').next().unwrap()]);
        assert_eq!(values(&format!("tiff/fill2_{name}.tif")), reply, "{name}");
    }
}

#[test]
fn what_was_packed_with_loss_is_no_mask() {
    for name in ["mask.jpg", "jpeg_named.png", "mask.webp", "mask_jpeg.tif"] {
        let file = path("pictures").join(name);
        for error in [io::read_labels(&file).map(drop), io::read_mask(&file).map(drop)] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("save it as PNG"), "{error}");
        }
    }
    let error = io::read_labels(path("dicom/lossy.dcm")).unwrap_err().to_string();
    assert!(error.contains("compressed with loss"), "{error}");
    for name in ["mask.png", "exact.webp"] {
        let (_, _, mask) = io::read_mask(path("pictures").join(name)).unwrap();
        assert_eq!(mask.iter().filter(|&&inside| inside).count(), 14 * 20, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_slice_that_is_not_there_is_named() {
    use std::os::unix::fs::symlink;
    let copy = |from: &Path, to: &Path| std::fs::copy(from, to).unwrap();
    let opened = |prepare: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        io::open(folder.path(), &OpenOptions::default()).map(|volume| volume.frames).map_err(|error| error.to_string())
    };
    let slice = path("pictures/mask.png");
    let linked = opened(&|folder| {
        copy(&slice, &folder.join("1.png"));
        symlink(&slice, folder.join("2.png")).unwrap();
        symlink("gone/3.png", folder.join("3.png")).unwrap();
    });
    assert!(linked.as_ref().unwrap_err().contains("3.png: is a link to a file that is not there"), "{linked:?}");
    let whole = opened(&|folder| {
        copy(&slice, &folder.join("1.png"));
        symlink(&slice, folder.join("2.png")).unwrap();
    });
    assert_eq!(whole.unwrap(), 2);
    let dicom = path("dicom/rounded/000.dcm");
    for (name, content, said) in
        [("IM1", "/annex/objects/MD5E-s1--1\n", "only stands for a slice"), ("IM1", "", "is empty (0 bytes)")]
    {
        let pointer = opened(&|folder| {
            copy(&dicom, &folder.join("IM0"));
            std::fs::write(folder.join(name), content).unwrap();
        });
        assert!(pointer.as_ref().is_err_and(|error| error.contains("IM1") && error.contains(said)), "{pointer:?}");
    }
}

#[test]
fn outputs_of_no_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let labels = Labels { frames: 1, rows: 2, columns: 2, data: vec![0, 1, 0, 1], geometry: Geometry::unknown() };
    for name in ["labels.nii.gz.tmp", "x.zarr", "x.txt", "out.csv", "a.b.c", "scan.v2"] {
        let output = folder.path().join(name);
        let error = io::write_labels(&labels, &output).unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains(".nii.gz") && error.contains("a name without ending"),
            "{error}"
        );
        assert!(!output.exists());
    }
    io::write_labels(&labels, folder.path().join("stack")).unwrap();
}
