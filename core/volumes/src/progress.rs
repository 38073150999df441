//! Progress and cancellation of long work: one callback, and a token that any thread may trigger.

use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a piece of long work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// what is being done: `"open"`, `"range"`, `"encode"`, `"propagate"`, `"write"`
    pub stage: &'a str,
    /// steps done, `0..=total`
    pub done: usize,
    /// steps in this stage
    pub total: usize,
}

/// What the receiver of a [`Progress`] wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// go on
    Continue,
    /// stop here; keep what is done
    Cancel,
}

/// A flag that any thread may raise to stop a call that is under way.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks the work that holds this token to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Has someone asked to stop?
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Receives the progress of long work and may stop it. Implemented for closures; `&mut ()` hears nothing.
pub trait Observer {
    /// Called between steps, on the thread that works.
    fn progress(&mut self, progress: Progress<'_>) -> Flow;

    /// Reports a step; `Err(Error::Cancelled)` if the receiver wants to stop.
    fn step(&mut self, stage: &str, done: usize, total: usize) -> Result<()> {
        match self.progress(Progress { stage, done, total }) {
            Flow::Continue => Ok(()),
            Flow::Cancel => Err(Error::Cancelled),
        }
    }
}

impl Observer for () {
    fn progress(&mut self, _: Progress<'_>) -> Flow {
        Flow::Continue
    }
}

impl<F: FnMut(Progress<'_>) -> Flow> Observer for F {
    fn progress(&mut self, progress: Progress<'_>) -> Flow {
        self(progress)
    }
}
