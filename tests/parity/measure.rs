//! Measures and clean-up against scikit-image, scipy and the reference's own metrics (`losses_metrics`, `smooth_mask`).

use crate::fixture::*;
use sam_octa2_core::measure::{Connectivity, Grid, compare, components, fill_holes, remove_small, smooth};
use sam_octa2_core::regions::Region;
use tch::{Kind, Tensor};

fn misc(name: &str) -> Option<Fixture> {
    Some(Fixture::read(full()?.join("misc").join(name)))
}

fn grid(tensor: &Tensor) -> Grid {
    let size = tensor.size();
    let inside = Vec::<i64>::try_from(tensor.to_kind(tch::Kind::Int64).flatten(0, -1)).unwrap();
    Grid {
        shape: [1, size[0] as usize, size[1] as usize],
        spacing: [1.0; 3],
        inside: inside.iter().map(|&v| v != 0).collect(),
    }
}

#[test]
fn metrics_are_the_references() {
    let Some(fixture) = misc("losses_metrics") else { return };
    for (name, expected) in fixture.json["metrics"].as_object().unwrap() {
        let (found, truth) = (grid(&fixture.get(&format!("{name}.a"))), grid(&fixture.get(&format!("{name}.b"))));
        let reply = compare(&found, &truth).unwrap();
        // the fixture calls f(pred = a, label = b), in which precision and recall come out exchanged (see its notes)
        let counts: Vec<f64> =
            expected["confusion_TP_FP_FN_TN"].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
        assert_eq!(counts[0] + counts[1] + counts[2] + counts[3], found.inside.len() as f64, "{name}");
        for (key, ours) in
            [("Jaccard", reply.jaccard), ("Dice", reply.dice), ("Precision", reply.recall), ("Recall", reply.precision)]
        {
            let theirs = expected[key].as_f64().unwrap();
            assert!((ours - theirs).abs() < 1e-5, "{name} {key}: {ours} and {theirs}");
        }
        let theirs = expected["Hausdorff_true_foreground_points"].as_f64();
        assert!(theirs == reply.hausdorff_mm, "{name}: {:?} and {theirs:?}", reply.hausdorff_mm);
    }
}

/// numpy.packbits, row-major.
fn unpacked(tensor: &Tensor) -> Grid {
    let bytes = Vec::<u8>::try_from(tensor).unwrap();
    let inside = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1 == 1)).collect();
    Grid { shape: [1, 512, 512], spacing: [1.0; 3], inside }
}

#[test]
fn cleaning_up_is_scikit_images() {
    let Some(fixture) = misc("smooth_mask") else { return };
    for case in fixture.json["cases"].as_array().unwrap() {
        let at = case["i"].as_u64().unwrap();
        let bits = |what: &str| unpacked(&fixture.get(&format!("{at}.{what}.bits")));
        let input = bits("in");
        let (_, sizes) = components(&input, Connectivity::Corners);
        assert_eq!(sizes.len() as u64, case["components"].as_u64().unwrap(), "case {at}");
        let filled = fill_holes(&remove_small(&input, 500, Connectivity::Corners));
        assert!(filled == bits("filled"), "case {at}: filled");
        let (ours, theirs) = (smooth(&filled, 5.0), bits("out"));
        let differ = ours.inside.iter().zip(&theirs.inside).filter(|(a, b)| a != b).count();
        assert!(differ <= 2, "case {at}: {differ} pixels differ");
    }
}

/// Parts, and the rings around them that negative points come from.
#[test]
fn prompts_lie_where_the_reference_lets_them() {
    let Some(fixture) = misc("prompt_regions") else { return };
    for (name, case) in fixture.json["cases"].as_object().unwrap() {
        let (object, ring) = name.split_once('.').unwrap();
        let Some((inner, outer)) = ring.split_once('_').filter(|(inner, _)| *inner != "0") else { continue };
        let Grid { inside, .. } = unpacked(&fixture.get(&format!("{object}.mask.bits")));
        let region = Region { rows: 512, columns: 512, inside };
        let (numbers, count) = region.parts();
        let theirs =
            Vec::<i64>::try_from(fixture.get(&format!("{object}.labelmap")).to_kind(Kind::Int64).flatten(0, -1));
        assert_eq!(count as u64, case["components"].as_u64().unwrap(), "{name}");
        assert!(numbers.iter().map(|&n| i64::from(n)).eq(theirs.unwrap()), "{name}: parts");
        let ring = |region: &Region| region.ring([inner.parse().unwrap(), outer.parse().unwrap()]);
        let negative = |what: &str| unpacked(&fixture.get(&format!("{name}.negative_{what}.bits"))).inside;
        assert!(ring(&region) == negative("binary"), "{name}: around all");
        let first = Region { inside: numbers.iter().map(|&number| number == 1).collect(), ..region };
        assert!(ring(&first) == negative("component1"), "{name}: around the first part");
    }
}
