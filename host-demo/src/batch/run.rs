//! A run: the cases of one shard, one after the other, in a worker. While it computes, one thread looks at the next case (`ahead`), and another hashes
//! the results of the last one and puts them into their place.
//!
//! `manifest -> shard -> ahead (is its record true? what do its files hold?) -> worker -> finisher (files, then record, then journal)`

use super::ahead::{self, Next, State, settled};
use super::child::{Answer, Starter, Worker};
use super::cores;
use super::fault::{in_answer, is_temporary};
use super::log::Log;
use super::manifest::{self, Case};
use super::options::RunOptions;
use super::record::{Circumstances, Kind, Reason, Record, SCHEMA, Status};
use super::shard::Part;
use super::stop::Stop;
use super::store::{Scratch, Store, host};
use super::work::Plan;
use crate::exit::{self, Code};
use crate::{find, output};
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Workers that a case may end by a crash before it has failed: the first may have been ended by chance.
const ATTEMPTS: u32 = 2;

/// What engines tell their processes, for the record.
const ENGINE: [&str; 6] = [
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_RESTART_COUNT",
    "JOB_COMPLETION_INDEX",
    "SLURMD_NODENAME",
];

/// `host-demo batch MANIFEST`
pub fn run(options: &RunOptions, plugin: Option<&Path>, quiet: bool) -> anyhow::Result<Code> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let part = match options.shard.resolve(variable) {
        Ok(part) => part,
        Err(text) => return wrong(exit::USAGE, &text),
    };
    let all = match manifest::read(options.manifest(), plugin) {
        Ok(all) => all,
        Err(error) => return wrong(exit::BAD_DATA, &format!("{error:#}")),
    };
    let cases = part.of(all.clone());
    if options.list {
        cases.iter().try_for_each(|case| output::line(&case.case))?;
        return Ok(exit::SUCCESS);
    }
    let starter =
        Starter { plugin: find::plugin(plugin)?, threads: options.threads.unwrap_or_else(|| cores::threads(variable)) };
    let mut worker = starter.start()?;
    let plan = match Plan::new(options, &starter.plugin, &mut worker) {
        Ok(plan) => plan,
        Err(error) => return wrong(exit::USAGE, &format!("{error:#}")),
    };
    if let Some((case, lacks)) = cases.iter().map(|case| (case, plan.lacks(case))).find(|(_, lacks)| !lacks.is_empty())
    {
        let text = format!(
            "the script needs `{}`, which {} does not have: a column of the manifest, or --set",
            lacks.join("`, `"),
            case.case
        );
        return wrong(exit::USAGE, &text);
    }
    if options.dry_run {
        let store = Store::open(options.out()).ok();
        return show(&cases, |case| described(store.as_ref(), &plan, case, options));
    }
    let store = match Store::create(options.out()) {
        Ok(store) => store,
        Err(error) => return wrong(exit::TEMPORARY, &format!("{error:#}")),
    };
    Run { options, store, plan, part, starter, quiet, stop: Stop::listen()? }.all(&all, cases, worker)
}

/// Ends a run before it begins.
fn wrong(code: Code, text: &str) -> anyhow::Result<Code> {
    output::note(&format!("error: {text}"));
    Ok(code)
}

fn show(cases: &[Case], what: impl Fn(&Case) -> String) -> anyhow::Result<Code> {
    cases.iter().try_for_each(|case| output::line(&format!("{}\t{}", case.case, what(case))))?;
    Ok(exit::SUCCESS)
}

/// What a run would do with a case.
fn described(store: Option<&Store>, plan: &Plan, case: &Case, options: &RunOptions) -> String {
    if let Some(status) = store.filter(|_| options.resume).and_then(|store| settled(store, plan, case, options)) {
        return match status {
            Status::Done => "done".to_owned(),
            Status::Failed => "failed before; --retry-failed would do it again".to_owned(),
        };
    }
    match case.files().into_iter().find(|(_, path)| !path.exists()) {
        Some((column, path)) => format!("would fail: {column}: there is no {}", path.display()),
        None => "to do".to_owned(),
    }
}

/// All that stays the same from case to case.
struct Run<'a> {
    options: &'a RunOptions,
    store: Store,
    plan: Plan,
    part: Part,
    starter: Starter,
    quiet: bool,
    stop: Stop,
}

/// A case whose work is over: what goes into its place.
struct Finished {
    record: Record,
    files: PathBuf,
}

/// What finishers and the run tell each other.
#[derive(Default)]
struct Tally {
    done: AtomicUsize,
    failed: AtomicUsize,
    /// what keeps results from being written; nothing more is begun
    broken: Mutex<Option<String>>,
}

impl Tally {
    fn break_off(&self, why: String) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    fn why_broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Run<'_> {
    fn all(&self, all: &[Case], cases: Vec<Case>, worker: Worker) -> anyhow::Result<Code> {
        let (tally, total) = (Tally::default(), cases.len());
        let prepared = self.prepare(all);
        let (scratch, journal) = match prepared {
            Err(error) if is_temporary(&error) => return wrong(exit::TEMPORARY, &format!("{error:#}")),
            prepared => prepared?,
        };
        let passed = std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(2);
            scope.spawn(|| self.finish(&scratch, journal, receiver, &tally));
            let (ahead, next) = sync_channel(1);
            scope.spawn(move || ahead::look(cases, &self.store, &self.plan, self.options, &ahead));
            self.go_through(next, total, worker, &scratch, &sender, &tally)
        })?;
        drop(scratch);
        let (done, failed) = (tally.done.load(SeqCst), tally.failed.load(SeqCst));
        self.say(&format!("shard {}: {done} done, {failed} failed, {passed} passed over ({total} cases)", self.part));
        if let Some(why) = tally.why_broken() {
            return wrong(
                exit::TEMPORARY,
                &format!("{why}; nothing was lost, start again with --resume when it is mended"),
            );
        }
        if self.stop.asked() {
            return Ok(self.stop.code());
        }
        Ok(match failed {
            0 => exit::SUCCESS,
            _ if failed == total => exit::ALL_FAILED,
            _ => exit::SOME_FAILED,
        })
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            output::note(text);
        }
    }

    fn prepare(&self, all: &[Case]) -> anyhow::Result<(Scratch, super::store::Journal)> {
        let scratch = self.store.scratch()?;
        let journal = self.store.journal(self.part)?;
        if !journal.alone {
            output::note(&format!(
                "warning: another process does shard {} now: the results are the same, the work is done twice",
                self.part
            ));
        }
        let about = json!({"schema": "sam_octa2.batch/1", "cases": all.len(), "settings": self.plan.settings});
        self.store.keep(all, &about, &scratch)?;
        Ok((scratch, journal))
    }

    /// Every case in turn; how many were done or failed before.
    fn go_through(
        &self,
        next: Receiver<Next>,
        total: usize,
        first: Worker,
        scratch: &Scratch,
        sender: &SyncSender<Finished>,
        tally: &Tally,
    ) -> anyhow::Result<usize> {
        let (mut worker, mut passed) = (Some(first), 0);
        for (at, Next { case, is }) in next.into_iter().enumerate() {
            let failed_fast = self.options.fail_fast && tally.failed.load(SeqCst) > 0;
            if self.stop.asked() || tally.why_broken().is_some() || failed_fast {
                break;
            }
            let files = scratch.folder.join(format!("{at}"));
            let (inputs, error) = match is {
                State::Settled(status) => {
                    passed += 1;
                    tally.failed.fetch_add(usize::from(status == Status::Failed), SeqCst);
                    continue;
                }
                State::Open(inputs) => (inputs, None),
                State::Unreadable(reason) => (BTreeMap::new(), Some(reason)),
                State::Broken(error) => {
                    tally.break_off(format!("{}: {error:#}", case.case));
                    break;
                }
            };
            let record = Record { inputs, error, ..self.blank(&case) };
            match self.one(&case, record, &files, &mut worker) {
                Ok(Some(record)) => {
                    let Record { status, error, run, .. } = &record;
                    let how =
                        error.as_ref().map_or_else(|| "done".to_owned(), |error| format!("failed: {}", error.message));
                    self.say(&format!("[{}/{total}] {}: {how} ({:.1} s)", at + 1, case.case, run.seconds));
                    let failed = *status == Status::Failed;
                    tally.failed.fetch_add(usize::from(failed), SeqCst);
                    if sender.send(Finished { record, files }).is_err() {
                        break; // the finisher said why
                    }
                }
                Ok(None) => break,
                Err(error) if is_temporary(&error) => tally.break_off(format!("{}: {error:#}", case.case)),
                Err(error) => return Err(error.context(case.case)),
            }
        }
        Ok(passed)
    }

    /// Does one case; `None`: the run is to stop. An error is one of this machine, not of the case.
    fn one(
        &self,
        case: &Case,
        mut record: Record,
        files: &Path,
        worker: &mut Option<Worker>,
    ) -> anyhow::Result<Option<Record>> {
        let (clock, started) = (Instant::now(), chrono::Utc::now());
        record.run.started = started.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        if record.error.is_none() {
            let request = self.plan.request(case, files)?;
            loop {
                let _ = std::fs::remove_dir_all(files);
                std::fs::create_dir_all(files).with_context(|| files.display().to_string())?;
                record.run.attempts += 1;
                let mut log = Log::default();
                let mut ready = match worker.take() {
                    Some(ready) => ready,
                    None => self.starter.start()?,
                };
                let reply = |severity, text: String| {
                    if !self.plan.is_unread_column(&text, case) {
                        log.add(severity, text);
                    }
                };
                let answer = ready.ask(&request, self.plan.limits, reply, || self.stop.asked());
                if matches!(answer, Answer::Done { .. } | Answer::Failed { .. }) {
                    *worker = Some(ready);
                }
                let warnings = std::mem::take(&mut log.warnings);
                record.warnings = warnings.into_iter().map(|text| self.plan.without_place(text)).collect();
                match answer {
                    Answer::Stopped => return Ok(None),
                    Answer::Ended { .. } if record.run.attempts < ATTEMPTS => continue,
                    answer => self.outcome(answer, &mut record)?,
                }
                log.save(files)?;
                break;
            }
        }
        if record.error.is_some() {
            record.status = Status::Failed;
            let _ = std::fs::remove_dir_all(files); // no half results beside a reason
        }
        std::fs::create_dir_all(files).with_context(|| files.display().to_string())?;
        record.run.seconds = clock.elapsed().as_secs_f64();
        Ok(Some(record))
    }

    fn blank(&self, case: &Case) -> Record {
        let engine = ENGINE.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
        let (pid, shard, threads) = (std::process::id(), self.part.to_string(), self.starter.threads);
        Record {
            schema: SCHEMA.to_owned(),
            case: case.case.clone(),
            status: Status::Done,
            error: None,
            values: case.values.clone(),
            result: Value::Null,
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            warnings: Vec::new(),
            key: self.plan.key(case),
            settings: self.plan.settings.clone(),
            run: Circumstances { host: host(), pid, shard, threads, engine, ..Circumstances::default() },
        }
    }

    /// What an answer says about the case.
    fn outcome(&self, answer: Answer, record: &mut Record) -> anyhow::Result<()> {
        let limits = self.plan.limits;
        let reason = |kind, message: String| Some(Reason { kind, message, code: String::new() });
        let mb = |bytes: u64| bytes.div_ceil(1 << 20);
        match answer {
            Answer::Done { mut report, peak } => {
                (record.result, record.run.peak_memory_bytes) = (report["result"].take(), peak);
                if let Some(code) = report["exit"].as_u64().filter(|&code| code != 0) {
                    record.error = reason(Kind::Error, format!("the script ended with exit({code})"));
                }
            }
            Answer::Failed { code, message, detail, peak } => {
                if let Some(number) = in_answer(&detail, &message) {
                    return Err(io::Error::from_raw_os_error(number)).context(message);
                }
                let kind = match detail["kind"].as_str() {
                    Some("limit") if message.contains("seconds") => Kind::Time,
                    Some("limit") if message.contains("memory") => Kind::Memory,
                    _ => Kind::Error,
                };
                record.run.peak_memory_bytes = peak;
                record.error = Some(Reason { kind, message: self.plan.without_place(message), code });
            }
            Answer::TooLong { seconds, peak } => {
                let most = limits.seconds.unwrap_or_default();
                record.run.peak_memory_bytes = peak;
                record.error = reason(Kind::Time, format!("ended after {seconds:.0} s; --max-seconds allows {most}"));
            }
            Answer::TooMuch { bytes } => {
                let most = mb(limits.memory_bytes.unwrap_or_default());
                record.run.peak_memory_bytes = Some(bytes);
                record.error = reason(
                    Kind::Memory,
                    format!("ended when it had taken {} MB more; --max-memory allows {most}", mb(bytes)),
                );
            }
            Answer::Ended { how, peak } => {
                record.run.peak_memory_bytes = peak;
                record.error =
                    reason(Kind::Crash, format!("the process that did it ended with {how}, {ATTEMPTS} times"));
            }
            Answer::Stopped => {}
        }
        Ok(())
    }

    /// Puts results into their place, one case after the other.
    fn finish(
        &self,
        scratch: &Scratch,
        mut journal: super::store::Journal,
        finished: Receiver<Finished>,
        tally: &Tally,
    ) {
        let run = format!("{}.{}", host(), std::process::id());
        for Finished { record, files } in finished {
            let (case, failed) = (record.case.clone(), record.status == Status::Failed);
            let published = self.store.publish(record, &files, scratch).and_then(|record| {
                let line = record.line(&run);
                journal.append(&line)?;
                serde_json::to_string(&line).map_err(io::Error::other)
            });
            match published {
                Ok(line) => {
                    tally.done.fetch_add(usize::from(!failed), SeqCst);
                    if self.options.json {
                        output::line_of_work(&line);
                    }
                }
                Err(error) => {
                    tally.break_off(format!("{case}: the results cannot be put into their place: {error}"));
                    return; // the sender sees it
                }
            }
        }
    }
}
