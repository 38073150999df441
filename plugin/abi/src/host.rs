//! What the host gives to a long call: progress, log, cancel.

use crate::CancelToken;
use abi_stable::StableAbi;
use abi_stable::std_types::RStr;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// What the receiver of progress wants.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow(u8);

impl Flow {
    /// go on
    pub const CONTINUE: Self = Self(0);
    /// stop here; keep what is done
    pub const CANCEL: Self = Self(1);
}

/// How much a log line matters. A number and not an enum: a plugin may send one that this host does not know.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity(u8);

impl Severity {
    /// of use to someone who debugs a script or the plugin
    pub const DEBUG: Self = Self(1);
    /// worth knowing
    pub const INFO: Self = Self(2);
    /// something is not as it should be; the work goes on
    pub const WARN: Self = Self(3);
    /// something failed
    pub const ERROR: Self = Self(4);
    /// what a script prints: for the user rather than for a log
    pub const OUTPUT: Self = Self(16);

    /// The number that C hosts see.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The severity of such a number.
    pub fn from_number(number: i32) -> Self {
        Self(u8::try_from(number).unwrap_or(Self::INFO.0))
    }
}

/// The host's side of one long call: the plugin borrows it for that call. Frozen; more calls would be a new extension.
///
/// A plugin may use it from any thread while the call lasts. A host makes one with [`HostCalls::scope`].
#[repr(C)]
#[derive(StableAbi)]
pub struct HostCalls {
    context: *mut c_void,
    progress: unsafe extern "C" fn(context: *mut c_void, stage: RStr<'_>, done: u64, total: u64) -> Flow,
    log: unsafe extern "C" fn(context: *mut c_void, severity: Severity, message: RStr<'_>),
    is_cancelled: unsafe extern "C" fn(context: *mut c_void) -> bool,
}

// Safety: the fields are private and `scope` is the only constructor; its context is a mutex, its functions lock it.
unsafe impl Send for HostCalls {}
unsafe impl Sync for HostCalls {}

impl HostCalls {
    /// Lends `observer` to the plugin for as long as `call` runs. Calls from several threads are passed on one at a time; a panic
    /// of the observer cancels the work and goes no further.
    pub fn scope<R>(observer: &mut dyn HostObserver, call: impl FnOnce(&Self) -> R) -> R {
        let observer: Shared<'_> = Mutex::new(observer);
        let context = (&raw const observer).cast_mut().cast();
        call(&Self { context, progress, log, is_cancelled })
    }

    /// Reports a step and learns whether to go on.
    pub fn progress(&self, stage: &str, done: u64, total: u64) -> Flow {
        // Safety: `scope` made context and function for each other, and lives.
        unsafe { (self.progress)(self.context, stage.into(), done, total) }
    }

    /// Sends a line to the host's log.
    pub fn log(&self, severity: Severity, message: &str) {
        // Safety: as above.
        unsafe { (self.log)(self.context, severity, message.into()) }
    }

    /// Has the user asked to stop? For work that has no steps to report.
    pub fn is_cancelled(&self) -> bool {
        // Safety: as above.
        unsafe { (self.is_cancelled)(self.context) }
    }
}

/// Receives what a plugin reports during a call. `&mut ()` hears nothing.
pub trait HostObserver: Send {
    /// A step was done: `done` of `total` in `stage`. Called on any thread, one call at a time; again with the same numbers while a step lasts.
    fn progress(&mut self, _stage: &str, _done: u64, _total: u64) -> Flow {
        Flow::CONTINUE
    }

    /// A line for the log, or what a script prints.
    fn log(&mut self, _severity: Severity, _message: &str) {}

    /// Stops the call from another thread, also where no step can be reported (calls of [`Api`](crate::Api)).
    fn cancel_token(&self) -> Option<CancelToken> {
        None
    }

    /// Asked often, also where no step can be reported.
    fn is_cancelled(&mut self) -> bool {
        false
    }
}

impl HostObserver for () {}

/// What the context of a host's functions leads to.
pub(crate) type Shared<'a> = Mutex<&'a mut dyn HostObserver>;

/// Runs `call` on the observer behind `context`; `or` if it panics.
///
/// # Safety
/// `context` leads to a [`Shared`] that lives: [`HostCalls::scope`] or [`Api`](crate::Api) made it and has not returned.
pub(crate) unsafe fn with_observer<R>(context: *mut c_void, or: R, call: impl FnOnce(&mut dyn HostObserver) -> R) -> R {
    // Safety: the caller's promise.
    let shared = unsafe { &*context.cast::<Shared<'_>>() };
    let mut observer = shared.lock().unwrap_or_else(PoisonError::into_inner);
    catch_unwind(AssertUnwindSafe(|| call(&mut **observer))).unwrap_or(or)
}

unsafe extern "C" fn progress(context: *mut c_void, stage: RStr<'_>, done: u64, total: u64) -> Flow {
    unsafe { with_observer(context, Flow::CANCEL, |observer| observer.progress(&stage, done, total)) }
}

unsafe extern "C" fn log(context: *mut c_void, severity: Severity, message: RStr<'_>) {
    unsafe { with_observer(context, (), |observer| observer.log(severity, &message)) }
}

unsafe extern "C" fn is_cancelled(context: *mut c_void) -> bool {
    unsafe { with_observer(context, true, |observer| observer.is_cancelled()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Recorder {
        received: Vec<String>,
    }

    impl HostObserver for Recorder {
        fn progress(&mut self, stage: &str, done: u64, total: u64) -> Flow {
            assert_ne!(done, 13, "the observer's own panic");
            self.received.push(format!("{stage} {done}/{total}"));
            if done == total { Flow::CANCEL } else { Flow::CONTINUE }
        }

        fn log(&mut self, severity: Severity, message: &str) {
            self.received.push(format!("{severity:?} {message}"));
        }
    }

    #[test]
    fn calls_arrive_from_several_threads() {
        let mut recorder = Recorder::default();
        HostCalls::scope(&mut recorder, |host| {
            assert_eq!(host.progress("encode", 1, 2), Flow::CONTINUE);
            assert_eq!(host.progress("encode", 2, 2), Flow::CANCEL);
            std::thread::scope(|threads| {
                threads.spawn(|| host.log(Severity::WARN, "from elsewhere"));
            });
            assert!(!host.is_cancelled());
        });
        assert_eq!(recorder.received, ["encode 1/2", "encode 2/2", "Severity(3) from elsewhere"]);
    }

    #[test]
    fn a_panic_of_the_observer_cancels() {
        HostCalls::scope(&mut Recorder::default(), |host| {
            assert_eq!(host.progress("encode", 13, 20), Flow::CANCEL);
            assert_eq!(host.progress("encode", 14, 20), Flow::CONTINUE, "and it can be called again");
        });
    }
}
