//! Slices of a packed file in the order in which they lie.

use super::pair::Stream;
use crate::io::lazy::{Decode, Sequence};
use crate::volume::Voxels;
use crate::{Error, Result};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Equally long slices of a packed stream.
pub(super) struct Packed {
    path: PathBuf,
    stream: Stream,
    /// first byte of the voxels, once unpacked
    start: u64,
    /// bytes of a slice
    bytes: usize,
    frames: usize,
    /// slices that lie ahead
    left: usize,
    decode: Decode,
}

impl Packed {
    /// `frames` slices of `bytes` bytes from `start` on, of a stream that is at its beginning.
    pub fn new(
        path: &Path,
        mut stream: Stream,
        start: u64,
        bytes: usize,
        frames: usize,
        decode: Decode,
    ) -> Result<Self> {
        stream.skip_to(0, start).map_err(super::damaged(path))?;
        Ok(Self { path: path.to_path_buf(), stream, start, bytes, frames, left: frames, decode })
    }

    fn read(&mut self) -> std::io::Result<Voxels> {
        let voxels = (self.decode)(&mut self.stream.by_ref().take(self.bytes as u64))?;
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            // reading on to the end lets gzip check its checksum
            std::io::copy(&mut self.stream.by_ref().take(1 << 20), &mut std::io::sink())?;
        }
        Ok(voxels)
    }
}

impl Sequence for Packed {
    fn next(&mut self) -> Result<Voxels> {
        self.read().map_err(|error| match error.kind() {
            ErrorKind::OutOfMemory => {
                Error::Unsupported(format!("{}: not enough memory for one slice", self.path.display()))
            }
            _ => super::damaged(&self.path)(error),
        })
    }

    fn skip(&mut self, slices: usize) -> Result<()> {
        self.left = self.left.saturating_sub(slices);
        self.stream.skip_to(0, slices as u64 * self.bytes as u64).map_err(super::damaged(&self.path))
    }

    fn restart(&mut self) -> Result<()> {
        self.stream = Stream::open(&self.path)?.0;
        self.left = self.frames;
        self.stream.skip_to(0, self.start).map_err(super::damaged(&self.path))
    }
}
