//! Bicubic resizing with antialiasing (Catmull-Rom, a = -1/2): rows first, then columns, as PIL does it. On 8-bit pixels the arithmetic
//! is PIL's fixed point (22 bits, rounded after each direction), so that a slice enters the model as in the reference, to the last bit.

/// bits after the point
const PRECISION: u32 = 32 - 8 - 2;

/// The source pixels that make one target pixel, and how much each counts (the sum is 1).
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

/// Taps of every target pixel along one direction; when shrinking, the filter widens.
fn taps(source: usize, target: usize) -> Vec<Taps> {
    let scale = source as f64 / target as f64;
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    let one = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(source);
        let weights: Vec<f64> = (first..end).map(|x| bicubic((x as f64 - center + 0.5) / stretch)).collect();
        let sum: f64 = weights.iter().sum();
        Taps { first, weights: weights.into_iter().map(|w| if sum == 0.0 { w } else { w / sum }).collect() }
    };
    (0..target).map(one).collect()
}

/// A kind of pixel that can be resized: how weights are stored, how a weighted sum becomes a pixel.
pub(super) trait Pixel: Copy + Default {
    type Weight: Copy;
    fn weight(weight: f64) -> Self::Weight;
    fn sum(pixels: impl Iterator<Item = (Self, Self::Weight)>) -> Self;
}

impl Pixel for u8 {
    type Weight = i32;

    fn weight(weight: f64) -> i32 {
        (weight * f64::from(1 << PRECISION)).round() as i32
    }

    fn sum(pixels: impl Iterator<Item = (u8, i32)>) -> u8 {
        let sum =
            pixels.fold(1 << (PRECISION - 1), |sum: i32, (pixel, weight)| sum.wrapping_add(i32::from(pixel) * weight));
        (sum >> PRECISION).clamp(0, 255) as u8
    }
}

impl Pixel for f32 {
    type Weight = f32;

    fn weight(weight: f64) -> f32 {
        weight as f32
    }

    fn sum(pixels: impl Iterator<Item = (f32, f32)>) -> f32 {
        pixels.fold(0.0, |sum, (pixel, weight)| sum + pixel * weight)
    }
}

/// Resizes `[rows, columns, channels]` pixels to a square of `size`; a direction that fits already is left alone.
pub(super) fn resize<P: Pixel>(pixels: &[P], [rows, columns, channels]: [usize; 3], size: usize) -> Vec<P> {
    let wide = if columns == size { pixels.to_vec() } else { along(pixels, [rows, columns, channels], size) };
    if rows == size { wide } else { along(&wide, [1, rows, size * channels], size) }
}

/// Resizes the middle one of three dimensions.
fn along<P: Pixel>(pixels: &[P], [outer, length, inner]: [usize; 3], size: usize) -> Vec<P> {
    let convert = |taps: Taps| (taps.first, taps.weights.into_iter().map(P::weight).collect::<Vec<_>>());
    let taps: Vec<_> = taps(length, size).into_iter().map(convert).collect();
    let mut out = Vec::with_capacity(outer * size * inner);
    for line in pixels.chunks_exact(length * inner).take(outer) {
        for (first, weights) in &taps {
            let window = &line[first * inner..(first + weights.len()) * inner];
            out.extend(
                (0..inner).map(|i| P::sum(window[i..].iter().step_by(inner).copied().zip(weights.iter().copied()))),
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_stays_flat() {
        assert!(resize(&[200u8; 7 * 5 * 3], [7, 5, 3], 16).iter().all(|&v| v == 200));
        assert!(resize(&[0.25f32; 40 * 50], [40, 50, 1], 16).iter().all(|v| (v - 0.25).abs() < 1e-6));
    }

    #[test]
    fn enlarging_an_edge_overshoots_and_is_cut() {
        // PIL: Image.fromarray(np.array([[0, 0, 255, 255]], np.uint8)).resize((8, 8))
        let row: Vec<u8> = resize(&[0u8, 0, 255, 255], [1, 4, 1], 8)[..8].to_vec();
        assert_eq!(row, PIL_EDGE);
    }

    const PIL_EDGE: [u8; 8] = [0, 0, 0, 52, 203, 255, 255, 255];
}
