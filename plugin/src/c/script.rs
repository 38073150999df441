//! Rhai scripts that may call functions of the host, as `viewer::name(...)`.

use crate::engine::{forward, forward_or, get};
use sam_octa2_abi::raw::opaque::{Mask, Script, Volume};
use sam_octa2_abi::raw::{Engine, Sized1};
use sam_octa2_abi::raw::{ErrorBox, FunctionStruct, HostStruct, Script1, Status};
use std::ffi::c_char;

/// `sam_octa2.script/1`
pub static TABLE: Script1 = Script1 {
    create: sam_octa2_script_create,
    add_function: sam_octa2_script_add_function,
    share_volume: sam_octa2_script_share_volume,
    share_labels: sam_octa2_script_share_labels,
    volume: sam_octa2_script_volume,
    labels: sam_octa2_script_labels,
    run: sam_octa2_script_run,
    free: sam_octa2_script_free,
};

/// `[any thread]` A script engine. One run at a time; another one meanwhile gets SAM_OCTA2_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_script_create(script: *mut *mut Script, error: *mut *mut ErrorBox) -> Status {
    forward(error, |engine| unsafe { (engine.script.create)(script, error) })
}

/// `[any thread]` Lets scripts call `viewer::NAME`. `declaration`: JSON `{"name", "doc"?, "parameters"?: [{"name", "optional"?}]}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_script_add_function(
    script: *mut Script,
    declaration: *const c_char,
    function: *const FunctionStruct,
    error: *mut *mut ErrorBox,
) -> Status {
    let call = |engine: &'static Engine| unsafe { (engine.script.add_function)(script, declaration, function, error) };
    forward_or(error, call, || unsafe {
        let function = if function.is_null() { None } else { FunctionStruct::read(function).ok() };
        if let Some((function, release)) = function.and_then(|function| Some((function, function.release?))) {
            release(function.context);
        }
    })
}

/// `[any thread, also from a function of the host]` Lends a volume to scripts: `{"handle": id}` in arguments and results stands for it, until a run
/// has ended, and afterwards as long as `volume` is not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_script_share_volume(
    script: *mut Script,
    volume: *mut Volume,
    id: *mut u64,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.script.share_volume)(script, volume, id, error) })
}

/// `[any thread, also from a function of the host]` The same for a stack of object numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_script_share_labels(
    script: *mut Script,
    labels: *mut Mask,
    id: *mut u64,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.script.share_labels)(script, labels, id, error) })
}

/// `[any thread, also from a function of the host]` The volume that a script gave as `{"handle": id}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_script_volume(
    script: *mut Script,
    id: u64,
    volume: *mut *mut Volume,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.script.volume)(script, id, volume, error) })
}

/// `[any thread, also from a function of the host]` The labels that a script gave as `{"handle": id}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_script_labels(
    script: *mut Script,
    id: u64,
    labels: *mut *mut Mask,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.script.labels)(script, id, labels, error) })
}

/// `[any thread; blocks]` Runs a script. `request`: JSON `{"path" or "source", "args"?, "limits"?, "roots"?, "library"?, "keep"?}` (docs/abi.md); the reply is
/// `{"result": its last value}`. `roots`, `{"read"?: [folders], "write"?: [folders]}`: what it does not name is denied; without it the script reads and
/// writes whatever the process may. What it shows lives until the next run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_script_run(
    script: *mut Script,
    request: *const c_char,
    host: *const HostStruct,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.script.run)(script, request, host, reply, error) })
}

/// `[any thread]` Frees the engine. Null does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_script_free(script: *mut Script) {
    if let (false, Ok(engine)) = (script.is_null(), get()) {
        unsafe { (engine.script.free)(script) }
    }
}
