//! One slice as a picture: grey from the smallest value to the largest, objects in colours.

use sam_octa2_abi::{Form, Mask, Volume};
use serde_json::Value;
use std::path::Path;

/// Red, green, blue of the objects, by turns.
const COLOURS: [[u8; 3]; 6] =
    [[230, 70, 60], [60, 180, 90], [70, 120, 230], [240, 190, 50], [170, 80, 200], [60, 200, 210]];

/// Pixels, red, green, blue.
pub struct Picture {
    rows: usize,
    columns: usize,
    pixels: Vec<[u8; 3]>,
}

/// The middle slice of a volume.
pub fn of_volume(volume: &Volume) -> Result<Picture, String> {
    slice(volume, shape(&volume.info().map_err(|error| error.to_string())?)?[0] / 2)
}

/// The slice on which labels have most pixels, over the volume if it is theirs.
pub fn of_labels(labels: &Mask, volume: Option<&Volume>) -> Result<Picture, String> {
    let view = labels.view(Form::Labels).map_err(|error| error.to_string())?;
    let [frames, rows, columns] = <[usize; 3]>::try_from(view.shape()).map_err(|_| "labels of another shape")?;
    let values = view.values::<u16>().ok_or("labels of another type")?;
    let plane = (rows * columns).max(1);
    let used = |frame: &usize| values[frame * plane..(frame + 1) * plane].iter().filter(|&&label| label != 0).count();
    let frame = (0..frames).rev().max_by_key(used).unwrap_or(0);
    let same = |volume: &&Volume| {
        volume.info().is_ok_and(|info| shape(&info).is_ok_and(|shape| shape[..3] == [frames, rows, columns]))
    };
    let mut picture = match volume.filter(same) {
        Some(volume) => slice(volume, frame)?,
        None => Picture { rows, columns, pixels: vec![[0; 3]; rows * columns] },
    };
    for (pixel, &label) in picture.pixels.iter_mut().zip(&values[frame * plane..]) {
        if label != 0 {
            let colour = COLOURS[usize::from(label - 1) % COLOURS.len()];
            *pixel = std::array::from_fn(|i| ((u16::from(pixel[i]) + u16::from(colour[i])) / 2) as u8);
        }
    }
    Ok(picture)
}

fn shape(info: &str) -> Result<Vec<usize>, String> {
    let info: Value = serde_json::from_str(info).map_err(|error| error.to_string())?;
    let shape: Option<Vec<usize>> =
        info["shape"].as_array().and_then(|shape| shape.iter().map(|n| n.as_u64().map(|n| n as usize)).collect());
    shape.filter(|shape| shape.len() >= 3).ok_or_else(|| "a volume of another shape".to_owned())
}

fn slice(volume: &Volume, frame: usize) -> Result<Picture, String> {
    let view = volume.frame(frame as u64).map_err(|error| error.to_string())?;
    let shape = view.shape();
    let (rows, columns) = (shape[shape.len().min(3) - 2], shape[shape.len().min(3) - 1]);
    let values = view.to_f64().ok_or("values of another type")?;
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
    let grey: Vec<u8> = values.iter().map(|&value| ((value - low) * scale) as u8).collect();
    let channels = (grey.len() / (rows * columns).max(1)).max(1);
    let pixels =
        grey.chunks_exact(channels).map(|pixel| [pixel[0], pixel[channels / 2], pixel[channels - 1]]).collect();
    Ok(Picture { rows, columns, pixels })
}

impl Picture {
    /// Writes it as PNG; the folder is made.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = std::io::BufWriter::new(std::fs::File::create(path)?);
        let mut encoder = png::Encoder::new(file, self.columns as u32, self.rows as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(self.pixels.as_flattened())?;
        Ok(())
    }
}
