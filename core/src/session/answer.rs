//! How prompts are answered: the marks of a slice, what the object remembers, the heads' answer, and how all of that is taken back.
//! Source: `sam2_video_predictor.py` (add_new_points_or_box, add_new_mask, propagate_in_video_preflight).

use super::memory::Timeline;
use super::object::{Object, Output, Pending, Remembered, SlicePrompts};
use super::store::Slot;
use super::{Compat, Marks, Session};
use crate::device::transfer::upload;
use crate::model::{ImageFeatures, MemoryEntry, PointerEntry, Points, SamOutput, Wish, prompt_encoder::label};
use crate::{Error, Result};
use std::sync::Arc;
use tch::Tensor;

/// The model's answer to a prompt; was it given without memory, and in which direction was the slice followed before?
pub(super) struct Answered {
    pub output: SamOutput,
    first: bool,
    reverse: bool,
}

impl Session {
    pub(super) fn find(&self, object: u32) -> Option<&Object> {
        self.objects.iter().find(|candidate| candidate.id == object).map(Arc::as_ref)
    }

    /// An object to be changed; the states of the history keep theirs.
    pub(super) fn change_object(&mut self, at: usize) -> &mut Object {
        Arc::make_mut(&mut self.objects[at])
    }

    pub(super) fn position(&self, object: u32) -> Result<usize> {
        let at = self.objects.iter().position(|candidate| candidate.id == object);
        at.ok_or_else(|| {
            let what = format!("there is no object {object}; the session has {:?}", self.objects());
            Error::NotFound(what).about(None, object)
        })
    }

    /// Answers new marks, and keeps marks and answer.
    pub(super) fn answer(&mut self, frame: usize, object: u32, marks: Arc<Marks>) -> Result<()> {
        let at = self.position(object)?;
        let Answered { output, first, reverse } = self.answered(at, frame, &marks, false)?;
        let output = Output::new(output, &self.store)?;

        let holding = self.settings.compat == Compat::Holding;
        let conditioning = first || holding || self.model.config().add_all_frames_to_correct_as_cond;
        let target = self.change_object(at);
        let replaced = if holding { target.tracked.remove(&frame) } else { None };
        let fresh = || SlicePrompts { history: Vec::new(), first, reverse, replaced };
        target.prompts.entry(frame).or_insert_with(fresh).history.push(marks);
        target.pending.insert(frame, Pending { output, conditioning });
        Ok(())
    }

    /// The model's answer to new marks, together with those given before. Makes the memories that it needs, and keeps nothing else.
    pub(super) fn answered(&mut self, at: usize, frame: usize, marks: &Marks, alternatives: bool) -> Result<Answered> {
        let (first, reverse) = self.role(at, frame);
        if !first && self.settings.compat == Compat::Holding {
            self.remember(at)?;
        }
        let mut all = self.objects[at].prompts.get(&frame).map(SlicePrompts::marks).unwrap_or_default();
        all.join(marks);
        let multimask = self.model.use_multimask(first, all.tokens()) || all.choice.is_some();
        let choice = all.choice.map(|choice| i64::from(choice) - 1);
        let wish = Wish { multimask, choice, alternatives, ..Wish::default() };
        Ok(Answered { output: self.decode(at, frame, &all, (first, reverse), wish)?, first, reverse })
    }

    /// Is this slice answered without memory (like a single image)? And in which direction was it tracked?
    fn role(&self, at: usize, frame: usize) -> (bool, bool) {
        let object = &self.objects[at];
        if self.settings.compat == Compat::Reference {
            let visited = object.visited.get(&frame);
            return (visited.is_none(), visited.copied().unwrap_or(false));
        }
        if let Some(prompts) = object.prompts.get(&frame) {
            return (prompts.first, prompts.reverse);
        }
        let reverse = object.visited.get(&frame).copied().unwrap_or(false);
        let elsewhere = object.anchors().any(|anchor| anchor != frame);
        (!(elsewhere && object.tracked.contains_key(&frame)), reverse)
    }

    /// Runs the heads on all marks of a slice. The model starts from a mask drawn with them, else from its last answer there.
    fn decode(
        &mut self,
        at: usize,
        frame: usize,
        marks: &Marks,
        (first, reverse): (bool, bool),
        wish: Wish,
    ) -> Result<SamOutput> {
        let (model, size) = (self.model.clone(), self.model.config().image_size);
        let features = self.slices.features(&model, frame)?;
        let drawn = marks.mask.as_ref().map(|mask| upload(&Object::model_mask(mask, size), model.device()));
        let points = self.points(marks);
        let start = match (&drawn, &points) {
            (Some(mask), None) if model.config().use_mask_input_as_output_without_sam => {
                return Ok(model.use_mask_as_output(&features, mask));
            }
            (Some(mask), _) => Some(model.mask_to_logits(mask)),
            (None, _) => match self.objects[at].latest(frame) {
                Some(output) => Some(output.low_res.get()?.clamp(-32.0, 32.0)),
                None => None,
            },
        };
        let conditioned =
            if first { model.without_memory(&features) } else { self.conditioned(at, frame, reverse, &features)? };
        Ok(model.answer(&conditioned, &features, points.as_ref(), start.as_ref(), wish))
    }

    /// Box corners, then clicks, in the model's pixels; `None` where there are neither.
    fn points(&self, marks: &Marks) -> Option<Points> {
        let mut coords = Vec::new();
        let mut labels = Vec::new();
        if let Some([x0, y0, x1, y1]) = marks.bounds {
            coords.extend([x0, y0, x1, y1]);
            labels.extend([label::BOX_TOP_LEFT, label::BOX_BOTTOM_RIGHT]);
        }
        for point in &marks.points {
            coords.extend([point.x, point.y]);
            labels.push(if point.positive { label::POSITIVE } else { label::NEGATIVE });
        }
        if labels.is_empty() {
            return None;
        }
        let size = self.model.config().image_size as f64;
        let slice = Tensor::from_slice(&[self.volume().columns as f32, self.volume().rows as f32]);
        let coords = (Tensor::from_slice(&coords).view([1, -1, 2]) + self.model.config().pixel_centre()) / slice * size;
        let labels = Tensor::from_slice(&labels).view([1, -1]);
        let [coords, labels] = [coords, labels].map(|tensor| upload(&tensor, self.model.device()));
        Some(Points { coords, labels })
    }

    /// The features of a slice after looking at the object's memory.
    pub(super) fn conditioned(
        &self,
        at: usize,
        frame: usize,
        reverse: bool,
        features: &ImageFeatures,
    ) -> Result<Tensor> {
        let object = &self.objects[at];
        let own = |&other: &usize| self.settings.compat == Compat::Reference || other != frame; // a slice is no memory of itself
        let prompted: Vec<_> = object.prompted.keys().copied().filter(own).collect();
        let tracked: Vec<_> = object.tracked.keys().copied().collect();
        if prompted.is_empty() {
            return Err(Error::invalid(format!(
                "object {} has no prompted slice to remember; prompt it first",
                object.id
            )));
        }
        let timeline =
            Timeline { prompted: &prompted, tracked: &tracked, frame, reverse, frames: self.volume().frames };
        let mut memories = Vec::new();
        for (frame, t_pos) in timeline.memories(self.model.config()) {
            if let Some(remembered) = object.remembered(frame) {
                memories.push((remembered.memory.get()?, t_pos));
            }
        }
        let mut pointers = Vec::new();
        for (frame, distance) in timeline.pointers(self.model.config()) {
            if let Some(remembered) = object.remembered(frame) {
                pointers.push((remembered.output.obj_ptr.get()?, distance));
            }
        }
        let pointers: Vec<_> =
            pointers.iter().map(|(obj_ptr, distance)| PointerEntry { obj_ptr, distance: *distance }).collect();
        let memories: Vec<_> =
            memories.iter().map(|(features, t_pos)| MemoryEntry { features, t_pos: *t_pos }).collect();
        Ok(self.model.with_memory(features, &memories, &pointers, self.volume().frames))
    }

    /// Pending answers become part of the object's memory.
    pub(super) fn remember(&mut self, at: usize) -> Result<()> {
        let pending: Vec<_> =
            self.objects[at].pending.iter().map(|(&frame, pending)| (frame, pending.clone())).collect();
        if pending.is_empty() {
            return Ok(());
        }
        for (frame, Pending { output, conditioning }) in pending {
            let features = self.slices.features(&self.model, frame)?;
            let memory = self.encode_memory(&features, &output.low_res.get()?, &output.score.get()?, true);
            let object = self.change_object(at);
            object.pending.remove(&frame);
            let target = if conditioning { &mut object.prompted } else { &mut object.tracked };
            target.insert(frame, Remembered { output, memory });
            self.forget_around(at, frame);
        }
        let Object { prompted, tracked, .. } = self.change_object(at);
        tracked.retain(|frame, _| !prompted.contains_key(frame));
        Ok(())
    }

    /// Where the configuration says so, tracked slices near a prompted one are no memory any more.
    fn forget_around(&mut self, at: usize, frame: usize) {
        let config = self.model.config();
        if config.clear_non_cond_mem_around_input {
            let reach = (config.num_maskmem * config.memory_temporal_stride_for_eval) as usize;
            self.change_object(at).tracked.retain(|other, _| other.abs_diff(frame) > reach);
        }
    }

    pub(super) fn encode_memory(
        &self,
        features: &ImageFeatures,
        low_res: &Tensor,
        score: &Tensor,
        prompted: bool,
    ) -> Slot {
        let memory = self.model.encode_memory(features, low_res, score, prompted);
        self.store.put(memory.to_kind(self.settings.memory_kind_of(self.model.kind())))
    }

    /// Removes prompts and their answer from a slice; what was tracked there comes back.
    pub(super) fn take_prompts(&mut self, at: usize, frame: usize) {
        let object = self.change_object(at);
        let Some(prompts) = object.prompts.remove(&frame) else { return };
        object.pending.remove(&frame);
        object.prompted.remove(&frame);
        if let Some(replaced) = prompts.replaced {
            object.tracked.insert(frame, replaced);
        }
    }

    /// The reference's way to clear: the answer stays, as if tracked; the slice counts as never visited.
    pub(super) fn downgrade(&mut self, at: usize, frame: usize) {
        let object = self.change_object(at);
        object.prompts.remove(&frame);
        object.pending.remove(&frame);
        if let Some(remembered) = object.prompted.remove(&frame) {
            object.tracked.insert(frame, remembered);
            object.visited.remove(&frame);
        }
    }
}
