//! What there is to know of a case before its work: is it done already, and what do its files hold? The run looks at the next case while the worker
//! computes the present one; hashing reads the files, so that the worker then finds them in the system's memory.

use super::fault::is_temporary_io;
use super::fingerprint::Fingerprint;
use super::manifest::Case;
use super::options::RunOptions;
use super::record::{Kind, Reason, Status};
use super::store::Store;
use super::work::Plan;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::SyncSender;

/// A case, looked at.
pub struct Next {
    pub case: Case,
    pub is: State,
}

/// What becomes of it.
pub enum State {
    /// its record stands for what would be done now
    Settled(Status),
    /// to be done: its files, by the columns that name them
    Open(BTreeMap<String, Fingerprint>),
    /// a file of it is missing or cannot be read
    Unreadable(Reason),
    /// the machine's fault, not the case's
    Broken(anyhow::Error),
}

/// Looks at the cases in turn, as far ahead as the channel lets it; ends with its receiver.
pub fn look(cases: Vec<Case>, store: &Store, plan: &Plan, options: &RunOptions, sender: &SyncSender<Next>) {
    for case in cases {
        let before = options.resume.then(|| settled(store, plan, &case, options)).flatten();
        let is = before.map_or_else(|| fingerprints(&case), State::Settled);
        if sender.send(Next { case, is }).is_err() {
            return;
        }
    }
}

/// How a case ended, if its record stands for what would be done now.
pub fn settled(store: &Store, plan: &Plan, case: &Case, options: &RunOptions) -> Option<Status> {
    let record = store.record(&case.case)?;
    if record.key != plan.key(case) || (record.status == Status::Failed && options.retry_failed) {
        return None;
    }
    let now = case.files();
    let there: Vec<_> = now.iter().filter(|(_, path)| path.exists()).collect();
    if there.len() != record.inputs.len() {
        return None;
    }
    let same = |(column, path): &&(&str, &Path)| {
        record.inputs.get(*column).is_some_and(|input| input.holds(path, options.verify).unwrap_or(false))
    };
    (there.iter().all(same) && store.has_outputs(&record, options.verify)).then_some(record.status)
}

/// Size, time and hash of the files of a case.
fn fingerprints(case: &Case) -> State {
    let mut inputs = BTreeMap::new();
    for (column, path) in case.files() {
        match Fingerprint::of(path) {
            Ok(fingerprint) => drop(inputs.insert(column.to_owned(), fingerprint)),
            Err(error) if is_temporary_io(&error) => {
                return State::Broken(anyhow::Error::new(error).context(path.display().to_string()));
            }
            Err(error) => {
                let message = format!("{column}: {}: {error}", path.display());
                return State::Unreadable(Reason { kind: Kind::Error, message, code: "io".to_owned() });
            }
        }
    }
    State::Open(inputs)
}
