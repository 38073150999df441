//! A host's prompt: pixels of a slice or millimetres in the patient, a lent mask, as the session's [`Marks`].

use super::view::{self, Owner};
use crate::convert;
use sam_octa2_abi::PluginError;
use sam_octa2_abi::raw::{PROMPT_PATIENT, PROMPT_REPLACE, PromptStruct, ViewStruct};
use sam_octa2_boundary::c::sized;
use sam_octa2_core::session::{Marks, Mask, Point};
use sam_octa2_core::volume::{Dtype, Geometry, Volume, Voxels};
use std::slice;

/// The duty to release a prompt's mask.
///
/// # Safety
/// `prompt` and its mask are null or lead to as many bytes as the structs there say.
pub unsafe fn duty(prompt: *const PromptStruct) -> Option<Owner> {
    // Safety: the caller's promise.
    unsafe {
        let prompt = if prompt.is_null() { None } else { sized(prompt).ok() };
        prompt.map(|prompt| Owner::of(prompt.mask))
    }
}

/// The slice and what is marked on it.
///
/// # Safety
/// The pointers of `prompt` are null or lead to as many values as it says.
pub unsafe fn read(prompt: &PromptStruct, duty: Option<Owner>, volume: &Volume) -> Result<(usize, Marks), PluginError> {
    // Safety: the caller's promise, here and below.
    let mask = if prompt.mask.is_null() { None } else { Some(unsafe { sized(prompt.mask) }?) };
    let places = if prompt.flags & PROMPT_PATIENT != 0 { 3 } else { 2 };
    let points = match prompt.point_count {
        0 => &[][..],
        count if prompt.points.is_null() || count > 1 << 20 => {
            return Err(convert::invalid(format!("{count} points, but `points` is null or there are too many")));
        }
        count => unsafe { slice::from_raw_parts(prompt.points, count * places) },
    };
    let labels = match prompt.labels.is_null() {
        true => &[][..],
        false => unsafe { slice::from_raw_parts(prompt.labels, prompt.point_count) },
    };
    let bounds = match prompt.bounds.is_null() {
        true => &[][..],
        false => unsafe { slice::from_raw_parts(prompt.bounds, 2 * places) },
    };
    // Safety: as above.
    let several = |name: &str, values: *const f64, count: usize| match count {
        0 => Ok(&[][..]),
        count if values.is_null() || count > 1 << 20 => {
            Err(convert::invalid(format!("{count} places, but `{name}` is null or there are too many")))
        }
        count => Ok(unsafe { slice::from_raw_parts(values, count * places) }),
    };
    let line = several("line", prompt.line, prompt.line_count)?;
    let polygon = several("polygon", prompt.polygon, prompt.polygon_count)?;
    let placed = |values: &[f64]| if places == 3 { in_patient(values, volume) } else { Ok(in_pixels(values)) };
    let (point_frame, points) = placed(points)?;
    let (box_frame, corners) = placed(bounds)?;
    let (line_frame, line) = placed(line)?;
    let (polygon_frame, polygon) = placed(polygon)?;
    let said: Vec<usize> = [point_frame, box_frame, line_frame, polygon_frame].into_iter().flatten().collect();
    let frame = match said.first() {
        Some(&frame) => match said.iter().find(|&&other| other != frame) {
            Some(&other) => return Err(several_slices(frame, other)),
            None => frame,
        },
        None => usize::try_from(prompt.frame)
            .map_err(|_| convert::invalid(format!("slice {} does not exist: slices count from 0", prompt.frame)))?,
    };
    let bounds = match corners[..] {
        [[x0, y0], [x1, y1]] if places == 3 => Some([x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)]),
        [[x0, y0], [x1, y1]] => Some([x0, y0, x1, y1]),
        _ => None,
    };
    let mut points = Point::pairs(&points, labels).map_err(convert::error)?;
    if !line.is_empty() {
        let clicks = Point::scribble(&line, prompt.line_width as f32, prompt.line_label != 0);
        points.extend(clicks.map_err(convert::error)?);
    }
    let mut mask = mask.zip(duty).map(|(mask, owner)| unsafe { read_mask(&mask, owner, volume) }).transpose()?;
    if !polygon.is_empty() {
        if mask.is_some() {
            return Err(convert::invalid("a prompt has one drawn mask: give `mask` or `polygon`"));
        }
        mask = Some(Mask::polygon(volume.rows, volume.columns, &polygon).map_err(convert::error)?);
    }
    let choice = u8::try_from(prompt.choice).unwrap_or(u8::MAX);
    let replace = prompt.flags & PROMPT_REPLACE != 0;
    Ok((frame, Marks { points, bounds, mask, replace, choice: Some(choice).filter(|&choice| choice != 0) }))
}

type Placed = (Option<usize>, Vec<[f32; 2]>);

fn in_pixels(values: &[f64]) -> Placed {
    (None, values.chunks_exact(2).map(|at| [at[0] as f32, at[1] as f32]).collect())
}

/// how far beyond the last half of a voxel a place may lie: millimetres are rounded
const ROUNDING: f64 = 1e-6;

/// Voxel indices of places in the patient: a whole number is the centre of a voxel, which reaches half a voxel to all sides.
fn in_patient(values: &[f64], volume: &Volume) -> Result<Placed, PluginError> {
    let mut frame = None;
    let mut points = Vec::with_capacity(values.len() / 3);
    for place in values.chunks_exact(3) {
        let index = volume.geometry.to_index([place[0], place[1], place[2]]).map_err(convert::error)?;
        let extents = [volume.columns, volume.rows, volume.frames].map(|n| n as f64);
        let inside = |(i, n): (&f64, f64)| (-0.5 - ROUNDING..=n - 0.5 + ROUNDING).contains(i);
        if !index.iter().zip(extents).all(inside) {
            return Err(convert::invalid(format!(
                "({}, {}, {}) mm lies outside of the volume, at voxel ({:.1}, {:.1}, {:.1})",
                place[0], place[1], place[2], index[0], index[1], index[2]
            )));
        }
        let slice = (index[2].round().max(0.0) as usize).min(volume.frames - 1);
        match frame {
            Some(other) if other != slice => return Err(several_slices(other, slice)),
            _ => frame = Some(slice),
        }
        points.push([0, 1].map(|axis| index[axis].clamp(-0.5, extents[axis] - 0.5) as f32));
    }
    Ok((frame, points))
}

fn several_slices(one: usize, other: usize) -> PluginError {
    convert::invalid(format!("a prompt marks one slice, but its places lie on slices {one} and {other}"))
}

/// A drawn mask is one slice of a lent volume: read in any order, refused for the same reasons.
///
/// # Safety
/// The memory of the view may be read until `owner` is dropped.
unsafe fn read_mask(mask: &ViewStruct, owner: Owner, volume: &Volume) -> Result<Mask, PluginError> {
    let dtype = view::dtype(mask)?;
    if mask.dimensions != 2 || dtype != "uint8" {
        return Err(convert::invalid(format!(
            "a mask is uint8 [rows, columns], not {dtype} with {} dimensions",
            mask.dimensions
        )));
    }
    let (rows, columns) = (volume.rows, volume.columns);
    if mask.shape[..2] != [rows as i64, columns as i64] {
        let [high, wide, ..] = mask.shape;
        return Err(convert::invalid(format!(
            "the mask is {wide} wide and {high} high, but the slice is {columns} wide and {rows} high"
        )));
    }
    let strides = [0, mask.strides[0] as isize, mask.strides[1] as isize, 0];
    // Safety: the caller's promise.
    let lent = unsafe {
        let shape = [1, rows, columns, 1];
        Volume::lent(mask.data.cast(), shape, strides, Dtype::Bool, Box::new(owner), Geometry::unknown())
    };
    let slice = lent.and_then(|volume| volume.frame(0)).map_err(convert::error)?;
    let Voxels::U8(values) = slice else { return Err(convert::invalid("a mask is uint8")) };
    Ok(Mask { rows, columns, pixels: values.into_iter().map(|value| value != 0).collect() })
}
