//! The unfinished file of a download, `FILE.part`: one process at a time writes it, and a later one goes on with it.

use super::cancelled;
use anyhow::{Context, bail};
use sam_octa2_abi::{HostObserver, Severity};
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a download that waits for another one looks.
const PAUSE: Duration = Duration::from_millis(200);

/// An unfinished file that this process alone writes.
pub struct Part {
    file: File,
    path: PathBuf,
}

/// Where the bytes so far came from, in `FILE.part.source`.
#[derive(Serialize, Deserialize)]
pub struct Source {
    /// address
    pub url: String,
    /// the server's name for this version of the file
    pub version: Option<String>,
}

impl Part {
    /// Takes the unfinished file of `target`; waits while another process has it. `None`: meanwhile `target` has come, and is to stay.
    pub fn take(target: &Path, replace: bool, watch: &mut dyn HostObserver) -> anyhow::Result<Option<Self>> {
        let path = beside(target, ".part");
        let mut waits = false;
        loop {
            if target.exists() && !replace {
                return Ok(None);
            }
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
            let file =
                file.with_context(|| format!("{}: cannot be written (another folder: --to DIR)", path.display()))?;
            match file.try_lock() {
                // the one before may have renamed or removed the file while this process was opening it
                Ok(()) if is_at(&file, &path) && (replace || !target.exists()) => return Ok(Some(Self { file, path })),
                Ok(()) => {
                    if is_at(&file, &path) && file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
                        let _ = std::fs::remove_file(&path); // made by this process after the other one was done
                    }
                    continue;
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => bail!("{}: cannot be locked: {error}", path.display()),
            }
            if !waits {
                watch.log(
                    Severity::INFO,
                    &format!("another download of {} is under way: waiting for it", target.display()),
                );
                waits = true;
            }
            std::thread::sleep(PAUSE);
            if watch.is_cancelled() {
                return Err(cancelled());
            }
        }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> anyhow::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn metadata(&self) -> anyhow::Result<Metadata> {
        self.file.metadata().with_context(|| self.path.display().to_string())
    }

    /// Where they came from, if that is known.
    pub fn source(&self) -> Option<Source> {
        serde_json::from_slice(&std::fs::read(beside(&self.path, ".source")).ok()?).ok()
    }

    /// Begins anew, with what comes from `source`.
    pub fn restart(&mut self, source: &Source) -> anyhow::Result<()> {
        let note = beside(&self.path, ".source");
        let restart = || {
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            std::fs::write(&note, serde_json::to_vec(source)?)
        };
        restart().with_context(|| self.path.display().to_string())
    }

    /// Writes behind the bytes so far.
    pub fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(bytes)
    }

    /// Onto the disk, and back to the start to be read.
    pub fn rewound(&mut self) -> anyhow::Result<&mut File> {
        let rewind = self.file.sync_all().and_then(|()| self.file.rewind());
        rewind.with_context(|| self.path.display().to_string())?;
        Ok(&mut self.file)
    }

    /// Puts the finished file in its place.
    pub fn finish(self, target: &Path) -> anyhow::Result<()> {
        std::fs::rename(&self.path, target).with_context(|| target.display().to_string())?;
        let _ = std::fs::remove_file(beside(&self.path, ".source")); // a note that nobody reads any more
        Ok(())
    }

    /// Throws the bytes away.
    pub fn discard(self) {
        for path in [beside(&self.path, ".source"), self.path] {
            let _ = std::fs::remove_file(path); // what stays is begun anew
        }
    }
}

/// `FILE` + `ending`
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Is this open file still the one at that path?
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        matches!((file.metadata(), std::fs::metadata(path)), (Ok(open), Ok(there)) if id(&open) == id(&there))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists() // a file that is open is not renamed here
    }
}
