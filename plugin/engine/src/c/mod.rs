//! The functions behind `plugin/include/sam_octa2.h`. Each is: read the arguments, call `service`, give the result.

pub mod history;
pub mod mask;
pub mod model;
pub mod script;
pub mod session;
pub mod system;
pub mod volume;

use crate::convert;
use crate::guard::guarded;
use crate::service::view::{sized, wrong_size};
use sam_octa2_abi::raw::{ErrorBox, HostStruct, Sized1, Status, ViewStruct};
use sam_octa2_abi::{Flow, HostCalls, HostObserver, PluginError, Severity};
use serde::de::DeserializeOwned;
use std::ffi::{CStr, CString, c_char};

type Checked<T> = Result<T, PluginError>;

/// Runs a function's body: no panic passes, an error goes to `error`.
fn entry(error: *mut *mut ErrorBox, body: impl FnOnce() -> Checked<()>) -> Status {
    finish(error, guarded(None, body).into_result())
}

/// The same for a long call, which gets the host's progress, log and cancel.
///
/// # Safety
/// `host` is null or leads to a [`HostStruct`] that holds for the call.
unsafe fn long(
    host: *const HostStruct,
    error: *mut *mut ErrorBox,
    body: impl FnOnce(&HostCalls) -> Checked<()>,
) -> Status {
    // Safety: the caller's promise.
    let host = if host.is_null() { Ok(None) } else { unsafe { sized(host) }.map(Some) };
    let host = match host {
        Ok(host) => host,
        Err(reason) => return finish(error, Err(reason)),
    };
    let mut observer = FromC { host };
    let result = HostCalls::scope(&mut observer, |calls| guarded(Some(calls), || body(calls)).into_result());
    finish(error, result)
}

fn finish(error: *mut *mut ErrorBox, result: Checked<()>) -> Status {
    let Err(reason) = result else { return 0 };
    let made = ErrorBox::into_raw(&reason);
    // Safety: made above; `error` is null or the host's place for it.
    unsafe {
        let status = (*made).status();
        match error.as_mut() {
            Some(place) => *place = made,
            None => ErrorBox::free(made),
        }
        status
    }
}

/// A C host's side of a long call.
struct FromC {
    host: Option<HostStruct>,
}

// Safety: the header says on which threads the host's functions are called, and that they come one at a time.
unsafe impl Send for FromC {}

impl HostObserver for FromC {
    fn progress(&mut self, stage: &str, done: u64, total: u64) -> Flow {
        let Some((host, call)) = self.host.and_then(|host| Some((host, host.progress?))) else {
            return if self.is_cancelled() { Flow::CANCEL } else { Flow::CONTINUE };
        };
        // Safety: the host's function with the host's context.
        let answer = unsafe { call(host.context, c_text(stage).as_ptr(), done, total) };
        if answer == 0 && !self.is_cancelled() { Flow::CONTINUE } else { Flow::CANCEL }
    }

    fn log(&mut self, severity: Severity, message: &str) {
        if let Some((host, call)) = self.host.and_then(|host| Some((host, host.log?))) {
            // Safety: as above.
            unsafe { call(host.context, i32::from(severity.number()), c_text(message).as_ptr()) }
        }
    }

    fn is_cancelled(&mut self) -> bool {
        // Safety: null, or a token that outlives the call.
        self.host.is_some_and(|host| unsafe { host.cancel.as_ref() }.is_some_and(|cancel| cancel.is_set()))
    }
}

/// Text for C; zeros inside become blanks.
fn c_text(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| CString::new(text.replace('\0', " ")).unwrap_or_default())
}

/// An argument of text.
///
/// # Safety
/// `text` is null or leads to bytes ended by a zero.
unsafe fn text<'a>(name: &str, text: *const c_char) -> Checked<&'a str> {
    // Safety: the caller's promise.
    unsafe { optional(name, text) }?.ok_or_else(|| convert::invalid(format!("`{name}` is null")))
}

/// An argument of text that may be null.
///
/// # Safety
/// As for [`text`].
unsafe fn optional<'a>(name: &str, text: *const c_char) -> Checked<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // Safety: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes.to_str().map(Some).map_err(|_| convert::invalid(format!("`{name}` is not UTF-8")))
}

/// An argument of JSON; null gives the defaults.
///
/// # Safety
/// As for [`text`].
unsafe fn options<T: DeserializeOwned + Default>(name: &str, json: *const c_char) -> Checked<T> {
    // Safety: the caller's promise.
    match unsafe { optional(name, json) }? {
        Some(json) => parse(name, json),
        None => Ok(T::default()),
    }
}

/// JSON as what it should be.
fn parse<T: DeserializeOwned>(name: &str, json: &str) -> Checked<T> {
    serde_json::from_str(json).map_err(|error| convert::invalid(format!("`{name}`: {error}")))
}

/// Where a result goes; checked before the work is done.
struct Place<T>(*mut T);

impl<T> Place<T> {
    /// A place that must be there.
    fn new(name: &str, place: *mut T) -> Checked<Self> {
        if place.is_null() { Err(convert::invalid(format!("`{name}` is null"))) } else { Ok(Self(place)) }
    }

    /// Puts the result there.
    fn give(self, value: T) {
        // Safety: not null, and the host's place for it.
        unsafe { self.0.write(value) }
    }
}

impl Place<ViewStruct> {
    /// A place for a view, whose size the host has set.
    fn of_view(place: *mut ViewStruct) -> Checked<Self> {
        // Safety: null, or the host's struct.
        unsafe { sized(place.cast_const()) }?;
        Self::new("view", place)
    }

    /// Puts a view there, as far as the host knows the struct.
    fn give_sized(self, view: ViewStruct) -> Checked<()> {
        // Safety: not null, and the host's place for it, whose size comes first.
        unsafe { view.write(self.0) }.map_err(|size| {
            if let Some(release) = view.release {
                // Safety: nobody else got it.
                unsafe { release(view.owner) }
            }
            wrong_size::<ViewStruct>(size)
        })
    }
}

impl Place<*mut c_char> {
    /// Puts text there, which the host frees with `sam_octa2_text_free`.
    fn give_text(self, text: &str) {
        self.give(c_text(text).into_raw());
    }
}

/// A slice number.
fn number(name: &str, value: u64) -> Checked<usize> {
    usize::try_from(value).map_err(|_| convert::invalid(format!("`{name}` {value} is too large")))
}
