//! Pictures (PNG, JPEG, TIFF, BMP, WebP) into slices: a folder of them in natural order, one picture, or the pages of a TIFF.
//!
//! Values stay as they are: 8 and 16 bit, float TIFF, grey or RGB; alpha is dropped, nothing is stretched. Pictures say nothing about
//! place or size, so the geometry is [`Geometry::unknown`], except for what the first TIFF says of its size (`resolution.rs`). Animations are refused: their frames overlap and are no slices.
//! TIFF has a reader of its own (`tiff.rs`), all others go through the `image` crate, which names their standards.

mod ifd;
mod planes;
mod resolution;
mod tiff;

use super::frames::{Frame, Frames};
use super::{OpenOptions, contained, cropped, listing};
use crate::progress::Observer;
use crate::volume::{Geometry, Volume, Voxels};
use crate::{Error, Result, with_voxels};
use image::codecs::bmp::BmpDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp"];
/// no slice is larger
const MAX_PICTURE_BYTES: u64 = 1 << 30;
/// no smaller slice is refused, whatever its file's size: WebP holds an empty slice in forty bytes
const FREE_PICTURE_BYTES: u64 = 64 << 20;
/// no other compression of pictures shrinks more (deflate 1032, LZW about 1400)
const MAX_RATIO: u64 = 1500;
/// bytes of a WebP in which its kind is said
const WEBP_START: u64 = 64 << 10;

/// Does the name end like a picture's?
pub(super) fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Reads pictures in the order given as the slices of one volume; `source` is what the user named.
pub(super) fn read(
    source: &Path,
    pictures: &[PathBuf],
    options: &OpenOptions,
    observer: &mut dyn Observer,
) -> Result<Volume> {
    if let ([path], true) = (pictures, options.once)
        && tiff::is_tiff(path)?
    {
        let whole = tiff::once(path, options, observer)?;
        let volume = cropped(source, whole, options, observer)?;
        return match options.channel {
            Some(channel) if volume.channels == 3 => channel.of_volume(volume),
            _ => Ok(volume),
        };
    }
    let mut frames = Frames::new(options.crop, pictures.len()).with_channel(options.channel);
    let mut geometry = None;
    let mut bytes = 0;
    let mut push = |path: &Path, frame: Frame| {
        bytes += with_voxels!(&frame.voxels, values => size_of_val(&values[..]) as u64);
        options.check_size(source, bytes)?;
        frames.push(path, frame)
    };
    for (done, path) in pictures.iter().enumerate() {
        observer.step("open", done, pictures.len())?;
        contained(path, || match tiff::is_tiff(path)? {
            true => {
                let said = tiff::read(path, options, observer, &mut |frame| push(path, frame))?;
                geometry.get_or_insert(said);
                Ok(())
            }
            false => {
                options.chosen_volume(path, 1, "")?;
                let frame = to_frame(path, decode(path)?)?;
                options.channel.map_or(Ok(()), |channel| channel.check(path, frame.channels))?;
                push(path, frame)
            }
        })?;
    }
    observer.step("open", pictures.len(), pictures.len())?;
    let geometry = options.sized(source, geometry.unwrap_or_else(Geometry::unknown), true)?;
    frames.finish(source, &geometry, "stack")
}

/// A picture whose values were rounded when it was packed (JPEG, WebP with loss, TIFF with either in it): its name for people.
pub(super) fn lossy(path: &Path) -> Result<Option<&'static str>> {
    if tiff::is_tiff(path)? {
        return Ok(tiff::is_lossy(path)?.then_some("a TIFF that is compressed with loss"));
    }
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(Error::io(path))?;
    Ok(match reader.format() {
        Some(ImageFormat::Jpeg) => Some("a JPEG"),
        Some(ImageFormat::WebP) if webp_is_lossy(path)? => Some("a WebP that is compressed with loss"),
        _ => None,
    })
}

/// Its chunks say so: `VP8 ` is with loss, `VP8L` without.
fn webp_is_lossy(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(WEBP_START).read_to_end(&mut start).map_err(Error::io(path))?;
    Ok(start.windows(4).any(|chunk| chunk == b"VP8 ") && !start.windows(4).any(|chunk| chunk == b"VP8L"))
}

/// The pictures of a folder, `2.png` before `10.png`; subfolders and hidden files do not count.
pub(super) fn pictures_of(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(listing(folder)?.into_iter().filter(|path| is_picture(path)).collect())
}

/// Decodes by what the file is, not by what its name says.
pub(super) fn decode(path: &Path) -> Result<DynamicImage> {
    let mut reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(Error::io(path))?;
    let most = most_bytes(path)?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(most);
    reader.limits(limits);
    let Some(format) = reader.format() else {
        return Err(Error::format(path, "is not a picture (PNG, JPEG, TIFF, BMP or WebP)"));
    };
    if is_animation(path, format) {
        return Err(Error::format(path, "is an animation; save its frames as a folder of pictures"));
    }
    let decoder = reader.into_decoder().map_err(|error| damaged(path, &error))?;
    if decoder.total_bytes() > most {
        let (columns, rows) = decoder.dimensions();
        return Err(damaged(path, &format!("it claims {columns} x {rows} pixels, more than its size allows")));
    }
    DynamicImage::from_decoder(decoder).map_err(|error| damaged(path, &error))
}

/// How much a picture file can hold once it is unpacked: keeps a damaged header from asking for the moon.
pub(super) fn most_bytes(path: &Path) -> Result<u64> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    Ok(length.saturating_mul(MAX_RATIO).clamp(FREE_PICTURE_BYTES, MAX_PICTURE_BYTES))
}

fn is_animation(path: &Path, format: ImageFormat) -> bool {
    let Ok(file) = File::open(path).map(BufReader::new) else { return false };
    match format {
        ImageFormat::Png => PngDecoder::new(file).is_ok_and(|decoder| decoder.is_apng().unwrap_or(false)),
        ImageFormat::WebP => WebPDecoder::new(file).is_ok_and(|decoder| decoder.has_animation()),
        _ => false,
    }
}

/// Grey BMPs are stored with a palette of greys; they are grey pictures all the same.
fn is_grey_bmp(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let Ok(decoder) = BmpDecoder::new(BufReader::new(file)) else { return false };
    decoder.get_palette().is_some_and(|palette| palette.iter().all(|[r, g, b]| r == g && g == b))
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let text = error.to_string();
    Error::format(
        path,
        format!("cannot be read as a picture: {}", text.split_whitespace().collect::<Vec<_>>().join(" ")),
    )
}

fn to_frame(path: &Path, picture: DynamicImage) -> Result<Frame> {
    let (columns, rows) = (picture.width() as usize, picture.height() as usize);
    // the conversions below only drop alpha: depth and colour stay
    let (channels, voxels) = match picture {
        DynamicImage::ImageLuma8(picture) => (1, picture.into_raw().into()),
        DynamicImage::ImageLumaA8(_) => (1, picture.into_luma8().into_raw().into()),
        DynamicImage::ImageRgb8(picture) if is_grey_bmp(path) => {
            (1, Voxels::U8(picture.into_raw().into_iter().step_by(3).collect()))
        }
        DynamicImage::ImageRgb8(picture) => (3, picture.into_raw().into()),
        DynamicImage::ImageRgba8(_) => (3, picture.into_rgb8().into_raw().into()),
        DynamicImage::ImageLuma16(picture) => (1, picture.into_raw().into()),
        DynamicImage::ImageLumaA16(_) => (1, picture.into_luma16().into_raw().into()),
        DynamicImage::ImageRgb16(picture) => (3, picture.into_raw().into()),
        DynamicImage::ImageRgba16(_) => (3, picture.into_rgb16().into_raw().into()),
        other => {
            let what = format!(
                "is a picture of type {:?}, which cannot be a slice; save it as 8- or 16-bit grey or RGB",
                other.color()
            );
            return Err(Error::format(path, what));
        }
    };
    Ok(Frame { rows, columns, channels, voxels })
}
