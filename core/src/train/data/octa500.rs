//! OCTA-500 (arXiv 2012.07261) in the folders of SAM-OCTA2, with its split by sample number.
//!
//! `RV_LayerSequence/ID/NN.png`: strips of four squares, the raw layer last; `ID/NN/MM.png`: the mask of vessel MM on layer NN.
//! `FAZ_LayerSequence/ID/NN.png`: preview, raw layer, mask. `ProjectionSamples/ID.png`: three projections, vessel mask, FAZ mask.

use super::{Case, Subset, fitted};
use crate::io;
use crate::volume::{Geometry, Labels, Volume, Voxels};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Which of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Octa500 {
    /// the folder with `RV_LayerSequence`, `FAZ_LayerSequence`, `ProjectionSamples`
    pub root: PathBuf,
    /// what is segmented on what
    pub task: Task,
    /// samples for training, instead of the published split
    #[serde(default)]
    pub train: Vec<u32>,
    /// samples for validation, instead of the published split
    #[serde(default)]
    pub validation: Vec<u32>,
}

/// What is segmented on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// single vessels through the layers
    RvLayers,
    /// the foveal avascular zone through the layers
    FazLayers,
    /// all vessels on the three projections
    RvProjection,
    /// the foveal avascular zone on the three projections
    FazProjection,
}

/// The published split: 6 mm samples 10001 to 10300, 3 mm samples 10301 to 10500.
fn published(sample: u32) -> Option<Subset> {
    Some(match sample {
        10001..=10180 | 10301..=10440 => Subset::Train,
        10181..=10200 | 10441..=10450 => Subset::Validation,
        10201..=10300 | 10451..=10500 => Subset::Test,
        _ => return None,
    })
}

impl Octa500 {
    /// One sample, volume and labels.
    pub fn sample(root: PathBuf, task: Task, sample: u32) -> Result<(Volume, Labels)> {
        let cases = Self { root, task, train: vec![sample], validation: Vec::new() }.cases()?;
        cases.first().ok_or_else(|| Error::NotFound(format!("there is no sample {sample}")))?.read()
    }

    pub(super) fn cases(&self) -> Result<Vec<Box<dyn Case>>> {
        let folder = self.root.join(match self.task {
            Task::RvLayers => "RV_LayerSequence",
            Task::FazLayers => "FAZ_LayerSequence",
            Task::RvProjection | Task::FazProjection => "ProjectionSamples",
        });
        let mut cases: Vec<Box<dyn Case>> = Vec::new();
        for path in sorted(&folder)? {
            let Some(sample) = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()) else { continue };
            let subset = if self.train.contains(&sample) {
                Some(Subset::Train)
            } else if self.validation.contains(&sample) {
                Some(Subset::Validation)
            } else if self.train.is_empty() {
                published(sample).filter(|subset| self.validation.is_empty() || *subset != Subset::Validation)
            } else {
                None
            };
            if let Some(subset) = subset {
                cases.push(Box::new(Sample { name: sample.to_string(), subset, path, task: self.task }));
            }
        }
        let known = |wanted: &u32| cases.iter().any(|case| case.name() == wanted.to_string());
        match self.train.iter().chain(&self.validation).find(|wanted| !known(wanted)) {
            Some(missing) => Err(Error::NotFound(format!("{}: there is no sample {missing}", folder.display()))),
            None => Ok(cases),
        }
    }
}

struct Sample {
    name: String,
    subset: Subset,
    path: PathBuf,
    task: Task,
}

impl Case for Sample {
    fn name(&self) -> &str {
        &self.name
    }

    fn subset(&self) -> Subset {
        self.subset
    }

    fn read(&self) -> Result<(Volume, Labels)> {
        let (volume, labels) = match self.task {
            Task::RvLayers => self.layers(3, 4, vessels)?,
            Task::FazLayers => {
                self.layers(1, 3, |strip, _| Ok(strip.square(2, 3).iter().map(|&v| u16::from(v > 127)).collect()))?
            }
            Task::RvProjection => self.projection(3)?,
            Task::FazProjection => self.projection(4)?,
        };
        let labels = fitted(&self.path.display().to_string(), &volume, labels)?;
        Ok((volume, labels))
    }
}

impl Sample {
    /// The layers of a sequence: the raw layer is square `raw` of `squares`; `truth` reads the labels of a layer.
    fn layers(
        &self,
        raw: usize,
        squares: usize,
        truth: impl Fn(&Strip, &Path) -> Result<Vec<u16>>,
    ) -> Result<(Volume, Labels)> {
        let (mut pixels, mut labels, mut side) = (Vec::new(), Vec::new(), 0);
        for path in sorted(&self.path)? {
            if path.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("png")) {
                continue;
            }
            let strip = Strip::read(&path)?;
            if side != 0 && side != strip.rows {
                let what = format!("{} pixels high, the layers before {side}", strip.rows);
                return Err(Error::format(&path, what));
            }
            side = strip.rows;
            pixels.extend(strip.square(raw, squares));
            labels.extend(truth(&strip, &path)?);
        }
        if side == 0 {
            return Err(Error::format(&self.path, "holds no layers (PNG files)"));
        }
        self.stack(pixels, labels, side)
    }

    /// The three projections as slices, each with the same labels.
    fn projection(&self, mask: usize) -> Result<(Volume, Labels)> {
        let strip = Strip::read(&self.path)?;
        let truth: Vec<u16> = strip.square(mask, 5).iter().map(|&v| u16::from(v > 127)).collect();
        let pixels = (0..3).flat_map(|square| strip.square(square, 5)).collect();
        self.stack(pixels, truth.repeat(3), strip.rows)
    }

    fn stack(&self, pixels: Vec<u8>, data: Vec<u16>, side: usize) -> Result<(Volume, Labels)> {
        let frames = pixels.len() / (side * side);
        let volume = Volume::new([frames, side, side, 1], Voxels::U8(pixels), Geometry::unknown(), "OCTA-500")?;
        let labels = Labels { data, ..Labels::empty_like(&volume) };
        if labels.data.len() != frames * side * side {
            return Err(Error::format(&self.path, "masks of another size than the layers"));
        }
        Ok((volume, labels))
    }
}

/// The vessels of a layer: one mask each, numbered by its file's name plus one.
fn vessels(strip: &Strip, layer: &Path) -> Result<Vec<u16>> {
    let mut labels = vec![0; strip.rows * strip.rows];
    let folder = layer.with_extension("");
    if !folder.is_dir() {
        return Ok(labels); // no vessel on this layer
    }
    for path in sorted(&folder)? {
        let Some(number) = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u16>().ok()) else { continue };
        if path.extension().is_none_or(|ending| ending != "png") {
            continue;
        }
        let mask = Strip::read(&path)?;
        if mask.rows != strip.rows || mask.pixels.len() != labels.len() {
            return Err(Error::format(&path, "is of another size than the layer"));
        }
        for (label, &value) in labels.iter_mut().zip(&mask.pixels) {
            if value > 127 {
                *label = number + 1;
            }
        }
    }
    Ok(labels)
}

/// A picture of several squares side by side, 8-bit grey.
pub(super) struct Strip {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pixels: Vec<u8>,
}

impl Strip {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let volume = io::open(path, &io::OpenOptions::default())?;
        let Volume { rows, columns, channels, .. } = volume;
        let Voxels::U8(values) = volume.frame(0)? else {
            return Err(Error::format(path, "is not of 8 bits"));
        };
        let grey = |pixel: &[u8]| match pixel {
            [r, g, b] if r == g && g == b => *r,
            [r, g, b] => ((u32::from(*r) * 299 + u32::from(*g) * 587 + u32::from(*b) * 114 + 500) / 1000) as u8,
            _ => pixel[0],
        };
        Ok(Self { rows, columns, pixels: values.chunks_exact(channels).map(grey).collect() })
    }

    /// Square `at` of `squares`.
    pub(super) fn square(&self, at: usize, squares: usize) -> Vec<u8> {
        let side = self.columns / squares;
        let rows = self.pixels.chunks_exact(self.columns);
        rows.flat_map(|row| row[at * side..(at + 1) * side].iter().copied()).collect()
    }
}

/// What lies in a folder, by name.
pub(super) fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut paths: Vec<_> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()
        .map_err(Error::io(folder))?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_split() {
        let of = |sample| published(sample);
        assert_eq!([10001, 10180, 10301, 10440].map(of), [Some(Subset::Train); 4]);
        assert_eq!([10181, 10200, 10441, 10450].map(of), [Some(Subset::Validation); 4]);
        assert_eq!([10201, 10300, 10451, 10500].map(of), [Some(Subset::Test); 4]);
        assert_eq!([10000, 10501].map(of), [None; 2]);
    }
}
