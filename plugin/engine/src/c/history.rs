//! `sam_octa2_history_...`

use super::{Place, entry};
use crate::service::SESSIONS;
use crate::service::history::{step, steps};
use sam_octa2_abi::raw::opaque::Session;
use sam_octa2_abi::raw::{ErrorBox, History1, Status};
use std::ffi::c_char;

pub const TABLE: History1 = History1 { undo, redo, describe, script };

unsafe extern "C" fn undo(session: *mut Session, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let undone = SESSIONS.get(session)?.with(|session| session.undo().map(step))?;
        if !reply.is_null() {
            Place::new("reply", reply)?.give_text(&undone.to_string());
        }
        Ok(())
    })
}

unsafe extern "C" fn redo(session: *mut Session, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let done = SESSIONS.get(session)?.with(|session| session.redo().map(step))?;
        if !reply.is_null() {
            Place::new("reply", reply)?.give_text(&done.to_string());
        }
        Ok(())
    })
}

unsafe extern "C" fn describe(session: *mut Session, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        let told = SESSIONS.get(session)?.with(|session| Ok(steps(&session.history())))?;
        reply.give_text(&told.to_string());
        Ok(())
    })
}

unsafe extern "C" fn script(session: *mut Session, reply: *mut *mut c_char, error: *mut *mut ErrorBox) -> Status {
    entry(error, || {
        let reply = Place::new("reply", reply)?;
        reply.give_text(&SESSIONS.get(session)?.script()?);
        Ok(())
    })
}
