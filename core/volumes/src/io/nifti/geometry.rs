//! Where NIfTI voxels lie: from header fields to a [`Geometry`] (`write.rs` goes back).
//!
//! Standard: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>, "3D image (volume) orientation": sform (method 3) before qform
//! (method 2) before plain spacing (method 1, which says nothing about the patient).

use super::header::Header;
use crate::volume::Geometry;

/// three bits of `xyzt_units`
const UNIT_METRE: u8 = 1;
const UNIT_MICRON: u8 = 3;

/// Where the voxels lie, in millimetres, and what people should know of it: sform before qform before plain spacing, as the standard and
/// nibabel have it. A form that holds no place (all zero, not finite, flat) is none, and the next one counts.
pub(super) fn of_header(header: &Header) -> (Geometry, Option<String>) {
    let unit = match header.units & 7 {
        UNIT_METRE => 1e3,
        UNIT_MICRON => 1e-3,
        _ => 1.0,
    };
    let sform = (header.sform_code > 0).then(|| {
        let [x, y, z] = header.sform;
        [x, y, z, [0., 0., 0., 1.]]
    });
    let qform = (header.qform_code > 0).then(|| qform(header));
    let placed = |affine: [[f64; 4]; 4]| {
        let mut affine = affine;
        affine[..3].iter_mut().flatten().for_each(|v| *v *= unit);
        Geometry::checked(affine).ok()
    };
    let wrong = |form: &str| format!("the {form} of the NIfTI header holds no place (zero, flat or not finite)");
    let failed = match (sform.map(placed), qform.map(placed)) {
        (Some(Some(geometry)), _) | (None, Some(Some(geometry))) => return (geometry, None),
        (Some(None), Some(Some(geometry))) => return (geometry, Some(format!("{}: the qform counts", wrong("sform")))),
        (None, None) => None,
        (Some(None), Some(None)) => Some("sform and qform"),
        (Some(None), None) => Some("sform"),
        (None, Some(None)) => Some("qform"),
    };
    let (zooms, unsized_axes) = zooms(header);
    let spacing = zooms.map(|mm| mm * unit);
    let note = failed.map(|form| format!("{}: where the voxels lie is not known", wrong(form)));
    let sizes =
        unsized_axes.then(|| "pixdim of the NIfTI header is zero or not finite: sizes are not known".to_owned());
    (Geometry::from_spacing(spacing, false), note.or(sizes))
}

/// Along x, y, z, and whether one of them that matters is missing: then none is said of the slices.
fn zooms(header: &Header) -> ([f64; 3], bool) {
    let said = [1, 2, 3].map(|axis| Some(header.pixdim[axis].abs()).filter(|v| v.is_finite() && *v != 0.0));
    let [frames, rows, columns] = header.shape();
    let missing = |axis: usize, side: u64| said[axis].is_none() && side > 1;
    let [x, y, z] = said.map(|size| size.unwrap_or(1.0));
    match missing(0, columns) || missing(1, rows) {
        true => ([1.0, 1.0, z], true),
        false => ([x, y, z], missing(2, frames)),
    }
}

/// Method 2 of the standard (`nifti_quatern_to_mat44`), before units. Sizes are taken without their sign, as nibabel and ITK do; an axis
/// of one voxel may have none.
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
    let [frames, rows, columns] = header.shape();
    let zoom = |axis: usize, side: u64| match header.pixdim[axis].abs() {
        0.0 if side == 1 => 1.0,
        size => size,
    };
    let qfac = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let [x, y, z] = [zoom(1, columns), zoom(2, rows), zoom(3, frames) * qfac];
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
