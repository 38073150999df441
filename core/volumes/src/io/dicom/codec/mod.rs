//! One compressed frame to numbers.
//!
//! The codecs are Rust, without C: crates where a well-kept one gives exact numbers of up to 16 bits, our own where there is none (RLE,
//! JPEG-LS, JPEG of 12 bits). They are called one frame at a time with the size that the DICOM header gives, so that a stream which
//! claims another size is refused before it is unpacked. Standard: DICOM PS3.5 annex A.4 (transfer syntaxes) and 8.2 (formats).

mod bits;
mod huffman;
mod jpeg;
mod jpeg12;
mod jpeg2000;
mod jpeg_ls;
mod jpeg_xl;
mod rle;

use super::file::EXPLICIT_BIG_ENDIAN;
use crate::progress::is_stop;
use crate::volume::Voxels;
use dicom_dictionary_std::uids;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Why a frame cannot be decoded: a reason for people.
pub(super) type Fault = String;

/// frames larger than this have to be plausible
const SMALL: usize = 64 << 20;
/// most that a frame may grow
const MOST_RATIO: usize = 1000;

/// What the DICOM header says of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape<'a> {
    pub rows: usize,
    pub columns: usize,
    pub samples: usize,
    pub allocated: u16,
    pub photometric: &'a str,
}

impl Shape<'_> {
    pub fn pixels(&self) -> usize {
        self.rows * self.columns
    }

    pub fn values(&self) -> usize {
        self.pixels() * self.samples
    }

    /// Does a stream claim the same size?
    fn check(&self, columns: usize, rows: usize, samples: usize) -> Result<(), Fault> {
        if (columns, rows, samples) == (self.columns, self.rows, self.samples) {
            return Ok(());
        }
        let Self { columns: c, rows: r, samples: s, .. } = self;
        Err(format!("the stream holds {columns} x {rows} pixels of {samples} values, the header says {c} x {r} of {s}"))
    }
}

/// A decoded frame: unsigned bits, colour by pixel.
pub(super) struct Coded {
    /// `U8`, `U16`, `U32` or `U64`
    pub raw: Voxels,
    /// how many bits of each number mean something, where the stream knows it better than the header
    pub bits: Option<u16>,
    /// have colours become RGB?
    pub rgb: bool,
}

impl Coded {
    fn new(raw: Voxels, bits: Option<u16>) -> Self {
        Self { raw, bits, rgb: false }
    }
}

/// A way of packing frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Codec {
    /// uncompressed
    Native,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    JpegXl,
    /// each frame on its own
    Deflate,
}

impl Codec {
    /// Of a transfer syntax; `None` where it is not supported.
    pub fn of(syntax: &str) -> Option<Self> {
        Some(match syntax {
            uids::IMPLICIT_VR_LITTLE_ENDIAN
            | uids::EXPLICIT_VR_LITTLE_ENDIAN
            | EXPLICIT_BIG_ENDIAN
            | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
            | uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN => Self::Native,
            uids::RLE_LOSSLESS => Self::Rle,
            uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT | uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => {
                Self::Jpeg
            }
            uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => Self::JpegLs,
            uids::JPEG2000_LOSSLESS
            | uids::JPEG2000
            | uids::HTJ2K_LOSSLESS
            | uids::HTJ2K_LOSSLESS_RPCL
            | uids::HTJ2K => Self::Jpeg2000,
            uids::JPEGXL_LOSSLESS | uids::JPEGXLJPEG_RECOMPRESSION | uids::JPEGXL => Self::JpegXl,
            uids::DEFLATED_IMAGE_FRAME_COMPRESSION => Self::Deflate,
            _ => return None,
        })
    }

    /// Decodes one frame.
    pub fn decode(self, stream: &[u8], shape: Shape<'_>) -> Result<Coded, Fault> {
        let size = shape.values().saturating_mul(usize::from(shape.allocated.div_ceil(8)));
        if size > SMALL && size / MOST_RATIO > stream.len() {
            return Err(format!("{} bytes that claim to unpack to {size}: damaged, or a bomb", stream.len()));
        }
        let work = || match self {
            Self::Native => Ok(Coded::new(words(stream, shape.allocated), None)),
            Self::Rle => rle::decode(stream, shape),
            Self::Jpeg => jpeg::decode(stream, shape),
            Self::JpegLs => jpeg_ls::decode(stream, shape),
            Self::Jpeg2000 => jpeg2000::decode(stream, shape),
            Self::JpegXl => jpeg_xl::decode(stream, shape),
            Self::Deflate => inflate(stream, size).map(|bytes| Coded::new(words(&bytes, shape.allocated), None)),
        };
        // other people's decoders meet damaged streams here
        let coded = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| match is_stop(panic.as_ref()) {
            true => resume_unwind(panic),
            false => Err("the decoder failed on it: damaged".to_owned()),
        })?;
        if coded.raw.len() < shape.values() {
            return Err(format!("the stream ends after {} of {} values", coded.raw.len(), shape.values()));
        }
        Ok(coded)
    }
}

/// Little endian bytes as unsigned numbers.
pub(super) fn words(bytes: &[u8], allocated: u16) -> Voxels {
    match allocated {
        16 => Voxels::U16(bytes.as_chunks::<2>().0.iter().map(|&b| u16::from_le_bytes(b)).collect()),
        32 => Voxels::U32(bytes.as_chunks::<4>().0.iter().map(|&b| u32::from_le_bytes(b)).collect()),
        64 => Voxels::U64(bytes.as_chunks::<8>().0.iter().map(|&b| u64::from_le_bytes(b)).collect()),
        _ => Voxels::U8(bytes.to_vec()),
    }
}

fn inflate(stream: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let decoder = flate2::read::DeflateDecoder::new(stream);
    decoder.take(size as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
