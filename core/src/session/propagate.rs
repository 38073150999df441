//! Following the objects through the stack, slice by slice.

use super::history::State;
use super::masks::without_overlap;
use super::object::{Object, Output, Remembered};
use super::step::short;
use super::{Compat, ObjectMask, Session, Step, store};
use crate::model::Wish;
use crate::progress::{Flow, stoppable};
use crate::prompts::{Direction, PromptFile};
use crate::{Error, Result};
use std::sync::Arc;

/// Which slices to propagate over.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// which way
    pub direction: Direction,
    /// slice to start from; default: each object's own prompted slices (reference: the smallest prompted slice of all objects)
    pub start: Option<usize>,
    /// how many slices beyond the start, in each direction; default: to the end
    pub max_frames: Option<usize>,
    /// which objects; none: all that are not locked
    pub objects: Vec<u32>,
    /// an object that was gone on so many slices in a row is followed no further, up to its next prompted slice; default: it is followed
    /// to the end
    pub patience: Option<usize>,
    /// presence logit up to which an object counts as gone, so that its mask is empty; default: what the model does by itself (0 for SAM 2)
    pub threshold: Option<f32>,
}

impl From<&PromptFile> for Range {
    fn from(file: &PromptFile) -> Self {
        Self { direction: file.direction, start: file.start, max_frames: file.max_frames, ..Self::default() }
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
    /// slices in this propagation; fewer where an object was lost ([`Range::patience`])
    pub total: usize,
}

/// First and last slice of a stretch.
type Span = (usize, usize);

/// One pass in one direction: which objects on which slice.
struct Pass {
    reverse: bool,
    frames: Vec<usize>,
    /// where each object is followed; nowhere: it takes no part
    spans: Vec<Vec<Span>>,
    /// on how many slices in a row each object was gone
    gone: Vec<usize>,
}

impl Pass {
    fn new(reverse: bool, spans: Vec<Option<Span>>) -> Self {
        let spans: Vec<Vec<Span>> = spans.into_iter().map(|span| span.into_iter().collect()).collect();
        let mut pass = Self { reverse, frames: Vec::new(), gone: vec![0; spans.len()], spans };
        let end = pass.spans.iter().flatten().map(|&(_, last)| last + 1).max().unwrap_or(0);
        pass.frames = (0..end).filter(|&frame| pass.follows_any(frame)).collect();
        if reverse {
            pass.frames.reverse();
        }
        pass
    }

    fn follows(&self, at: usize, frame: usize) -> bool {
        self.spans[at].iter().any(|&(first, last)| (first..=last).contains(&frame))
    }

    fn follows_any(&self, frame: usize) -> bool {
        (0..self.spans.len()).any(|at| self.follows(at, frame))
    }

    /// An object is followed no further than `frame`, or from `next` on again.
    fn lose(&mut self, at: usize, frame: usize, next: Option<usize>) {
        let Some((first, last)) = self.spans[at].iter().copied().find(|span| (span.0..=span.1).contains(&frame)) else {
            return;
        };
        let next = next.filter(|next| (first..=last).contains(next));
        self.spans[at] = match self.reverse {
            false => [Some((first, frame)), next.map(|next| (next, last))].into_iter().flatten().collect(),
            true => [Some((frame, last)), next.map(|next| (first, next))].into_iter().flatten().collect(),
        };
        self.gone[at] = 0;
    }

    /// Forgets slices behind the first `done` on which no object is followed any more. -> how many
    fn shorten(&mut self, done: usize) -> usize {
        let (passed, ahead) = self.frames.split_at(done.min(self.frames.len()));
        let left: Vec<usize> = ahead.iter().copied().filter(|&frame| self.follows_any(frame)).collect();
        let dropped = ahead.len() - left.len();
        self.frames = [passed, &left].concat();
        dropped
    }
}

/// Slices after which freed memory goes back to the system.
const GIVE_BACK: usize = 16;

impl Session {
    /// Follows objects; `on_slice` gets every slice's masks and may cancel: what is done then stays, and the error is
    /// [`Error::Cancelled`]. The same holds for any other error between slices. If there is none done, nothing has changed. A locked
    /// object is passed by. Errors: an object that is named and locked, nothing to follow.
    pub fn propagate(&mut self, range: Range, mut on_slice: impl FnMut(SliceResult) -> Result<Flow>) -> Result<()> {
        let mut passes = self.plan(&range)?;
        let (before, mut total) = (self.objects.clone(), passes.iter().map(|pass| pass.frames.len()).sum());
        let mut done = 0;
        let each = |frame, masks, dropped| {
            (done, total) = (done + 1, total - dropped);
            on_slice(SliceResult { frame, masks, done, total })
        };
        let result = stoppable(|| self.follow(&mut passes, &range, &before, each));
        self.slices.settle();
        if result.is_err() && done == 0 {
            self.objects = before;
            return result;
        }
        let Range { direction, start, max_frames, objects, patience, threshold } = range;
        let (slices, threshold) = ((done < total).then_some(done), threshold.map(short));
        self.commit(before, Step::Propagate { direction, start, max_frames, objects, patience, threshold, slices });
        result
    }

    /// `each` gets a slice, its masks, and how many slices were left out because their objects are gone.
    fn follow(
        &mut self,
        passes: &mut [Pass],
        range: &Range,
        before: &State,
        mut each: impl FnMut(usize, Vec<ObjectMask>, usize) -> Result<Flow>,
    ) -> Result<()> {
        for at in (0..self.objects.len()).filter(|&at| passes.iter().any(|pass| !pass.spans[at].is_empty())) {
            self.compute(|session| session.remember(at))?;
        }
        for pass in passes {
            let mut done = 0;
            while let Some(&frame) = pass.frames.get(done) {
                self.park_far_from(frame, before)?;
                done += 1;
                if done % GIVE_BACK == 0 {
                    store::give_back();
                }
                self.slices.expect(pass.frames.get(done).copied());
                let masks = self.compute(|session| session.advance(pass, frame, range.threshold))?;
                let dropped = self.lose_gone(pass, frame, done, range.patience);
                if each(frame, masks, dropped)? == Flow::Cancel {
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(())
    }

    /// Objects that were gone for long enough are followed no further. -> slices that need no look any more
    fn lose_gone(&self, pass: &mut Pass, frame: usize, done: usize, patience: Option<usize>) -> usize {
        let Some(patience) = patience else { return 0 };
        for (at, object) in self.objects.iter().enumerate() {
            if !pass.follows(at, frame) {
                continue;
            }
            let here =
                object.prompted.contains_key(&frame) || object.latest(frame).is_some_and(|output| output.present);
            pass.gone[at] = if here { 0 } else { pass.gone[at] + 1 };
            if pass.gone[at] >= patience {
                let ahead = object.prompted.keys().copied();
                let next = match pass.reverse {
                    false => ahead.filter(|&other| other > frame).min(),
                    true => ahead.filter(|&other| other < frame).max(),
                };
                pass.lose(at, frame, next);
            }
        }
        pass.shorten(done)
    }

    /// All objects on one slice, or none of them.
    fn advance(&mut self, pass: &Pass, frame: usize, threshold: Option<f32>) -> Result<Vec<ObjectMask>> {
        let (mut masks, mut answers) = (Vec::new(), Vec::new());
        for at in (0..self.objects.len()).filter(|&at| pass.follows(at, frame)) {
            let tracked = match self.objects[at].prompted.contains_key(&frame) {
                true => None,
                false => Some(self.track(at, frame, pass.reverse, threshold)?),
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
    fn track(&mut self, at: usize, frame: usize, reverse: bool, threshold: Option<f32>) -> Result<Remembered> {
        let model = self.model.clone();
        let features = self.slices.features(&model, frame)?;
        let conditioned = self.conditioned(at, frame, reverse, &features)?;
        let multimask = model.use_multimask(false, 0);
        let wish = Wish { multimask, presence: threshold.map(f64::from), ..Wish::default() };
        let output = model.answer(&conditioned, &features, None, None, wish);
        let score = threshold.map(|threshold| &output.object_score_logits - f64::from(threshold)); // positive: it is there
        let score = score.as_ref().unwrap_or(&output.object_score_logits);
        let memory = self.encode_memory(&features, &output.low_res, score, false);
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

    fn plan(&self, range: &Range) -> Result<Vec<Pass>> {
        if let Some(start) = range.start {
            self.check_frame(start)?;
        }
        if range.patience == Some(0) {
            return Err(Error::invalid(
                "patience 0 follows nothing: give the number of slices on which an object may be gone, 1 or more",
            ));
        }
        if let Some(threshold) = range.threshold.filter(|threshold| !threshold.is_finite()) {
            return Err(Error::invalid(format!("threshold {threshold} is no presence score; 0 is what SAM 2 uses")));
        }
        let chosen = self.chosen(&range.objects)?;
        self.check_anchors(&chosen)?;
        let forward = || Pass::new(false, self.spans(range, &chosen, false));
        let backward = || Pass::new(true, self.spans(range, &chosen, true));
        Ok(match range.direction {
            Direction::Forward => vec![forward()],
            Direction::Backward => vec![backward()],
            Direction::Both => vec![forward(), backward()],
        })
    }

    /// Does each object take part? Errors: one that is named is not there or locked.
    fn chosen(&self, named: &[u32]) -> Result<Vec<bool>> {
        named.iter().try_for_each(|&object| self.position(object).and_then(|_| self.check_unlocked(object)))?;
        let takes_part = |object: &Arc<Object>| match named.is_empty() {
            true => !object.properties.locked,
            false => named.contains(&object.id),
        };
        Ok(self.objects.iter().map(takes_part).collect())
    }

    fn check_anchors(&self, chosen: &[bool]) -> Result<()> {
        if self.objects.is_empty() {
            return Err(Error::invalid("nothing to propagate: mark an object on a slice first"));
        }
        let mut followed =
            self.objects.iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(object, _)| object).peekable();
        if followed.peek().is_none() {
            return Err(Error::invalid("nothing to propagate: every object is locked; unlock one"));
        }
        let lacking = |object: &&Arc<Object>| object.anchors().next().is_none();
        let all = self.settings.compat == Compat::Reference;
        match followed.clone().find(lacking) {
            Some(object) if all || followed.all(|object| lacking(&object)) => {
                let what = format!("nothing to propagate: object {} has no prompts; mark or remove it", object.id);
                Err(Error::invalid(what).about(None, object.id))
            }
            _ => Ok(()),
        }
    }

    /// Where each object is followed.
    fn spans(&self, range: &Range, chosen: &[bool], reverse: bool) -> Vec<Option<Span>> {
        let starts: Vec<_> = match self.settings.compat {
            Compat::Holding => self.objects.iter().map(|object| own_start(object, range)).collect(),
            Compat::Reference => {
                let followed = self.objects.iter().zip(chosen).filter(|(_, chosen)| **chosen);
                let first = || followed.flat_map(|(object, _)| object.anchors()).min();
                let start = range.start.or_else(first);
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
        let one = |(start, chosen): (Option<usize>, &bool)| start.filter(|_| *chosen).and_then(span);
        starts.into_iter().zip(chosen).map(one).collect()
    }
}

/// An object starts from `range.start`, else from its own prompted slices: backward from the last, otherwise from the first.
fn own_start(object: &Object, range: &Range) -> Option<usize> {
    let anchor = if range.direction == Direction::Backward { object.anchors().max() } else { object.anchors().min() };
    anchor.map(|anchor| range.start.unwrap_or(anchor))
}
