//! DICOM pixel data to slices: stored bits to numbers, modality LUT, palettes and YBR to RGB.
//!
//! Native (uncompressed) data of any size, and compressed grey or RLE data where `dicom-pixeldata` decodes it. The arithmetic is here
//! and not in that crate, which converts no palette, no YBR and no planar colour, and only to one number type per call.

use super::header::{Header, unreadable};
use crate::io::frames::Frame;
use crate::volume::Voxels;
use crate::{Error, Result};
use dicom_core::value::Value;
use dicom_dictionary_std::tags;
use dicom_object::{FileDicomObject, InMemDicomObject, open_file};
use dicom_pixeldata::PixelDecoder;
use std::path::Path;

/// The type of the values after the modality LUT; one for the whole volume.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Output {
    Stored,
    I16,
    I32,
    F32,
    F64,
}

impl Output {
    /// As stored where nothing is rescaled; the smallest integer that holds whole-numbered results; else float.
    pub fn of(headers: &[Header]) -> Self {
        let mut output = Self::Stored;
        if headers.iter().any(|header| header.has_modality_lut) {
            return Self::I32;
        }
        let rescaled = headers.iter().any(|h| h.frames.iter().any(|f| (f.slope, f.intercept) != (1.0, 0.0)));
        for header in headers.iter().filter(|_| rescaled) {
            let bits = f64::from(header.bits_stored);
            let (low, high) = if header.signed {
                (-(bits - 1.0).exp2(), (bits - 1.0).exp2() - 1.0)
            } else {
                (0.0, bits.exp2() - 1.0)
            };
            for frame in &header.frames {
                let ends = [low, high].map(|v| v * frame.slope + frame.intercept);
                let within = |least: f64, most: f64| ends.iter().all(|v| (least..=most).contains(v));
                let wanted = match frame.slope.fract() == 0.0 && frame.intercept.fract() == 0.0 {
                    true if within(f64::from(i16::MIN), f64::from(i16::MAX)) => Self::I16,
                    true if within(f64::from(i32::MIN), f64::from(i32::MAX)) => Self::I32,
                    _ if header.bits_stored > 16 => Self::F64,
                    _ => Self::F32,
                };
                output = output.wider(wanted);
            }
        }
        output
    }

    fn wider(self, other: Self) -> Self {
        let rank =
            |output| [Self::Stored, Self::I16, Self::I32, Self::F32, Self::F64].iter().position(|o| *o == output);
        if rank(self) >= rank(other) { self } else { other }
    }
}

/// One file's pixels, in native layout.
pub(super) struct Decoded {
    bytes: Vec<u8>,
    /// colour by plane, after decoding
    planar: bool,
    palette: Option<[Table; 3]>,
    modality: Option<Table>,
}

impl Decoded {
    pub fn read(header: &Header) -> Result<Self> {
        let path = header.path.as_path();
        let object = open_file(path).map_err(|error| unreadable(path, &error))?;
        let palette = if header.photometric == "PALETTE COLOR" { Some(palette(path, &object)?) } else { None };
        let modality = if header.has_modality_lut { Some(modality_lut(path, &object)?) } else { None };
        let element = object.get(tags::PIXEL_DATA).ok_or_else(|| {
            Error::format(
                path,
                "has no pixel data (float pixel data is not supported): damaged, truncated, or not an image",
            )
        })?;
        let (bytes, planar) = match element.value() {
            Value::Primitive(value) => (value.to_bytes().into_owned(), header.planar),
            Value::PixelSequence(_) if header.samples == 1 || is_rle(&object) => {
                (object.decode_pixel_data().map_err(|error| compressed(path, &object, &error))?.data().to_vec(), false)
            }
            _ => return Err(compressed(path, &object, &"colour other than RLE")),
        };
        let decoded = Self { bytes, planar, palette, modality };
        let wanted = decoded.frame_bytes(header).saturating_mul(header.frames.len());
        if decoded.bytes.len() < wanted {
            let what = format!("is truncated: {} bytes of pixel data instead of {wanted}", decoded.bytes.len());
            return Err(Error::format(path, what));
        }
        Ok(decoded)
    }

    fn frame_bytes(&self, header: &Header) -> usize {
        // YBR_FULL_422 stores two brightnesses and one pair of colours for two pixels
        let samples = if header.photometric == "YBR_FULL_422" { 2 } else { header.samples };
        header.rows * header.columns * samples * usize::from(header.bits_allocated / 8)
    }

    /// One slice in its final form.
    pub fn frame(&self, header: &Header, frame: usize, output: Output) -> Result<Frame> {
        let size = self.frame_bytes(header);
        let stored = stored_values(&self.bytes[frame * size..(frame + 1) * size], header);
        let (channels, voxels) = match (header.photometric.as_str(), header.samples) {
            ("MONOCHROME1" | "MONOCHROME2", 1) => (1, self.grey(header, frame, stored, output)),
            ("PALETTE COLOR", 1) => (3, self.palette_colours(&stored)),
            ("RGB", 3) => (3, in_stored_type(self.by_pixel(stored), header)),
            ("YBR_FULL", 3) if header.bits_allocated == 8 => (3, ybr_to_rgb(&self.by_pixel(stored))),
            ("YBR_FULL_422", 3) if header.bits_allocated == 8 && header.columns.is_multiple_of(2) => {
                (3, ybr_to_rgb(&from_422(&stored)))
            }
            (photometric, samples) => {
                let what = format!(
                    "has photometric interpretation {photometric:?} with {samples} samples per pixel, which is not supported"
                );
                return Err(Error::format(&header.path, what));
            }
        };
        Ok(Frame { rows: header.rows, columns: header.columns, channels, voxels })
    }

    fn grey(&self, header: &Header, frame: usize, stored: Vec<i64>, output: Output) -> Voxels {
        let (slope, intercept) = (header.frames[frame].slope, header.frames[frame].intercept);
        let modality = |v: i64| match &self.modality {
            Some(table) => f64::from(table.get(v)),
            None => v as f64 * slope + intercept,
        };
        let values = stored.iter().map(|&v| modality(v));
        match output {
            Output::Stored => in_stored_type(stored, header),
            Output::I16 => Voxels::I16(values.map(|v| v as i16).collect()),
            Output::I32 => Voxels::I32(values.map(|v| v as i32).collect()),
            Output::F32 => Voxels::F32(values.map(|v| v as f32).collect()),
            Output::F64 => Voxels::F64(values.collect()),
        }
    }

    fn palette_colours(&self, stored: &[i64]) -> Voxels {
        let Some(tables) = &self.palette else { return Voxels::U8(Vec::new()) };
        let colours = stored.iter().flat_map(|&v| tables.iter().map(move |table| table.get(v)));
        if tables[0].bits > 8 { Voxels::U16(colours.collect()) } else { Voxels::U8(colours.map(|v| v as u8).collect()) }
    }

    /// RGBRGB... also where the file has RR...GG...BB...
    fn by_pixel(&self, stored: Vec<i64>) -> Vec<i64> {
        if !self.planar {
            return stored;
        }
        let plane = stored.len() / 3;
        (0..plane).flat_map(|i| [stored[i], stored[i + plane], stored[i + 2 * plane]]).collect()
    }
}

/// The stored bits as numbers: shifted down from the high bit, cut to BitsStored, sign extended.
fn stored_values(bytes: &[u8], header: &Header) -> Vec<i64> {
    let unused = 64 - u32::from(header.bits_stored);
    let down = header.high_bit + 1 - header.bits_stored;
    let value = |raw: u64| {
        let aligned = (raw >> down) << unused;
        if header.signed { aligned as i64 >> unused } else { (aligned >> unused) as i64 }
    };
    // dicom-object has brought the file's byte order into the machine's
    match header.bits_allocated {
        8 => bytes.iter().map(|&b| value(b.into())).collect(),
        16 => bytes.as_chunks::<2>().0.iter().map(|&b| value(u16::from_ne_bytes(b).into())).collect(),
        _ => bytes.as_chunks::<4>().0.iter().map(|&b| value(u32::from_ne_bytes(b).into())).collect(),
    }
}

fn in_stored_type(values: Vec<i64>, header: &Header) -> Voxels {
    let values = values.into_iter();
    match (header.bits_allocated, header.signed) {
        (8, false) => Voxels::U8(values.map(|v| v as u8).collect()),
        (8, true) => Voxels::I8(values.map(|v| v as i8).collect()),
        (16, false) => Voxels::U16(values.map(|v| v as u16).collect()),
        (16, true) => Voxels::I16(values.map(|v| v as i16).collect()),
        (_, false) => Voxels::U32(values.map(|v| v as u32).collect()),
        (_, true) => Voxels::I32(values.map(|v| v as i32).collect()),
    }
}

/// PS3.3 C.7.6.3.1.2, the full range of ITU-R BT.601.
fn ybr_to_rgb(ybr: &[i64]) -> Voxels {
    let byte = |v: f64| (v + 0.5).floor().clamp(0.0, 255.0) as u8;
    let rgb = ybr.as_chunks::<3>().0.iter().flat_map(|&[y, b, r]| {
        let [y, b, r] = [y as f64, b as f64 - 128.0, r as f64 - 128.0];
        [byte(y + 1.402 * r), byte(y - (0.114 * 1.772 * b + 0.299 * 1.402 * r) / 0.587), byte(y + 1.772 * b)]
    });
    Voxels::U8(rgb.collect())
}

fn from_422(stored: &[i64]) -> Vec<i64> {
    stored.as_chunks::<4>().0.iter().flat_map(|&[y0, y1, b, r]| [y0, b, r, y1, b, r]).collect()
}

/// A lookup table of PS3.3 C.11.1: stored values below and above it get its ends.
struct Table {
    first: i64,
    entries: Vec<u16>,
    bits: u16,
}

impl Table {
    fn get(&self, value: i64) -> u16 {
        let index = (value - self.first).clamp(0, self.entries.len() as i64 - 1);
        self.entries[index as usize]
    }

    fn of(path: &Path, object: &InMemDicomObject, descriptor: dicom_core::Tag, data: dicom_core::Tag) -> Result<Self> {
        let damaged = || Error::format(path, "has a damaged lookup table");
        let numbers = object.get(descriptor).and_then(|e| e.to_multi_int::<i32>().ok()).ok_or_else(damaged)?;
        let [count, first, bits] = numbers[..] else { return Err(damaged()) };
        // 0 stands for 65536; a signed reading of the count makes large ones negative
        let count = if count <= 0 { (count + 0x10000) as usize } else { count as usize };
        let bytes = object.get(data).and_then(|e| e.to_bytes().ok()).ok_or_else(damaged)?;
        let words = || bytes.as_chunks::<2>().0.iter().map(|&b| u16::from_ne_bytes(b));
        let mut entries: Vec<u16> = if bytes.len() >= count * 2 {
            words().take(count).collect()
        } else if bits == 8 {
            bytes.iter().take(count).map(|&b| b.into()).collect()
        } else {
            Vec::new()
        };
        if entries.len() != count || entries.is_empty() {
            return Err(damaged());
        }
        // 8-bit colours which some writers keep in the high byte of 16
        if bits == 8 && entries.iter().any(|&v| v > 255) {
            entries.iter_mut().for_each(|v| *v >>= 8);
        }
        Ok(Self { first: first.into(), entries, bits: bits as u16 })
    }
}

fn palette(path: &Path, object: &InMemDicomObject) -> Result<[Table; 3]> {
    if object.get(tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA).is_some() {
        return Err(Error::Unsupported(format!("{}: has a segmented palette, which is not supported", path.display())));
    }
    Ok([
        Table::of(
            path,
            object,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
        Table::of(
            path,
            object,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
        Table::of(
            path,
            object,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
    ])
}

fn modality_lut(path: &Path, object: &InMemDicomObject) -> Result<Table> {
    let item = object.get(tags::MODALITY_LUT_SEQUENCE).and_then(|sequence| sequence.items()?.first());
    let item = item.ok_or_else(|| Error::format(path, "has an empty Modality LUT Sequence"))?;
    Table::of(path, item, tags::LUT_DESCRIPTOR, tags::LUT_DATA)
}

/// RLE gives colours back as they were stored; what other decoders make of YBR depends on the decoder.
fn is_rle(object: &FileDicomObject<InMemDicomObject>) -> bool {
    object.meta().transfer_syntax.trim_end_matches('\0') == "1.2.840.10008.1.2.5"
}

fn compressed(path: &Path, object: &FileDicomObject<InMemDicomObject>, error: &dyn std::fmt::Display) -> Error {
    Error::Unsupported(format!(
        "{}: compressed pixel data (transfer syntax {}) cannot be read here ({error}); decompress it, with gdcmconv --raw for example",
        path.display(),
        object.meta().transfer_syntax.trim_end_matches('\0')
    ))
}
