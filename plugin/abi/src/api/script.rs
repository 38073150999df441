//! Scripts that may call functions of the host.

use super::host::with_host;
use super::mask::Mask;
use super::volume::Volume;
use super::{Api, c_text};
use crate::raw::{FunctionStruct, ReplyStruct, opaque};
use crate::{HostObserver, PluginError};
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A script engine.
#[derive(Debug)]
pub struct Script {
    api: Api,
    handle: *mut opaque::Script,
}

// Safety: handles may be used on any thread; a second run meanwhile gets `busy`.
unsafe impl Send for Script {}
unsafe impl Sync for Script {}

/// A function of the host: arguments as a JSON array; the result as JSON, or a sentence.
type Function = Box<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

impl Api {
    /// A script engine.
    pub fn script(&self) -> Result<Script, PluginError> {
        let handle = self.make(|script, error| unsafe { (self.tables.script.create)(script, error) })?;
        Ok(Script { api: *self, handle })
    }
}

impl Script {
    /// Lets scripts call `viewer::NAME`; `declaration` as of `sam_octa2_script_add_function`.
    pub fn add_function(
        &self,
        declaration: &str,
        function: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    ) -> Result<(), PluginError> {
        let declaration = c_text(declaration)?;
        let function: Box<Function> = Box::new(Box::new(function));
        let raw = FunctionStruct {
            size: size_of::<FunctionStruct>(),
            context: Box::into_raw(function).cast(),
            call: Some(answer),
            release: Some(release),
        };
        self.api.call(|error| unsafe {
            (self.api.tables.script.add_function)(self.handle, declaration.as_ptr(), &raw const raw, error)
        })
    }

    /// Lends a volume to scripts; `{"handle": id}` stands for it.
    pub fn share_volume(&self, volume: &Volume) -> Result<u64, PluginError> {
        let mut id = 0;
        self.api.call(|error| unsafe {
            (self.api.tables.script.share_volume)(self.handle, volume.handle, &raw mut id, error)
        })?;
        Ok(id)
    }

    /// Lends labels to scripts.
    pub fn share_labels(&self, labels: &Mask) -> Result<u64, PluginError> {
        let mut id = 0;
        self.api.call(|error| unsafe {
            (self.api.tables.script.share_labels)(self.handle, labels.handle, &raw mut id, error)
        })?;
        Ok(id)
    }

    /// The volume that a script showed.
    pub fn volume(&self, id: u64) -> Result<Volume, PluginError> {
        let make = |volume, error| unsafe { (self.api.tables.script.volume)(self.handle, id, volume, error) };
        Ok(Volume::new(self.api, self.api.make(make)?))
    }

    /// The labels that a script showed.
    pub fn labels(&self, id: u64) -> Result<Mask, PluginError> {
        let make = |labels, error| unsafe { (self.api.tables.script.labels)(self.handle, id, labels, error) };
        Ok(Mask::new(self.api, self.api.make(make)?))
    }

    /// Runs a script; `request` as of `sam_octa2_script_run`.
    pub fn run(&self, request: &str, host: &mut dyn HostObserver) -> Result<String, PluginError> {
        let request = c_text(request)?;
        with_host(host, |host| {
            self.api.text(|reply, error| unsafe {
                (self.api.tables.script.run)(self.handle, request.as_ptr(), host, reply, error)
            })
        })
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Safety: once.
        unsafe { (self.api.tables.script.free)(self.handle) }
    }
}

unsafe extern "C" fn answer(context: *mut c_void, arguments: *const c_char, reply: *const ReplyStruct) -> i32 {
    // Safety: `add_function` gave the context; text and reply live for the call.
    unsafe {
        let function = &*context.cast::<Function>();
        let arguments = CStr::from_ptr(arguments).to_string_lossy();
        let answer = catch_unwind(AssertUnwindSafe(|| function(&arguments)));
        let (status, text) = match answer {
            Ok(Ok(json)) => (0, json),
            Ok(Err(sentence)) => (1, sentence),
            Err(_) => (1, "the viewer's function failed inside".to_owned()),
        };
        let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
        if let Some(reply) = reply.as_ref()
            && let Some(call) = reply.call
        {
            call(reply.to, text.as_ptr());
        }
        status
    }
}

unsafe extern "C" fn release(context: *mut c_void) {
    // Safety: `add_function` made it, and this comes once.
    drop(unsafe { Box::from_raw(context.cast::<Function>()) });
}
