//! Between this project's own two libraries: `libsam_octa2.so`, which viewers load and which needs nothing, and
//! `libsam_octa2_engine.so` beside it, which needs libtorch and is opened by the first call that needs a model or a script. Not for hosts, not published:
//! both files belong to one build, and `version` says so.

use super::{ErrorBox, HostStruct, Mask1, Model1, Script1, Session1, Status, Volume1};
use crate::{HostCalls, PluginError, SelfTest1};
use abi_stable::std_types::{RResult, RStr, RString};
use std::ffi::c_char;

/// The symbol under which the engine exports an [`Engine`].
pub const ENGINE_SYMBOL: &str = "sam_octa2_engine";

/// What both libraries must agree on.
pub const ENGINE_VERSION: &str = concat!("sam_octa2 engine 3, interface ", env!("CARGO_PKG_VERSION"));

/// Everything that the engine does.
#[repr(C)]
#[allow(missing_docs, reason = "the functions of the header")]
pub struct Engine {
    /// [`ENGINE_VERSION`] with its length, first for ever
    pub version: *const u8,
    pub version_length: usize,
    pub run_task: extern "C" fn(name: RStr<'_>, request: RStr<'_>, host: &HostCalls) -> RResult<RString, PluginError>,
    pub selftest: SelfTest1,
    pub capabilities: unsafe extern "C" fn(reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status,
    pub run_c_task: unsafe extern "C" fn(
        name: *const c_char,
        request: *const c_char,
        host: *const HostStruct,
        reply: *mut *mut c_char,
        error: *mut *mut ErrorBox,
    ) -> Status,
    pub set_threads: unsafe extern "C" fn(count: u32, error: *mut *mut ErrorBox) -> Status,
    pub run_selftest:
        unsafe extern "C" fn(what: *const c_char, host: *const HostStruct, error: *mut *mut ErrorBox) -> Status,
    pub volume: Volume1,
    pub model: Model1,
    pub session: Session1,
    pub mask: Mask1,
    pub script: Script1,
}

// Safety: functions, and a text that lives for ever.
unsafe impl Sync for Engine {}
