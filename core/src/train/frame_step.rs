//! One object on one slice: features, prompt or memories -> masks, loss, memory. Sources: `sam2_base.py` (track_step), and for the clicks
//! that follow where the answer was wrong, SAM 2 (arXiv 2408.00714, training).

use super::clip::{ClipObject, Prompt};
use super::losses::{Choice, Objective, iou};
use crate::model::layers::resize_bilinear;
use crate::model::{ImageFeatures, MemoryEntry, Model, PointerEntry, SamOutput};
use crate::session::Point;
use crate::session::memory::Timeline;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Kind, Tensor, no_grad};

/// How the memory behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// what memories are kept in (SAM-OCTA2: bfloat16)
    pub kind: Kind,
    /// tracked slices look at the pointers of prompted slices ahead of them too, as the reference does in training mode
    pub pointers_ahead: bool,
}

/// What a visited slice leaves behind for the others.
#[derive(Debug)]
pub struct Known {
    /// `[1, mem_dim, side, side]`
    pub memory: Tensor,
    /// `[1, C]`
    pub obj_ptr: Tensor,
}

/// Which slice, and what it looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameStep {
    /// the slice
    pub frame: usize,
    /// slices whose memory it looks at, with `t_pos`
    pub memories: Vec<(usize, i64)>,
    /// slices whose pointer it looks at, with the distance
    pub pointers: Vec<(usize, i64)>,
}

impl FrameStep {
    /// The slices of an object in the order of their computation: prompted ones, then forward from the first, then backward from it.
    pub fn plan(model: &Model, object: &ClipObject, frames: usize, memory: Memory) -> Vec<Self> {
        let prompted: Vec<usize> = object.prompts.keys().copied().collect();
        let Some(&first) = prompted.first() else { return Vec::new() };
        let alone = |frame| Self { frame, memories: Vec::new(), pointers: Vec::new() };
        let mut plan: Vec<_> = prompted.iter().copied().map(alone).collect();
        let mut config = model.config().clone();
        config.only_obj_ptrs_in_the_past_for_eval &= !memory.pointers_ahead;
        let mut follow = |order: &mut dyn Iterator<Item = usize>, reverse: bool| {
            let mut tracked = Vec::new();
            for frame in order.filter(|frame| !prompted.contains(frame)) {
                let timeline = Timeline { prompted: &prompted, tracked: &tracked, frame, reverse, frames };
                plan.push(Self { frame, memories: timeline.memories(&config), pointers: timeline.pointers(&config) });
                tracked.push(frame);
                tracked.sort_unstable();
            }
        };
        follow(&mut (first..frames), false);
        follow(&mut (0..first).rev(), true);
        plan
    }

    /// The slices that it looks at.
    pub fn inputs(&self) -> impl Iterator<Item = usize> {
        let mut frames: Vec<_> = self.memories.iter().chain(&self.pointers).map(|&(frame, _)| frame).collect();
        frames.sort_unstable();
        frames.dedup();
        frames.into_iter()
    }
}

/// What came out of a frame step.
pub struct FrameOutput {
    /// the weighted losses, one number with its graph
    pub loss: Tensor,
    /// logits of the mask that is shown `[1, 1, 4 side, 4 side]`
    pub low_res: Tensor,
    /// presence logit `[1, 1]`
    pub score: Tensor,
    /// for the slices behind it
    pub known: Known,
    /// the clicks that followed, to be made again when it is computed again
    pub clicks: Vec<Point>,
}

/// Where the clicks that follow come from.
pub enum Clicks<'a> {
    /// drawn where the answer is wrong
    Drawn(&'a mut ChaCha8Rng),
    /// as they were
    Again(&'a [Point]),
}

/// Computes frame steps of one model.
pub struct FrameStepper<'a> {
    /// the model
    pub model: &'a Model,
    /// what counts
    pub objective: &'a Objective,
    /// how the memory behaves
    pub memory: Memory,
}

impl FrameStepper<'_> {
    /// Features and memories of earlier frame steps -> masks, loss and memory of this one.
    pub fn frame_step(
        &self,
        frame_step: &FrameStep,
        features: &ImageFeatures,
        known: &BTreeMap<usize, Known>,
        object: &ClipObject,
        frames: usize,
        clicks: Clicks,
    ) -> FrameOutput {
        let truth = object.truth[frame_step.frame].to_device(self.model.device()).to_kind(Kind::Float);
        let prompt = object.prompts.get(&frame_step.frame);
        let (output, loss, clicks) = match prompt {
            Some(prompt) => self.prompted(prompt, features, &truth, clicks),
            None => {
                let output = self.tracked(frame_step, features, known, frames);
                let loss = self.loss(&output, &truth);
                (output, loss, Vec::new())
            }
        };
        // never as a prompted slice: a binarised mask, as inference may want it, lets no gradient through
        let memory = self.model.encode_memory(features, &output.low_res, &output.object_score_logits, false);
        let memory = memory.to_kind(self.memory.kind);
        let SamOutput { low_res, obj_ptr, object_score_logits: score, .. } = output;
        FrameOutput { loss, low_res, score, known: Known { memory, obj_ptr }, clicks }
    }

    fn tracked(
        &self,
        frame_step: &FrameStep,
        features: &ImageFeatures,
        known: &BTreeMap<usize, Known>,
        frames: usize,
    ) -> SamOutput {
        let memories =
            frame_step.memories.iter().filter_map(|(frame, t_pos)| Some((&known.get(frame)?.memory, *t_pos)));
        let memories: Vec<_> = memories.map(|(features, t_pos)| MemoryEntry { features, t_pos }).collect();
        let pointers =
            frame_step.pointers.iter().filter_map(|(frame, distance)| Some((&known.get(frame)?.obj_ptr, *distance)));
        let pointers: Vec<_> = pointers.map(|(obj_ptr, distance)| PointerEntry { obj_ptr, distance }).collect();
        let conditioned = self.model.with_memory(features, &memories, &pointers, frames);
        let multimask = self.model.use_multimask(false, 0);
        self.model.forward_sam_heads(&conditioned, features, None, None, multimask)
    }

    /// The answer to a prompt, and to the clicks that follow it; every answer has a loss, the last one is remembered.
    fn prompted(
        &self,
        prompt: &Prompt,
        features: &ImageFeatures,
        truth: &Tensor,
        mut clicks: Clicks,
    ) -> (SamOutput, Tensor, Vec<Point>) {
        let model = self.model;
        let drawn = prompt.mask.as_ref().map(|mask| mask.to_device(model.device()).to_kind(Kind::Float));
        let mut more = Vec::new();
        let mut output = match (&drawn, prompt.points(&[], model)) {
            (Some(mask), None) if model.config().use_mask_input_as_output_without_sam => {
                let output = model.use_mask_as_output(features, mask);
                let loss = Tensor::zeros([], (Kind::Float, model.device())); // the mask is the answer: nothing to learn from it
                return (output, loss, more);
            }
            (mask, points) => {
                let start = mask.as_ref().map(|mask| model.mask_to_logits(mask));
                let multimask = model.use_multimask(true, prompt.tokens());
                self.heads(features, points.as_ref(), start.as_ref(), multimask)
            }
        };
        let mut loss = self.loss(&output, truth);
        for at in 0..prompt.corrections {
            let click = match &mut clicks {
                Clicks::Drawn(rng) => no_grad(|| wrong_pixel(&output.low_res, truth, rng)),
                Clicks::Again(points) => points.get(at).copied(),
            };
            let Some(click) = click else { break };
            more.push(click);
            let start = output.low_res.detach().clamp(-32.0, 32.0);
            let points = prompt.points(&more, model);
            let multimask = model.use_multimask(true, prompt.tokens() + more.len() as i64);
            output = self.heads(features, points.as_ref(), Some(&start), multimask);
            loss += self.loss(&output, truth);
        }
        (output, loss, more)
    }

    fn heads(
        &self,
        features: &ImageFeatures,
        points: Option<&crate::model::Points>,
        start: Option<&Tensor>,
        multimask: bool,
    ) -> SamOutput {
        let conditioned = self.model.without_memory(features);
        self.model.forward_sam_heads(&conditioned, features, points, start, multimask)
    }

    /// The losses of one answer against the truth `[1, 1, S, S]`.
    fn loss(&self, output: &SamOutput, truth: &Tensor) -> Tensor {
        let (objective, size) = (self.objective, self.model.config().image_size);
        let masks = if objective.hide_absent { &output.multimasks } else { &output.unhidden };
        let masks = resize_bilinear(masks, [size, size]);
        let count = masks.size()[1];
        let one = |at: i64| objective.mask(&masks.narrow(1, at, 1), truth);
        let mut loss = if count == 1 {
            one(0)
        } else {
            let best = match objective.choice {
                Choice::Predicted => output.ious.argmax(1, false).int64_value(&[0]),
                Choice::Best => {
                    let each: Vec<_> = no_grad(|| (0..count).map(|at| one(at).double_value(&[])).collect());
                    each.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(at, _)| at as i64)
                }
            };
            one(best)
        };
        if objective.iou != 0.0 {
            let actual = no_grad(|| iou(&masks, truth));
            loss += (&output.ious - actual).square().mean(Kind::Float) * objective.iou;
        }
        if objective.object_score != 0.0 && self.model.config().pred_obj_scores {
            let there = truth.gt(0.5).any().to_kind(Kind::Float).view([1, 1]);
            loss += super::losses::bce(&output.object_score_logits, &there) * objective.object_score;
        }
        loss
    }
}

/// A pixel where the mask and the truth differ, in pixels of the model's input; none where they agree.
fn wrong_pixel(low_res: &Tensor, truth: &Tensor, rng: &mut ChaCha8Rng) -> Option<Point> {
    let side = truth.size()[3];
    let mask = resize_bilinear(low_res, [side, side]).gt(0.0);
    let truth = truth.gt(0.5);
    let wrong = mask.logical_xor(&truth).flatten(0, -1).nonzero(); // [N, 1]
    let count = wrong.size()[0];
    if count == 0 {
        return None;
    }
    let at = wrong.int64_value(&[rng.random_range(0..count), 0]);
    let positive = truth.flatten(0, -1).int64_value(&[at]) != 0;
    Some(Point { x: (at % side) as f32, y: (at / side) as f32, positive })
}
