//! SHA-256 of files, and the ones that were learnt at a first download: beside the checkpoint, as `sha256sum` writes them.

use super::cancelled;
use anyhow::Context;
use sam_octa2_abi::{Flow, HostObserver};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Read at a time.
const PIECE: usize = 1 << 20;

/// SHA-256 of a file in lower-case digits.
pub fn of_file(path: &Path, watch: &mut dyn HostObserver) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    of_open_file(&mut file, watch).with_context(|| path.display().to_string())
}

/// The same of a file that is open, from where it stands.
pub fn of_open_file(file: &mut File, watch: &mut dyn HostObserver) -> anyhow::Result<String> {
    let total = file.metadata()?.len();
    let (mut hash, mut piece, mut done) = (Sha256::new(), vec![0; PIECE], 0);
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        hash.update(&piece[..read]);
        done += read as u64;
        if watch.progress("check MB", megabytes(done), megabytes(total)) == Flow::CANCEL {
            return Err(cancelled());
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// For progress.
pub fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

/// Where the digest of a checkpoint is kept that the list does not know.
fn place(checkpoint: &Path) -> PathBuf {
    let mut name = checkpoint.as_os_str().to_owned();
    name.push(".sha256");
    name.into()
}

/// The digest that was learnt, if there is one.
pub fn kept(checkpoint: &Path) -> anyhow::Result<Option<String>> {
    let path = place(checkpoint);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let digest = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let sound = digest.len() == 64 && digest.bytes().all(|digit| digit.is_ascii_hexdigit());
    anyhow::ensure!(sound, "{}: not a SHA-256 followed by a file name: remove it", path.display());
    Ok(Some(digest))
}

/// Keeps a digest; where it is.
pub fn keep(checkpoint: &Path, digest: &str) -> anyhow::Result<PathBuf> {
    let path = place(checkpoint);
    let name = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    let write = || {
        let unfinished = path.with_extension("sha256.part");
        let mut file = File::create(&unfinished)?;
        writeln!(file, "{digest}  {name}")?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)
    };
    write().with_context(|| path.display().to_string())?;
    Ok(path)
}
