//! Slices that are read from a file when they are asked for: a volume of any size opens at once and costs no memory. [`FileFrames`] finds
//! every slice at its place; [`InOrder`] has to come by the others, for volumes that are used once from the first slice to the last.
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

/// Where a slice begins in its file.
type Place = Box<dyn Fn(usize) -> u64 + Send + Sync>;

/// Equally long slices of a file, not compressed.
pub(super) struct FileFrames {
    path: PathBuf,
    file: Mutex<File>,
    place: Place,
    bytes: usize,
    decode: Decode,
    dtype: &'static str,
}

impl FileFrames {
    /// Slices of `bytes` bytes, one after another from `start` on. The type of the values is that of the first slice.
    pub fn new(path: &Path, file: File, start: u64, bytes: usize, decode: Decode) -> Result<Self> {
        Self::placed(path, file, Box::new(move |frame| start + frame as u64 * bytes as u64), bytes, decode)
    }

    /// Slices at places of their own.
    pub fn at(path: &Path, file: File, starts: Vec<u64>, bytes: usize, decode: Decode) -> Result<Self> {
        Self::placed(
            path,
            file,
            Box::new(move |frame| starts.get(frame).map_or(u64::MAX, |&start| start)),
            bytes,
            decode,
        )
    }

    fn placed(path: &Path, file: File, place: Place, bytes: usize, decode: Decode) -> Result<Self> {
        let mut frames = Self { path: path.to_path_buf(), file: Mutex::new(file), place, bytes, decode, dtype: "" };
        frames.dtype = frames.frame(0)?.dtype();
        Ok(frames)
    }
}

impl FrameSource for FileFrames {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        let at = (self.place)(frame);
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

/// Slices that can only be read one after another.
pub(super) trait Sequence: Send {
    /// The next slice.
    fn next(&mut self) -> Result<Voxels>;

    /// Steps over slices.
    fn skip(&mut self, slices: usize) -> Result<()>;

    /// Goes back to the first.
    fn restart(&mut self) -> Result<()>;
}

/// The slices of a [`Sequence`]: nothing is unpacked before it is asked for, and no more than a slice is kept. Going back starts again from
/// the beginning.
pub(super) struct InOrder<S> {
    state: Mutex<State<S>>,
    dtype: &'static str,
}

struct State<S> {
    sequence: S,
    /// the slice that comes next; none after an error, when nobody knows
    next: Option<usize>,
    /// the slice that was read last
    last: Option<(usize, Voxels)>,
}

impl<S: Sequence> InOrder<S> {
    /// The slices of a sequence that is at its beginning. The type of the values is that of the first slice.
    pub fn new(sequence: S) -> Result<Self> {
        let mut state = State { sequence, next: Some(0), last: None };
        let dtype = state.frame(0)?.dtype();
        Ok(Self { state: Mutex::new(state), dtype })
    }
}

impl<S: Sequence> State<S> {
    fn frame(&mut self, frame: usize) -> Result<Voxels> {
        if let Some((_, voxels)) = self.last.as_ref().filter(|(last, _)| *last == frame) {
            return Ok(voxels.clone());
        }
        let ahead = match self.next.take().and_then(|next| frame.checked_sub(next)) {
            Some(ahead) => ahead,
            None => {
                self.sequence.restart()?;
                frame
            }
        };
        self.sequence.skip(ahead)?;
        let voxels = self.sequence.next()?;
        self.next = Some(frame + 1);
        self.last = Some((frame, voxels.clone()));
        Ok(voxels)
    }
}

impl<S: Sequence> FrameSource for InOrder<S> {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).frame(frame)
    }

    fn dtype(&self) -> &'static str {
        self.dtype
    }
}
