//! A prompt file becomes prompts of a session, and a session's prompts become marks on a picture.

use super::read_json;
use crate::io;
use crate::picture::{Mark, MarkKind};
use crate::progress::Observer;
use crate::prompts::{PromptFile, SlicePrompt};
use crate::session::{Marks, Mask, Point, Session};
use crate::{Error, Result};
use std::path::Path;

/// Reads a prompt file.
pub fn read_prompts(path: impl AsRef<Path>) -> Result<PromptFile> {
    read_json(path.as_ref())
}

/// Gives a session the prompts of a file. Masks are files relative to it; errors name it, the object and the slice.
pub fn give_prompts(
    session: &mut Session,
    prompts: &PromptFile,
    file: &Path,
    observer: &mut dyn Observer,
) -> Result<()> {
    let total = prompts.objects.iter().map(|object| object.prompts.len()).sum();
    if total == 0 {
        return Err(Error::format(file, "holds no prompts: every object needs at least one"));
    }
    let all = prompts.objects.iter().flat_map(|object| object.prompts.iter().map(|prompt| (object.id, prompt)));
    for (done, (object, prompt)) in all.enumerate() {
        observer.step("prompt", done, total)?;
        let given = marks(prompt, file).and_then(|marks| session.prompt(prompt.frame, object, marks));
        given.map_err(|error| match error.cause() {
            Error::Invalid(what) => Error::format(file, format!("object {object}, slice {}: {what}", prompt.frame))
                .about(prompt.frame, object),
            _ => error,
        })?;
    }
    Ok(())
}

/// A slice's prompts from the file; mask pictures are relative to it.
fn marks(prompt: &SlicePrompt, file: &Path) -> Result<Marks> {
    let mask = prompt.mask.as_ref().map(|mask| read_mask(&file.parent().unwrap_or(Path::new(".")).join(mask)));
    let points = Point::pairs(&prompt.points, &prompt.labels)?;
    Ok(Marks { points, bounds: prompt.bounds, mask: mask.transpose()?, ..Marks::default() })
}

/// A drawn mask from a picture: what is not black.
pub fn read_mask(path: &Path) -> Result<Mask> {
    let (rows, columns, pixels) = io::read_mask(path)?;
    Ok(Mask { rows, columns, pixels })
}

/// Clicks and boxes of all objects, for an overlay.
pub fn drawn(session: &Session) -> Vec<Mark> {
    let mut drawn = Vec::new();
    for object in session.objects() {
        for frame in session.prompted_frames(object) {
            let mark = |kind| Mark { frame, object: object as u16, kind };
            for marks in session.prompts(frame, object) {
                let point = |point: &Point| MarkKind::Point { x: point.x, y: point.y, positive: point.positive };
                drawn.extend(marks.points.iter().map(point).map(mark));
                drawn.extend(marks.bounds.map(MarkKind::Box).map(mark));
            }
        }
    }
    drawn
}
