//! Volumes and models.

use super::host::with_host;
use super::view::{Element, View, lent};
use super::{Api, c_text, optional, pointer};
use crate::raw::{ViewStruct, opaque};
use crate::{HostObserver, PluginError};
use std::sync::Arc;

/// A stack of slices.
#[derive(Debug)]
pub struct Volume {
    api: Api,
    pub(super) handle: *mut opaque::Volume,
}

/// A network on a device.
#[derive(Debug)]
pub struct Model {
    api: Api,
    pub(super) handle: *mut opaque::Model,
}

// Safety: handles may be used on any thread.
unsafe impl Send for Volume {}
unsafe impl Sync for Volume {}
unsafe impl Send for Model {}
unsafe impl Sync for Model {}

impl Api {
    /// Opens a file or folder; `options` as of `sam_octa2_volume_open`.
    pub fn open_volume(
        &self,
        path: &str,
        options: Option<&str>,
        host: &mut dyn HostObserver,
    ) -> Result<Volume, PluginError> {
        let (path, options) = (c_text(path)?, optional(options)?);
        let handle = with_host(host, |host| {
            self.make(|volume, error| unsafe {
                (self.tables.volume.open)(path.as_ptr(), pointer(&options), host, volume, error)
            })
        })?;
        Ok(Volume { api: *self, handle })
    }

    /// A volume of values in memory, which are shared and not copied: `[frames, rows, columns]`, or with channels. `affine`: voxel index
    /// to millimetres, RAS+.
    pub fn lend_volume<T: Element>(
        &self,
        values: Arc<Vec<T>>,
        shape: &[usize],
        affine: Option<[f64; 16]>,
    ) -> Result<Volume, PluginError> {
        let mut view = lent(values, shape)?;
        (view.has_affine, view.affine) = (i32::from(affine.is_some()), affine.unwrap_or_default());
        // Safety: the view keeps the values alive until its release.
        unsafe { self.lend_view(&view) }
    }

    /// The same for any layout.
    ///
    /// # Safety
    /// The memory that `view` describes may be read until its `release` is called.
    pub unsafe fn lend_view(&self, view: &ViewStruct) -> Result<Volume, PluginError> {
        let handle = self.make(|volume, error| unsafe { (self.tables.volume.lend)(view, volume, error) })?;
        Ok(Volume { api: *self, handle })
    }

    /// Loads a model; `request` as of `sam_octa2_model_load`.
    pub fn load_model(&self, request: &str, host: &mut dyn HostObserver) -> Result<Model, PluginError> {
        let request = c_text(request)?;
        let handle = with_host(host, |host| {
            self.make(|model, error| unsafe { (self.tables.model.load)(request.as_ptr(), host, model, error) })
        })?;
        Ok(Model { api: *self, handle })
    }
}

impl Volume {
    pub(super) fn new(api: Api, handle: *mut opaque::Volume) -> Self {
        Self { api, handle }
    }

    /// Shape, type, spacing, affine, format, as JSON.
    pub fn info(&self) -> Result<String, PluginError> {
        self.api.text(|reply, error| unsafe { (self.api.tables.volume.info)(self.handle, reply, error) })
    }

    /// The values of one slice.
    pub fn frame(&self, frame: u64) -> Result<View, PluginError> {
        let mut view = ViewStruct::empty();
        self.api.call(|error| unsafe { (self.api.tables.volume.frame)(self.handle, frame, &raw mut view, error) })?;
        Ok(View::new(view))
    }

    /// Writes the volume in the format of the path's ending.
    pub fn write(&self, path: &str, host: &mut dyn HostObserver) -> Result<(), PluginError> {
        let path = c_text(path)?;
        with_host(host, |host| {
            self.api.call(|error| unsafe { (self.api.tables.volume.write)(self.handle, path.as_ptr(), host, error) })
        })
    }

    /// Millimetres in the patient (RAS+) to a voxel index (x, y, z).
    pub fn to_index(&self, patient: [f64; 3]) -> Result<[f64; 3], PluginError> {
        let mut index = [0.0; 3];
        self.api.call(|error| unsafe {
            (self.api.tables.volume.to_index)(self.handle, patient.as_ptr(), index.as_mut_ptr(), error)
        })?;
        Ok(index)
    }

    /// A voxel index (x, y, z) to millimetres in the patient (RAS+).
    pub fn to_patient(&self, index: [f64; 3]) -> Result<[f64; 3], PluginError> {
        let mut patient = [0.0; 3];
        self.api.call(|error| unsafe {
            (self.api.tables.volume.to_patient)(self.handle, index.as_ptr(), patient.as_mut_ptr(), error)
        })?;
        Ok(patient)
    }
}

impl Model {
    /// File, device, precision, input size, fingerprint, as JSON.
    pub fn describe(&self) -> Result<String, PluginError> {
        self.api.text(|reply, error| unsafe { (self.api.tables.model.describe)(self.handle, reply, error) })
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Safety: once.
        unsafe { (self.api.tables.volume.free)(self.handle) }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // Safety: once.
        unsafe { (self.api.tables.model.free)(self.handle) }
    }
}
