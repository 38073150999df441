//! Multi-page TIFF as this program writes it: one page per slice, deflate, values as they are.
//!
//! TIFF 6.0 with Adobe's deflate (compression 8), BigTIFF where 4 GB would not do. Spacing goes into resolution and an ImageJ
//! description, which is where microscopy programs look for it.

use super::write::atomic_file;
use crate::volume::{Geometry, Labels, Volume, Voxels};
use crate::{Error, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use tiff::TiffError;
use tiff::encoder::colortype::{self, ColorType};
use tiff::encoder::compression::DeflateLevel;
use tiff::encoder::{Compression, Rational, TiffEncoder, TiffKind, TiffKindBig, TiffKindStandard, TiffValue};
use tiff::tags::{ResolutionUnit, Tag};

/// files below this have room in the 32-bit offsets of plain TIFF, whatever deflate makes of them
const PLAIN_UP_TO: usize = 3 << 30;

/// Writes object numbers: 8 bits where every number fits, else 16.
pub(super) fn write_labels(labels: &Labels, small: Option<&[u8]>, path: &Path) -> Result<()> {
    let shape = [labels.frames, labels.rows, labels.columns];
    match small {
        Some(small) => write_pages::<colortype::Gray8>(path, small, shape, &labels.geometry),
        None => write_pages::<colortype::Gray16>(path, &labels.data, shape, &labels.geometry),
    }
}

/// Writes a volume in its own type; colour with 8 or 16 bits.
pub(super) fn write_volume(volume: &Volume, path: &Path) -> Result<()> {
    let shape = [volume.frames, volume.rows, volume.columns];
    let geometry = &volume.geometry;
    match (volume.channels, &*volume.voxels()?) {
        (1, Voxels::U8(values)) => write_pages::<colortype::Gray8>(path, values, shape, geometry),
        (1, Voxels::I8(values)) => write_pages::<colortype::GrayI8>(path, values, shape, geometry),
        (1, Voxels::U16(values)) => write_pages::<colortype::Gray16>(path, values, shape, geometry),
        (1, Voxels::I16(values)) => write_pages::<colortype::GrayI16>(path, values, shape, geometry),
        (1, Voxels::U32(values)) => write_pages::<colortype::Gray32>(path, values, shape, geometry),
        (1, Voxels::I32(values)) => write_pages::<colortype::GrayI32>(path, values, shape, geometry),
        (1, Voxels::U64(values)) => write_pages::<colortype::Gray64>(path, values, shape, geometry),
        (1, Voxels::I64(values)) => write_pages::<colortype::GrayI64>(path, values, shape, geometry),
        (1, Voxels::F32(values)) => write_pages::<colortype::Gray32Float>(path, values, shape, geometry),
        (1, Voxels::F64(values)) => write_pages::<colortype::Gray64Float>(path, values, shape, geometry),
        (_, Voxels::U8(values)) => write_pages::<colortype::RGB8>(path, values, shape, geometry),
        (_, Voxels::U16(values)) => write_pages::<colortype::RGB16>(path, values, shape, geometry),
        (_, other) => Err(Error::Invalid(format!(
            "{}: colour of type {} is not written as TIFF; write .npy",
            path.display(),
            other.dtype()
        ))),
    }
}

fn write_pages<C: ColorType>(path: &Path, values: &[C::Inner], shape: [usize; 3], geometry: &Geometry) -> Result<()>
where
    [C::Inner]: TiffValue,
{
    atomic_file(path, |temporary| {
        let mut out = BufWriter::new(File::create(temporary).map_err(Error::io(path))?);
        let encoded = if size_of_val(values) < PLAIN_UP_TO {
            TiffEncoder::<_, TiffKindStandard>::new_generic(&mut out)
                .and_then(|encoder| encode::<C, _>(encoder, values, shape, geometry))
        } else {
            TiffEncoder::<_, TiffKindBig>::new_generic(&mut out)
                .and_then(|encoder| encode::<C, _>(encoder, values, shape, geometry))
        };
        encoded.map_err(|error| match error {
            TiffError::IoError(error) => Error::io(path)(error),
            other => Error::format(path, other.to_string()),
        })?;
        out.flush().map_err(Error::io(path))
    })
}

fn encode<C: ColorType, K: TiffKind>(
    encoder: TiffEncoder<&mut BufWriter<File>, K>,
    values: &[C::Inner],
    [frames, rows, columns]: [usize; 3],
    geometry: &Geometry,
) -> tiff::TiffResult<()>
where
    [C::Inner]: TiffValue,
{
    let mut encoder = encoder.with_compression(Compression::Deflate(DeflateLevel::Balanced));
    let description = description(frames, geometry);
    let [x, y, _] = geometry.spacing;
    for page in values.chunks_exact(values.len() / frames.max(1)) {
        let mut image = encoder.new_image::<C>(columns as u32, rows as u32)?;
        image.encoder().write_tag(Tag::Software, "SAM-OCTA2")?;
        if let Some(description) = &description {
            image.encoder().write_tag(Tag::ImageDescription, description.as_str())?;
            image.resolution_unit(ResolutionUnit::None);
            image.x_resolution(pixels_per(1.0, x));
            image.y_resolution(pixels_per(1.0, y));
        } else if (x, y) != (1.0, 1.0) {
            image.resolution_unit(ResolutionUnit::Centimeter);
            image.x_resolution(pixels_per(10.0, x));
            image.y_resolution(pixels_per(10.0, y));
        }
        image.write_data(page)?;
    }
    Ok(())
}

/// What ImageJ writes and reads for a stack with a scale.
fn description(frames: usize, geometry: &Geometry) -> Option<String> {
    let lines = format!("ImageJ=1.54f\nimages={frames}\nslices={frames}\nunit=mm\nspacing={}\n", geometry.spacing[2]);
    geometry.known.then_some(lines)
}

/// Pixels on so many millimetres, to a millionth.
fn pixels_per(millimetres: f64, spacing: f64) -> Rational {
    let fine = 1e6 * millimetres / spacing;
    match fine < f64::from(u32::MAX) {
        true => Rational { n: fine.round() as u32, d: 1_000_000 },
        false => Rational { n: (millimetres / spacing).round() as u32, d: 1 },
    }
}
