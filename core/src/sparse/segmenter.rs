//! From a file to a network that is ready: MONAI's state dict, SAM-OCTA2's (`original_model.` before every name), or our own training's
//! (`.safetensors`, the configuration in its metadata).

use super::SwinUnetr;
use super::config::SwinUnetrConfig;
use crate::guard::guard;
use crate::loader::{self, Place};
use crate::model::params::Params;
use crate::weights::{self, Tensors};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

/// what SAM-OCTA2's wrapper puts before every name
const WRAPPER: &str = "original_model.";
/// an index table that follows from the window's size
const DERIVED: &str = ".relative_position_index";
/// the metadata's entry that holds a [`SwinUnetrConfig`] as JSON
pub(crate) const CONFIG: &str = "segmenter";

/// Which network, where and how exactly.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SegmenterRequest {
    /// a checkpoint: a file, or the name of one in the weights folders
    pub segmenter: String,
    /// side of the square that slices are resized to; default: what the file says, else 512
    #[serde(default)]
    pub image_size: Option<i64>,
    /// where and how exactly to compute, and where checkpoints lie
    #[serde(flatten)]
    pub place: Place,
}

/// A network with where it came from.
pub struct Segmenter {
    /// the network
    pub network: SwinUnetr,
    /// its checkpoint
    pub path: PathBuf,
    device: tch::Device,
    kind: Kind,
}

impl SegmenterRequest {
    /// Reads the file. -> its tensors under MONAI's names, and the sizes
    pub(crate) fn parts(&self) -> Result<(PathBuf, Tensors, SwinUnetrConfig)> {
        let path = self.place.find(&self.segmenter)?;
        let tensors = monai_names(weights::read(&path)?.tensors);
        let wrong = |error: Error| Error::format(&path, error.to_string());
        let mut config = SwinUnetrConfig::of(&tensors).map_err(wrong)?;
        if let Some(said) = said(&path)? {
            config.image_size = said.image_size;
        }
        config.image_size = self.image_size.unwrap_or(config.image_size);
        config.check().map_err(wrong)?;
        Ok((path, tensors, config))
    }

    /// Loads the network.
    pub fn load(&self) -> Result<Segmenter> {
        let device = self.place.device.resolve()?;
        let kind = self.place.precision.kind().unwrap_or(Kind::Float); // no other type is compared with MONAI on a GPU
        let (path, tensors, config) = self.parts()?;
        let network = guard(|| SwinUnetr::new(Params::from_tensors(tensors, device, kind), config))
            .map_err(|error| error.in_file(&path))?;
        Ok(Segmenter { network, path, device, kind })
    }
}

/// The configuration that the file carries.
fn said(path: &Path) -> Result<Option<SwinUnetrConfig>> {
    let config = weights::entry(path, CONFIG).map(|text| serde_json::from_str(&text));
    config.transpose().map_err(|error| Error::format(path, format!("its {CONFIG}: {error}")))
}

/// Without the wrapper's name, and without what the network makes itself.
fn monai_names(tensors: Tensors) -> Tensors {
    let names = tensors.into_iter().filter(|(name, _)| !name.ends_with(DERIVED));
    names.map(|(name, tensor)| (name.strip_prefix(WRAPPER).map(str::to_owned).unwrap_or(name), tensor)).collect()
}

impl Segmenter {
    /// Its sizes.
    pub fn config(&self) -> &SwinUnetrConfig {
        &self.network.config
    }

    /// Where it computes: `cpu`, `cuda:0`.
    pub fn device(&self) -> String {
        loader::device_name(self.device)
    }

    /// How exactly it computes: `f32`, `bf16`, `f16`.
    pub fn precision(&self) -> &'static str {
        loader::precision_name(self.kind)
    }

    /// How likely each pixel is inside: images `[B, in_channels, H, W]` of 0 to 1, sides multiples of 32 -> `[B, out_channels, H, W]`
    /// float32 on the CPU.
    pub fn probabilities(&self, images: &Tensor) -> Result<Tensor> {
        guard(|| {
            let logits = self.network.forward(&images.to_device(self.device).to_kind(self.kind))?;
            Ok(logits.to_kind(Kind::Float).sigmoid().to_device(tch::Device::Cpu))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_wrapper() {
        let one = || Tensor::zeros([1], (Kind::Float, tch::Device::Cpu));
        let names = ["original_model.out.conv.conv.bias", "original_model.a.relative_position_index", "encoder1.x"];
        let tensors = names.map(|name| (name.to_owned(), one())).into_iter().collect();
        assert_eq!(monai_names(tensors).into_keys().collect::<Vec<_>>(), ["encoder1.x", "out.conv.conv.bias"]);
    }
}
