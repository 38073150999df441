//! `host-demo segment`: volume + prompts -> labels, logits, pictures.

use super::logits::{self, Entry};
use super::{compat, drawn, give_prompts, read_prompts};
use crate::io::{self, OpenOptions};
use crate::loader::ModelRequest;
use crate::model::NO_OBJ_SCORE;
use crate::picture;
use crate::progress::{Observer, Progress};
use crate::prompts::PromptFile;
use crate::session::{Range, Session, Settings};
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What to segment, with what, and what to write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SegmentRequest {
    /// volume: a file or a folder
    pub input: PathBuf,
    /// region of every slice, `"X,Y,W,H"` in pixels or percent
    #[serde(default)]
    pub crop: Option<String>,
    /// the model
    #[serde(flatten)]
    pub model: ModelRequest,
    /// prompt file
    pub prompts: PathBuf,
    /// `"reference"`: behave as the Python package does
    #[serde(default)]
    pub compat: Option<String>,
    /// label volume to write
    #[serde(default)]
    pub out: Option<PathBuf>,
    /// safetensors file to write
    #[serde(default)]
    pub logits: Option<PathBuf>,
    /// picture to write: `.png` (contact sheet) or `.gif`
    #[serde(default)]
    pub overlay: Option<PathBuf>,
}

impl SegmentRequest {
    /// Errors that need no work to be found: before a model is loaded for minutes in vain.
    fn check(&self) -> Result<()> {
        let outputs = [&self.out, &self.logits, &self.overlay].into_iter().flatten();
        if outputs.clone().next().is_none() {
            return Err(Error::invalid("segment: nothing to write; name out, logits or overlay"));
        }
        for output in outputs {
            io::check_output(&self.input, output)?;
            io::check_output(&self.prompts, output)?;
        }
        Ok(())
    }
}

/// Runs a [`SegmentRequest`]; the report is what `--json` prints.
///
/// When `observer` cancels, the labels of the slices done so far are written beside `out` (`NAME.partial...`), and `out` stays as it was.
pub fn segment(request: &SegmentRequest, observer: &mut dyn Observer) -> Result<Value> {
    request.check()?;
    let prompts = read_prompts(&request.prompts)?;
    let options = OpenOptions::with_crop(request.crop.as_deref())?;
    let volume = Arc::new(io::open_observed(&request.input, &options, observer)?);
    observer.step("load", 0, 1)?;
    let loaded = request.model.load()?;
    let settings = Settings { compat: compat(request.compat.as_deref())?, ..Settings::default() };
    let mut session = Session::new(loaded.model.clone(), volume.clone(), settings);
    let started = Instant::now();
    give_prompts(&mut session, &prompts, &request.prompts, observer)?;
    let mut scores = Vec::new();
    if let Err(error) = propagate(&mut session, &prompts, &mut scores, observer) {
        return Err(keep_partial(&session, request, scores.len(), error));
    }
    let seconds = started.elapsed().as_secs_f64();
    let labels = session.labels()?;
    write_outputs(request, &session, &labels, &scores)?;
    let objects = session
        .objects()
        .into_iter()
        .map(|id| json!({"id": id, "voxels": labels.count(id as u16), "slices": session.frames_of(id).len()}));
    Ok(json!({
        "labels": request.out, "logits": request.logits, "overlay": request.overlay,
        "model": loaded.path, "device": loaded.device(), "precision": loaded.precision(),
        "shape": [volume.frames, volume.rows, volume.columns],
        "objects": objects.collect::<Vec<_>>(), "slices": scores.len(), "seconds": seconds,
        "seconds_per_slice": seconds / scores.len().max(1) as f64,
    }))
}

/// Object scores of one slice, in the order of the session's objects; `None`: the object was not followed there.
struct SliceScores {
    frame: usize,
    scores: Vec<(u32, f32)>,
}

fn propagate(
    session: &mut Session,
    prompts: &PromptFile,
    done: &mut Vec<SliceScores>,
    observer: &mut dyn Observer,
) -> Result<()> {
    session.propagate(Range::from(prompts), |slice| {
        let scores = slice.masks.iter().map(|mask| (mask.object, mask.object_score)).collect();
        done.push(SliceScores { frame: slice.frame, scores });
        Ok(observer.progress(Progress { stage: "propagate", done: slice.done, total: slice.total }))
    })
}

/// After a cancellation: what is done goes beside the output, under another name.
fn keep_partial(session: &Session, request: &SegmentRequest, done: usize, error: Error) -> Error {
    let (Error::Cancelled, Some(out)) = (&error, &request.out) else { return error };
    if done == 0 {
        return error;
    }
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let partial = match name.split_once('.') {
        Some((stem, ending)) => out.with_file_name(format!("{stem}.partial.{ending}")),
        None => out.with_file_name(format!("{name}.partial")),
    };
    match session.labels().and_then(|labels| io::write_labels(&labels, &partial)) {
        Ok(()) => Error::CancelledWith { done, kept: partial },
        Err(error) => error,
    }
}

fn write_outputs(request: &SegmentRequest, session: &Session, labels: &Labels, scores: &[SliceScores]) -> Result<()> {
    if let Some(path) = &request.out {
        io::write_labels(labels, path)?;
    }
    if let Some(path) = &request.logits {
        write_logits(path, session, scores)?;
    }
    if let Some(path) = &request.overlay {
        picture::write(path, session.volume(), labels, &drawn(session))?;
    }
    Ok(())
}

/// Every slice that was followed, once, ascending: `logits`, `object_scores`, `object_ids`, `frames`.
fn write_logits(path: &Path, session: &Session, scores: &[SliceScores]) -> Result<()> {
    let ids = session.objects();
    let mut frames: Vec<usize> = scores.iter().map(|slice| slice.frame).collect();
    frames.sort_unstable();
    frames.dedup();
    let Volume { rows, columns, .. } = **session.volume();
    let entries = [
        Entry::f32("logits", &[frames.len(), ids.len(), rows, columns]),
        Entry::f32("object_scores", &[frames.len(), ids.len()]),
        Entry::i64("object_ids", &[ids.len()]),
        Entry::i64("frames", &[frames.len()]),
    ];
    logits::write(path, &entries, |sink| {
        for &frame in &frames {
            sink.floats(&session.slice_logits(frame)?)?;
        }
        for &frame in &frames {
            let of = |id: u32| {
                let newest = scores
                    .iter()
                    .rev()
                    .filter(|slice| slice.frame == frame)
                    .find_map(|slice| slice.scores.iter().find(|score| score.0 == id));
                newest.map_or(NO_OBJ_SCORE as f32, |score| score.1)
            };
            sink.float_values(&ids.iter().map(|&id| of(id)).collect::<Vec<_>>())?;
        }
        sink.integers(ids.iter().map(|&id| i64::from(id)))?;
        sink.integers(frames.iter().map(|&frame| frame as i64))
    })
}
