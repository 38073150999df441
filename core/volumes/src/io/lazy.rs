//! Slices that are read from a file when they are asked for: a volume of any size opens at once and costs no memory.
//!
//! Plain reads, not a memory map: a file that shrinks or a network drive that goes away is then an error and not a crash.

use crate::volume::{FrameSource, Voxels};
use crate::{Error, Result};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Reads the values of one slice from where it begins.
pub(super) type Decode = Box<dyn Fn(&mut dyn Read) -> std::io::Result<Voxels> + Send + Sync>;

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
        let at = self.start + frame as u64 * self.bytes as u64;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let values = file.seek(SeekFrom::Start(at)).and_then(|_| (self.decode)(&mut (&*file).take(self.bytes as u64)));
        values.map_err(|error| match error.kind() {
            ErrorKind::OutOfMemory => {
                Error::Unsupported(format!("{}: not enough memory for one slice", self.path.display()))
            }
            _ => Error::format(&self.path, format!("slice {frame} cannot be read: {error}")),
        })
    }

    fn dtype(&self) -> &'static str {
        self.dtype
    }
}
