//! What was done to a session: undo, redo, all of it as JSON or as a script.

use super::session::Session;
use crate::PluginError;
use crate::raw::{ErrorBox, History1, Status, opaque};
use std::ffi::c_char;

/// The history of a session, as [`Session::history`] gives it.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    session: &'a Session,
    table: History1,
}

type Verb = unsafe extern "C" fn(*mut opaque::Session, *mut *mut c_char, *mut *mut ErrorBox) -> Status;

impl Session {
    /// Its history: every verb that changes something is a step. Error: the plugin is older than `sam_octa2.history/1`.
    pub fn history(&self) -> Result<History<'_>, PluginError> {
        let missing =
            || PluginError::new("unsupported", "this plugin is older than `sam_octa2.history/1`; take a newer one");
        Ok(History { session: self, table: self.api.tables.history.ok_or_else(missing)? })
    }
}

impl History<'_> {
    /// Takes the last step back, whatever it was. The step as JSON.
    pub fn undo(&self) -> Result<String, PluginError> {
        self.tell(self.table.undo)
    }

    /// Does the step again that was undone last. The step as JSON.
    pub fn redo(&self) -> Result<String, PluginError> {
        self.tell(self.table.redo)
    }

    /// `done`, `undo`, `undone` and `record`, as JSON (`sam_octa2_history_describe`).
    pub fn describe(&self) -> Result<String, PluginError> {
        self.tell(self.table.describe)
    }

    /// The session as a script that does the same again.
    pub fn script(&self) -> Result<String, PluginError> {
        self.tell(self.table.script)
    }

    fn tell(&self, verb: Verb) -> Result<String, PluginError> {
        // Safety: the session's own handle.
        self.session.api.text(|reply, error| unsafe { verb(self.session.handle, reply, error) })
    }
}
