//! The functions of `system`: who the library is, errors, texts, cancelling, whole tasks.

use crate::engine::forward;
use crate::{MANIFEST, task};
use sam_octa2_abi::raw::{Cancel, ErrorBox, Failure, HostStruct, Reply, Status, Text};
use sam_octa2_boundary::c;
use sam_octa2_boundary::watch::set_eager;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;

pub unsafe fn abi_version() -> u32 {
    1
}

pub unsafe fn manifest() -> Text {
    static TEXT: OnceLock<CString> = OnceLock::new();
    TEXT.get_or_init(|| CString::new(MANIFEST).unwrap_or_default()).as_ptr()
}

pub unsafe fn start(error: Failure) -> Status {
    forward(error, |_| 0)
}

pub unsafe fn capabilities(reply: Reply, error: Failure) -> Status {
    forward(error, |engine| unsafe { (engine.capabilities)(reply, error) })
}

pub unsafe fn task(name: Text, request: Text, host: *const HostStruct, reply: Reply, error: Failure) -> Status {
    unsafe { task::run_c(name, request, host, reply, error) }
}

pub unsafe fn set_threads(count: u32, error: Failure) -> Status {
    forward(error, |engine| unsafe { (engine.set_threads)(count, error) })
}

pub unsafe fn selftest(what: Text, host: *const HostStruct, error: Failure) -> Status {
    if let Ok(what @ ("eager" | "patient")) = unsafe { c::text("what", what) } {
        set_eager(what == "eager"); // here, and below in the engine
    }
    forward(error, |engine| unsafe { (engine.run_selftest)(what, host, error) })
}

pub unsafe fn text_free(text: *mut c_char) {
    unsafe { c::text_free(text) }
}

pub unsafe fn error_status(error: *const ErrorBox) -> Status {
    unsafe { error.as_ref() }.map_or(0, ErrorBox::status)
}

pub unsafe fn error_code(error: *const ErrorBox) -> Text {
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), ErrorBox::code)
}

pub unsafe fn error_message(error: *const ErrorBox) -> Text {
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), ErrorBox::message)
}

pub unsafe fn error_detail(error: *const ErrorBox) -> Text {
    unsafe { error.as_ref() }.map_or(c"{}".as_ptr(), ErrorBox::detail)
}

pub unsafe fn error_free(error: *mut ErrorBox) {
    if !error.is_null() {
        unsafe { ErrorBox::free(error) }
    }
}

pub unsafe fn cancel_new() -> *mut Cancel {
    Box::into_raw(Box::default())
}

pub unsafe fn cancel_trigger(cancel: *const Cancel) {
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        cancel.trigger();
    }
}

pub unsafe fn cancel_free(cancel: *mut Cancel) {
    if !cancel.is_null() {
        drop(unsafe { Box::from_raw(cancel) });
    }
}
