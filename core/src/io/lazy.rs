//! Slices that are read from a file when they are asked for: a volume of any size opens at once and costs no memory.
//!
//! Plain reads, not a memory map: a file that shrinks or a network drive that goes away is then an error and not a crash.

use crate::volume::{FrameSource, Voxels};
use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes to values of one slice.
pub(super) type Decode = Box<dyn Fn(&[u8]) -> Result<Voxels> + Send + Sync>;

/// Equally long slices that lie one after another in a file, not compressed.
pub(super) struct FileFrames {
    path: PathBuf,
    file: Mutex<File>,
    start: u64,
    bytes: usize,
    decode: Decode,
    dtype: &'static str,
}

impl FileFrames {
    /// Slices of `bytes` bytes from `start` on. The type of the values is that of the first slice.
    pub fn new(path: &Path, file: File, start: u64, bytes: usize, decode: Decode) -> Result<Self> {
        let mut frames = Self { path: path.to_path_buf(), file: Mutex::new(file), start, bytes, decode, dtype: "" };
        frames.dtype = frames.frame(0)?.dtype();
        Ok(frames)
    }
}

impl FrameSource for FileFrames {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        let mut bytes = Vec::new();
        let lacking = |_| Error::Unsupported(format!("{}: not enough memory for one slice", self.path.display()));
        bytes.try_reserve_exact(self.bytes).map_err(lacking)?;
        bytes.resize(self.bytes, 0);
        let at = self.start + frame as u64 * self.bytes as u64;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|error| Error::format(&self.path, format!("slice {frame} cannot be read: {error}")))?;
        drop(file);
        (self.decode)(&bytes)
    }

    fn dtype(&self) -> &'static str {
        self.dtype
    }
}
