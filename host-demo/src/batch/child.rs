//! The run's end of a worker: starts it, asks it, and ends it when it takes too long or too much.

use super::worker::{Reply, Request, memory_of};
use crate::output;
use anyhow::{Context, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often limits and signals are looked at while a case runs.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a worker may take to load the plugin.
const START: Duration = Duration::from_secs(300);

/// How to start a worker.
#[derive(Debug, Clone)]
pub struct Starter {
    pub plugin: PathBuf,
    pub threads: u32,
}

/// What one case may use up. The script stops itself at these limits; where it does not, the worker is ended a little later.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    pub seconds: Option<f64>,
    pub memory_bytes: Option<u64>,
}

/// A worker that is ready.
pub struct Worker {
    child: Child,
    requests: ChildStdin,
    replies: Receiver<String>,
    pub manifest: Value,
}

/// What became of a request.
#[derive(Debug)]
pub enum Answer {
    Done {
        report: Value,
        peak: Option<u64>,
    },
    Failed {
        code: String,
        message: String,
        detail: Value,
        peak: Option<u64>,
    },
    /// ended by force after so many seconds
    TooLong {
        seconds: f64,
        peak: Option<u64>,
    },
    /// ended by force with so many bytes
    TooMuch {
        bytes: u64,
    },
    /// it ended by itself: how
    Ended {
        how: String,
        peak: Option<u64>,
    },
    /// ended because the run is to stop
    Stopped,
}

impl Starter {
    /// Starts a worker and waits until it is ready.
    pub fn start(&self) -> anyhow::Result<Worker> {
        let program = std::env::current_exe().context("cannot tell where this program lies")?;
        let mut command = Command::new(program);
        command.arg("batch-worker").arg("--plugin").arg(&self.plugin).args(["--threads", &self.threads.to_string()]);
        // libraries that read it when they are loaded
        command.env("OMP_NUM_THREADS", self.threads.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a worker")?;
        let (Some(requests), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a worker without pipes")
        };
        let (sender, replies) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if line.is_err() || line.is_ok_and(|line| sender.send(line).is_err()) {
                    break;
                }
            }
        });
        let mut worker = Worker { child, requests, replies, manifest: Value::Null };
        match worker.replies.recv_timeout(START).ok().map(|line| serde_json::from_str(&line)) {
            Some(Ok(Reply::Ready { manifest })) => worker.manifest = manifest,
            _ => bail!("a worker did not start ({}); what it said is above", worker.end()),
        }
        Ok(worker)
    }
}

impl Worker {
    /// Asks, and waits within the limits. `told` receives what the plugin says meanwhile, `stop` says whether the run is to end.
    pub fn ask(
        &mut self,
        request: &Request,
        limits: Limits,
        mut on_log: impl FnMut(u8, String),
        stop: impl Fn() -> bool,
    ) -> Answer {
        let start = Instant::now();
        let before = self.memory();
        let line = serde_json::to_string(request).unwrap_or_default() + "\n";
        let mut peak = before;
        // a worker that is gone shows when its reply is read
        let _ = self.requests.write_all(line.as_bytes()).and_then(|()| self.requests.flush());
        loop {
            match self.replies.recv_timeout(PAUSE) {
                Ok(line) => match serde_json::from_str(&line) {
                    Ok(Reply::Log { severity, text }) => on_log(severity, text),
                    Ok(Reply::Done { report, peak_memory_bytes }) => {
                        return Answer::Done { report, peak: peak_memory_bytes };
                    }
                    Ok(Reply::Failed { code, message, detail, peak_memory_bytes }) => {
                        return Answer::Failed { code, message, detail, peak: peak_memory_bytes };
                    }
                    Ok(Reply::Ready { .. }) => {}
                    Err(error) => output::note(&format!("warning: a worker said what is no reply: {error}")),
                },
                Err(RecvTimeoutError::Disconnected) => return Answer::Ended { how: self.end(), peak },
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop() {
                self.end();
                return Answer::Stopped;
            }
            let seconds = start.elapsed().as_secs_f64();
            if limits.seconds.is_some_and(|most| seconds > most + 2.0 + most * 0.1) {
                self.end();
                return Answer::TooLong { seconds, peak };
            }
            if let Some(now) = self.memory() {
                peak = peak.max(Some(now));
                let grown = now.saturating_sub(before.unwrap_or(0));
                if limits.memory_bytes.is_some_and(|most| grown > most + most / 10) {
                    self.end();
                    return Answer::TooMuch { bytes: grown };
                }
            }
        }
    }

    /// Bytes that are resident.
    fn memory(&self) -> Option<u64> {
        memory_of(&self.child.id().to_string(), "VmRSS:")
    }

    /// Ends it, if it has not ended; says how it did.
    fn end(&mut self) -> String {
        let ended = (0..50).find_map(|_| match self.child.try_wait() {
            Ok(None) if self.replies.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                std::thread::sleep(Duration::from_millis(10)); // its pipe is closed: it is about to end
                None
            }
            Ok(status) => Some(status),
            Err(_) => Some(None),
        });
        match ended.flatten() {
            Some(status) => ending(status),
            None => {
                let _ = self.child.kill();
                self.child.wait().map_or_else(|error| error.to_string(), ending)
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    let name = |signal| match signal {
        libc::SIGKILL => " (SIGKILL: killed from outside, by the system's memory killer for one)",
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGILL => " (SIGILL)",
        _ => "",
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}{}", name(signal)),
        (None, code) => format!("exit code {}", code.unwrap_or_default()),
    }
}
