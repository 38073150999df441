//! A [`HostObserver`] as the plugin's C functions want it.

use crate::raw::{Cancel, HostStruct};
use crate::{Flow, HostObserver, Severity};
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

/// Stops calls from another thread ([`HostObserver::cancel_token`]).
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<Cancel>);

impl CancelToken {
    /// A token that stops nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the calls that have the token, and all that will get it.
    pub fn trigger(&self) {
        self.0.trigger();
    }
}

type Shared<'a> = Mutex<&'a mut dyn HostObserver>;

/// Lends `observer` to the plugin for as long as `call` runs.
pub fn with_host<R>(observer: &mut dyn HostObserver, call: impl FnOnce(*const HostStruct) -> R) -> R {
    let token = observer.cancel_token(); // kept until the call ends
    let shared: Shared<'_> = Mutex::new(observer);
    let host = HostStruct {
        size: size_of::<HostStruct>(),
        context: (&raw const shared).cast_mut().cast(),
        progress: Some(progress),
        log: Some(log),
        cancel: token.as_ref().map_or(std::ptr::null(), |token| Arc::as_ptr(&token.0)),
    };
    call(&raw const host)
}

/// # Safety
/// `context` comes from [`with_host`], which has not returned.
unsafe fn observe<R>(context: *mut c_void, or: R, call: impl FnOnce(&mut dyn HostObserver) -> R) -> R {
    // Safety: the caller's promise.
    let shared = unsafe { &*context.cast::<Shared<'_>>() };
    let mut observer = shared.lock().unwrap_or_else(PoisonError::into_inner);
    catch_unwind(AssertUnwindSafe(|| call(&mut **observer))).unwrap_or(or)
}

unsafe extern "C" fn progress(context: *mut c_void, stage: *const c_char, done: u64, total: u64) -> i32 {
    // Safety: the plugin gives the context back with text that lives for the call.
    unsafe {
        let stage = CStr::from_ptr(stage).to_string_lossy();
        observe(context, 1, |observer| match observer.progress(&stage, done, total) {
            Flow::CONTINUE if !observer.is_cancelled() => 0,
            _ => 1,
        })
    }
}

unsafe extern "C" fn log(context: *mut c_void, severity: i32, line: *const c_char) {
    // Safety: as above.
    unsafe {
        let line = CStr::from_ptr(line).to_string_lossy();
        observe(context, (), |observer| observer.log(Severity::from_number(severity), &line));
    }
}
