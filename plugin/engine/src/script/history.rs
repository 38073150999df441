//! Undo, redo and the record of a session in scripts.

use super::Context;
use super::library::Library;
use super::session::SessionValue;
use super::values::{Checked, Fallible, native};
use crate::service::history::{step, steps};
use rhai::{Dynamic, NativeCallContext};
use sam_octa2_core::{Error, job};
use serde::Serialize;

/// What a step may have; what it has depends on `op`.
macro_rules! step {
    () => {
        "#{op, text, frame?, object?, points?, labels?, box?, mask?: #{size, counts}, replace?, choice?, index?, direction?, start?, max_frames?, objects?, patience?, threshold?, slices?, name?, colour?, property?, visible?, locked?}"
    };
}

/// Makes them known to scripts.
pub fn register(library: &mut Library<'_>, _context: &Context) {
    library
        .section("History", INTRO)
        .function(
            concat!("undo(session: Session) -> Map ", step!()),
            "Takes the last step back, whatever it was; all is as it was before, bit for bit. Returns the step.",
            "session.undo().text",
            |call: NativeCallContext, session: &mut SessionValue| -> Fallible<Dynamic> {
                native(&call, || session.lock()?.undo().map(step).map_err(Into::into).and_then(value))
            },
        )
        .function(
            concat!("redo(session: Session) -> Map ", step!()),
            "Does the step again that was undone last, without computing it again. Returns the step.",
            "session.undo(); session.redo().op",
            |call: NativeCallContext, session: &mut SessionValue| -> Fallible<Dynamic> {
                native(&call, || session.lock()?.redo().map(step).map_err(Into::into).and_then(value))
            },
        )
        .function(
            concat!(
                "history(session: Session) -> Map #{done: [",
                step!(),
                "], undo, undone: [",
                step!(),
                "], record: [",
                step!(),
                "]}"
            ),
            "`done`, `undo`, `undone`, `record`: the steps in force; how many of them can be undone; those that can be redone, the next one \
             first; and all that was done, `undo` and `redo` included. A step is a map with `op`, what was given, and a `text` to be read.",
            "session.history().done[0].text",
            |call: NativeCallContext, session: &mut SessionValue| -> Fallible<Dynamic> {
                native(&call, || value(steps(&session.lock()?.history())))
            },
        )
        .function(
            "script(session: Session) -> String",
            "The session as a script that does the same again, with the fingerprints of volume and model.",
            "session.script().len()",
            |call: NativeCallContext, session: &mut SessionValue| -> Fallible<String> {
                native(&call, || {
                    let (input, model) = (session.volume.origin(), &session.model.loaded);
                    Ok(job::script(&*session.lock()?, input, model)?)
                })
            },
        )
        .function(
            "save_script(session: Session, path: String)",
            "Writes that script to a file.",
            "session.save_script(\"session.rhai\")",
            save_script,
        );
}

const INTRO: &str = "Whatever changes a session is a step: a prompt, one removed, `clear`, `set_object`, `remove`, `reset`, `propagate` (one that was stopped \
    too). `undo` and `redo` go back and forth through them, past propagations; a new step after `undo` leaves nothing to redo. What only \
    they need is limited by `history_bytes` of the session and by 500 steps: beyond that the oldest steps stay for good.";

fn save_script(call: NativeCallContext, session: &mut SessionValue, path: Dynamic) -> Fallible<()> {
    native(&call, || {
        let path = session.volume.output("save_script: path", &path)?;
        let (input, model) = (session.volume.origin(), &session.model.loaded);
        Ok(job::write_script(&path, &*session.lock()?, input, model)?)
    })
}

/// JSON as a script's value.
fn value(json: impl Serialize) -> Checked<Dynamic> {
    Ok(rhai::serde::to_dynamic(json).map_err(|error| Error::invalid(error.to_string()))?)
}
