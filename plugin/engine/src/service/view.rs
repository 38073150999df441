//! Blocks of memory that cross the boundary: the host's, read where they lie, and ours, shared read-only.

use super::mask::{Shared, Values};
use crate::convert;
use sam_octa2_abi::PluginError;
use sam_octa2_abi::raw::{DTYPES, ViewStruct};
use sam_octa2_boundary::c::sized;
use sam_octa2_core::volume::{Geometry, Volume};
use std::ffi::c_void;

/// The host's owner of a block: released once, when this goes.
pub struct Owner {
    owner: *mut c_void,
    release: Option<unsafe extern "C" fn(*mut c_void)>,
}

// Safety: the header allows `release` on any thread, and nothing else is done with `owner`.
unsafe impl Send for Owner {}
unsafe impl Sync for Owner {}

impl Owner {
    /// Takes the duty to release from a view: from here on it is released, whatever happens. A struct too short to say who owns the
    /// memory gives none.
    ///
    /// # Safety
    /// `view` is null or leads to as many bytes as the struct there says.
    pub unsafe fn of(view: *const ViewStruct) -> Self {
        // Safety: the caller's promise.
        match (view.is_null(), unsafe { sized(view) }) {
            (false, Ok(view)) => Self { owner: view.owner, release: view.release },
            _ => Self { owner: std::ptr::null_mut(), release: None },
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // Safety: the host's function with the host's argument, once.
            unsafe { release(self.owner) }
        }
    }
}

/// numpy's name of a view's type.
pub fn dtype(view: &ViewStruct) -> Result<&'static str, PluginError> {
    let found = DTYPES.iter().find(|(_, number)| *number == view.dtype).map(|(name, _)| *name);
    found.ok_or_else(|| {
        let names = DTYPES.map(|(name, number)| format!("{name} 0x{number:04x}")).join(", ");
        convert::invalid(format!("0x{:04x} is no type of values; there are {names}", view.dtype))
    })
}

/// A volume over the host's memory.
///
/// # Safety
/// The memory that `view` describes may be read until its `release` is called.
pub unsafe fn lent(view: &ViewStruct, owner: Owner) -> Result<Volume, PluginError> {
    let dtype = dtype(view)?.parse().map_err(convert::error)?;
    let (shape, strides) = match view.dimensions {
        3 => ([view.shape[0], view.shape[1], view.shape[2], 1], [view.strides[0], view.strides[1], view.strides[2], 0]),
        4 => (view.shape, view.strides),
        other => {
            return Err(convert::invalid(format!(
                "a volume has 3 dimensions (frames, rows, columns) or 4 (with channels), not {other}"
            )));
        }
    };
    let mut extents = [0usize; 4];
    for (to, &from) in extents.iter_mut().zip(&shape) {
        *to = usize::try_from(from).map_err(|_| convert::invalid(format!("a volume of shape {shape:?} cannot be")))?;
    }
    let geometry = geometry(view)?;
    // Safety: the caller's promise.
    let volume = unsafe {
        Volume::lent(view.data.cast(), extents, strides.map(|n| n as isize), dtype, Box::new(owner), geometry)
    };
    volume.map_err(convert::error)
}

fn geometry(view: &ViewStruct) -> Result<Geometry, PluginError> {
    if view.has_affine == 0 {
        return Ok(Geometry::unknown());
    }
    let mut affine = [[0.0; 4]; 4];
    affine.as_flattened_mut().copy_from_slice(&view.affine);
    Geometry::checked(affine).map_err(convert::error)
}

/// Our values for the host, kept alive until it releases them.
pub fn share(shared: Shared) -> ViewStruct {
    let (data, dtype) = shared.values.memory();
    let number = DTYPES.iter().find(|(name, _)| *name == dtype).map_or(0, |(_, number)| *number);
    let mut view = ViewStruct {
        data: data.cast(),
        dtype: number,
        dimensions: shared.shape.len() as u32,
        owner: Box::into_raw(Box::new(shared.values)).cast(),
        release: Some(release),
        has_affine: i32::from(shared.affine.is_some()),
        affine: shared.affine.unwrap_or_default(),
        ..ViewStruct::empty()
    };
    let mut stride = i64::from(number & 0xff) / 8;
    for (at, &extent) in shared.shape.iter().enumerate().rev() {
        (view.shape[at], view.strides[at]) = (extent as i64, stride);
        stride *= extent as i64;
    }
    view
}

unsafe extern "C" fn release(owner: *mut c_void) {
    // Safety: `share` made it; the host calls this once.
    drop(unsafe { Box::from_raw(owner.cast::<Values>()) });
}
