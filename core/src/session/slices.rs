//! The slices of a volume as features: prepared and encoded (or found on disk) when they are first needed, kept while they fit
//! a budget in bytes.

use super::ahead::Images;
use super::image::normalised;
use crate::Result;
use crate::features::FeatureFolder;
use crate::intensity::Windows;
use crate::model::{ImageFeatures, Model};
use crate::progress::check;
use crate::volume::Volume;
use std::collections::VecDeque;
use std::sync::Arc;
use tch::Device;

/// A volume and the features of the slices used last.
pub struct Slices {
    /// the volume
    pub volume: Arc<Volume>,
    /// which values become 0 and 1
    pub windows: Windows,
    /// most recently used last
    cache: VecDeque<(usize, ImageFeatures)>,
    budget: usize,
    images: Images,
    /// the slice that is needed after the one asked for, where that is known
    next: Option<usize>,
    /// features kept on disk
    folder: Option<FeatureFolder>,
    /// how many slices were encoded so far
    encoded: usize,
}

impl Slices {
    /// Nothing is computed yet.
    pub fn new(volume: Arc<Volume>, windows: Windows, budget: usize, folder: Option<FeatureFolder>) -> Self {
        let images = Images::new(volume.clone(), windows);
        Self { volume, windows, cache: VecDeque::new(), budget, images, next: None, folder, encoded: 0 }
    }

    /// Says which slice is needed after the one that is asked for now, so that it is read while that one is computed.
    pub fn expect(&mut self, next: Option<usize>) {
        self.next = next.filter(|next| self.cache.iter().all(|(cached, _)| cached != next));
    }

    /// No slice is expected; afterwards nothing reads the volume.
    pub fn settle(&mut self) {
        self.next = None;
        self.images.settle();
    }

    /// The features of a slice.
    pub fn features(&mut self, model: &Model, frame: usize) -> Result<ImageFeatures> {
        if let Some(at) = self.cache.iter().position(|(cached, _)| *cached == frame)
            && let Some(hit) = self.cache.remove(at)
        {
            let features = hit.1.shallow_clone();
            self.cache.push_back(hit);
            return Ok(features);
        }
        let image = self.images.get(frame, self.next.take(), model.config().input())?.image();
        check()?;
        let mut encode = || {
            let features = model.encode_image(&normalised(&image, model.device()));
            self.encoded += 1;
            features
        };
        let features = match &self.folder {
            // trainings know the image with its colours normalised
            Some(folder) => folder.get(&normalised(&image, Device::Cpu), encode)?,
            None => encode(),
        };
        self.cache.push_back((frame, features.shallow_clone()));
        while self.cache.len() > 1 && self.cached_bytes() > self.budget {
            self.cache.pop_front();
        }
        Ok(features)
    }

    /// Bytes of the features kept.
    pub fn cached_bytes(&self) -> usize {
        self.cache.iter().map(|(_, features)| features.bytes()).sum()
    }

    /// How many slices were encoded so far; a click on a slice in the cache adds none.
    pub fn encoded(&self) -> usize {
        self.encoded
    }

    /// The features kept on disk.
    pub fn folder(&self) -> Option<&FeatureFolder> {
        self.folder.as_ref()
    }

    /// Forgets the features in memory.
    pub fn clear(&mut self) {
        self.cache.clear();
        self.images.clear();
    }
}
