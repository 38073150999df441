//! Blocks of values that cross the boundary without a copy.

use crate::PluginError;
use crate::raw::{DTYPES, ViewStruct};
use std::ffi::c_void;
use std::sync::Arc;

/// A type of values.
///
/// # Safety
/// `DTYPE` is numpy's name of this very type.
pub unsafe trait Element: Copy + Send + Sync + 'static {
    /// numpy's name
    const DTYPE: &'static str;
}

macro_rules! elements {
    ($($kind:ty: $name:literal),+) => {$(
        // Safety: the names are numpy's.
        unsafe impl Element for $kind {
            const DTYPE: &'static str = $name;
        }
    )+

    impl View {
        /// The values as numbers, whatever their type; `None` for a type without a name or values with gaps.
        pub fn to_f64(&self) -> Option<Vec<f64>> {
            match self.dtype() {
                $($name => self.values::<$kind>().map(|values| values.iter().map(|&value| value as f64).collect()),)+
                _ => None,
            }
        }
    }
    };
}
elements!(
    i8: "int8", i16: "int16", i32: "int32", i64: "int64", u8: "uint8", u16: "uint16", u32: "uint32", u64: "uint64",
    f32: "float32", f64: "float64"
);

/// Read-only values of the plugin's, released when this is dropped.
pub struct View(ViewStruct);

// Safety: nobody writes to what a view shows, and the header allows `release` on any thread.
unsafe impl Send for View {}
unsafe impl Sync for View {}

impl View {
    pub(super) fn new(view: ViewStruct) -> Self {
        Self(view)
    }

    /// Extents, slowest first.
    pub fn shape(&self) -> Vec<usize> {
        self.0.shape.iter().take(self.0.dimensions as usize).map(|&n| n.max(0) as usize).collect()
    }

    /// numpy's name of the type.
    pub fn dtype(&self) -> &'static str {
        DTYPES.iter().find(|(_, number)| *number == self.0.dtype).map_or("unknown", |(name, _)| name)
    }

    /// The values, the last dimension running fastest, if they are of this type and without gaps.
    pub fn values<T: Element>(&self) -> Option<&[T]> {
        let shape = self.shape();
        let mut stride = size_of::<T>() as i64;
        for at in (0..shape.len()).rev() {
            if self.0.strides[at] != stride && shape[at] > 1 {
                return None;
            }
            stride *= shape[at] as i64;
        }
        let count = shape.iter().product();
        if self.dtype() != T::DTYPE || self.0.data.is_null() || !self.0.data.cast::<T>().is_aligned() {
            return None;
        }
        // Safety: the plugin shows `count` values of this type until `release`.
        Some(unsafe { std::slice::from_raw_parts(self.0.data.cast(), count) })
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({} {:?})", self.dtype(), self.shape())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(release) = self.0.release {
            // Safety: once.
            unsafe { release(self.0.owner) }
        }
    }
}

/// Values of the host's for the plugin, `shape` slowest first; the plugin's release drops this side's share of them.
pub(super) fn lent<T: Element>(values: Arc<Vec<T>>, shape: &[usize]) -> Result<ViewStruct, PluginError> {
    let invalid = |what: String| PluginError::new("invalid_argument", what);
    if !(2..=4).contains(&shape.len()) {
        return Err(invalid(format!("a shape of {} dimensions", shape.len())));
    }
    if shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)) != Some(values.len()) {
        return Err(invalid(format!("{} values do not fill the shape {shape:?}", values.len())));
    }
    let mut view = ViewStruct {
        data: values.as_ptr().cast(),
        dtype: DTYPES.iter().find(|(name, _)| *name == T::DTYPE).map_or(0, |(_, number)| *number),
        dimensions: shape.len() as u32,
        owner: Arc::into_raw(values).cast_mut().cast(),
        release: Some(release::<T>),
        ..ViewStruct::empty()
    };
    let mut stride = size_of::<T>() as i64;
    for (at, &extent) in shape.iter().enumerate().rev() {
        (view.shape[at], view.strides[at]) = (extent as i64, stride);
        stride *= extent as i64;
    }
    Ok(view)
}

unsafe extern "C" fn release<T>(owner: *mut c_void) {
    // Safety: `lent` gave it, the plugin gives it back once.
    drop(unsafe { Arc::from_raw(owner.cast::<Vec<T>>()) });
}
