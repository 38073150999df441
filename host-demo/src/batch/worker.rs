//! The process that does the work: it loads plugin and model once and takes one case after the other. What ends it (a crash, the system's memory
//! killer, a limit) ends one case; the run starts another one.
//!
//! Lines of JSON: a [`Request`] on stdin, [`Reply`]s on stdout. It ends with stdin, and with the process that started it.

use crate::exit::{self, Code};
use crate::find;
use anyhow::Context;
use sam_octa2_abi::{Api, Flow, HostObserver, Plugin, PluginError, Script, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What a worker is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// a task of the plugin
    Task { name: String, request: Value },
    /// a script, in the engine that keeps models from case to case
    Run(Value),
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// it is ready: the plugin's manifest
    Ready { manifest: Value },
    /// what a script prints, and what the plugin has to tell
    Log { severity: u8, text: String },
    /// the last request succeeded
    Done { report: Value, peak_memory_bytes: Option<u64> },
    /// or failed
    Failed { code: String, message: String, detail: Value, peak_memory_bytes: Option<u64> },
}

/// The way back, shared with what the plugin says meanwhile.
#[derive(Clone)]
struct Answers(Arc<Mutex<File>>);

impl Answers {
    fn send(&self, reply: &Reply) -> anyhow::Result<()> {
        let line = serde_json::to_string(reply)? + "\n";
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.write_all(line.as_bytes())?)
    }
}

impl HostObserver for Answers {
    fn progress(&mut self, _stage: &str, _done: u64, _total: u64) -> Flow {
        Flow::CONTINUE // the run ends a worker that takes too long
    }

    fn log(&mut self, severity: Severity, message: &str) {
        let _ = self.send(&Reply::Log { severity: severity.number(), text: message.to_owned() });
    }
}

/// Serves until stdin ends.
pub fn run(plugin: Option<&Path>, threads: u32) -> anyhow::Result<Code> {
    let answers = Answers(Arc::new(Mutex::new(own_stdout()?)));
    leave_signals_to_the_run();
    let plugin = find::load(plugin)?;
    let api = plugin.api()?;
    api.set_threads(threads)?;
    let script = api.script()?;
    let manifest = serde_json::from_str(&plugin.manifest_json()).context("the plugin's manifest is not JSON")?;
    answers.send(&Reply::Ready { manifest })?;
    for line in std::io::stdin().lock().lines() {
        let request = serde_json::from_str(&line?)?;
        reset_peak_memory();
        let report = serve((&plugin, &api, &script), &request, &mut answers.clone());
        let peak_memory_bytes = memory_of("self", "VmHWM:");
        answers.send(&match report {
            Ok(report) => Reply::Done { report, peak_memory_bytes },
            Err(PluginError { code, message, detail_json, .. }) => Reply::Failed {
                code: code.to_string(),
                message: message.to_string(),
                detail: serde_json::from_str(&detail_json).unwrap_or_default(),
                peak_memory_bytes,
            },
        })?;
    }
    exit::at_once(exit::SUCCESS)
}

fn serve(
    (plugin, _, script): (&Plugin, &Api, &Script),
    request: &Request,
    answers: &mut Answers,
) -> Result<Value, PluginError> {
    let report = match request {
        Request::Task { name, request } => plugin.task(name, &request.to_string(), answers)?,
        Request::Run(request) => script.run(&request.to_string(), answers)?,
    };
    Ok(serde_json::from_str(&report).unwrap_or_else(|error| json!({"unreadable": error.to_string()})))
}

/// stdout for replies alone: what a library prints goes to stderr.
fn own_stdout() -> anyhow::Result<File> {
    use std::os::fd::FromRawFd;
    // Safety: plain calls on open descriptors; the new one belongs to the file.
    let own = unsafe {
        let own = libc::dup(libc::STDOUT_FILENO);
        if own < 0 || libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) < 0 {
            return Err(std::io::Error::last_os_error()).context("stdout");
        }
        libc::fcntl(own, libc::F_SETFD, libc::FD_CLOEXEC);
        File::from_raw_fd(own)
    };
    Ok(own)
}

/// Signals that end a job come to all of its processes; the run decides what becomes of the case. If the system runs out of memory, it should
/// take this process rather than the run.
fn leave_signals_to_the_run() {
    // Safety: sets how signals are treated, nothing else.
    unsafe {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::signal(signal, libc::SIG_IGN);
        }
        #[cfg(target_os = "linux")]
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// The peak of the memory counts from now on.
fn reset_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// A line of a process's status in bytes; `None` where the system does not say.
pub fn memory_of(process: &str, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
