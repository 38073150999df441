//! Prompts, memory and propagation on one volume. One call at a time on a session; another one meanwhile, also from a callback, gets
//! SAM_OCTA2_BUSY.

use crate::engine::{forward, forward_or, get, release_view};
use sam_octa2_abi::raw::opaque::{Mask, Model, Session, Volume};
use sam_octa2_abi::raw::{Engine, Sized1};
use sam_octa2_abi::raw::{ErrorBox, HostStruct, OnSliceStruct, PromptStruct, Session1, Status, ViewStruct};
use std::ffi::c_char;

/// `sam_octa2.session/1`
pub static TABLE: Session1 = Session1 {
    create: sam_octa2_session_create,
    restore: sam_octa2_session_restore,
    save: sam_octa2_session_save,
    describe: sam_octa2_session_describe,
    encode: sam_octa2_session_encode,
    prompt: sam_octa2_session_prompt,
    remove_prompt: sam_octa2_session_remove_prompt,
    undo: sam_octa2_session_undo,
    clear_slice: sam_octa2_session_clear_slice,
    remove_object: sam_octa2_session_remove_object,
    reset: sam_octa2_session_reset,
    propagate: sam_octa2_session_propagate,
    mask: sam_octa2_session_mask,
    labels: sam_octa2_session_labels,
    free_caches: sam_octa2_session_free_caches,
    free: sam_octa2_session_free,
};

/// `[any thread; blocks]` A session. `options`: JSON with any of `window` (docs/formats.md), `compat` (`"reference"`), `memory_precision`
/// (`f32`, `bf16`, `f16`: what memories are rounded to), `feature_cache_bytes`, `state_bytes`, `history_bytes` (what only undo needs), `features`
/// (a folder that keeps features of encoded slices for later sessions) and `features_bytes` (what its files may take), or null. Nothing is computed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_create(
    volume: *mut Volume,
    model: *mut Model,
    options: *const c_char,
    session: *mut *mut Session,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.create)(volume, model, options, session, error) })
}

/// `[any thread; blocks]` The session that `sam_octa2_session_save` wrote down; volume and model must be the same. Options as for create.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_restore(
    volume: *mut Volume,
    model: *mut Model,
    state: *const u8,
    length: usize,
    options: *const c_char,
    session: *mut *mut Session,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.restore)(volume, model, state, length, options, session, error) })
}

/// `[any thread; blocks]` Everything that the session knows, as bytes (a view of one dimension). Release the view when done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_save(
    session: *mut Session,
    view: *mut ViewStruct,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.save)(session, view, error) })
}

/// `[any thread]` Objects, prompts, slices with masks, memory in use, window, as JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_describe(
    session: *mut Session,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.describe)(session, reply, error) })
}

/// `[any thread; blocks]` Computes the features of a slice now, so that the first prompt on it is answered at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_encode(
    session: *mut Session,
    frame: u64,
    host: *const HostStruct,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.encode)(session, frame, host, error) })
}

/// `[any thread; blocks]` Marks an object on a slice; `mask` (may be null) gets the answer there. An object that is new is added.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_prompt(
    session: *mut Session,
    prompt: *const PromptStruct,
    host: *const HostStruct,
    mask: *mut *mut Mask,
    error: *mut *mut ErrorBox,
) -> Status {
    let call = |engine: &'static Engine| unsafe { (engine.session.prompt)(session, prompt, host, mask, error) };
    forward_or(error, call, || unsafe {
        let prompt = if prompt.is_null() { None } else { PromptStruct::read(prompt).ok() };
        prompt.into_iter().for_each(|prompt| release_view(prompt.mask));
    })
}

/// `[any thread; blocks]` Removes one prompt of an object on a slice: `index` counts from 0 in the order given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_remove_prompt(
    session: *mut Session,
    frame: u64,
    object: u32,
    index: u64,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.remove_prompt)(session, frame, object, index, error) })
}

/// `[any thread; blocks]` Removes the last prompt of an object on a slice. This is a step of its own; `sam_octa2_history_undo` takes the last
/// step back, whatever it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_undo(
    session: *mut Session,
    frame: u64,
    object: u32,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.undo)(session, frame, object, error) })
}

/// `[any thread; blocks]` Takes back all prompts of an object on a slice; what was tracked there comes back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_clear_slice(
    session: *mut Session,
    frame: u64,
    object: u32,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.clear_slice)(session, frame, object, error) })
}

/// `[any thread]` Removes an object with all its prompts and masks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_remove_object(
    session: *mut Session,
    object: u32,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.remove_object)(session, object, error) })
}

/// `[any thread]` Removes all objects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_reset(session: *mut Session, error: *mut *mut ErrorBox) -> Status {
    forward(error, |engine| unsafe { (engine.session.reset)(session, error) })
}

/// `[any thread; blocks]` Follows all objects through the stack. `range`: JSON with any of `direction` (`forward`, `backward`, `both`), `start`,
/// `max_frames`, or null. `on_slice` may be null. Cancelled, what is done stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_propagate(
    session: *mut Session,
    range: *const c_char,
    on_slice: *const OnSliceStruct,
    host: *const HostStruct,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.propagate)(session, range, on_slice, host, error) })
}

/// `[any thread; blocks]` The mask of an object on a slice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_mask(
    session: *mut Session,
    frame: u64,
    object: u32,
    mask: *mut *mut Mask,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.mask)(session, frame, object, mask, error) })
}

/// `[any thread; blocks]` All masks as one stack of object numbers, on the grid of the volume as it was opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_labels(
    session: *mut Session,
    mask: *mut *mut Mask,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.session.labels)(session, mask, error) })
}

/// `[any thread]` Gives up what can be computed again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_free_caches(session: *mut Session, error: *mut *mut ErrorBox) -> Status {
    forward(error, |engine| unsafe { (engine.session.free_caches)(session, error) })
}

/// `[any thread]` Frees a session. A call that is at work in it on another thread still comes to its end. Masks made from it live on. Null does
/// nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_session_free(session: *mut Session) {
    if let (false, Ok(engine)) = (session.is_null(), get()) {
        unsafe { (engine.session.free)(session) }
    }
}
