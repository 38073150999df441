//! What others make of our DICOM Segmentations, and we of theirs: files by highdicom, elements by `dicom-object`, damage.

use crate::data;
use crate::seg::{SOURCES, labels, source};
use dicom_object::{DefaultDicomObject, InMemDicomObject, open_file};
use sam_octa2_volumes::io::{Algorithm, Property, SegOptions, Segment, read_labels, write_seg};
use sam_octa2_volumes::volume::Labels;
use std::path::Path;

#[test]
fn segmentations_by_highdicom() {
    for name in ["binary", "fractional", "fractional_rle", "labelmap"] {
        let read = read_labels(data("io/seg").join(format!("highdicom_{name}.dcm"))).unwrap();
        let ct = labels("ct", None);
        assert_eq!((read.frames, read.rows, read.columns), (5, 6, 7), "{name}");
        assert!(crate::distance(&read.geometry.affine, &ct.geometry.affine) < 1e-6, "{name}: {:?}", read.geometry);
        for (i, &object) in read.data.iter().enumerate() {
            let (z, y, x) = (i / 42, i / 7 % 6, i % 7);
            let wanted = if z == 3 { 0 } else { (x + 2 * y + 3 * z) % 4 };
            assert_eq!(usize::from(object), wanted, "{name}: slice {z}, row {y}, column {x}");
        }
    }
}

fn written(folder: &Path, name: &str, labels: &Labels, change: impl FnOnce(&mut SegOptions)) -> DefaultDicomObject {
    let path = folder.join("l.dcm");
    let mut options = SegOptions::of(source(name));
    change(&mut options);
    write_seg(&path, labels, &options).unwrap();
    open_file(&path).unwrap()
}

/// The first items along a chain of sequences.
fn inside<'a>(mut object: &'a InMemDicomObject, names: &[&str]) -> &'a InMemDicomObject {
    for name in names {
        object = &object.element_by_name(name).unwrap_or_else(|_| panic!("no {name}")).items().unwrap()[0];
    }
    object
}

fn text(object: &InMemDicomObject, name: &str) -> String {
    object
        .element_by_name(name)
        .unwrap_or_else(|_| panic!("no {name}"))
        .to_str()
        .unwrap()
        .trim_end_matches('\0')
        .to_owned()
}

#[test]
fn patient_study_and_references_are_those_of_the_source() {
    let folder = tempfile::tempdir().unwrap();
    for name in SOURCES {
        let seg = written(folder.path(), name, &labels(name, None), |_| ());
        let first = if name == "ct" { source("ct/4.dcm") } else { source(name) };
        let source = open_file(first).unwrap();
        for element in
            ["PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "AccessionNumber"]
        {
            assert_eq!(text(&seg, element), text(&source, element), "{name}");
        }
        assert_eq!(text(&seg, "PatientName"), "Müller^Zoë");
        assert_eq!(text(&seg, "Modality"), "SEG");
        assert_ne!(text(&seg, "SeriesInstanceUID"), text(&source, "SeriesInstanceUID"));
        let series = inside(&seg, &["ReferencedSeriesSequence"]);
        assert_eq!(text(series, "SeriesInstanceUID"), text(&source, "SeriesInstanceUID"));
        let instances = series.element_by_name("ReferencedInstanceSequence").unwrap().items().unwrap();
        assert_eq!(instances.len(), if name == "ct" { 5 } else { 1 });
        let image = ["PerFrameFunctionalGroupsSequence", "DerivationImageSequence", "SourceImageSequence"];
        // frames come along the normal: the first slice of `opt.dcm` is its last frame
        let image = inside(&seg, &image);
        let frame = image.element_by_name("ReferencedFrameNumber").ok().map(|e| e.to_int::<u32>().unwrap());
        assert!(matches!((name, frame), ("ct" | "enface.dcm", None) | (_, Some(1 | 5))), "{name} {frame:?}");
        assert_eq!(seg.element_by_name("FrameOfReferenceUID").is_ok(), name != "opt_unplaced.dcm");
    }
}

#[test]
fn segments_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let seg = written(folder.path(), "opt.dcm", &labels("opt.dcm", None), |options| {
        options.algorithm = Algorithm::Automatic;
        options.segment.property = Property::Vessel;
        options
            .segments
            .insert(7, Segment { label: Some("Zone é".to_owned()), property: Property::Faz, ..Segment::default() });
    });
    let segments = seg.element_by_name("SegmentSequence").unwrap().items().unwrap();
    let found: Vec<_> = segments
        .iter()
        .map(|segment| {
            let code = |name: &str| text(inside(segment, &[name]), "CodeValue");
            (
                text(segment, "SegmentNumber"),
                text(segment, "SegmentLabel"),
                text(segment, "TrackingID"),
                code("SegmentedPropertyTypeCodeSequence"),
                code("AnatomicRegionSequence"),
            )
        })
        .collect();
    let segment = |a: &str, b: &str, c: &str, d: &str, e: &str| (a.into(), b.into(), c.into(), d.into(), e.into());
    assert_eq!(
        found,
        [
            segment("1", "Blood Vessel 1", "SAM-OCTA2 object 1", "59820001", "5665001"),
            segment("2", "Zone é", "SAM-OCTA2 object 7", "FAZ", "67046006"),
            segment("3", "Blood Vessel 300", "SAM-OCTA2 object 300", "59820001", "5665001"),
        ]
    );
    assert_eq!(text(&segments[0], "SegmentAlgorithmType"), "AUTOMATIC");
    assert_eq!(text(&seg, "ImageLaterality"), "R");
}

#[test]
fn bits_lie_packed_from_the_lowest_across_frames() {
    let folder = tempfile::tempdir().unwrap();
    let mut labels = labels("ct", None);
    labels.data.fill(0);
    labels.frame_mut(0)[0] = 1;
    labels.frame_mut(0)[9] = 1;
    labels.frame_mut(2)[1] = 1;
    let seg = written(folder.path(), "ct", &labels, |_| ());
    assert_eq!(text(&seg, "NumberOfFrames"), "2");
    // 42 bits per frame: the second starts at bit 42
    let mut wanted = [0u8; 12];
    [0, 9, 43].into_iter().for_each(|bit| wanted[bit / 8] |= 1 << (bit % 8));
    assert_eq!(seg.element_by_name("PixelData").unwrap().to_bytes().unwrap()[..], wanted[..]);
}

#[test]
fn decimal_strings_fit() {
    let folder = tempfile::tempdir().unwrap();
    for name in SOURCES {
        let seg = written(folder.path(), name, &labels(name, None), |_| ());
        let measures = inside(&seg, &["SharedFunctionalGroupsSequence", "PixelMeasuresSequence"]);
        let texts: Vec<String> = measures.iter().flat_map(|element| element.to_multi_str().unwrap().to_vec()).collect();
        assert!(texts.len() >= 3 && texts.iter().all(|text| text.trim_end().len() <= 16), "{name}: {texts:?}");
    }
}

/// Every byte cut off or flipped: an error or labels, never a panic, never much memory.
#[test]
fn damage_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.dcm");
    for name in ["highdicom_binary", "highdicom_fractional_rle", "highdicom_labelmap"] {
        let whole = std::fs::read(data("io/seg").join(format!("{name}.dcm"))).unwrap();
        for at in (0..whole.len()).step_by((whole.len() / 400).max(1)) {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(read_labels(&path).is_err() || at + 64 > whole.len(), "{name} cut at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 0xff;
            std::fs::write(&path, &flipped).unwrap();
            let _ = read_labels(&path);
        }
    }
}
