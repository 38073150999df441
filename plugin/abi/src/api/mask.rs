//! Results.

use super::host::with_host;
use super::view::View;
use super::{Api, c_text, optional, pointer};
use crate::raw::{ViewStruct, form, opaque};
use crate::{HostObserver, PluginError};

/// In which form to look at a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// uint8, 1 where the object is
    Dense,
    /// uint16 object numbers
    Labels,
    /// float32, 0 to 1
    Probability,
    /// float32, positive where the object is
    Logits,
}

impl Form {
    fn number(self) -> u32 {
        match self {
            Self::Dense => form::DENSE,
            Self::Labels => form::LABELS,
            Self::Probability => form::PROBABILITY,
            Self::Logits => form::LOGITS,
        }
    }
}

/// One object on one slice, or a stack of object numbers. Never changes.
#[derive(Debug)]
pub struct Mask {
    api: Api,
    pub(super) handle: *mut opaque::Mask,
}

// Safety: handles may be used on any thread.
unsafe impl Send for Mask {}
unsafe impl Sync for Mask {}

impl Mask {
    pub(super) fn new(api: Api, handle: *mut opaque::Mask) -> Self {
        Self { api, handle }
    }

    /// In numbers, as JSON.
    pub fn info(&self) -> Result<String, PluginError> {
        self.api.text(|reply, error| unsafe { (self.api.tables.mask.info)(self.handle, reply, error) })
    }

    /// The values, shared.
    pub fn view(&self, form: Form) -> Result<View, PluginError> {
        let mut view = ViewStruct::empty();
        self.api
            .call(|error| unsafe { (self.api.tables.mask.view)(self.handle, form.number(), &raw mut view, error) })?;
        Ok(View::new(view))
    }

    /// COCO run lengths, as JSON.
    pub fn rle(&self, host: &mut dyn HostObserver) -> Result<String, PluginError> {
        let rle = self.api.tables.mask.rle;
        with_host(host, |host| self.api.text(|reply, error| unsafe { rle(self.handle, host, reply, error) }))
    }

    /// A DLPack tensor; whoever takes it calls its deleter.
    pub fn dlpack(&self, form: Form) -> Result<*mut opaque::DlTensor, PluginError> {
        self.api
            .make(|tensor, error| unsafe { (self.api.tables.mask.dlpack)(self.handle, form.number(), tensor, error) })
    }

    /// Writes a stack of labels in the format of the path's ending.
    pub fn write(&self, path: &str, options: Option<&str>, host: &mut dyn HostObserver) -> Result<(), PluginError> {
        let (path, options, write) = (c_text(path)?, optional(options)?, self.api.tables.mask.write);
        with_host(host, |host| {
            self.api.call(|error| unsafe { write(self.handle, path.as_ptr(), pointer(&options), host, error) })
        })
    }
}

impl Clone for Mask {
    fn clone(&self) -> Self {
        // Safety: a live handle gives another one.
        Self { api: self.api, handle: unsafe { (self.api.tables.mask.retain)(self.handle) } }
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        // Safety: once.
        unsafe { (self.api.tables.mask.free)(self.handle) }
    }
}
