//! Slices for the page: 16-bit grey between the darkest and the brightest value of the volume; the page chooses the window.

use super::refusal::{Answer, Refusal};
use sam_octa2_abi::Volume;

/// slices that are looked at for the range
const SAMPLES: usize = 9;

/// One slice in grey: of colours the mean.
fn plane(volume: &Volume, frame: usize) -> Answer<Vec<f64>> {
    let view = volume.frame(frame as u64)?;
    let values = view.to_f64().ok_or_else(|| Refusal::inside("the plugin shows values of another type"))?;
    Ok(match view.shape()[..] {
        [_, _, channels] if channels > 1 => {
            values.chunks_exact(channels).map(|pixel| pixel.iter().sum::<f64>() / channels as f64).collect()
        }
        _ => values,
    })
}

/// The darkest and the brightest value of some slices.
pub fn range(volume: &Volume, frames: usize) -> Answer<[f64; 2]> {
    let count = frames.min(SAMPLES);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for at in 0..count {
        for value in plane(volume, at * frames / count)?.into_iter().filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
    }
    Ok(if low < high { [low, high] } else { [0.0, 1.0] })
}

/// A slice as 16-bit numbers, little-endian; what is darker or brighter than the range is at its ends.
pub fn grey(volume: &Volume, frame: usize, [low, high]: [f64; 2]) -> Answer<Vec<u8>> {
    let scale = 65535.0 / (high - low);
    let grey = |value: f64| ((value - low) * scale).clamp(0.0, 65535.0) as u16;
    Ok(plane(volume, frame)?.into_iter().flat_map(|value| grey(value).to_le_bytes()).collect())
}
