//! TIFF and BigTIFF into slices, by the `tiff` crate: strips and tiles, all its compressions, both byte orders, every page.
//!
//! Standard: TIFF 6.0, <https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>. Pages of 1, 2 and 4 bits are spread over 0 to 255
//! and white-is-zero pages are inverted, as Pillow does both; palettes become RGB of 8 bits; alpha is dropped.

use super::ifd::AsGrey;
use super::{damaged, decode, most_bytes, resolution, to_frame};
use crate::io::contained;
use crate::io::frames::{Frame, differs};
use crate::io::lazy::{InOrder, Sequence};
use crate::volume::{Geometry, Volume, Voxels};
use crate::{Error, Result, with_voxels};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tiff::ColorType::{Gray, GrayA, Multiband, RGB, RGBA, YCbCr};
use tiff::TiffResult;
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

/// value of the tag Compression
const JPEG: u16 = 7;

/// By its first bytes.
pub(super) fn is_tiff(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(4).read_to_end(&mut start).map_err(Error::io(path))?;
    let marks: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
    Ok(marks.contains(&&start[..]))
}

/// Every page of a TIFF, and how large the first says its pixels are.
pub(super) fn read(path: &Path, push: &mut dyn FnMut(Frame) -> Result<()>) -> Result<Geometry> {
    let mut pages = Pages::open(path)?;
    let geometry = resolution::geometry(&mut pages.decoder);
    while let Some(frame) = pages.page()? {
        push(frame)?;
    }
    Ok(geometry)
}

/// The pages as a volume that is read when it is used, once, from the first page to the last.
pub(super) fn once(path: &Path) -> Result<Volume> {
    let mut pages = Pages::open(path)?;
    let geometry = resolution::geometry(&mut pages.decoder);
    let first = pages.page()?.ok_or_else(|| Error::format(path, "holds no slices"))?;
    pages.first = Some(first.describe());
    let shape = [pages.palettes.len().max(1), first.rows, first.columns, first.channels];
    pages.restart()?;
    Ok(Volume::lazy(shape, Arc::new(InOrder::new(pages)?), geometry, "stack"))
}

/// The pages of a TIFF, one after another.
struct Pages {
    path: PathBuf,
    decoder: Decoder<AsGrey>,
    /// of each page: does it have a palette?
    palettes: Vec<bool>,
    /// pages that lie behind
    done: usize,
    /// what all pages of a volume must be
    first: Option<String>,
}

impl Pages {
    fn open(path: &Path) -> Result<Self> {
        let (file, palettes) = AsGrey::open(path).map_err(Error::io(path))?;
        let most = most_bytes(path)? as usize;
        let mut limits = Limits::default();
        limits.decoding_buffer_size = most;
        limits.intermediate_buffer_size = most;
        limits.ifd_value_size = limits.ifd_value_size.min(most);
        let decoder = Decoder::new(file).map_err(|error| damaged(path, &error))?.with_limits(limits);
        Ok(Self { path: path.to_path_buf(), decoder, palettes, done: 0, first: None })
    }

    /// Goes to the next page, if there is one.
    fn advance(&mut self) -> Result<bool> {
        if self.done > 0 {
            if !self.decoder.more_images() {
                return Ok(false);
            }
            self.decoder.next_image().map_err(|error| damaged(&self.path, &error))?;
        }
        self.done += 1;
        Ok(true)
    }

    /// The next page; nothing behind the last. A lone page of another colour model (CMYK, say) goes the way of the other pictures.
    fn page(&mut self) -> Result<Option<Frame>> {
        if !self.advance()? {
            return Ok(None);
        }
        let (path, page) = (&self.path, self.done - 1);
        let palette = self.palettes.get(page).copied().unwrap_or(false);
        match read_page(&mut self.decoder, palette).map_err(|error| damaged(path, &error))? {
            Some(frame) => Ok(Some(frame)),
            None if page == 0 && !self.decoder.more_images() => to_frame(path, decode(path)?).map(Some),
            None => {
                let what = format!(
                    "page {page} is not integer or float grey, RGB (in tiles: its samples side by side) or palette; save it so"
                );
                Err(Error::format(path, what))
            }
        }
    }
}

impl Sequence for Pages {
    fn next(&mut self) -> Result<Voxels> {
        let path = self.path.clone();
        contained(&path, || {
            let frame = self.page()?.ok_or_else(|| damaged(&path, &"its last pages are missing"))?;
            if self.done >= self.palettes.len() && self.advance()? {
                return Err(damaged(&path, &"it has pages that its directory does not lead to"));
            }
            match &self.first {
                Some(first) if *first != frame.describe() => Err(differs(&path, &frame, &path, first)),
                _ => Ok(frame.voxels),
            }
        })
    }

    fn skip(&mut self, slices: usize) -> Result<()> {
        (0..slices).try_for_each(|_| self.advance().map(drop))
    }

    fn restart(&mut self) -> Result<()> {
        *self = Self { first: self.first.take(), ..Self::open(&self.path)? };
        Ok(())
    }
}

/// How the samples of a page lie.
struct Layout {
    rows: usize,
    columns: usize,
    /// values per pixel in the file
    samples: usize,
    /// values per pixel that count
    channels: usize,
    /// one plane per sample instead of samples side by side
    planar: bool,
}

/// The current page; `None` for a layout that is not plain samples.
fn read_page(decoder: &mut Decoder<AsGrey>, palette: bool) -> TiffResult<Option<Frame>> {
    let (columns, rows) = decoder.dimensions()?;
    let (columns, rows) = (columns as usize, rows as usize);
    let colour = decoder.colortype()?;
    let (samples, channels) = match colour {
        Gray(_) => (1, 1),
        GrayA(8..) => (2, 1),
        Multiband { bit_depth: 8.., num_samples: 2 } if has_alpha(decoder)? => (2, 1),
        RGB(8..) => (3, 3),
        RGBA(8..) => (4, 3),
        YCbCr(8) if decoder.find_tag_unsigned::<u16>(Tag::Compression)? == Some(JPEG) => (3, 3),
        _ => return Ok(None),
    };
    let planar = samples > 1 && decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration)? == Some(2);
    if planar && decoder.get_chunk_type() == ChunkType::Tile {
        // the crate (0.11) takes the tiles of the second plane for rows below the first and panics
        return Ok(None);
    }
    let mut values = DecodingResult::U8(Vec::new());
    let plan = decoder.read_image_to_buffer(&mut values)?;
    let mut voxels = to_voxels(values);
    let bytes = with_voxels!(&voxels, values => size_of_val(&values[..]));
    if bytes < plan.complete_len {
        return Err(tiff::TiffError::LimitsExceeded);
    }
    let bits = match colour {
        Gray(bits) => bits,
        _ => 8,
    };
    if let (1..8, Voxels::U8(packed)) = (bits, &voxels) {
        voxels = unpacked(packed, usize::from(bits), columns).into();
    }
    if palette {
        let table = decoder.get_tag_u16_vec(Tag::ColorMap)?;
        return Ok(looked_up(&voxels, &table).map(|voxels| Frame { rows, columns, channels: 3, voxels }));
    }
    if bits < 8
        && let Voxels::U8(values) = &mut voxels
    {
        let factor = 255 / ((1u16 << bits) - 1) as u8;
        values.iter_mut().for_each(|value| *value *= factor);
    }
    let layout = Layout { rows, columns, samples, channels, planar };
    let mut voxels = with_voxels!(voxels, values => Voxels::from(pixels(values, &layout)));
    if let (YCbCr(_), Voxels::U8(values)) = (colour, &mut voxels) {
        values.as_chunks_mut::<3>().0.iter_mut().for_each(to_rgb);
    }
    Ok(Some(Frame { rows, columns, channels, voxels }))
}

/// Is a sample beyond the colour said to be alpha? Any other meaning would be lost with it.
fn has_alpha(decoder: &mut Decoder<AsGrey>) -> TiffResult<bool> {
    let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)?;
    Ok(extra.is_some_and(|extra| matches!(extra[..], [1 | 2])))
}

fn to_voxels(values: DecodingResult) -> Voxels {
    match values {
        DecodingResult::U8(values) => values.into(),
        DecodingResult::U16(values) => values.into(),
        DecodingResult::U32(values) => values.into(),
        DecodingResult::U64(values) => values.into(),
        DecodingResult::I8(values) => values.into(),
        DecodingResult::I16(values) => values.into(),
        DecodingResult::I32(values) => values.into(),
        DecodingResult::I64(values) => values.into(),
        DecodingResult::F16(values) => values.into_iter().map(f32::from).collect::<Vec<_>>().into(),
        DecodingResult::F32(values) => values.into(),
        DecodingResult::F64(values) => values.into(),
    }
}

/// One byte per value of 1, 2 or 4 bits; the first lies in the highest bits, each row begins on its own byte.
fn unpacked(packed: &[u8], bits: usize, columns: usize) -> Vec<u8> {
    let row = (columns * bits).div_ceil(8).max(1);
    packed
        .chunks_exact(row)
        .flat_map(|line| {
            (0..columns).map(move |column| {
                let bit = column * bits;
                (line[bit / 8] >> (8 - bits - bit % 8)) & (0xff >> (8 - bits))
            })
        })
        .collect()
}

/// Palette colours as 8-bit RGB; `None` when the table is too short. The table holds all reds, then greens, then blues, in 16 bits.
fn looked_up(indices: &Voxels, table: &[u16]) -> Option<Voxels> {
    let size = table.len() / 3;
    let colour = |index: usize| (index < size).then(|| [0, 1, 2].map(|c| (table[c * size + index] >> 8) as u8));
    let colours: Option<Vec<[u8; 3]>> = match indices {
        Voxels::U8(indices) => indices.iter().map(|&index| colour(usize::from(index))).collect(),
        Voxels::U16(indices) => indices.iter().map(|&index| colour(usize::from(index))).collect(),
        _ => None,
    };
    colours.map(|colours| colours.into_flattened().into())
}

/// JFIF's conversion (<https://www.w3.org/Graphics/JPEG/jfif3.pdf>), which TIFF's JPEG shares.
fn to_rgb(pixel: &mut [u8; 3]) {
    let [y, cb, cr] = pixel.map(f32::from);
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    *pixel = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|v| v.round() as u8);
}

/// Samples side by side, without those that do not count.
fn pixels<T: Copy>(values: Vec<T>, layout: &Layout) -> Vec<T> {
    let Layout { rows, columns, samples, channels, planar } = *layout;
    if planar {
        let plane = rows * columns;
        let value = |pixel: usize, channel: usize| values.get(channel * plane + pixel).copied();
        return (0..plane).flat_map(|pixel| (0..channels).filter_map(move |channel| value(pixel, channel))).collect();
    }
    if samples == channels {
        return values;
    }
    values.chunks_exact(samples).flat_map(|pixel| &pixel[..channels]).copied().collect()
}
