//! DICOM Segmentations: written and read back, reproducible, on the grid of the source, and never in its place.

use crate::{data, distance};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use sam_octa2_volumes::io::{
    self, Code, CodedProperty, LabelOptions, OpenOptions, Probabilities, Property, SegOptions, Segment,
    check_label_output, read_labels, write_labels, write_labels_with, write_seg,
};
use sam_octa2_volumes::volume::Labels;
use std::path::{Path, PathBuf};

pub const SOURCES: [&str; 4] = ["ct", "opt.dcm", "opt_unplaced.dcm", "enface.dcm"];

pub fn source(name: &str) -> PathBuf {
    data("io/seg").join(name)
}

/// Objects 1, 7 and 300; the last slice of a stack and the one before are empty.
pub fn labels(name: &str, crop: Option<&str>) -> Labels {
    let volume = io::open(source(name), &OpenOptions::with_crop(crop).unwrap()).unwrap();
    let mut labels = Labels::empty_like(&volume);
    let Labels { frames, rows, columns, .. } = labels;
    for (i, object) in labels.data.iter_mut().enumerate() {
        let (z, y, x) = (i / (rows * columns), i / columns % rows, i % columns);
        let empty = frames > 1 && z + 2 >= frames;
        *object = if empty { 0 } else { [0, 1, 7, 300][(x + 2 * y + 3 * z) % 4] };
    }
    labels
}

fn reproducible(name: &str) -> SegOptions {
    let mut options = SegOptions::of(source(name));
    options.deterministic = true;
    options
}

fn assert_same(after: &Labels, before: &Labels, what: &str) {
    assert_eq!((after.frames, after.rows, after.columns), (before.frames, before.rows, before.columns), "{what}");
    assert_eq!(after.data, before.data, "{what}");
    assert!(distance(&after.geometry.affine, &before.geometry.affine) < 1e-9, "{what}: {:?}", after.geometry);
    assert_eq!(after.geometry.known, before.geometry.known, "{what}");
}

#[test]
fn labels_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.dcm");
    for name in SOURCES {
        let before = labels(name, None);
        write_labels_with(&before, &path, &LabelOptions::of(source(name))).unwrap();
        assert_same(&read_labels(&path).unwrap(), &before, name);
        let mut options = reproducible(name);
        options.keep_empty = true;
        write_seg(&path, &before, &options).unwrap();
        assert_same(&read_labels(&path).unwrap(), &before, name);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn probabilities_come_back_as_the_likeliest_objects() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.dcm");
    for name in SOURCES {
        let before = labels(name, None);
        let mut probabilities = Probabilities::on_grid_of(&before);
        for object in [300, 1, 7] {
            let values: Vec<f32> =
                before.data.iter().map(|&o| if o == object { 0.8 } else { if o > 0 { 0.51 } else { 0.0 } }).collect();
            probabilities.push(object, &values);
        }
        write_seg(&path, &probabilities, &reproducible(name)).unwrap();
        assert_same(&read_labels(&path).unwrap(), &before, name);
    }
}

#[test]
fn a_crop_goes_back_into_whole_slices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.dcm");
    for name in SOURCES {
        let part = labels(name, Some("2,1,4,3"));
        write_seg(&path, &part, &reproducible(name)).unwrap();
        let whole = read_labels(&path).unwrap();
        assert_eq!((whole.rows, whole.columns), (6, 7));
        for (i, &object) in whole.data.iter().enumerate() {
            let (z, y, x) = (i / 42, i / 7 % 6, i % 7);
            let inside = (1..4).contains(&y) && (2..6).contains(&x);
            let wanted = if inside { part.frame(z)[(y - 1) * 4 + x - 2] } else { 0 };
            assert_eq!(object, wanted, "{name}: slice {z}, row {y}, column {x}");
        }
    }
}

#[test]
fn equal_input_gives_equal_bytes_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let write = |labels: &Labels, options: &SegOptions, name: &str| {
        let path = folder.path().join(name);
        write_seg(&path, labels, options).unwrap();
        std::fs::read(path).unwrap()
    };
    let mut labels = labels("ct", None);
    let options = reproducible("ct");
    let first = write(&labels, &options, "a.dcm");
    assert_eq!(first, write(&labels, &options, "b.dcm"));
    labels.data[0] = 1;
    let changed = write(&labels, &options, "c.dcm");
    assert_ne!(uid(&first), uid(&changed));
    let fresh = SegOptions::of(source("ct"));
    assert_ne!(uid(&write(&labels, &fresh, "d.dcm")), uid(&write(&labels, &fresh, "e.dcm")));
}

/// The identifier of an instance, from the meta information.
fn uid(bytes: &[u8]) -> String {
    let at = bytes.windows(8).position(|w| w[..6] == *b"\x02\x00\x03\x00UI").unwrap();
    let length = usize::from(u16::from_le_bytes([bytes[at + 6], bytes[at + 7]]));
    let uid = String::from_utf8(bytes[at + 8..at + 8 + length].to_vec()).unwrap();
    assert!(uid.starts_with("2.25.") && uid.trim_end_matches('\0').len() <= 64, "{uid}");
    uid
}

#[test]
fn the_source_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("opt.dcm");
    std::fs::copy(source("opt.dcm"), &file).unwrap();
    let before = std::fs::read(&file).unwrap();
    let labels = labels("opt.dcm", None);
    for source in [file.as_path(), folder.path()] {
        for error in [
            write_labels_with(&labels, &file, &LabelOptions::of(source)).unwrap_err(),
            check_label_output(&file, &LabelOptions::of(source)).unwrap_err(),
            write_seg(&file, &labels, &SegOptions::of(source)).unwrap_err(),
        ] {
            assert!(error.to_string().contains("would overwrite the input"), "{error}");
        }
    }
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

/// A folder with the source `ct`.
fn study() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(source("ct")).unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

/// A report: no rows, no columns, no pixels.
fn write_report(path: &Path) {
    let mut object = dicom_object::open_file(source("ct/0.dcm")).unwrap();
    for name in ["PixelData", "Rows", "Columns"] {
        object.remove_element_by_name(name).unwrap();
    }
    object.put(DataElement::new(tags::MODALITY, VR::CS, PrimitiveValue::from("SR")));
    object.write_to_file(path).unwrap();
}

#[test]
fn results_beside_the_source_are_no_slices() {
    let study = study();
    let (before, labels) = (io::open(study.path(), &OpenOptions::default()).unwrap(), labels("ct", None));
    write_report(&study.path().join("a_report.dcm"));
    // twice: the second time the first result lies there
    for name in ["seg.dcm", "seg.dcm", "other.dcm"] {
        let path = study.path().join(name);
        check_label_output(&path, &LabelOptions::of(study.path())).unwrap();
        write_labels_with(&labels, &path, &LabelOptions::of(study.path())).unwrap();
        let after = io::open(study.path(), &OpenOptions::default()).unwrap();
        assert_eq!((after.shape(), &after.geometry), (before.shape(), &before.geometry));
        assert_eq!(after.voxels().unwrap(), before.voxels().unwrap());
        assert_same(&read_labels(&path).unwrap(), &labels, name);
    }
}

#[test]
fn a_folder_without_slices_says_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    write_report(&folder.path().join("report.dcm"));
    let error = io::open(folder.path(), &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("holds no DICOM image, only report.dcm (SR)"), "{error}");
}

#[test]
fn the_source_is_found_as_it_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.dcm");
    let mut options = SegOptions::of(data("io/bad/two_series"));
    options.open.series = Some("#2".to_owned());
    let volume = io::open(&options.source, &options.open).unwrap();
    let mut labels = Labels::empty_like(&volume);
    labels.data[0] = 1;
    check_label_output(&path, &options.clone().into()).unwrap();
    write_labels_with(&labels, &path, &options.into()).unwrap();
    let seg = dicom_object::open_file(&path).unwrap();
    let series = &seg.element_by_name("ReferencedSeriesSequence").unwrap().items().unwrap()[0];
    let uid = series.element_by_name("SeriesInstanceUID").unwrap().to_str().unwrap();
    assert_eq!(uid.trim_end_matches('\0'), "1.2.826.0.1.3680043.8.498.8.2");

    let mut options = SegOptions::of(data("io/bad/missing_slice"));
    options.open.uneven = true;
    let labels = Labels::empty_like(&io::open(&options.source, &options.open).unwrap());
    let labels = Labels { data: vec![1; labels.data.len()], ..labels };
    write_labels_with(&labels, &path, &options.into()).unwrap();

    // a spacing that the source does not have, and a crop
    let mut options = SegOptions::of(source("enface.dcm"));
    let unplaced = !io::open(&options.source, &options.open).unwrap().geometry.known;
    assert!(unplaced);
    options.open.spacing = Some([0.5, 0.25, 1.0]);
    options.open.crop = Some("2,1,4,3".parse().unwrap());
    let labels = Labels::empty_like(&io::open(&options.source, &options.open).unwrap());
    let labels = Labels { data: vec![1; labels.data.len()], ..labels };
    write_labels_with(&labels, &path, &options.into()).unwrap();
    assert_eq!(read_labels(&path).unwrap().data.iter().filter(|&&object| object == 1).count(), 12);
}

#[test]
fn errors_say_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.dcm");
    let ct = labels("ct", None);
    let fails = |labels: &Labels, source: &Path, part: &str| {
        let error = write_seg(&path, labels, &SegOptions::of(source)).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    };
    let error = write_labels(&ct, &path).unwrap_err().to_string();
    assert!(error.contains("l.dcm") && error.contains("source"), "{error}");
    fails(&ct, &data("io/nifti/slope.nii"), "no DICOM image");
    fails(&ct, &data("io/seg/missing"), "No such file");
    fails(&ct, &source("enface.dcm"), "another number of slices");
    fails(&ct, &data("io/bad/two_series"), "2 series");
    fails(&Labels { data: vec![0; ct.data.len()], ..ct.clone() }, &source("ct"), "no object");
    fails(&Labels { data: vec![1; 7], ..ct.clone() }, &source("ct"), "cannot hold 7");
    let mut moved = labels("ct", Some("2,1,4,3"));
    moved.geometry.affine[0][3] += 0.3;
    fails(&moved, &source("ct"), "no crop");
    moved.geometry.affine[0][3] -= 100.0;
    fails(&moved, &source("ct"), "no crop");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn texts_that_dicom_has_no_room_for_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let labels = labels("ct", None);
    let fails = |change: &dyn Fn(&mut SegOptions), part: &str| {
        let mut options = SegOptions::of(source("ct"));
        change(&mut options);
        let error = write_seg(folder.path().join("l.dcm"), &labels, &options).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    fails(&|o| o.content_label = "lower case".to_owned(), "content label");
    fails(&|o| o.content_label = "SEVENTEEN LETTERS".to_owned(), "content label");
    fails(&|o| o.algorithm_name = "a\\b".to_owned(), "algorithm name");
    fails(&|o| o.series_description = "x".repeat(65), "series description");
    fails(&|o| o.segment.label = Some("two\nlines".to_owned()), "segment label");
    let kind = Code::new("12345678901234567", "SCT", "long");
    let property = Property::Coded(Box::new(CodedProperty { category: kind.clone(), kind, region: None }));
    fails(
        &move |o| drop(o.segments.insert(1, Segment { property: property.clone(), ..Segment::default() })),
        "code value",
    );
}
