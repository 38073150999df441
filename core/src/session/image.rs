//! A slice becomes the model's input: window, resize to the model's square; on the device, colour normalisation.
//!
//! Which values become 0 and 1 is declared in [`crate::intensity`]. 8-bit values that are used as they are enter the model as in the
//! reference, to the last bit; everything else is windowed first and resized in float32.

use super::resize::resize;
use crate::Result;
use crate::device::transfer::upload;
use crate::intensity::{Window, Windows};
use crate::model::config::InputImage;
use crate::volume::{Volume, Voxels};
use std::collections::VecDeque;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// ImageNet's colour statistics, with which SAM 2 was trained.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// One slice as `[1, 3, size, size]` float32, normalised. The aspect is not kept, as in training. For a model that sees neighbours the
/// channels are the slice, and the maximum and the mean over it and its neighbours, in grey.
pub fn prepare(volume: &Volume, frame: usize, windows: Windows, input: InputImage) -> Result<Tensor> {
    let pixels = Pixels::read(&mut GreySlices::default(), volume, frame, windows, input)?;
    Ok(normalised(&pixels.image(), Device::Cpu))
}

/// A slice in the model's square, 0 to 1, without libtorch: made on any thread.
pub struct Pixels {
    size: i64,
    channels: usize,
    /// row by row, channels together
    slice: Vec<f32>,
    /// maximum and mean over the slice and its neighbours, for a model that sees them
    around: Option<[Vec<f32>; 2]>,
}

impl Pixels {
    /// Reads and resizes a slice. `grey` keeps the neighbours for the next slices, so that none is read once for each slice around it;
    /// it belongs to one volume and window.
    pub fn read(
        grey: &mut GreySlices,
        volume: &Volume,
        frame: usize,
        windows: Windows,
        input: InputImage,
    ) -> Result<Self> {
        let slice = match volume.frame(frame)? {
            Voxels::U8(values) if windows == Windows::Volume(Window::EIGHT_BIT) => {
                eight_bit(volume, &values, input.size as usize)
            }
            voxels => linear(volume, &voxels.to_f32(), windows, input.size as usize),
        };
        let around = match input.neighbours {
            0 => None,
            _ => Some(projections(grey, volume, frame, windows, input)?),
        };
        Ok(Self { size: input.size, channels: volume.channels, slice, around })
    }

    /// `[1, C, size, size]` float32 on the host. C is 1 for a grey slice, which keeps the copy to a GPU small.
    pub fn image(&self) -> Tensor {
        let size = self.size;
        let image = Tensor::from_slice(&self.slice).view([1, size, size, self.channels as i64]).permute([0, 3, 1, 2]);
        let Some(around) = &self.around else { return image.contiguous() };
        let slice = image.mean_dim([1].as_slice(), true, Kind::Float);
        let [largest, mean] = around.each_ref().map(|values| Tensor::from_slice(values).view([1, 1, size, size]));
        Tensor::cat(&[slice, largest, mean], 1)
    }
}

/// The colours as the model was trained with them: `[1, 1 or 3, size, size]` on the host -> `[1, 3, size, size]` float32 on the device.
pub fn normalised(unit: &Tensor, device: Device) -> Tensor {
    let image = upload(unit, device);
    let colour = |values: [f32; 3]| {
        let channels = values.map(|value| Tensor::full([1, 1, 1, 1], f64::from(value), (Kind::Float, device)));
        Tensor::cat(&channels, 1)
    };
    ((image - colour(MEAN)) / colour(STD)).to_kind(Kind::Float)
}

/// The slices used last, in grey, 0 to 1.
#[derive(Default)]
pub struct GreySlices(VecDeque<(usize, Arc<[f32]>)>);

impl GreySlices {
    /// A slice, row by row; at most `keep` are kept.
    fn get(&mut self, volume: &Volume, frame: usize, windows: Windows, keep: usize) -> Result<Arc<[f32]>> {
        if let Some((_, slice)) = self.0.iter().find(|(kept, _)| *kept == frame) {
            return Ok(slice.clone());
        }
        let values = windows.unit(&volume.frame(frame)?.to_f32());
        let mean = |pixel: &[f32]| pixel.iter().sum::<f32>() / volume.channels as f32;
        let slice: Arc<[f32]> = values.chunks_exact(volume.channels).map(mean).collect();
        self.0.push_back((frame, slice.clone()));
        while self.0.len() > keep {
            self.0.pop_front();
        }
        Ok(slice)
    }
}

/// Maximum and mean over a slice and its neighbours, in grey, resized.
fn projections(
    grey: &mut GreySlices,
    volume: &Volume,
    frame: usize,
    windows: Windows,
    input: InputImage,
) -> Result<[Vec<f32>; 2]> {
    let InputImage { size, neighbours } = input;
    let pixels = volume.rows * volume.columns;
    let mut largest = vec![0f32; pixels];
    let mut sum = vec![0f32; pixels];
    let frames = frame.saturating_sub(neighbours)..(frame + neighbours + 1).min(volume.frames);
    let count = frames.len() as f32;
    for near in frames {
        let values = grey.get(volume, near, windows, 2 * neighbours + 1)?;
        for (at, &value) in values.iter().enumerate() {
            largest[at] = largest[at].max(value);
            sum[at] += value / count;
        }
    }
    let resized = |values: &[f32]| {
        let resized = resize(values, [volume.rows, volume.columns, 1], size as usize);
        resized.into_iter().map(|v| v.clamp(0.0, 1.0)).collect()
    };
    Ok([resized(&largest), resized(&sum)])
}

/// 8-bit pixels are resized in 8 bits.
fn eight_bit(volume: &Volume, pixels: &[u8], size: usize) -> Vec<f32> {
    let resized = resize(pixels, [volume.rows, volume.columns, volume.channels], size);
    resized.into_iter().map(|v| (f64::from(v) / 255.0) as f32).collect()
}

/// Other pixels are windowed first and resized in float32.
fn linear(volume: &Volume, values: &[f32], windows: Windows, size: usize) -> Vec<f32> {
    let resized = resize(&windows.unit(values), [volume.rows, volume.columns, volume.channels], size);
    resized.into_iter().map(|v| v.clamp(0.0, 1.0)).collect()
}
