//! The one stateful type: a volume, a model, the user's prompts, and the memory that carries masks from slice to slice.
//!
//! A slice is encoded once and every prompt on it is answered from the cached features. Every object is followed by itself. Two ways to
//! treat corrections (prompts on slices that were tracked before):
//! - [`Compat::Holding`] (default): a prompted slice is a conditioning slice; its answer stays as the user corrected it.
//! - [`Compat::Reference`]: as PyPI `sam2` 1.1.0: a correction on a tracked slice is overwritten when a propagation passes it again, and
//!   memories are rounded to bfloat16. Source: `sam2_video_predictor.py`.

mod image;
mod memory;
mod object;
mod propagate;
mod resize;
mod slices;
mod store;

pub use image::{Window, prepare};
pub use object::{Marks, Mask, Point};
pub use propagate::{Range, SliceResult};

use crate::guard::guard;
use crate::model::layers::resize_bilinear;
use crate::model::{
    ImageFeatures, MemoryEntry, NO_OBJ_SCORE, PointerEntry, Points, Sam2, SamOutput, prompt_encoder::label,
};
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use memory::Timeline;
use object::{Object, Output, Pending, SlicePrompts};
use slices::Slices;
use std::sync::Arc;
use store::Store;
use tch::{Device, Kind, Tensor};

/// How corrections and memories behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compat {
    /// corrections hold
    #[default]
    Holding,
    /// as the Python package, for comparisons
    Reference,
}

impl std::str::FromStr for Compat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "reference" => Ok(Self::Reference),
            other => Err(Error::invalid(format!("compat \"{other}\" is not known; there is \"reference\""))),
        }
    }
}

/// Choices of a session.
#[derive(Debug, Clone)]
pub struct Settings {
    /// how corrections and memories behave
    pub compat: Compat,
    /// what stored memories are rounded to; default: bfloat16 for the reference, else what the model computes in
    pub memory_kind: Option<Kind>,
    /// bytes of slice features to keep (about 16 MB a slice at 1024 pixels, float32)
    pub feature_cache_bytes: usize,
    /// bytes of masks and memories to keep in memory; what is older goes to a temporary file
    pub state_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { compat: Compat::Holding, memory_kind: None, feature_cache_bytes: 256 << 20, state_bytes: 128 << 20 }
    }
}

/// One object's mask on one slice.
#[derive(Debug)]
pub struct ObjectMask {
    /// the object's number
    pub object: u32,
    /// logits `[rows, columns]` float32 on the host, at the volume's own resolution; positive: object
    pub logits: Tensor,
    /// predicted IoU, 0 to 1
    pub iou: f32,
    /// presence logit; positive: the object is on this slice
    pub object_score: f32,
}

impl ObjectMask {
    /// Pixels of the mask.
    pub fn area(&self) -> Result<usize> {
        guard(|| Ok(self.logits.gt(0.0).count_nonzero(None).int64_value(&[]) as usize))
    }
}

/// The session.
pub struct Session {
    model: Arc<Sam2>,
    slices: Slices,
    objects: Vec<Object>,
    store: Store,
    settings: Settings,
}

impl Session {
    /// A session on a volume; nothing is computed yet.
    pub fn new(model: Arc<Sam2>, volume: Arc<Volume>, settings: Settings) -> Self {
        let window = Window::of(&volume);
        let slices = Slices::new(volume, window, settings.feature_cache_bytes);
        Self { model, slices, objects: Vec::new(), store: Store::default(), settings }
    }

    /// The volume.
    pub fn volume(&self) -> &Arc<Volume> {
        &self.slices.volume
    }

    /// The model.
    pub fn model(&self) -> &Arc<Sam2> {
        &self.model
    }

    /// Numbers of the objects, in the order in which they were added.
    pub fn objects(&self) -> Vec<u32> {
        self.objects.iter().map(|object| object.id).collect()
    }

    /// Slices on which an object has a mask, ascending.
    pub fn frames_of(&self, object: u32) -> Vec<usize> {
        let mut frames: Vec<_> = self.find(object).into_iter().flat_map(Object::frames).collect();
        frames.sort_unstable();
        frames.dedup();
        frames
    }

    /// Slices on which an object has prompts, ascending.
    pub fn prompted_frames(&self, object: u32) -> Vec<usize> {
        self.find(object).map(|object| object.prompts.keys().copied().collect()).unwrap_or_default()
    }

    /// The prompts of an object on a slice, in the order given.
    pub fn prompts(&self, frame: usize, object: u32) -> &[Marks] {
        self.find(object).and_then(|object| object.prompts.get(&frame)).map_or(&[], |prompts| &prompts.history)
    }

    /// How many slices were encoded so far.
    pub fn encoded_slices(&self) -> usize {
        self.slices.encoded()
    }

    /// Bytes in memory: features, masks and memories; and bytes in the temporary file.
    pub fn bytes(&self) -> (usize, u64) {
        (self.slices.cached_bytes() + self.store.live_bytes(), self.store.file_bytes())
    }

    /// Forgets the features of all slices; they are computed again when needed.
    pub fn free_caches(&mut self) {
        self.slices.clear();
    }

    /// Encodes a slice now, so that the first prompt on it is answered at once.
    pub fn encode(&mut self, frame: usize) -> Result<()> {
        guard(|| self.slices.features(&self.model, frame)).map(drop)
    }

    /// Marks an object on a slice, and answers with its mask there. The object is added if it is new (1 to 65535).
    pub fn prompt(&mut self, frame: usize, object: u32, marks: Marks) -> Result<ObjectMask> {
        let volume = self.volume().clone();
        volume.frame_range(frame)?;
        marks.check(volume.rows, volume.columns)?;
        if !(1..=65535).contains(&object) {
            return Err(Error::invalid(format!("object number {object} is not between 1 and 65535")));
        }
        let known = self.find(object).is_some();
        if !known {
            self.objects.push(Object::new(object));
        }
        let answer = guard(|| self.answer(frame, object, marks));
        if answer.is_err() && !known {
            self.objects.retain(|other| other.id != object);
        }
        answer?;
        self.mask(frame, object)
    }

    /// Clicks. See [`Session::prompt`].
    pub fn add_points(&mut self, frame: usize, object: u32, points: &[Point]) -> Result<ObjectMask> {
        self.prompt(frame, object, Marks { points: points.to_vec(), ..Marks::default() })
    }

    /// A box `[x0, y0, x1, y1]`. See [`Session::prompt`].
    pub fn add_box(&mut self, frame: usize, object: u32, bounds: [f32; 4]) -> Result<ObjectMask> {
        self.prompt(frame, object, Marks { bounds: Some(bounds), ..Marks::default() })
    }

    /// A drawn mask. See [`Session::prompt`].
    pub fn add_mask(&mut self, frame: usize, object: u32, mask: Mask) -> Result<ObjectMask> {
        self.prompt(frame, object, Marks { mask: Some(mask), ..Marks::default() })
    }

    /// Takes back one of the prompts given on a slice (`index` into [`Session::prompts`]); the others are answered again.
    pub fn remove_prompt(&mut self, frame: usize, object: u32, index: usize) -> Result<()> {
        let mut history = self.prompts(frame, object).to_vec();
        if index >= history.len() {
            return Err(Error::invalid(format!(
                "object {object} has {} prompts on slice {frame}, no number {index}",
                history.len()
            )));
        }
        history.remove(index);
        let before = self.take_prompts(frame, object);
        for marks in history {
            if let Err(error) = guard(|| self.answer(frame, object, marks)) {
                self.put_prompts_back(frame, object, before);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes back the last prompt given on a slice.
    pub fn undo(&mut self, frame: usize, object: u32) -> Result<()> {
        let nothing =
            || Error::invalid(format!("there is nothing to undo: object {object} has no prompts on slice {frame}"));
        let last = self.prompts(frame, object).len().checked_sub(1).ok_or_else(nothing)?;
        self.remove_prompt(frame, object, last)
    }

    /// Removes an object's prompts on a slice. What was tracked there before comes back (in [`Compat::Reference`]: the prompted mask stays
    /// as if it were tracked).
    pub fn clear_slice(&mut self, frame: usize, object: u32) -> Result<()> {
        self.position(object)?;
        match self.settings.compat {
            Compat::Holding => drop(self.take_prompts(frame, object)),
            Compat::Reference => self.downgrade(frame, object),
        }
        Ok(())
    }

    /// Removes an object with everything that belongs to it.
    pub fn remove_object(&mut self, object: u32) -> Result<()> {
        let at = self.position(object)?;
        self.objects.remove(at);
        Ok(())
    }

    /// Removes all objects.
    pub fn reset(&mut self) {
        self.objects.clear();
    }

    /// An object's mask on a slice.
    pub fn mask(&self, frame: usize, object: u32) -> Result<ObjectMask> {
        let at = self.position(object)?;
        let output = self.objects[at].latest(frame);
        let output = output.ok_or_else(|| {
            Error::NotFound(format!("object {object} has no mask on slice {frame}: prompt or propagate first"))
        })?;
        guard(|| self.object_mask(object, output))
    }

    /// Logits of all objects on a slice, `[objects, rows, columns]` float32 on the host; -1024 where an object has no mask yet.
    pub fn slice_logits(&self, frame: usize) -> Result<Tensor> {
        let volume = self.volume();
        let missing =
            || Tensor::full([volume.rows as i64, volume.columns as i64], NO_OBJ_SCORE, (Kind::Float, Device::Cpu));
        guard(|| {
            let logits = self.objects.iter().map(|object| match object.latest(frame) {
                Some(output) => self.full_size(output),
                None => Ok(missing()),
            });
            let mut logits = logits.collect::<Result<Vec<_>>>()?;
            if self.model.config.non_overlap_masks {
                logits = without_overlap(&logits);
            }
            if logits.is_empty() {
                Ok(Tensor::zeros([0, volume.rows as i64, volume.columns as i64], (Kind::Float, Device::Cpu)))
            } else {
                Ok(Tensor::stack(&logits, 0))
            }
        })
    }

    /// Object numbers on one slice, row by row: where masks overlap, the larger logit wins.
    pub fn slice_labels(&self, frame: usize) -> Result<Vec<u16>> {
        let logits = self.slice_logits(frame)?;
        guard(|| {
            let mut labels = vec![0u16; self.volume().rows * self.volume().columns];
            if self.objects.is_empty() {
                return Ok(labels);
            }
            let (best, index) = logits.max_dim(0, false);
            let ids: Vec<i64> = self.objects.iter().map(|object| i64::from(object.id)).collect();
            let label = Tensor::from_slice(&ids).take(&index) * best.gt(0.0);
            let label = Vec::<i64>::try_from(label.flatten(0, -1))?;
            labels.iter_mut().zip(label).for_each(|(to, from)| *to = from as u16);
            Ok(labels)
        })
    }

    /// Object numbers of the whole volume.
    pub fn labels(&self) -> Result<Labels> {
        let mut labels = Labels::empty_like(self.volume());
        let mut frames: Vec<_> = self.objects.iter().flat_map(Object::frames).collect();
        frames.sort_unstable();
        frames.dedup();
        for frame in frames {
            labels.frame_mut(frame).copy_from_slice(&self.slice_labels(frame)?);
        }
        Ok(labels)
    }
}

/// How prompts are answered.
impl Session {
    fn find(&self, object: u32) -> Option<&Object> {
        self.objects.iter().find(|candidate| candidate.id == object)
    }

    fn position(&self, object: u32) -> Result<usize> {
        let at = self.objects.iter().position(|candidate| candidate.id == object);
        at.ok_or_else(|| Error::NotFound(format!("there is no object {object}; the session has {:?}", self.objects())))
    }

    /// Answers new marks, and keeps marks and answer.
    fn answer(&mut self, frame: usize, object: u32, marks: Marks) -> Result<()> {
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
    fn conditioned(&self, at: usize, frame: usize, reverse: bool, features: &ImageFeatures) -> Result<Tensor> {
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
    fn remember(&mut self, at: usize) -> Result<()> {
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

    fn encode_memory(&self, features: &ImageFeatures, low_res: &Tensor, score: &Tensor, prompted: bool) -> store::Slot {
        let default = match self.settings.compat {
            Compat::Holding => self.model.kind(),
            Compat::Reference => Kind::BFloat16,
        };
        let memory = self.model.encode_memory(features, low_res, score, prompted);
        self.store.put(memory.to_kind(self.settings.memory_kind.unwrap_or(default)))
    }

    /// Logits `[rows, columns]` on the host, at the volume's resolution.
    fn full_size(&self, output: &Output) -> Result<Tensor> {
        let size = [self.volume().rows as i64, self.volume().columns as i64];
        let low_res = output.low_res.get()?;
        let logits = if low_res.size()[2..] == size { low_res } else { resize_bilinear(&low_res, size) };
        Ok(logits.to_device(Device::Cpu).squeeze_dim(0).squeeze_dim(0))
    }

    fn object_mask(&self, object: u32, output: &Output) -> Result<ObjectMask> {
        let number = |x: &Tensor| x.double_value(&[0, 0]) as f32;
        Ok(ObjectMask {
            object,
            logits: self.full_size(output)?,
            iou: number(&output.iou),
            object_score: number(&output.score),
        })
    }

    /// Removes prompts and their answer from a slice; what was tracked there comes back. -> what was removed
    fn take_prompts(&mut self, frame: usize, object: u32) -> Option<(SlicePrompts, Option<Pending>)> {
        let object = self.objects.iter_mut().find(|candidate| candidate.id == object)?;
        let mut prompts = object.prompts.remove(&frame)?;
        let pending = object.pending.remove(&frame);
        let remembered = object.prompted.remove(&frame).map(|output| Pending { output, conditioning: true });
        if let Some(replaced) = prompts.replaced.take() {
            object.tracked.insert(frame, replaced);
        }
        Some((prompts, pending.or(remembered)))
    }

    fn put_prompts_back(&mut self, frame: usize, object: u32, taken: Option<(SlicePrompts, Option<Pending>)>) {
        drop(self.take_prompts(frame, object));
        let found = self.objects.iter_mut().find(|candidate| candidate.id == object);
        if let (Some(object), Some((mut prompts, pending))) = (found, taken) {
            prompts.replaced = object.tracked.remove(&frame);
            object.prompts.insert(frame, prompts);
            object.pending.extend(pending.map(|pending| (frame, pending)));
        }
    }

    /// The reference's way to clear: the answer stays, as if tracked; the slice counts as never visited.
    fn downgrade(&mut self, frame: usize, object: u32) {
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

/// Where masks overlap, only the object with the largest logit keeps its own; the others get at most -10
/// (`_apply_non_overlapping_constraints`).
fn without_overlap(logits: &[Tensor]) -> Vec<Tensor> {
    if logits.len() < 2 {
        return logits.iter().map(Tensor::shallow_clone).collect();
    }
    let winner = Tensor::stack(logits, 0).argmax(0, false);
    let one = |(i, logits): (usize, &Tensor)| logits.where_self(&winner.eq(i as i64), &logits.clamp_max(-10.0));
    logits.iter().enumerate().map(one).collect()
}
