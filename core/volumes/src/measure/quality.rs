//! How good a picture is, from the picture alone: do vessels stand out, and did the eye move while it was scanned?
//!
//! Both are made of the projection (mean over slices). They rank pictures of one kind against each other; no limit holds for all devices.

use super::filters::otsu;
use crate::Result;
use crate::volume::{Projection, Volume};
use serde::Serialize;

/// Numbers about a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// contrast of vessels to noise: the distance between the means of the two classes of Otsu's threshold over the standard deviation of the darker
    /// class; 0 for a picture of one value
    pub signal: f64,
    /// how far the worst line (a row, as scanners go) stands out: its mean against that of the lines around it, in robust standard deviations
    /// (1.4826 times the median) of all lines. A line that was scanned while the eye moved is brighter or darker as a whole
    pub motion: f64,
}

/// Lines on each side that a line is compared with.
const AROUND: usize = 4;

/// Judges a volume by its projection. Errors: colour, voxels that cannot be read.
pub fn quality(volume: &Volume) -> Result<Quality> {
    let picture = volume.project(0..volume.frames, Projection::Mean)?;
    let values: Vec<f64> = picture.frame(0)?.to_f32().into_iter().map(f64::from).collect();
    Ok(Quality { signal: signal(&values), motion: motion(&values, picture.columns) })
}

fn signal(values: &[f64]) -> f64 {
    let first = values.first().copied().unwrap_or(0.0);
    if values.iter().all(|&value| value == first) {
        return 0.0;
    }
    let threshold = otsu(values);
    let (bright, dark): (Vec<f64>, Vec<f64>) = values.iter().partition(|&&value| value > threshold);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let middle = mean(&dark);
    let variance = dark.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / dark.len().max(1) as f64;
    // a picture of two values has no noise; a hundredth of the range keeps the number finite
    let range = values.iter().fold(f64::NEG_INFINITY, |high, &value| high.max(value))
        - values.iter().fold(f64::INFINITY, |low, &v| low.min(v));
    (mean(&bright) - middle) / variance.sqrt().max(range / 100.0)
}

fn motion(values: &[f64], columns: usize) -> f64 {
    let lines: Vec<f64> =
        values.chunks(columns.max(1)).map(|line| line.iter().sum::<f64>() / line.len() as f64).collect();
    let step = |at: usize| {
        let around = at.saturating_sub(AROUND)..(at + AROUND + 1).min(lines.len());
        let others: Vec<f64> = around.filter(|&other| other != at).map(|other| lines[other]).collect();
        (lines[at] - median(others)).abs()
    };
    let steps: Vec<f64> = if lines.len() < 2 * AROUND { return 0.0 } else { (0..lines.len()).map(step).collect() };
    let worst = steps.iter().fold(0.0, |worst: f64, &step| worst.max(step));
    let spread = 1.4826 * median(steps);
    if spread > 0.0 { worst / spread } else { 0.0 }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::{Phantom, PhantomOptions};

    fn of(change: impl FnOnce(&mut PhantomOptions)) -> Quality {
        let mut options = PhantomOptions { size: 256, slices: 2, seed: 5, ..PhantomOptions::default() };
        change(&mut options);
        quality(&Phantom::new(&options).unwrap().volume).unwrap()
    }

    #[test]
    fn noise_takes_signal_and_movement_shows() {
        let (clean, noisy) = (of(|options| options.noise = 0.3), of(|options| options.noise = 3.0));
        assert!(clean.signal > 1.2 * noisy.signal, "{clean:?} {noisy:?}");
        let (still, moved) = (of(|options| options.motion = 0.0), of(|options| options.motion = 3.0));
        assert!(moved.motion > 2.0 * still.motion, "{still:?} {moved:?}");
    }

    #[test]
    fn a_picture_of_nothing_has_neither() {
        assert_eq!((signal(&[3.0; 64]), motion(&[3.0; 64], 8)), (0.0, 0.0));
        let mut lines: Vec<f64> = (0..64 * 32).map(|at| f64::from((at * 7919) % 13)).collect();
        let before = motion(&lines, 32);
        lines[32 * 20..32 * 21].iter_mut().for_each(|value| *value += 30.0);
        assert!(motion(&lines, 32) > 5.0 * before.max(1.0));
    }
}
