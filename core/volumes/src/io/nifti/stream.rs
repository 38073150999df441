//! Slices of a packed file in the order in which they lie, for volumes that are used once from the first slice to the last: nothing is
//! unpacked before it is asked for, and no more than a slice is kept. Going back starts again from the beginning.

use super::pair::Stream;
use crate::io::lazy::Decode;
use crate::volume::{FrameSource, Voxels};
use crate::{Error, Result};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(super) struct StreamFrames {
    path: PathBuf,
    /// first byte of the voxels, once unpacked
    start: u64,
    /// bytes of a slice
    bytes: usize,
    frames: usize,
    decode: Decode,
    dtype: &'static str,
    state: Mutex<State>,
}

struct State {
    stream: Stream,
    /// the slice that the stream comes to next
    next: usize,
    /// the slice that was read last
    last: Option<(usize, Voxels)>,
}

impl StreamFrames {
    /// `frames` slices of `bytes` bytes from `start` on, of a stream that is at its beginning.
    pub fn new(path: &Path, stream: Stream, start: u64, bytes: usize, frames: usize, decode: Decode) -> Result<Self> {
        let mut source = Self {
            path: path.to_path_buf(),
            start,
            bytes,
            frames,
            decode,
            dtype: "",
            state: Mutex::new(State { stream, next: 0, last: None }),
        };
        let first = {
            let state = source.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            state.stream.skip_to(0, start).map_err(super::damaged(path))?;
            source.frame(0)?
        };
        source.dtype = first.dtype();
        Ok(source)
    }

    fn read(&self, state: &mut State, frame: usize) -> std::io::Result<Voxels> {
        if frame < state.next {
            state.stream = Stream::open(&self.path).map_err(|error| std::io::Error::other(error.to_string()))?.0;
            state.stream.skip_to(0, self.start)?;
            state.next = 0;
        }
        let ahead = (frame - state.next) as u64 * self.bytes as u64;
        state.next = usize::MAX; // whoever comes after a failure, or a stop, begins anew
        state.stream.skip_to(0, ahead)?;
        let voxels = (self.decode)(&mut state.stream.by_ref().take(self.bytes as u64))?;
        state.next = frame + 1;
        if state.next == self.frames {
            // reading on to the end lets gzip check its checksum
            std::io::copy(&mut state.stream.by_ref().take(1 << 20), &mut std::io::sink())?;
        }
        Ok(voxels)
    }
}

impl FrameSource for StreamFrames {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, voxels)) = state.last.as_ref().filter(|(last, _)| *last == frame) {
            return Ok(voxels.clone());
        }
        let voxels = self.read(&mut state, frame).map_err(|error| match error.kind() {
            ErrorKind::OutOfMemory => {
                Error::Unsupported(format!("{}: not enough memory for one slice", self.path.display()))
            }
            _ => super::damaged(&self.path)(error),
        })?;
        state.last = Some((frame, voxels.clone()));
        Ok(voxels)
    }

    fn dtype(&self) -> &'static str {
        self.dtype
    }
}
