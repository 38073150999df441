//! A [`HostObserver`] as the plugin's C functions want it.

use crate::host::{Shared, with_observer};
use crate::raw::{Cancel, HostStruct};
use crate::{Flow, HostObserver, Severity};
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Arc, Mutex};

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

unsafe extern "C" fn progress(context: *mut c_void, stage: *const c_char, done: u64, total: u64) -> i32 {
    // Safety: the plugin gives the context back with text that lives for the call.
    unsafe {
        let stage = CStr::from_ptr(stage).to_string_lossy();
        with_observer(context, 1, |observer| match observer.progress(&stage, done, total) {
            Flow::CONTINUE if !observer.is_cancelled() => 0,
            _ => 1,
        })
    }
}

unsafe extern "C" fn log(context: *mut c_void, severity: i32, line: *const c_char) {
    // Safety: as above.
    unsafe {
        let line = CStr::from_ptr(line).to_string_lossy();
        with_observer(context, (), |observer| observer.log(Severity::from_number(severity), &line));
    }
}
