//! Labels out and in again, and pictures as masks.

use crate::{data, distance, open};
use sam_octa2_volumes::io::{read_labels, read_mask, write_labels};
use sam_octa2_volumes::volume::Labels;

fn labels(name: &str, largest: u16) -> Labels {
    let volume = open(name);
    let mut labels = Labels::empty_like(&volume);
    for (i, object) in labels.data.iter_mut().enumerate() {
        *object = (i as u16).wrapping_mul(largest / 3) % largest;
    }
    labels.data[1] = largest;
    labels
}

#[test]
fn every_format_keeps_objects_and_nifti_the_place() {
    let folder = tempfile::tempdir().unwrap();
    for largest in [3, 255, 256, 65535] {
        for output in ["l.nii", "l.nii.gz", "l.npy", "stack"] {
            let before = labels("nifti/packed.nii.gz", largest);
            let path = folder.path().join(format!("{largest}{output}"));
            write_labels(&before, &path).unwrap();
            let after = read_labels(&path).unwrap();
            assert_eq!(after.data, before.data, "{largest} {output}");
            assert_eq!((after.frames, after.rows, after.columns), (before.frames, before.rows, before.columns));
            if output.contains("nii") {
                assert!(distance(&after.geometry.affine, &before.geometry.affine) == 0.0, "{output}");
            }
        }
    }
}

#[test]
fn small_numbers_are_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for (largest, datatype) in [(255, 2), (256, 512)] {
        let path = folder.path().join("l.nii");
        write_labels(&labels("nifti/packed.nii.gz", largest), &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(i16::from_le_bytes([bytes[70], bytes[71]]), datatype);
    }
}

#[test]
fn other_volumes_are_no_labels() {
    for (name, part) in [
        ("nifti/float32_le.nii", "whole numbers"),
        ("nifti/int16_le.nii", "whole numbers"),
        ("dicom/rgb.dcm", "colour"),
    ] {
        let error = read_labels(data("io").join(name)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut labels = labels("nifti/packed.nii.gz", 3);
    labels.data.pop();
    write_labels(&labels, folder.path().join("l.nii")).unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn any_picture_is_a_mask() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = vec![false, true, true, true, false, true];
    let grey = image::GrayImage::from_raw(3, 2, vec![0, 1, 255, 128, 0, 7]).unwrap();
    let deep = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(3, 2, vec![0u16, 1, 65535, 128, 0, 256]).unwrap();
    // one channel is enough; alpha says nothing
    let colour = [[0, 0, 0, 255], [0, 0, 1, 0], [9, 0, 0, 255], [0, 9, 0, 0], [0, 0, 0, 128], [1, 1, 1, 1]].concat();
    let colour = image::RgbaImage::from_raw(3, 2, colour).unwrap();
    grey.save(folder.path().join("grey.bmp")).unwrap();
    deep.save(folder.path().join("deep.png")).unwrap();
    deep.save(folder.path().join("deep.tif")).unwrap();
    colour.save(folder.path().join("colour.png")).unwrap();
    for name in ["grey.bmp", "deep.png", "deep.tif", "colour.png"] {
        assert_eq!(read_mask(folder.path().join(name)).unwrap(), (2, 3, wanted.clone()), "{name}");
    }
}

#[test]
fn masks_that_are_none() {
    for (name, part) in [
        ("pictures/natural", "folder"),
        ("pictures/pages.tif", "3 pages"),
        ("bad/text.png", "picture"),
        ("bad/none.png", "No such"),
    ] {
        let error = read_mask(data("io").join(name)).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(name.rsplit('/').next().unwrap()), "{error}");
    }
}
