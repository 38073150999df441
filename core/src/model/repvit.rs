//! EdgeTAM's image trunk: RepViT, a convolutional network built like a vision transformer (arXiv 2307.09283), as timm names its parts.
//! Source: EdgeTAM's `modeling/backbones/timm.py`, timm's `models/repvit.py`.
//!
//! Batch normalisations use the statistics of the checkpoint, in training too. Where nothing of a block is trained, they and the parallel
//! branches of a block are folded into one convolution when the model is built, as the paper does for inference.

use super::config::{Activation, RepViTConfig};
use super::hiera::HalfWay;
use super::layers::{Conv, Conv2d, channels_first, channels_last};
use super::params::Params;
use crate::progress::checkpoint;
use tch::{Kind, Tensor};

/// of the batch normalisations
const EPS: f64 = 1e-5;
/// hidden width of a channel mixer, in widths of the block
const MLP_RATIO: i64 = 2;
/// kernel of the spatial convolutions
const KERNEL: i64 = 3;

/// Batch normalisation with fixed statistics.
struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    fn new(p: Params, channels: i64) -> Self {
        p.ignore("num_batches_tracked");
        let [weight, bias, running_mean, running_var] =
            ["weight", "bias", "running_mean", "running_var"].map(|name| p.get_kind(name, &[channels], Kind::Float));
        Self { weight, bias, running_mean, running_var }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let (mean, var) = (Some(&self.running_mean), Some(&self.running_var));
        x.batch_norm(Some(&self.weight), Some(&self.bias), mean, var, false, 0.0, EPS, false)
    }
}

/// Convolution without bias, batch normalisation.
struct ConvNorm {
    /// float32
    weight: Tensor,
    bn: BatchNorm,
    conv: Conv,
}

impl ConvNorm {
    fn new(p: Params, input: i64, output: i64, conv: Conv) -> Self {
        let shape = [output, input / conv.groups, conv.kernel, conv.kernel];
        let weight = p.sub("c").get_kind("weight", &shape, Kind::Float);
        Self { weight, bn: BatchNorm::new(p.sub("bn"), output), conv }
    }

    fn is_trained(&self) -> bool {
        [&self.weight, &self.bn.weight, &self.bn.bias].iter().any(|tensor| tensor.requires_grad())
    }

    /// Kernel and bias of the one convolution that does both.
    fn folded(&self) -> (Tensor, Tensor) {
        let scale = &self.bn.weight / (&self.bn.running_var + EPS).sqrt();
        (&self.weight * scale.view([-1, 1, 1, 1]), &self.bn.bias - &self.bn.running_mean * scale)
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.bn.forward(&Conv2d::of(self.weight.shallow_clone(), None, self.conv).forward(x))
    }
}

/// A part in training, or folded into one convolution.
enum Folded<T> {
    Parts(T),
    One(Conv2d),
}

type Convolution = Folded<ConvNorm>;

fn one(weight: &Tensor, bias: &Tensor, conv: Conv, kind: Kind) -> Conv2d {
    Conv2d::of(weight.to_kind(kind), Some(bias.to_kind(kind)), conv)
}

impl Convolution {
    fn new(p: Params, input: i64, output: i64, conv: Conv) -> Self {
        let kind = p.kind();
        let parts = ConvNorm::new(p, input, output, conv);
        if parts.is_trained() {
            return Self::Parts(parts);
        }
        let (weight, bias) = parts.folded();
        Self::One(one(&weight, &bias, conv, kind))
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Parts(parts) => parts.forward(x),
            Self::One(conv) => conv.forward(x),
        }
    }
}

/// Every channel by itself: a 3 x 3 convolution, a 1 x 1 convolution and the identity, added.
struct RepVggDw {
    conv: ConvNorm,
    conv1: ConvNorm,
}

type TokenMixer = Folded<RepVggDw>;

impl TokenMixer {
    fn new(p: Params, dim: i64) -> Self {
        let (spatial, kind) = (depthwise(dim, 1), p.kind());
        let pointwise = Conv { kernel: 1, padding: 0, ..spatial };
        let parts = RepVggDw {
            conv: ConvNorm::new(p.sub("conv"), dim, dim, spatial),
            conv1: ConvNorm::new(p.sub("conv1"), dim, dim, pointwise),
        };
        if parts.conv.is_trained() || parts.conv1.is_trained() {
            return Self::Parts(parts);
        }
        let ((weight, bias), (weight1, bias1)) = (parts.conv.folded(), parts.conv1.folded());
        let middle = (weight1 + 1.0).constant_pad_nd([KERNEL / 2; 4]);
        Self::One(one(&(weight + middle), &(bias + bias1), spatial, kind))
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Parts(RepVggDw { conv, conv1 }) => conv.forward(x) + conv1.forward(x) + x,
            Self::One(conv) => conv.forward(x),
        }
    }
}

fn depthwise(dim: i64, stride: i64) -> Conv {
    Conv { kernel: KERNEL, stride, padding: KERNEL / 2, groups: dim }
}

/// Channels weighted by what the whole image has of them.
struct SqueezeExcite {
    fc1: Conv2d,
    fc2: Conv2d,
}

impl SqueezeExcite {
    fn new(p: Params, dim: i64) -> Self {
        let few = ((dim as f64 / 4.0 + 4.0) as i64 / 8 * 8).max(8); // a quarter, rounded to a multiple of 8
        let layer = |name: &str, input, output| Conv2d::new(p.sub(name), input, output, Conv::default());
        Self { fc1: layer("fc1", dim, few), fc2: layer("fc2", few, dim) }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mean = x.mean_dim([2i64, 3].as_slice(), true, x.kind());
        x * self.fc2.forward(&self.fc1.forward(&mean).relu()).sigmoid()
    }
}

/// Two 1 x 1 convolutions with an activation between.
struct RepVitMlp {
    conv1: Convolution,
    conv2: Convolution,
}

impl RepVitMlp {
    fn new(p: Params, dim: i64) -> Self {
        let hidden = MLP_RATIO * dim;
        Self {
            conv1: Convolution::new(p.sub("conv1"), dim, hidden, Conv::default()),
            conv2: Convolution::new(p.sub("conv2"), hidden, dim, Conv::default()),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x + self.conv2.forward(&Activation::Gelu.forward(&self.conv1.forward(x)))
    }
}

struct RepViTBlock {
    token_mixer: TokenMixer,
    se: Option<SqueezeExcite>,
    channel_mixer: RepVitMlp,
}

impl RepViTBlock {
    fn new(p: Params, dim: i64, se: bool) -> Self {
        Self {
            token_mixer: TokenMixer::new(p.sub("token_mixer"), dim),
            se: se.then(|| SqueezeExcite::new(p.sub("se"), dim)),
            channel_mixer: RepVitMlp::new(p.sub("channel_mixer"), dim),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.token_mixer.forward(x);
        let x = self.se.iter().fold(x, |x, se| se.forward(&x));
        self.channel_mixer.forward(&x)
    }
}

/// Half the side, other channels.
struct RepVitDownsample {
    pre_block: RepViTBlock,
    spatial_downsample: Convolution,
    channel_downsample: Convolution,
    ffn: RepVitMlp,
}

impl RepVitDownsample {
    fn new(p: Params, input: i64, output: i64) -> Self {
        Self {
            pre_block: RepViTBlock::new(p.sub("pre_block"), input, false),
            spatial_downsample: Convolution::new(p.sub("spatial_downsample"), input, input, depthwise(input, 2)),
            channel_downsample: Convolution::new(p.sub("channel_downsample"), input, output, Conv::default()),
            ffn: RepVitMlp::new(p.sub("ffn"), output),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.spatial_downsample.forward(&self.pre_block.forward(x));
        self.ffn.forward(&self.channel_downsample.forward(&x))
    }
}

struct RepVitStage {
    downsample: Option<RepVitDownsample>,
    blocks: Vec<RepViTBlock>,
}

impl RepVitStage {
    fn new(p: Params, input: Option<i64>, output: i64, depth: i64) -> Self {
        let block = |i| RepViTBlock::new(p.sub("blocks").sub(i), output, i % 2 == 0);
        Self {
            downsample: input.map(|input| RepVitDownsample::new(p.sub("downsample"), input, output)),
            blocks: (0..depth).map(block).collect(),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        checkpoint();
        let x = self.downsample.iter().fold(x.shallow_clone(), |x, downsample| downsample.forward(&x));
        self.blocks.iter().fold(x, |x, block| block.forward(&x))
    }
}

/// Two convolutions, to a quarter of the side.
struct RepVitStem {
    conv1: Convolution,
    conv2: Convolution,
}

impl RepVitStem {
    fn new(p: Params, dim: i64) -> Self {
        let half = Conv { kernel: 3, stride: 2, padding: 1, groups: 1 };
        Self {
            conv1: Convolution::new(p.sub("conv1"), 3, dim / 2, half),
            conv2: Convolution::new(p.sub("conv2"), dim / 2, dim, half),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.conv2.forward(&Activation::Gelu.forward(&self.conv1.forward(x)))
    }
}

/// The trunk: image -> feature maps at strides 4, 8, 16, 32.
pub struct RepViT {
    stem: RepVitStem,
    stages: Vec<RepVitStage>,
}

impl RepViT {
    /// Reads the trunk below `p`.
    pub fn new(p: Params, config: &RepViTConfig) -> Self {
        let p = p.sub("body");
        let widths = &config.embed_dim;
        let stage = |(i, (&width, &depth)): (usize, (&i64, &i64))| {
            let input = i.checked_sub(1).map(|before| widths[before]);
            RepVitStage::new(p.sub(format!("stages_{i}")), input, width, depth)
        };
        let stages = widths.iter().zip(&config.depth).enumerate().map(stage).collect();
        Self { stem: RepVitStem::new(p.sub("stem"), widths.first().copied().unwrap_or_default()), stages }
    }

    /// The stem and the first half of the stages: there, about half of what all of them keep for their gradients lies behind.
    pub fn first_half(&self, image: &Tensor) -> HalfWay {
        let image = channels_first(&channels_last(image).contiguous());
        let x = self.stem.forward(&image);
        self.run(HalfWay { x, stages: Vec::new() }, &self.stages[..self.stages.len() / 2])
    }

    /// The other stages -> features of all of them, finest first.
    pub fn second_half(&self, half_way: HalfWay) -> Vec<Tensor> {
        self.run(half_way, &self.stages[self.stages.len() / 2..]).stages
    }

    fn run(&self, HalfWay { mut x, stages: mut done }: HalfWay, stages: &[RepVitStage]) -> HalfWay {
        for stage in stages {
            x = stage.forward(&x);
            done.push(x.shallow_clone());
        }
        HalfWay { x, stages: done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tch::Device;

    #[test]
    fn folded_blocks_are_the_blocks_in_training() {
        tch::manual_seed(8);
        let config = RepViTConfig { embed_dim: vec![8, 16], depth: vec![2, 1] };
        let params = Params::random(3, Device::Cpu, Kind::Float).remembering();
        drop(RepViT::new(params.clone(), &config));
        let mut weights: BTreeMap<String, Tensor> = params.given();
        for (name, tensor) in &mut weights {
            if name.ends_with("running_mean") || name.ends_with("running_var") {
                *tensor = &*tensor + tensor.rand_like();
            }
        }
        let trained = weights.iter().map(|(name, tensor)| {
            let statistic = name.contains("running_");
            (name.clone(), tensor.copy().set_requires_grad(!statistic))
        });
        let build = |weights| RepViT::new(Params::from_tensors(weights, Device::Cpu, Kind::Float), &config);
        let (trained, folded) = (build(trained.collect()), build(weights));
        let image = Tensor::randn([1, 3, 64, 64], (Kind::Float, Device::Cpu));
        let stages = |trunk: &RepViT| tch::no_grad(|| trunk.second_half(trunk.first_half(&image)));
        let (trained, folded) = (stages(&trained), stages(&folded));
        assert_eq!(trained.iter().map(Tensor::size).collect::<Vec<_>>(), [[1, 8, 16, 16], [1, 16, 8, 8]]);
        for (trained, folded) in trained.iter().zip(&folded) {
            let difference = (trained - folded).abs().max().double_value(&[]) / trained.abs().max().double_value(&[]);
            assert!(difference < 1e-5, "{difference}");
        }
    }
}
