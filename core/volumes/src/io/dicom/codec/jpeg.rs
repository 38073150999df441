//! JPEG baseline, extended and lossless by the crate `jpeg-decoder`; 12 bits by our own decoder.
//!
//! Whether three components are RGB or YCbCr is in the names of the components, else in the stream's JFIF or Adobe segment, else in
//! the DICOM header, in this order, as pydicom does. Sources: ITU-T T.81 annex B, T.871 (JFIF), T.872 6.5.3 (Adobe), PS3.5 8.2.1.

use super::{Coded, Fault, Shape, jpeg12};
use crate::volume::Voxels;
use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

/// What stands before the first scan.
pub(super) struct Header {
    /// the marker that starts the frame: C0 baseline, C1 extended, C3 lossless
    pub kind: u8,
    pub bits: u8,
    pub rows: usize,
    pub columns: usize,
    names: Vec<u8>,
    jfif: bool,
    adobe: Option<u8>,
}

impl Header {
    pub fn of(stream: &[u8]) -> Option<Self> {
        let (mut at, mut jfif, mut adobe) = (2, false, None);
        loop {
            let &[mark, kind, high, low] = stream.get(at..at + 4)? else { return None };
            if mark != 0xFF || kind == 0xFF {
                at += 1;
                continue;
            }
            let segment = stream.get(at + 4..at + 2 + usize::from(u16::from_be_bytes([high, low])))?;
            match kind {
                0xE0 if segment.starts_with(b"JFIF") => jfif = true,
                0xEE if segment.starts_with(b"Adobe") => adobe = segment.get(11).copied(),
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                    let &[bits, r0, r1, c0, c1, _, ref components @ ..] = segment else { return None };
                    let names = components.as_chunks::<3>().0.iter().map(|component| component[0]).collect();
                    let [rows, columns] = [[r0, r1], [c0, c1]].map(|pair| usize::from(u16::from_be_bytes(pair)));
                    return Some(Self { kind, bits, rows, columns, names, jfif, adobe });
                }
                _ => {}
            }
            at += 4 + segment.len();
        }
    }

    fn is_ybr(&self, photometric: &str) -> bool {
        match self.adobe {
            _ if matches!(self.names.as_slice(), b"RGB" | b"rgb") => false,
            _ if self.jfif => true,
            Some(transform) => transform == 1,
            None => photometric.starts_with("YBR"),
        }
    }
}

pub(super) fn decode(stream: &[u8], shape: Shape<'_>) -> Result<Coded, Fault> {
    let start = stream.windows(3).position(|window| window == [0xFF, 0xD8, 0xFF]).ok_or("no JPEG stream")?;
    let stream = &stream[start..];
    let header = Header::of(stream).ok_or("a truncated JPEG header")?;
    shape.check(header.columns, header.rows, header.names.len())?;
    if matches!(header.kind, 0xC0 | 0xC1) && header.bits == 12 {
        return jpeg12::decode(stream, shape).map(|values| Coded::new(Voxels::U16(values), None));
    }
    let lossless = header.kind == 0xC3;
    let ybr = shape.samples == 3 && !lossless && header.is_ybr(shape.photometric);
    let mut decoder = Decoder::new(stream);
    decoder.set_max_decoding_buffer_size(shape.values().saturating_mul(2));
    if shape.samples == 3 {
        decoder.set_color_transform(if ybr { ColorTransform::YCbCr } else { ColorTransform::RGB });
    }
    let bytes = decoder.decode().map_err(|error| error.to_string())?;
    let format = decoder.info().ok_or("no JPEG header")?.pixel_format;
    let raw = match format {
        PixelFormat::L16 => Voxels::U16(bytes.as_chunks::<2>().0.iter().map(|&b| u16::from_ne_bytes(b)).collect()),
        PixelFormat::L8 | PixelFormat::RGB24 => Voxels::U8(bytes),
        PixelFormat::CMYK32 => return Err("a JPEG of four colours, which is not supported".to_owned()),
    };
    Ok(Coded { raw, bits: None, rgb: shape.samples == 3 && !lossless })
}
