//! Before a training begins: the memory that it will need and the time it will take, and what to change where it cannot fit.
//!
//! Memory is counted from the configuration: what the process holds already, gradients and moments of what is trained, what is kept of every
//! slice of a clip, and the largest piece that is computed with a graph at a time (`step`). For 1 to 8 slices at 1024 pixels the estimate lies within an
//! eighth of the peaks that `tests/bench/training.rs` measures (docs/training.md), but for a single slice of `large`, where it is a fifth above. Time is
//! measured: one clip forward.

use super::request::FineTuneRequest;
use super::step::Stepper;
use crate::device::cuda;
use crate::model::ModelConfig;
use crate::model::config::TrunkConfig;
use crate::{Error, Result, system};
use serde::Serialize;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

const GB: f64 = 1e9;
/// numbers that a block of the encoder keeps, in units of its tokens times their width
const BLOCK: f64 = 24.0;
/// the same for the feature pyramid, in units of all its cells times their width
const PYRAMID: f64 = 7.0;
/// numbers that memory attention keeps for a cell of the features, in units of their width, without and for every memory
const ATTENTION: [f64; 2] = [110.0, 10.0];
/// numbers that masks and losses keep for a pixel of the input: with Dice, focal and the like; with the soft skeletons of clDice
const MASK: [f64; 2] = [30.0, 160.0];
/// numbers that a level of a U-Net keeps, in units of its pixels times its width
const UNET_LEVEL: f64 = 12.0;
/// going back keeps about three times as long as going forward takes
const BACKWARD: f64 = 3.0;

/// What a training will need.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// peak of the whole process
    pub memory_gb: f64,
    /// what there is for it: the option, or what the machine has free; none on a GPU without the option
    pub available_gb: Option<f64>,
    /// one clip, forward and back
    pub seconds_per_clip: f64,
    /// all epochs, without validation
    pub hours: f64,
}

/// What decides the memory.
#[derive(Debug, Clone, Copy)]
struct Needs {
    encoder: bool,
    frames: usize,
    keep_images: usize,
    keep_frame_steps: usize,
}

impl Needs {
    fn of(request: &FineTuneRequest, encoder: bool) -> Self {
        let run = &request.run;
        let frames = request.sample.frames;
        Self {
            encoder,
            frames,
            keep_images: run.keep_images.min(frames),
            keep_frame_steps: run.keep_frame_steps.min(frames),
        }
    }

    /// Bytes of the activations at their peak.
    fn bytes(&self, request: &FineTuneRequest, config: &ModelConfig) -> f64 {
        let (first, second, half_way) = encoder(config);
        let side = config.feature_size() as f64;
        let (cells, pixels) = (side * side, (config.image_size * config.image_size) as f64);
        // vision, and the two finer levels that the decoder uses
        let features = cells * config.hidden_dim() as f64 * (1.0 + 2.0 + 2.0);
        let memories = self.frames.saturating_sub(1).min(config.num_maskmem as usize) as f64;
        let attention = cells * config.hidden_dim() as f64 * (ATTENTION[0] + ATTENTION[1] * memories);
        let skeletons = request.objective.cldice != 0.0;
        let answers = 1.0 + request.sample.corrections as f64;
        let frame_step = attention + pixels * MASK[usize::from(skeletons)] * answers;
        let image = if self.encoder { first.max(second) } else { 0.0 };
        let gradients = if self.encoder { 2.0 } else { 1.0 };
        let frame = features * gradients + if self.encoder { half_way } else { 0.0 };
        let kept = self.keep_images as f64 * (first + second) * f64::from(self.encoder)
            + self.keep_frame_steps as f64 * frame_step;
        let inputs = pixels * self.frames as f64 * (3.0 + request.sample.objects as f64);
        4.0 * (inputs + self.frames as f64 * frame + kept + image.max(frame_step))
    }
}

/// What a trunk keeps for its gradients, in numbers of its blocks' results: those of every block, which of them end a stage, and the block
/// that the second half begins with.
fn blocks(trunk: &TrunkConfig, image_size: i64) -> (Vec<f64>, Vec<usize>, usize) {
    match trunk {
        TrunkConfig::Hiera(trunk) => {
            let mut tokens = (image_size / 4).pow(2) as f64;
            let blocks = trunk.blocks();
            let units = blocks.iter().map(|block| {
                tokens /= block.q_stride.map_or(1.0, |[rows, columns]| (rows * columns) as f64);
                tokens * block.dim_out as f64
            });
            let ends = trunk.stage_ends().iter().map(|&end| end as usize).collect();
            (units.collect(), ends, crate::model::hiera::middle(&blocks))
        }
        TrunkConfig::ViT(trunk) => {
            let (unit, depth) = ((image_size / trunk.patch_size).pow(2) * trunk.embed_dim, trunk.depth as usize);
            (vec![unit as f64; depth], vec![depth - 1], depth / 2)
        }
        TrunkConfig::TimmBackbone(trunk) => {
            let (mut units, mut ends, mut middle) = (Vec::new(), Vec::new(), 1);
            let shape = trunk.shape().into_iter().flat_map(|shape| shape.embed_dim.into_iter().zip(shape.depth));
            for (stage, (width, depth)) in shape.enumerate() {
                let unit = ((image_size / 4) >> stage).pow(2) * width;
                units.extend(vec![unit as f64; depth as usize + usize::from(stage > 0)]);
                ends.push(units.len() - 1);
                middle = if stage == 1 { units.len() } else { middle };
            }
            (units, ends, middle)
        }
    }
}

/// Numbers kept by the two halves of the encoder, and between them.
fn encoder(config: &ModelConfig) -> (f64, f64, f64) {
    if let Some(shape) = &config.prompted_unet {
        let level = |(at, width): (usize, &i64)| ((config.image_size >> (at + 1)).pow(2) * width) as f64;
        return (0.0, shape.image_widths.iter().enumerate().map(level).sum::<f64>() * UNET_LEVEL, 0.0);
    }
    let Some(trunk) = config.image_encoder.as_ref().map(|encoder| &encoder.trunk) else { return (0.0, 0.0, 0.0) };
    let (units, ends, middle) = blocks(trunk, config.image_size);
    let [first, second] = [&units[..middle], &units[middle..]].map(|units| units.iter().sum::<f64>() * BLOCK);
    let finest = match ends.len() {
        1 => config.feature_size().pow(2), // one level
        _ => (config.image_size / 4).pow(2),
    } as f64
        * config.hidden_dim() as f64;
    let done: f64 = ends.iter().filter(|&&end| end < middle).map(|&end| units[end]).sum();
    (first, second + finest * PYRAMID, done + units[middle.max(1) - 1])
}

/// Bytes of cases that may stay in memory.
pub fn room_for_cases(request: &FineTuneRequest) -> u64 {
    let run = &request.run;
    let asked = if run.case_memory > 0.0 { run.case_memory } else { run.memory_limit / 4.0 };
    (if asked > 0.0 { asked * GB } else { machine().1 / 4.0 }) as u64
}

/// Counts memory; an error with advice where it cannot fit. `reading`: bytes that a case takes which is read for its clip and let go again.
pub fn memory(request: &FineTuneRequest, stepper: &Stepper, reading: u64) -> Result<Estimate> {
    let trainee = stepper.trainee;
    let encoder = trainee.trains_encoder();
    let trained: usize = trainee.parameters.iter().map(|(_, tensor)| tensor.numel()).sum();
    let (resident, free) = match trainee.model.device() {
        tch::Device::Cuda(index) => match cuda::memory(index) {
            Some((free, _)) => (0.0, free as f64),
            None => (0.0, f64::INFINITY),
        },
        _ => machine(),
    };
    let bytes =
        |needs: Needs| resident + reading as f64 + 12.0 * trained as f64 + needs.bytes(request, trainee.model.config());
    let needs = Needs::of(request, encoder);
    let needed = bytes(needs);
    let limit = request.run.memory_limit * GB;
    let available = if limit > 0.0 { limit } else { resident + free };
    let available = available.is_finite().then_some(available);
    if let Some(available) = available.filter(|&available| needed > available) {
        let plain = Needs { keep_images: 0, keep_frame_steps: 0, ..needs };
        let ways = [
            ("run.keep_images and run.keep_frame_steps 0", plain),
            ("sample.frames 2", Needs { frames: needs.frames.min(2), ..plain }),
            ("nothing of the image encoder among adapt.targets and adapt.train", Needs { encoder: false, ..plain }),
        ];
        let ways = ways.map(|(what, needs)| (what, bytes(needs)));
        let ways = ways.iter().filter(|(_, bytes)| *bytes < 0.95 * needed);
        let ways = ways.map(|(what, bytes)| format!("{what} ({:.1} GB)", bytes / GB)).collect::<Vec<_>>();
        return Err(Error::invalid(format!(
            "the training needs about {:.1} GB of memory, and there are {:.1} GB; what would help: {}a smaller model; or allow more with \
             run.memory_limit",
            needed / GB,
            available / GB,
            ways.iter().map(|way| format!("{way}; ")).collect::<String>()
        )));
    }
    let available_gb = available.map(|bytes| bytes / GB);
    Ok(Estimate { memory_gb: needed / GB, available_gb, seconds_per_clip: 0.0, hours: 0.0 })
}

impl Estimate {
    /// With the time, from that of one clip forward (`encoding`: of its images alone), in seconds.
    pub fn with_time(self, forward: f64, encoding: f64, trained_encoder: bool, clips: usize) -> Self {
        let images = encoding * if trained_encoder { 1.0 + BACKWARD } else { 1.0 };
        let seconds_per_clip = images + (forward - encoding).max(0.0) * (1.0 + BACKWARD);
        Self { seconds_per_clip, hours: seconds_per_clip * clips as f64 / 3600.0, ..self }
    }
}

/// What this process holds, and what it could have besides, in bytes.
fn machine() -> (f64, f64) {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    let free = system
        .cgroup_limits()
        .map_or(u64::MAX, |limits| limits.total_memory.saturating_sub(limits.rss))
        .min(system.available_memory());
    (system::resident_bytes().unwrap_or(0) as f64, free as f64)
}
