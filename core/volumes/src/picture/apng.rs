//! Animated PNG: all colours of the drawn slices, where a GIF has 256.
//!
//! PNG third edition, chapter 11.3.5 (acTL, fcTL, fdAT); a program that knows only plain PNG shows the first slice. The `png` crate
//! itself, because `image` writes no animated PNG.

use crate::io::atomic_file;
use crate::progress::checkpoint;
use crate::{Error, Result};
use image::RgbImage;
use png::{BitDepth, ColorType, Encoder, EncodingError};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// Writes pictures of one size, each shown for `time`, for ever.
pub(super) fn write(path: &Path, frames: &[RgbImage], time: Duration) -> Result<()> {
    atomic_file(path, |temporary| {
        let mut out = BufWriter::new(File::create(temporary).map_err(Error::io(path))?);
        encode(&mut out, frames, time).map_err(|error| match error {
            EncodingError::IoError(error) => Error::io(path)(error),
            other => Error::format(path, other.to_string()),
        })?;
        out.flush().map_err(Error::io(path))
    })
}

fn encode(out: &mut BufWriter<File>, frames: &[RgbImage], time: Duration) -> std::result::Result<(), EncodingError> {
    let (width, height) = frames.first().map_or((0, 0), RgbImage::dimensions);
    let mut encoder = Encoder::new(out, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_animated(frames.len() as u32, 0)?;
    encoder.set_frame_delay(u16::try_from(time.as_millis()).unwrap_or(u16::MAX), 1000)?;
    let mut writer = encoder.write_header()?;
    for frame in frames {
        checkpoint();
        writer.write_image_data(frame.as_raw())?;
    }
    writer.finish()
}
