//! Multi-page TIFF and float NIfTI as this program writes them.

use crate::{distance, open};
use sam_octa2_volumes::io::{self, OpenOptions, Probabilities, read_labels, write_labels, write_probabilities};
use sam_octa2_volumes::volume::Labels;

#[test]
fn labels_keep_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    for (largest, name) in [(3, "a.tif"), (255, "b.TIFF"), (256, "c.tiff"), (65535, "d.tif")] {
        let mut before = Labels::empty_like(&open("nifti/packed.nii.gz"));
        before.data.iter_mut().enumerate().for_each(|(i, object)| *object = (i % (largest + 1)) as u16);
        before.data[0] = largest as u16;
        let path = folder.path().join(name);
        write_labels(&before, &path).unwrap();
        let after = read_labels(&path).unwrap();
        assert_eq!(after.data, before.data, "{name}");
        assert_eq!((after.frames, after.rows, after.columns), (before.frames, before.rows, before.columns));
    }
}

#[test]
fn volumes_keep_8_and_16_bits_grey_and_colour() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.tif");
    for name in ["pictures/natural", "nifti/uint16_be.nii", "dicom/rgb.dcm", "dicom/palette16.dcm"] {
        let before = open(name);
        io::write_volume(&before, &path, &mut ()).unwrap();
        let after = io::open(&path, &OpenOptions::default()).unwrap();
        assert_eq!(after.voxels().unwrap(), before.voxels().unwrap(), "{name}");
        assert_eq!((after.frames, after.rows, after.columns), (before.frames, before.rows, before.columns), "{name}");
    }
}

#[test]
fn probabilities_are_float_nifti_with_the_affine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.nii.gz");
    let labels = Labels::empty_like(&open("nifti/packed.nii.gz"));
    let values: Vec<f32> = (0..labels.data.len()).map(|i| (i % 11) as f32 / 10.0).collect();
    let mut probabilities = Probabilities::on_grid_of(&labels);
    probabilities.push(4, &values);
    write_probabilities(&path, &probabilities).unwrap();
    let read = io::open(&path, &OpenOptions::default()).unwrap();
    assert_eq!(*read.voxels().unwrap(), values.into());
    assert_eq!(distance(&read.geometry.affine, &labels.geometry.affine), 0.0);
}

#[test]
fn probabilities_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let labels = Labels::empty_like(&open("nifti/packed.nii.gz"));
    let some = vec![0.5; labels.data.len()];
    let with = |objects: &[(u16, &[f32])]| {
        let mut probabilities = Probabilities::on_grid_of(&labels);
        objects.iter().for_each(|(object, values)| probabilities.push(*object, values));
        probabilities
    };
    let (mut above, mut none) = (some.clone(), some.clone());
    (above[3], none[3]) = (1.5, f32::NAN);
    for (probabilities, name, part) in [
        (with(&[]), "p.nii", "0 objects"),
        (with(&[(1, &some[1..])]), "p.nii", "cannot hold"),
        (with(&[(1, &above)]), "p.nii", "1.5"),
        (with(&[(1, &none)]), "p.nii", "NaN"),
        (with(&[(0, &some)]), "p.nii", "[0]"),
        (with(&[(2, &some), (2, &some)]), "p.nii", "[2, 2]"),
        (with(&[(2, &some)]), "p.tif", ".nii.gz"),
    ] {
        let error = write_probabilities(folder.path().join(name), &probabilities).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn formats_for_labels_take_no_volume() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["v.dcm", "v.json"] {
        let error = io::write_volume(&open("pictures/natural"), folder.path().join(name), &mut ()).unwrap_err();
        assert!(error.to_string().contains("labels"), "{error}");
    }
}
