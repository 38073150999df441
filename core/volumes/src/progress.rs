//! Progress and cancellation of long work: one callback, and a token that any thread may trigger.
//!
//! Long loops that are given no [`Observer`] (a layer of the model, a line of a distance map) ask the [`Watch`] of their thread, if a caller
//! has set one: [`check`] where the function can fail, [`checkpoint`] where it cannot.

use crate::{Error, Result};
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
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

    /// Something that a person should know, although the work goes on: one line that names the file.
    fn note(&mut self, _text: &str) {}

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

/// Looks after everything that a thread does, on behalf of a caller that may stop it.
pub trait Watch: Send + Sync {
    /// Is the work to stop? Asked often: to be answered in well under a microsecond.
    fn stop(&self) -> bool;

    /// A file of so many bytes is about to come into its place; an error refuses it.
    fn written(&self, bytes: u64) -> Result<()>;
}

thread_local! {
    static WATCH: RefCell<Option<Arc<dyn Watch>>> = const { RefCell::new(None) };
}

/// What [`checkpoint`] unwinds with.
struct Stopped;

/// Runs `work` under a watch; [`Error::Cancelled`] if a [`checkpoint`] in it stopped it.
pub fn watched<T, E: From<Error>>(
    watch: Arc<dyn Watch>,
    work: impl FnOnce() -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let _restore = Restore(WATCH.replace(Some(watch)));
    stoppable(work)
}

/// Runs `work` without a watch: what was done before a stop is written all the same, and a call that a host makes from a callback is not
/// stopped with the call that it came from.
pub fn unwatched<T>(work: impl FnOnce() -> T) -> T {
    let _restore = Restore(WATCH.replace(None));
    work()
}

/// Puts the watch of a thread back.
struct Restore(Option<Arc<dyn Watch>>);

impl Drop for Restore {
    fn drop(&mut self) {
        WATCH.set(self.0.take());
    }
}

/// Runs `work`; a [`checkpoint`] that stops it becomes [`Error::Cancelled`] here. Other panics go on.
pub fn stoppable<T, E: From<Error>>(work: impl FnOnce() -> std::result::Result<T, E>) -> std::result::Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| match is_stop(panic.as_ref()) {
        true => Err(Error::Cancelled.into()),
        false => resume_unwind(panic),
    })
}

/// Was this panic a [`checkpoint`] that stopped the work?
pub fn is_stop(panic: &(dyn Any + Send)) -> bool {
    panic.is::<Stopped>()
}

/// [`Error::Cancelled`] if the watch of this thread wants the work to stop.
pub fn check() -> Result<()> {
    if asked(|watch| watch.stop()).unwrap_or(false) { Err(Error::Cancelled) } else { Ok(()) }
}

/// The same for functions that cannot fail: unwinds to the next [`stoppable`] or guard. Nothing is printed.
pub fn checkpoint() {
    if check().is_err() {
        resume_unwind(Box::new(Stopped));
    }
}

/// Tells the watch of this thread of a file that is about to come into its place.
pub(crate) fn written(bytes: u64) -> Result<()> {
    asked(|watch| watch.written(bytes)).unwrap_or(Ok(()))
}

fn asked<T>(question: impl FnOnce(&dyn Watch) -> T) -> Option<T> {
    WATCH.with_borrow(|watch| watch.as_deref().map(question))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Never;

    impl Watch for Never {
        fn stop(&self) -> bool {
            true
        }

        fn written(&self, bytes: u64) -> Result<()> {
            Err(Error::Invalid(format!("{bytes} bytes are too many")))
        }
    }

    #[test]
    fn a_watch_stops_what_runs_under_it_and_nothing_else() {
        checkpoint();
        let stopped: Result<()> = watched(Arc::new(Never), || {
            assert!(matches!(check(), Err(Error::Cancelled)) && written(3).is_err());
            let inside: Result<()> = stoppable(|| {
                checkpoint();
                Ok(())
            });
            assert!(matches!(inside, Err(Error::Cancelled)));
            unwatched(|| {
                checkpoint();
                assert!(check().is_ok() && written(3).is_ok());
            });
            checkpoint();
            Ok(())
        });
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert!(check().is_ok() && written(3).is_ok());
    }
}
