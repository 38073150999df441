//! Sessions: prompts, propagation, corrections.

use super::host::with_host;
use super::mask::Mask;
use super::view::{View, lent};
use super::volume::{Model, Volume};
use super::{Api, c_text, optional, pointer};
use crate::raw::{
    Failure, HostStruct, OnSliceStruct, PROMPT_PATIENT, PROMPT_REPLACE, PromptStruct, Status, ViewStruct, opaque,
};
use crate::{Flow, HostObserver, PluginError};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};
use std::sync::Arc;

/// What a user gives at once on one slice.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    /// the slice; with `patient` found from the places
    pub frame: i64,
    /// 1 to 65535
    pub object: u32,
    /// x, y of each point in pixels; with `patient` x, y, z in millimetres
    pub points: Vec<f64>,
    /// 1: on the object, 0: outside; empty: all on it
    pub labels: Vec<i32>,
    /// two corners, each as a point
    pub bounds: Vec<f64>,
    /// a drawn mask: rows, columns, values
    pub mask: Option<(usize, usize, Arc<Vec<u8>>)>,
    /// places are millimetres in the patient, RAS+
    pub patient: bool,
    /// forget the earlier points and box of the slice
    pub replace: bool,
    /// which of the model's masks of a click is the answer, 1 to 3; 0: the one that it takes itself
    pub choice: u32,
    /// a scribble, each place as a point
    pub line: Vec<f64>,
    /// how wide it was drawn, in pixels
    pub line_width: f64,
    /// is it outside of the object?
    pub line_outside: bool,
    /// the corners of a polygon, each as a point: a drawn mask
    pub polygon: Vec<f64>,
}

impl Prompt {
    /// A click on the object.
    pub fn click(frame: i64, object: u32, at: [f64; 2]) -> Self {
        Self { frame, object, points: at.to_vec(), ..Self::default() }
    }
}

/// A slice of a propagation.
pub struct Slice<'a> {
    /// the slice
    pub frame: u64,
    /// the masks of the objects that were followed here
    pub masks: &'a [Mask],
    /// slices done, this one included
    pub done: u64,
    /// slices in all
    pub total: u64,
}

/// Prompts and memory on one volume.
#[derive(Debug)]
pub struct Session {
    pub(super) api: Api,
    pub(super) handle: *mut opaque::Session,
}

// Safety: handles may be used on any thread; overlapping calls get `busy`.
unsafe impl Send for Session {}
unsafe impl Sync for Session {}

impl Api {
    /// A session; `options` as of `sam_octa2_session_create`.
    pub fn session(
        &self,
        volume: &Volume,
        model: &Model,
        options: Option<&str>,
        host: &mut dyn HostObserver,
    ) -> Result<Session, PluginError> {
        let (options, create) = (optional(options)?, self.tables.session.create);
        let handle = with_host(host, |host| {
            self.make(|session, error| unsafe {
                create(volume.handle, model.handle, pointer(&options), host, session, error)
            })
        })?;
        Ok(Session { api: *self, handle })
    }

    /// The session that [`Session::save`] wrote down.
    pub fn restore(
        &self,
        volume: &Volume,
        model: &Model,
        state: &[u8],
        options: Option<&str>,
        host: &mut dyn HostObserver,
    ) -> Result<Session, PluginError> {
        let (options, restore) = (optional(options)?, self.tables.session.restore);
        let handle = with_host(host, |host| {
            self.make(|session, error| unsafe {
                let (data, length, options) = (state.as_ptr(), state.len(), pointer(&options));
                restore(volume.handle, model.handle, data, length, options, host, session, error)
            })
        })?;
        Ok(Session { api: *self, handle })
    }
}

impl Session {
    /// Marks an object on a slice, and answers with its mask there.
    pub fn prompt(&self, prompt: &Prompt, host: &mut dyn HostObserver) -> Result<Mask, PluginError> {
        let handle = self.prompted(prompt, host, |raw, host| {
            self.api
                .make(|mask, error| unsafe { (self.api.tables.session.prompt)(self.handle, raw, host, mask, error) })
        })?;
        Ok(Mask::new(self.api, handle))
    }

    /// What a prompt would be answered, then the masks to choose from, where the model has several; nothing is changed.
    pub fn preview(&self, prompt: &Prompt, host: &mut dyn HostObserver) -> Result<Vec<Mask>, PluginError> {
        let (mut masks, mut count) = ([null_mut(); 8], 0u64);
        self.prompted(prompt, host, |raw, host| {
            let (preview, room) = (self.api.tables.session.preview, masks.len());
            self.api.call(|error| unsafe {
                preview(self.handle, raw, host, masks.as_mut_ptr(), room, &raw mut count, error)
            })
        })?;
        let given = masks.into_iter().take(count as usize).filter(|mask| !mask.is_null());
        Ok(given.map(|mask| Mask::new(self.api, mask)).collect())
    }

    /// Calls with a prompt as C wants it.
    fn prompted<T>(
        &self,
        prompt: &Prompt,
        host: &mut dyn HostObserver,
        work: impl FnOnce(*const PromptStruct, *const HostStruct) -> Result<T, PluginError>,
    ) -> Result<T, PluginError> {
        let places = if prompt.patient { 3 } else { 2 };
        let invalid = |what: &str| Err(PluginError::new("invalid_argument", what));
        let whole = |values: &[f64]| values.len().is_multiple_of(places);
        let point_count = prompt.points.len() / places;
        if ![&prompt.points, &prompt.line, &prompt.polygon].into_iter().all(|values| whole(values))
            || !matches!(prompt.bounds.len(), 0 | 4 | 6)
        {
            return invalid("a place has two numbers, in the patient three");
        }
        if !prompt.bounds.is_empty() && prompt.bounds.len() != 2 * places {
            return invalid("a box has two corners");
        }
        if !prompt.labels.is_empty() && prompt.labels.len() != point_count {
            return invalid("each point needs one label, or none has");
        }
        let mask = prompt.mask.as_ref();
        let mask = mask.map(|(rows, columns, values)| lent(values.clone(), &[*rows, *columns])).transpose()?;
        let of = |values: &[f64]| if values.is_empty() { null() } else { values.as_ptr() };
        let raw = PromptStruct {
            frame: prompt.frame,
            object: prompt.object,
            flags: PROMPT_PATIENT * u32::from(prompt.patient) + PROMPT_REPLACE * u32::from(prompt.replace),
            points: of(&prompt.points),
            labels: if prompt.labels.is_empty() { null() } else { prompt.labels.as_ptr() },
            point_count,
            bounds: of(&prompt.bounds),
            mask: mask.as_ref().map_or(null(), std::ptr::from_ref),
            choice: prompt.choice,
            line_label: u32::from(!prompt.line_outside),
            line: of(&prompt.line),
            line_count: prompt.line.len() / places,
            line_width: prompt.line_width,
            polygon: of(&prompt.polygon),
            polygon_count: prompt.polygon.len() / places,
            ..PromptStruct::empty()
        };
        with_host(host, |host| work(&raw const raw, host))
    }

    /// Follows all objects; `range` as of `sam_octa2_session_propagate`. What is done when it is stopped stays.
    pub fn propagate(
        &self,
        range: Option<&str>,
        on_slice: &mut dyn FnMut(Slice<'_>) -> Flow,
        host: &mut dyn HostObserver,
    ) -> Result<(), PluginError> {
        let range = optional(range)?;
        let mut context = Receiver { api: self.api, on_slice };
        let on_slice =
            OnSliceStruct { size: size_of::<OnSliceStruct>(), context: (&raw mut context).cast(), call: Some(receive) };
        with_host(host, |host| {
            self.api.call(|error| unsafe {
                (self.api.tables.session.propagate)(self.handle, pointer(&range), &raw const on_slice, host, error)
            })
        })
    }

    /// The mask of an object on a slice.
    pub fn mask(&self, frame: u64, object: u32) -> Result<Mask, PluginError> {
        let make = |mask, error| unsafe { (self.api.tables.session.mask)(self.handle, frame, object, mask, error) };
        Ok(Mask::new(self.api, self.api.make(make)?))
    }

    /// All masks as one stack of object numbers.
    pub fn labels(&self, host: &mut dyn HostObserver) -> Result<Mask, PluginError> {
        let labels = self.api.tables.session.labels;
        let made =
            with_host(host, |host| self.api.make(|mask, error| unsafe { labels(self.handle, host, mask, error) }))?;
        Ok(Mask::new(self.api, made))
    }

    /// Everything that the session knows, as bytes.
    pub fn save(&self, host: &mut dyn HostObserver) -> Result<View, PluginError> {
        let mut view = ViewStruct::empty();
        let save = self.api.tables.session.save;
        with_host(host, |host| self.api.call(|error| unsafe { save(self.handle, host, &raw mut view, error) }))?;
        Ok(View::new(view))
    }

    /// Objects, prompts, slices with masks, memory in use, as JSON.
    pub fn describe(&self) -> Result<String, PluginError> {
        self.api.text(|reply, error| unsafe { (self.api.tables.session.describe)(self.handle, reply, error) })
    }

    /// Takes the last step back, whatever it was. The step as JSON.
    pub fn undo(&self) -> Result<String, PluginError> {
        self.api.text(|reply, error| unsafe { (self.api.tables.session.undo)(self.handle, reply, error) })
    }

    /// Does the step again that was undone last. The step as JSON.
    pub fn redo(&self) -> Result<String, PluginError> {
        self.api.text(|reply, error| unsafe { (self.api.tables.session.redo)(self.handle, reply, error) })
    }

    /// What was done: `done`, `undo`, `undone` and `record`, as JSON (`sam_octa2_session_history`).
    pub fn history(&self) -> Result<String, PluginError> {
        self.api.text(|reply, error| unsafe { (self.api.tables.session.history)(self.handle, reply, error) })
    }

    /// The session as a script that does the same again.
    pub fn script(&self, host: &mut dyn HostObserver) -> Result<String, PluginError> {
        let script = self.api.tables.session.script;
        with_host(host, |host| self.api.text(|reply, error| unsafe { script(self.handle, host, reply, error) }))
    }

    /// Computes the features of a slice now.
    pub fn encode(&self, frame: u64, host: &mut dyn HostObserver) -> Result<(), PluginError> {
        self.long(host, |host, error| unsafe { (self.api.tables.session.encode)(self.handle, frame, host, error) })
    }

    /// Removes one prompt of an object on a slice: one of those given, or the last.
    pub fn remove_prompt(
        &self,
        frame: u64,
        object: u32,
        index: Option<u64>,
        host: &mut dyn HostObserver,
    ) -> Result<(), PluginError> {
        let remove = self.api.tables.session.remove_prompt;
        self.long(host, |host, error| unsafe {
            remove(self.handle, frame, object, index.unwrap_or(u64::MAX), host, error)
        })
    }

    /// Takes back all prompts of an object on a slice.
    pub fn clear_slice(&self, frame: u64, object: u32, host: &mut dyn HostObserver) -> Result<(), PluginError> {
        let clear = self.api.tables.session.clear_slice;
        self.long(host, |host, error| unsafe { clear(self.handle, frame, object, host, error) })
    }

    /// Names, colours, describes, shows, hides, locks or unlocks an object; `properties` as of `sam_octa2_session_set_object`.
    pub fn set_object(&self, object: u32, properties: &str) -> Result<(), PluginError> {
        let (properties, set) = (c_text(properties)?, self.api.tables.session.set_object);
        self.api.call(|error| unsafe { set(self.handle, object, properties.as_ptr(), error) })
    }

    /// One object, as JSON.
    pub fn object(&self, object: u32) -> Result<String, PluginError> {
        self.api.text(|reply, error| unsafe { (self.api.tables.session.object)(self.handle, object, reply, error) })
    }

    /// Removes an object.
    pub fn remove_object(&self, object: u32) -> Result<(), PluginError> {
        self.api.call(|error| unsafe { (self.api.tables.session.remove_object)(self.handle, object, error) })
    }

    /// Removes all objects.
    pub fn reset(&self) -> Result<(), PluginError> {
        self.api.call(|error| unsafe { (self.api.tables.session.reset)(self.handle, error) })
    }

    /// Gives up what can be computed again.
    pub fn free_caches(&self) -> Result<(), PluginError> {
        self.api.call(|error| unsafe { (self.api.tables.session.free_caches)(self.handle, error) })
    }

    fn long(
        &self,
        host: &mut dyn HostObserver,
        function: impl FnOnce(*const HostStruct, Failure) -> Status,
    ) -> Result<(), PluginError> {
        with_host(host, |host| self.api.call(|error| function(host, error)))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Safety: once.
        unsafe { (self.api.tables.session.free)(self.handle) }
    }
}

struct Receiver<'a> {
    api: Api,
    on_slice: &'a mut dyn FnMut(Slice<'_>) -> Flow,
}

unsafe extern "C" fn receive(
    context: *mut c_void,
    frame: u64,
    masks: *const *mut opaque::Mask,
    mask_count: usize,
    done: u64,
    total: u64,
) -> i32 {
    // Safety: `propagate` gave the context; the masks are lent for this call, and each is retained for ours.
    let flow = unsafe {
        let receiver = &mut *context.cast::<Receiver<'_>>();
        let lent = if masks.is_null() { &[][..] } else { std::slice::from_raw_parts(masks, mask_count) };
        let retain = |&mask: &*mut opaque::Mask| (receiver.api.tables.mask.retain)(mask);
        let kept = lent.iter().map(retain).filter(|mask| !mask.is_null());
        let masks: Vec<Mask> = kept.map(|mask| Mask::new(receiver.api, mask)).collect();
        catch_unwind(AssertUnwindSafe(|| (receiver.on_slice)(Slice { frame, masks: &masks, done, total })))
    };
    match flow {
        Ok(Flow::CONTINUE) => 0,
        _ => 1,
    }
}
