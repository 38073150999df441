//! A slice becomes the model's input: window, resize to the model's square, colour normalisation.
//!
//! Intensity, declared: 8-bit values are used as they are (0 to 255, as the reference does); every other type is mapped linearly from the
//! volume's own smallest and largest value to 0..1. Nothing is squeezed to 8 bits on the way.

use super::resize::resize;
use crate::Result;
use crate::volume::{Volume, Voxels};
use tch::{Kind, Tensor};

/// ImageNet's colour statistics, with which SAM 2 was trained.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The linear map from voxels to 0..1, the same for every slice of a volume.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Window {
    /// becomes 0
    pub low: f64,
    /// becomes 1
    pub high: f64,
}

impl Window {
    /// 8 bits: 0 to 255. Other types: the volume's own range.
    pub fn of(volume: &Volume) -> Self {
        match &volume.voxels {
            Voxels::U8(_) => Self { low: 0.0, high: 255.0 },
            voxels => {
                let (low, high) = voxels.range();
                Self { low, high: if high > low { high } else { low + 1.0 } }
            }
        }
    }
}

/// One slice as `[1, 3, size, size]` float32, normalised. The aspect is not kept, as in training.
pub fn prepare(volume: &Volume, frame: usize, window: Window, size: i64) -> Result<Tensor> {
    let unit = match &volume.voxels {
        Voxels::U8(values) if window == (Window { low: 0.0, high: 255.0 }) => {
            eight_bit(volume, &values[volume.frame_range(frame)?], size as usize)
        }
        _ => linear(volume, frame, window, size as usize)?,
    };
    let channels = volume.channels as i64;
    let image = Tensor::from_slice(&unit)
        .view([1, size, size, channels])
        .permute([0, 3, 1, 2])
        .expand([1, 3, size, size], false);
    let mean = Tensor::from_slice(&MEAN).view([1, 3, 1, 1]);
    let std = Tensor::from_slice(&STD).view([1, 3, 1, 1]);
    Ok(((image - mean) / std).to_kind(Kind::Float))
}

/// 8-bit pixels are resized in 8 bits.
fn eight_bit(volume: &Volume, pixels: &[u8], size: usize) -> Vec<f32> {
    let resized = resize(pixels, [volume.rows, volume.columns, volume.channels], size);
    resized.into_iter().map(|v| (f64::from(v) / 255.0) as f32).collect()
}

/// Other pixels are windowed first and resized in float32.
fn linear(volume: &Volume, frame: usize, window: Window, size: usize) -> Result<Vec<f32>> {
    let (low, scale) = (window.low as f32, 1.0 / (window.high - window.low) as f32);
    let unit = |v: f32| if v.is_finite() { ((v - low) * scale).clamp(0.0, 1.0) } else { 0.0 };
    let pixels: Vec<f32> = volume.frame_f32(frame)?.into_iter().map(unit).collect();
    let resized = resize(&pixels, [volume.rows, volume.columns, volume.channels], size);
    Ok(resized.into_iter().map(|v| v.clamp(0.0, 1.0)).collect())
}
