//! What is written down of a case: its record, and the line about it in the shard's journal.
//!
//! The record is the truth, and is written last: what has no record has not been done. A journal only saves reading all records to count them.

use super::fingerprint::Fingerprint;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The form of a record; another one is not understood, and its case is done again.
pub const SCHEMA: &str = "sam_octa2.batch_record/1";

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Done,
    Failed,
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// a file of the case is missing or damaged, or something else went wrong in the work itself
    Error,
    /// it took longer than it may
    Time,
    /// it took more memory than it may
    Memory,
    /// the process that did it ended
    Crash,
}

/// Why a case failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub kind: Kind,
    /// one sentence
    pub message: String,
    /// the plugin's code, where it said one
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
}

/// What decides about the result beside the case's own files. Cases with equal settings and equal files have equal results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// version of this program
    pub host: String,
    /// the plugin's manifest: version, interface, libtorch
    pub plugin: Value,
    /// the built libraries, by name: sha256
    pub libraries: BTreeMap<String, String>,
    /// scripts: the one that is run and those that it imports
    pub scripts: BTreeMap<String, String>,
    /// arguments that are equal for all cases
    pub arguments: Map<String, Value>,
    /// files that they name, the model's among them: sha256
    pub files: BTreeMap<String, String>,
}

/// A file that a case wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub bytes: u64,
    pub sha256: String,
}

/// Where and how long it ran. Nothing of it decides about the result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Circumstances {
    pub host: String,
    pub pid: u32,
    pub shard: String,
    pub threads: u32,
    /// by the clock of the machine
    pub started: String,
    /// by a clock that does not jump
    pub seconds: f64,
    /// most memory that was resident while it ran
    pub peak_memory_bytes: Option<u64>,
    /// processes that it took: 2 where the first ended in the middle
    pub attempts: u32,
    /// what the engine that started this process calls it: `SLURM_JOB_ID` and their like
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engine: BTreeMap<String, String>,
}

/// All about a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub schema: String,
    pub case: String,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Reason>,
    /// columns of the manifest
    pub values: Map<String, Value>,
    /// the script's last value
    #[serde(default)]
    pub result: Value,
    /// files that the columns name
    pub inputs: BTreeMap<String, Fingerprint>,
    /// files written, by their names below `results/CASE`
    pub outputs: BTreeMap<String, Output>,
    #[serde(default)]
    pub warnings: Vec<String>,
    /// sha256 over the settings and the columns that name no files
    pub key: String,
    pub settings: Settings,
    pub run: Circumstances,
}

/// A line of a journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    pub case: String,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Reason>,
    pub seconds: f64,
    pub run: String,
}

impl Record {
    /// The line about it; `run` tells processes apart.
    pub fn line(&self, run: &str) -> Line {
        let Self { case, status, error, .. } = self;
        Line {
            case: case.clone(),
            status: *status,
            error: error.clone(),
            seconds: self.run.seconds,
            run: run.to_owned(),
        }
    }
}
