//! Results: one object on one slice (`sam_octa2_session_prompt`, `_mask`, a propagation), or the whole stack of object numbers
//! (`sam_octa2_session_labels`). A mask never changes.

use crate::engine::{forward, get};
use sam_octa2_abi::raw::opaque::{DlTensor, Mask};
use sam_octa2_abi::raw::{ErrorBox, Mask1, Status, ViewStruct};
use std::ffi::c_char;

/// `sam_octa2.mask/1`
pub static TABLE: Mask1 = Mask1 {
    info: sam_octa2_mask_info,
    view: sam_octa2_mask_view,
    rle: sam_octa2_mask_rle,
    dlpack: sam_octa2_mask_dlpack,
    write: sam_octa2_mask_write,
    retain: sam_octa2_mask_retain,
    free: sam_octa2_mask_free,
};

/// `[any thread]` As JSON: of a slice `frame`, `object`, `iou`, `score`, `area`; of a stack `shape` and `objects`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_mask_info(
    mask: *mut Mask,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.mask.info)(mask, reply, error) })
}

/// `[any thread]` The values as shared read-only memory: `form` is one of SAM_OCTA2_FORM_.... Release the view when done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_mask_view(
    mask: *mut Mask,
    form: u32,
    view: *mut ViewStruct,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.mask.view)(mask, form, view, error) })
}

/// `[any thread]` COCO run lengths as JSON: of a slice `{"size": [rows, columns], "counts": [...]}`, of a stack a list of these with `frame` and
/// `object`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_mask_rle(
    mask: *mut Mask,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.mask.rle)(mask, reply, error) })
}

/// `[any thread]` The same values as a DLPack tensor (`DLManagedTensorVersioned`, CPU, with DLPack's flag for
/// read-only memory, which some consumers pass over: copy for those): its own deleter frees it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_mask_dlpack(
    mask: *mut Mask,
    form: u32,
    tensor: *mut *mut DlTensor,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.mask.dlpack)(mask, form, tensor, error) })
}

/// `[any thread; blocks]` Writes a stack of object numbers in the format of the path's ending. `options`: JSON (docs/formats.md) or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_mask_write(
    mask: *mut Mask,
    path: *const c_char,
    options: *const c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.mask.write)(mask, path, options, error) })
}

/// `[any thread]` Another handle to the same mask, to keep one that was lent to a callback. Null gives null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_mask_retain(mask: *mut Mask) -> *mut Mask {
    match (mask.is_null(), get()) {
        (false, Ok(engine)) => unsafe { (engine.mask.retain)(mask) },
        _ => std::ptr::null_mut(),
    }
}

/// `[any thread]` Frees a handle; views of it live on. Null does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_mask_free(mask: *mut Mask) {
    if let (false, Ok(engine)) = (mask.is_null(), get()) {
        unsafe { (engine.mask.free)(mask) }
    }
}
