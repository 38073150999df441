//! The gradients of one clip, without keeping the activations of all of it.
//!
//! The chain image -> features -> masks and memories -> loss is cut at the features and at the memories. Forward, nothing but the values
//! at the cuts is kept. Backward, each piece is computed once more with a graph and left again at once: visits from the last to the first,
//! each handing its gradients to the memories that it looked at, then one image after the other with the gradients that have come
//! together at its features. The sums are those of the plain backward pass (Chen et al., arXiv 1604.06174); dropout repeats because every
//! piece starts from a seed of its own.

use super::clip::{Clip, ClipObject, as_leaves, surrogate, tensors};
use super::losses::Objective;
use super::trainee::Trainee;
use super::visit::{Clicks, Known, Memory, Visit, Visited, Visitor};
use crate::guard::{guard, guard_with_graph, torch};
use crate::model::ImageFeatures;
use crate::session::Point;
use crate::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Kind, Tensor, no_grad};

/// What is kept between forward and backward instead of being computed again: time for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// images whose activations are kept
    pub images: usize,
    /// visits of an object whose activations are kept
    pub visits: usize,
}

impl Keep {
    /// Everything: the plain backward pass.
    pub const ALL: Self = Self { images: usize::MAX, visits: usize::MAX };
}

/// How steps are computed.
#[derive(Debug, Clone)]
pub struct StepConfig {
    /// what counts
    pub objective: Objective,
    /// how the memory behaves
    pub memory: Memory,
    /// what is kept
    pub keep: Keep,
}

/// One slice of one object after a step.
pub struct SliceLoss {
    /// the object
    pub object: u16,
    /// the slice of the clip
    pub frame: usize,
    /// its weighted losses
    pub loss: f64,
    /// the shown mask, logits `[1, 1, 4 side, 4 side]`
    pub low_res: Tensor,
    /// presence logit
    pub score: f64,
}

/// Computes losses and gradients of a model in training.
pub struct Stepper<'a> {
    /// the model and what is trained in it
    pub trainee: &'a Trainee,
    /// how
    pub config: StepConfig,
}

/// A visit that was computed: its result, the leaves of its graph where the graph was kept, and the clicks to repeat.
struct Done {
    visited: Visited,
    leaves: Option<BTreeMap<usize, Known>>,
}

impl Stepper<'_> {
    /// Adds the gradients of a clip to those of the trained parameters. `seed` fixes dropout and drawn clicks; `scale` multiplies the loss.
    pub fn gradients(&self, clip: &Clip, seed: u64, scale: f64) -> Result<Vec<SliceLoss>> {
        let work = || clip.check().and_then(|()| self.forward_and_back(clip, seed, scale));
        let result = guard_with_graph(work);
        self.trainee.training.stop();
        named(clip, result)
    }

    /// The losses and masks of a clip, without gradients and dropout.
    pub fn evaluate(&self, clip: &Clip, seed: u64) -> Result<Vec<SliceLoss>> {
        let frames = clip.images.len();
        let result = guard(|| {
            clip.check()?;
            let features: Vec<_> = clip.images.iter().map(|image| self.trainee.model.encode_image(image)).collect();
            let mut losses = Vec::new();
            for object in &clip.objects {
                let mut known = BTreeMap::new();
                for (at, visit) in self.plan(object, frames).iter().enumerate() {
                    let mut rng = rng(seed, object.id, at);
                    let clicks = Clicks::Drawn(&mut rng);
                    let features = &features[visit.frame];
                    let visited = self.visitor().visit(visit, features, &known, object, frames, clicks);
                    losses.push(slice_loss(object, visit.frame, &visited)?);
                    known.insert(visit.frame, visited.known);
                }
            }
            Ok(losses)
        });
        named(clip, result)
    }

    fn visitor(&self) -> Visitor<'_> {
        let StepConfig { objective, memory, .. } = &self.config;
        Visitor { model: &self.trainee.model, objective, memory: *memory }
    }

    fn plan(&self, object: &ClipObject, frames: usize) -> Vec<Visit> {
        Visit::plan(&self.trainee.model, object, frames, self.config.memory)
    }

    fn forward_and_back(&self, clip: &Clip, seed: u64, scale: f64) -> Result<Vec<SliceLoss>> {
        let encoder = self.trainee.parameters.iter().any(|(name, _)| is_encoder(name));
        let mut kept = BTreeMap::new();
        let mut leaves = Vec::new();
        for (at, image) in clip.images.iter().enumerate() {
            let keep = encoder && at < self.config.keep.images;
            let features = self.encode(image, seed, at, keep);
            leaves.push(if encoder { as_leaves(&features) } else { features.shallow_clone() });
            if keep {
                kept.insert(at, features);
            }
        }
        let mut losses = Vec::new();
        for object in &clip.objects {
            losses.extend(self.object(object, &leaves, seed, scale)?);
        }
        if encoder {
            for (at, image) in clip.images.iter().enumerate() {
                let features = kept.remove(&at).unwrap_or_else(|| self.encode(image, seed, at, true));
                let gradients: Vec<_> = tensors(&leaves[at]).into_iter().map(Tensor::grad).collect();
                let pairs: Vec<_> = tensors(&features).into_iter().zip(&gradients).collect();
                if let Some(sum) = surrogate(&pairs).filter(Tensor::requires_grad) {
                    sum.backward();
                }
            }
        }
        Ok(losses)
    }

    /// One image; dropout starts from a seed of its own, so that it repeats.
    fn encode(&self, image: &Tensor, seed: u64, at: usize, graph: bool) -> ImageFeatures {
        self.trainee.training.start(seed ^ at as u64);
        let encode = || self.trainee.model.encode_image(image);
        if graph { encode() } else { no_grad(encode) }
    }

    /// Losses and gradients of one object, down to the features (and to the parameters behind them).
    fn object(&self, object: &ClipObject, features: &[ImageFeatures], seed: u64, scale: f64) -> Result<Vec<SliceLoss>> {
        let plan = self.plan(object, features.len());
        let mut values = BTreeMap::<usize, Known>::new();
        let mut done = Vec::with_capacity(plan.len());
        let mut losses = Vec::new();
        for (at, visit) in plan.iter().enumerate() {
            let graph = at + 1 == plan.len() || at < self.config.keep.visits; // the last one is left first
            let one = self.compute(visit, at, features, &values, object, seed, None, graph);
            let Known { memory, obj_ptr } = &one.visited.known;
            values.insert(visit.frame, Known { memory: memory.detach(), obj_ptr: obj_ptr.detach() });
            losses.push(slice_loss(object, visit.frame, &one.visited)?);
            done.push(one);
        }
        let mut gradients = BTreeMap::<usize, Known>::new();
        for (at, visit) in plan.iter().enumerate().rev() {
            let Some(Done { visited, leaves }) = done.pop() else { break };
            let Done { visited, leaves } = match leaves {
                Some(leaves) => Done { visited, leaves: Some(leaves) },
                None => self.compute(visit, at, features, &values, object, seed, Some(&visited.clicks), true),
            };
            go_back(&visited, gradients.remove(&visit.frame), scale);
            for (frame, leaf) in leaves.into_iter().flatten() {
                add(&mut gradients, frame, &leaf);
            }
        }
        Ok(losses)
    }

    #[allow(clippy::too_many_arguments)] // the state of one loop, nothing that a caller puts together
    fn compute(
        &self,
        visit: &Visit,
        at: usize,
        features: &[ImageFeatures],
        values: &BTreeMap<usize, Known>,
        object: &ClipObject,
        seed: u64,
        again: Option<&[Point]>,
        graph: bool,
    ) -> Done {
        let leaf = |tensor: &Tensor| tensor.detach().set_requires_grad(graph);
        let leaves: BTreeMap<_, _> = visit
            .inputs()
            .filter_map(|frame| values.get(&frame).map(|known| (frame, known)))
            .map(|(frame, Known { memory, obj_ptr })| (frame, Known { memory: leaf(memory), obj_ptr: leaf(obj_ptr) }))
            .collect();
        let mut rng = rng(seed, object.id, at);
        let clicks = again.map_or(Clicks::Drawn(&mut rng), Clicks::Again);
        self.trainee.training.start(seed ^ (u64::from(object.id) << 32) ^ ((at as u64 + 1) << 16));
        let visit = || self.visitor().visit(visit, &features[visit.frame], &leaves, object, features.len(), clicks);
        let visited = if graph { visit() } else { no_grad(visit) };
        Done { visited, leaves: graph.then_some(leaves) }
    }
}

/// An error that a clip's data cause says which clip.
fn named<T>(clip: &Clip, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        Error::Invalid(what) => Error::Invalid(format!("{}: {what}", clip.name)),
        other => other,
    })
}

/// Backward through one visit: its own loss, and what later visits sent back to its memory and pointer.
fn go_back(visited: &Visited, from_later: Option<Known>, scale: f64) {
    let mut total = &visited.loss * scale;
    if let Some(later) = &from_later {
        let Known { memory, obj_ptr } = &visited.known;
        let pairs = [(memory, &later.memory), (obj_ptr, &later.obj_ptr)];
        if let Some(sum) = surrogate(&pairs) {
            total += sum;
        }
    }
    if total.requires_grad() {
        total.backward();
    }
}

/// Adds the gradients that have reached a leaf to those of its slice.
fn add(gradients: &mut BTreeMap<usize, Known>, frame: usize, leaf: &Known) {
    let sum = |old: Option<&Tensor>, new: Tensor| match old {
        Some(old) if old.defined() && new.defined() => old + new,
        Some(old) if old.defined() => old.shallow_clone(),
        _ if new.defined() => new.to_kind(Kind::Float),
        _ => new,
    };
    let old = gradients.get(&frame);
    let memory = sum(old.map(|known| &known.memory), leaf.memory.grad());
    let obj_ptr = sum(old.map(|known| &known.obj_ptr), leaf.obj_ptr.grad());
    gradients.insert(frame, Known { memory, obj_ptr });
}

fn slice_loss(object: &ClipObject, frame: usize, visited: &Visited) -> Result<SliceLoss> {
    let loss = torch(|| visited.loss.f_double_value(&[]))?;
    if !loss.is_finite() {
        return Err(Error::invalid(format!("the loss of object {} on slice {frame} is {loss}", object.id)));
    }
    let score = torch(|| visited.score.f_double_value(&[0, 0]))?;
    Ok(SliceLoss { object: object.id, frame, loss, low_res: visited.low_res.detach(), score })
}

/// Whether the image encoder has to be gone back through for this parameter: all that lies before the features.
fn is_encoder(name: &str) -> bool {
    ["image_encoder.", "sam_mask_decoder.conv_s"].iter().any(|prefix| name.starts_with(prefix))
}

fn rng(seed: u64, object: u16, at: usize) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed ^ (u64::from(object) << 48) ^ ((at as u64) << 40))
}
