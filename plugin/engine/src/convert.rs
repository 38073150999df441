//! Between the core's types and the boundary's: errors, progress.

use sam_octa2_abi::{Flow, HostCalls, PluginError};
use sam_octa2_core::progress::{self, Observer, Progress};
use std::io::ErrorKind;

/// The core's error for the host: code and text go over as they are.
pub fn error(error: sam_octa2_core::Error) -> PluginError {
    PluginError::new(code(&error), error.to_string())
}

/// The name of an error's kind. A file that is not there is not found, whoever noticed it.
pub fn code(error: &sam_octa2_core::Error) -> &'static str {
    match error {
        sam_octa2_core::Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => "not_found",
        other => other.code(),
    }
}

/// An argument of the host is not what the task wants.
pub fn invalid(what: impl Into<String>) -> PluginError {
    error(sam_octa2_core::Error::Invalid(what.into()))
}

/// Passes the core's progress on to the host.
pub struct ToHost<'a>(pub &'a HostCalls);

impl Observer for ToHost<'_> {
    fn progress(&mut self, progress: Progress<'_>) -> progress::Flow {
        match self.0.progress(progress.stage, progress.done as u64, progress.total as u64) {
            Flow::CONTINUE => progress::Flow::Continue,
            _ => progress::Flow::Cancel,
        }
    }
}
