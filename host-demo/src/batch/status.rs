//! `host-demo batch status`: what is done, failed, missing, and done more than once. Records are the truth; the journals save opening those that only
//! one line speaks of.

use super::manifest;
use super::options::StatusOptions;
use super::record::{Line, Reason, Status};
use super::store::Store;
use crate::exit::{self, Code};
use crate::output;
use serde_json::json;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// Names that the readable form lists at most of each kind.
const MOST_NAMES: usize = 20;

/// What there is.
#[derive(Debug, Default)]
pub struct Survey {
    /// cases that there should be
    pub expected: usize,
    pub done: usize,
    pub failed: BTreeMap<String, Option<Reason>>,
    pub missing: Vec<String>,
    /// processed more than once, by whatever run
    pub doubled: Vec<String>,
    /// with a record, and not in the manifest
    pub unlisted: Vec<String>,
}

/// Prints it.
pub fn run(options: &StatusOptions, plugin: Option<&Path>) -> anyhow::Result<Code> {
    let store = Store::open(&options.folder)?;
    let survey = Survey::of(&store, expected(&store, options.manifest.as_deref(), plugin)?)?;
    if options.json {
        output::line(&serde_json::to_string_pretty(&survey.report())?)?;
    } else {
        output::line(&survey.describe())?;
    }
    Ok(survey.code())
}

/// The names of the cases that there should be, sorted.
pub fn expected(store: &Store, manifest: Option<&Path>, plugin: Option<&Path>) -> anyhow::Result<Vec<String>> {
    match manifest {
        Some(path) => Ok(manifest::read(path, plugin)?.into_iter().map(|case| case.case).collect()),
        None => store.listed(),
    }
}

impl Survey {
    /// Counts.
    pub fn of(store: &Store, expected: Vec<String>) -> anyhow::Result<Self> {
        let recorded = store.recorded()?;
        let texts = store.journals()?;
        let mut lines: HashMap<String, (u32, Line)> = HashMap::with_capacity(recorded.len());
        for line in
            texts.iter().flat_map(|text| text.lines()).filter_map(|line| serde_json::from_str::<Line>(line).ok())
        {
            lines
                .entry(line.case.clone())
                .and_modify(|(count, last)| (*count, *last) = (*count + 1, line.clone()))
                .or_insert((1, line));
        }
        let mut survey = Self { expected: expected.len(), ..Self::default() };
        let mut sound = HashSet::with_capacity(recorded.len());
        for case in &recorded {
            let (status, error) = match lines.get(case) {
                Some((1, line)) => (line.status, line.error.clone()),
                several => {
                    survey.doubled.extend(several.map(|_| case.clone()));
                    let Some(record) = store.record(case) else { continue };
                    (record.status, record.error)
                }
            };
            sound.insert(case.as_str());
            match status {
                Status::Done => survey.done += 1,
                Status::Failed => drop(survey.failed.insert(case.clone(), error)),
            }
        }
        let listed: HashSet<&str> = expected.iter().map(String::as_str).collect();
        survey.unlisted = recorded.iter().filter(|case| !listed.contains(case.as_str())).cloned().collect();
        survey.missing = expected.iter().filter(|case| !sound.contains(case.as_str())).cloned().collect();
        Ok(survey)
    }

    /// 0 only when every case is done.
    fn code(&self) -> Code {
        match (self.missing.len(), self.failed.len()) {
            (0, 0) => exit::SUCCESS,
            (0, _) if self.done == 0 => exit::ALL_FAILED,
            (0, _) => exit::SOME_FAILED,
            _ => exit::FAILURE,
        }
    }

    fn report(&self) -> serde_json::Value {
        let Self { expected, done, failed, missing, doubled, unlisted } = self;
        json!({"cases": expected, "done": done, "failed": failed, "missing": missing, "doubled": doubled, "unlisted": unlisted})
    }

    fn describe(&self) -> String {
        let Self { expected, done, failed, missing, doubled, unlisted } = self;
        let mut text = format!("{expected} cases: {done} done, {} failed, {} missing", failed.len(), missing.len());
        for (case, reason) in failed.iter().take(MOST_NAMES) {
            text += &format!(
                "\nfailed   {case}: {}",
                reason.as_ref().map_or("no reason was kept", |reason| reason.message.as_str())
            );
        }
        for (what, names) in [("missing ", missing), ("doubled ", doubled), ("unlisted", unlisted)] {
            let shown: Vec<&str> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
            if !shown.is_empty() {
                text += &format!(
                    "\n{what} {}: {}{}",
                    names.len(),
                    shown.join(" "),
                    if names.len() > MOST_NAMES { " ..." } else { "" }
                );
            }
        }
        text
    }
}
