//! The gradients of one clip, without keeping the activations of all of it.
//!
//! The chain image -> features -> masks and memories -> loss is cut at the features and at the memories. Forward, nothing but the values
//! at the cuts is kept. Backward, each piece is computed once more with a graph and left again at once: frame steps from the last to the first,
//! each handing its gradients to the memories that it looked at, then one image after the other with the gradients that have come
//! together at its features, its second half before its first (what lies between is kept, 40 to 70 MB at 1024 pixels). The sums are those of the plain backward pass (Chen et al., arXiv 1604.06174); dropout repeats because every
//! piece starts from a seed of its own.

use super::clip::{Clip, ClipObject, as_leaves, surrogate, tensors};
use super::frame_step::{Clicks, FrameOutput, FrameStep, FrameStepper, Known, Memory};
use super::losses::{self, Objective};
use super::trainee::Trainee;
use crate::features::FeatureFolder;
use crate::guard::{guard, guard_with_graph, torch};
use crate::model::ImageFeatures;
use crate::model::dense_head::logit;
use crate::model::hiera::HalfWay;
use crate::model::layers::{as_in_training, resize_bilinear};
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
    /// frame steps of an object whose activations are kept
    pub frame_steps: usize,
}

impl Keep {
    /// Everything: the plain backward pass.
    pub const ALL: Self = Self { images: usize::MAX, frame_steps: usize::MAX };
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

/// Dice of the maps that need no prompt, for each of `dense_head::CLASSES`; none where the truth of a class is not known.
pub type DenseDice = [Option<f64>; 2];

/// What a step found out.
pub struct ClipLosses {
    /// every object on every slice
    pub slices: Vec<SliceLoss>,
    /// mean loss of the head that needs no prompt, where it counts
    pub dense: Option<f64>,
}

/// Computes losses and gradients of a model in training.
pub struct Stepper<'a> {
    /// the model and what is trained in it
    pub trainee: &'a Trainee,
    /// how
    pub config: StepConfig,
    /// features that need not be computed again
    pub cache: Option<FeatureFolder>,
}

/// A frame step that was computed: its result, the leaves of its graph where the graph was kept, and the clicks to repeat.
struct Done {
    output: FrameOutput,
    leaves: Option<BTreeMap<usize, Known>>,
}

impl Stepper<'_> {
    /// Adds the gradients of a clip to those of the trained parameters. `seed` fixes dropout and drawn clicks; `scale` multiplies the loss.
    pub fn gradients(&self, clip: &Clip, seed: u64, scale: f64) -> Result<ClipLosses> {
        let work = || clip.check().and_then(|()| as_in_training(|| self.forward_and_back(clip, seed, scale)));
        let result = guard_with_graph(work);
        self.trainee.training.stop();
        named(clip, result)
    }

    /// The losses and masks of a clip, without gradients and dropout.
    pub fn evaluate(&self, clip: &Clip, seed: u64) -> Result<Vec<SliceLoss>> {
        let frames = clip.images.len();
        let result = guard(|| {
            clip.check()?;
            let features = clip.images.iter().map(|image| self.features(image)).collect::<Result<Vec<_>>>()?;
            let mut losses = Vec::new();
            for object in clip.objects.iter().filter(|_| self.config.objective.has_masks()) {
                let mut known = BTreeMap::new();
                for (at, frame_step) in self.plan(object, frames).iter().enumerate() {
                    let mut rng = rng(seed, object.id, at);
                    let clicks = Clicks::Drawn(&mut rng);
                    let features = &features[frame_step.frame];
                    let output = self.stepper().frame_step(frame_step, features, &known, object, frames, clicks);
                    losses.push(slice_loss(object, frame_step.frame, &output)?);
                    known.insert(frame_step.frame, output.known);
                }
            }
            Ok(losses)
        });
        named(clip, result)
    }

    /// The features of a clip's images, computed and let go: for the time it takes.
    pub fn encode(&self, clip: &Clip) -> Result<()> {
        guard(|| clip.images.iter().try_for_each(|image| self.features(image).map(drop)))
    }

    fn stepper(&self) -> FrameStepper<'_> {
        let StepConfig { objective, memory, .. } = &self.config;
        FrameStepper { model: &self.trainee.model, objective, memory: *memory }
    }

    fn plan(&self, object: &ClipObject, frames: usize) -> Vec<FrameStep> {
        FrameStep::plan(&self.trainee.model, object, frames, self.config.memory)
    }

    fn forward_and_back(&self, clip: &Clip, seed: u64, scale: f64) -> Result<ClipLosses> {
        let encoder = self.trainee.trains_encoder();
        let mut images = Vec::new();
        let mut leaves = Vec::new();
        for (at, image) in clip.images.iter().enumerate() {
            if encoder {
                let image = EncodedImage::new(self, image, seed, at, at < self.config.keep.images);
                leaves.push(as_leaves(&image.features));
                images.push(image);
            } else {
                leaves.push(self.features(image)?);
            }
        }
        let mut slices = Vec::new();
        for object in clip.objects.iter().filter(|_| self.config.objective.has_masks()) {
            slices.extend(self.object(object, &leaves, seed, scale)?);
        }
        let frame_steps = clip.objects.iter().map(|object| object.truth.len()).sum::<usize>();
        let dense = self.dense(clip, &leaves, scale * frame_steps as f64)?;
        for (at, (image, leaves)) in images.into_iter().zip(&leaves).enumerate() {
            image.go_back(self, &clip.images[at], leaves, seed, at);
        }
        Ok(ClipLosses { slices, dense })
    }

    /// The head that needs no prompt: its mean loss over the slices, whose gradients go to the features.
    fn dense(&self, clip: &Clip, features: &[ImageFeatures], scale: f64) -> Result<Option<f64>> {
        let weight = self.config.objective.dense;
        let mut sum = 0.0;
        for (features, truth) in features.iter().zip(&clip.dense).filter(|_| weight != 0.0) {
            let Some(logits) = self.trainee.model.dense(features) else { return Ok(None) };
            let loss = losses::dense(&logits.to_kind(Kind::Float), &truth.to_device(logits.device())) * weight;
            sum += torch(|| loss.f_double_value(&[]))?;
            let loss = loss * (scale / clip.dense.len() as f64);
            if loss.requires_grad() {
                loss.backward();
            }
        }
        if !sum.is_finite() {
            return Err(Error::invalid(format!("the loss of the head that needs no prompt is {sum}")));
        }
        Ok((weight != 0.0 && !clip.dense.is_empty()).then(|| sum / clip.dense.len() as f64))
    }

    /// Dice of the head that needs no prompt, over all slices of a clip, for each of `dense_head::CLASSES`; none where model or data lack it.
    pub fn evaluate_dense(&self, clip: &Clip) -> Result<Option<DenseDice>> {
        guard(|| {
            let Some(thresholds) = self.trainee.model.dense_thresholds() else { return Ok(None) };
            let least = Tensor::from_slice(&thresholds.map(logit)).view([1, 2, 1, 1]).to_kind(Kind::Float);
            let mut counts = Tensor::zeros([2, 2], (Kind::Double, tch::Device::Cpu));
            for (image, truth) in clip.images.iter().zip(&clip.dense) {
                let Some(logits) = self.trainee.model.dense(&self.features(image)?) else { return Ok(None) };
                let size = [truth.size()[2], truth.size()[3]];
                let found = resize_bilinear(&logits.to_kind(Kind::Float), size).to_device(truth.device());
                let found = found.gt_tensor(&least.to_device(truth.device()));
                let truth = truth.gt(0.5);
                let sum = |x: &Tensor| x.sum_dim_intlist([0, 2, 3].as_slice(), false, Kind::Double);
                let both = Tensor::stack(&[sum(&found.logical_and(&truth)) * 2.0, sum(&found) + sum(&truth)], 0);
                counts += both.to_device(tch::Device::Cpu);
            }
            let known = |class| clip.dense.iter().all(|truth| losses::is_known(truth, class));
            let dice = |class: i64| {
                known(class).then(|| match counts.double_value(&[1, class]) {
                    0.0 => 1.0,
                    all => counts.double_value(&[0, class]) / all,
                })
            };
            Ok((!clip.dense.is_empty()).then(|| [dice(0), dice(1)]))
        })
    }

    /// The features of an image where nothing before them is trained.
    fn features(&self, image: &Tensor) -> Result<ImageFeatures> {
        let encode = || no_grad(|| self.trainee.model.encode_image(image));
        match &self.cache {
            Some(cache) => cache.get(image, encode),
            None => Ok(encode()),
        }
    }

    /// One half of the encoder; dropout starts from a seed of its own, so that it repeats.
    fn half<T>(&self, seed: u64, at: usize, half: u64, graph: bool, compute: impl FnOnce() -> T) -> T {
        self.trainee.training.start(seed ^ at as u64 ^ (half << 56));
        if graph { compute() } else { no_grad(compute) }
    }

    /// Losses and gradients of one object, down to the features (and to the parameters behind them).
    fn object(&self, object: &ClipObject, features: &[ImageFeatures], seed: u64, scale: f64) -> Result<Vec<SliceLoss>> {
        let plan = self.plan(object, features.len());
        let mut values = BTreeMap::<usize, Known>::new();
        let mut done = Vec::with_capacity(plan.len());
        let mut losses = Vec::new();
        for (at, frame_step) in plan.iter().enumerate() {
            let graph = at + 1 == plan.len() || at < self.config.keep.frame_steps; // the last one is left first
            let one = self.compute(frame_step, at, features, &values, object, seed, None, graph);
            let Known { memory, obj_ptr } = &one.output.known;
            values.insert(frame_step.frame, Known { memory: memory.detach(), obj_ptr: obj_ptr.detach() });
            losses.push(slice_loss(object, frame_step.frame, &one.output)?);
            done.push(one);
        }
        let mut gradients = BTreeMap::<usize, Known>::new();
        for (at, frame_step) in plan.iter().enumerate().rev() {
            let Some(Done { output, leaves }) = done.pop() else { break };
            let Done { output, leaves } = match leaves {
                Some(leaves) => Done { output, leaves: Some(leaves) },
                None => self.compute(frame_step, at, features, &values, object, seed, Some(&output.clicks), true),
            };
            go_back(&output, gradients.remove(&frame_step.frame), scale);
            for (frame, leaf) in leaves.into_iter().flatten() {
                add(&mut gradients, frame, &leaf);
            }
        }
        Ok(losses)
    }

    #[allow(clippy::too_many_arguments)] // the state of one loop, nothing that a caller puts together
    fn compute(
        &self,
        frame_step: &FrameStep,
        at: usize,
        features: &[ImageFeatures],
        values: &BTreeMap<usize, Known>,
        object: &ClipObject,
        seed: u64,
        again: Option<&[Point]>,
        graph: bool,
    ) -> Done {
        let leaf = |tensor: &Tensor| tensor.detach().set_requires_grad(graph);
        let leaves: BTreeMap<_, _> = frame_step
            .inputs()
            .filter_map(|frame| values.get(&frame).map(|known| (frame, known)))
            .map(|(frame, Known { memory, obj_ptr })| (frame, Known { memory: leaf(memory), obj_ptr: leaf(obj_ptr) }))
            .collect();
        let mut rng = rng(seed, object.id, at);
        let clicks = again.map_or(Clicks::Drawn(&mut rng), Clicks::Again);
        self.trainee.training.start(seed ^ (u64::from(object.id) << 32) ^ ((at as u64 + 1) << 16));
        let frame_step = || {
            self.stepper().frame_step(frame_step, &features[frame_step.frame], &leaves, object, features.len(), clicks)
        };
        let output = if graph { frame_step() } else { no_grad(frame_step) };
        Done { output, leaves: graph.then_some(leaves) }
    }
}

/// An image that went through the encoder: what lies between the halves, and the features; with graphs where they were kept.
struct EncodedImage {
    half_way: HalfWay,
    features: ImageFeatures,
    /// the half way as leaves of the second half, where graphs were kept
    leaves: Option<HalfWay>,
}

impl EncodedImage {
    fn new(stepper: &Stepper, image: &Tensor, seed: u64, at: usize, keep: bool) -> Self {
        let model = &stepper.trainee.model;
        let half_way = stepper.half(seed, at, 0, keep, || model.first_half(image));
        let leaves = keep.then(|| half_way_leaves(&half_way));
        let middle = leaves.as_ref().unwrap_or(&half_way);
        let features = stepper.half(seed, at, 1, keep, || model.second_half(shallow(middle)));
        Self { half_way, features, leaves }
    }

    /// Backward from the gradients at the features, second half first.
    fn go_back(self, stepper: &Stepper, image: &Tensor, gradients: &ImageFeatures, seed: u64, at: usize) {
        let model = &stepper.trainee.model;
        let (keep, gradients) = (self.leaves.is_some(), gradients_of(tensors(gradients)));
        let leaves = self.leaves.unwrap_or_else(|| half_way_leaves(&self.half_way));
        let features = match keep {
            true => self.features,
            false => stepper.half(seed, at, 1, true, || model.second_half(shallow(&leaves))),
        };
        backward(tensors(&features), &gradients);
        drop(features);
        let gradients = gradients_of(parts(&leaves));
        drop(leaves);
        let half_way = match keep {
            true => self.half_way,
            false => stepper.half(seed, at, 0, true, || model.first_half(image)),
        };
        backward(parts(&half_way), &gradients);
    }
}

fn parts(half_way: &HalfWay) -> Vec<&Tensor> {
    std::iter::once(&half_way.x).chain(&half_way.stages).collect()
}

fn shallow(HalfWay { x, stages }: &HalfWay) -> HalfWay {
    HalfWay { x: x.shallow_clone(), stages: stages.iter().map(Tensor::shallow_clone).collect() }
}

fn half_way_leaves(HalfWay { x, stages }: &HalfWay) -> HalfWay {
    let leaf = |tensor: &Tensor| tensor.detach().set_requires_grad(true);
    HalfWay { x: leaf(x), stages: stages.iter().map(leaf).collect() }
}

fn gradients_of(leaves: Vec<&Tensor>) -> Vec<Tensor> {
    leaves.into_iter().map(Tensor::grad).collect()
}

/// Backward from some outputs with their gradients, as far as anything before them is trained.
fn backward(outputs: Vec<&Tensor>, gradients: &[Tensor]) {
    let pairs: Vec<_> = outputs.into_iter().zip(gradients).collect();
    if let Some(sum) = surrogate(&pairs).filter(Tensor::requires_grad) {
        sum.backward();
    }
}

/// An error that a clip's data cause says which clip.
fn named<T>(clip: &Clip, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        Error::Invalid(what) => Error::Invalid(format!("{}: {what}", clip.name)),
        other => other,
    })
}

/// Backward through one frame step: its own loss, and what later frame steps sent back to its memory and pointer.
fn go_back(output: &FrameOutput, from_later: Option<Known>, scale: f64) {
    let mut total = &output.loss * scale;
    if let Some(later) = &from_later {
        let Known { memory, obj_ptr } = &output.known;
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

fn slice_loss(object: &ClipObject, frame: usize, output: &FrameOutput) -> Result<SliceLoss> {
    let loss = torch(|| output.loss.f_double_value(&[]))?;
    if !loss.is_finite() {
        return Err(Error::invalid(format!("the loss of object {} on slice {frame} is {loss}", object.id)));
    }
    let score = torch(|| output.score.f_double_value(&[0, 0]))?;
    Ok(SliceLoss { object: object.id, frame, loss, low_res: output.low_res.detach(), score })
}

fn rng(seed: u64, object: u16, at: usize) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed ^ (u64::from(object) << 48) ^ ((at as u64) << 40))
}
