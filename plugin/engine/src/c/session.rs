//! `sam_octa2_session_...`

use super::{Place, entry, long, long_as, number, options, sized};
use crate::convert::{self, ToHost};
use crate::service::history;
use crate::service::mask::{Shared, Values};
use crate::service::session::{RangeOptions, SessionOptions, Work};
use crate::service::view;
use crate::service::{MASKS, MODELS, MaskValue, SESSIONS, VOLUMES, prompt as prompts};
use sam_octa2_abi::raw::opaque::{Mask, Model, Session, Volume};
use sam_octa2_abi::raw::{
    Failure, Handle, HostStruct, OnSliceStruct, Out, PromptStruct, Reply, Status, Text, ViewStruct,
};
use sam_octa2_core::progress::{Flow, Observer, Progress, unwatched};
use sam_octa2_core::session::{Preview, PropertyChange, SliceResult};
use serde_json::Value;
use std::sync::Arc;

pub unsafe extern "C" fn create(
    volume: Handle<Volume>,
    model: Handle<Model>,
    option_json: Text,
    host: *const HostStruct,
    session: Out<Session>,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_as("create", host, error, |_| {
            let place = Place::new("session", session)?;
            let options: SessionOptions = options("options", option_json)?;
            let work = Work::new(&*VOLUMES.get(volume)?, &*MODELS.get(model)?, &options)?;
            place.give(SESSIONS.add(work));
            Ok(())
        })
    }
}

pub unsafe extern "C" fn restore(
    volume: Handle<Volume>,
    model: Handle<Model>,
    state: *const u8,
    length: usize,
    option_json: Text,
    host: *const HostStruct,
    session: Out<Session>,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_as("restore", host, error, |_| {
            let place = Place::new("session", session)?;
            let options: SessionOptions = options("options", option_json)?;
            let state = match state.is_null() {
                true => return Err(convert::invalid("`state` is null")),
                false => std::slice::from_raw_parts(state, length),
            };
            let work = Work::restored(&*VOLUMES.get(volume)?, &*MODELS.get(model)?, state, &options)?;
            place.give(SESSIONS.add(work));
            Ok(())
        })
    }
}

pub unsafe extern "C" fn save(
    session: Handle<Session>,
    host: *const HostStruct,
    view: *mut ViewStruct,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_as("save", host, error, |_| {
            let place = Place::of_view(view)?;
            let bytes = SESSIONS.get(session)?.with(|session| session.save())?;
            let shape = vec![bytes.len()];
            place.give_sized(view::share(Shared { values: Values::U8(Arc::new(bytes)), shape, affine: None }))
        })
    }
}

pub unsafe extern "C" fn describe(session: Handle<Session>, reply: Reply, error: Failure) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        let response = SESSIONS.get(session)?.with(|session| session.describe())?;
        let response = serde_json::to_string(&response).map_err(|error| convert::invalid(error.to_string()))?;
        reply.give_text(&response);
        Ok(())
    })
}

pub unsafe extern "C" fn encode(
    session: Handle<Session>,
    frame: u64,
    host: *const HostStruct,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long(host, error, |calls| {
            let frame = number("frame", frame)?;
            SESSIONS.get(session)?.with(|session| {
                ToHost(calls).step("encode", 0, 1)?;
                session.encode(frame)?;
                ToHost(calls).step("encode", 1, 1)
            })
        })
    }
}

pub unsafe extern "C" fn prompt(
    session: Handle<Session>,
    prompt: *const PromptStruct,
    host: *const HostStruct,
    mask: Out<Mask>,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        let duty = prompts::duty(prompt); // released at the end, whatever happens
        long(host, error, |calls| {
            let prompt = &sized(prompt)?;
            let work = SESSIONS.get(session)?;
            let (frame, marks) = prompts::read(prompt, duty, work.volume())?;
            let answer = work.with(|session| {
                ToHost(calls).step("prompt", 0, 1)?;
                let answer = session.prompt(frame, prompt.object, marks)?;
                // the step is done: too late to cancel
                unwatched(|| {
                    ToHost(calls).step("prompt", 1, 1).ok();
                    Work::slice_mask(session, frame, &answer)
                })
            })?;
            if !mask.is_null() {
                *mask = MASKS.add(answer);
            }
            Ok(())
        })
    }
}

pub unsafe extern "C" fn preview(
    session: Handle<Session>,
    prompt: *const PromptStruct,
    host: *const HostStruct,
    masks: Out<Mask>,
    room: usize,
    count: *mut u64,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        let duty = prompts::duty(prompt); // released at the end, whatever happens
        long_as("preview", host, error, |_| {
            let (first, count) = (Place::new("masks", masks)?, Place::new("count", count)?);
            if room == 0 {
                return Err(convert::invalid("`room` is 0: `masks` needs a place for the answer"));
            }
            let prompt = &sized(prompt)?;
            let work = SESSIONS.get(session)?;
            let (frame, marks) = prompts::read(prompt, duty, work.volume())?;
            let found = work.with(|session| {
                let Preview { mask, alternatives } = session.preview(frame, prompt.object, &marks)?;
                let all = [&mask].into_iter().chain(&alternatives);
                all.map(|mask| Work::slice_mask(session, frame, mask)).collect::<sam_octa2_core::Result<Vec<_>>>()
            })?;
            count.give(found.len() as u64);
            let mut found = found.into_iter().take(room).map(|mask| MASKS.add(mask));
            if let Some(mask) = found.next() {
                first.give(mask);
            }
            for (at, mask) in (1..room).zip(found) {
                *masks.add(at) = mask;
            }
            Ok(())
        })
    }
}

/// A verb of the session that needs no more than numbers.
fn verb(
    session: Handle<Session>,
    error: Failure,
    work: impl FnOnce(&mut sam_octa2_core::session::Session) -> sam_octa2_core::Result<()>,
) -> Status {
    entry(error, || SESSIONS.get(session)?.with(work))
}

/// One that computes.
unsafe fn long_verb(
    session: Handle<Session>,
    host: *const HostStruct,
    error: Failure,
    work: impl FnOnce(&mut sam_octa2_core::session::Session) -> sam_octa2_core::Result<()>,
) -> Status {
    // Safety: the header's rules.
    unsafe { long_as("prompt", host, error, |_| SESSIONS.get(session)?.with(work)) }
}

pub unsafe extern "C" fn remove_prompt(
    session: Handle<Session>,
    frame: u64,
    object: u32,
    index: u64,
    host: *const HostStruct,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_verb(session, host, error, |session| match index {
            u64::MAX => session.remove_last_prompt(frame as usize, object),
            index => session.remove_prompt(frame as usize, object, index as usize),
        })
    }
}

pub unsafe extern "C" fn clear_slice(
    session: Handle<Session>,
    frame: u64,
    object: u32,
    host: *const HostStruct,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe { long_verb(session, host, error, |session| session.clear_slice(frame as usize, object)) }
}

pub unsafe extern "C" fn remove_object(session: Handle<Session>, object: u32, error: Failure) -> Status {
    verb(session, error, |session| session.remove_object(object))
}

pub unsafe extern "C" fn reset(session: Handle<Session>, error: Failure) -> Status {
    verb(session, error, |session| session.reset())
}

pub unsafe extern "C" fn set_object(session: Handle<Session>, object: u32, properties: Text, error: Failure) -> Status {
    entry(error, || {
        // Safety: the header's rules.
        let change: PropertyChange = unsafe { options("properties", properties)? };
        SESSIONS.get(session)?.with(|session| session.set_object(object, &change))
    })
}

pub unsafe extern "C" fn object(session: Handle<Session>, object: u32, reply: Reply, error: Failure) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        let found = SESSIONS.get(session)?.with(|session| session.object(object))?;
        let found = serde_json::to_string(&found).map_err(|error| convert::invalid(error.to_string()))?;
        reply.give_text(&found);
        Ok(())
    })
}

pub unsafe extern "C" fn undo(session: Handle<Session>, reply: Reply, error: Failure) -> Status {
    back_or_forth(session, reply, error, |session| session.undo().map(history::step))
}

pub unsafe extern "C" fn redo(session: Handle<Session>, reply: Reply, error: Failure) -> Status {
    back_or_forth(session, reply, error, |session| session.redo().map(history::step))
}

/// Undo or redo; `reply` may be null.
fn back_or_forth(
    session: Handle<Session>,
    reply: Reply,
    error: Failure,
    work: impl FnOnce(&mut sam_octa2_core::session::Session) -> sam_octa2_core::Result<Value>,
) -> Status {
    entry(error, || {
        let step = SESSIONS.get(session)?.with(work)?;
        if !reply.is_null() {
            Place::new("reply", reply)?.give_text(&step.to_string());
        }
        Ok(())
    })
}

pub unsafe extern "C" fn history(session: Handle<Session>, reply: Reply, error: Failure) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        let response = SESSIONS.get(session)?.with(|session| Ok(history::steps(&session.history())))?;
        reply.give_text(&response.to_string());
        Ok(())
    })
}

pub unsafe extern "C" fn script(
    session: Handle<Session>,
    host: *const HostStruct,
    reply: Reply,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_as("script", host, error, |_| {
            let reply = Place::new("reply", reply)?;
            reply.give_text(&SESSIONS.get(session)?.script()?);
            Ok(())
        })
    }
}

pub unsafe extern "C" fn propagate(
    session: Handle<Session>,
    range: Text,
    on_slice: *const OnSliceStruct,
    host: *const HostStruct,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        // memories of what was prompted are made before the first slice is reported
        long_as("propagate", host, error, |calls| {
            let range: RangeOptions = options("range", range)?;
            let on_slice = if on_slice.is_null() { None } else { Some(sized(on_slice)?) };
            let work = SESSIONS.get(session)?;
            work.with(|session| {
                let size = [session.volume().rows, session.volume().columns];
                session.propagate(range.into(), |slice| {
                    let response =
                        on_slice.as_ref().map_or(Ok(Flow::Continue), |on_slice| tell(on_slice, size, &slice))?;
                    let received = Progress { stage: "propagate", done: slice.done, total: slice.total };
                    let flow = ToHost(calls).progress(received);
                    Ok(if response == Flow::Cancel { Flow::Cancel } else { flow })
                })
            })
        })
    }
}

/// Shows a slice's masks to the host. They are freed when the host's function returns; it may have kept some.
fn tell(on_slice: &OnSliceStruct, size: [usize; 2], slice: &SliceResult) -> sam_octa2_core::Result<Flow> {
    use crate::service::mask::SliceMask;
    let Some(call) = on_slice.call else { return Ok(Flow::Continue) };
    let masks = slice.masks.iter().map(|mask| SliceMask::new(slice.frame, size, mask).map(MaskValue::Slice));
    let masks = masks.collect::<sam_octa2_core::Result<Vec<_>>>()?;
    let handles: Vec<*mut Mask> = masks.into_iter().map(|mask| MASKS.add(mask)).collect();
    let (frame, done, total) = (slice.frame as u64, slice.done as u64, slice.total as u64);
    // Safety: the host's function with the host's context, and handles that live until they are removed below.
    let answer = unsafe { call(on_slice.context, frame, handles.as_ptr(), handles.len(), done, total) };
    handles.into_iter().for_each(|handle| MASKS.remove(handle));
    Ok(if answer == 0 { Flow::Continue } else { Flow::Cancel })
}

pub unsafe extern "C" fn mask(
    session: Handle<Session>,
    frame: u64,
    object: u32,
    mask: Out<Mask>,
    error: Failure,
) -> Status {
    entry(error, || {
        let (place, frame) = (Place::new("mask", mask)?, number("frame", frame)?);
        let found = SESSIONS.get(session)?.with(|session| {
            let found = session.mask(frame, object)?;
            Work::slice_mask(session, frame, &found)
        })?;
        place.give(MASKS.add(found));
        Ok(())
    })
}

pub unsafe extern "C" fn labels(
    session: Handle<Session>,
    host: *const HostStruct,
    mask: Out<Mask>,
    error: Failure,
) -> Status {
    // Safety: the header's rules.
    unsafe {
        long_as("labels", host, error, |_| {
            let place = Place::new("mask", mask)?;
            place.give(MASKS.add(SESSIONS.get(session)?.labels()?));
            Ok(())
        })
    }
}

pub unsafe extern "C" fn free_caches(session: Handle<Session>, error: Failure) -> Status {
    verb(session, error, |session| {
        session.free_caches();
        Ok(())
    })
}

pub unsafe extern "C" fn free(session: Handle<Session>) {
    entry(std::ptr::null_mut(), || {
        SESSIONS.remove(session);
        Ok(())
    });
}
