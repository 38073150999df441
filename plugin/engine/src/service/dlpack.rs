//! The same shared values as DLPack tensors (DLPack 1.1, `dlpack.h`), which numpy, torch, jax and others take without a copy.

use super::mask::{Shared, Values};
use sam_octa2_abi::raw::{DTYPES, opaque};
use std::ffi::c_void;

#[repr(C)]
struct Version {
    major: u32,
    minor: u32,
}

#[repr(C)]
struct Device {
    kind: i32,
    id: i32,
}

#[repr(C)]
struct DataType {
    code: u8,
    bits: u8,
    lanes: u16,
}

/// `DLTensor`
#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device: Device,
    ndim: i32,
    dtype: DataType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

/// `DLManagedTensorVersioned`
#[repr(C)]
struct Managed {
    version: Version,
    manager_ctx: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Managed)>,
    flags: u64,
    tensor: Tensor,
}

/// What a tensor keeps alive.
struct Kept {
    _values: Values,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

const CPU: i32 = 1;
const READ_ONLY: u64 = 1;

/// A tensor that keeps the values alive until its deleter is called.
pub fn export(shared: Shared) -> *mut opaque::DlTensor {
    let (data, dtype) = shared.values.memory();
    let number = DTYPES.iter().find(|(name, _)| *name == dtype).map_or(0, |(_, number)| *number);
    let shape: Vec<i64> = shared.shape.iter().map(|&n| n as i64).collect();
    // in values, not in bytes as everywhere else
    let strides: Vec<i64> = (0..shape.len()).map(|at| shape[at + 1..].iter().product()).collect();
    let ndim = shape.len() as i32;
    let mut kept = Box::new(Kept { _values: shared.values, shape, strides });
    let tensor = Tensor {
        data: data.cast_mut().cast(),
        device: Device { kind: CPU, id: 0 },
        ndim,
        dtype: DataType { code: (number >> 8) as u8, bits: number as u8, lanes: 1 },
        shape: kept.shape.as_mut_ptr(),
        strides: kept.strides.as_mut_ptr(),
        byte_offset: 0,
    };
    let managed = Managed {
        version: Version { major: 1, minor: 1 },
        manager_ctx: Box::into_raw(kept).cast(),
        deleter: Some(delete),
        flags: READ_ONLY,
        tensor,
    };
    Box::into_raw(Box::new(managed)).cast()
}

unsafe extern "C" fn delete(managed: *mut Managed) {
    // Safety: `export` made both; DLPack calls this once.
    unsafe {
        let managed = Box::from_raw(managed);
        drop(Box::from_raw(managed.manager_ctx.cast::<Kept>()));
    }
}
