//! Where NIfTI voxels lie: from header fields to a [`Geometry`] (`write.rs` goes back).
//!
//! Standard: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>, "3D image (volume) orientation": sform (method 3) before qform
//! (method 2) before plain spacing (method 1, which says nothing about the patient).

use super::header::Header;
use crate::volume::Geometry;
use crate::{Error, Result};
use std::path::Path;

/// three bits of `xyzt_units`
const UNIT_METRE: u8 = 1;
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

pub(super) fn determinant(m: &[[f64; 4]; 4]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}
