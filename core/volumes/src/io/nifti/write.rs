//! `values -> .nii, .nii.gz`: NIfTI-1 with sform and qform in millimetres.
//!
//! Standard: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>. Values go to the file as they lie in memory; `.nii.gz` is packed
//! on all cores (`gzip.rs`).

use super::geometry::determinant;
use crate::io::gzip::Packer;
use crate::io::write::{atomic_file, no_place};
use crate::volume::Geometry;
use crate::{Error, Result};
use bytemuck::Pod;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// header and the four bytes that announce extensions (there are none)
const VOXELS_AT: usize = 352;
/// of `xyzt_units`
const UNIT_UNKNOWN: u8 = 0;
const UNIT_MILLIMETRE: u8 = 2;

/// Types that a NIfTI file can hold.
pub(in crate::io) trait NiftiVoxel: Pod {
    /// `DT_*` of the standard
    const CODE: i16;
}

macro_rules! nifti_voxels {
    ($($element:ty: $code:literal),*) => {
        $(impl NiftiVoxel for $element { const CODE: i16 = $code; })*
    };
}
nifti_voxels!(u8: 2, i8: 256, u16: 512, i16: 4, u32: 768, i32: 8, u64: 1280, i64: 1024, f32: 16, f64: 64, [u8; 3]: 128);

/// What one voxel of a file is.
#[derive(Debug, Clone, Copy)]
pub(in crate::io) struct Kind {
    code: i16,
    bytes: usize,
}

impl Kind {
    /// That of these values.
    pub fn of<T: NiftiVoxel>(_: &[T]) -> Self {
        Self { code: T::CODE, bytes: size_of::<T>() }
    }

    /// The name of a number's type in NRRD and in MetaImage; of a colour that of its numbers.
    fn names(self) -> (&'static str, &'static str) {
        match self.code {
            256 => ("int8", "MET_CHAR"),
            512 => ("uint16", "MET_USHORT"),
            4 => ("int16", "MET_SHORT"),
            768 => ("uint32", "MET_UINT"),
            8 => ("int32", "MET_INT"),
            1280 => ("uint64", "MET_ULONG_LONG"),
            1024 => ("int64", "MET_LONG_LONG"),
            16 => ("float", "MET_FLOAT"),
            64 => ("double", "MET_DOUBLE"),
            _ => ("uint8", "MET_UCHAR"),
        }
    }

    /// As NRRD calls it.
    pub fn nrrd(self) -> &'static str {
        self.names().0
    }

    /// As MetaImage calls it.
    pub fn metaimage(self) -> &'static str {
        self.names().1
    }
}

/// Writes values whose `sides` are `[x, y, z]` or `[x, y, z, objects]`, x fastest.
pub(in crate::io) fn write<T: NiftiVoxel>(
    path: &Path,
    values: &[T],
    sides: &[usize],
    geometry: &Geometry,
) -> Result<()> {
    write_parts(path, Kind::of(values), sides, geometry, &mut |out| write_values(out, values).map_err(Error::io(path)))
}

/// Writes a header and whatever voxels `fill` writes.
pub(in crate::io) fn write_parts(
    path: &Path,
    kind: Kind,
    sides: &[usize],
    geometry: &Geometry,
    fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    if sides.iter().any(|&n| n > i16::MAX as usize) {
        let kind = sides.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ") + " voxels";
        return Err(no_place(path, &kind, "NIfTI-1", ".npy"));
    }
    let mut header = Header([0; VOXELS_AT]);
    header.describe(kind, sides);
    header.place(geometry);
    let packed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    atomic_file(path, |temporary| {
        let mut file = File::create(temporary).map_err(Error::io(path))?;
        if !packed {
            file.write_all(&header.0).map_err(Error::io(path))?;
            return fill(&mut file);
        }
        let mut packer = Packer::new(file).map_err(Error::io(path))?;
        packer.write_all(&header.0).map_err(Error::io(path))?;
        fill(&mut packer)?;
        packer.finish().map_err(Error::io(path))
    })
}

/// Writes values as the header announces them.
pub(in crate::io) fn write_values<T: Pod>(out: &mut dyn Write, values: &[T]) -> std::io::Result<()> {
    out.write_all(&to_file_order(values))
}

/// The header says little end first by being so.
fn to_file_order<T: Pod>(values: &[T]) -> std::borrow::Cow<'_, [u8]> {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    // the bytes of a colour are no number
    let width = align_of::<T>();
    if cfg!(target_endian = "little") || width == 1 {
        return bytes.into();
    }
    let mut turned = bytes.to_vec();
    turned.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    turned.into()
}

/// The fields of a header that are not zero.
struct Header([u8; VOXELS_AT]);

impl Header {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn i16(&mut self, at: usize, value: i16) {
        self.put(at, &value.to_le_bytes());
    }

    fn f32s<const N: usize>(&mut self, at: usize, values: [f64; N]) {
        for (i, value) in values.into_iter().enumerate() {
            self.put(at + 4 * i, &(value as f32).to_le_bytes());
        }
    }

    /// What the voxels are.
    fn describe(&mut self, kind: Kind, sides: &[usize]) {
        self.put(0, &348i32.to_le_bytes());
        self.put(38, b"r");
        self.i16(40, sides.len() as i16);
        for axis in 0..7 {
            self.i16(42 + 2 * axis, sides.get(axis).map_or(1, |&n| n as i16));
        }
        self.i16(70, kind.code);
        self.i16(72, 8 * kind.bytes as i16);
        self.f32s(108, [VOXELS_AT as f64, 1.0, 0.0]);
        self.put(148, b"SAM-OCTA2");
        self.put(344, b"n+1\0");
    }

    /// Where they lie: sform exactly, qform where the axes are at right angles (a quaternion cannot shear). A place that is not known is not
    /// claimed: spacing alone (method 1 of the standard), in no unit where that is the default, too; other programs then lay labels over their
    /// source as they lay the source.
    fn place(&mut self, geometry: &Geometry) {
        let [sx, sy, sz] = geometry.spacing;
        if !geometry.known {
            self.f32s(76, [1.0, sx, sy, sz, 1.0, 1.0, 1.0, 1.0]);
            self.put(123, &[if geometry.spacing == [1.0; 3] { UNIT_UNKNOWN } else { UNIT_MILLIMETRE }]);
            return;
        }
        let affine = &geometry.affine;
        let qfac = if determinant(affine) < 0.0 { -1.0 } else { 1.0 };
        let mut rotation = [[0.0; 3]; 3];
        for (row, out) in affine.iter().zip(&mut rotation) {
            *out = [row[0] / sx, row[1] / sy, row[2] / sz * qfac];
        }
        let [b, c, d] = quaternion(&rotation);
        self.f32s(76, [qfac, sx, sy, sz, 1.0, 1.0, 1.0, 1.0]);
        self.put(123, &[UNIT_MILLIMETRE]);
        self.i16(252, i16::from(is_orthogonal(&rotation)));
        self.i16(254, 1);
        self.f32s(256, [b, c, d, affine[0][3], affine[1][3], affine[2][3]]);
        for (row, at) in affine[..3].iter().zip([280, 296, 312]) {
            self.f32s(at, *row);
        }
    }
}

fn is_orthogonal(rotation: &[[f64; 3]; 3]) -> bool {
    let dot = |a: usize, b: usize| rotation.iter().map(|row| row[a] * row[b]).sum::<f64>().abs();
    dot(0, 1) < 1e-4 && dot(0, 2) < 1e-4 && dot(1, 2) < 1e-4
}

/// `nifti_mat44_to_quatern` for a proper rotation: the b, c, d of a unit quaternion whose a is not negative.
fn quaternion(r: &[[f64; 3]; 3]) -> [f64; 3] {
    let trace = r[0][0] + r[1][1] + r[2][2] + 1.0;
    if trace > 0.5 {
        let a = 0.5 * trace.sqrt();
        return [(r[2][1] - r[1][2]) / (4.0 * a), (r[0][2] - r[2][0]) / (4.0 * a), (r[1][0] - r[0][1]) / (4.0 * a)];
    }
    let xd = 1.0 + r[0][0] - (r[1][1] + r[2][2]);
    let yd = 1.0 + r[1][1] - (r[0][0] + r[2][2]);
    let zd = 1.0 + r[2][2] - (r[0][0] + r[1][1]);
    let (a, [b, c, d]) = if xd >= yd && xd >= zd {
        let b = 0.5 * xd.sqrt();
        (r[2][1] - r[1][2], [b, (r[0][1] + r[1][0]) / (4.0 * b), (r[0][2] + r[2][0]) / (4.0 * b)])
    } else if yd >= zd {
        let c = 0.5 * yd.sqrt();
        (r[0][2] - r[2][0], [(r[0][1] + r[1][0]) / (4.0 * c), c, (r[1][2] + r[2][1]) / (4.0 * c)])
    } else {
        let d = 0.5 * zd.sqrt();
        (r[1][0] - r[0][1], [(r[0][2] + r[2][0]) / (4.0 * d), (r[1][2] + r[2][1]) / (4.0 * d), d])
    };
    if a < 0.0 { [-b, -c, -d] } else { [b, c, d] }
}
