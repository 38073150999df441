//! Vesselness. Source: Frangi, Niessen, Vincken and Viergever, Multiscale vessel enhancement filtering, MICCAI 1998, equation 15.
//!
//! As `skimage.filters.frangi(black_ridges=False)` computes it: second derivatives as two Gaussian derivatives of sigma / sqrt 2 each, not
//! scaled by sigma; beta 0.5; c is half the largest structureness of the first scale.

use crate::measure::filters::derivative;

const BETA: f64 = 0.5;

/// How much each pixel looks like part of a bright line, 0 to 1: the largest answer over the scales (sigma in pixels). `values`:
/// `[rows, columns]`.
pub fn frangi(values: &[f64], shape: [usize; 2], scales: &[f64]) -> Vec<f64> {
    let mut best = vec![0.0f64; values.len()];
    let mut c = None;
    for &scale in scales {
        let curves = curvatures(values, shape, scale);
        let structure = |[small, large]: &[f64; 2]| small.hypot(*large);
        let strongest = || curves.iter().map(structure).fold(0.0, f64::max) / 2.0;
        let c = *c.get_or_insert_with(|| Some(strongest()).filter(|&c| c > 0.0).unwrap_or(1.0));
        for (best, curve) in best.iter_mut().zip(&curves) {
            let [small, large] = *curve;
            if large >= 0.0 {
                continue; // dark, or nothing
            }
            let (blob, structure) = (small / large, structure(curve));
            let line = (-blob * blob / (2.0 * BETA * BETA)).exp();
            *best = best.max(line * (1.0 - (-structure * structure / (2.0 * c * c)).exp()));
        }
    }
    best
}

/// The eigenvalues of each pixel's Hessian, the one of smaller magnitude first.
fn curvatures(values: &[f64], shape: [usize; 2], scale: f64) -> Vec<[f64; 2]> {
    let sigma = scale / std::f64::consts::SQRT_2;
    let [down, right] = [0, 1].map(|axis| derivative(values, shape, sigma, axis));
    let rr = derivative(&down, shape, sigma, 0);
    let rc = derivative(&down, shape, sigma, 1);
    let cc = derivative(&right, shape, sigma, 1);
    let eigenvalues = |((rr, rc), cc): ((f64, f64), f64)| {
        let (middle, apart) = ((rr + cc) / 2.0, ((rr - cc) / 2.0).hypot(rc));
        let (low, high) = (middle - apart, middle + apart);
        if low.abs() > high.abs() { [high, low] } else { [low, high] }
    };
    rr.into_iter().zip(rc).zip(cc).map(eigenvalues).collect()
}
