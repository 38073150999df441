//! `Volume + Labels + marks -> a picture for people`: a PNG contact sheet, an animated GIF or an animated PNG of what was segmented.
//!
//! For looking only: grey values are stretched between percentiles of the volume, objects get a translucent fill and an outline in
//! colours that colour-blind people can tell apart. Measurements belong on the labels, not here.

mod apng;
pub(crate) mod colours;
mod columns;
mod draw;
mod enface;
mod strips;

pub use colours::Colour;
pub use columns::{Column, write_columns};
pub use enface::Enface;
pub use strips::{Draw, Strip, write_strips};

use crate::intensity::{Window, volume_percentiles};
use crate::io::atomic_file;
use crate::progress::checkpoint;
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
pub use draw::Canvas;
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, ImageEncoder, RgbImage};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// slices on a contact sheet, at most
const SHEET_SLICES: usize = 36;
/// frames of an animation, at most
const GIF_SLICES: usize = 240;
/// pixels between the slices of a sheet
const GAP: u32 = 4;
const FRAME_TIME: Duration = Duration::from_millis(200);
/// longest and shortest side of a drawn slice: larger ones are shrunk, small ones magnified by a whole number
const MAX_SIDE: usize = 512;
const MIN_SIDE: usize = 192;
/// percentiles of the values that are shown black and white
const PERCENTILES: (f64, f64) = (1.0, 99.5);

/// Something a user placed on a slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// slice index from 0
    pub frame: usize,
    /// the object it belongs to
    pub object: u16,
    /// what it is
    pub kind: MarkKind,
}

/// The kinds of [`Mark`], in pixel coordinates of the slice (x right, y down).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MarkKind {
    /// a click: a green plus inside the object, a red cross outside
    Point {
        /// pixels from the left
        x: f32,
        /// pixels from the top
        y: f32,
        /// inside the object?
        positive: bool,
    },
    /// `[x0, y0, x1, y1]`, an outline in the object's colour
    Box([f32; 4]),
}

/// Draws labels and marks over the slices; the ending of `path` chooses the kind of picture.
///
/// `.png`: a contact sheet of the slices that carry labels or marks (evenly picked when there are more than 36), each with its
/// number. `.gif`, `.apng` (all colours, larger): all slices in order, five a second, for ever (only the labelled range, evenly picked, of volumes of more than
/// 240). Errors: another ending, labels that do not fit the volume, a file that cannot be written.
pub fn write(path: impl AsRef<Path>, volume: &Volume, labels: &Labels, marks: &[Mark]) -> Result<()> {
    let path = path.as_ref();
    let labels = &*on_grid_of(volume, labels)?;
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let scene = Scene {
        volume,
        labels,
        marks,
        window: volume_percentiles(volume, PERCENTILES.0, PERCENTILES.1)?,
        zoom: zoom(volume),
    };
    match ending.as_str() {
        "png" => scene.write_sheet(path),
        "gif" => scene.write_gif(path),
        "apng" => apng::write(path, &scene.animation()?, FRAME_TIME),
        _ => Err(Error::Invalid(format!(
            "{}: an overlay is a .png (contact sheet), a .gif or an .apng (animations)",
            path.display()
        ))),
    }
}

/// Labels on the grid of the volume that they are drawn over.
fn on_grid_of<'a>(volume: &Volume, labels: &'a Labels) -> Result<Cow<'a, Labels>> {
    let count = labels.frames * labels.rows * labels.columns;
    if labels.data.len() != count {
        return Err(Error::invalid(format!("overlay: labels of {count} voxels with {} values", labels.data.len())));
    }
    labels.onto(volume.lattice()).map_err(|error| Error::invalid(format!("overlay: {error}")))
}

/// What is drawn, and how.
struct Scene<'a> {
    volume: &'a Volume,
    labels: &'a Labels,
    marks: &'a [Mark],
    /// values shown black and white
    window: Window,
    /// picture pixels per slice pixel
    zoom: f32,
}

impl Scene<'_> {
    fn write_sheet(&self, path: &Path) -> Result<()> {
        let used = self.used();
        let all = || (0..self.volume.frames).collect();
        let slices = pick(if used.is_empty() { all() } else { used.into_iter().collect() }, SHEET_SLICES);
        let tiles = slices.iter().map(|&frame| self.slice(frame)).collect::<Result<Vec<_>>>()?;
        let (width, height) = (f64::from(tiles[0].width()), f64::from(tiles[0].height()));
        // about as wide as high
        let across = ((tiles.len() as f64 * height / width).sqrt().ceil() as usize).clamp(1, tiles.len());
        let rows: Vec<_> = tiles.chunks(across).map(|row| row.iter().collect()).collect();
        write_rows(path, &rows)
    }

    /// The slices of an animation, drawn.
    fn animation(&self) -> Result<Vec<RgbImage>> {
        let used = self.used();
        let slices: Vec<usize> = match (used.first(), used.last()) {
            (Some(&first), Some(&last)) if self.volume.frames > GIF_SLICES => {
                pick((first..=last).collect(), GIF_SLICES)
            }
            _ => pick((0..self.volume.frames).collect(), GIF_SLICES),
        };
        slices.iter().map(|&frame| self.slice(frame)).collect()
    }

    fn write_gif(&self, path: &Path) -> Result<()> {
        let frames = self.animation()?;
        write_file(path, |out| {
            let mut encoder = GifEncoder::new_with_speed(out, 10);
            encoder.set_repeat(Repeat::Infinite)?;
            for frame in frames {
                checkpoint();
                let rgba = image::DynamicImage::ImageRgb8(frame).into_rgba8();
                encoder.encode_frame(Frame::from_parts(rgba, 0, 0, Delay::from_saturating_duration(FRAME_TIME)))?;
            }
            Ok(())
        })
    }

    /// Slices with labels or marks.
    fn used(&self) -> BTreeSet<usize> {
        let labelled =
            (0..self.labels.frames).filter(|&frame| self.labels.frame(frame).iter().any(|&object| object != 0));
        let marked = self.marks.iter().map(|mark| mark.frame).filter(|&frame| frame < self.volume.frames);
        labelled.chain(marked).collect()
    }

    /// A slice with its number.
    fn slice(&self, frame: usize) -> Result<RgbImage> {
        let mut canvas = self.canvas(frame)?;
        canvas.text(4, 4, &frame.to_string());
        Ok(canvas.into_picture())
    }

    fn canvas(&self, frame: usize) -> Result<Canvas> {
        checkpoint();
        let (rows, columns) = (self.volume.rows, self.volume.columns);
        let values = self.volume.frame(frame)?.to_f32();
        let (low, high) = (self.window.low as f32, self.window.high as f32);
        let grey = |v: f32| ((v - low) / (high - low) * 255.0).clamp(0.0, 255.0) as u8;
        let bytes = match self.volume.channels {
            1 => values.iter().flat_map(|&v| [grey(v); 3]).collect(),
            _ => values.iter().map(|&v| grey(v)).collect(),
        };
        let picture = RgbImage::from_raw(columns as u32, rows as u32, bytes);
        let picture =
            picture.ok_or_else(|| Error::invalid(format!("slices of {columns} x {rows} are too large to draw")))?;
        let mut canvas = Canvas::new(picture, self.zoom);
        canvas.objects(self.labels.frame(frame), columns, rows);
        for mark in self.marks.iter().filter(|mark| mark.frame == frame) {
            canvas.mark(mark);
        }
        Ok(canvas)
    }
}

fn zoom(volume: &Volume) -> f32 {
    let side = volume.rows.max(volume.columns);
    match side {
        _ if side > MAX_SIDE => MAX_SIDE as f32 / side as f32,
        _ if side < MIN_SIDE => MIN_SIDE.div_ceil(side) as f32,
        _ => 1.0,
    }
}

/// At most `most` of them, evenly spread, first and last included.
fn pick(slices: Vec<usize>, most: usize) -> Vec<usize> {
    if slices.len() <= most {
        return slices;
    }
    (0..most).map(|i| slices[i * (slices.len() - 1) / (most - 1)]).collect()
}

/// Writes drawn slices as one PNG, row by row; a row may be shorter than the others. All are of the size of the first.
pub fn write_grid(path: impl AsRef<Path>, rows: &[Vec<Canvas>]) -> Result<()> {
    let rows: Vec<Vec<&RgbImage>> = rows.iter().map(|row| row.iter().map(Canvas::picture).collect()).collect();
    write_rows(path.as_ref(), &rows)
}

fn write_rows(path: &Path, rows: &[Vec<&RgbImage>]) -> Result<()> {
    let first = rows.first().and_then(|row| row.first()).ok_or_else(|| Error::invalid("a picture of nothing"))?;
    let (width, height) = first.dimensions();
    let across = rows.iter().map(Vec::len).max().unwrap_or(1) as u32;
    let mut sheet = RgbImage::new(across * (width + GAP) - GAP, rows.len() as u32 * (height + GAP) - GAP);
    for (y, row) in (0u32..).zip(rows) {
        for (x, tile) in (0u32..).zip(row) {
            image::imageops::replace(&mut sheet, *tile, (x * (width + GAP)).into(), (y * (height + GAP)).into());
        }
    }
    write_file(path, |out| {
        let encoder = image::codecs::png::PngEncoder::new(out);
        encoder.write_image(sheet.as_raw(), sheet.width(), sheet.height(), image::ExtendedColorType::Rgb8)
    })
}

fn write_file(path: &Path, encode: impl FnOnce(&mut BufWriter<File>) -> image::ImageResult<()>) -> Result<()> {
    atomic_file(path, |temporary| {
        let mut out = BufWriter::new(File::create(temporary).map_err(Error::io(path))?);
        encode(&mut out).map_err(|error| match error {
            image::ImageError::IoError(error) => Error::io(path)(error),
            other => Error::format(path, other.to_string()),
        })?;
        out.flush().map_err(Error::io(path))
    })
}
