//! Runs checks: each in a process of its own, so that a plugin which crashes or hangs fails that check and nothing else.

use super::{Case, Check, Skip, checks};
use crate::exit::{self, Code};
use crate::output;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How to check.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    case: Case,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// 1: file, loading, layouts, manifest; 2: the whole contract; 3: also random input, leaks, times (slow)
    #[arg(long, value_name = "LEVEL", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=3))]
    strict: u8,
    /// Run this check only, whatever its level; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the checks
    #[arg(long)]
    list: bool,
    /// No process for each check: for a debugger
    #[arg(long)]
    in_process: bool,
    /// How long one check may take; those of level 3 five times as long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u64,
}

enum Outcome {
    Passed(String),
    Failed(String),
    Skipped(String),
}

struct Done {
    check: &'static Check,
    outcome: Outcome,
    seconds: f64,
}

/// `host-demo plugin check`
pub fn run(options: &Options, default: Option<&Path>) -> anyhow::Result<Code> {
    let chosen = options.chosen()?;
    if options.list {
        return list(&chosen, options.json);
    }
    let file = crate::find::plugin(options.case.file.as_deref().or(default))?;
    let case = Case { file: Some(file), ..options.case.clone() };
    let mut done: Vec<Done> = Vec::new();
    for check in &chosen {
        let start = Instant::now();
        let outcome = match check.needs.iter().find(|needed| !may_go_on(&chosen, &done, needed)) {
            Some(needed) => Outcome::Skipped(format!("needs `{needed}`")),
            None if options.in_process => in_this_process(&case, check),
            None => in_a_child(&case, check, options.limit(check))?,
        };
        let ended = Done { check, outcome, seconds: start.elapsed().as_secs_f64() };
        if !options.json {
            output::line(&ended.describe())?;
        }
        done.push(ended);
    }
    options.conclude(&case, &done)
}

/// Was the check passed, or is it not part of this run?
fn may_go_on(chosen: &[&Check], done: &[Done], name: &str) -> bool {
    let passed = |ended: &Done| ended.check.name == name && matches!(ended.outcome, Outcome::Passed(_));
    !chosen.iter().any(|check| check.name == name) || done.iter().any(passed)
}

impl Options {
    fn chosen(&self) -> anyhow::Result<Vec<&'static Check>> {
        if let Some(name) = self.only.iter().find(|name| !checks().any(|check| check.name == **name)) {
            bail!("there is no check `{name}`; --list shows them");
        }
        let wanted = |check: &&Check| match self.only.is_empty() {
            true => check.level <= self.strict || self.list,
            false => self.only.iter().any(|name| name == check.name),
        };
        Ok(checks().filter(wanted).collect())
    }

    fn limit(&self, check: &Check) -> Duration {
        Duration::from_secs(self.limit * if check.level == 3 { 5 } else { 1 })
    }

    fn conclude(&self, case: &Case, done: &[Done]) -> anyhow::Result<Code> {
        let count = |of: fn(&Outcome) -> bool| done.iter().filter(|ended| of(&ended.outcome)).count();
        let passed = count(|outcome| matches!(outcome, Outcome::Passed(_)));
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let file = case.path()?;
        if self.json {
            let checks: Vec<Value> = done.iter().map(Done::report).collect();
            let all = json!({"plugin": file.to_string_lossy(), "strict": self.strict, "passed": failed == 0,
                "counts": {"passed": passed, "failed": failed, "skipped": skipped}, "checks": checks});
            output::line(&serde_json::to_string_pretty(&all)?)?;
        } else {
            output::line(&format!("{}: {passed} passed, {failed} failed, {skipped} skipped", file.display()))?;
        }
        Ok(if failed == 0 { exit::SUCCESS } else { exit::FAILURE })
    }
}

fn list(chosen: &[&Check], as_json: bool) -> anyhow::Result<Code> {
    if as_json {
        let of = |check: &&Check| json!({"name": check.name, "title": check.title, "level": check.level});
        let all: Vec<Value> = chosen.iter().map(of).collect();
        output::line(&serde_json::to_string_pretty(&all)?)?;
    } else {
        for check in chosen {
            output::line(&format!("{} {:17} {}", check.level, check.name, check.title))?;
        }
    }
    Ok(exit::SUCCESS)
}

impl Done {
    fn describe(&self) -> String {
        let what = format!("{:17} {}", self.check.name, self.check.title);
        match &self.outcome {
            Outcome::Passed(note) if note.is_empty() => format!("✓ {what}"),
            Outcome::Passed(note) => format!("✓ {what} ({note})"),
            Outcome::Failed(reason) => format!("✗ {what}: {reason}"),
            Outcome::Skipped(reason) => format!("- {what}: skipped, {reason}"),
        }
    }

    fn report(&self) -> Value {
        let (status, message) = match &self.outcome {
            Outcome::Passed(note) => ("passed", note),
            Outcome::Failed(reason) => ("failed", reason),
            Outcome::Skipped(reason) => ("skipped", reason),
        };
        let Check { name, title, level, .. } = self.check;
        json!({"name": name, "title": title, "level": level, "status": status, "message": message,
            "seconds": (self.seconds * 1000.0).round() / 1000.0})
    }
}

fn in_this_process(case: &Case, check: &Check) -> Outcome {
    match (check.run)(case) {
        Ok(note) => Outcome::Passed(note),
        Err(error) => match error.downcast_ref::<Skip>() {
            Some(skip) => Outcome::Skipped(skip.to_string()),
            None => Outcome::Failed(format!("{error:#}").replace('\n', " ")),
        },
    }
}

/// How a child says that it skipped its check, as test programs of many projects do.
const SKIPPED: u8 = 77;

/// What tells the verdict from anything that a plugin may print.
const VERDICT: &str = "verdict: ";

/// Runs one check in this process, which was started for it: the verdict is the last line of stdout and the exit code.
pub fn one_in_this_process(case: &Case, name: &str) -> Code {
    let outcome = match checks().find(|check| check.name == name) {
        Some(check) => in_this_process(case, check),
        None => Outcome::Failed(anyhow!("there is no check `{name}`").to_string()),
    };
    let (code, text) = match outcome {
        Outcome::Passed(note) => (exit::SUCCESS, note),
        Outcome::Failed(reason) => (exit::FAILURE, reason),
        Outcome::Skipped(reason) => (SKIPPED, reason),
    };
    let _ = output::line(&format!("\n{VERDICT}{text}"));
    code
}

fn in_a_child(case: &Case, check: &Check, limit: Duration) -> anyhow::Result<Outcome> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let mut command = Command::new(program);
    command.args(["plugin", "run-check", check.name]).arg(case.path()?);
    for (option, file) in [("--model", &case.model), ("--model-config", &case.model_config)] {
        file.as_ref().map(|file| command.arg(option).arg(file));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start a process for a check")?;
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let Some(status) = wait(&mut child, limit)? else {
        return Ok(Outcome::Failed(format!("did not come back within {} s", limit.as_secs())));
    };
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    let verdict = stdout.lines().rev().find_map(|line| line.strip_prefix(VERDICT)).map(str::to_owned);
    // the last words of a library that ends the process
    let words = stderr.lines().find(|line| !line.trim().is_empty()).map(|line| format!(": {line}")).unwrap_or_default();
    Ok(match (verdict, status.code()) {
        (Some(note), Some(0)) => Outcome::Passed(note),
        (Some(reason), Some(1)) => Outcome::Failed(reason),
        (Some(reason), Some(code)) if code == i32::from(SKIPPED) => Outcome::Skipped(reason),
        (None, Some(code)) => Outcome::Failed(format!("ended the process (exit code {code}){words}")),
        (verdict, _) => {
            let when = if verdict.is_some() { " after the check was done" } else { "" };
            Outcome::Failed(format!("crashed ({}){when}{words}", crash(status)))
        }
    })
}

/// Reads a pipe to its end beside the main thread, so that the child never waits for a reader.
fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The child's end, or nothing if it had to be killed. The time in which it could not run because the machine was busy does not count.
fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let (start, mut queued) = (Instant::now(), Duration::ZERO);
    while start.elapsed() < limit + queued {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        queued = queued.max(time_in_the_queue(child));
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// How long the threads of a child were ready and had no processor, all together; zero where the system does not tell.
fn time_in_the_queue(child: &Child) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id()));
    let waits = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok() // nanoseconds
    });
    Duration::from_nanos(waits.sum())
}

fn crash(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            4 => " SIGILL",
            6 => " SIGABRT",
            7 => " SIGBUS",
            8 => " SIGFPE",
            9 => " SIGKILL",
            11 => " SIGSEGV",
            _ => "",
        };
        return format!("signal {signal}{name}");
    }
    status.to_string()
}
