//! Defects of sessions.

use crate::{defect, real};
use sam_octa2_abi::raw::opaque::{Mask, Model, Session, Volume};
use sam_octa2_abi::raw::{ErrorBox, HostStruct, PromptStruct, Session1, Status};
use std::ffi::c_char;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

pub static TABLE: LazyLock<Session1> = LazyLock::new(|| {
    let mut table = *real::<Session1>();
    match () {
        () if defect("unsteady") => table.prompt = unsteady,
        () if defect("takes-any-state") => table.restore = takes_any_state,
        () => {}
    }
    table
});

type Error = *mut *mut ErrorBox;

unsafe extern "C" fn unsteady(
    session: *mut Session,
    prompt: *const PromptStruct,
    host: *const HostStruct,
    mask: *mut *mut Mask,
    error: Error,
) -> Status {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    unsafe {
        let prompt = &*prompt;
        let mut places = match prompt.points.is_null() {
            true => Vec::new(),
            false => std::slice::from_raw_parts(prompt.points, 2 * prompt.point_count).to_vec(),
        };
        if let Some(x) = places.first_mut() {
            *x += CALLS.fetch_add(1, Ordering::SeqCst) as f64 / 4.0;
        }
        (real::<Session1>().prompt)(session, &PromptStruct { points: places.as_ptr(), ..*prompt }, host, mask, error)
    }
}

unsafe extern "C" fn takes_any_state(
    volume: *mut Volume,
    model: *mut Model,
    _: *const u8,
    _: usize,
    options: *const c_char,
    host: *const HostStruct,
    session: *mut *mut Session,
    error: Error,
) -> Status {
    unsafe { (real::<Session1>().create)(volume, model, options, host, session, error) }
}
