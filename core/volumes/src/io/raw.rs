//! Numbers as they lie in files that are not compressed: NIfTI and `.npy`.

use crate::progress::checkpoint;
use bytemuck::{Pod, Zeroable};
use std::io::{ErrorKind, Read};

/// Memory is asked for as bytes arrive, in steps of this size: a header that promises more than there is costs nothing. A step stays in
/// the processor's cache between being made and being filled.
const STEP: usize = 256 << 10;

/// Reads `count` values of one type.
pub(super) fn numbers<T: Pod + Zeroable>(
    reader: &mut dyn Read,
    count: usize,
    big_endian: bool,
) -> std::io::Result<Vec<T>> {
    let mut values: Vec<T> = Vec::new();
    values.try_reserve_exact(count).map_err(|_| std::io::Error::from(ErrorKind::OutOfMemory))?;
    while values.len() < count {
        checkpoint();
        let start = values.len();
        values.resize(count.min(start + STEP / size_of::<T>()), T::zeroed());
        let bytes = bytemuck::cast_slice_mut(&mut values[start..]);
        reader.read_exact(bytes)?;
        if big_endian != cfg!(target_endian = "big") && size_of::<T>() > 1 {
            bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
        }
    }
    Ok(values)
}
