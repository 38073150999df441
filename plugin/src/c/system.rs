//! The library as a whole: who it is, errors, texts, cancelling, whole tasks.

use crate::engine::forward;
use crate::{MANIFEST, task};
use sam_octa2_abi::raw::{Cancel, ErrorBox, HostStruct, Status, System1};
use sam_octa2_boundary::c;
use sam_octa2_boundary::watch::set_eager;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;

/// `sam_octa2.system/1`
pub static TABLE: System1 = System1 {
    start: sam_octa2_start,
    capabilities: sam_octa2_capabilities,
    task: sam_octa2_task,
    set_threads: sam_octa2_set_threads,
    selftest: sam_octa2_selftest,
    text_free: sam_octa2_text_free,
    error_status: sam_octa2_error_status,
    error_code: sam_octa2_error_code,
    error_message: sam_octa2_error_message,
    error_detail: sam_octa2_error_detail,
    error_free: sam_octa2_error_free,
    cancel_new: sam_octa2_cancel_new,
    cancel_trigger: sam_octa2_cancel_trigger,
    cancel_free: sam_octa2_cancel_free,
};

/// `[any thread]` The number of this interface, 1. Functions are added under the same number and never changed or removed.
#[unsafe(no_mangle)]
pub extern "C" fn sam_octa2_abi_version() -> u32 {
    1
}

/// `[any thread]` Who the plugin is, as JSON; the same text as the file `libsam_octa2.json` beside the library. Lives for ever.
#[unsafe(no_mangle)]
pub extern "C" fn sam_octa2_manifest() -> *const c_char {
    static TEXT: OnceLock<CString> = OnceLock::new();
    TEXT.get_or_init(|| CString::new(MANIFEST).unwrap_or_default()).as_ptr()
}

/// `[any thread; blocks]` Opens the engine and libtorch now (0.3 s) rather than in the first call that needs them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_start(error: *mut *mut ErrorBox) -> Status {
    forward(error, |_| 0)
}

/// `[any thread; blocks]` What this machine offers, as JSON: `devices`, `precisions`, `threads`, `torch`, `models` (those at hand).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_capabilities(reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status {
    forward(error, |engine| unsafe { (engine.capabilities)(reply, error) })
}

/// `[any thread; blocks]` Does a whole task: `name` is one of the manifest's `tasks`, request and reply are JSON (docs/abi.md).
/// Tasks without a model (`info`, `convert`, `phantom`, `vessels`, `measure`, `export_octa500`) open neither engine nor libtorch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_task(
    name: *const c_char,
    request: *const c_char,
    host: *const HostStruct,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    unsafe { task::run_c(name, request, host, reply, error) }
}

/// `[any thread]` How many threads one computation may use, for all sessions of the process; 0: one for each core.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_set_threads(count: u32, error: *mut *mut ErrorBox) -> Status {
    forward(error, |engine| unsafe { (engine.set_threads)(count, error) })
}

/// `[any thread; blocks]` For checks of the boundary. `what`: `panic` (answers SAM_OCTA2_PANIC), `sleep` (a minute with progress), `eager` (from
/// now on, and until `patient`, calls of this thread report every step of the work, however short, so that a check can count them).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_selftest(
    what: *const c_char,
    host: *const HostStruct,
    error: *mut *mut ErrorBox,
) -> Status {
    if let Ok(what @ ("eager" | "patient")) = unsafe { c::text("what", what) } {
        set_eager(what == "eager"); // here, and below in the engine
    }
    forward(error, |engine| unsafe { (engine.run_selftest)(what, host, error) })
}

/// `[any thread]` Frees a text that a function put into `reply`. Null does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_text_free(text: *mut c_char) {
    unsafe { c::text_free(text) }
}

/// `[any thread]` The number of an error, as the failed function returned it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_error_status(error: *const ErrorBox) -> Status {
    unsafe { error.as_ref() }.map_or(0, ErrorBox::status)
}

/// `[any thread]` The name of the kind of error: `io`, `format`, `not_found`, ... Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_error_code(error: *const ErrorBox) -> *const c_char {
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), ErrorBox::code)
}

/// `[any thread]` One sentence for the person at the viewer. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_error_message(error: *const ErrorBox) -> *const c_char {
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), ErrorBox::message)
}

/// `[any thread]` More for programs: a JSON object, `{}` if there is nothing to add; of a script: file, line, column. Lives as long as
/// the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_error_detail(error: *const ErrorBox) -> *const c_char {
    unsafe { error.as_ref() }.map_or(c"{}".as_ptr(), ErrorBox::detail)
}

/// `[any thread]` Frees an error. Null does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_error_free(error: *mut ErrorBox) {
    if !error.is_null() {
        unsafe { ErrorBox::free(error) }
    }
}

/// `[any thread]` A token to stop calls with (`sam_octa2_host.cancel`). It must outlive the calls that got it.
#[unsafe(no_mangle)]
pub extern "C" fn sam_octa2_cancel_new() -> *mut Cancel {
    Box::into_raw(Box::default())
}

/// `[any thread, also while calls run]` Stops the calls that got the token, and all that will get it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_cancel_trigger(cancel: *const Cancel) {
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        cancel.trigger();
    }
}

/// `[any thread]` Frees a token. Null does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_cancel_free(cancel: *mut Cancel) {
    if !cancel.is_null() {
        drop(unsafe { Box::from_raw(cancel) });
    }
}
