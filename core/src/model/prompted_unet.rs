//! A model of our own for stacks of registered layers: a U-Net over the slice, and a small U-Net that traces one object from its prompts.
//!
//! It keeps SAM 2's way of working (encode a slice once, answer prompts from its features, hand masks on as memory) with other parts:
//!
//! | SAM 2 | here |
//! |---|---|
//! | image encoder | U-Net at strides 2 to 32 over the slice and the projection of its neighbours |
//! | prompt encoder | maps: clicks, box, mask, and what the seeds are connected to ([`super::connect`]) |
//! | mask decoder | U-Net at strides 4 to 32, then one convolution at stride 2; its answer is fed back, as in RITM (arXiv 2102.06583) |
//! | memory | the masks of the previous slice and of the nearest prompted slices: registered layers do not move |
//! | object score, predicted IoU | worked out from the mask's own probabilities |
//!
//! Clicks hold: a positive click lies inside of the answer, a negative one outside.

use super::connect::connect;
use super::layers::{Conv, Conv2d};
use super::params::Params;
use super::prompt_encoder::label;
use super::unet::{ConvRelu, UNet, double};
use super::{ImageFeatures, MemoryEntry, ModelConfig, Points, SamOutput};
use crate::Result;
use crate::device::transfer::{download, upload};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

/// Channels of the dense maps: vessels on this layer, FAZ on this layer, vessels on any of the layers around.
const DENSE: i64 = 3;
/// Prompt maps: positive clicks, negative clicks, box, own answer, previous slice, prompted slices, vessel connected to the seeds, FAZ
/// connected to the seeds, whatever is connected to negative clicks.
const MAPS: i64 = 9;
/// What a memory holds: the probability of the mask.
pub const MEMORY_CHANNELS: i64 = 1;
/// Deviation of the spot that a click makes, in pixels of the prompt maps.
const SPOT: f64 = 2.5;
/// A click's spot ends so many pixels from it.
const SPOT_REACH: f64 = 4.0;
/// Least logit at a positive click, and negated at a negative one.
const HELD: f64 = 2.0;
/// Pixels of the mask that say whether the object is there.
const PRESENT: i64 = 16;

/// The shape of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptedUnetConfig {
    /// channels of the image's U-Net at strides 2, 4, 8, ...; two at least
    pub image_widths: Vec<i64>,
    /// channels of the prompts' U-Net at strides 4, 8, ...
    pub prompt_widths: Vec<i64>,
    /// channels of the last convolution, at stride 2
    pub mask_width: i64,
    /// slices before and behind whose projection the model sees beside the slice
    pub neighbours: usize,
    /// how often an answer is computed, each time from the one before
    pub passes: usize,
    /// how likely a pixel must be to count as vessel and as FAZ where nobody clicked; above 0 and below 1
    pub thresholds: [f64; 2],
}

/// The model.
pub struct PromptedUnet {
    /// the hyper-parameters it was built from
    pub config: ModelConfig,
    shape: PromptedUnetConfig,
    image_encoder: UNet,
    dense_head: Conv2d,
    prompt_unet: UNet,
    refine: ConvRelu,
    mask_head: Conv2d,
    pub(super) device: Device,
    pub(super) kind: Kind,
    pub(super) fingerprint: String,
}

impl PromptedUnet {
    /// Builds the model; every parameter must be there, with its shape, and none may be left over.
    pub fn new(p: Params, config: ModelConfig, shape: PromptedUnetConfig) -> Result<Self> {
        config.validate()?;
        let (image, prompt) = (&shape.image_widths, &shape.prompt_widths);
        let (fine, coarse, traced) = (image[0], image[1], prompt[0]);
        let model = Self {
            image_encoder: UNet::new(p.sub("image_encoder"), 3 * 4, image),
            dense_head: Conv2d::new(p.sub("dense_head"), fine, DENSE * 4, Conv::default()),
            prompt_unet: UNet::new(p.sub("prompt_unet"), coarse + DENSE + MAPS, prompt),
            refine: ConvRelu::new(p.sub("refine"), fine + traced + 4, shape.mask_width),
            mask_head: Conv2d::new(p.sub("mask_head"), shape.mask_width, 1, Conv::default()),
            device: p.device(),
            kind: p.kind(),
            fingerprint: p.fingerprint(&config), // behind every parameter
            config,
            shape,
        };
        p.finish()?;
        Ok(model)
    }

    /// Side of masks, memories and prompt maps in pixels.
    pub fn mask_side(&self) -> i64 {
        self.config.low_res_size()
    }

    /// A normalised image `[1, 3, S, S]` (the slice, the maximum and the mean of its neighbourhood) to features: `vision` at stride 4,
    /// `high_res` at stride 2 and the dense logits `[1, 3, S, S]`.
    pub fn encode_image(&self, image: &Tensor) -> ImageFeatures {
        let image = stretch(&image.to_device(self.device)).to_kind(self.kind);
        let mut levels = self.image_encoder.forward(&image.pixel_unshuffle(2));
        let coarse = levels.swap_remove(1);
        let fine = levels.swap_remove(0);
        let dense = self.dense_head.forward(&fine).pixel_shuffle(2);
        ImageFeatures::new(coarse, Some([fine, dense]))
    }

    /// Logits `[1, 2, S, S]` of `dense_head::CLASSES` for a whole slice, without a prompt.
    pub fn dense(&self, features: &ImageFeatures) -> Option<Tensor> {
        let [_, dense] = features.high_res.as_ref()?;
        Some(dense.narrow(1, 0, 2))
    }

    /// What a slice knows of other slices where there are none: two empty masks `[1, 2, S / 2, S / 2]`.
    pub fn without_memory(&self) -> Tensor {
        let side = self.mask_side();
        Tensor::zeros([1, 2, side, side], (Kind::Float, self.device))
    }

    /// The mask of the previous slice and those of the nearest prompted slices together, `[1, 2, S / 2, S / 2]` float32.
    pub fn with_memory(&self, memories: &[MemoryEntry]) -> Tensor {
        let largest = |of: &dyn Fn(&MemoryEntry) -> bool| {
            let chosen = memories.iter().filter(|entry| of(entry));
            let chosen = chosen.map(|entry| entry.features.to_device(self.device).to_kind(Kind::Float));
            chosen.reduce(|a, b| a.maximum(&b))
        };
        let prompted = largest(&|entry| entry.t_pos == 0);
        let previous = largest(&|entry| entry.t_pos > 0);
        match (previous.as_ref().or(prompted.as_ref()), &prompted) {
            (Some(previous), Some(prompted)) => Tensor::cat(&[previous, prompted], 1),
            (Some(previous), None) => Tensor::cat(&[previous, &previous.zeros_like()], 1),
            _ => self.without_memory(),
        }
    }

    /// Prompts to a mask. `memory`: [`Self::without_memory`] or [`Self::with_memory`]; `start`: logits `[1, 1, S / 2, S / 2]`.
    pub fn answer(
        &self,
        memory: &Tensor,
        features: &ImageFeatures,
        points: Option<&Points>,
        start: Option<&Tensor>,
    ) -> SamOutput {
        let side = self.mask_side();
        let nothing = || Tensor::zeros([1, 1, side, side], (Kind::Float, self.device));
        let prompts = PromptMaps::new(points, side, self.config.image_size, self.device);
        let mut own = start.map_or_else(nothing, |logits| logits.to_kind(Kind::Float).sigmoid());
        let mut logits = nothing();
        let Some([fine, dense]) = features.high_res.as_ref() else { return self.output(logits) };
        let probability = dense.detach().to_kind(Kind::Float).sigmoid();
        let connected = no_grad(|| prompts.connected(memory, &probability));
        let dense = probability.max_pool2d_default(4);
        for _ in 0..self.shape.passes {
            let maps = Tensor::cat(&[&prompts.plus, &prompts.minus, &prompts.bounds, &own, memory, &connected], 1);
            let known = Tensor::cat(&[&dense, &maps.max_pool2d_default(2)], 1).to_kind(self.kind);
            let traced = double(&self.prompt_unet.forward(&Tensor::cat(&[&features.vision, &known], 1))[0]);
            let near = Tensor::cat(&[&prompts.plus, &prompts.minus, &own, &connected.narrow(1, 0, 1)], 1);
            let near = near.to_kind(self.kind);
            let refined = self.refine.forward(&Tensor::cat(&[fine, &traced, &near], 1));
            logits = self.mask_head.forward(&refined).to_kind(Kind::Float);
            own = logits.detach().sigmoid();
        }
        self.output(prompts.hold(logits))
    }

    /// A mask that the user gives is the answer. `mask` holds 0 and 1, `[1, 1, S, S]` float32.
    pub fn use_mask_as_output(&self, mask: &Tensor) -> SamOutput {
        self.output(self.mask_to_logits(mask))
    }

    /// A mask of 0 and 1 `[1, 1, S, S]` as logits of -10 and 10, `[1, 1, S / 2, S / 2]`.
    pub fn mask_to_logits(&self, mask: &Tensor) -> Tensor {
        let side = self.mask_side();
        super::layers::resize_bilinear_antialias(&(mask * 20.0 - 10.0), [side, side])
    }

    /// A memory `[1, 1, S / 2, S / 2]`: how likely each pixel belongs to the object.
    pub fn encode_memory(&self, low_res: &Tensor) -> Tensor {
        low_res.sigmoid()
    }

    /// Presence: the mean logit of the 16 surest pixels. Predicted IoU: expected intersection over expected union of the mask and the truth,
    /// where pixels are right as often as their probability says.
    fn output(&self, low_res: Tensor) -> SamOutput {
        let (surest, _) = low_res.flatten(1, -1).topk(PRESENT, 1, true, true);
        let score = surest.mean_dim(1, true, Kind::Float);
        let probability = low_res.sigmoid();
        let inside = low_res.gt(0.0).to_kind(Kind::Float);
        let sum = |x: Tensor| x.sum_dim_intlist([1, 2, 3].as_slice(), false, Kind::Float);
        let both = sum(&probability * &inside);
        let either = sum(probability.maximum(&inside)).clamp_min(1.0);
        let iou = (both / either).view([-1, 1]);
        let pointer = Tensor::zeros([1, self.config.hidden_dim()], (self.kind, self.device));
        SamOutput {
            multimasks: low_res.shallow_clone(),
            unhidden: low_res.shallow_clone(),
            ious: iou.shallow_clone(),
            low_res,
            iou,
            obj_ptr: pointer,
            object_score_logits: score,
            alternatives: None,
        }
    }
}

/// Every channel by itself: percentiles 1 and 99.5 become 0 and 1, with a range of 3 % of full scale at least.
fn stretch(image: &Tensor) -> Tensor {
    /// full scale in units of the normalised image, red, green, blue
    const SCALE: [f64; 3] = [1.0 / 0.229, 1.0 / 0.224, 1.0 / 0.225];
    let image = image.to_kind(Kind::Float);
    let channels: Vec<_> = (0..3)
        .map(|channel| {
            let x = image.narrow(1, channel, 1);
            let some = x.slice(2, None, None, 2).slice(3, None, None, 2).reshape([-1]);
            let last = (some.numel() - 1) as f64;
            let percentile = |share: f64| some.kthvalue(1 + (share * last).round() as i64, 0, false).0;
            let (low, high) = (percentile(0.01), percentile(0.995));
            let range = (&high - &low).clamp_min(0.03 * SCALE[channel as usize]);
            ((x - low) / range).clamp(0.0, 1.2)
        })
        .collect();
    Tensor::cat(&channels, 1)
}

/// The prompts of one object on one slice as maps `[1, 1, S / 2, S / 2]`.
struct PromptMaps {
    plus: Tensor,
    minus: Tensor,
    bounds: Tensor,
    /// clicks in pixels of the maps (x, y), positive ones and negative ones
    clicks: [Vec<[i64; 2]>; 2],
    side: i64,
}

impl PromptMaps {
    fn new(points: Option<&Points>, side: i64, image_size: i64, device: Device) -> Self {
        let mut clicks = [Vec::new(), Vec::new()];
        let mut corners = [None, None];
        let scale = side as f64 / image_size as f64;
        let read = points.map(|points| host(&Tensor::cat(&[&points.coords, &points.labels.unsqueeze(2)], 2)));
        for point in read.unwrap_or_default().as_chunks::<3>().0 {
            let [x, y, label] = point.map(f64::from);
            let place = [x, y].map(|value| ((value * scale).floor() as i64).clamp(0, side - 1));
            match label as i64 {
                label::POSITIVE => clicks[0].push(place),
                label::NEGATIVE => clicks[1].push(place),
                label::BOX_TOP_LEFT => corners[0] = Some(place),
                label::BOX_BOTTOM_RIGHT => corners[1] = Some(place),
                _ => {}
            }
        }
        let bounds = Tensor::zeros([1, 1, side, side], (Kind::Float, device));
        if let [Some([x0, y0]), Some([x1, y1])] = corners {
            let _ = bounds.narrow(2, y0, (y1 - y0 + 1).max(1)).narrow(3, x0, (x1 - x0 + 1).max(1)).fill_(1.0);
        }
        let map = |clicks: &[[i64; 2]]| match clicks {
            [] => bounds.zeros_like(),
            clicks => upload(&spots(clicks, side), device),
        };
        Self { plus: map(&clicks[0]), minus: map(&clicks[1]), bounds, clicks, side }
    }

    /// Vessel and FAZ connected to the seeds (positive clicks and known masks), and what is connected to negative clicks,
    /// `[1, 3, S / 2, S / 2]`.
    fn connected(&self, memory: &Tensor, probability: &Tensor) -> Tensor {
        let side = self.side as usize;
        let strength = probability.max_pool2d_default(2);
        let vessel = strength.narrow(1, 0, 1).maximum(&strength.narrow(1, 2, 1));
        let maps = host(&Tensor::cat(&[vessel, strength.narrow(1, 1, 1), memory.amax([1], true)], 1));
        let (vessel, rest) = maps.split_at(side * side);
        let (faz, known) = rest.split_at(side * side);
        let mut seeds: Vec<bool> = known.iter().map(|&p| p > 0.5).collect();
        around(&self.clicks[0], side, |at| seeds[at] = true);
        let mut against = vec![false; side * side];
        around(&self.clicks[1], side, |at| against[at] = true);
        let either: Vec<f32> = vessel.iter().zip(faz).map(|(a, b)| a.max(*b)).collect();
        let maps = [(vessel, &seeds), (faz, &seeds), (&either[..], &against)];
        let maps: Vec<f32> = maps.into_iter().flat_map(|(map, seeds)| connect(map, seeds, side)).collect();
        upload(&Tensor::from_slice(&maps).view([1, 3, self.side, self.side]), memory.device())
    }

    /// The mask with every click on its side.
    fn hold(&self, logits: Tensor) -> Tensor {
        let side = self.side as usize;
        let at_clicks = |clicks: &[[i64; 2]]| {
            let mut mask = vec![false; side * side];
            around(clicks, side, |at| mask[at] = true);
            upload(&Tensor::from_slice(&mask).view([1, 1, self.side, self.side]), logits.device())
        };
        let [plus, minus] = &self.clicks;
        let mut held = logits.shallow_clone();
        if !plus.is_empty() {
            held = held.clamp_min(HELD).where_self(&at_clicks(plus), &held);
        }
        if !minus.is_empty() {
            held = held.clamp_max(-HELD).where_self(&at_clicks(minus), &held);
        }
        held
    }
}

/// The 3 x 3 pixels around every click, as far as they lie inside.
fn around(clicks: &[[i64; 2]], side: usize, mut each: impl FnMut(usize)) {
    for &[x, y] in clicks {
        for row in (y - 1).max(0)..(y + 2).min(side as i64) {
            for column in (x - 1).max(0)..(x + 2).min(side as i64) {
                each(row as usize * side + column as usize);
            }
        }
    }
}

/// A Gaussian spot at every click, 1 at its centre.
fn spots(clicks: &[[i64; 2]], side: i64) -> Tensor {
    let mut map = vec![0f32; (side * side) as usize];
    let reach = SPOT_REACH as i64;
    for &[x, y] in clicks {
        for row in (y - reach).max(0)..(y + reach + 1).min(side) {
            for column in (x - reach).max(0)..(x + reach + 1).min(side) {
                let distance = ((row - y).pow(2) + (column - x).pow(2)) as f64;
                let value = &mut map[(row * side + column) as usize];
                *value = value.max((-distance / (2.0 * SPOT * SPOT)).exp() as f32);
            }
        }
    }
    Tensor::from_slice(&map).view([1, 1, side, side])
}

/// The numbers of a map on the host, row by row.
fn host(map: &Tensor) -> Vec<f32> {
    let flat = download(&map.to_kind(Kind::Float).flatten(0, -1).contiguous());
    let mut numbers = vec![0f32; flat.numel()];
    flat.copy_data(&mut numbers, flat.numel());
    numbers
}
