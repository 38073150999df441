//! Where NIfTI voxels lie: from header fields to a [`Geometry`] and back.
//!
//! Standard: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>, "3D image (volume) orientation": sform (method 3) before qform
//! (method 2) before plain spacing (method 1, which says nothing about the patient).

use super::header::Header;
use crate::volume::Geometry;
use crate::{Error, Result};
use nifti::NiftiHeader;
use std::path::Path;

/// three bits of `xyzt_units`
const UNIT_METRE: u8 = 1;
const UNIT_MILLIMETRE: u8 = 2;
const UNIT_MICRON: u8 = 3;

/// sform before qform before plain spacing, as the standard and nibabel have it; in millimetres.
pub(super) fn of_header(path: &Path, header: &Header) -> Result<Geometry> {
    let unit = match header.units & 7 {
        UNIT_METRE => 1e3,
        UNIT_MICRON => 1e-3,
        _ => 1.0,
    };
    let positive = |v: f64| if v.is_finite() && v != 0.0 { v.abs() } else { 1.0 };
    let zooms = [1, 2, 3].map(|axis| positive(header.pixdim[axis]) * unit);
    let mut affine = if header.sform_code > 0 {
        let [x, y, z] = header.sform;
        [x, y, z, [0., 0., 0., 1.]]
    } else if header.qform_code > 0 {
        qform(header)
    } else {
        return Ok(Geometry::from_spacing(zooms, false));
    };
    affine[..3].iter_mut().flatten().for_each(|v| *v *= unit);
    if affine.iter().flatten().any(|v| !v.is_finite()) || determinant(&affine) == 0.0 {
        let what = "has an unusable orientation in its NIfTI header (sform or qform is singular)";
        return Err(Error::format(path, what));
    }
    Ok(Geometry::from_affine(affine))
}

/// Method 2 of the standard (`nifti_quatern_to_mat44`), before units.
fn qform(header: &Header) -> [[f64; 4]; 4] {
    let [mut b, mut c, mut d] = header.quaternion;
    let rest = 1.0 - (b * b + c * c + d * d);
    let a = if rest < 1e-7 {
        // a rotation by 180 degrees, up to rounding
        let norm = (b * b + c * c + d * d).sqrt();
        [b, c, d] = [b / norm, c / norm, d / norm];
        0.0
    } else {
        rest.sqrt()
    };
    let zoom = |axis: usize| if header.pixdim[axis] > 0.0 { header.pixdim[axis] } else { 1.0 };
    let qfac = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let [x, y, z] = [zoom(1), zoom(2), zoom(3) * qfac];
    let [tx, ty, tz] = header.offset;
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
pub(in crate::io) fn header_for(geometry: &Geometry) -> NiftiHeader {
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
