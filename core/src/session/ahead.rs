//! Slices as the model sees them: the next one is read and resized on a second thread while the one before is computed.

use super::image::{GreySlices, Pixels};
use crate::Result;
use crate::intensity::Windows;
use crate::model::config::InputImage;
use crate::volume::Volume;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// The images of a volume, in any order.
pub struct Images {
    volume: Arc<Volume>,
    windows: Windows,
    /// the neighbours of the slice read last
    grey: GreySlices,
    ahead: Option<Ahead>,
}

/// A slice that is being read.
struct Ahead {
    frame: usize,
    thread: JoinHandle<(GreySlices, Result<Pixels>)>,
}

impl Images {
    /// Nothing is read yet.
    pub fn new(volume: Arc<Volume>, windows: Windows) -> Self {
        Self { volume, windows, grey: GreySlices::default(), ahead: None }
    }

    /// A slice; where `next` is said, that one is read from now on.
    pub fn get(&mut self, frame: usize, next: Option<usize>, input: InputImage) -> Result<Pixels> {
        let read = self.settle().filter(|(ahead, _)| *ahead == frame);
        let pixels = match read {
            Some((_, pixels)) => pixels?,
            None => Pixels::read(&mut self.grey, &self.volume, frame, self.windows, input)?,
        };
        if let Some(next) = next.filter(|next| *next != frame) {
            self.start(next, input);
        }
        Ok(pixels)
    }

    /// Without a thread (the system has none left) the slice is read when it is asked for.
    fn start(&mut self, frame: usize, input: InputImage) {
        let (volume, windows) = (self.volume.clone(), self.windows);
        let mut grey = std::mem::take(&mut self.grey);
        let read = move || {
            let pixels = Pixels::read(&mut grey, &volume, frame, windows, input);
            (grey, pixels)
        };
        let thread = Builder::new().name("next slice".to_owned()).spawn(read);
        self.ahead = thread.ok().map(|thread| Ahead { frame, thread });
    }

    /// Waits for the slice that is being read: afterwards nothing looks at the volume, whose memory may be a host's.
    pub fn settle(&mut self) -> Option<(usize, Result<Pixels>)> {
        let Ahead { frame, thread } = self.ahead.take()?;
        let (grey, pixels) = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        self.grey = grey;
        Some((frame, pixels))
    }

    /// Forgets the neighbours.
    pub fn clear(&mut self) {
        self.settle();
        self.grey = GreySlices::default();
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        if let Some(ahead) = self.ahead.take() {
            let _ = ahead.thread.join(); // a panic of the reader is nobody's any more
        }
    }
}
