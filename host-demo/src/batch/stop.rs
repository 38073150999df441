//! Signals that end a run: the case under way is dropped, what is done stays.

use crate::exit::{self, Code};
use crate::observer::is_ignored;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// What signals ask for: to end the case under way, keep what is done, and end.
#[derive(Clone)]
pub struct Stop {
    signalled: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Listens to SIGTERM, Ctrl-C, and SIGHUP where it is not ignored.
    pub fn listen() -> anyhow::Result<Self> {
        let (signalled, signal): (Arc<AtomicBool>, Arc<AtomicUsize>) = Default::default();
        for name in [SIGTERM, SIGHUP, SIGINT].into_iter().filter(|&name| name != SIGHUP || !is_ignored(name)) {
            let code = 128 + name;
            signal_hook::flag::register_usize(name, signal.clone(), usize::try_from(code)?)?;
            if name == SIGINT {
                signal_hook::flag::register_conditional_shutdown(name, code, signalled.clone())?; // a second Ctrl-C
            }
            signal_hook::flag::register(name, signalled.clone())?;
        }
        Ok(Self { signalled, signal })
    }

    /// Did a signal come?
    pub fn asked(&self) -> bool {
        self.signalled.load(SeqCst)
    }

    /// The exit code that says which.
    pub fn code(&self) -> Code {
        Code::try_from(self.signal.load(SeqCst)).unwrap_or(exit::TERMINATED)
    }
}
