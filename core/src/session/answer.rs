//! How prompts are answered: the marks of a slice, what the object remembers, the heads' answer, and how all of that is taken back.
//! Source: `sam2_video_predictor.py` (add_new_points_or_box, add_new_mask, propagate_in_video_preflight).

use super::memory::Timeline;
use super::object::{Object, Output, Pending, SlicePrompts};
use super::store::Slot;
use super::{Compat, Marks, Session};
use crate::model::{ImageFeatures, MemoryEntry, PointerEntry, Points, SamOutput, prompt_encoder::label};
use crate::{Error, Result};
use tch::Tensor;

impl Session {
    pub(super) fn find(&self, object: u32) -> Option<&Object> {
        self.objects.iter().find(|candidate| candidate.id == object)
    }

    pub(super) fn position(&self, object: u32) -> Result<usize> {
        let at = self.objects.iter().position(|candidate| candidate.id == object);
        at.ok_or_else(|| Error::NotFound(format!("there is no object {object}; the session has {:?}", self.objects())))
    }

    /// Answers new marks, and keeps marks and answer.
    pub(super) fn answer(&mut self, frame: usize, object: u32, marks: Marks) -> Result<()> {
        let at = self.position(object)?;
        let (first, reverse) = self.role(at, frame);
        if !first && self.settings.compat == Compat::Holding {
            self.remember(at)?;
        }
        let mut all = self.objects[at].prompts.get(&frame).map(|prompts| prompts.marks.clone()).unwrap_or_default();
        all.join(&marks);
        let output = self.decode(at, frame, &all, first, reverse)?;
        let output = Output::new(output, &self.store);

        let holding = self.settings.compat == Compat::Holding;
        let target = &mut self.objects[at];
        let replaced = if holding { target.tracked.remove(&frame) } else { None };
        let slice = target.prompts.entry(frame).or_insert_with(|| SlicePrompts {
            history: Vec::new(),
            marks: Marks::default(),
            first,
            reverse,
            replaced,
        });
        slice.history.push(marks);
        slice.marks = all;
        let conditioning = first || holding || self.model.config.add_all_frames_to_correct_as_cond;
        target.pending.insert(frame, Pending { output, conditioning });
        Ok(())
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
    fn decode(&mut self, at: usize, frame: usize, marks: &Marks, first: bool, reverse: bool) -> Result<SamOutput> {
        let (model, size) = (self.model.clone(), self.model.config.image_size);
        let features = self.slices.features(&model, frame)?;
        let drawn = marks.mask.as_ref().map(|mask| Object::model_mask(mask, size).to_device(model.device()));
        let points = self.points(marks);
        let start = match (&drawn, &points) {
            (Some(mask), None) if model.config.use_mask_input_as_output_without_sam => {
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
        let multimask = model.use_multimask(first, marks.tokens());
        Ok(model.forward_sam_heads(
            &conditioned,
            features.high_res.as_ref(),
            points.as_ref(),
            start.as_ref(),
            multimask,
        ))
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
        let size = self.model.config.image_size as f64;
        let slice = Tensor::from_slice(&[self.volume().columns as f32, self.volume().rows as f32]);
        let coords = Tensor::from_slice(&coords).view([1, -1, 2]) / slice * size;
        let labels = Tensor::from_slice(&labels).view([1, -1]);
        Some(Points { coords: coords.to_device(self.model.device()), labels: labels.to_device(self.model.device()) })
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
        let output = |frame: usize| object.prompted.get(&frame).or_else(|| object.tracked.get(&frame));
        let mut memories = Vec::new();
        for (frame, t_pos) in timeline.memories(&self.model.config) {
            if let Some(memory) = output(frame).and_then(|output| output.memory.as_ref()) {
                memories.push((memory.get()?, t_pos));
            }
        }
        let pointers = timeline.pointers(&self.model.config);
        let pointers: Vec<_> = pointers
            .into_iter()
            .filter_map(|(frame, distance)| Some(PointerEntry { obj_ptr: &output(frame)?.obj_ptr, distance }))
            .collect();
        let memories: Vec<_> =
            memories.iter().map(|(features, t_pos)| MemoryEntry { features, t_pos: *t_pos }).collect();
        Ok(self.model.with_memory(features, &memories, &pointers, self.volume().frames))
    }

    /// Pending answers become part of the object's memory.
    pub(super) fn remember(&mut self, at: usize) -> Result<()> {
        let frames: Vec<usize> = self.objects[at].pending.keys().copied().collect();
        for frame in frames {
            let features = self.slices.features(&self.model, frame)?;
            let Some(Pending { output, .. }) = self.objects[at].pending.get(&frame) else { continue };
            let memory = self.encode_memory(&features, &output.low_res.get()?, &output.score, true);
            let Some(Pending { mut output, conditioning }) = self.objects[at].pending.remove(&frame) else { continue };
            output.memory = Some(memory);
            let object = &mut self.objects[at];
            let target = if conditioning { &mut object.prompted } else { &mut object.tracked };
            target.insert(frame, output);
            self.forget_around(at, frame);
        }
        let Object { prompted, tracked, .. } = &mut self.objects[at];
        tracked.retain(|frame, _| !prompted.contains_key(frame));
        Ok(())
    }

    /// Where the configuration says so, tracked slices near a prompted one are no memory any more.
    fn forget_around(&mut self, at: usize, frame: usize) {
        let config = &self.model.config;
        if config.clear_non_cond_mem_around_input {
            let reach = (config.num_maskmem * config.memory_temporal_stride_for_eval) as usize;
            self.objects[at].tracked.retain(|other, _| other.abs_diff(frame) > reach);
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
        self.store.put(memory.to_kind(self.settings.memory_kind_of(&self.model)))
    }

    /// Removes prompts and their answer from a slice; what was tracked there comes back. -> what was removed
    pub(super) fn take_prompts(&mut self, frame: usize, object: u32) -> Option<(SlicePrompts, Option<Pending>)> {
        let object = self.objects.iter_mut().find(|candidate| candidate.id == object)?;
        let mut prompts = object.prompts.remove(&frame)?;
        let pending = object.pending.remove(&frame);
        let remembered = object.prompted.remove(&frame).map(|output| Pending { output, conditioning: true });
        if let Some(replaced) = prompts.replaced.take() {
            object.tracked.insert(frame, replaced);
        }
        Some((prompts, pending.or(remembered)))
    }

    pub(super) fn put_prompts_back(
        &mut self,
        frame: usize,
        object: u32,
        taken: Option<(SlicePrompts, Option<Pending>)>,
    ) {
        drop(self.take_prompts(frame, object));
        let found = self.objects.iter_mut().find(|candidate| candidate.id == object);
        if let (Some(object), Some((mut prompts, pending))) = (found, taken) {
            prompts.replaced = object.tracked.remove(&frame);
            object.prompts.insert(frame, prompts);
            object.pending.extend(pending.map(|pending| (frame, pending)));
        }
    }

    /// The reference's way to clear: the answer stays, as if tracked; the slice counts as never visited.
    pub(super) fn downgrade(&mut self, frame: usize, object: u32) {
        if let Some(object) = self.objects.iter_mut().find(|candidate| candidate.id == object) {
            object.prompts.remove(&frame);
            object.pending.remove(&frame);
            if let Some(output) = object.prompted.remove(&frame) {
                object.tracked.insert(frame, output);
                object.visited.remove(&frame);
            }
        }
    }
}
