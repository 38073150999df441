//! Following the objects through the stack, slice by slice.

use super::history::State;
use super::masks::without_overlap;
use super::object::{Object, Output, Remembered};
use super::{Compat, ObjectMask, Session, Step, store};
use crate::progress::{Flow, stoppable};
use crate::prompts::{Direction, PromptFile};
use crate::{Error, Result};
use std::sync::Arc;

/// Which slices to propagate over.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range {
    /// which way
    pub direction: Direction,
    /// slice to start from; default: each object's own prompted slices (reference: the smallest prompted slice of all objects)
    pub start: Option<usize>,
    /// how many slices beyond the start, in each direction; default: to the end
    pub max_frames: Option<usize>,
}

impl From<&PromptFile> for Range {
    fn from(file: &PromptFile) -> Self {
        Self { direction: file.direction, start: file.start, max_frames: file.max_frames }
    }
}

/// The masks of one slice, as soon as they are known.
#[derive(Debug)]
pub struct SliceResult {
    /// the slice
    pub frame: usize,
    /// the objects that were followed here
    pub masks: Vec<ObjectMask>,
    /// slices done, this one included
    pub done: usize,
    /// slices in this propagation
    pub total: usize,
}

/// One pass in one direction: which objects on which slice.
struct Pass {
    reverse: bool,
    frames: Vec<usize>,
    /// the slices of each object, first and last included; `None`: it takes no part
    spans: Vec<Option<(usize, usize)>>,
}

impl Pass {
    fn new(reverse: bool, spans: Vec<Option<(usize, usize)>>) -> Self {
        let within = |frame: usize| spans.iter().flatten().any(|&(first, last)| (first..=last).contains(&frame));
        let end = spans.iter().flatten().map(|&(_, last)| last + 1).max().unwrap_or(0);
        let mut frames: Vec<usize> = (0..end).filter(|&frame| within(frame)).collect();
        if reverse {
            frames.reverse();
        }
        Self { reverse, frames, spans }
    }
}

/// Slices after which freed memory goes back to the system.
const GIVE_BACK: usize = 16;

impl Session {
    /// Follows all objects; `on_slice` gets every slice's masks and may cancel: what is done then stays, and the error is
    /// [`Error::Cancelled`]. The same holds for any other error between slices. If there is none done, nothing has changed.
    pub fn propagate(&mut self, range: Range, mut on_slice: impl FnMut(SliceResult) -> Result<Flow>) -> Result<()> {
        let passes = self.plan(range)?;
        let (before, total) = (self.objects.clone(), passes.iter().map(|pass| pass.frames.len()).sum());
        let mut done = 0;
        let each = |frame, masks| {
            done += 1;
            on_slice(SliceResult { frame, masks, done, total })
        };
        let result = stoppable(|| self.follow(&passes, &before, each));
        if result.is_err() && done == 0 {
            self.objects = before;
            return result;
        }
        let Range { direction, start, max_frames } = range;
        let slices = (done < total).then_some(done);
        self.commit(before, Step::Propagate { direction, start, max_frames, slices });
        result
    }

    fn follow(
        &mut self,
        passes: &[Pass],
        before: &State,
        mut each: impl FnMut(usize, Vec<ObjectMask>) -> Result<Flow>,
    ) -> Result<()> {
        for at in 0..self.objects.len() {
            self.compute(|session| session.remember(at))?;
        }
        for pass in passes {
            for (at, &frame) in pass.frames.iter().enumerate() {
                self.park_far_from(frame, before)?;
                if at % GIVE_BACK == GIVE_BACK - 1 {
                    store::give_back();
                }
                let masks = self.compute(|session| session.advance(pass, frame))?;
                if each(frame, masks)? == Flow::Cancel {
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(())
    }

    /// All objects on one slice, or none of them.
    fn advance(&mut self, pass: &Pass, frame: usize) -> Result<Vec<ObjectMask>> {
        let within = |span: &Option<(usize, usize)>| span.is_some_and(|(first, last)| (first..=last).contains(&frame));
        let (mut masks, mut answers) = (Vec::new(), Vec::new());
        for at in (0..self.objects.len()).filter(|&at| within(&pass.spans[at])) {
            let tracked = match self.objects[at].prompted.contains_key(&frame) {
                true => None,
                false => Some(self.track(at, frame, pass.reverse)?),
            };
            let object = &self.objects[at];
            if let Some(answer) = tracked.as_ref().or_else(|| object.prompted.get(&frame)) {
                masks.push(self.object_mask(object.id, &answer.output)?);
            }
            answers.push((at, tracked));
        }
        if self.model.config().non_overlap_masks {
            let logits: Vec<_> = masks.iter().map(|mask: &ObjectMask| mask.logits.shallow_clone()).collect();
            masks.iter_mut().zip(without_overlap(&logits)).for_each(|(mask, logits)| mask.logits = logits);
        }
        for (at, tracked) in answers {
            let object = self.change_object(at);
            object.visited.insert(frame, pass.reverse);
            object.tracked.extend(tracked.map(|tracked| (frame, tracked)));
        }
        Ok(masks)
    }

    /// One object on one slice, from memory alone.
    fn track(&mut self, at: usize, frame: usize, reverse: bool) -> Result<Remembered> {
        let model = self.model.clone();
        let features = self.slices.features(&model, frame)?;
        let conditioned = self.conditioned(at, frame, reverse, &features)?;
        let multimask = model.use_multimask(false, 0);
        let output = model.forward_sam_heads(&conditioned, &features, None, None, multimask);
        let memory = self.encode_memory(&features, &output.low_res, &output.object_score_logits, false);
        Ok(Remembered { output: Output::new(output, &self.store)?, memory })
    }

    /// Keeps the state within its budget: tracked slices beyond the reach of memory go to the temporary file, those that were there
    /// before the propagation, too.
    fn park_far_from(&self, frame: usize, before: &State) -> Result<()> {
        let reach = (self.model.config().num_maskmem * self.model.config().memory_temporal_stride_for_eval) as usize;
        if self.store.live_bytes() <= self.settings.state_bytes {
            return Ok(());
        }
        let tracked = self.objects.iter().chain(before).flat_map(|object| &object.tracked);
        let mut far = tracked.filter(|(other, _)| other.abs_diff(frame) > reach);
        far.try_for_each(|(_, remembered)| remembered.park())
    }

    fn plan(&self, range: Range) -> Result<Vec<Pass>> {
        if let Some(start) = range.start {
            self.check_frame(start)?;
        }
        self.check_anchors()?;
        let forward = || Pass::new(false, self.spans(range, false));
        let backward = || Pass::new(true, self.spans(range, true));
        Ok(match range.direction {
            Direction::Forward => vec![forward()],
            Direction::Backward => vec![backward()],
            Direction::Both => vec![forward(), backward()],
        })
    }

    fn check_anchors(&self) -> Result<()> {
        if self.objects.is_empty() {
            return Err(Error::invalid("nothing to propagate: mark an object on a slice first"));
        }
        let lacking = |object: &&Arc<Object>| object.anchors().next().is_none();
        let all = self.settings.compat == Compat::Reference;
        match self.objects.iter().find(lacking) {
            Some(object) if all || self.objects.iter().all(|object| lacking(&object)) => {
                let what = format!("nothing to propagate: object {} has no prompts; mark or remove it", object.id);
                Err(Error::invalid(what).about(None, object.id))
            }
            _ => Ok(()),
        }
    }

    /// Where each object is followed.
    fn spans(&self, range: Range, reverse: bool) -> Vec<Option<(usize, usize)>> {
        let starts: Vec<_> = match self.settings.compat {
            Compat::Holding => self.objects.iter().map(|object| own_start(object, range)).collect(),
            Compat::Reference => {
                let start = range.start.or_else(|| self.objects.iter().flat_map(|object| object.anchors()).min());
                vec![start.filter(|&start| !reverse || start > 0); self.objects.len()] // backwards from slice 0: nothing
            }
        };
        // after a forward pass the start is done; the reference passes it again
        let again = self.settings.compat == Compat::Reference || range.direction != Direction::Both;
        let (most, end) = (range.max_frames.unwrap_or(usize::MAX), self.volume().frames - 1);
        let span = |start: usize| match reverse {
            false => Some((start, start.saturating_add(most).min(end))),
            true if again => Some((start.saturating_sub(most), start)),
            true => Some((start.saturating_sub(most), start.checked_sub(1)?)).filter(|(first, last)| first <= last),
        };
        starts.into_iter().map(|start| start.and_then(span)).collect()
    }
}

/// An object starts from `range.start`, else from its own prompted slices: backward from the last, otherwise from the first.
fn own_start(object: &Object, range: Range) -> Option<usize> {
    let anchor = if range.direction == Direction::Backward { object.anchors().max() } else { object.anchors().min() };
    anchor.map(|anchor| range.start.unwrap_or(anchor))
}
