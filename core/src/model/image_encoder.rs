//! Trunk and feature pyramid. Source: `modeling/backbones/image_encoder.py`.

use super::config::{
    FpnNeckConfig, Fuse, ImageEncoderConfig, Interpolation, NeckConfig, PositionEncodingConfig, RepViTConfig,
    TrunkConfig,
};
use super::hiera::{HalfWay, Hiera};
use super::layers::{Conv, Conv2d, resize_bilinear};
use super::params::Params;
use super::position::sine_2d;
use super::repvit::RepViT;
use super::vit::ViT;
use super::vitdet_neck::ViTDetNeck;
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

/// Image -> features of one or several levels.
enum Trunk {
    Hiera(Hiera),
    ViT(ViT),
    RepViT(RepViT),
}

impl Trunk {
    fn new(p: Params, config: &TrunkConfig) -> Self {
        match config {
            TrunkConfig::Hiera(config) => Self::Hiera(Hiera::new(p, config)),
            TrunkConfig::ViT(config) => Self::ViT(ViT::new(p, config)),
            TrunkConfig::TimmBackbone(config) => {
                let nothing = || RepViTConfig { embed_dim: Vec::new(), depth: Vec::new() }; // the configuration was asked before
                Self::RepViT(RepViT::new(p, &config.shape().unwrap_or_else(nothing)))
            }
        }
    }

    fn first_half(&self, image: &Tensor) -> HalfWay {
        match self {
            Self::Hiera(trunk) => trunk.first_half(image),
            Self::ViT(trunk) => trunk.first_half(image),
            Self::RepViT(trunk) => trunk.first_half(image),
        }
    }

    fn second_half(&self, half_way: HalfWay) -> Vec<Tensor> {
        match self {
            Self::Hiera(trunk) => trunk.second_half(half_way),
            Self::ViT(trunk) => trunk.second_half(half_way),
            Self::RepViT(trunk) => trunk.second_half(half_way),
        }
    }
}

/// Features of the trunk -> levels of one width.
enum Neck {
    Fpn(FpnNeck),
    ViTDet(ViTDetNeck),
}

/// Image -> pyramid.
pub struct ImageEncoder {
    trunk: Trunk,
    neck: Neck,
    scalp: usize,
    position_encoding: PositionEncodingConfig,
}

impl ImageEncoder {
    /// Reads trunk and neck below `p`.
    pub fn new(p: Params, config: &ImageEncoderConfig) -> Self {
        let neck = p.sub("neck");
        Self {
            trunk: Trunk::new(p.sub("trunk"), &config.trunk),
            neck: match &config.neck {
                NeckConfig::FpnNeck(config) => Neck::Fpn(FpnNeck::new(neck, config)),
                NeckConfig::ViTDetNeck(config) => Neck::ViTDet(ViTDetNeck::new(neck, config)),
            },
            scalp: config.scalp as usize,
            position_encoding: config.neck.position_encoding().clone(),
        }
    }

    /// Normalised images `[B, 3, S, S]` -> pyramid levels `[B, d_model, S / 4, S / 4]`, `S / 8`, `S / 16` (`scalp` coarsest dropped); of
    /// EfficientTAM's one level `[B, d_model, S / 16, S / 16]`.
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
        let mut levels = match &self.neck {
            Neck::Fpn(neck) => neck.forward(stages, finest),
            Neck::ViTDet(neck) => stages.iter().map(|stage| neck.forward(stage)).collect(),
        };
        levels.truncate(levels.len() - self.scalp);
        levels
    }

    /// From the middle of the trunk to the coarsest level kept, and to the two finest as the decoder's convolutions see them.
    pub fn for_decoder(&self, half_way: HalfWay, lateral: Option<&[Conv2d; 2]>) -> (Tensor, Option<[Tensor; 2]>) {
        let stages = self.trunk.second_half(half_way);
        let coarsest = stages.len() - 1 - self.scalp;
        let seen = |level: usize| match &self.neck {
            Neck::Fpn(neck) => neck.through(&stages, level, &lateral?[level]),
            Neck::ViTDet(_) => None,
        };
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
        self.trunk.second_half(self.trunk.first_half(image))
    }

    /// The sine encoding that belongs to a level of `side` x `side` cells, `[1, d_model, side, side]`.
    pub fn position(&self, side: i64, device: Device) -> Tensor {
        sine_2d(&self.position_encoding, side, side, device)
    }
}
