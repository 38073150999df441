//! TIFF and BigTIFF into slices, by the `tiff` crate: strips and tiles, all its compressions, both byte orders, every page.
//!
//! Standard: TIFF 6.0, <https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>. Pages of 1, 2 and 4 bits are spread over 0 to 255
//! and white-is-zero pages of unsigned integers are inverted, as Pillow does both; palettes become RGB of 8 bits; alpha is dropped. Which pages
//! are slices, where there are channels and times, is said by `planes`.

use super::ifd::{Page, Plain};
use super::{damaged, decode, most_bytes, planes, resolution, to_frame};
use crate::io::frames::{Frame, differs};
use crate::io::lazy::{InOrder, Sequence};
use crate::io::raw::numbers;
use crate::io::{OpenOptions, contained};
use crate::progress::Observer;
use crate::volume::{Geometry, Volume, Voxels};
use crate::{Error, Result, with_voxels};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tiff::ColorType::{Gray, GrayA, Multiband, RGB, RGBA, YCbCr};
use tiff::TiffResult;
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

/// value of the tag Compression
const JPEG: u16 = 7;
/// its values whose pictures are not what was packed: JPEG (old and new), JPEG 2000, JPEG XR, WebP, JPEG XL
const LOSSY: [u64; 12] = [6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 34934, 50001, 50002, 52546];

/// By its first bytes.
pub(super) fn is_tiff(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(4).read_to_end(&mut start).map_err(Error::io(path))?;
    let marks: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
    Ok(marks.contains(&&start[..]))
}

/// The slices of a TIFF one after another, and how large the first page says its pixels are.
pub(super) fn read(
    path: &Path,
    options: &OpenOptions,
    observer: &mut dyn Observer,
    push: &mut dyn FnMut(Frame) -> Result<()>,
) -> Result<Geometry> {
    let mut slices = Slices::open(path, options, observer)?;
    for slice in 0..slices.places.len() {
        let frame = slices.slice(slice)?;
        push(frame)?;
    }
    Ok(slices.geometry)
}

/// The slices as a volume that is read when it is used, once, from the first to the last.
pub(super) fn once(path: &Path, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Volume> {
    let mut slices = Slices::open(path, options, observer)?;
    let first = slices.slice(0)?;
    slices.first = Some(first.describe());
    let shape = [slices.places.len(), first.rows, first.columns, first.channels];
    let geometry = slices.geometry.clone();
    Ok(Volume::lazy(shape, Arc::new(InOrder::new(slices)?), geometry, "stack"))
}

/// Is what a TIFF holds rounded by its compression?
pub(super) fn is_lossy(path: &Path) -> Result<bool> {
    let (_, pages) = Plain::open(path).map_err(Error::io(path))?;
    Ok(pages.iter().any(|page| LOSSY.contains(&page.compression)))
}

/// The slices of a TIFF, each a page of it, or a plane behind its only page.
struct Slices {
    path: PathBuf,
    decoder: Decoder<Plain>,
    pages: Vec<Page>,
    /// the page of every slice, or its plane
    places: Vec<usize>,
    /// where the planes lie, where there is one page for all
    behind: Option<Behind>,
    /// are they all pages in the order of the file? Then the file must end with the last of them
    whole: bool,
    geometry: Geometry,
    /// the slice that comes next
    next: usize,
    /// what all slices of a volume must be
    first: Option<String>,
}

/// Planes one after another, not compressed: ImageJ writes one directory for stacks of any size.
struct Behind {
    start: u64,
    samples: usize,
    big_endian: bool,
}

impl Slices {
    fn open(path: &Path, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Self> {
        let (mut decoder, pages) = open(path)?;
        let description = resolution::description(&mut decoder);
        let size = decoder.dimensions().map_err(|error| damaged(path, &error))?;
        let samples = decoder.colortype().map_or(1, |colour| usize::from(colour.num_samples()));
        let note = |observer: &mut dyn Observer, text: &str| observer.note(&format!("{}: {text}", path.display()));
        let page = [size.1 as usize, size.0 as usize, samples];
        let count = pages.len().max(1);
        let planes = planes::of(path, &description, page, options, &mut |text| note(observer, &text))?;
        let planes = planes.filter(|planes| count > 1 || (planes.count() > 1 && !planes.is_one_of_many()));
        let channels = match (pages.first().is_some_and(|page| page.palette), samples) {
            (false, ..3) => 1,
            _ => 3,
        };
        let colours = |planes: usize| match options.channel {
            Some(channel) if planes == 1 => channel.check(path, channels),
            _ => Ok(()),
        };
        let all = || (0..count).collect::<Vec<_>>();
        let (places, through_space, one_page) = match planes {
            // what a program left over that made other pages of it
            Some(planes)
                if planes.count() != count && count > 1 && !planes.exact && planes.channels * planes.times == 1 =>
            {
                colours(1)?;
                let what = format!("its description is that of {} slices, its {count} pages are read", planes.count());
                note(observer, &what);
                (all(), true, false)
            }
            Some(planes) if count > 1 => {
                colours(planes.channels)?;
                if planes.count() < count {
                    note(observer, &format!("its description leads to {} of its {count} pages", planes.count()));
                }
                let chosen = planes.chosen(path, options)?;
                if let Some(missing) = chosen.places.iter().find(|&&place| place >= count) {
                    let what = format!("has {count} pages, and its description leads to page {missing}: truncated?");
                    return Err(Error::format(path, what));
                }
                (chosen.places, chosen.through_space, false)
            }
            Some(planes) => {
                let count = planes.count();
                let chosen = planes.chosen(path, options)?;
                decoder = open(path)?.0;
                let behind = Behind::of(path, &mut decoder, count)?;
                let geometry = resolution::geometry(&mut decoder, &description, chosen.through_space);
                let slices = Self::new(path, decoder, pages, chosen.places, geometry);
                return Ok(Self { behind: Some(behind), ..slices });
            }
            None => {
                options.chosen_volume(path, 1, "")?;
                colours(1)?;
                (all(), true, true)
            }
        };
        let geometry = resolution::geometry(&mut decoder, &description, through_space);
        Ok(Self { whole: one_page, ..Self::new(path, decoder, pages, places, geometry) })
    }

    fn new(path: &Path, decoder: Decoder<Plain>, pages: Vec<Page>, places: Vec<usize>, geometry: Geometry) -> Self {
        let path = path.to_path_buf();
        Self { path, decoder, pages, places, behind: None, whole: false, geometry, next: 0, first: None }
    }

    /// A slice. A lone page of another colour model (CMYK, say) goes the way of the other pictures.
    fn slice(&mut self, slice: usize) -> Result<Frame> {
        let (path, place) = (&self.path, self.places[slice]);
        let page = if self.behind.is_some() { 0 } else { place };
        self.decoder.seek_to_image(page).map_err(|error| damaged(path, &error))?;
        let about = self.pages.get(page).copied().unwrap_or_default();
        if let Some(behind) = &self.behind {
            return behind.plane(path, &mut self.decoder, about, place);
        }
        let read = read_page(&mut self.decoder, about).map_err(|error| damaged(path, &error))?;
        let last = self.whole && slice + 1 == self.places.len();
        if last && self.decoder.more_images() {
            // the directory leads on to where this reader could not follow
            self.decoder.next_image().map_err(|error| damaged(path, &error))?;
            return Err(damaged(path, &"it has pages that its directory does not lead to"));
        }
        match read {
            Some(frame) => Ok(frame),
            None if self.pages.len() <= 1 => to_frame(path, decode(path)?),
            None => {
                let what = format!(
                    "page {page} is not integer or float grey, RGB (in tiles: its samples side by side) or palette; save it so"
                );
                Err(Error::format(path, what))
            }
        }
    }
}

/// The decoder at the first page, and what the directories of all pages say.
fn open(path: &Path) -> Result<(Decoder<Plain>, Vec<Page>)> {
    let (file, pages) = Plain::open(path).map_err(Error::io(path))?;
    let most = most_bytes(path)? as usize;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = most;
    limits.intermediate_buffer_size = most;
    limits.ifd_value_size = limits.ifd_value_size.min(most);
    let decoder = Decoder::new(file).map_err(|error| damaged(path, &error))?.with_limits(limits);
    Ok((decoder, pages))
}

impl Behind {
    /// Where `count` planes lie behind the first. Errors: compressed, strewn, or more than the file holds.
    fn of(path: &Path, decoder: &mut Decoder<Plain>, count: usize) -> Result<Self> {
        let fault = |error: tiff::TiffError| damaged(path, &error);
        let number = |decoder: &mut Decoder<Plain>, tag| decoder.find_tag_unsigned::<u64>(tag).map_err(fault);
        let list = |decoder: &mut Decoder<Plain>, tag| {
            decoder.find_tag_unsigned_vec::<u64>(tag).map(Option::unwrap_or_default).map_err(fault)
        };
        let promised = |what: &str| {
            let description = format!("its description promises {count} pictures, and its one page");
            Err(Error::format(path, format!("{description} {what}: truncated, or written by halves")))
        };
        let places = list(decoder, Tag::StripOffsets)?;
        let lengths = list(decoder, Tag::StripByteCounts)?;
        let plain =
            number(decoder, Tag::Compression)?.unwrap_or(1) == 1 && number(decoder, Tag::Predictor)?.unwrap_or(1) == 1;
        let Some(&start) =
            places.first().filter(|_| plain && number(decoder, Tag::FillOrder).ok().flatten() != Some(2))
        else {
            return promised("is compressed or in tiles");
        };
        let samples = decoder.colortype().map_err(fault)?.num_samples().into();
        let (columns, rows) = decoder.dimensions().map_err(fault)?;
        let bits = decoder.colortype().map_err(fault)?.bit_depth();
        let plane = (u64::from(columns) * u64::from(rows) * samples as u64).saturating_mul(u64::from(bits)) / 8;
        let follow = places
            .iter()
            .zip(&lengths)
            .try_fold(start, |at, (&place, &length)| (place == at).then(|| at.saturating_add(length)));
        // some writers count the bytes of all planes
        if bits < 8 || follow.is_none_or(|end| end < start.saturating_add(plane)) {
            return promised("has strips that do not follow one another");
        }
        let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
        if plane.saturating_mul(count as u64).saturating_add(start) > length {
            return promised(&format!("is followed by {} bytes", length.saturating_sub(start)));
        }
        let big_endian = decoder.byte_order() == tiff::tags::ByteOrder::BigEndian;
        Ok(Self { start, samples, big_endian })
    }

    /// One plane, of the type of the first.
    fn plane(&self, path: &Path, decoder: &mut Decoder<Plain>, page: Page, place: usize) -> Result<Frame> {
        let first = read_page(decoder, page).map_err(|error| damaged(path, &error))?;
        let first = first.filter(|first| first.channels == self.samples && !page.palette);
        let Some(Frame { rows, columns, channels, voxels }) = first else {
            return Err(Error::format(path, "holds pictures of a kind that cannot be a slice: save them as pages"));
        };
        if place == 0 {
            return Ok(Frame { rows, columns, channels, voxels });
        }
        let count = rows * columns * channels;
        let voxels = with_voxels!(&voxels, values => {
            let mut file = File::open(path).map_err(Error::io(path))?;
            let at = self.start + (place * size_of_val(&values[..])) as u64;
            file.seek(SeekFrom::Start(at)).map_err(Error::io(path))?;
            same_type(values, numbers(&mut BufReader::new(file), count, self.big_endian).map_err(Error::io(path))?)
        });
        Ok(Frame { rows, columns, channels, voxels: shown(voxels, page) })
    }
}

/// Values of the type of others.
fn same_type<T>(_: &[T], values: Vec<T>) -> Voxels
where
    Voxels: From<Vec<T>>,
{
    values.into()
}

impl Sequence for Slices {
    fn next(&mut self) -> Result<Voxels> {
        let path = self.path.clone();
        contained(&path, || {
            let frame = self.slice(self.next)?;
            self.next += 1;
            match &self.first {
                Some(first) if *first != frame.describe() => Err(differs(&path, &frame, &path, first)),
                _ => Ok(frame.voxels),
            }
        })
    }

    fn skip(&mut self, slices: usize) -> Result<()> {
        self.next += slices;
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.next = 0;
        self.decoder.seek_to_image(0).map_err(|error| damaged(&self.path, &error))
    }
}

/// The values as they are meant: integers of a white-is-zero page are turned round, so that the brightest is the largest. Floats and signed
/// numbers have no white, and stay.
fn shown(voxels: Voxels, page: Page) -> Voxels {
    macro_rules! turned {
        ($values:ident) => {
            $values.into_iter().map(|value| !value).collect::<Vec<_>>().into()
        };
    }
    match voxels {
        voxels if !page.white_is_zero => voxels,
        Voxels::U8(values) => turned!(values),
        Voxels::U16(values) => turned!(values),
        Voxels::U32(values) => turned!(values),
        Voxels::U64(values) => turned!(values),
        other => other,
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
fn read_page(decoder: &mut Decoder<Plain>, page: Page) -> TiffResult<Option<Frame>> {
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
    if page.palette {
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
    Ok(Some(Frame { rows, columns, channels, voxels: shown(voxels, page) }))
}

/// Is a sample beyond the colour said to be alpha? Any other meaning would be lost with it.
fn has_alpha(decoder: &mut Decoder<Plain>) -> TiffResult<bool> {
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
