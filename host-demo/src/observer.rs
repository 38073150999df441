//! What the user sees and may stop while the plugin works: a bar on a terminal, plain lines otherwise; Ctrl-C, and what ends a program from
//! outside (SIGTERM, a terminal that closes).

use crate::{exit, output};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use sam_octa2_abi::{CancelToken, Flow, HostObserver, Severity};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Plain lines come this far apart.
const PAUSE: Duration = Duration::from_secs(3);

/// Which steps a log that is no terminal gets: of every stage the first and the last, and one now and then in between. A stage that comes again
/// and again (many small jobs) counts as one.
#[derive(Default)]
struct Lines {
    seen: BTreeSet<String>,
    /// the stage whose last step is still to be told
    open: Option<String>,
    /// when a line was told last
    at: Option<Instant>,
}

impl Lines {
    fn tells(&mut self, stage: &str, done: u64, total: u64, now: Instant) -> bool {
        let first = total > 1 && self.seen.insert(stage.to_owned());
        let late = self.at.is_some_and(|at| now.saturating_duration_since(at) >= PAUSE);
        let last = done >= total && self.open.as_deref() == Some(stage);
        if first || late {
            self.open = Some(stage.to_owned()).filter(|_| done < total);
        } else if last {
            self.open = None;
        }
        let tells = first || late || last;
        if tells || self.at.is_none() {
            self.at = Some(now);
        }
        tells
    }
}

/// A host's end of one task.
pub struct Terminal {
    quiet: bool,
    prints_to_stderr: bool,
    stop: Arc<Stop>,
    bar: Option<ProgressBar>,
    stage: String,
    lines: Lines,
}

/// What signals ask for.
struct Stop {
    /// many calls one after the other: Ctrl-C stops the one under way and never ends the program
    lines: bool,
    /// stop the call under way
    cancelled: AtomicBool,
    /// the same for calls that cannot ask; one for each call
    token: Mutex<CancelToken>,
    /// a call is under way
    busy: AtomicBool,
    /// the program is to end, too
    ends: AtomicBool,
}

impl Stop {
    fn token(&self) -> MutexGuard<'_, CancelToken> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first signal stops the call under way, which keeps what is done. A second Ctrl-C ends the program at once; the system may well
    /// send the others twice when a terminal closes.
    fn receive(&self, signal: i32) {
        self.ends.fetch_or(signal != SIGINT, SeqCst);
        self.token().trigger();
        let before = self.cancelled.swap(true, SeqCst);
        match (self.lines, signal) {
            (true, SIGINT) => {}
            (true, _) if !self.busy.load(SeqCst) => exit_now(exit::CANCELLED),
            (true, _) => {}
            (false, SIGINT) if before => exit_now(exit::CANCELLED),
            (false, _) if before => {}
            (false, SIGINT) => output::note("stopping (Ctrl-C again: at once)"),
            (false, _) => output::note("stopping"),
        }
    }

    /// Hears signals on a thread of its own. A closed terminal is passed over where that was asked for (`nohup`).
    fn listen(self: &Arc<Self>) -> anyhow::Result<()> {
        let received = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| signal != SIGHUP || !is_ignored(signal));
        let mut signals = Signals::new(received).context("cannot listen to signals")?;
        let stop = self.clone();
        std::thread::spawn(move || signals.forever().for_each(|signal| stop.receive(signal)));
        Ok(())
    }
}

/// Was the program started with this signal ignored (`nohup`)?
pub fn is_ignored(signal: i32) -> bool {
    // Safety: only asks what is set, into memory of the right type.
    unsafe {
        let mut set: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut set) == 0 && set.sa_sigaction == libc::SIG_IGN
    }
}

impl Terminal {
    /// Takes over Ctrl-C and what else ends a program. With `prints_to_stderr`, stdout is left to the report.
    pub fn new(quiet: bool, prints_to_stderr: bool) -> anyhow::Result<Self> {
        Self::with(quiet, prints_to_stderr, false)
    }

    /// For many calls one after the other ([`Terminal::begin`]): Ctrl-C stops the one under way and never ends the program.
    pub fn for_lines(quiet: bool) -> anyhow::Result<Self> {
        Self::with(quiet, false, true)
    }

    fn with(quiet: bool, prints_to_stderr: bool, lines: bool) -> anyhow::Result<Self> {
        let (cancelled, busy, ends) = Default::default();
        let stop = Arc::new(Stop { lines, cancelled, token: Mutex::default(), busy, ends });
        stop.listen()?;
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{msg:12} {wide_bar} {pos}/{len} {elapsed} (left {eta})");
            ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Ok(Self { quiet, prints_to_stderr, stop, bar, stage: String::new(), lines: Lines::default() })
    }

    /// Asks for others whether the user has stopped the call under way.
    pub fn stopper(&self) -> Box<dyn Fn() -> bool + Send + Sync> {
        let stop = self.stop.clone();
        Box::new(move || stop.cancelled.load(SeqCst))
    }

    /// A call begins: what was stopped before is over.
    pub fn begin(&mut self) {
        self.stop.busy.store(true, SeqCst);
        *self.stop.token() = CancelToken::new();
        self.stop.cancelled.store(self.ends(), SeqCst);
    }

    /// The call that [began](Terminal::begin) is over.
    pub fn end(&mut self) {
        self.stop.busy.store(false, SeqCst);
    }

    /// Is the program to end?
    pub fn ends(&self) -> bool {
        self.stop.ends.load(SeqCst)
    }

    /// Takes the bar off the screen until there is progress again.
    pub fn pause(&mut self) {
        self.stage.clear();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn above_the_bar(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl HostObserver for Terminal {
    fn progress(&mut self, stage: &str, done: u64, total: u64) -> Flow {
        if stage == "script" {
            // asks whether to go on; a script says itself where it stands
            return if self.is_cancelled() { Flow::CANCEL } else { Flow::CONTINUE };
        }
        match &self.bar {
            Some(bar) => {
                if self.stage != stage {
                    self.stage = stage.to_owned();
                    bar.reset();
                    bar.set_message(stage.to_owned());
                }
                bar.set_length(total);
                bar.set_position(done);
            }
            None if !self.quiet && self.lines.tells(stage, done, total, Instant::now()) => {
                output::note(&format!("{stage} {done}/{total}"));
            }
            None => {}
        }
        if self.is_cancelled() { Flow::CANCEL } else { Flow::CONTINUE }
    }

    fn log(&mut self, severity: Severity, message: &str) {
        match severity {
            Severity::OUTPUT if self.quiet => {}
            Severity::OUTPUT if self.prints_to_stderr => self.above_the_bar(|| output::note(message)),
            // a script whose reader (`| head`) went away still finishes its work
            Severity::OUTPUT => self.above_the_bar(|| output::line_of_work(message)),
            Severity::ERROR => self.above_the_bar(|| output::note(&format!("plugin: {message}"))),
            _ if self.quiet => {}
            Severity::WARN => self.above_the_bar(|| output::note(&format!("warning: {message}"))),
            _ => self.above_the_bar(|| output::note(message)),
        }
    }

    fn cancel_token(&self) -> Option<CancelToken> {
        Some(self.stop.token().clone())
    }

    fn is_cancelled(&mut self) -> bool {
        self.stop.cancelled.load(SeqCst)
    }
}

/// Ends the process without running anyone's exit functions: libtorch's would pull the ground from under the thread that works.
fn exit_now(code: exit::Code) -> ! {
    // Safety: ends the process without running anything.
    unsafe { libc::_exit(code.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of some steps, each so many milliseconds after the one before.
    fn lines_of(steps: impl IntoIterator<Item = (&'static str, u64, u64, u64)>) -> Vec<String> {
        let (mut lines, mut now) = (Lines::default(), Instant::now());
        let mut reply = Vec::new();
        for (stage, done, total, pause) in steps {
            now += Duration::from_millis(pause);
            if lines.tells(stage, done, total, now) {
                reply.push(format!("{stage} {done}/{total}"));
            }
        }
        reply
    }

    #[test]
    fn a_short_job_is_two_lines() {
        assert_eq!(lines_of((0..=300).map(|done| ("segment", done, 300, 5))), ["segment 0/300", "segment 300/300"]);
        assert!(lines_of([("open", 1, 1, 0), ("load", 0, 1, 5)]).is_empty(), "what has one step is no progress");
    }

    #[test]
    fn many_short_jobs_are_two_lines_and_one_now_and_then() {
        let jobs = (0..1000).flat_map(|_| (0..=3).map(|done| ("segment", done, 3, 1)));
        let lines = lines_of(jobs);
        assert_eq!(lines[..2], ["segment 0/3", "segment 3/3"]);
        assert!(lines.len() <= 4, "{lines:?} in four seconds");
    }

    #[test]
    fn a_long_job_tells_now_and_then() {
        let lines = lines_of((1..=10).map(|done| ("propagate", done, 10, 2000)));
        let expected = ["1/10", "3/10", "5/10", "7/10", "9/10", "10/10"].map(|at| format!("propagate {at}"));
        assert_eq!(lines, expected);
        let lasting =
            lines_of([("prompt", 0, 1, 0), ("prompt", 0, 1, 3500), ("prompt", 0, 1, 1000), ("prompt", 1, 1, 1000)]);
        assert_eq!(lasting, ["prompt 0/1", "prompt 1/1"], "a step that lasts");
    }
}
