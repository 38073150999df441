//! Blocks of numbers as they come from viewers: little-endian bytes with a type and a shape, the last dimension running fastest.

use super::refusal::{Answer, Refusal};
use sam_octa2_abi::{Api, Element, Volume};
use std::sync::Arc;

/// A type of numbers, named as in numpy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// int8 and so on
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
}

impl Kind {
    /// By numpy's long name.
    pub fn named(name: &str) -> Answer<Self> {
        Ok(match name {
            "int8" => Self::I8,
            "int16" => Self::I16,
            "int32" => Self::I32,
            "int64" => Self::I64,
            "uint8" | "bool" => Self::U8,
            "uint16" => Self::U16,
            "uint32" => Self::U32,
            "uint64" => Self::U64,
            "float32" => Self::F32,
            "float64" => Self::F64,
            other => return Err(Refusal::bad(format!("values of type {other:.20} cannot be read; send float32"))),
        })
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

/// A block of numbers.
#[derive(Debug)]
pub struct Array {
    kind: Kind,
    /// slowest first
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// How many numbers a shape holds, if that can be told.
pub fn count(shape: &[usize]) -> Answer<usize> {
    let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).filter(|&count| count > 0);
    count.ok_or_else(|| Refusal::bad(format!("the shape {shape:?} holds no values, or more than there can be")))
}

impl Array {
    /// Checks that the bytes fill the shape.
    pub fn new(kind: Kind, shape: Vec<usize>, bytes: Vec<u8>) -> Answer<Self> {
        let expected = count(&shape)?.checked_mul(kind.size());
        match expected == Some(bytes.len()) {
            true => Ok(Self { kind, shape, bytes }),
            false => Err(Refusal::bad(format!(
                "{} bytes came, but {shape:?} values of {} bytes are more or fewer",
                bytes.len(),
                kind.size()
            ))),
        }
    }

    /// A grey volume `[frames, rows, columns]`, or `[frames, rows, columns, 3]`, lent to the plugin. Whole numbers that a viewer sent as
    /// floats become what they were: the plugin shows 8-bit values to the model as they are, and all others within a window.
    pub fn into_volume(self, api: Api, affine: Option<[f64; 16]>) -> Answer<Volume> {
        let Self { kind, shape, bytes } = self;
        Ok(match kind {
            Kind::I8 => lend(api, read(&bytes, i8::from_le_bytes), &shape, affine)?,
            Kind::I16 => lend(api, read(&bytes, i16::from_le_bytes), &shape, affine)?,
            Kind::I32 => lend(api, read(&bytes, i32::from_le_bytes), &shape, affine)?,
            Kind::I64 => lend(api, read(&bytes, i64::from_le_bytes), &shape, affine)?,
            Kind::U8 => lend(api, bytes, &shape, affine)?,
            Kind::U16 => lend(api, read(&bytes, u16::from_le_bytes), &shape, affine)?,
            Kind::U32 => lend(api, read(&bytes, u32::from_le_bytes), &shape, affine)?,
            Kind::U64 => lend(api, read(&bytes, u64::from_le_bytes), &shape, affine)?,
            Kind::F32 => floats(api, read(&bytes, f32::from_le_bytes), &shape, affine)?,
            Kind::F64 => lend(api, read(&bytes, f64::from_le_bytes), &shape, affine)?,
        })
    }

    /// Where the values are not zero.
    pub fn into_drawn(self) -> Vec<bool> {
        let nonzero = |value: &[u8]| match self.kind {
            Kind::F32 | Kind::F64 => {
                value.iter().rev().enumerate().any(|(at, &byte)| byte & if at == 0 { 0x7f } else { 0xff } != 0)
            }
            _ => value.iter().any(|&byte| byte != 0),
        };
        self.bytes.chunks_exact(self.kind.size()).map(nonzero).collect()
    }
}

fn read<T, const N: usize>(bytes: &[u8], one: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&value| one(value)).collect()
}

fn lend<T: Element>(api: Api, values: Vec<T>, shape: &[usize], affine: Option<[f64; 16]>) -> Answer<Volume> {
    Ok(api.lend_volume(Arc::new(values), shape, affine)?)
}

fn floats(api: Api, values: Vec<f32>, shape: &[usize], affine: Option<[f64; 16]>) -> Answer<Volume> {
    let whole = |low: f32, high: f32| values.iter().all(|&value| value.fract() == 0.0 && (low..=high).contains(&value));
    if whole(0.0, 255.0) {
        return lend(api, values.into_iter().map(|value| value as u8).collect(), shape, affine);
    }
    if whole(-32768.0, 32767.0) {
        return lend(api, values.into_iter().map(|value| value as i16).collect(), shape, affine);
    }
    lend(api, values, shape, affine)
}

/// Voxel index (x, y, z) to millimetres (RAS+), from ITK's spacing, origin and direction (LPS, row-major).
pub fn affine(spacing: [f64; 3], origin: [f64; 3], direction: [f64; 9]) -> Option<[f64; 16]> {
    let mut affine = [0.0; 16];
    for row in 0..3 {
        let sign = if row < 2 { -1.0 } else { 1.0 };
        for column in 0..3 {
            affine[4 * row + column] = sign * direction[3 * row + column] * spacing[column];
        }
        affine[4 * row + 3] = sign * origin[row];
    }
    affine[15] = 1.0;
    let d = |a: usize, b: usize| affine[a] * affine[b];
    let determinant =
        affine[0] * (d(5, 10) - d(6, 9)) - affine[1] * (d(4, 10) - d(6, 8)) + affine[2] * (d(4, 9) - d(5, 8));
    (affine.iter().all(|value| value.is_finite()) && determinant.abs() > 1e-12).then_some(affine)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_negative_zero_is_not_drawn() {
        let bytes = [0.0f32, -0.0, 1.0, -1.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let drawn = Array::new(Kind::F32, vec![2, 2], bytes).unwrap().into_drawn();
        assert_eq!(drawn, [false, false, true, true]);
    }

    #[test]
    fn shapes_are_compared_with_the_bytes() {
        assert!(Array::new(Kind::U16, vec![2, 3], vec![0; 12]).is_ok());
        assert!(Array::new(Kind::U16, vec![2, 3], vec![0; 11]).is_err());
        assert!(Array::new(Kind::U8, vec![0, 3], vec![]).is_err());
        assert!(Array::new(Kind::U8, vec![usize::MAX, 3], vec![]).is_err());
    }

    #[test]
    fn itk_lies_in_lps() {
        let affine =
            affine([2.0, 3.0, 4.0], [10.0, 20.0, 30.0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]).unwrap();
        assert_eq!(affine[..4], [-2.0, 0.0, 0.0, -10.0]);
        assert_eq!(affine[8..12], [0.0, 0.0, 4.0, 30.0]);
        assert!(super::affine([0.0, 3.0, 4.0], [0.0; 3], [1.0; 9]).is_none());
    }
}
