//! Defects of errors, sizes, cancelling and self-tests.

use crate::{defect, real};
use sam_octa2_abi::raw::{ErrorBox, HostStruct, Status, System1, status};
use std::ffi::c_char;
use std::sync::LazyLock;
use std::time::Duration;

pub static TABLE: LazyLock<System1> = LazyLock::new(|| {
    let mut table = *real::<System1>();
    match () {
        () if defect("ignores-cancel") => table.selftest = ignores_cancel,
        () if defect("calls-late") => table.selftest = calls_late,
        () if defect("aborts") => table.selftest = aborts,
        () if defect("wrong-status") => table.error_status = wrong_status,
        () if defect("several-lines") => table.error_message = several_lines,
        () if defect("no-utf8") => table.error_message = no_utf8,
        () if defect("no-detail") => table.error_detail = no_detail,
        () if defect("any-size") => table.task = any_size,
        () => {}
    }
    table
});

type Text = *const c_char;
type Error = *mut *mut ErrorBox;

unsafe extern "C" fn ignores_cancel(what: Text, _: *const HostStruct, error: Error) -> Status {
    unsafe { (real::<System1>().selftest)(what, std::ptr::null(), error) }
}

unsafe extern "C" fn calls_late(what: Text, host: *const HostStruct, error: Error) -> Status {
    struct Kept(HostStruct);
    // Safety: that this is sent away is the defect.
    unsafe impl Send for Kept {}
    unsafe {
        let status = (real::<System1>().selftest)(what, host, error);
        if let Some(host) = host.as_ref() {
            let kept = Kept(*host);
            std::thread::spawn(move || {
                let kept = kept;
                std::thread::sleep(Duration::from_millis(50));
                kept.0.progress.map(|progress| progress(kept.0.context, c"late".as_ptr(), 1, 1))
            });
        }
        status
    }
}

unsafe extern "C" fn aborts(_: Text, _: *const HostStruct, _: Error) -> Status {
    panic!("a panic that leaves")
}

unsafe extern "C" fn wrong_status(_: *const ErrorBox) -> Status {
    status::FAILED
}

unsafe extern "C" fn several_lines(_: *const ErrorBox) -> Text {
    c"one line\nand a stack of others".as_ptr()
}

unsafe extern "C" fn no_utf8(_: *const ErrorBox) -> Text {
    c"\xff\xfe\xfd".as_ptr()
}

unsafe extern "C" fn no_detail(_: *const ErrorBox) -> Text {
    c"{}".as_ptr()
}

unsafe extern "C" fn any_size(
    name: Text,
    request: Text,
    _: *const HostStruct,
    reply: *mut *mut c_char,
    error: Error,
) -> Status {
    unsafe { (real::<System1>().task)(name, request, std::ptr::null(), reply, error) }
}
