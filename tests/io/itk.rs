//! NRRD and MetaImage beyond their values (formats.rs): segmentations with names, headers that promise too much, files beside.

use crate::data;
use sam_octa2_volumes::io::{self, LabelOptions, OpenOptions, SegOptions};
use sam_octa2_volumes::volume::{Geometry, Labels};
use std::path::Path;

fn labels(name: &str) -> Labels {
    io::read_labels(data("io/nrrd").join(name)).unwrap()
}

#[test]
fn segments_in_one_layer_keep_their_values_and_several_layers_are_numbered() {
    let one = labels("one_layer.seg.nrrd");
    assert_eq!((one.objects(), one.count(1), one.count(7)), (vec![1, 7], 4, 4));
    let two = labels("two_layers.seg.nrrd");
    assert_eq!(two.data, one.map(|object| if object == 7 { 2 } else { object }).data);
    assert_eq!(two.geometry, one.geometry);
    assert!(two.geometry.is_complete());
    let error = io::read_labels(data("io/nrrd/overlap.seg.nrrd")).unwrap_err().to_string();
    assert!(error.contains("\"Vessels, large\" and \"FAZ\" overlap"), "{error}");
    // as a volume the layers are chosen
    let error = io::open(data("io/nrrd/two_layers.seg.nrrd"), &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("2 volumes"), "{error}");
}

#[test]
fn a_written_segmentation_has_names_colours_and_the_same_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.seg.nrrd");
    let before = labels("one_layer.seg.nrrd");
    let mut options = SegOptions::of("unused");
    options.describe("vessel").unwrap();
    options.describe("7=faz").unwrap();
    io::write_labels_with(&before, &path, &LabelOptions::from(options)).unwrap();
    assert!(before.equals(&io::read_labels(&path).unwrap()));
    let bytes = std::fs::read(&path).unwrap();
    let header = String::from_utf8_lossy(&bytes);
    for line in [
        "Segment0_Name:=Blood Vessel 1\n",
        "Segment0_Color:=0.901961 0.623529 0.000000\n",
        "Segment0_Extent:=1 2 1 2 0 0\n",
        "Segment1_Name:=Foveal avascular zone 7\n",
        "Segment1_LabelValue:=7\n",
        "SCT^59820001^Blood Vessel",
    ] {
        assert!(header.contains(line), "{line} is not in the header");
    }
}

#[test]
fn every_kind_of_label_file_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let small = labels("one_layer.seg.nrrd");
    let large = small.map(|object| if object == 7 { 300 } else { object });
    for ending in [".nrrd", ".nhdr", ".mha", ".mhd", ".seg.nrrd"] {
        for (name, before) in [("small", &small), ("large", &large)] {
            let path = folder.path().join(format!("{name}{ending}"));
            io::write_labels(before, &path).unwrap();
            let after = io::read_labels(&path).unwrap();
            assert_eq!(after.data, before.data, "{}", path.display());
            assert!(crate::distance(&after.geometry.affine, &before.geometry.affine) < 1e-12, "{}", path.display());
        }
    }
    // a place that nobody knows is not claimed
    let nowhere = Labels { geometry: Geometry::unknown(), ..small };
    let path = folder.path().join("nowhere.nrrd");
    io::write_labels(&nowhere, &path).unwrap();
    assert!(!io::read_labels(&path).unwrap().geometry.known);
}

/// Opening a file with this text fails with one line that names it and holds all of `parts`.
fn fails(folder: &Path, name: &str, text: &str, parts: &[&str]) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    let error = io::open(&path, &OpenOptions::default()).map(|volume| volume.shape()).unwrap_err().to_string();
    assert!(!error.contains('\n') && error.contains(name), "{error}");
    parts.iter().for_each(|part| assert!(error.contains(part), "no {part:?} in: {error}"));
}

#[test]
fn headers_that_promise_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let nrrd = |fields: &str| format!("NRRD0004\ndimension: 3\nendian: little\n{fields}\n\n12345678");
    let usual = "type: uint8\nsizes: 2 2 2\nencoding: raw";
    for (fields, parts) in [
        ("type: uint8\nsizes: 90000 90000 90000\nencoding: raw", &["truncated", "promises"][..]),
        ("type: uint8\nsizes: 4294967296 4294967296 4294967296\nencoding: gzip", &["truncated"]),
        ("type: uint16\nsizes: 2 2 2\nencoding: raw", &["truncated", "16 bytes"]),
        ("type: uint8\nsizes: 2 0 2\nencoding: raw", &["impossible sizes"]),
        ("type: uint8\nsizes: 2 2\nencoding: raw", &["impossible sizes"]),
        ("type: block\nsizes: 2 2 2\nencoding: raw", &["blocks of bytes"]),
        ("type: quaternion\nsizes: 2 2 2\nencoding: raw", &["NRRD type \"quaternion\""]),
        ("type: uint8\nsizes: 2 2 2\nencoding: bzip2", &["\"bzip2\"", "raw or gzip"]),
        ("type: uint8\nencoding: raw", &["no sizes"]),
        (&format!("{usual}\ndata file: ../other.raw"), &["not beside it"]),
        (&format!("{usual}\ndata file: /etc/passwd"), &["not beside it"]),
        (&format!("{usual}\ndata file: slice%03d.raw 1 9 1"), &["several files"]),
        (&format!("{usual}\ndata file: missing.raw"), &["missing.raw"]),
        (&format!("{usual}\nbyte skip: -2"), &["impossible byte skip"]),
        (&format!("{usual}\nkinds: domain list domain"), &["between those in space"]),
    ] {
        fails(folder.path(), "case.nrrd", &nrrd(fields), parts);
    }
    fails(folder.path(), "case.nrrd", "NRRD0009\n", &["version 0009"]);
    fails(folder.path(), "case.nrrd", "PNG", &["not an NRRD file"]);
    let meta = |lines: &str| format!("ObjectType = Image\nNDims = 3\n{lines}\nElementDataFile = LOCAL\n12345678");
    for (lines, parts) in [
        ("DimSize = 90000 90000 90000\nElementType = MET_UCHAR", &["truncated"][..]),
        ("DimSize = 2 2\nElementType = MET_UCHAR", &["impossible sizes"]),
        ("DimSize = 2 2 2\nElementType = MET_STRING", &["MET_STRING"]),
        ("DimSize = 2 2 2\nElementType = MET_UCHAR\nBinaryData = False", &["as text"]),
        ("DimSize = 2 2 2\nElementType = MET_UCHAR\nElementSpacing = 1 x 2", &["no numbers"]),
        ("DimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = LIST", &["several files"]),
        ("DimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = /dev/zero", &["not beside it"]),
    ] {
        fails(folder.path(), "case.mha", &meta(lines), parts);
    }
    fails(folder.path(), "case.mha", "DimSize = 2", &["ElementDataFile"]);
}
