//! Looks after a running script: cancelled by the host, out of time, memory, stack, disk or output. The interpreter asks between two steps,
//! native functions ask through the core's [`progress::check`](sam_octa2_core::progress::check).

use super::engine::HostRef;
use super::limits::Limits;
use sam_octa2_abi::Severity;
use sam_octa2_core::progress;
use sam_octa2_core::{Error, Result, system};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The memory of the process is looked at so often.
const PAUSE: Duration = Duration::from_millis(10);

/// One run of a script.
pub struct Watch {
    host: HostRef,
    limits: Limits,
    started: Instant,
    /// nanoseconds spent in the host's own functions
    away: AtomicU64,
    /// memory of the process at the start
    before: u64,
    /// nanoseconds from the start until the memory was looked at last
    looked: AtomicU64,
    /// where the stack was at the start
    stack: AtomicUsize,
    disk: AtomicU64,
    files: AtomicU64,
    output: AtomicU64,
    ended: OnceLock<Ended>,
}

/// Why a script was ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// the host cancelled it
    Cancelled,
    /// it went over the limit of this name
    Limit(&'static str),
    /// it called `exit`
    Exit,
}

impl Watch {
    /// The script starts now, on this thread.
    pub fn new(host: HostRef, limits: Limits) -> Self {
        Self {
            host,
            limits,
            started: Instant::now(),
            away: AtomicU64::new(0),
            before: resident_bytes(),
            looked: AtomicU64::new(0),
            stack: AtomicUsize::new(stack_place()),
            disk: AtomicU64::new(0),
            files: AtomicU64::new(0),
            output: AtomicU64::new(0),
            ended: OnceLock::new(),
        }
    }

    /// Why the script was ended, if it was.
    pub fn ended(&self) -> Option<Ended> {
        self.ended.get().copied()
    }

    /// Before each step of the interpreter, with the number of steps so far: is this the end?
    pub fn step(&self, operations: u64) -> bool {
        if self.stack.load(Relaxed).abs_diff(stack_place()) > self.limits.stack_bytes {
            self.end(Ended::Limit("stack_bytes"));
        }
        match operations % 8 {
            0 => progress::Watch::stop(self),
            _ => self.ended.get().is_some(),
        }
    }

    /// Sends a line to the host, up to the limit.
    pub fn say(&self, severity: Severity, text: &str) {
        let bytes = text.len() as u64 + 1;
        match self.output.fetch_add(bytes, Relaxed).saturating_add(bytes) <= self.limits.output_bytes {
            true => self.host.calls().log(severity, text),
            false => self.end(Ended::Limit("output_bytes")),
        }
    }

    /// A call of the host's own: a user who thinks about an answer costs the script no time.
    pub fn away<T>(&self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = call();
        self.away.fetch_add(nanoseconds(start.elapsed()), Relaxed);
        result
    }

    /// The script called `exit`: also where a `catch`, or a function that calls closures, is in between.
    pub fn leave(&self) {
        self.end(Ended::Exit);
    }

    fn end(&self, why: Ended) {
        let _ = self.ended.set(why); // the first reason counts
    }

    fn used_up(&self) -> Option<&'static str> {
        let gone = nanoseconds(self.started.elapsed());
        let working = gone.saturating_sub(self.away.load(Relaxed));
        if self.limits.seconds > 0.0 && working as f64 > self.limits.seconds * 1e9 {
            return Some("seconds");
        }
        if gone.saturating_sub(self.looked.load(Relaxed)) < nanoseconds(PAUSE) {
            return None;
        }
        self.looked.store(gone, Relaxed);
        (resident_bytes().saturating_sub(self.before) > self.limits.memory_bytes).then_some("memory_bytes")
    }
}

impl progress::Watch for Watch {
    fn stop(&self) -> bool {
        if self.ended.get().is_some() {
            return true;
        }
        if self.host.calls().is_cancelled() {
            self.end(Ended::Cancelled);
        } else if let Some(limit) = self.used_up() {
            self.end(Ended::Limit(limit));
        }
        self.ended.get().is_some()
    }

    fn written(&self, bytes: u64) -> Result<()> {
        let disk = self.disk.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let files = self.files.fetch_add(1, Relaxed) + 1;
        if disk > self.limits.disk_bytes {
            self.end(Ended::Limit("disk_bytes"));
        } else if files > self.limits.files {
            self.end(Ended::Limit("files"));
        }
        if self.ended.get().is_some() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// About where the stack of this thread is.
#[inline(never)]
fn stack_place() -> usize {
    let here = 0u8;
    std::hint::black_box(&raw const here) as usize
}

/// Bytes of this process in memory; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    system::resident_bytes().unwrap_or(0)
}
