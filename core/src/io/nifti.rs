//! NIfTI-1 (`.nii`, `.nii.gz`) to and from a [`Volume`], by the `nifti` crate.
//!
//! Standard: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>. The file stores x fastest, then y, then z: the same memory
//! order as `[frames, rows, columns]`, so no voxel moves. The crate parses headers and byte orders; slopes are applied here, because
//! the crate scales in the stored type, which cuts fractions off.

use crate::volume::{Geometry, Volume, Voxels};
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use nifti::{DataElement, InMemNiftiVolume, NiftiError, NiftiHeader, NiftiType};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 348;
/// deflate cannot shrink more than this, which bounds what a short file may claim to hold
const MAX_GZIP_RATIO: u64 = 1032;
/// three bits of `xyzt_units`
const UNIT_METRE: u8 = 1;
const UNIT_MILLIMETRE: u8 = 2;
const UNIT_MICRON: u8 = 3;

/// Reads a file, compressed or not whatever its name says.
pub(super) fn read(path: &Path) -> Result<Volume> {
    let (mut reader, most_bytes) = open(path)?;
    let mut header = read_header(path, &mut reader)?;
    let [frames, rows, columns] = shape(path, &header)?;
    let datatype = header.data_type().map_err(|_| {
        Error::format(
            path,
            format!("has NIfTI data type code {}, which is not an integer, float or RGB type", header.datatype),
        )
    })?;
    let bytes = (frames * rows * columns) as u64 * datatype.size_of() as u64;
    let skip = voxel_offset(path, &header)? - HEADER_BYTES as u64;
    if HEADER_BYTES as u64 + skip + bytes > most_bytes {
        return Err(truncated(path, bytes));
    }
    std::io::copy(&mut reader.by_ref().take(skip), &mut std::io::sink()).map_err(damaged(path))?;
    // the crate believes bitpix; the data type is what counts
    header.bitpix = (datatype.size_of() * 8) as i16;
    let volume = InMemNiftiVolume::from_reader(&mut reader, &header).map_err(|error| match error {
        NiftiError::Io(error) => damaged(path)(error),
        NiftiError::IncompatibleLength(..) => truncated(path, bytes),
        other => Error::format(path, one_line(&other.to_string())),
    })?;
    // reading on to the end lets gzip check its checksum
    std::io::copy(&mut reader.take(1 << 20), &mut std::io::sink()).map_err(damaged(path))?;
    let (voxels, channels) = decode(path, volume, datatype)?;
    let voxels = if channels == 1 { scaled(voxels, header.scl_slope, header.scl_inter) } else { voxels };
    Volume::new([frames, rows, columns, channels], voxels, geometry(path, &header)?, "nifti")
}

/// The byte stream, unpacked where it is gzip, and how many bytes it can hold at most.
fn open(path: &Path) -> Result<(Box<dyn Read>, u64)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = BufReader::new(file);
    let gzip = std::io::BufRead::fill_buf(&mut reader).map_err(Error::io(path))?.starts_with(&[0x1f, 0x8b]);
    Ok(match gzip {
        true => (Box::new(BufReader::new(MultiGzDecoder::new(reader))), length.saturating_mul(MAX_GZIP_RATIO)),
        false => (Box::new(reader), length),
    })
}

fn read_header(path: &Path, reader: &mut dyn Read) -> Result<NiftiHeader> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    reader.take(HEADER_BYTES as u64).read_to_end(&mut bytes).map_err(damaged(path))?;
    if bytes.len() < HEADER_BYTES {
        let what = format!("holds {} bytes, less than a NIfTI header (348): truncated, or not NIfTI", bytes.len());
        return Err(Error::format(path, what));
    }
    if [540i32.to_le_bytes(), 540i32.to_be_bytes()].contains(&[bytes[0], bytes[1], bytes[2], bytes[3]]) {
        return Err(Error::Unsupported(format!("{}: is NIfTI-2; save it as NIfTI-1", path.display())));
    }
    match &bytes[344..348] {
        b"n+1\0" => {}
        b"ni1\0" => {
            let what = "is one half of a NIfTI .hdr/.img pair; save it as a single .nii or .nii.gz file";
            return Err(Error::format(path, what));
        }
        _ => return Err(Error::format(path, "is not a NIfTI-1 file (no n+1 mark in its header)")),
    }
    NiftiHeader::from_reader(&bytes[..]).map_err(|error| Error::format(path, one_line(&error.to_string())))
}

/// `[frames, rows, columns]`.
fn shape(path: &Path, header: &NiftiHeader) -> Result<[usize; 3]> {
    let rank = usize::from(header.dim[0]);
    let given = header.dim.get(1..=rank).unwrap_or_default();
    // the standard's dimensions are signed 16-bit numbers; the crate reads them as unsigned
    if given.is_empty() || given.iter().any(|&n| n == 0 || n > i16::MAX as u16) {
        return Err(Error::format(path, format!("has impossible dimensions in its NIfTI header: {:?}", header.dim)));
    }
    if given.iter().skip(3).any(|&n| n > 1) {
        let what = format!("has {rank} dimensions {given:?} (x, y, z, time, ...): save one 3-D volume of it");
        return Err(Error::format(path, what));
    }
    let side = |axis: usize| given.get(axis).map_or(1, |&n| usize::from(n));
    Ok([side(2), side(1), side(0)])
}

fn voxel_offset(path: &Path, header: &NiftiHeader) -> Result<u64> {
    match header.vox_offset {
        // some writers leave it out; voxels then follow the header and its four extension bytes
        0.0 => Ok(352),
        offset if (HEADER_BYTES as f32..1e9).contains(&offset) => Ok(offset as u64),
        offset => Err(Error::format(path, format!("claims an impossible voxel offset in its NIfTI header: {offset}"))),
    }
}

/// Values in their stored type, and the number of channels.
fn decode(path: &Path, volume: InMemNiftiVolume, datatype: NiftiType) -> Result<(Voxels, usize)> {
    fn typed<T: DataElement>(volume: InMemNiftiVolume) -> nifti::Result<Voxels>
    where
        Voxels: From<Vec<T>>,
    {
        volume.into_nifti_typed_data::<T>().map(Voxels::from)
    }
    let voxels = match datatype {
        NiftiType::Uint8 => typed::<u8>(volume),
        NiftiType::Int8 => typed::<i8>(volume),
        NiftiType::Uint16 => typed::<u16>(volume),
        NiftiType::Int16 => typed::<i16>(volume),
        NiftiType::Uint32 => typed::<u32>(volume),
        NiftiType::Int32 => typed::<i32>(volume),
        NiftiType::Uint64 => typed::<u64>(volume),
        NiftiType::Int64 => typed::<i64>(volume),
        NiftiType::Float32 => typed::<f32>(volume),
        NiftiType::Float64 => typed::<f64>(volume),
        NiftiType::Rgb24 => return Ok((Voxels::U8(volume.into_raw_data()), 3)),
        NiftiType::Rgba32 => {
            let rgba = volume.into_raw_data();
            return Ok((Voxels::U8(rgba.chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect()), 3));
        }
        other => {
            return Err(Error::Unsupported(format!("{}: holds {other:?} voxels; save it as float", path.display())));
        }
    };
    voxels.map(|voxels| (voxels, 1)).map_err(|error| Error::format(path, one_line(&error.to_string())))
}

/// `slope * value + inter`, as float32 where that holds the stored values exactly, else float64. Slope 0 means: no scaling.
fn scaled(voxels: Voxels, slope: f32, inter: f32) -> Voxels {
    let (slope, inter) = (f64::from(slope), if inter.is_finite() { f64::from(inter) } else { 0.0 });
    if slope == 0.0 || !slope.is_finite() || (slope, inter) == (1.0, 0.0) {
        return voxels;
    }
    let small = matches!(voxels, Voxels::U8(_) | Voxels::I8(_) | Voxels::U16(_) | Voxels::I16(_) | Voxels::F32(_));
    crate::with_voxels!(voxels, values => {
        let values = values.into_iter().map(|v| v as f64 * slope + inter);
        if small { Voxels::F32(values.map(|v| v as f32).collect()) } else { Voxels::F64(values.collect()) }
    })
}

/// sform before qform before plain spacing, as the standard (methods 3, 2, 1) and nibabel have it; in millimetres.
fn geometry(path: &Path, header: &NiftiHeader) -> Result<Geometry> {
    let unit = match header.xyzt_units & 7 {
        UNIT_METRE => 1e3,
        UNIT_MICRON => 1e-3,
        _ => 1.0,
    };
    let positive = |v: f32| if v.is_finite() && v != 0.0 { f64::from(v.abs()) } else { 1.0 };
    let zooms = [1, 2, 3].map(|axis| positive(header.pixdim[axis]) * unit);
    let mut affine = if header.sform_code > 0 {
        [header.srow_x, header.srow_y, header.srow_z, [0., 0., 0., 1.]].map(|row| row.map(f64::from))
    } else if header.qform_code > 0 {
        qform(header)
    } else {
        return Ok(Geometry::from_spacing(zooms, false));
    };
    affine[..3].iter_mut().flatten().for_each(|v| *v *= unit);
    if affine.iter().flatten().any(|v| !v.is_finite()) || determinant(&affine) == 0.0 {
        return Err(Error::format(
            path,
            "has an unusable orientation in its NIfTI header (sform or qform is singular)",
        ));
    }
    Ok(Geometry::from_affine(affine))
}

/// Method 2 of the standard (`nifti_quatern_to_mat44`), before units.
fn qform(header: &NiftiHeader) -> [[f64; 4]; 4] {
    let [mut b, mut c, mut d] = [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from);
    let rest = 1.0 - (b * b + c * c + d * d);
    let a = if rest < 1e-7 {
        // a rotation by 180 degrees, up to rounding
        let norm = (b * b + c * c + d * d).sqrt();
        [b, c, d] = [b / norm, c / norm, d / norm];
        0.0
    } else {
        rest.sqrt()
    };
    let zoom = |axis: usize| if header.pixdim[axis] > 0.0 { f64::from(header.pixdim[axis]) } else { 1.0 };
    let qfac = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let [x, y, z] = [zoom(1), zoom(2), zoom(3) * qfac];
    let [tx, ty, tz] = [header.quatern_x, header.quatern_y, header.quatern_z].map(f64::from);
    [
        [(a * a + b * b - c * c - d * d) * x, 2.0 * (b * c - a * d) * y, 2.0 * (b * d + a * c) * z, tx],
        [2.0 * (b * c + a * d) * x, (a * a + c * c - b * b - d * d) * y, 2.0 * (c * d - a * b) * z, ty],
        [2.0 * (b * d - a * c) * x, 2.0 * (c * d + a * b) * y, (a * a + d * d - c * c - b * b) * z, tz],
        [0.0, 0.0, 0.0, 1.0],
    ]
}

fn determinant(m: &[[f64; 4]; 4]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

/// The header fields that carry `geometry`: sform exactly, qform where the axes are at right angles (a quaternion cannot shear).
pub(super) fn header_for(geometry: &Geometry) -> NiftiHeader {
    let [sx, sy, sz] = geometry.spacing;
    let affine = &geometry.affine;
    let qfac = if determinant(affine) < 0.0 { -1.0 } else { 1.0 };
    let mut rotation = [[0.0; 3]; 3];
    for (row, out) in affine.iter().zip(&mut rotation) {
        *out = [row[0] / sx, row[1] / sy, row[2] / sz * qfac];
    }
    let [b, c, d] = quaternion(&rotation);
    let f32s = |row: [f64; 4]| row.map(|v| v as f32);
    let mut header = NiftiHeader {
        pixdim: [qfac as f32, sx as f32, sy as f32, sz as f32, 1.0, 1.0, 1.0, 1.0],
        xyzt_units: UNIT_MILLIMETRE,
        sform_code: 1,
        qform_code: i16::from(is_orthogonal(&rotation)),
        srow_x: f32s(affine[0]),
        srow_y: f32s(affine[1]),
        srow_z: f32s(affine[2]),
        quatern_b: b as f32,
        quatern_c: c as f32,
        quatern_d: d as f32,
        quatern_x: affine[0][3] as f32,
        quatern_y: affine[1][3] as f32,
        quatern_z: affine[2][3] as f32,
        ..NiftiHeader::default()
    };
    header.descrip[..9].copy_from_slice(b"SAM-OCTA2");
    header
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

fn truncated(path: &Path, bytes: u64) -> Error {
    Error::format(path, format!("is truncated: its NIfTI header promises {bytes} bytes of voxels, more than there are"))
}

fn damaged(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |error| Error::format(&path, format!("is damaged or truncated ({})", one_line(&error.to_string())))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
