//! Features of images on disk, where the encoder does not change: every image goes through it once, whatever the number of epochs.
//!
//! A file for every image, named after the sha256 of the weights and of the image's numbers: another model, another slice, another
//! window is another file.

use super::clip::tensors;
use crate::guard::torch;
use crate::model::ImageFeatures;
use crate::weights::{Tensors, write_safetensors};
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};

const NAMES: [&str; 3] = ["vision", "high_res.0", "high_res.1"];

/// A folder of features.
pub struct FeatureCache {
    folder: PathBuf,
    /// what the features depend on, besides the image
    model: String,
}

impl FeatureCache {
    /// In a folder, which is created; `model` names weights and precision.
    pub fn new(folder: PathBuf, model: String) -> Result<Self> {
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        Ok(Self { folder, model })
    }

    /// The features of an image, computed where they are not there yet. Errors: the disk is full; a file that was damaged.
    pub fn get(&self, image: &Tensor, compute: impl FnOnce() -> ImageFeatures) -> Result<ImageFeatures> {
        let path = self.folder.join(format!("{}.safetensors", self.key(image)?));
        if path.exists() {
            let read: BTreeMap<_, _> = torch(|| Tensor::read_safetensors(&path))?.into_iter().collect();
            let part = |name: &str| read.get(name).map(|tensor| tensor.to_device(image.device()));
            let [vision, low, high] = NAMES.map(part);
            let vision = vision.ok_or_else(|| Error::format(&path, "no features; delete the file"))?;
            return Ok(ImageFeatures::new(vision, low.zip(high).map(|(low, high)| [low, high])));
        }
        let ImageFeatures { vision, high_res, .. } = compute();
        // laid out as they will be read, so that a run on an empty folder and one on a full folder have the same numbers
        let high_res = high_res.map(|levels| levels.map(|level| level.contiguous()));
        let features = ImageFeatures::new(vision.contiguous(), high_res);
        let named =
            NAMES.iter().zip(tensors(&features)).map(|(name, tensor)| ((*name).to_owned(), tensor.shallow_clone()));
        write_safetensors(&path, &named.collect::<Tensors>(), HashMap::new())?;
        Ok(features)
    }

    fn key(&self, image: &Tensor) -> Result<String> {
        let numbers = torch(|| {
            let flat = image.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_flatten(0, -1)?;
            Vec::<f32>::try_from(flat)
        })?;
        let mut hash = Sha256::new();
        hash.update(&self.model);
        numbers.iter().for_each(|number| hash.update(number.to_le_bytes()));
        Ok(format!("{:x}", hash.finalize()))
    }
}
