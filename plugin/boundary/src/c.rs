//! A C host's arguments and results: texts, JSON, structs of any of their versions, places for results; progress, log and cancel.

use crate::convert;
use crate::guard::guarded;
use crate::json;
use crate::watch::{Asked, unwatched, watched};
use sam_octa2_abi::raw::{ErrorBox, HostStruct, Sized1, Status, ViewStruct};
use sam_octa2_abi::{Flow, HostCalls, HostObserver, PluginError, Severity};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::{CStr, CString, c_char};

/// A value, or the error for the host.
pub type Checked<T> = Result<T, PluginError>;

/// Runs a function's body: no panic passes, an error goes to `error`.
pub fn entry(error: *mut *mut ErrorBox, body: impl FnOnce() -> Checked<()>) -> Status {
    finish(error, guarded(None, || unwatched(body)).into_result())
}

/// The same for a long call, which gets the host's progress, log and cancel, and which the host may stop anywhere.
///
/// # Safety
/// `host` is null or leads to a [`HostStruct`] that holds for the call.
pub unsafe fn long(
    host: *const HostStruct,
    error: *mut *mut ErrorBox,
    body: impl FnOnce(&HostCalls) -> Checked<()>,
) -> Status {
    // Safety: the caller's promise.
    unsafe { with_host(host, error, Asked::new, body) }
}

/// The same for work that may last before it reports a step ([`Asked::silently`]).
///
/// # Safety
/// As for [`long`].
pub unsafe fn long_as(
    stage: &str,
    host: *const HostStruct,
    error: *mut *mut ErrorBox,
    body: impl FnOnce(&HostCalls) -> Checked<()>,
) -> Status {
    // Safety: the caller's promise.
    unsafe { with_host(host, error, |host| Asked::new(host).silently(stage), body) }
}

unsafe fn with_host(
    host: *const HostStruct,
    error: *mut *mut ErrorBox,
    asked: impl FnOnce(FromC) -> Asked<FromC>,
    body: impl FnOnce(&HostCalls) -> Checked<()>,
) -> Status {
    // Safety: the caller's promise.
    let host = if host.is_null() { Ok(None) } else { unsafe { sized(host) }.map(Some) };
    let host = match host {
        Ok(host) => host,
        Err(reason) => return finish(error, Err(reason)),
    };
    let mut observer = asked(FromC { host });
    let work = |calls: &HostCalls| guarded(Some(calls), || watched(calls, || body(calls))).into_result();
    let result = HostCalls::scope(&mut observer, work);
    finish(error, result)
}

fn finish(error: *mut *mut ErrorBox, result: Checked<()>) -> Status {
    result.map_or_else(|reason| fail(error, &reason), |()| 0)
}

/// Hands an error out; returns its number.
#[allow(clippy::not_unsafe_ptr_arg_deref, reason = "the header's rules hold for every `error`")]
pub fn fail(error: *mut *mut ErrorBox, reason: &PluginError) -> Status {
    let made = ErrorBox::into_raw(reason);
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
            return Flow::CONTINUE;
        };
        // Safety: the host's function with the host's context.
        let answer = unsafe { call(host.context, c_text(stage).as_ptr(), done, total) };
        if answer == 0 { Flow::CONTINUE } else { Flow::CANCEL }
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
pub unsafe fn text<'a>(name: &str, text: *const c_char) -> Checked<&'a str> {
    // Safety: the caller's promise.
    unsafe { optional(name, text) }?.ok_or_else(|| convert::invalid(format!("`{name}` is null")))
}

/// An argument of text that may be null.
///
/// # Safety
/// As for [`text`].
pub unsafe fn optional<'a>(name: &str, text: *const c_char) -> Checked<Option<&'a str>> {
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
pub unsafe fn options<T: DeserializeOwned + Serialize + Default>(name: &str, json: *const c_char) -> Checked<T> {
    // Safety: the caller's promise.
    match unsafe { optional(name, json) }? {
        Some(json) => parse(name, json),
        None => Ok(T::default()),
    }
}

/// JSON as what it should be; keys that nobody knows are refused.
pub fn parse<T: DeserializeOwned + Serialize>(name: &str, json: &str) -> Checked<T> {
    json::read(&format!("`{name}`"), json)
}

/// Where a result goes; checked before the work is done.
pub struct Place<T>(*mut T);

impl<T> Place<T> {
    /// A place that must be there.
    pub fn new(name: &str, place: *mut T) -> Checked<Self> {
        if place.is_null() { Err(convert::invalid(format!("`{name}` is null"))) } else { Ok(Self(place)) }
    }

    /// Puts the result there.
    pub fn give(self, value: T) {
        // Safety: not null, and the host's place for it.
        unsafe { self.0.write(value) }
    }
}

impl Place<ViewStruct> {
    /// A place for a view, whose size the host has set.
    pub fn of_view(place: *mut ViewStruct) -> Checked<Self> {
        // Safety: null, or the host's struct.
        unsafe { sized(place.cast_const()) }?;
        Self::new("view", place)
    }

    /// Puts a view there, as far as the host knows the struct.
    pub fn give_sized(self, view: ViewStruct) -> Checked<()> {
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
    pub fn give_text(self, text: &str) {
        self.give(c_text(text).into_raw());
    }
}

/// `sam_octa2_text_free`. Both libraries are of one build and take memory from the same `malloc`: either frees the other's texts.
///
/// # Safety
/// `text` is null or was given by [`Place::give_text`], and is not used again.
pub unsafe fn text_free(text: *mut c_char) {
    if !text.is_null() {
        // Safety: the caller's promise.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// A struct of the host's, whichever version of it the host knows.
///
/// # Safety
/// `from` is null or leads to as many bytes as the struct there says.
pub unsafe fn sized<T: Sized1>(from: *const T) -> Result<T, PluginError> {
    if from.is_null() {
        return Err(convert::invalid(format!("`{}` is null", T::NAME)));
    }
    // Safety: the caller's promise.
    unsafe { T::read(from) }.map_err(|size| wrong_size::<T>(size))
}

/// The error of a `size` that cannot be.
pub fn wrong_size<T: Sized1>(size: usize) -> PluginError {
    convert::invalid(format!("{}.size is {size}, but must be sizeof of the struct, {} or more", T::NAME, T::LEAST))
}

/// A slice number.
pub fn number(name: &str, value: u64) -> Checked<usize> {
    usize::try_from(value).map_err(|_| convert::invalid(format!("`{name}` {value} is too large")))
}
