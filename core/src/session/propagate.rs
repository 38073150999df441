//! Following the objects through the stack, slice by slice.

use super::masks::without_overlap;
use super::object::{Object, Output};
use super::{Compat, ObjectMask, Session};
use crate::guard::guard;
use crate::progress::Flow;
use crate::prompts::{Direction, PromptFile};
use crate::{Error, Result};

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

impl Session {
    /// Follows all objects; `on_slice` gets every slice's masks and may cancel: what is done then stays, and the error is
    /// [`Error::Cancelled`].
    pub fn propagate(&mut self, range: Range, mut on_slice: impl FnMut(SliceResult) -> Result<Flow>) -> Result<()> {
        let passes = self.plan(range)?;
        let total = passes.iter().map(|pass| pass.frames.len()).sum();
        for at in 0..self.objects.len() {
            guard(|| self.remember(at))?;
        }
        let mut done = 0;
        for pass in &passes {
            for &frame in &pass.frames {
                let masks = guard(|| self.advance(pass, frame))?;
                done += 1;
                if on_slice(SliceResult { frame, masks, done, total })? == Flow::Cancel {
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(())
    }

    /// All objects on one slice.
    fn advance(&mut self, pass: &Pass, frame: usize) -> Result<Vec<ObjectMask>> {
        let mut masks = Vec::new();
        for at in 0..self.objects.len() {
            if !pass.spans[at].is_some_and(|(first, last)| (first..=last).contains(&frame)) {
                continue;
            }
            if !self.objects[at].prompted.contains_key(&frame) {
                let output = self.track(at, frame, pass.reverse)?;
                self.objects[at].tracked.insert(frame, output);
            }
            let object = &mut self.objects[at];
            object.visited.insert(frame, pass.reverse);
            let object = &self.objects[at];
            let output = object.prompted.get(&frame).or_else(|| object.tracked.get(&frame));
            masks.extend(output.map(|output| self.object_mask(object.id, output)).transpose()?);
        }
        if self.model.config.non_overlap_masks {
            let logits: Vec<_> = masks.iter().map(|mask: &ObjectMask| mask.logits.shallow_clone()).collect();
            masks.iter_mut().zip(without_overlap(&logits)).for_each(|(mask, logits)| mask.logits = logits);
        }
        self.park_far_from(frame)?;
        Ok(masks)
    }

    /// One object on one slice, from memory alone.
    fn track(&mut self, at: usize, frame: usize, reverse: bool) -> Result<Output> {
        let model = self.model.clone();
        let features = self.slices.features(&model, frame)?;
        let conditioned = self.conditioned(at, frame, reverse, &features)?;
        let multimask = model.use_multimask(false, 0);
        let output = model.forward_sam_heads(&conditioned, features.high_res.as_ref(), None, None, multimask);
        let memory = self.encode_memory(&features, &output.low_res, &output.object_score_logits, false);
        Ok(Output { memory: Some(memory), ..Output::new(output, &self.store) })
    }

    /// Keeps the state within its budget: tracked slices beyond the reach of memory go to the temporary file.
    fn park_far_from(&mut self, frame: usize) -> Result<()> {
        let reach = (self.model.config.num_maskmem * self.model.config.memory_temporal_stride_for_eval) as usize;
        if self.store.live_bytes() <= self.settings.state_bytes {
            return Ok(());
        }
        for object in &mut self.objects {
            for (_, output) in object.tracked.iter_mut().filter(|(other, _)| other.abs_diff(frame) > reach) {
                output.park()?;
            }
        }
        Ok(())
    }

    fn plan(&self, range: Range) -> Result<Vec<Pass>> {
        if let Some(start) = range.start {
            self.volume().check_frame(start)?;
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
        let lacking = |object: &&Object| object.anchors().next().is_none();
        let all = self.settings.compat == Compat::Reference;
        match self.objects.iter().find(lacking) {
            Some(object) if all || self.objects.iter().all(|object| lacking(&object)) => Err(Error::invalid(format!(
                "nothing to propagate: object {} has no prompts; mark or remove it",
                object.id
            ))),
            _ => Ok(()),
        }
    }

    /// Where each object is followed.
    fn spans(&self, range: Range, reverse: bool) -> Vec<Option<(usize, usize)>> {
        let starts: Vec<_> = match self.settings.compat {
            Compat::Holding => self.objects.iter().map(|object| own_start(object, range)).collect(),
            Compat::Reference => {
                let start = range.start.or_else(|| self.objects.iter().flat_map(Object::anchors).min());
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
