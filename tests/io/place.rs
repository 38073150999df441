//! The same place in millimetres is the same mask, however its axes are stored; another place is an error. `volume/place.rs` holds the rule,
//! here is everything that follows it.

use crate::{data, open};
use sam_octa2_volumes::clicks;
use sam_octa2_volumes::io::{self, LabelOptions, OpenOptions};
use sam_octa2_volumes::job::{self, MeasureRequest};
use sam_octa2_volumes::measure::octa::{OctaOptions, measure_octa};
use sam_octa2_volumes::measure::{compare_labels, dice_labels};
use sam_octa2_volumes::picture;
use sam_octa2_volumes::vessels;
use sam_octa2_volumes::volume::{Geometry, Labels, Volume, Voxels};
use std::path::Path;

const AFFINE: [[f64; 4]; 4] =
    [[0.5, 0.0, 0.0, -7.0], [0.0, 0.5, 0.0, 3.0], [0.0, 0.0, 1.0, 90.0], [0.0, 0.0, 0.0, 1.0]];
const SHAPE: [usize; 3] = [3, 30, 40];

/// A box in a corner of the volume: every flip moves it.
fn labels() -> Labels {
    let [frames, rows, columns] = SHAPE;
    let inside = |at: usize| at / (rows * columns) < 2 && at / columns % rows < 9 && at % columns < 6;
    let data = (0..frames * rows * columns).map(|at| u16::from(inside(at))).collect();
    Labels { frames, rows, columns, data, geometry: Geometry::from_affine(AFFINE) }
}

/// The same with x and y stored backwards.
fn flipped() -> Labels {
    let mut affine = AFFINE;
    for (axis, side) in [(0, SHAPE[2]), (1, SHAPE[1])] {
        affine[axis][3] += affine[axis][axis] * (side - 1) as f64;
        affine[axis][axis] = -affine[axis][axis];
    }
    let (labels, geometry) = (labels(), Geometry::from_affine(affine));
    let grid = Labels { geometry, ..labels.map(|_| 0) };
    labels.resampled(grid.lattice()).unwrap()
}

/// The same voxels ten millimetres away.
fn moved() -> Labels {
    let mut affine = AFFINE;
    affine[1][3] += 10.0;
    Labels { geometry: Geometry::from_affine(affine), ..labels() }
}

fn volume() -> Volume {
    let [frames, rows, columns] = SHAPE;
    let voxels = Voxels::U8((0..frames * rows * columns).map(|at| (at * 7 % 251) as u8).collect());
    Volume::new([frames, rows, columns, 1], voxels, Geometry::from_affine(AFFINE), "test").unwrap()
}

fn says_how_far<T>(result: sam_octa2_volumes::Result<T>) {
    let error = result.map(drop).unwrap_err().to_string();
    assert!(error.contains("up to 10.0000 mm apart") && error.contains("resampled"), "{error}");
}

#[test]
fn comparison_and_algebra() {
    assert_ne!(flipped().data, labels().data);
    assert_eq!(compare_labels(&labels(), &flipped(), None).unwrap().dice, 1.0);
    assert_eq!(dice_labels(&flipped(), &labels(), Some(1), Some(0)).unwrap(), 1.0);
    assert_eq!(labels().with(&flipped(), |a, b| if b == 0 { 0 } else { a }).unwrap(), labels());
    assert!(labels().equals(&flipped()) && !labels().equals(&moved()));
    assert_eq!(clicks::correction(&labels(), &flipped(), 0, 1).unwrap(), None);
    says_how_far(compare_labels(&labels(), &moved(), None));
    says_how_far(dice_labels(&labels(), &moved(), None, None));
    says_how_far(labels().with(&moved(), |a, _| a));
    says_how_far(clicks::correction(&labels(), &moved(), 0, 1));
    let flat = |labels: Labels| labels.project();
    assert_eq!(vessels::keep_numbers(&flat(labels()), &flat(flipped()).map(|v| v * 5)).unwrap().objects(), [5]);
    says_how_far(vessels::keep_numbers(&flat(labels()), &flat(moved())));
    says_how_far(vessels::claimed(&flat(labels()), &flat(moved()), 0.5));
}

#[test]
fn measures_and_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    io::write_volume(&volume(), file("v.nii.gz"), &mut ()).unwrap();
    for (name, labels) in [("plain", labels()), ("flipped", flipped()), ("moved", moved())] {
        io::write_labels(&labels, file(&format!("{name}.nii.gz"))).unwrap();
    }
    let measured = |name: &str| {
        let request = serde_json::json!({"labels": file(&format!("{name}.nii.gz")), "volume": file("v.nii.gz")});
        let request: MeasureRequest = serde_json::from_value(request).unwrap();
        job::measure(&request, &mut ())
    };
    assert_eq!(measured("plain").unwrap(), measured("flipped").unwrap());
    says_how_far(measured("moved"));
    let faz = measure_octa(Some(&labels()), Some(&flipped()), &OctaOptions::default(), &mut ()).unwrap();
    assert!(faz.projected.faz.is_some_and(|zone| zone.centre_x < 3.0));
    says_how_far(measure_octa(Some(&labels()), Some(&moved()), &OctaOptions::default(), &mut ()));
    let drawn = |labels: &Labels| {
        picture::write(file("p.png"), &volume(), labels, &[]).map(|()| std::fs::read(file("p.png")).unwrap())
    };
    assert_eq!(drawn(&labels()).unwrap(), drawn(&flipped()).unwrap());
    says_how_far(drawn(&moved()));
    says_how_far(picture::write_columns(file("c.png"), &volume(), &[("a", &moved())], &[]));
}

#[test]
fn segmentations_of_a_dicom_source() {
    let folder = tempfile::tempdir().unwrap();
    let source = data("io/dicom/shuffled");
    let volume = open("dicom/shuffled");
    let mut labels = Labels::empty_like(&volume);
    labels.data[1] = 4;
    let mut affine = volume.geometry.affine;
    for row in &mut affine[..3] {
        row[3] += row[0] * (volume.columns - 1) as f64;
        row[0] = -row[0];
    }
    let turned = |by: f64| {
        let mut affine = affine;
        affine[2][3] += by;
        Labels { geometry: Geometry::from_affine(affine), ..labels.map(|_| 0) }
    };
    let write = |labels: &Labels, name: &str| {
        let path = folder.path().join(name);
        io::write_labels_with(labels, &path, &LabelOptions::of(&source)).map(|()| io::read_labels(&path).unwrap())
    };
    let flipped = labels.resampled(turned(0.0).lattice()).unwrap();
    assert_eq!(write(&flipped, "a.dcm").unwrap().data, labels.data);
    let elsewhere = Labels { data: labels.data.clone(), ..turned(40.0) };
    assert!(write(&elsewhere, "b.dcm").unwrap_err().to_string().contains("mm apart"));
}

#[test]
fn what_does_not_know_its_place_goes_by_voxels() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["l.tif", "l.npy", "l", "l.json", "l.nii"] {
        let path = folder.path().join(name);
        io::write_labels(&labels(), &path).unwrap();
        let back = io::read_labels(&path).unwrap();
        assert_eq!(compare_labels(&back, &labels(), None).unwrap().dice, 1.0, "{name}");
        assert_eq!(back.geometry.is_complete(), name.ends_with("json") || name.ends_with("nii"), "{name}");
    }
    let picture: &Path = &data("io/field/pictures/mask.png");
    let sized = |mm: f64| {
        let mut options = OpenOptions::default();
        options.spacing = Some([mm; 3]);
        io::open(picture, &options).unwrap().threshold(1.0, 255.0).unwrap()
    };
    let error = compare_labels(&sized(0.01), &sized(0.02), None).unwrap_err().to_string();
    assert!(error.contains("0.02 x 0.02 x 0.02 mm do not fit a grid with voxels of 0.01"), "{error}");
}
