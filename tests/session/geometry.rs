//! From a place in the patient to a voxel and back, and affines that are none.

use sam_octa2_core::session::Mask;
use sam_octa2_core::volume::{Geometry, Labels, Volume, Voxels};

/// oblique, sheared, left-handed, with slices far apart
const OBLIQUE: [[f64; 4]; 4] =
    [[0.006, 0.001, -0.3, 12.5], [0.0005, -0.011, 0.02, -40.0], [0.0, 0.002, 1.1, 7.25], [0.0, 0.0, 0.0, 1.0]];

fn near(a: [f64; 3], b: [f64; 3]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9 * b.abs().max(1.0))
}

#[test]
fn millimetres_to_voxels_and_back() {
    let geometry = Geometry::checked(OBLIQUE).expect("geometry");
    assert_eq!(geometry, Geometry::from_affine(OBLIQUE));
    for index in [[0.0, 0.0, 0.0], [303.0, 17.5, 4.25], [-12.0, 1e4, 639.0]] {
        let back = geometry.to_index(geometry.to_mm(index)).expect("index");
        assert!(near(back, index), "{back:?} instead of {index:?}");
    }
    assert_eq!(geometry.to_mm([0.0; 3]), [12.5, -40.0, 7.25]);
    assert!(near(geometry.to_mm([0.0, 0.0, 2.0]), [11.9, -39.96, 9.45]));
    let plain = Geometry::from_spacing([0.5, 0.25, 2.0], true);
    assert_eq!(plain.to_index([1.0, 1.0, 1.0]).expect("index"), [2.0, 4.0, 0.5]);
}

#[test]
fn tiny_and_huge_voxels_are_not_flat() {
    for scale in [1e-30, 1e-6, 1e30] {
        let scaled = OBLIQUE.map(|row| row.map(|v| v * scale));
        let geometry = Geometry::checked([scaled[0], scaled[1], scaled[2], OBLIQUE[3]]).expect("geometry");
        assert!(near(geometry.to_index(geometry.to_mm([3.0, 5.0, 7.0])).expect("index"), [3.0, 5.0, 7.0]), "{scale}");
    }
}

#[test]
fn what_is_no_affine_is_refused() {
    let changed = |row: usize, column: usize, value: f64| {
        let mut affine = OBLIQUE;
        affine[row][column] = value;
        affine
    };
    let error = |affine| Geometry::checked(affine).unwrap_err().to_string();
    assert!(error(changed(1, 3, f64::NAN)).contains("holds NaN"));
    assert!(error(changed(0, 0, f64::INFINITY)).contains("holds inf"));
    assert!(error(changed(3, 0, 1.0)).contains("last row"));
    assert!(error(changed(3, 3, 2.0)).contains("last row"));
    let mut flat = OBLIQUE;
    flat.iter_mut().take(3).for_each(|row| row[1] = 2.0 * row[0]);
    assert!(error(flat).contains("cannot be inverted"));
    flat.iter_mut().take(3).for_each(|row| row[1] = 0.0);
    assert!(error(flat).contains("cannot be inverted"));
    assert!(error(OBLIQUE.map(|row| row.map(|v| if v == 1.0 { v } else { v * 1e300 }))).contains("cannot be inverted"));
    assert!(Geometry::from_affine(flat).to_index([0.0; 3]).is_err());
    assert!(Geometry::unknown().to_index([f64::NAN, 0.0, 0.0]).is_err());
}

#[test]
fn a_mask_prompt_lies_where_its_labels_lie() {
    let geometry = Geometry::from_affine(OBLIQUE);
    let volume = Volume::new([2, 3, 4, 1], Voxels::U8(vec![0; 24]), geometry.clone(), "test").expect("volume");
    let mut labels = Labels::empty_like(&volume);
    labels.data[12 + 1] = 7;
    let mut affine = OBLIQUE;
    for row in &mut affine[..3] {
        row[3] += 3.0 * row[0];
        row[0] = -row[0];
    }
    let backwards = Labels { geometry: Geometry::from_affine(affine), ..labels.map(|_| 0) };
    let backwards = labels.resampled(backwards.lattice()).expect("the same place");
    assert_eq!(backwards.data[12 + 2], 7);
    let mask = Mask::of(&backwards, &volume, 1, 7).expect("mask");
    assert_eq!(mask.pixels.iter().position(|&inside| inside), Some(1));
    affine[0][3] += 9.0;
    let elsewhere = Labels { geometry: Geometry::from_affine(affine), ..backwards };
    assert!(Mask::of(&elsewhere, &volume, 1, 7).unwrap_err().to_string().contains("mm apart"));
}
