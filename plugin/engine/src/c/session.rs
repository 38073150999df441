//! `sam_octa2_session_...`

use super::{Checked, Place, entry, long, long_as, number, options, sized};
use crate::convert::{self, ToHost};
use crate::service::mask::{Shared, Values};
use crate::service::session::{RangeOptions, SessionOptions, Work};
use crate::service::view;
use crate::service::{MASKS, MODELS, MaskValue, SESSIONS, VOLUMES, prompt as prompts};
use sam_octa2_abi::raw::opaque::{Mask, Model, Session, Volume};
use sam_octa2_abi::raw::{ErrorBox, HostStruct, OnSliceStruct, PromptStruct, Session1, Status, ViewStruct};
use sam_octa2_core::progress::{Flow, Observer, Progress, unwatched};
use sam_octa2_core::session::SliceResult;
use std::ffi::c_char;
use std::sync::Arc;

pub const TABLE: Session1 = Session1 {
    create,
    restore,
    save,
    describe,
    encode,
    prompt,
    remove_prompt,
    undo,
    clear_slice,
    remove_object,
    reset,
    propagate,
    mask,
    labels,
    free_caches,
    free,
};

unsafe extern "C" fn create(
    volume: *mut Volume,
    model: *mut Model,
    option_json: *const c_char,
    session: *mut *mut Session,
    error: *mut *mut ErrorBox,
) -> Status {
    entry(error, || {
        let place = Place::new("session", session)?;
        // Safety: the header's rules.
        let options: SessionOptions = unsafe { options("options", option_json) }?;
        let work = Work::new(&*VOLUMES.get(volume)?, &*MODELS.get(model)?, &options)?;
        place.give(SESSIONS.add(work));
        Ok(())
    })
}

unsafe extern "C" fn restore(
    volume: *mut Volume,
    model: *mut Model,
    state: *const u8,
    length: usize,
    option_json: *const c_char,
    session: *mut *mut Session,
    error: *mut *mut ErrorBox,
) -> Status {
    entry(error, || {
        let place = Place::new("session", session)?;
        // Safety: the header's rules.
        let options: SessionOptions = unsafe { options("options", option_json) }?;
        let state = match state.is_null() {
            true => return Err(convert::invalid("`state` is null")),
            false => unsafe { std::slice::from_raw_parts(state, length) },
        };
        let work = Work::restored(&*VOLUMES.get(volume)?, &*MODELS.get(model)?, state, &options)?;
        place.give(SESSIONS.add(work));
        Ok(())
    })
}

unsafe extern "C" fn save(session: *mut Session, view: *mut ViewStruct, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let place = Place::of_view(view)?;
        let bytes = SESSIONS.get(session)?.with(|session| session.save())?;
        let shape = vec![bytes.len()];
        place.give_sized(view::share(Shared { values: Values::U8(Arc::new(bytes)), shape, affine: None }))
    })
}

unsafe extern "C" fn describe(session: *mut Session, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        let told = SESSIONS.get(session)?.with(|session| session.describe())?;
        let told = serde_json::to_string(&told).map_err(|error| convert::invalid(error.to_string()))?;
        reply.give_text(&told);
        Ok(())
    })
}

unsafe extern "C" fn encode(
    session: *mut Session,
    frame: u64,
    host: *const HostStruct,
    error: *mut *mut ErrorBox,
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

unsafe extern "C" fn prompt(
    session: *mut Session,
    prompt: *const PromptStruct,
    host: *const HostStruct,
    mask: *mut *mut Mask,
    error: *mut *mut ErrorBox,
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

/// A verb of the session that needs no more than numbers.
fn verb(
    session: *mut Session,
    error: *mut *mut ErrorBox,
    work: impl FnOnce(&mut sam_octa2_core::session::Session) -> sam_octa2_core::Result<()>,
) -> Status {
    entry(error, || SESSIONS.get(session)?.with(work))
}

unsafe extern "C" fn remove_prompt(
    session: *mut Session,
    frame: u64,
    object: u32,
    index: u64,
    error: *mut *mut ErrorBox,
) -> Status {
    verb(session, error, |session| session.remove_prompt(frame as usize, object, index as usize))
}

unsafe extern "C" fn undo(session: *mut Session, frame: u64, object: u32, error: *mut *mut ErrorBox) -> Status {
    verb(session, error, |session| session.remove_last_prompt(frame as usize, object))
}

unsafe extern "C" fn clear_slice(session: *mut Session, frame: u64, object: u32, error: *mut *mut ErrorBox) -> Status {
    verb(session, error, |session| session.clear_slice(frame as usize, object))
}

unsafe extern "C" fn remove_object(session: *mut Session, object: u32, error: *mut *mut ErrorBox) -> Status {
    verb(session, error, |session| session.remove_object(object))
}

unsafe extern "C" fn reset(session: *mut Session, error: *mut *mut ErrorBox) -> Status {
    verb(session, error, |session| {
        session.reset();
        Ok(())
    })
}

unsafe extern "C" fn propagate(
    session: *mut Session,
    range: *const c_char,
    on_slice: *const OnSliceStruct,
    host: *const HostStruct,
    error: *mut *mut ErrorBox,
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
                    let told = on_slice.as_ref().map_or(Ok(Flow::Continue), |on_slice| tell(on_slice, size, &slice))?;
                    let heard = Progress { stage: "propagate", done: slice.done, total: slice.total };
                    let flow = ToHost(calls).progress(heard);
                    Ok(if told == Flow::Cancel { Flow::Cancel } else { flow })
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

unsafe extern "C" fn mask(
    session: *mut Session,
    frame: u64,
    object: u32,
    mask: *mut *mut Mask,
    error: *mut *mut ErrorBox,
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

unsafe extern "C" fn labels(session: *mut Session, mask: *mut *mut Mask, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let place: Place<*mut Mask> = Place::new("mask", mask)?;
        let labels: Checked<_> = SESSIONS.get(session)?.labels();
        place.give(MASKS.add(labels?));
        Ok(())
    })
}

unsafe extern "C" fn free_caches(session: *mut Session, error: *mut *mut ErrorBox) -> Status {
    verb(session, error, |session| {
        session.free_caches();
        Ok(())
    })
}

unsafe extern "C" fn free(session: *mut Session) {
    entry(std::ptr::null_mut(), || {
        SESSIONS.remove(session);
        Ok(())
    });
}
