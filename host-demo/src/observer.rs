//! What the user sees and may stop while the plugin works: a bar on a terminal, plain lines otherwise, Ctrl-C.

use crate::output;
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use sam_octa2_abi::{CancelToken, Flow, HostObserver, Severity};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Plain lines come this far apart.
const PAUSE: Duration = Duration::from_secs(3);

/// A host's end of one task.
pub struct Terminal {
    quiet: bool,
    prints_to_stderr: bool,
    cancelled: Arc<AtomicBool>,
    /// the same for calls that cannot ask; one for each call
    token: Arc<Mutex<CancelToken>>,
    bar: Option<ProgressBar>,
    stage: String,
    last_line: Instant,
}

/// What a second Ctrl-C does.
#[derive(Clone, Copy, PartialEq)]
enum Second {
    EndsAtOnce,
    Nothing,
}

impl Terminal {
    /// Takes over Ctrl-C. With `prints_to_stderr`, stdout is left to the report.
    pub fn new(quiet: bool, prints_to_stderr: bool) -> anyhow::Result<Self> {
        Self::with(quiet, prints_to_stderr, Second::EndsAtOnce)
    }

    /// For many calls one after the other ([`Terminal::begin`]): Ctrl-C stops the one under way and never ends the program.
    pub fn for_lines(quiet: bool) -> anyhow::Result<Self> {
        Self::with(quiet, false, Second::Nothing)
    }

    fn with(quiet: bool, prints_to_stderr: bool, second: Second) -> anyhow::Result<Self> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let token = Arc::new(Mutex::new(CancelToken::new()));
        let (flag, stop) = (cancelled.clone(), token.clone());
        ctrlc::set_handler(move || {
            stop.lock().unwrap_or_else(PoisonError::into_inner).trigger();
            match flag.swap(true, Ordering::Relaxed) {
                true if second == Second::EndsAtOnce => exit_now(130),
                false if second == Second::EndsAtOnce => {
                    output::note("stopping after this step (Ctrl-C again: at once)")
                }
                _ => {}
            }
        })
        .context("cannot listen to Ctrl-C")?;
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{msg:12} {wide_bar} {pos}/{len} {elapsed} (left {eta})");
            ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Ok(Self { quiet, prints_to_stderr, cancelled, token, bar, stage: String::new(), last_line: Instant::now() })
    }

    /// A call begins: what was stopped before is over.
    pub fn begin(&mut self) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = CancelToken::new();
        self.cancelled.store(false, Ordering::Relaxed);
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
            None if !self.quiet && self.last_line.elapsed() >= PAUSE => {
                self.last_line = Instant::now();
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
        Some(self.token.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn is_cancelled(&mut self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// Ends the process without running anyone's exit functions: libtorch's would pull the ground from under the thread that works.
fn exit_now(code: i32) -> ! {
    #[cfg(unix)]
    {
        unsafe extern "C" {
            safe fn _exit(code: i32) -> !;
        }
        _exit(code)
    }
    #[cfg(not(unix))]
    std::process::exit(code)
}
