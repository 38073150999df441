//! The fields of a NIfTI header that decide what the voxels are and where they lie, from either version of the format.
//!
//! Standards: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h> (348 bytes) and
//! <https://nifti.nimh.nih.gov/pub/dist/doc/nifti2.h> (540 bytes). The `nifti` crate reads version 1.

use crate::{Error, Result};
use std::io::Read;
use std::path::Path;

const BYTES_1: usize = 348;
const BYTES_2: usize = 540;
/// header and the four bytes that announce extensions
const AFTER_HEADER_1: u64 = 352;
const AFTER_HEADER_2: u64 = 544;

/// Both versions in the wider types of the second.
#[derive(Debug)]
pub(super) struct Header {
    pub big_endian: bool,
    /// voxels follow in the same file; otherwise they lie in a file of their own (`.img`)
    pub single: bool,
    /// number of dimensions, then x, y, z, time and three more
    pub dim: [i64; 8],
    pub datatype: i16,
    /// `[0]` is the handedness of the qform
    pub pixdim: [f64; 8],
    /// first byte of the voxels in the file that holds them
    pub voxels_at: u64,
    pub slope: f64,
    pub inter: f64,
    pub units: u8,
    pub qform_code: i32,
    pub sform_code: i32,
    /// b, c, d; a follows from them
    pub quaternion: [f64; 3],
    pub offset: [f64; 3],
    pub sform: [[f64; 4]; 3],
}

impl Header {
    /// Takes the header off the beginning of a file.
    pub fn read(path: &Path, reader: &mut dyn Read) -> Result<Self> {
        let mut bytes = Vec::with_capacity(BYTES_2);
        reader.take(BYTES_1 as u64).read_to_end(&mut bytes).map_err(super::damaged(path))?;
        let Some(&size) = bytes.first_chunk::<4>() else { return Err(short(path, bytes.len())) };
        let (version, big_endian) = match (i32::from_le_bytes(size), i32::from_be_bytes(size)) {
            (348, _) => (1, false),
            (_, 348) => (1, true),
            (540, _) => (2, false),
            (_, 540) => (2, true),
            _ => {
                return Err(Error::format(
                    path,
                    "is not a NIfTI file (its first number is not the size of a NIfTI header)",
                ));
            }
        };
        let wanted = if version == 1 { BYTES_1 } else { BYTES_2 };
        reader.take((wanted - bytes.len()) as u64).read_to_end(&mut bytes).map_err(super::damaged(path))?;
        if bytes.len() < wanted {
            return Err(short(path, bytes.len()));
        }
        let header = match version {
            1 => Self::version_1(path, &bytes, big_endian)?,
            _ => Self::version_2(path, &Fields { bytes: &bytes, big_endian })?,
        };
        header.checked(path)
    }

    fn version_1(path: &Path, bytes: &[u8], big_endian: bool) -> Result<Self> {
        let single = match bytes.get(344..348) {
            Some(b"n+1\0") => true,
            Some(b"ni1\0") => false,
            Some(b"\0\0\0\0") => {
                return Err(Error::format(path, "is an Analyze 7.5 header, not NIfTI; save it as NIfTI"));
            }
            _ => return Err(Error::format(path, "is not a NIfTI-1 file (no n+1 or ni1 mark in its header)")),
        };
        let wrong = || Error::format(path, "is a damaged NIfTI file (its header contradicts itself)");
        let h = nifti::NiftiHeader::from_reader(bytes).map_err(|_| wrong())?;
        // the crate guesses the byte order from the dimensions, this reader from the header's size
        if (h.endianness == nifti::Endianness::Big) != big_endian {
            return Err(wrong());
        }
        let wide = |row: [f32; 4]| row.map(f64::from);
        Ok(Self {
            big_endian,
            single,
            dim: h.dim.map(|n| i64::from(n as i16)), // the standard's are signed
            datatype: h.datatype,
            pixdim: h.pixdim.map(f64::from),
            voxels_at: voxels_at(path, h.vox_offset.into(), single, BYTES_1 as u64, AFTER_HEADER_1)?,
            slope: h.scl_slope.into(),
            inter: h.scl_inter.into(),
            units: h.xyzt_units,
            qform_code: h.qform_code.into(),
            sform_code: h.sform_code.into(),
            quaternion: [h.quatern_b, h.quatern_c, h.quatern_d].map(f64::from),
            offset: [h.quatern_x, h.quatern_y, h.quatern_z].map(f64::from),
            sform: [wide(h.srow_x), wide(h.srow_y), wide(h.srow_z)],
        })
    }

    fn version_2(path: &Path, f: &Fields<'_>) -> Result<Self> {
        let single = match &f.get::<8>(4) {
            b"n+2\0\r\n\x1a\n" => true,
            b"ni2\0\r\n\x1a\n" => false,
            [b'n', b'+' | b'i', b'2', 0, ..] => {
                return Err(Error::format(path, "was copied as text: the line ends in its NIfTI-2 mark have changed"));
            }
            _ => return Err(Error::format(path, "is not a NIfTI-2 file (no n+2 or ni2 mark in its header)")),
        };
        let row = |at: usize| [0, 8, 16, 24].map(|o| f.f64(at + o));
        Ok(Self {
            big_endian: f.big_endian,
            single,
            dim: [0, 1, 2, 3, 4, 5, 6, 7].map(|i| f.i64(16 + 8 * i)),
            datatype: f.i16(12),
            pixdim: [0, 1, 2, 3, 4, 5, 6, 7].map(|i| f.f64(104 + 8 * i)),
            voxels_at: voxels_at(path, f.i64(168) as f64, single, BYTES_2 as u64, AFTER_HEADER_2)?,
            slope: f.f64(176),
            inter: f.f64(184),
            units: f.i32(500) as u8,
            qform_code: f.i32(344),
            sform_code: f.i32(348),
            quaternion: [352, 360, 368].map(|at| f.f64(at)),
            offset: [376, 384, 392].map(|at| f.f64(at)),
            sform: [400, 432, 464].map(row),
        })
    }

    fn checked(self, path: &Path) -> Result<Self> {
        let rank = self.dim[0];
        let sides = usize::try_from(rank).ok().and_then(|rank| self.dim.get(1..=rank)).unwrap_or_default();
        if sides.is_empty() || sides.iter().any(|&n| n <= 0) || self.values().is_none() {
            return Err(Error::format(path, format!("has impossible dimensions in its NIfTI header: {:?}", self.dim)));
        }
        Ok(self)
    }

    /// Length of an axis counted from 1; axes beyond the last have length 1.
    fn side(&self, axis: usize) -> u64 {
        if axis as i64 > self.dim[0] { 1 } else { self.dim[axis].unsigned_abs() }
    }

    fn values(&self) -> Option<u64> {
        (1..8).try_fold(1u64, |product, axis| product.checked_mul(self.side(axis)))
    }

    /// `[frames, rows, columns]` of one volume.
    pub fn shape(&self) -> [u64; 3] {
        [self.side(3), self.side(2), self.side(1)]
    }

    /// How many 3-D volumes there are (time and the axes behind it).
    pub fn volumes(&self) -> u64 {
        (4..8).map(|axis| self.side(axis)).product()
    }

    /// The axes as the header counts them.
    pub fn axes(&self) -> &[i64] {
        self.dim.get(1..=self.dim[0].clamp(0, 7) as usize).unwrap_or_default()
    }
}

fn voxels_at(path: &Path, offset: f64, single: bool, least: u64, usual: u64) -> Result<u64> {
    match offset {
        // some writers leave it out; voxels then follow the header and its four extension bytes
        0.0 if single => Ok(usual),
        offset if (if single { least as f64 } else { 0.0 }..1e9).contains(&offset) => Ok(offset as u64),
        offset => Err(Error::format(path, format!("claims an impossible voxel offset in its NIfTI header: {offset}"))),
    }
}

fn short(path: &Path, length: usize) -> Error {
    Error::format(path, format!("holds {length} bytes, less than a NIfTI header (348): truncated, or not NIfTI"))
}

/// Numbers at fixed places. The callers name places inside of a header that was read whole.
struct Fields<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Fields<'_> {
    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    /// In the order of this machine's little end.
    fn number<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = self.get(at);
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.number(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.number(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.number(at))
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.number(at))
    }
}
