//! Slabs of a volume of a few voxels, by hand.

use super::super::scan::Surface;
use super::*;

/// Two B-scans of 10 rows and 3 columns; a voxel's value is its row, plus 100 in the second B-scan.
fn volume(bottom_up: bool) -> Volume {
    let values: Vec<u8> = (0..2).flat_map(|frame| (0..30).map(move |at| 100 * frame + at / 3)).collect();
    let surface = |name: &str, rows: [f32; 6]| Surface { name: name.to_owned(), rows: rows.to_vec() };
    let scan = Scan {
        surfaces: vec![
            surface("ILM", [1.0, 1.0, 1.0, 1.0, 1.0, f32::NAN]),
            surface("IPL", [4.0, 4.4, 4.5, 6.0, 1.0, 4.0]),
            surface("IPL-", [3.0, 3.0, 3.0, 3.0, 3.0, 3.0]),
            surface("BM", [9.0, 9.0, 9.0, 9.0, 9.0, 12.0]),
        ],
        bottom_up,
        ..Scan::default()
    };
    // rows are 10 µm deep
    let geometry = Geometry::from_spacing([0.1, 0.01, 0.2], true);
    Volume::new([2, 10, 3, 1], values.into(), geometry, "test").unwrap().with_scan(Some(Arc::new(scan)))
}

fn pixels(slab: &str, projection: SlabProjection) -> Vec<f64> {
    let options = SlabOptions { projection, ..SlabOptions::default() };
    let volume = volume(false).slab(slab, &options).unwrap().volume;
    let voxels = volume.voxels().unwrap().into_owned();
    with_voxels!(&voxels, values => values.iter().map(|&v| v as f64).collect())
}

#[test]
fn the_upper_surface_is_in_and_the_lower_is_not() {
    // 4.5 is rounded to the even row
    assert_eq!(pixels("ILM..IPL", SlabProjection::Max), [3., 3., 3., 105., 0., 0.]);
    assert_eq!(pixels("ILM..IPL", SlabProjection::Sum), [6., 6., 6., 515., 0., 0.]);
    assert_eq!(pixels("ILM..IPL", SlabProjection::Mean), [2., 2., 2., 103., 0., 0.]);
    assert_eq!(pixels("ILM..IPL", SlabProjection::Brightest(0.5)), [2.5, 2.5, 2.5, 104., 0., 0.]);
    // beyond the last row
    assert_eq!(pixels("IPL..BM", SlabProjection::Max)[5], 109.0);
    let whole = volume(false).slab("whole", &SlabOptions::default()).unwrap();
    assert_eq!((whole.empty, whole.volume.shape(), whole.volume.dtype()), (1, [1, 2, 3, 1], "uint8"));
    assert!((whole.volume.geometry.spacing[2] - 0.08).abs() < 1e-12);
    assert_eq!(whole.volume.geometry.spacing[..2], [0.1, 0.2]);
}

#[test]
fn edges_are_names_micrometres_and_ways() {
    let same = |a: &str, b: &str| assert_eq!(pixels(a, SlabProjection::Sum), pixels(b, SlabProjection::Sum), "{a} {b}");
    same("SVC", "ILM..IPL-");
    same("superficial", "ilm .. ipl-");
    // the surface IPL-, and ten micrometres above IPL
    same("ILM..IPL-10", "ILM..IPL - 10 um");
    // 3.5 is rounded to the even row, too
    assert_eq!(pixels("ILM..IPL-10", SlabProjection::Max), [2., 2., 3., 104., 0., 0.]);
    assert_eq!(pixels("ILM..IPL-+10", SlabProjection::Max), [3., 3., 3., 103., 103., 0.]);
    assert_eq!(pixels("ILM..ILM>BM*0.5", SlabProjection::Max), [4., 4., 4., 104., 104., 0.]);
    for (slab, part) in [
        ("OPL..BM", "no surface \"OPL\""),
        ("ICP", "no slab ICP"),
        ("SVCC", "did you mean `SVC`"),
        ("ILM..IPL-x", "no edge of a slab"),
        ("BM..ILM", "is empty"),
    ] {
        let error = volume(false).slab(slab, &SlabOptions::default()).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
    let unsized_rows = Volume { geometry: Geometry::unknown(), ..volume(false) };
    let error = unsized_rows.slab("ILM..IPL-10", &SlabOptions::default()).err().unwrap().to_string();
    assert!(error.contains("give the spacing"), "{error}");
    assert!(unsized_rows.slab("SVC", &SlabOptions::default()).is_ok());
}

#[test]
fn what_lies_above_is_taken_off() {
    let options = SlabOptions { subtract: 1.0, ..SlabOptions::default() };
    let values = volume(false).slab("IPL..BM", &options).unwrap().volume.voxels().unwrap().into_owned();
    // the largest below minus the largest above; nothing lies above in the fifth column, nothing is known above in the sixth
    assert_eq!(values.to_f32(), [5., 5., 5., 3., 108., 109.]);
}

#[test]
fn the_first_b_scan_may_be_the_lowest_row() {
    let up = volume(true).slab("whole", &SlabOptions::default()).unwrap();
    let down = volume(false).slab("whole", &SlabOptions::default()).unwrap();
    let [up_values, down_values] = [&up, &down].map(|one| one.volume.voxels().unwrap().to_f32());
    assert_eq!(up_values, [&down_values[3..], &down_values[..3]].concat());
    // a label on the first B-scan, which is the last row
    let mut labels = Labels::empty_like(&up.volume);
    labels.data[3] = 7;
    let back = up.origin.back(&labels).unwrap();
    assert_eq!(back.frames_of(7), [0]);
    let rows: Vec<usize> = (0..10).filter(|row| back.frame(0)[row * 3] == 7).collect();
    assert_eq!(rows, (1..9).collect::<Vec<_>>());
    assert_eq!(back.count(7), 8);
    assert!(up.origin.back(&Labels { rows: 1, columns: 6, ..labels }).is_err());
}

#[test]
fn layers_follow_a_surface_and_labels_come_back_to_where_they_were() {
    let layers = volume(false).layers_along("IPL", -20.0, 10.0, 10.0).unwrap();
    assert_eq!((layers.volume.shape(), layers.volume.dtype()), ([4, 2, 3, 1], "uint8"));
    assert_eq!(layers.volume.frame(0).unwrap().to_f32(), [2., 2., 2., 104., 0., 102.]);
    assert_eq!(layers.volume.frame(3).unwrap().to_f32(), [5., 5., 6., 107., 102., 105.]);
    assert!((layers.volume.geometry.spacing[2] - 0.01).abs() < 1e-12);
    // every voxel of a layer goes back to the row that it was taken from
    for layer in 0..4 {
        let mut labels = Labels::empty_like(&layers.volume);
        labels.frame_mut(layer).fill(1);
        let back = layers.origin.back(&labels).unwrap();
        let values = volume(false).voxels().unwrap().to_f32();
        let there: Vec<f32> = values.iter().zip(&back.data).filter(|(_, l)| **l != 0).map(|(v, _)| *v).collect();
        let mut wanted = layers.volume.frame(layer).unwrap().to_f32();
        wanted.retain(|value| *value != 0.0);
        wanted.sort_by(f32::total_cmp);
        let mut there = there;
        there.sort_by(f32::total_cmp);
        assert_eq!(there, wanted, "layer {layer}");
    }
    assert!(volume(false).layers_along("IPL", 0.0, 10.0, 0.0).is_err());
    assert!(volume(false).layers_along("OPL", 0.0, 10.0, 1.0).is_err());
}
