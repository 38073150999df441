//! The methods on slices whose answer is known, and vesselness beside scikit-image's.

use super::*;

/// Two bright vertical bars on dark ground, 12 x 20, with a ramp of 10 % from top to bottom.
fn bars() -> Vec<f32> {
    let bright = |at: usize| (3..7).contains(&(at % 20)) || (13..17).contains(&(at % 20));
    (0..240).map(|at| if bright(at) { 200.0 } else { 40.0 } + (at / 20) as f32).collect()
}

fn click(row: usize, column: usize, positive: bool) -> Click {
    Click { row, column, positive }
}

fn answer(method: Method, clicks: &[Click]) -> Result<Vec<bool>> {
    let values = bars();
    let options = Options { sigma: 0.0, reach: Some(9.0), ..Options::default() };
    segment(Slice { values: &values, rows: 12, columns: 20 }, method, clicks, &options)
}

#[test]
fn every_method_finds_the_bar_that_is_clicked() {
    for (method, name) in Method::ALL {
        let mask = answer(method, &[click(5, 4, true), click(5, 1, false), click(5, 10, false)]).unwrap();
        let on = |columns: std::ops::Range<usize>| {
            mask.iter().enumerate().filter(|(at, on)| **on && columns.contains(&(at % 20))).count()
        };
        assert!(on(3..7) >= 24 && on(9..20) == 0, "{name}: {} on the bar, {} beside it", on(3..7), on(9..20));
        if method != Method::Frangi {
            assert_eq!((on(3..7), on(0..20)), (48, 48), "{name}");
        }
    }
}

#[test]
fn a_click_on_dark_ground_finds_dark_ground() {
    for method in [Method::RegionGrowing, Method::Otsu] {
        let mask = answer(method, &[click(5, 10, true)]).unwrap();
        assert_eq!(mask.iter().filter(|&&on| on).count(), 12 * 6, "{method:?}");
    }
}

#[test]
fn a_negative_click_takes_what_is_nearer_to_it() {
    for (method, name) in Method::ALL {
        let mask = answer(method, &[click(2, 4, true), click(10, 4, false)]).unwrap();
        assert!(mask[2 * 20 + 4] && !mask[10 * 20 + 4], "{name}");
    }
    let mask = answer(Method::Otsu, &[click(2, 4, true), click(10, 4, false)]).unwrap();
    assert_eq!(mask.iter().filter(|&&on| on).count(), 4 * 7);
}

#[test]
fn bad_input_is_told() {
    let refused = |clicks: &[Click], text: &str| {
        let message = answer(Method::RandomWalker, clicks).unwrap_err().to_string();
        assert!(message.contains(text), "{message}");
    };
    refused(&[click(1, 1, false)], "no positive click");
    refused(&[click(12, 1, true)], "the click (1, 12) lies outside");
    refused(&[click(1, 1, true), click(1, 1, false)], "on pixel (1, 1)");
    let wrong = |options: Options, values: &[f32]| {
        segment(Slice { values, rows: 12, columns: 20 }, Method::RandomWalker, &[click(5, 4, true)], &options)
            .unwrap_err()
            .to_string()
    };
    let far = wrong(Options { reach: Some(99.0), ..Options::default() }, &bars());
    assert!(far.contains("no background within reach 99"), "{far}");
    assert!(wrong(Options { sigma: f64::NAN, ..Options::default() }, &bars()).contains("sigma is NaN"));
    assert!(wrong(Options { scales: vec![], ..Options::default() }, &bars()).contains("0 scales"));
    assert!(wrong(Options::default(), &[f32::NAN; 240]).contains("finite"));
    assert!(
        "watershed".parse::<Method>().unwrap_err().to_string().contains("region_growing, otsu, frangi, random_walker")
    );
}

#[test]
fn nothing_to_tell_apart_is_no_failure() {
    for (method, name) in Method::ALL {
        let flat = [7.0f32; 240];
        let mask =
            segment(Slice { values: &flat, rows: 12, columns: 20 }, method, &[click(5, 4, true)], &Options::default());
        assert!(mask.is_ok(), "{name}");
    }
}

#[test]
fn vesselness_is_that_of_scikit_image() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/classical/frangi.npy");
    let peer = crate::io::open(path, &crate::io::OpenOptions::default()).unwrap();
    let [image, expected] = [0, 1].map(|frame| peer.frame(frame).unwrap().to_f32());
    let values: Vec<f64> = image.into_iter().map(f64::from).collect();
    let found = frangi(&values, [peer.rows, peer.columns], &[1.0, 2.0, 3.0]);
    let worst = found.iter().zip(expected).map(|(a, b)| (a - f64::from(b)).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-5, "{worst}");
    assert!(found.iter().any(|&value| value > 0.5));
}
