//! JPEG 2000 and HTJ2K by the crate `jpeg2k` on `openjp2`, OpenJPEG in Rust. Sources: ISO/IEC 15444-1 annex A (markers), 15444-15.
//!
//! Whole numbers throughout, so that lossless is lossless (decoders that work in float32 are off by one here and there). Numbers come
//! back as the bits that were stored; whether the highest is a sign, the DICOM header decides, as in pydicom.

use super::{Coded, Fault, Shape};
use crate::volume::Voxels;
use jpeg2k::{DecodeParameters, Image};

/// start of codestream, size
const START: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
/// bytes that a tile takes at least: its marker segment
const TILE: usize = 12;

pub(super) fn decode(stream: &[u8], shape: Shape<'_>) -> Result<Coded, Fault> {
    // some writers keep the boxes of a .jp2 file around the codestream, which must not decide about colours
    let start = stream.windows(4).position(|window| window == START).ok_or("no JPEG 2000 codestream")?;
    let stream = &stream[start..];
    let size = Size::of(stream).ok_or("a truncated or damaged JPEG 2000 header")?;
    shape.check(size.columns, size.rows, size.components.len())?;
    if size.tiles > stream.len() / TILE {
        return Err(format!("JPEG 2000 of {} tiles in {} bytes: damaged or truncated", size.tiles, stream.len()));
    }
    let first = size.components[0];
    let bits = u16::from(first.0 & 0x7F) + 1;
    if size.components.iter().any(|&component| component != first) || bits > 32 || first.1 != (1, 1) {
        return Err("JPEG 2000 components of different kinds or subsampled, which are not supported".to_owned());
    }
    let image =
        Image::from_bytes_with(stream, DecodeParameters::new().strict(true)).map_err(|error| error.to_string())?;
    let planes: Vec<&[i32]> = image.components().iter().map(|component| component.data()).collect();
    if planes.len() != shape.samples || planes.iter().any(|plane| plane.len() != shape.pixels()) {
        return Err("JPEG 2000 components that do not fill the picture: damaged".to_owned());
    }
    let values = (0..shape.pixels()).flat_map(|i| planes.iter().map(move |plane| plane[i]));
    let raw = match bits {
        1..=8 => Voxels::U8(values.map(|v| v as u8).collect()),
        9..=16 => Voxels::U16(values.map(|v| v as u16).collect()),
        _ => Voxels::U32(values.map(|v| v as u32).collect()),
    };
    // the multiple component transform, where there is one, gives RGB; what is stored without one is as the header says
    let rgb = shape.samples == 3 && matches!(shape.photometric, "YBR_RCT" | "YBR_ICT" | "RGB");
    Ok(Coded { raw, bits: Some(bits), rgb })
}

/// What SIZ says.
struct Size {
    columns: usize,
    rows: usize,
    tiles: usize,
    /// sign and bits less one; steps
    components: Vec<(u8, (u8, u8))>,
}

impl Size {
    /// offset of the first component's bits
    const COMPONENTS: usize = 42;

    fn of(stream: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_be_bytes(stream.get(at..at + 4)?.try_into().ok()?) as usize);
        let count = usize::from(u16::from_be_bytes(stream.get(40..42)?.try_into().ok()?));
        let components = stream.get(Self::COMPONENTS..Self::COMPONENTS + 3 * count)?;
        let components: Vec<_> = components.as_chunks::<3>().0.iter().map(|&[bits, x, y]| (bits, (x, y))).collect();
        let [columns, rows] = [number(8)?.checked_sub(number(16)?)?, number(12)?.checked_sub(number(20)?)?];
        let tiles = |extent: usize, first: usize, step: usize| Some(extent.checked_sub(first)?.div_ceil(step));
        if components.is_empty() || number(24)? == 0 || number(28)? == 0 {
            return None;
        }
        let tiles =
            tiles(number(8)?, number(32)?, number(24)?)?.checked_mul(tiles(number(12)?, number(36)?, number(28)?)?)?;
        Some(Self { columns, rows, tiles, components })
    }
}
