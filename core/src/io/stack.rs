//! Pictures (PNG, JPEG, TIFF, BMP) into slices: a folder of them in natural order, one picture, or the pages of a TIFF.
//!
//! Values stay as they are: 8 and 16 bit, float TIFF, grey or RGB; alpha is dropped, nothing is stretched. Pictures say nothing about
//! place or size, so the geometry is [`Geometry::unknown`].

use super::frames::{Frame, Frames};
use super::{OpenOptions, listing};
use crate::progress::Observer;
use crate::volume::{Geometry, Volume, Voxels};
use crate::{Error, Result};
use image::codecs::bmp::BmpDecoder;
use image::{DynamicImage, ImageDecoder, ImageReader};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use tiff::decoder::{Decoder, DecodingResult, Limits};

const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "tif", "tiff", "bmp"];
/// no slice is larger
const MAX_PICTURE_BYTES: u64 = 1 << 30;
/// no compression of pictures shrinks more (deflate 1032, LZW about 1400)
const MAX_RATIO: u64 = 1500;

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
    let mut frames = Frames::new(options.crop, pictures.len());
    for (done, path) in pictures.iter().enumerate() {
        observer.step("open", done, pictures.len())?;
        if is_tiff(path)? {
            read_tiff(path, &mut |frame| frames.push(path, frame))?;
        } else {
            frames.push(path, to_frame(path, decode(path)?)?)?;
        }
    }
    observer.step("open", pictures.len(), pictures.len())?;
    frames.finish(source, &Geometry::unknown(), "stack")
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
    if reader.format().is_none() {
        return Err(Error::format(path, "is not a picture (PNG, JPEG, TIFF or BMP)"));
    }
    let decoder = reader.into_decoder().map_err(|error| damaged(path, &error))?;
    if decoder.total_bytes() > most {
        let (columns, rows) = decoder.dimensions();
        return Err(damaged(path, &format!("it claims {columns} x {rows} pixels, more than its size allows")));
    }
    DynamicImage::from_decoder(decoder).map_err(|error| damaged(path, &error))
}

/// How much a picture file can hold once it is unpacked: keeps a damaged header from asking for the moon.
fn most_bytes(path: &Path) -> Result<u64> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    Ok(length.saturating_mul(MAX_RATIO).clamp(1 << 16, MAX_PICTURE_BYTES))
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

fn is_tiff(path: &Path) -> Result<bool> {
    let mut start = [0; 4];
    let read =
        std::io::Read::read(&mut File::open(path).map_err(Error::io(path))?, &mut start).map_err(Error::io(path))?;
    let marks: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
    Ok(marks.contains(&&start[..read]))
}

/// Every page of a TIFF; a lone page that the plain decoder does not know (palette, CMYK, 1 bit) goes the way of the other pictures.
fn read_tiff(path: &Path, push: &mut dyn FnMut(Frame) -> Result<()>) -> Result<()> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut limits = Limits::default();
    let most = most_bytes(path)? as usize;
    limits.decoding_buffer_size = most;
    limits.intermediate_buffer_size = most;
    limits.ifd_value_size = limits.ifd_value_size.min(most);
    let mut decoder = Decoder::new(BufReader::new(file)).map_err(|error| damaged(path, &error))?.with_limits(limits);
    for page in 0.. {
        match tiff_page(&mut decoder).map_err(|error| damaged(path, &error))? {
            Some(frame) => push(frame)?,
            None if page == 0 && !decoder.more_images() => return push(to_frame(path, decode(path)?)?),
            None => {
                let what = format!("page {page} is not 8-, 16-, 32-bit or float grey or RGB; save it so");
                return Err(Error::format(path, what));
            }
        }
        if !decoder.more_images() {
            break;
        }
        decoder.next_image().map_err(|error| damaged(path, &error))?;
    }
    Ok(())
}

/// The current page; `None` for a layout that is not plain samples.
fn tiff_page(decoder: &mut Decoder<BufReader<File>>) -> tiff::TiffResult<Option<Frame>> {
    use tiff::ColorType::{Gray, GrayA, RGB, RGBA};
    let (columns, rows) = decoder.dimensions()?;
    let (samples, channels) = match decoder.colortype()? {
        Gray(8..) => (1, 1),
        GrayA(8..) => (2, 1),
        RGB(8..) => (3, 3),
        RGBA(8..) => (4, 3),
        _ => return Ok(None),
    };
    let voxels = match decoder.read_image()? {
        DecodingResult::U8(values) => without_alpha(values, samples, channels).into(),
        DecodingResult::U16(values) => without_alpha(values, samples, channels).into(),
        DecodingResult::U32(values) => without_alpha(values, samples, channels).into(),
        DecodingResult::U64(values) => without_alpha(values, samples, channels).into(),
        DecodingResult::I8(values) => without_alpha(values, samples, channels).into(),
        DecodingResult::I16(values) => without_alpha(values, samples, channels).into(),
        DecodingResult::I32(values) => without_alpha(values, samples, channels).into(),
        DecodingResult::I64(values) => without_alpha(values, samples, channels).into(),
        DecodingResult::F16(values) => {
            Voxels::F32(without_alpha(values, samples, channels).into_iter().map(f32::from).collect())
        }
        DecodingResult::F32(values) => without_alpha(values, samples, channels).into(),
        DecodingResult::F64(values) => without_alpha(values, samples, channels).into(),
    };
    Ok(Some(Frame { rows: rows as usize, columns: columns as usize, channels, voxels }))
}

fn without_alpha<T: Copy>(values: Vec<T>, samples: usize, channels: usize) -> Vec<T> {
    if samples == channels {
        return values;
    }
    values.chunks_exact(samples).flat_map(|pixel| &pixel[..channels]).copied().collect()
}
