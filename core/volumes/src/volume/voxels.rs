//! Voxel values in the type that the file declares.

/// Voxel values in `[frames, rows, columns, channels]` order, in the type that the file declares.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Voxels {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Runs one expression over whichever vector a [`Voxels`] holds.
#[macro_export]
macro_rules! with_voxels {
    ($voxels:expr, $values:ident => $body:expr) => {{
        // casts that seven of the ten types need
        #[allow(clippy::unnecessary_cast, clippy::let_and_return, clippy::let_unit_value)]
        let result = match $voxels {
            $crate::volume::Voxels::U8($values) => $body,
            $crate::volume::Voxels::I8($values) => $body,
            $crate::volume::Voxels::U16($values) => $body,
            $crate::volume::Voxels::I16($values) => $body,
            $crate::volume::Voxels::U32($values) => $body,
            $crate::volume::Voxels::I32($values) => $body,
            $crate::volume::Voxels::U64($values) => $body,
            $crate::volume::Voxels::I64($values) => $body,
            $crate::volume::Voxels::F32($values) => $body,
            $crate::volume::Voxels::F64($values) => $body,
        };
        result
    }};
}

macro_rules! voxels_from {
    ($($variant:ident: $element:ty),*) => {$(
        impl From<Vec<$element>> for Voxels {
            fn from(values: Vec<$element>) -> Self {
                Self::$variant(values)
            }
        }
    )*};
}
voxels_from!(U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, U64: u64, I64: i64, F32: f32, F64: f64);

impl Voxels {
    /// Number of values, channels included.
    pub fn len(&self) -> usize {
        with_voxels!(self, values => values.len())
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        with_voxels!(self, values => std::mem::size_of_val(values.as_slice()))
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// numpy's name of the type: `uint8`, `float32`, ...
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::U8(_) => "uint8",
            Self::I8(_) => "int8",
            Self::U16(_) => "uint16",
            Self::I16(_) => "int16",
            Self::U32(_) => "uint32",
            Self::I32(_) => "int32",
            Self::U64(_) => "uint64",
            Self::I64(_) => "int64",
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
        }
    }

    /// Takes the values of `other` to the end; `false` (and nothing done) when the types differ.
    pub fn append(&mut self, other: &Self) -> bool {
        macro_rules! same_type {
            ($($variant:ident),*) => {
                match (self, other) {
                    $((Self::$variant(values), Self::$variant(more)) => values.extend_from_slice(more),)*
                    _ => return false,
                }
            };
        }
        same_type!(U8, I8, U16, I16, U32, I32, U64, I64, F32, F64);
        true
    }

    /// A copy of some of the values.
    pub fn part(&self, range: std::ops::Range<usize>) -> Self {
        with_voxels!(self, values => Self::from(values[range].to_vec()))
    }

    /// These numbers in the type of this one's values, rounded towards zero where that has whole numbers.
    pub fn of_same_type(&self, numbers: &[f64]) -> Self {
        macro_rules! same {
            ($($variant:ident: $element:ty),*) => {
                match self {
                    $(Self::$variant(_) => Self::$variant(numbers.iter().map(|&v| v as $element).collect()),)*
                }
            };
        }
        same!(U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, U64: u64, I64: i64, F32: f32, F64: f64)
    }

    /// Grows to `count` values, the new ones 0, and takes values of `other`: of each pair to where, and from where. Nothing where types differ.
    pub fn scatter(&mut self, count: usize, other: &Self, moves: &[(usize, usize)]) {
        macro_rules! same_type {
            ($($variant:ident: $zero:expr),*) => {
                match (self, other) {
                    $((Self::$variant(values), Self::$variant(from)) => {
                        values.resize(count, $zero);
                        moves.iter().for_each(|&(to, at)| values[to] = from[at]);
                    })*
                    _ => {}
                }
            };
        }
        same_type!(U8: 0, I8: 0, U16: 0, I16: 0, U32: 0, I32: 0, U64: 0, I64: 0, F32: 0.0, F64: 0.0);
    }

    /// The values as float32.
    pub fn to_f32(&self) -> Vec<f32> {
        with_voxels!(self, values => values.iter().map(|&v| v as f32).collect())
    }

    /// Smallest and largest finite value; `None` when there is none.
    pub fn range(&self) -> Option<(f64, f64)> {
        // integers are compared as such: many at a time
        macro_rules! range {
            ($values:expr) => {{
                let first = *$values.first()?;
                let (low, high) = $values.iter().fold((first, first), |(low, high), &v| (low.min(v), high.max(v)));
                Some((low as f64, high as f64))
            }};
        }
        match self {
            Self::U8(values) => range!(values),
            Self::I8(values) => range!(values),
            Self::U16(values) => range!(values),
            Self::I16(values) => range!(values),
            Self::U32(values) => range!(values),
            Self::I32(values) => range!(values),
            Self::U64(values) => range!(values),
            Self::I64(values) => range!(values),
            Self::F32(values) => finite_range(values),
            Self::F64(values) => finite_range(values),
        }
    }
}

fn finite_range<T: Copy + Into<f64>>(values: &[T]) -> Option<(f64, f64)> {
    let (low, high) = values
        .iter()
        .map(|&v| v.into())
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    (low <= high).then_some((low, high))
}
