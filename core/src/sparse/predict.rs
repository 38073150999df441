//! A volume to regions and vessels, slice by slice: `Volume -> probabilities -> region -> region and en-face map -> Labels, pictures`.
//!
//! Threshold and clean-up work in the network's square, where their sizes mean the same for every volume and the results are SAM-OCTA2's;
//! what is found comes back to the slices' own grid.

use super::Segmenter;
use super::input::{self, resized, resized_map, resized_mask};
use crate::intensity::{Intensity, Windows};
use crate::io::Probabilities;
use crate::measure::{Connectivity, fill_holes, remove_small, smooth};
use crate::picture::{Draw, Strip, write_strips};
use crate::progress::{Observer, check};
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;
use tch::Tensor;

/// side of the square for which SAM-OCTA2's numbers are meant
const SIDE: f64 = 512.0;
/// components of fewer pixels go
const MIN_SIZE: f64 = 500.0;
/// standard deviation of the smoothing, in pixels
const SIGMA: f64 = 5.0;

/// From probabilities to a region. Sizes are in pixels of the network's square.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleanUp {
    /// inside is what is likelier than this
    pub threshold: f64,
    /// components of fewer pixels are removed; default: 500 in a square of 512, in proportion in others
    pub min_size: Option<usize>,
    /// holes are filled
    pub fill_holes: bool,
    /// standard deviation of the Gaussian whose Otsu threshold is the smoothed region, 0: none; default: 5 in a square of 512, in proportion
    /// in others
    pub sigma: Option<f64>,
}

impl Default for CleanUp {
    /// SAM-OCTA2's.
    fn default() -> Self {
        Self { threshold: 0.8, min_size: None, fill_holes: true, sigma: None }
    }
}

impl CleanUp {
    /// Errors: numbers that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.threshold) {
            return Err(Error::invalid(format!("threshold is {}: 0 to below 1", self.threshold)));
        }
        match self.sigma {
            Some(sigma) if !(0.0..=100.0).contains(&sigma) => {
                Err(Error::invalid(format!("sigma is {sigma}: 0 (no smoothing) to 100 pixels")))
            }
            _ => Ok(()),
        }
    }

    /// The region of one slice: probabilities and result `[side, side]`.
    pub fn region(&self, probabilities: &[f32], side: usize) -> Vec<bool> {
        let scale = side as f64 / SIDE;
        let inside = probabilities.iter().map(|&p| f64::from(p) > self.threshold).collect();
        let least = self.min_size.unwrap_or((MIN_SIZE * scale * scale).round() as usize);
        let mut grid = remove_small(&input::square(inside, side), least, Connectivity::Corners);
        if self.fill_holes {
            grid = fill_holes(&grid);
        }
        let sigma = self.sigma.unwrap_or(SIGMA * scale);
        if sigma > 0.0 { smooth(&grid, sigma).inside } else { grid.inside }
    }
}

/// What a prediction has found so far.
pub struct Predicted {
    /// the region, object 1
    pub region: Labels,
    /// the vessels within it, object 1; none without a vessel map
    pub vessels: Option<Labels>,
    /// how likely each voxel is in the region, where they are kept
    pub probabilities: Option<Probabilities>,
    /// for every slice that is done, the share of pixels that is expected to be on the wrong side of one half: the mean of min(p, 1 - p)
    pub expected_error: Vec<f64>,
}

impl Predicted {
    /// Slices that are done.
    pub fn done(&self) -> usize {
        self.expected_error.len()
    }
}

/// Goes through the slices of a volume, a few at a time.
pub struct Predictor<'a> {
    segmenter: &'a Segmenter,
    /// without colour
    volume: Volume,
    windows: Windows,
    clean: CleanUp,
    /// slices that go through the network together
    batch: usize,
    /// the en-face vessel map on the slices' grid, and in the network's square
    maps: Option<[Vec<bool>; 2]>,
    ahead: VecDeque<Layer>,
    /// what was found so far
    pub predicted: Predicted,
}

/// One slice in the network's square.
struct Layer {
    /// 0 to 1
    image: Vec<f32>,
    probabilities: Vec<f32>,
}

impl<'a> Predictor<'a> {
    /// For all slices of `volume`. Errors: a network with several channels or masks, sizes that make no sense.
    pub fn new(segmenter: &'a Segmenter, volume: &Volume, intensity: Intensity, clean: CleanUp) -> Result<Self> {
        clean.check()?;
        let config = segmenter.config();
        if (config.in_channels, config.out_channels) != (1, 1) {
            return Err(Error::format(
                &segmenter.path,
                format!(
                    "a network from {} channels to {} masks; regions are predicted from one channel, as one mask",
                    config.in_channels, config.out_channels
                ),
            ));
        }
        let volume = input::grey(volume)?;
        let predicted = Predicted {
            region: Labels::empty_like(&volume),
            vessels: None,
            probabilities: None,
            expected_error: Vec::with_capacity(volume.frames),
        };
        let batch = if segmenter.device() == "cpu" { 1 } else { 8 };
        let windows = intensity.of(&volume)?;
        Ok(Self { segmenter, windows, volume, clean, batch, maps: None, ahead: VecDeque::new(), predicted })
    }

    /// So many slices at a time; default: 1 on a CPU, 8 on a GPU. Errors: 0.
    pub fn with_batch(self, batch: usize) -> Result<Self> {
        if batch == 0 {
            return Err(Error::invalid("batch is 0: at least one slice goes through the network"));
        }
        Ok(Self { batch, ..self })
    }

    /// Vessels are the region within this en-face map of `[rows, columns]`, of any size.
    pub fn with_vessels(mut self, [rows, columns]: [usize; 2], map: &[bool]) -> Result<Self> {
        let side = self.side();
        let on = |size| resized_map(map, [rows, columns], size);
        self.maps = Some([on([self.volume.rows, self.volume.columns])?, on([side, side])?]);
        self.predicted.vessels = Some(Labels::empty_like(&self.volume));
        Ok(self)
    }

    /// Probabilities are kept, too.
    pub fn with_probabilities(mut self) -> Result<Self> {
        let mut probabilities = Probabilities::on_grid_of(&self.predicted.region);
        let size = self.predicted.region.data.len();
        let lacking = |_| Error::Unsupported("not enough memory for the probabilities of all slices".into());
        probabilities.data.try_reserve_exact(size).map_err(lacking)?;
        probabilities.data.resize(size, 0.0);
        probabilities.objects.push(1);
        self.predicted.probabilities = Some(probabilities);
        Ok(self)
    }

    /// Which values the network sees as 0 and 1.
    pub fn windows(&self) -> Windows {
        self.windows
    }

    fn side(&self) -> usize {
        self.segmenter.config().image_size as usize
    }

    /// All slices; a folder of four-panel pictures ([`write_strips`]) if one is named. Progress: stage `"predict"`, one step per slice. When
    /// it fails or is cancelled, [`Self::predicted`] has the slices that are done.
    pub fn run(&mut self, pictures: Option<&Path>, observer: &mut dyn Observer) -> Result<()> {
        let frames = self.volume.frames;
        match pictures {
            None => (0..frames).try_for_each(|frame| self.layer(frame, observer, &mut |_| Ok(()))),
            Some(folder) => {
                write_strips(folder, frames, &mut (), &mut |frame, strip| self.layer(frame, observer, strip))
            }
        }?;
        observer.step("predict", frames, frames)
    }

    /// One slice, the next one.
    fn layer(&mut self, frame: usize, observer: &mut dyn Observer, strip: &mut Draw<'_>) -> Result<()> {
        check()?;
        observer.step("predict", frame, self.volume.frames)?;
        if self.ahead.is_empty() {
            self.ahead = self.compute(frame)?;
        }
        let Some(Layer { image, probabilities }) = self.ahead.pop_front() else { return Ok(()) };
        let side = self.side();
        let region = self.clean.region(&probabilities, side);
        let vessels = match &self.maps {
            Some([_, map]) => region.iter().zip(map).map(|(&inside, &vessel)| inside && vessel).collect(),
            None => vec![false; region.len()],
        };
        let layer: Vec<u8> = image.iter().map(|&v| (v * 255.0).round() as u8).collect();
        strip(Strip { side, layer: &layer, region: &region, vessels: &vessels })?;
        self.keep(frame, &region, &probabilities)
    }

    /// Back to the slice's own grid.
    fn keep(&mut self, frame: usize, region: &[bool], probabilities: &[f32]) -> Result<()> {
        let (side, size) = (self.side(), [self.volume.rows, self.volume.columns]);
        let region = resized_mask(region, [side, side], size)?;
        let Predicted { region: labels, vessels, probabilities: kept, expected_error } = &mut self.predicted;
        labels.frame_mut(frame).iter_mut().zip(&region).for_each(|(to, &inside)| *to = u16::from(inside));
        if let (Some(vessels), Some([map, _])) = (vessels, &self.maps) {
            let both = region.iter().zip(map).map(|(&inside, &vessel)| inside && vessel);
            vessels.frame_mut(frame).iter_mut().zip(both).for_each(|(to, inside)| *to = u16::from(inside));
        }
        if let Some(kept) = kept {
            let values = input::values(&resized(probabilities, [side, side], size.map(|side| side as i64))?)?;
            kept.data[frame * values.len()..][..values.len()].copy_from_slice(&values);
        }
        let wrong: f64 = probabilities.iter().map(|&p| f64::from(p.min(1.0 - p))).sum();
        expected_error.push(wrong / probabilities.len() as f64);
        Ok(())
    }

    /// The next few slices through the network.
    fn compute(&self, from: usize) -> Result<VecDeque<Layer>> {
        let frames = from..(from + self.batch).min(self.volume.frames);
        let slice = |frame| input::slice(&self.volume, frame, self.windows, self.side() as i64);
        let images: Vec<Tensor> = frames.map(slice).collect::<Result<_>>()?;
        let answers = self.segmenter.probabilities(&crate::guard::guard(|| Ok(Tensor::cat(&images, 0)))?)?;
        let layer = |(at, image): (usize, &Tensor)| {
            let probabilities = input::values(&answers.select(0, at as i64))?;
            if probabilities.iter().any(|p| !p.is_finite()) {
                return Err(Error::invalid(format!(
                    "slice {}: the network's answer is not finite; try precision f32, or other weights",
                    from + at
                )));
            }
            Ok(Layer { image: input::values(image)?, probabilities })
        };
        images.iter().enumerate().map(layer).collect()
    }
}
