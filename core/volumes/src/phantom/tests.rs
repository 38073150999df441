//! Phantoms are repeatable, and their truth is where the vessels are.

use super::*;
use crate::measure;
use serde_json::json;

fn small(seed: u64) -> PhantomOptions {
    PhantomOptions { seed, size: 256, slices: 8, ..PhantomOptions::default() }
}

fn grey(volume: &Volume) -> Vec<f32> {
    volume.voxels().unwrap().to_f32()
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
    sum / count as f32
}

#[test]
fn equal_options_give_equal_phantoms() {
    let options = PhantomOptions { layers: Layers::Vessels, ..small(3) };
    let [a, b] = [0, 1].map(|_| Phantom::new(&options).unwrap());
    assert_eq!(grey(&a.volume), grey(&b.volume));
    assert_eq!(grey(&a.en_face), grey(&b.en_face));
    assert_eq!((&a.labels, &a.region, &a.en_face_labels), (&b.labels, &b.region, &b.en_face_labels));
    let other = Phantom::new(&PhantomOptions { seed: 4, ..options }).unwrap();
    assert_ne!(a.labels.data, other.labels.data);
}

#[test]
fn noise_and_scanner_change_no_truth() {
    let options = PhantomOptions { motion: 0.0, ..small(5) };
    let plain = Phantom::new(&options).unwrap();
    let rough = Phantom::new(&PhantomOptions { noise: 3.0, scanner: Some(Scanner::Bright), ..options }).unwrap();
    assert_eq!(plain.labels, rough.labels);
    assert_ne!(grey(&plain.volume), grey(&rough.volume));
}

/// Without noise, capillaries and light: every pixel of a vessel is brighter than every pixel that no vessel touches.
#[test]
fn vessels_are_where_the_truth_says() {
    for (seed, field) in [(1, 3.0), (2, 6.0)] {
        let clean = PhantomOptions {
            noise: 0.0,
            capillaries: 0.0,
            vignetting: 0.0,
            motion: 0.0,
            field,
            scanner: Some(Scanner::Bright),
            size: 512,
            ..small(seed)
        };
        let phantom = Phantom::new(&clean).unwrap();
        let (grey, truth) = (grey(&phantom.en_face), &phantom.en_face_labels);
        let vessels = measure::Grid::where_(truth, |number| number > FAZ);
        let darkest = (0..grey.len()).filter(|&i| vessels.inside[i]).map(|i| grey[i]).fold(f32::INFINITY, f32::min);
        let background = (0..grey.len()).filter(|&i| !vessels.inside[i]).map(|i| grey[i]);
        // small branches are not in the truth: the median tells what has no vessel
        let mut background: Vec<f32> = background.collect();
        background.sort_by(f32::total_cmp);
        let median = background[background.len() / 2];
        assert!(darkest > median + 20.0, "field {field}: darkest vessel pixel {darkest}, background {median}");
        let bright = |i: &usize| grey[*i] > 190.0;
        let named = (0..grey.len()).filter(bright).filter(|&i| vessels.inside[i]).count();
        let all = (0..grey.len()).filter(bright).count();
        assert!(named as f32 > 0.97 * all as f32, "field {field}: {named} of {all} bright pixels belong to a vessel");
    }
}

#[test]
fn a_layer_shows_its_vessels_and_no_others() {
    let clean = PhantomOptions { noise: 0.0, capillaries: 0.0, vignetting: 0.0, motion: 0.0, ..small(6) };
    let clean = PhantomOptions { scanner: Some(Scanner::Bright), projection: 0.0, ..clean };
    let phantom = Phantom::new(&clean).unwrap();
    let grey = grey(&phantom.volume);
    let (en_face, layers) = (&phantom.en_face_labels.data, &phantom.labels.data);
    let mut compared = 0;
    for slice in 0..phantom.labels.frames {
        let from = slice * en_face.len();
        let of = |here: bool| (0..en_face.len()).filter(move |&i| en_face[i] > FAZ && (layers[from + i] != 0) == here);
        if of(true).count() > 500 && of(false).count() > 500 {
            let [shown, hidden] = [true, false].map(|here| mean(of(here).map(|i| grey[from + i])));
            assert!(shown > 2.0 * hidden, "slice {slice}: {shown} where named, {hidden} elsewhere");
            compared += 1;
        }
    }
    assert!(compared >= 2, "only {compared} slices cut the plexus");
}

#[test]
fn numbers_are_the_same_in_all_slices_and_en_face() {
    for (seed, layers) in [(1, Layers::Vessels), (2, Layers::Faz), (3, Layers::Whole)] {
        let phantom = Phantom::new(&PhantomOptions { layers, ..small(seed) }).unwrap();
        let en_face = &phantom.en_face_labels;
        for slice in 0..phantom.labels.frames {
            let layer = phantom.labels.frame(slice);
            assert!(layer.iter().zip(&en_face.data).all(|(&here, &there)| here == 0 || here == there));
            let named = layer.iter().zip(phantom.region.frame(slice)).filter(|(label, _)| **label > FAZ);
            assert!(named.into_iter().all(|(_, &region)| region == 1));
        }
        let listed: Vec<u16> = phantom.vessels.iter().map(|vessel| vessel.0).collect();
        assert_eq!(listed, en_face.objects()[1..]);
        assert!(listed.len() >= 5, "{listed:?}");
    }
}

#[test]
fn the_retina_is_curved() {
    // a slice meets the plexus of large vessels in a part of the field, which moves from slice to slice
    let mut arcs = 0;
    for seed in 0..4 {
        let vessels = Phantom::new(&PhantomOptions { layers: Layers::Vessels, ..small(seed) }).unwrap();
        let region = &vessels.region;
        let last = region.area(7, 1).unwrap() as f32 / (256.0 * 256.0);
        let moved = region.frame(0).iter().zip(region.frame(7)).filter(|(a, b)| a != b).count();
        assert!(
            (0.01..0.97).contains(&last) && moved > 1300,
            "{seed}: {last} of the field, {moved} pixels from slice to slice"
        );
        let faz = Phantom::new(&PhantomOptions { layers: Layers::Faz, ..small(seed) }).unwrap();
        let whole = faz.en_face_labels.count(FAZ);
        let shares = (0..8).map(|slice| faz.labels.area(slice, FAZ).unwrap() as f32 / whole as f32);
        arcs += shares.filter(|share| (0.05..0.95).contains(share)).count();
    }
    assert!(arcs >= 8, "an arc cuts the avascular zone in {arcs} slices");
}

#[test]
fn the_avascular_zone_has_a_healthy_size() {
    let area = |phantom: &Phantom| phantom.en_face_labels.count(FAZ) as f64 * (3.0f64 / 256.0).powi(2);
    let areas: Vec<f64> = (0..12).map(|seed| area(&Phantom::new(&small(seed)).unwrap())).collect();
    assert!(areas.iter().all(|area| (0.08..0.53).contains(area)), "{areas:?}");
    let mean = areas.iter().sum::<f64>() / 12.0;
    assert!((0.19..0.33).contains(&mean), "{mean}"); // 0.257 mm²
    let asked = Phantom::new(&PhantomOptions { faz_mm2: Some(0.4), motion: 0.0, ..small(1) }).unwrap();
    assert!((area(&asked) - 0.4).abs() < 0.01);
}

#[test]
fn vessels_cover_what_they_cover_in_real_eyes() {
    for field in [3.0, 6.0] {
        let share = |seed| {
            let phantom = Phantom::new(&PhantomOptions { field, slices: 1, ..small(seed) }).unwrap();
            let labels = phantom.en_face_labels;
            labels.data.iter().filter(|&&number| number > FAZ).count() as f32 / labels.data.len() as f32
        };
        let mean = mean((0..6).map(share));
        assert!((0.06..0.11).contains(&mean), "field {field}: {mean}"); // OCTA-500's 10301 and 10001: 0.083
    }
}

#[test]
fn dropout_takes_capillaries_away() {
    let clean = PhantomOptions { noise: 0.0, motion: 0.0, vignetting: 0.0, ..small(2) };
    let bright =
        |dropout| mean(grey(&Phantom::new(&PhantomOptions { dropout, ..clean.clone() }).unwrap().en_face).into_iter());
    assert!(bright(0.5) < 0.92 * bright(0.0));
}

#[test]
fn scan_lines_move_the_truth_too() {
    let clean = PhantomOptions { noise: 0.0, capillaries: 0.0, vignetting: 0.0, motion: 3.0, ..small(0) };
    let mut moved = 0;
    for seed in 0..6 {
        let options = PhantomOptions { seed, ..clean.clone() };
        let [still, shaken] =
            [0.0, 3.0].map(|motion| Phantom::new(&PhantomOptions { motion, ..options.clone() }).unwrap());
        moved += usize::from(still.en_face_labels != shaken.en_face_labels);
        let grey = grey(&shaken.en_face);
        let of = |inside: bool| {
            let labels = &shaken.en_face_labels.data;
            mean((0..grey.len()).filter(move |&i| (labels[i] > FAZ) == inside).map(|i| grey[i]))
        };
        assert!(of(true) > 2.0 * of(false), "{seed}: {} in vessels, {} elsewhere", of(true), of(false));
    }
    assert!(moved >= 2, "{moved} of 6 moved");
}

#[test]
fn every_size_and_the_smallest() {
    for (size, slices, field) in [(64, 1, 3.0), (100, 2, 6.0), (304, 3, 3.0), (1024, 1, 6.0)] {
        let phantom = Phantom::new(&PhantomOptions { size, slices, field, ..PhantomOptions::default() }).unwrap();
        assert_eq!(phantom.volume.shape(), [slices, size, size, 1]);
        let [x, y, z] = phantom.volume.geometry.spacing;
        assert!(x == field / size as f64 && y == x && z > 0.0005 && z < 0.6, "{x} {y} {z}");
        assert!(phantom.en_face_labels.objects().len() > 4);
    }
}

#[test]
fn wrong_options_get_one_clear_error() {
    for (value, text) in [
        (json!({"sise": 3}), "unknown field `sise`"),
        (json!({"size": 63}), "size is 63 and must lie between 64 and 1024"),
        (json!({"slices": 0}), "slices is 0 and must lie between 1 and 256"),
        (json!({"seed": -1}), "`seed`"),
        (json!({"size": "large"}), "`size`"),
        (json!({"field": 4.5}), "field is 4.5 and must be 3 or 6"),
        (json!({"faz_mm2": 2}), "faz_mm2 is 2"),
        (json!({"layers": "deep"}), "unknown variant `deep`"),
        (json!({"noise": -0.5}), "noise is -0.5"),
        (json!({"dropout": 1}), "dropout is 1"),
        (json!([]), "must be a JSON object"),
    ] {
        let error = PhantomOptions::from_json(value.clone()).and_then(|options| Phantom::new(&options)).err();
        let error = error.unwrap_or_else(|| panic!("{value} was accepted"));
        let message = error.to_string();
        assert!(message.starts_with("phantom: ") && message.contains(text), "{value}: {message}");
        assert!(!message.contains('\n') && error.code() == "invalid_argument", "{message}");
    }
    assert!(Phantom::new(&PhantomOptions { noise: f32::NAN, ..small(0) }).is_err());
}
