//! Trunk and feature pyramid. Source: `modeling/backbones/image_encoder.py`.

use super::config::{FpnNeckConfig, Fuse, ImageEncoderConfig, Interpolation};
use super::hiera::{HalfWay, Hiera};
use super::layers::{Conv, Conv2d, resize_bilinear};
use super::params::Params;
use super::position::sine_2d;
use tch::{Device, Tensor};

/// The feature pyramid: every level to `d_model` channels, coarse levels added to the next finer ones where configured.
pub struct FpnNeck {
    convs: Vec<Conv2d>,
    config: FpnNeckConfig,
}

impl FpnNeck {
    fn new(p: Params, config: &FpnNeckConfig) -> Self {
        let conv = Conv { kernel: config.kernel_size, stride: config.stride, padding: config.padding, groups: 1 };
        let channels = config.backbone_channel_list.iter().enumerate();
        let convs = channels.map(|(i, &c)| Conv2d::new(p.sub("convs").sub(i).sub("conv"), c, config.d_model, conv));
        Self { convs: convs.collect(), config: config.clone() }
    }

    /// Stage features, finest first -> pyramid levels from `finest` on, finest first. `convs.0` belongs to the coarsest level.
    fn forward(&self, stages: &[Tensor], finest: usize) -> Vec<Tensor> {
        let coarsest = stages.len() - 1;
        let mut levels = Vec::with_capacity(stages.len());
        let mut above: Option<Tensor> = None;
        for (i, stage) in stages.iter().enumerate().skip(finest).rev() {
            let mut level = self.convs[coarsest - i].forward(stage);
            if let Some(above) = above.filter(|_| self.config.is_top_down(i as i64)) {
                level += self.upsample(&above).to_kind(level.kind());
                if self.config.fuse_type == Fuse::Avg {
                    level /= 2.0;
                }
            }
            above = Some(level.shallow_clone());
            levels.push(level);
        }
        levels.reverse();
        levels
    }

    /// A level as another convolution sees it, without the level itself, which is eight times as wide as what the decoder wants of it.
    /// `None` where coarser levels are added to it first.
    fn through(&self, stages: &[Tensor], level: usize, after: &Conv2d) -> Option<Tensor> {
        let alone = !self.config.is_top_down(level as i64);
        let both = self.convs[stages.len() - 1 - level].then(after).filter(|_| alone)?;
        Some(both.forward(&stages[level]))
    }

    fn upsample(&self, x: &Tensor) -> Tensor {
        let size = [2 * x.size()[2], 2 * x.size()[3]];
        match self.config.fpn_interp_model {
            Interpolation::Nearest => x.upsample_nearest2d(size, None, None),
            Interpolation::Bilinear => resize_bilinear(x, size),
        }
    }
}

/// Image -> pyramid.
pub struct ImageEncoder {
    trunk: Hiera,
    neck: FpnNeck,
    scalp: usize,
}

impl ImageEncoder {
    /// Reads trunk and neck below `p`.
    pub fn new(p: Params, config: &ImageEncoderConfig) -> Self {
        let trunk = Hiera::new(p.sub("trunk"), &config.trunk);
        Self { trunk, neck: FpnNeck::new(p.sub("neck"), &config.neck), scalp: config.scalp as usize }
    }

    /// Normalised images `[B, 3, S, S]` -> pyramid levels `[B, d_model, S / 4, S / 4]`, `S / 8`, `S / 16` (`scalp` coarsest dropped).
    pub fn forward(&self, image: &Tensor) -> Vec<Tensor> {
        self.second_half(self.first_half(image))
    }

    /// As far as the middle of the trunk: training goes back through one half after the other.
    pub fn first_half(&self, image: &Tensor) -> HalfWay {
        self.trunk.first_half(image)
    }

    /// From the middle of the trunk to the pyramid.
    pub fn second_half(&self, half_way: HalfWay) -> Vec<Tensor> {
        self.pyramid(&self.trunk.second_half(half_way), 0)
    }

    fn pyramid(&self, stages: &[Tensor], finest: usize) -> Vec<Tensor> {
        let mut levels = self.neck.forward(stages, finest);
        levels.truncate(levels.len() - self.scalp);
        levels
    }

    /// From the middle of the trunk to the coarsest level kept, and to the two finest as the decoder's convolutions see them.
    pub fn for_decoder(&self, half_way: HalfWay, lateral: Option<&[Conv2d; 2]>) -> (Tensor, Option<[Tensor; 2]>) {
        let stages = self.trunk.second_half(half_way);
        let coarsest = stages.len() - 1 - self.scalp;
        let seen = |level: usize| self.neck.through(&stages, level, &lateral?[level]);
        let (finest, high_res) = match (seen(0), seen(1)) {
            (Some(s0), Some(s1)) if coarsest > 1 => (coarsest, Some([s0, s1])),
            _ if lateral.is_none() => (coarsest, None),
            _ => (0, None),
        };
        let levels = self.pyramid(&stages, finest);
        let again = |lateral: &[Conv2d; 2]| [lateral[0].forward(&levels[0]), lateral[1].forward(&levels[1])];
        let high_res = high_res.or_else(|| lateral.map(again));
        (levels[coarsest - finest].shallow_clone(), high_res)
    }

    /// The stage features of the trunk alone, finest first.
    pub fn stages(&self, image: &Tensor) -> Vec<Tensor> {
        self.trunk.forward(image)
    }

    /// The sine encoding that belongs to a level of `side` x `side` cells, `[1, d_model, side, side]`.
    pub fn position(&self, side: i64, device: Device) -> Tensor {
        sine_2d(&self.neck.config.position_encoding, side, side, device)
    }
}
