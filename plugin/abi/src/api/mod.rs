//! The plugin in safe Rust: volumes, models, sessions, masks and scripts, each a handle that frees itself.
//!
//! ```no_run
//! use sam_octa2_abi::{Plugin, Prompt};
//! let api = Plugin::load("libsam_octa2.so".as_ref())?.api()?;
//! let volume = api.open_volume("stack.nii.gz", None, &mut ())?;
//! let model = api.load_model(r#"{"model": "tiny"}"#, &mut ())?;
//! let session = api.session(&volume, &model, None, &mut ())?;
//! let mask = session.prompt(&Prompt::click(3, 1, [120.0, 80.0]), &mut ())?;
//! session.propagate(None, &mut |slice| sam_octa2_abi::Flow::CONTINUE, &mut ())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod host;
mod mask;
mod script;
mod session;
mod view;
mod volume;

pub use host::CancelToken;
pub use mask::{Form, Mask};
pub use script::Script;
pub use session::{Prompt, Session, Slice};
pub use view::{Element, View};
pub use volume::{Model, Volume};

use crate::raw::{ErrorBox, Status, System1, Tables};
use crate::{HostObserver, PluginError};
use host::with_host;
use std::ffi::{CStr, CString, c_char};
use std::ptr::null_mut;

/// The functions of a plugin. Cheap to copy: they live as long as the process.
#[derive(Clone, Copy)]
pub struct Api {
    pub(crate) tables: Tables,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

impl Api {
    /// The functions behind `tables`, wherever they come from.
    ///
    /// # Safety
    /// They are the functions of one plugin, and keep the rules of `sam_octa2.h`.
    pub unsafe fn from_tables(tables: Tables) -> Self {
        Self { tables }
    }

    /// Opens the engine and libtorch now rather than in the first call that needs them.
    pub fn start(&self) -> Result<(), PluginError> {
        self.call(|error| unsafe { (self.system().start)(error) })
    }

    /// What this machine offers, as JSON.
    pub fn capabilities(&self) -> Result<String, PluginError> {
        self.text(|reply, error| unsafe { (self.system().capabilities)(reply, error) })
    }

    /// Does a whole task (docs/abi.md); JSON in and out.
    pub fn task(&self, name: &str, request: &str, host: &mut dyn HostObserver) -> Result<String, PluginError> {
        let (name, request) = (c_text(name)?, c_text(request)?);
        with_host(host, |host| {
            self.text(|reply, error| unsafe {
                (self.system().task)(name.as_ptr(), request.as_ptr(), host, reply, error)
            })
        })
    }

    /// How many threads one computation may use; 0: one for each core.
    pub fn set_threads(&self, count: u32) -> Result<(), PluginError> {
        self.call(|error| unsafe { (self.system().set_threads)(count, error) })
    }

    /// Has the plugin do what a sound one survives: `panic`, `sleep`.
    pub fn selftest(&self, what: &str, host: &mut dyn HostObserver) -> Result<(), PluginError> {
        let what = c_text(what)?;
        with_host(host, |host| self.call(|error| unsafe { (self.system().selftest)(what.as_ptr(), host, error) }))
    }

    fn system(&self) -> &System1 {
        &self.tables.system
    }

    /// Calls a function that can fail.
    fn call(&self, function: impl FnOnce(*mut *mut ErrorBox) -> Status) -> Result<(), PluginError> {
        let mut error = null_mut();
        match function(&raw mut error) {
            0 => Ok(()),
            status => Err(self.error(status, error)),
        }
    }

    /// Calls a function that makes something.
    fn make<T>(&self, function: impl FnOnce(*mut *mut T, *mut *mut ErrorBox) -> Status) -> Result<*mut T, PluginError> {
        let mut made = null_mut();
        self.call(|error| function(&raw mut made, error))?;
        if made.is_null() {
            Err(PluginError::new("panic", "the plugin reports success, but made nothing"))
        } else {
            Ok(made)
        }
    }

    /// Calls a function that answers with text.
    fn text(
        &self,
        function: impl FnOnce(*mut *mut c_char, *mut *mut ErrorBox) -> Status,
    ) -> Result<String, PluginError> {
        let text = self.make(function)?;
        // Safety: text of the plugin, ended by a zero, and freed once.
        unsafe {
            let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
            (self.system().text_free)(text);
            Ok(copy)
        }
    }

    fn error(&self, status: Status, error: *mut ErrorBox) -> PluginError {
        if error.is_null() {
            return PluginError::new("panic", format!("the plugin reports the failure {status} without an error"));
        }
        // Safety: an error of the plugin; its texts live until it is freed.
        unsafe {
            let read = |text: unsafe extern "C" fn(*const ErrorBox) -> *const c_char| {
                CStr::from_ptr(text(error)).to_string_lossy().into_owned()
            };
            let system = self.system();
            let (code, message) = (read(system.error_code), read(system.error_message));
            let read = PluginError::new(&code, message).with_detail(read(system.error_detail));
            (system.error_free)(error);
            read
        }
    }
}

/// Text for the plugin.
fn c_text(text: &str) -> Result<CString, PluginError> {
    CString::new(text).map_err(|_| PluginError::new("invalid_argument", format!("a text holds a zero: {text:?}")))
}

/// Text for the plugin, or null.
fn optional(text: Option<&str>) -> Result<Option<CString>, PluginError> {
    text.map(c_text).transpose()
}

fn pointer(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr())
}
