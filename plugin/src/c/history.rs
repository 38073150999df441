//! What was done to a session: undo, redo, and all of it as JSON or as a script. Steps are prompts, prompts removed, `clear_slice`,
//! `remove_object`, `reset` and propagations (also those that were stopped); `sam_octa2_session_undo` is such a step too, which removes a
//! prompt.

use crate::engine::forward;
use sam_octa2_abi::raw::opaque::Session;
use sam_octa2_abi::raw::{ErrorBox, History1, Status};
use std::ffi::c_char;

/// `sam_octa2.history/1`
pub static TABLE: History1 = History1 {
    undo: sam_octa2_history_undo,
    redo: sam_octa2_history_redo,
    describe: sam_octa2_history_describe,
    script: sam_octa2_history_script,
};

/// `[any thread]` Takes the last step back, whatever it was: everything is as it was before, bit for bit. `reply` (may be null) gets the step as
/// JSON: `op`, what was given, and a `text` to be read. An error where there is nothing to undo, or where the state was given up for
/// `history_bytes` (an option of the session) or after 500 steps.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_history_undo(
    session: *mut Session,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.history.undo)(session, reply, error) })
}

/// `[any thread]` Does the step again that was undone last, without computing it again. A step of another kind since leaves nothing to redo.
/// `reply` as for undo.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_history_redo(
    session: *mut Session,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.history.redo)(session, reply, error) })
}

/// `[any thread]` JSON: `done` (the steps in force), `undo` (how many of them can be undone), `undone` (those that can be redone, the next one
/// first), `record` (all that was done, in order, undo and redo included).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_history_describe(
    session: *mut Session,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.history.describe)(session, reply, error) })
}

/// `[any thread; blocks]` The session as the text of a script that does the same again (task `script`), with the fingerprints of volume, model and
/// labels. Reads the whole volume once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sam_octa2_history_script(
    session: *mut Session,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    forward(error, |engine| unsafe { (engine.history.script)(session, reply, error) })
}
