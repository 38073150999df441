//! `host-demo info`: what a file says about itself.

use super::InputRequest;
use crate::Result;
use crate::io::VolumeInfo;
use crate::progress::{Flow, Observer, Progress};

/// What is known of the volume, in the orientation asked for.
pub fn info(request: &InputRequest, observer: &mut dyn Observer) -> Result<VolumeInfo> {
    let mut noted = Noted { observer, notes: Vec::new() };
    let volume = request.open_once(&mut noted)?.along(request.axis()?)?;
    let info = VolumeInfo::new(&volume, &request.input, &mut noted)?;
    Ok(VolumeInfo { notes: noted.notes, ..info })
}

/// Keeps what readers say, and passes all on.
struct Noted<'a> {
    observer: &'a mut dyn Observer,
    notes: Vec<String>,
}

impl Observer for Noted<'_> {
    fn progress(&mut self, progress: Progress<'_>) -> Flow {
        self.observer.progress(progress)
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
        self.observer.note(text);
    }
}
