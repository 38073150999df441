//! How much a folder of features may hold. Every program that works on it looks at what is there, so that several keep within it together.
//!
//! Only plain files with names of ours are counted and removed.

use crate::io::TEMPORARY;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How the files' names begin and end.
const BEGIN: &str = "sam-octa2-";
pub const ENDING: &str = ".safetensors";
/// A temporary file of this age was left by a program that did not end as it should.
const LEFT: Duration = Duration::from_secs(24 * 3600);

/// A folder with a limit.
pub struct FileStore {
    folder: PathBuf,
    most: u64,
}

impl FileStore {
    /// `most` bytes in `folder`.
    pub fn new(folder: PathBuf, most: u64) -> Self {
        Self { folder, most }
    }

    /// Where the files lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of a key (64 hexadecimal digits).
    pub fn file(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{BEGIN}{key}{ENDING}"))
    }

    /// Removes files, those used longest ago first, until `more` bytes fit. What cannot be listed or removed stays.
    pub fn make(&self, more: u64) {
        if self.most == u64::MAX {
            return;
        }
        let mut files: Vec<_> = self.files(is_ours).collect();
        files.sort_by_key(|(_, metadata)| metadata.modified().ok());
        let mut total = files.iter().fold(more, |total, (_, metadata)| total.saturating_add(metadata.len()));
        for (path, metadata) in files {
            if total <= self.most {
                return;
            }
            if fs::remove_file(path).is_ok() {
                total -= metadata.len();
            }
        }
    }

    /// The same for a limit that became smaller, and for what a program left that was killed.
    pub fn tidy(&self) {
        self.make(0);
        let now = SystemTime::now();
        let old = |metadata: &Metadata| {
            metadata.modified().is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age > LEFT))
        };
        let left = self.files(|name| name.starts_with(TEMPORARY) && name.ends_with(ENDING));
        for (path, _) in left.filter(|(_, metadata)| old(metadata)) {
            let _ = fs::remove_file(path);
        }
    }

    fn files(&self, named: impl Fn(&str) -> bool) -> impl Iterator<Item = (PathBuf, Metadata)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let entries = entries.filter(move |entry| entry.file_name().to_str().is_some_and(&named));
        // of a link, the link itself
        entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok().filter(Metadata::is_file)?)))
    }
}

fn is_ours(name: &str) -> bool {
    let key = name.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(ENDING));
    key.is_some_and(|key| key.len() == 64 && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}
