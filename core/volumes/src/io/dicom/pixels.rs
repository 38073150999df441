//! DICOM pixel data to slices: stored bits to numbers, modality LUT, palettes and YBR to RGB.
//!
//! Frame by frame, so that a file of many frames never lies in memory beside the volume. Pixel padding values stay what they are;
//! bits beside BitsStored (old overlays) are cut off. Standard: DICOM PS3.5 8.1.1 (stored bits), PS3.3 C.7.6.3 (colour), C.11.1.

use super::codec::{Codec, Coded, Shape, words};
use super::elements::PixelElement;
use super::file::DicomFile;
use super::fragments::{self, Piece};
use super::header::{Header, Stored};
use super::palette::{self, Table};
use crate::io::frames::Frame;
use crate::volume::Voxels;
use crate::{Error, Result, with_voxels};
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The type of the values after the modality LUT; one for the whole volume.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum Output {
    Stored,
    I16,
    I32,
    F32,
    F64,
}

impl Output {
    /// As stored where nothing is rescaled; the smallest integer that holds whole-numbered results; else float.
    pub fn of(headers: &[&Header]) -> Self {
        if headers.iter().any(|header| header.has_modality_lut) {
            return Self::I32;
        }
        let rescaled = headers.iter().any(|h| h.frames.iter().any(|f| (f.slope, f.intercept) != (1.0, 0.0)));
        let mut output = Self::Stored;
        for header in headers.iter().filter(|_| rescaled) {
            let (low, high) = header.stored.range();
            for frame in &header.frames {
                let ends = [low, high].map(|v| v * frame.slope + frame.intercept);
                let within = |least: f64, most: f64| ends.iter().all(|v| (least..=most).contains(v));
                let whole = !header.stored.float && frame.slope.fract() == 0.0 && frame.intercept.fract() == 0.0;
                let wanted = match whole {
                    true if within(f64::from(i16::MIN), f64::from(i16::MAX)) => Self::I16,
                    true if within(f64::from(i32::MIN), f64::from(i32::MAX)) => Self::I32,
                    _ if header.stored.bits > 16 => Self::F64,
                    _ => Self::F32,
                };
                output = if wanted > output { wanted } else { output };
            }
        }
        output
    }
}

impl Stored {
    fn range(&self) -> (f64, f64) {
        let bits = f64::from(self.bits);
        if self.signed { (-(bits - 1.0).exp2(), (bits - 1.0).exp2() - 1.0) } else { (0.0, bits.exp2() - 1.0) }
    }
}

/// One file whose frames are wanted.
pub(super) struct Pixels {
    file: DicomFile,
    element: PixelElement,
    codec: Codec,
    /// of every frame, where they are encapsulated
    pieces: Option<Vec<Vec<Piece>>>,
    palette: Option<[Table; 3]>,
    modality: Option<Table>,
}

impl Pixels {
    pub fn open(header: &Header) -> Result<Self> {
        let path = header.path.as_path();
        let mut file = DicomFile::open(path)?;
        let element = file.pixels.ok_or_else(|| Error::format(path, "has no pixel data: damaged, or not an image"))?;
        let codec = Codec::of(&file.syntax).ok_or_else(|| unsupported(path, &file.syntax))?;
        let pieces = match element.length {
            Some(_) if codec != Codec::Native => {
                let what = format!("has uncompressed pixels, but its transfer syntax is {}", name_of(&file.syntax));
                return Err(Error::format(path, what));
            }
            Some(_) => None,
            None => Some(fragments::of_frames(&mut file, header, &element)?),
        };
        let signed = header.stored.signed;
        let palette = header.photometric == "PALETTE COLOR";
        let palette = if palette { Some(palette::palette(path, &file.set, signed)?) } else { None };
        let modality = if header.has_modality_lut { Some(palette::modality(path, &file.set, signed)?) } else { None };
        Ok(Self { file, element, codec, pieces, palette, modality })
    }

    /// One slice in its final form.
    pub fn frame(&mut self, header: &Header, frame: usize, output: Output) -> Result<Frame> {
        let coded = self.coded(header, frame)?;
        let rgb = coded.rgb;
        let stored = if header.stored.float { coded.raw } else { in_stored_type(coded, header, self.pieces.is_some()) };
        let (channels, voxels) = match (header.photometric.as_str(), header.samples) {
            ("PALETTE COLOR", 1) => (3, self.palette_colours(&stored)),
            ("MONOCHROME1" | "MONOCHROME2" | "RGB", 1) => (1, self.grey(header, frame, stored, output)),
            (_, 3) if rgb => (3, stored),
            ("RGB" | "YBR_RCT" | "YBR_ICT", 3) => (3, stored),
            ("YBR_FULL" | "YBR_FULL_422", 3) if header.stored.allocated == 8 => (3, ybr_to_rgb(&stored)),
            (photometric, samples) => {
                let what = format!(
                    "has photometric interpretation {photometric:?} with {samples} samples per pixel of {} bits, which is not supported",
                    header.stored.allocated
                );
                return Err(Error::format(&header.path, what));
            }
        };
        Ok(Frame { rows: header.rows, columns: header.columns, channels, voxels })
    }

    pub fn are_compressed(&self) -> bool {
        self.pieces.is_some()
    }

    /// The values of one frame as they are stored: no palette, no modality LUT.
    pub fn stored(&mut self, header: &Header, frame: usize) -> Result<Voxels> {
        let coded = self.coded(header, frame)?;
        Ok(in_stored_type(coded, header, self.pieces.is_some()))
    }

    fn coded(&mut self, header: &Header, frame: usize) -> Result<Coded> {
        let Some(pieces) = &self.pieces else { return self.native(header, frame) };
        let stream = fragments::read(&mut self.file, &header.path, &pieces[frame])?;
        let Header { rows, columns, samples, .. } = *header;
        let shape =
            Shape { rows, columns, samples, allocated: header.stored.allocated, photometric: &header.photometric };
        self.codec.decode(&stream, shape).map_err(|fault| {
            let what = format!("slice {frame} cannot be decoded ({}): {fault}", name_of(&self.file.syntax));
            Error::format(&header.path, what)
        })
    }

    /// Uncompressed.
    fn native(&mut self, header: &Header, frame: usize) -> Result<Coded> {
        let path = &header.path;
        let bits = header.frame_bits();
        let first = bits * frame as u64;
        // frames of single bits start inside of bytes
        let (start, end) = (first / 8, (first + bits).div_ceil(8));
        let even = u64::from(self.swapped(header));
        let (start_read, end_read) = (start & !even, (end + (end & even)).min(self.element.length.unwrap_or(0)));
        // the file may have become another one since its header was read
        let size = end_read.saturating_sub(start_read) as usize;
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(size).is_err() {
            return Err(Error::format(path, format!("has slices of {size} bytes: not enough memory")));
        }
        self.file.source.seek(SeekFrom::Start(self.element.offset + start_read)).map_err(Error::io(path))?;
        (&mut *self.file.source).take(size as u64).read_to_end(&mut bytes).map_err(Error::io(path))?;
        if bytes.len() < size {
            let there = self.file.length.saturating_sub(self.element.offset);
            let what =
                format!("is truncated: {there} bytes of pixel data instead of {}", self.element.length.unwrap_or(0));
            return Err(Error::format(path, what));
        }
        if self.swapped(header) {
            bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.swap(0, 1));
        }
        let bytes = bytes.get((start - start_read) as usize..).unwrap_or_default();
        let bytes = &bytes[..bytes.len().min((end - start) as usize)];
        let pixels = header.rows * header.columns;
        let raw = match header.stored.allocated {
            1 => single_bits(bytes, (first % 8) as usize, pixels * header.samples),
            32 if header.stored.float => {
                Voxels::F32(self.floats::<4, _>(bytes, f32::from_le_bytes, f32::from_be_bytes))
            }
            64 if header.stored.float => {
                Voxels::F64(self.floats::<8, _>(bytes, f64::from_le_bytes, f64::from_be_bytes))
            }
            allocated if self.file.encoding.big => big_words(bytes, allocated),
            allocated => words(bytes, allocated),
        };
        let raw = match header.photometric.as_str() {
            "YBR_FULL_422" if header.samples == 3 => from_422(&raw, header.columns),
            _ if header.planar && header.samples == 3 => by_pixel(raw),
            _ => raw,
        };
        if raw.len() != pixels * header.samples {
            return Err(Error::format(
                path,
                format!("holds {} values in slice {frame}, not {}", raw.len(), pixels * header.samples),
            ));
        }
        Ok(Coded { raw, bits: None, rgb: false })
    }

    /// Bytes in words of a big endian file stand the other way round.
    fn swapped(&self, header: &Header) -> bool {
        self.file.encoding.big && self.element.words && header.stored.allocated <= 8
    }

    fn floats<const N: usize, T>(&self, bytes: &[u8], little: fn([u8; N]) -> T, big: fn([u8; N]) -> T) -> Vec<T> {
        let order = if self.file.encoding.big { big } else { little };
        bytes.as_chunks::<N>().0.iter().map(|&b| order(b)).collect()
    }

    fn grey(&self, header: &Header, frame: usize, stored: Voxels, output: Output) -> Voxels {
        let (slope, intercept) = (header.frames[frame].slope, header.frames[frame].intercept);
        if output == Output::Stored {
            return stored;
        }
        if let Some(table) = &self.modality {
            return with_voxels!(&stored, values => Voxels::I32(values.iter().map(|&v| table.get(v as i64).into()).collect()));
        }
        let modality = |v: f64| v * slope + intercept;
        with_voxels!(&stored, values => {
            let values = values.iter().map(|&v| modality(v as f64));
            match output {
                Output::Stored | Output::I16 => Voxels::I16(values.map(|v| v as i16).collect()),
                Output::I32 => Voxels::I32(values.map(|v| v as i32).collect()),
                Output::F32 => Voxels::F32(values.map(|v| v as f32).collect()),
                Output::F64 => Voxels::F64(values.collect()),
            }
        })
    }

    fn palette_colours(&self, stored: &Voxels) -> Voxels {
        let Some(tables) = &self.palette else { return Voxels::U8(Vec::new()) };
        with_voxels!(stored, values => {
            let colours = values.iter().flat_map(|&v| tables.iter().map(move |table| table.get(v as i64)));
            if tables[0].bits > 8 { Voxels::U16(colours.collect()) } else { Voxels::U8(colours.map(|v| v as u8).collect()) }
        })
    }
}

/// The stored bits in the file's type: shifted down from the high bit, cut to BitsStored, sign extended.
fn in_stored_type(coded: Coded, header: &Header, compressed: bool) -> Voxels {
    let stored = header.stored;
    let mut raw = coded.raw;
    if compressed {
        raw = widened(raw, stored.allocated);
    }
    // in compressed streams the lowest bit is the last one
    let down = if compressed { 0 } else { stored.high + 1 - stored.bits };
    let bits = coded.bits.filter(|&bits| bits <= stored.allocated).unwrap_or(stored.bits);
    macro_rules! typed {
        ($values:ident, $unsigned:ident, $signed:ident, $u:ty, $i:ty) => {{
            let unused = <$u>::BITS - u32::from(bits);
            let value = |v: $u| (v >> down) << unused;
            match stored.signed {
                false if unused == 0 => Voxels::$unsigned($values),
                false => Voxels::$unsigned($values.into_iter().map(|v| value(v) >> unused).collect()),
                true => Voxels::$signed($values.into_iter().map(|v| value(v) as $i >> unused).collect()),
            }
        }};
    }
    match raw {
        Voxels::U8(values) => typed!(values, U8, I8, u8, i8),
        Voxels::U16(values) => typed!(values, U16, I16, u16, i16),
        Voxels::U32(values) => typed!(values, U32, I32, u32, i32),
        Voxels::U64(values) => typed!(values, U64, I64, u64, i64),
        other => other,
    }
}

/// What a codec gives, in the width that the header promises.
fn widened(raw: Voxels, allocated: u16) -> Voxels {
    match (raw, allocated) {
        (Voxels::U8(values), 16) => Voxels::U16(values.into_iter().map(u16::from).collect()),
        (Voxels::U8(values), 32) => Voxels::U32(values.into_iter().map(u32::from).collect()),
        (Voxels::U16(values), 8) => Voxels::U8(values.into_iter().map(|v| v as u8).collect()),
        (Voxels::U16(values), 32) => Voxels::U32(values.into_iter().map(u32::from).collect()),
        (raw, _) => raw,
    }
}

/// One bit per value, the low one of a byte first.
fn single_bits(bytes: &[u8], skip: usize, count: usize) -> Voxels {
    let bits = bytes.iter().flat_map(|&byte| (0..8).map(move |bit| byte >> bit & 1));
    Voxels::U8(bits.skip(skip).take(count).collect())
}

fn big_words(bytes: &[u8], allocated: u16) -> Voxels {
    match allocated {
        16 => Voxels::U16(bytes.as_chunks::<2>().0.iter().map(|&b| u16::from_be_bytes(b)).collect()),
        32 => Voxels::U32(bytes.as_chunks::<4>().0.iter().map(|&b| u32::from_be_bytes(b)).collect()),
        64 => Voxels::U64(bytes.as_chunks::<8>().0.iter().map(|&b| u64::from_be_bytes(b)).collect()),
        _ => Voxels::U8(bytes.to_vec()),
    }
}

/// RGBRGB... where the file has RR...GG...BB...
fn by_pixel(raw: Voxels) -> Voxels {
    with_voxels!(&raw, values => {
        let plane = values.len() / 3;
        Voxels::from((0..plane).flat_map(|i| [values[i], values[i + plane], values[i + 2 * plane]]).collect::<Vec<_>>())
    })
}

/// Two brightnesses and one pair of colours for two pixels; nothing where a line has an odd number of pixels.
fn from_422(raw: &Voxels, columns: usize) -> Voxels {
    with_voxels!(raw, values => {
        let whole = columns.is_multiple_of(2);
        let pairs = values.as_chunks::<4>().0.iter().filter(|_| whole);
        Voxels::from(pairs.flat_map(|&[y0, y1, b, r]| [y0, b, r, y1, b, r]).collect::<Vec<_>>())
    })
}

/// PS3.3 C.7.6.3.1.2, the full range of ITU-R BT.601.
fn ybr_to_rgb(ybr: &Voxels) -> Voxels {
    let byte = |v: f64| (v + 0.5).floor().clamp(0.0, 255.0) as u8;
    let colour = |[y, b, r]: [f64; 3]| {
        let (b, r) = (b - 128.0, r - 128.0);
        [byte(y + 1.402 * r), byte(y - (0.114 * 1.772 * b + 0.299 * 1.402 * r) / 0.587), byte(y + 1.772 * b)]
    };
    with_voxels!(ybr, values => {
        Voxels::U8(values.as_chunks::<3>().0.iter().flat_map(|ybr| colour(ybr.map(|v| v as f64))).collect())
    })
}

/// A transfer syntax with its name.
fn name_of(syntax: &str) -> String {
    match TransferSyntaxRegistry.get(syntax) {
        Some(known) => format!("{}, {syntax}", known.name()),
        None => syntax.to_owned(),
    }
}

fn unsupported(path: &Path, syntax: &str) -> Error {
    let what = format!(
        "{}: its transfer syntax cannot be read here ({}); decompress it, with gdcmconv --raw for example",
        path.display(),
        name_of(syntax)
    );
    Error::Unsupported(what)
}
