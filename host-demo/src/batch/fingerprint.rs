//! What a file or a folder was when it was read: size, time of its last change, and a hash of its contents.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Of a folder: sizes together, the latest change, and a hash over names and contents in the order of the names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub path: PathBuf,
    pub bytes: u64,
    /// nanoseconds since 1970
    pub modified_ns: u64,
    pub sha256: String,
}

impl Fingerprint {
    /// Reads all there is.
    pub fn of(path: &Path) -> io::Result<Self> {
        let files = files(path)?;
        let sha256 = match (files.as_slice(), path.is_dir()) {
            ([(file, _)], false) => hash_of(file)?,
            _ => {
                let mut all = Sha256::new();
                for (file, _) in &files {
                    let name = file.strip_prefix(path).unwrap_or(file).to_string_lossy();
                    all.update((name.len() as u64).to_le_bytes());
                    all.update(name.as_bytes());
                    all.update(hash_of(file)?);
                }
                hexadecimal(&all.finalize())
            }
        };
        let (bytes, modified_ns) = size_and_time(&files);
        Ok(Self { path: path.to_path_buf(), bytes, modified_ns, sha256 })
    }

    /// Is it what `path` holds now? Equal size and time are believed unless `verify`; else the contents decide.
    pub fn holds(&self, path: &Path, verify: bool) -> io::Result<bool> {
        let (bytes, modified_ns) = size_and_time(&files(path)?);
        if bytes != self.bytes {
            return Ok(false);
        }
        Ok((!verify && modified_ns == self.modified_ns && path == self.path) || Self::of(path)?.sha256 == self.sha256)
    }
}

/// The sha256 of a file, in hexadecimal.
pub fn hash_of(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// The sha256 of a text.
pub fn hash_of_text(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files of a folder and of those below it, in the order of their names; or the file itself.
fn files(path: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(vec![(path.to_path_buf(), metadata)]);
    }
    let mut all = Vec::new();
    let mut waiting = vec![path.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match fs::metadata(&path)? {
                metadata if metadata.is_dir() => waiting.push(path),
                metadata => all.push((path, metadata)),
            }
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn size_and_time(files: &[(PathBuf, Metadata)]) -> (u64, u64) {
    let time = |metadata: &Metadata| {
        let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    };
    let bytes = files.iter().map(|(_, metadata)| metadata.len()).sum();
    (bytes, files.iter().map(|(_, metadata)| time(metadata)).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_decide_where_size_and_time_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one").unwrap();
        let before = Fingerprint::of(&path).unwrap();
        assert!(before.holds(&path, false).unwrap() && before.holds(&path, true).unwrap());
        let long_ago = UNIX_EPOCH + std::time::Duration::from_secs(1);
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        assert!(before.holds(&path, false).unwrap(), "touched, not changed");
        fs::write(&path, "two").unwrap();
        assert!(!before.holds(&path, false).unwrap());
        let stealthy = Fingerprint { modified_ns: size_and_time(&files(&path).unwrap()).1, ..before.clone() };
        assert!(stealthy.holds(&path, false).unwrap(), "believed: size and time are equal");
        assert!(!stealthy.holds(&path, true).unwrap(), "not believed when verifying");
    }

    #[test]
    fn a_folder_is_its_names_and_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("deep")).unwrap();
        fs::write(path("deep/1"), "x").unwrap();
        let before = Fingerprint::of(folder.path()).unwrap();
        fs::rename(path("deep/1"), path("deep/2")).unwrap();
        assert_ne!(before.sha256, Fingerprint::of(folder.path()).unwrap().sha256);
        assert!(!Fingerprint { modified_ns: 0, ..before }.holds(folder.path(), false).unwrap());
    }
}
