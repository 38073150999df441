//! One call on behalf of its host. Work in the core asks between two of its steps (a layer of the model, a slice, a line) whether to go on, and
//! the question ends here: at the host's cancel token, and at a host that can only answer progress.

use sam_octa2_abi::{Flow, HostCalls, HostObserver, PluginError, Severity};
use sam_octa2_volumes::Error;
use sam_octa2_volumes::progress::{self, Watch};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A step that lasts is reported again so often, with the same numbers: a host without a token stops the call by its answer.
const AGAIN: Duration = Duration::from_millis(20);

thread_local! {
    /// see [`set_eager`]
    static EAGER: Cell<bool> = const { Cell::new(false) };
}

/// For checks of the boundary: hosts of this thread's calls are asked at every step of the work, however short, so that a check can count
/// them.
pub fn set_eager(eager: bool) {
    EAGER.set(eager);
}

/// The host of one call, asked between two steps too.
pub struct Asked<H> {
    host: H,
    /// a step that lasts is reported again so often
    again: Duration,
    /// the step that was reported last
    step: Option<(String, u64, u64)>,
    /// when it was
    at: Instant,
    stopped: bool,
}

impl<H: HostObserver> Asked<H> {
    /// A host that has not heard of any step yet.
    pub fn new(host: H) -> Self {
        let again = if EAGER.get() { Duration::ZERO } else { AGAIN };
        Self { host, again, step: None, at: Instant::now(), stopped: false }
    }

    /// For work that may report no step at all, such as a script's: where it lasts, the host hears of this stage.
    pub fn silently(mut self, stage: &str) -> Self {
        self.step = Some((stage.to_owned(), 0, 1));
        self
    }

    fn report(&mut self, stage: &str, done: u64, total: u64) -> Flow {
        self.stopped |= self.host.progress(stage, done, total) != Flow::CONTINUE || self.host.is_cancelled();
        self.at = Instant::now(); // after the answer: a slow host is not asked all the time
        if self.stopped { Flow::CANCEL } else { Flow::CONTINUE }
    }
}

impl<H: HostObserver> HostObserver for Asked<H> {
    fn progress(&mut self, stage: &str, done: u64, total: u64) -> Flow {
        self.step = Some((stage.to_owned(), done, total));
        self.report(stage, done, total)
    }

    fn log(&mut self, severity: Severity, message: &str) {
        self.host.log(severity, message);
    }

    fn is_cancelled(&mut self) -> bool {
        self.stopped |= self.host.is_cancelled();
        if !self.stopped
            && self.at.elapsed() >= self.again
            && let Some((stage, done, total)) = self.step.take()
        {
            self.report(&stage, done, total);
            self.step = Some((stage, done, total));
        }
        self.stopped
    }
}

/// A Rust host's calls, passed on.
pub struct Passed<'a>(pub &'a HostCalls);

impl HostObserver for Passed<'_> {
    fn progress(&mut self, stage: &str, done: u64, total: u64) -> Flow {
        self.0.progress(stage, done, total)
    }

    fn log(&mut self, severity: Severity, message: &str) {
        self.0.log(severity, message);
    }

    fn is_cancelled(&mut self) -> bool {
        self.0.is_cancelled()
    }
}

/// Runs the work of a call whose host may stop it anywhere.
pub fn watched<T>(calls: &HostCalls, work: impl FnOnce() -> Result<T, PluginError>) -> Result<T, PluginError> {
    // Safety: `progress::watched` lets go of the watch before it returns, and nobody else gets it.
    let calls = unsafe { &*std::ptr::from_ref(calls) };
    let stopped = progress::watched(Arc::new(OfHost(calls)), || work().map_err(Stopped));
    stopped.map_err(|error| error.0)
}

/// Runs the work of a call that has no host, also one that a host makes from within another call.
pub fn unwatched<T>(work: impl FnOnce() -> Result<T, PluginError>) -> Result<T, PluginError> {
    progress::unwatched(work)
}

struct OfHost(&'static HostCalls);

impl Watch for OfHost {
    fn stop(&self) -> bool {
        self.0.is_cancelled()
    }

    fn written(&self, _: u64) -> sam_octa2_volumes::Result<()> {
        Ok(())
    }
}

struct Stopped(PluginError);

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self(crate::convert::error(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says yes to a number of questions, then no.
    struct Patient {
        answers: usize,
        token: bool,
        received: Vec<String>,
    }

    impl HostObserver for Patient {
        fn progress(&mut self, stage: &str, done: u64, total: u64) -> Flow {
            self.received.push(format!("{stage} {done}/{total}"));
            if self.received.len() > self.answers { Flow::CANCEL } else { Flow::CONTINUE }
        }

        fn is_cancelled(&mut self) -> bool {
            self.token
        }
    }

    fn patient(answers: usize, token: bool) -> Asked<Patient> {
        Asked::new(Patient { answers, token, received: Vec::new() })
    }

    #[test]
    fn a_host_without_a_token_hears_of_a_step_that_lasts_again() {
        let mut asked = patient(2, false);
        asked.at -= AGAIN;
        assert!(!asked.is_cancelled(), "no step yet: nothing to report");
        assert_eq!(asked.progress("encode", 3, 9), Flow::CONTINUE);
        for late in [true, false] {
            asked.at = if late { Instant::now() - AGAIN } else { Instant::now() + AGAIN };
            assert!(!asked.is_cancelled());
        }
        assert_eq!(asked.host.received, ["encode 3/9", "encode 3/9"], "once it was late, and not before");
        asked.at = Instant::now() - AGAIN;
        assert!(asked.is_cancelled() && asked.host.received.len() == 3);
        assert!(asked.is_cancelled() && asked.host.received.len() == 3, "a stop stays, and nobody is asked again");
        assert_eq!(asked.progress("encode", 4, 9), Flow::CANCEL);
    }

    #[test]
    fn a_token_stops_at_the_next_question() {
        let mut asked = patient(9, true);
        assert!(asked.is_cancelled() && asked.host.received.is_empty());
    }

    #[test]
    fn the_work_is_stopped_and_a_call_within_it_is_not() {
        let reached = Cell::new(0);
        let result = HostCalls::scope(&mut patient(9, true), |calls| {
            watched(calls, || {
                unwatched(|| {
                    progress::checkpoint();
                    reached.set(1);
                    Ok(())
                })?;
                progress::checkpoint();
                reached.set(2);
                Ok(())
            })
        });
        assert_eq!((result.unwrap_err().code.as_str(), reached.get()), ("cancelled", 1));
        progress::checkpoint();
    }
}
