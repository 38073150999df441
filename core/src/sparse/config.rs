//! The shape of a SwinUNETR: named presets, sizes of one's own, or read from the weights themselves.

use crate::weights::Tensors;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// input pixels per finest token, and from one stage to the next
pub const STRIDE: i64 = 2;
/// stages of the trunk
pub const STAGES: usize = 4;
/// sides of the input are multiples of this
pub const MULTIPLE: i64 = STRIDE << STAGES;
/// widths are multiples of this, so that every stage divides into its heads
const WIDTHS: i64 = 12;
/// longest side of the input
const MOST_SIDE: i64 = 4096;

/// Sizes of the network (MONAI's names; `spatial_dims=2`, everything that is not here at MONAI's defaults).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwinUnetrConfig {
    /// channels of the image
    pub in_channels: i64,
    /// masks
    pub out_channels: i64,
    /// width of the first stage: a multiple of 12
    pub feature_size: i64,
    /// blocks of each stage
    pub depths: [usize; STAGES],
    /// attention heads of each stage
    pub num_heads: [i64; STAGES],
    /// tokens along a side of an attention window
    pub window_size: i64,
    /// side of the square that slices are resized to: a multiple of 32
    pub image_size: i64,
}

impl Default for SwinUnetrConfig {
    /// SAM-OCTA2's: feature size 72, 512 x 512.
    fn default() -> Self {
        Self {
            in_channels: 1,
            out_channels: 1,
            feature_size: 72,
            depths: [2; STAGES],
            num_heads: [3, 6, 12, 24],
            window_size: 7,
            image_size: 512,
        }
    }
}

impl SwinUnetrConfig {
    /// Sizes with a name, and their feature size.
    pub const PRESETS: [(&str, i64); 4] = [("tiny", 12), ("small", 24), ("medium", 48), ("reference", 72)];

    /// A preset by its name. Errors: there is none of that name.
    pub fn preset(name: &str) -> Result<Self> {
        let known = Self::PRESETS.iter().find(|(known, _)| *known == name);
        let names = || Self::PRESETS.map(|(name, size)| format!("{name} ({size})")).join(", ");
        let (_, feature_size) =
            known.ok_or_else(|| Error::invalid(format!("there is no size \"{name}\"; there are {}", names())))?;
        Ok(Self { feature_size: *feature_size, ..Self::default() })
    }

    /// What the weights are of. The picture's side leaves no trace in them: `image_size` is the default.
    pub fn of(tensors: &Tensors) -> Result<Self> {
        let shape = |name: &str| tensors.get(name).map(Tensor::size);
        let missing = |name: &str| Error::invalid(format!("no SwinUNETR: {name} is not in it"));
        let embed = "swinViT.patch_embed.proj.weight";
        let (feature_size, in_channels) = match shape(embed).ok_or_else(|| missing(embed))?[..] {
            [out, input, STRIDE, STRIDE] => (out, input),
            [_, _, _, _, _] => {
                return Err(Error::invalid(
                    "a SwinUNETR for volumes (spatial_dims=3); slices need one of spatial_dims=2",
                ));
            }
            ref other => {
                return Err(Error::invalid(format!("{embed} has the shape {other:?}; patches of 2 x 2 are known")));
            }
        };
        let out = "out.conv.conv.bias";
        let out_channels = shape(out).and_then(|shape| shape.first().copied()).ok_or_else(|| missing(out))?;
        let mut config = Self { in_channels, out_channels, feature_size, ..Self::default() };
        for stage in 0..STAGES {
            let table = |block: usize| {
                shape(&format!("swinViT.layers{}.0.blocks.{block}.attn.relative_position_bias_table", stage + 1))
            };
            config.depths[stage] = (0..).take_while(|&block| table(block).is_some()).count();
            if let Some([rows, heads]) = table(0).as_deref() {
                config.num_heads[stage] = *heads;
                config.window_size = (((*rows as f64).sqrt().round() as i64) + 1) / 2;
            }
        }
        config.check()?;
        Ok(config)
    }

    /// Errors: sizes that no network can have.
    pub fn check(&self) -> Result<()> {
        let wrong = |name: &str, value: String, range: &str| {
            Err(Error::invalid(format!("{name} is {value} in the network's configuration: {range}")))
        };
        let Self { in_channels, out_channels, feature_size, depths, num_heads, window_size, image_size } = self;
        let fits = |(stage, heads): (usize, &i64)| *heads > 0 && (feature_size << stage) % heads == 0;
        match () {
            () if !(1..=64).contains(in_channels) => wrong("in_channels", in_channels.to_string(), "1 to 64"),
            () if !(1..=64).contains(out_channels) => wrong("out_channels", out_channels.to_string(), "1 to 64"),
            () if !(WIDTHS..=960).contains(feature_size) || feature_size % WIDTHS != 0 => {
                wrong("feature_size", feature_size.to_string(), "a multiple of 12, at most 960")
            }
            () if depths.iter().any(|depth| !(1..=64).contains(depth)) => {
                wrong("depths", format!("{depths:?}"), "1 to 64 blocks in each of four stages")
            }
            () if !num_heads.iter().enumerate().all(fits) => {
                wrong("num_heads", format!("{num_heads:?}"), "each must divide the width of its stage")
            }
            () if !(2..=64).contains(window_size) => wrong("window_size", window_size.to_string(), "2 to 64"),
            () if !(MULTIPLE..=MOST_SIDE).contains(image_size) || image_size % MULTIPLE != 0 => {
                wrong("image_size", image_size.to_string(), "a multiple of 32, at most 4096")
            }
            () => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_sizes_and_wrong_sizes_are_named() {
        assert_eq!(SwinUnetrConfig::preset("reference").unwrap(), SwinUnetrConfig::default());
        assert_eq!(SwinUnetrConfig::preset("tiny").unwrap().feature_size, 12);
        let error = SwinUnetrConfig::preset("huge").unwrap_err().to_string();
        assert!(error.contains("there is no size \"huge\"") && error.contains("reference (72)"), "{error}");
        for (config, name) in [
            (SwinUnetrConfig { feature_size: 20, ..Default::default() }, "feature_size is 20"),
            (SwinUnetrConfig { image_size: 500, ..Default::default() }, "image_size is 500"),
            (SwinUnetrConfig { num_heads: [3, 6, 12, 25], ..Default::default() }, "num_heads"),
            (SwinUnetrConfig { depths: [2, 0, 2, 2], ..Default::default() }, "depths"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
