//! Defects of scripts.

use crate::{defect, real};
use sam_octa2_abi::raw::opaque::Script;
use sam_octa2_abi::raw::{ErrorBox, FunctionStruct, HostStruct, Script1, Status};
use std::ffi::c_char;
use std::sync::{LazyLock, Mutex, PoisonError};

pub static TABLE: LazyLock<Script1> = LazyLock::new(|| {
    let mut table = *real::<Script1>();
    match () {
        () if defect("deadlocks") => table.run = deadlocks,
        () if defect("keeps-functions") => table.add_function = keeps_functions,
        () => {}
    }
    table
});

type Error = *mut *mut ErrorBox;

unsafe extern "C" fn deadlocks(
    script: *mut Script,
    request: *const c_char,
    host: *const HostStruct,
    reply: *mut *mut c_char,
    error: Error,
) -> Status {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    unsafe { (real::<Script1>().run)(script, request, host, reply, error) }
}

unsafe extern "C" fn keeps_functions(
    script: *mut Script,
    declaration: *const c_char,
    function: *const FunctionStruct,
    error: Error,
) -> Status {
    unsafe {
        let function = FunctionStruct { release: None, ..*function };
        (real::<Script1>().add_function)(script, declaration, &function, error)
    }
}
