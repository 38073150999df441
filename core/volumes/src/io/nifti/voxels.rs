//! What NIfTI voxels are.
//!
//! Data type codes: <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>, `DT_*`.

use super::header::Header;
use crate::io::stored::{Element, Scalar};
use crate::{Error, Result};
use std::path::Path;

/// The voxels that a header announces. The header's `bitpix` says the same or is wrong.
pub(super) fn element_of(path: &Path, header: &Header) -> Result<Element> {
    let unsupported =
        |what| Error::Unsupported(format!("{}: holds {what}; save real numbers of at most 64 bits", path.display()));
    let scalar = match header.datatype {
        2 => Scalar::U8,
        256 => Scalar::I8,
        512 => Scalar::U16,
        4 => Scalar::I16,
        768 => Scalar::U32,
        8 => Scalar::I32,
        1280 => Scalar::U64,
        1024 => Scalar::I64,
        16 => Scalar::F32,
        64 => Scalar::F64,
        128 => return Ok(Element::colour(Scalar::U8, header.big_endian, 3)),
        2304 => return Ok(Element::colour(Scalar::U8, header.big_endian, 4)),
        1 => return Err(unsupported("1-bit voxels")),
        1536 => return Err(unsupported("128-bit floats")),
        32 | 1792 | 2048 => return Err(unsupported("complex numbers")),
        code => {
            let what = format!("has NIfTI data type code {code}, which is not an integer, float or RGB type");
            return Err(Error::format(path, what));
        }
    };
    Ok(Element { scale: (header.slope, header.inter), ..Element::plain(scalar, header.big_endian) })
}
