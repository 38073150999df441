//! PNG files as this program writes them: exact values, palettes for labels, and a mark by which it knows its own results.
//!
//! The `png` crate itself instead of `image`, which writes neither palettes nor text chunks and resolves palettes on reading.

use crate::picture::colours;
use crate::{Error, Result};
use png::{BitDepth, ColorType, Decoder, Encoder, Transformations};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

/// the text chunk that marks our files; `Software` is a keyword of the PNG standard
const MARK: (&str, &str) = ("Software", "SAM-OCTA2");

/// Samples of one slice, `[rows, columns, channels]`.
pub(crate) enum Pixels<'a> {
    Grey8(&'a [u8]),
    Grey16(&'a [u16]),
    Rgb8(&'a [u8]),
    Rgb16(&'a [u16]),
    /// object numbers, shown in the colours of the overlays
    Objects(&'a [u8]),
}

/// Writes a file that nobody reads yet: the folder around it is swapped in afterwards.
pub(crate) fn write(path: &Path, columns: usize, rows: usize, pixels: Pixels<'_>) -> Result<()> {
    let file = File::create(path).map_err(Error::io(path))?;
    let encode = || -> std::result::Result<(), png::EncodingError> {
        let mut out = BufWriter::new(file);
        let mut encoder = Encoder::new(&mut out, columns as u32, rows as u32);
        let big_endian = |values: &[u16]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
        let (colour, depth, bytes) = match pixels {
            Pixels::Grey8(values) => (ColorType::Grayscale, BitDepth::Eight, values.to_vec()),
            Pixels::Grey16(values) => (ColorType::Grayscale, BitDepth::Sixteen, big_endian(values)),
            Pixels::Rgb8(values) => (ColorType::Rgb, BitDepth::Eight, values.to_vec()),
            Pixels::Rgb16(values) => (ColorType::Rgb, BitDepth::Sixteen, big_endian(values)),
            Pixels::Objects(values) => (ColorType::Indexed, BitDepth::Eight, values.to_vec()),
        };
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == ColorType::Indexed {
            encoder.set_palette((0..=255).flat_map(colours::of_object).collect::<Vec<u8>>());
        }
        encoder.add_text_chunk(MARK.0.to_owned(), MARK.1.to_owned())?;
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&bytes)?;
        writer.finish()?;
        out.flush()?;
        Ok(())
    };
    encode().map_err(|error| match error {
        png::EncodingError::IoError(error) => Error::io(path)(error),
        other => Error::format(path, other.to_string()),
    })
}

/// Does the file carry our mark?
pub(super) fn is_ours(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let Ok(reader) = Decoder::new(BufReader::new(file)).read_info() else { return false };
    reader.info().uncompressed_latin1_text.iter().any(|chunk| (chunk.keyword.as_str(), chunk.text.as_str()) == MARK)
}

/// The object numbers of an indexed PNG: `(rows, columns, indices)`; `None` for any other picture, also one that claims more than `most` bytes.
pub(super) fn read_indices(path: &Path, most: u64) -> Option<(usize, usize, Vec<u8>)> {
    let mut decoder = Decoder::new(BufReader::new(File::open(path).ok()?));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().ok()?;
    if reader.info().color_type != ColorType::Indexed {
        return None;
    }
    let (width, height) = reader.info().size();
    if u64::from(width) * u64::from(height) > most {
        return None;
    }
    let mut bytes = vec![0; reader.output_buffer_size()?];
    let info = reader.next_frame(&mut bytes).ok()?;
    let (rows, columns, depth) = (info.height as usize, info.width as usize, info.bit_depth as usize);
    // indices of 1, 2 or 4 bits lie packed, the first in the highest bits, each row on its own byte
    let line = |row: usize| &bytes[row * info.line_size..];
    let index = |row: usize, column: usize| {
        let bit = column * depth;
        (line(row)[bit / 8] >> (8 - depth - bit % 8)) & (0xff >> (8 - depth))
    };
    let indices =
        (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).map(|(r, c)| index(r, c)).collect();
    Some((rows, columns, indices))
}
