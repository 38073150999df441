//! Slices of packed bytes in the order in which they lie.

use super::lazy::{Decode, Sequence};
use super::stream::{Packing, Stream};
use crate::volume::Voxels;
use crate::{Error, Result};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Equally long slices of a packed stream.
pub(super) struct Packed {
    path: PathBuf,
    stream: Stream,
    /// byte of the file at which the packed bytes begin
    at: u64,
    packing: Packing,
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
    /// `frames` slices of `bytes` bytes from byte `start` of what is packed from byte `at` of a file on.
    pub fn new(
        path: &Path,
        at: u64,
        packing: Packing,
        start: u64,
        bytes: usize,
        frames: usize,
        decode: Decode,
    ) -> Result<Self> {
        let stream = from_start(path, at, packing, start)?;
        Ok(Self { path: path.to_path_buf(), stream, at, packing, start, bytes, frames, left: frames, decode })
    }

    fn read(&mut self) -> std::io::Result<Voxels> {
        let voxels = (self.decode)(&mut self.stream.by_ref().take(self.bytes as u64))?;
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.stream.finish()?;
        }
        Ok(voxels)
    }
}

fn from_start(path: &Path, at: u64, packing: Packing, start: u64) -> Result<Stream> {
    let (mut stream, _) = Stream::open_at(path, at, packing)?;
    stream.skip(start).map_err(|error| damaged(path)(&error))?;
    Ok(stream)
}

impl Sequence for Packed {
    fn next(&mut self) -> Result<Voxels> {
        self.read().map_err(|error| match error.kind() {
            ErrorKind::OutOfMemory => {
                Error::Unsupported(format!("{}: not enough memory for one slice", self.path.display()))
            }
            _ => damaged(&self.path)(&error),
        })
    }

    fn skip(&mut self, slices: usize) -> Result<()> {
        self.left = self.left.saturating_sub(slices);
        self.stream.skip(slices as u64 * self.bytes as u64).map_err(|error| damaged(&self.path)(&error))
    }

    fn restart(&mut self) -> Result<()> {
        self.stream = from_start(&self.path, self.at, self.packing, self.start)?;
        self.left = self.frames;
        Ok(())
    }
}

/// Bytes that cannot be unpacked, or end too early.
pub(super) fn damaged(path: &Path) -> impl Fn(&std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |error| {
        let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Error::format(&path, format!("is damaged or truncated ({reason})"))
    }
}
