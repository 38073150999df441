//! Between the core's types and the boundary's: errors, progress.

use sam_octa2_abi::{Flow, HostCalls, PluginError, Severity};
use sam_octa2_volumes::Error;
use sam_octa2_volumes::progress::{self, Observer, Progress};

/// The core's error for the host: code, text and detail go over as they are.
pub fn error(error: Error) -> PluginError {
    PluginError::new(error.code(), error.to_string()).with_detail(error.detail().to_string())
}

/// An argument of the host is not what the task wants.
pub fn invalid(what: impl Into<String>) -> PluginError {
    error(Error::Invalid(what.into()))
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

    fn note(&mut self, text: &str) {
        self.0.log(Severity::WARN, text);
    }
}
