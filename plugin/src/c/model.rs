//! Networks on a device.

use crate::engine::{forward, get};
use sam_octa2_abi::raw::opaque::Model;
use sam_octa2_abi::raw::{ErrorBox, HostStruct, Model1, Status};
use std::ffi::c_char;

/// `sam_octa2.model/1`
pub static TABLE: Model1 =
    Model1 { load: sam_octa2_model_load, describe: sam_octa2_model_describe, free: sam_octa2_model_free };

/// `[any thread; blocks]` Loads a model. `request`: JSON `{"model": NAME or FILE, "model_config"?, "device"?, "precision"?, "weights_dirs"?}`.
/// Several sessions may share one model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_model_load(
    request: *const c_char,
    host: *const HostStruct,
    model: *mut *mut Model,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.model.load)(request, host, model, error) })
}

/// `[any thread]` Its file, device, precision, input size and fingerprint, as JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_model_describe(
    model: *mut Model,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.model.describe)(model, reply, error) })
}

/// `[any thread]` Frees a handle; sessions made from it live on. Null does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_model_free(model: *mut Model) {
    if let (false, Ok(engine)) = (model.is_null(), get()) {
        unsafe { (engine.model.free)(model) }
    }
}
