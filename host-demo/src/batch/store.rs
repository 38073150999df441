//! The folder of a run. Everything comes into its place whole, by a rename; the record of a case comes last.
//!
//! | path | what it is |
//! |---|---|
//! | `batch.json` | what was asked for last, for people |
//! | `manifest.jsonl` | the cases as they were read last, one a line |
//! | `records/CASE.json` | the record of a case |
//! | `results/CASE/` | the files that its script wrote |
//! | `shards/I-of-N.jsonl` | journal of a shard: a line per case that was done or failed |
//! | `tmp/HOST.PID.N/` | what a process is working on; locked as long as it lives, swept away by the next one |

use super::fingerprint::hash_of;
use super::manifest::Case;
use super::record::{Line, Output, Record, SCHEMA};
use anyhow::Context;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file by which a folder of results is known.
pub const ABOUT: &str = "batch.json";

/// A folder of results.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// A folder for what is not finished, the process's own. It goes with the process, or with the next one.
#[derive(Debug)]
pub struct Scratch {
    pub folder: PathBuf,
    lock: PathBuf,
    _locked: File,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.lock);
    }
}

impl Store {
    /// A folder that is to be read.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let known = root.join("records").is_dir() || root.join(ABOUT).is_file();
        anyhow::ensure!(known, "{}: no folder of `host-demo batch --out`", root.display());
        Ok(Self { root: std::path::absolute(root)? })
    }

    /// A folder to write into.
    pub fn create(root: &Path) -> anyhow::Result<Self> {
        let root = std::path::absolute(root).with_context(|| root.display().to_string())?;
        for part in ["records", "results", "shards", "tmp"] {
            fs::create_dir_all(root.join(part)).with_context(|| root.join(part).display().to_string())?;
        }
        Ok(Self { root })
    }

    /// What people call it.
    pub fn name(&self) -> String {
        self.root.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Where the record of a case lies.
    pub fn record_path(&self, case: &str) -> PathBuf {
        self.root.join("records").join(format!("{case}.json"))
    }

    /// Where the files of a case lie.
    pub fn results(&self, case: &str) -> PathBuf {
        self.root.join("results").join(case)
    }

    /// The record of a case; `None`: there is none, or one that cannot be understood.
    pub fn record(&self, case: &str) -> Option<Record> {
        let record: Record = serde_json::from_slice(&fs::read(self.record_path(case)).ok()?).ok()?;
        (record.schema == SCHEMA && record.case == case).then_some(record)
    }

    /// The names of all cases with a record, sorted.
    pub fn recorded(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.root.join("records");
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| folder.display().to_string())?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.with_context(|| folder.display().to_string())?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Are the files of a record there? Sizes are compared, with `verify` contents.
    pub fn has_outputs(&self, record: &Record, verify: bool) -> bool {
        let folder = self.results(&record.case);
        record.outputs.iter().all(|(name, output)| {
            let path = folder.join(name);
            let size = fs::metadata(&path).is_ok_and(|metadata| metadata.len() == output.bytes);
            size && (!verify || hash_of(&path).is_ok_and(|hash| hash == output.sha256))
        })
    }

    /// The names of the cases of the last run, sorted.
    pub fn listed(&self) -> anyhow::Result<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct Named {
            case: String,
        }
        let path = self.root.join("manifest.jsonl");
        let text =
            fs::read_to_string(&path).with_context(|| format!("{}: name the cases with --manifest", path.display()))?;
        let named = |line: &str| serde_json::from_str::<Named>(line).map(|named| named.case);
        text.lines().map(named).collect::<Result<_, _>>().with_context(|| path.display().to_string())
    }

    /// Keeps the cases, and what was asked for. Shards of a run write the same; each writes it whole.
    pub fn keep(&self, cases: &[Case], about: &serde_json::Value, scratch: &Scratch) -> anyhow::Result<()> {
        let lines: Result<Vec<String>, _> = cases.iter().map(serde_json::to_string).collect();
        self.put(scratch, "manifest.jsonl", &(lines?.join("\n") + "\n"))?;
        self.put(scratch, ABOUT, &(serde_json::to_string_pretty(about)? + "\n"))
    }

    fn put(&self, scratch: &Scratch, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.root.join(name);
        if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
        place(&scratch.folder.join(name), &path, text.as_bytes()).with_context(|| path.display().to_string())
    }

    /// Takes the files of a case from `from` into their place, then writes the record. Until then the case counts as not done: its old
    /// record goes first, and files that the old one named and the new one does not.
    pub fn publish(&self, mut record: Record, from: &Path, scratch: &Scratch) -> io::Result<Record> {
        record.outputs = outputs(from)?;
        let (path, results) = (self.record_path(&record.case), self.results(&record.case));
        let old = self.record(&record.case);
        ignore_missing(fs::remove_file(&path))?;
        for name in old.iter().flat_map(|old| old.outputs.keys()).filter(|name| !record.outputs.contains_key(*name)) {
            ignore_missing(fs::remove_file(results.join(name)))?;
        }
        for name in record.outputs.keys() {
            let to = results.join(name);
            fs::create_dir_all(to.parent().unwrap_or(&results))?;
            fs::rename(from.join(name), to)?;
        }
        let text = serde_json::to_string(&record).map_err(io::Error::other)? + "\n";
        place(&scratch.folder.join("record.json"), &path, text.as_bytes())?;
        let _ = fs::remove_dir_all(from);
        Ok(record)
    }

    /// The journal of a shard, to append to.
    pub fn journal(&self, shard: super::shard::Part) -> anyhow::Result<Journal> {
        let path = self.root.join("shards").join(format!("{}-of-{}.jsonl", shard.index, shard.count));
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path);
        let mut file = file.with_context(|| path.display().to_string())?;
        // a process that was killed may have left half a line
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last).with_context(|| path.display().to_string())?;
        }
        if last != *b"\n" {
            file.write_all(b"\n").with_context(|| path.display().to_string())?;
        }
        let alone = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        Ok(Journal { file, alone })
    }

    /// The texts of all journals.
    pub fn journals(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.root.join("shards");
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
        paths.sort();
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        paths.into_iter().map(read).collect()
    }

    /// A folder for this process; what dead ones left is swept away.
    pub fn scratch(&self) -> anyhow::Result<Scratch> {
        self.sweep();
        let tmp = self.root.join("tmp");
        for n in 0_u32.. {
            let name = format!("{}.{}.{n}", host(), std::process::id());
            let (folder, lock) = (tmp.join(&name), tmp.join(format!("{name}.lock")));
            let file = match OpenOptions::new().write(true).create_new(true).open(&lock) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file.with_context(|| lock.display().to_string())?,
            };
            // a file system without locks: nothing is swept there, and nothing lost
            if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) || !lock.exists() {
                continue; // a sweeper was faster
            }
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            return Ok(Scratch { folder, lock, _locked: file });
        }
        anyhow::bail!("{}: no name is free", tmp.display())
    }

    /// Removes what processes left that live no more: their locks are free.
    pub fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.root.join("tmp")) else { return };
        for lock in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if lock.extension().is_none_or(|ending| ending != "lock") {
                continue;
            }
            let Ok(file) = File::open(&lock) else { continue };
            if file.try_lock().is_ok() {
                let _ = fs::remove_dir_all(lock.with_extension(""));
                let _ = fs::remove_file(&lock);
            }
        }
    }
}

/// The end of a journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// no other process writes this journal now
    pub alone: bool,
}

impl Journal {
    /// Appends a line in one piece.
    pub fn append(&mut self, line: &Line) -> io::Result<()> {
        let text = serde_json::to_string(line).map_err(io::Error::other)? + "\n";
        self.file.write_all(text.as_bytes())
    }
}

/// Writes `temporary` to the disk and renames it to `path`.
fn place(temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(temporary, path)
}

/// Size and hash of all files below a folder, each brought to the disk.
fn outputs(folder: &Path) -> io::Result<BTreeMap<String, Output>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            let (bytes, sha256) = (fs::metadata(&path)?.len(), hash_of(&path)?);
            File::open(&path)?.sync_data()?;
            found.insert(name, Output { bytes, sha256 });
        }
    }
    Ok(found)
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// The name of this machine, as far as it can be the name of a file.
pub fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.unwrap_or_default();
    let name: String =
        name.trim().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    if name.is_empty() { "host".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::shard::Part;

    #[test]
    fn what_dead_processes_left_goes_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        let tmp = folder.path().join("tmp");
        fs::create_dir(tmp.join("dead.1.0")).unwrap();
        fs::write(tmp.join("dead.1.0/half"), "").unwrap();
        fs::write(tmp.join("dead.1.0.lock"), "").unwrap();
        let mine = store.scratch().unwrap();
        assert!(!tmp.join("dead.1.0").exists() && mine.folder.is_dir());
        store.sweep();
        assert!(mine.folder.is_dir(), "its owner lives");
        drop(mine);
        assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
    }

    #[test]
    fn a_journal_with_half_a_line_goes_on_with_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        let part = Part { index: 0, count: 1 };
        fs::write(folder.path().join("shards/0-of-1.jsonl"), "{\"case\":\"a\",\"sta").unwrap();
        let mut journal = store.journal(part).unwrap();
        assert!(journal.alone && !store.journal(part).unwrap().alone);
        let line = Line {
            case: "b".into(),
            status: crate::batch::record::Status::Done,
            error: None,
            seconds: 1.0,
            run: "r".into(),
        };
        journal.append(&line).unwrap();
        let text = store.journals().unwrap().concat();
        assert_eq!(text.lines().count(), 2);
        assert!(serde_json::from_str::<Line>(text.lines().last().unwrap()).is_ok());
    }
}
