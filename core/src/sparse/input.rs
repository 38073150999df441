//! A slice as the network sees it, and masks between the network's square and the slice's own grid.
//!
//! Values of 0 to 1 by the volume's window (8-bit values as they are), no colour statistics; bilinear, as SAM-OCTA2's loaders (`cv2.resize`)
//! to within a rounding where slices are enlarged, with antialiasing where they shrink. The aspect is not kept, as in training.

use crate::Result;
use crate::guard::{guard, torch};
use crate::intensity::Windows;
use crate::io::Channel;
use crate::measure::Grid;
use crate::model::layers::{resize_bilinear, resize_bilinear_antialias};
use crate::volume::Volume;
use tch::{Kind, Tensor};

/// The volume without colour.
pub fn grey(volume: &Volume) -> Result<Volume> {
    Channel::Luminance.of_volume(volume.clone())
}

/// One slice of a grey volume: `[1, 1, side, side]` float32.
pub fn slice(volume: &Volume, frame: usize, windows: Windows, side: i64) -> Result<Tensor> {
    let values = windows.unit(&volume.frame(frame)?.to_f32());
    resized(&values, [volume.rows, volume.columns], [side, side])
}

/// Values `[rows, columns]` in another size, `[1, 1, rows', columns']` float32, 0 to 1.
pub fn resized(values: &[f32], [rows, columns]: [usize; 2], size: [i64; 2]) -> Result<Tensor> {
    guard(|| {
        let image = Tensor::from_slice(values).view([1, 1, rows as i64, columns as i64]);
        if image.size()[2..] == size {
            return Ok(image);
        }
        Ok(resize_bilinear_antialias(&image, size).clamp(0.0, 1.0))
    })
}

/// The numbers of a tensor.
pub fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    torch(|| Vec::<f32>::try_from(tensor.f_to_kind(Kind::Float)?.f_flatten(0, -1)?))
}

fn as_numbers(mask: &[bool]) -> Vec<f32> {
    mask.iter().map(|&inside| f32::from(u8::from(inside))).collect()
}

/// A mask in another size: inside is what is covered by half.
pub fn resized_mask(mask: &[bool], shape: [usize; 2], size: [usize; 2]) -> Result<Vec<bool>> {
    if shape == size {
        return Ok(mask.to_vec());
    }
    let resized = resized(&as_numbers(mask), shape, size.map(|side| side as i64))?;
    Ok(values(&resized)?.into_iter().map(|share| share >= 0.5).collect())
}

/// A vessel map in another size, as SAM-OCTA2 resizes it: inside is whatever a vessel touches (thin vessels stay whole).
pub fn resized_map(map: &[bool], shape: [usize; 2], size: [usize; 2]) -> Result<Vec<bool>> {
    if shape == size {
        return Ok(map.to_vec());
    }
    let numbers = as_numbers(map);
    let resized = guard(|| {
        let image = Tensor::from_slice(&numbers).view([1, 1, shape[0] as i64, shape[1] as i64]);
        Ok(resize_bilinear(&image, size.map(|side| side as i64)))
    })?;
    // cv2 rounds to whole numbers of 0 to 255; what is not 0 then is inside
    Ok(values(&resized)?.into_iter().map(|share| share * 255.0 >= 0.5).collect())
}

/// A square mask as a grid of one frame.
pub fn square(inside: Vec<bool>, side: usize) -> Grid {
    Grid { shape: [1, side, side], spacing: [1.0; 3], inside }
}
