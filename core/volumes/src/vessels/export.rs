//! Vessels and FAZ in the folders of SAM-OCTA2, readable by its loaders (`octa_datasets.py`) and by our trainer
//! (`core/src/train/data/octa500.rs`).
//!
//! `RV_LayerSequence/ID/NNN.png`: region, region over the layer, vessels over the layer, layer, side by side; `ID/NNN/MM.png`: the mask of object
//! MM + 1; `ID/NNN/objects.npy`: which there are; `ID/ref_mask/NNN.png`: vessels white and coloured; `Colored_RV/ID.png`: the map.
//! `FAZ_LayerSequence/ID/NNN.png`: preview, layer, mask.

use super::{COLOURS, coloured};
use crate::intensity::{Intensity, Windows};
use crate::io::png::{self, Pixels};
use crate::io::{self, atomic_file, npy};
use crate::progress::Observer;
use crate::volume::{Labels, Volume, Voxels};
use crate::{Error, Result};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// What is written.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// its number; OCTA-500 has 10001 to 10300 (6 mm) and 10301 to 10500 (3 mm)
    pub number: u32,
    /// the layers, square
    pub volume: &'a Volume,
    /// vessels on the layers, one number each
    pub vessels: Option<&'a Labels>,
    /// where each layer cuts through the plexus. _Default: the vessels themselves._
    pub regions: Option<&'a Labels>,
    /// the foveal avascular zone on the layers; whatever is not 0
    pub faz: Option<&'a Labels>,
    /// the number of the first slice
    pub first: usize,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ExportReport {
    /// layers in `RV_LayerSequence`: from the first that has a vessel to the last
    pub vessel_layers: usize,
    /// vessels in them
    pub vessels: usize,
    /// the coloured map; none where there are more vessels than SAM-OCTA2 has colours
    pub coloured: Option<PathBuf>,
    /// layers in `FAZ_LayerSequence`
    pub faz_layers: usize,
}

impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} layers with {} vessels, {} layers with a FAZ",
            self.vessel_layers, self.vessels, self.faz_layers
        )?;
        if self.vessels > 0 && self.coloured.is_none() {
            write!(f, "; no coloured map: objects above {}", COLOURS.len())?;
        }
        Ok(())
    }
}

/// Writes a sample under `root`. Slices become 8 bits as for the model (`intensity`). Errors: layers that are not square or are coloured, labels on
/// another grid, nothing labelled, a sample that is there already.
pub fn export<'a>(root: &Path, sample: &Sample<'a>, observer: &mut dyn Observer) -> Result<ExportReport> {
    check(sample)?;
    let onto = |name: &str, labels: Option<&'a Labels>| {
        let there = labels.map(|labels| labels.onto(sample.volume.lattice())).transpose();
        there.map_err(|error| Error::invalid(format!("`{name}`: {error}")))
    };
    let (vessels, regions) = (onto("vessels", sample.vessels)?, onto("regions", sample.regions)?);
    let faz = onto("faz", sample.faz)?;
    let sample = &Sample { vessels: vessels.as_deref(), regions: regions.as_deref(), faz: faz.as_deref(), ..*sample };
    let layers = Layers { windows: Intensity::default().of(sample.volume)?, sample };
    let mut report = ExportReport::default();
    if let Some(vessels) = sample.vessels {
        let folder = fresh(root, "RV_LayerSequence", sample.number)?;
        let used = used(vessels);
        report.vessel_layers = used.len();
        report.vessels = vessels.objects().len();
        for (done, frame) in used.clone().enumerate() {
            observer.step("write", done, used.len())?;
            layers.vessels(&folder, frame, vessels)?;
        }
        report.coloured = layers.map(root, vessels)?;
    }
    if let Some(faz) = sample.faz {
        let folder = fresh(root, "FAZ_LayerSequence", sample.number)?;
        let used = used(faz);
        report.faz_layers = used.len();
        for (done, frame) in used.clone().enumerate() {
            observer.step("write", done, used.len())?;
            layers.faz(&folder, frame, faz)?;
        }
    }
    if report.vessel_layers + report.faz_layers == 0 {
        return Err(Error::invalid("nothing to export: no slice has a vessel or a FAZ"));
    }
    Ok(report)
}

fn check(sample: &Sample<'_>) -> Result<()> {
    let Volume { rows, columns, channels, .. } = *sample.volume;
    if rows != columns || channels != 1 {
        let what = "SAM-OCTA2 reads square grey layers; crop the volume, or choose a channel";
        return Err(Error::invalid(format!("slices of {columns} x {rows} pixels with {channels} channel(s): {what}")));
    }
    Ok(())
}

/// The folder of a sample, which must not be there yet: its loaders take whatever lies in it.
fn fresh(root: &Path, kind: &str, number: u32) -> Result<PathBuf> {
    let folder = root.join(kind).join(number.to_string());
    match folder.symlink_metadata() {
        Ok(_) => Err(Error::format(&folder, "is there already: name another sample number or root, or remove it")),
        Err(_) => Ok(folder),
    }
}

/// The slices from the first with an object to the last.
fn used(labels: &Labels) -> std::ops::Range<usize> {
    let mut frames = (0..labels.frames).filter(|&frame| labels.frame(frame).iter().any(|&label| label != 0));
    let Some(first) = frames.next() else { return 0..0 };
    first..frames.next_back().unwrap_or(first) + 1
}

struct Layers<'a> {
    windows: Windows,
    sample: &'a Sample<'a>,
}

impl Layers<'_> {
    /// A slice in 8 bits.
    fn raw(&self, frame: usize) -> Result<Vec<u8>> {
        let voxels = self.sample.volume.frame(frame)?;
        if let Voxels::U8(values) = voxels {
            return Ok(values);
        }
        let values = voxels.to_f32();
        let window = self.windows.of_slice(&values);
        let scale = 255.0 / (window.high - window.low);
        Ok(values.iter().map(|&v| ((f64::from(v) - window.low) * scale).round().clamp(0.0, 255.0) as u8).collect())
    }

    /// `237`, as many digits for every layer, so that names sort as layers do.
    fn name(&self, frame: usize) -> String {
        let digits = (self.sample.first + self.sample.volume.frames - 1).to_string().len();
        format!("{:0digits$}", self.sample.first + frame)
    }

    fn vessels(&self, folder: &Path, frame: usize, vessels: &Labels) -> Result<()> {
        let (raw, name) = (self.raw(frame)?, self.name(frame));
        let labels = vessels.frame(frame);
        let region: Vec<bool> = self.sample.regions.unwrap_or(vessels).frame(frame).iter().map(|&v| v != 0).collect();
        let vessel: Vec<bool> = labels.iter().map(|&v| v != 0).collect();
        let squares = [white(&region), over(&raw, &region), over(&raw, &vessel), grey(&raw)];
        self.strip(&folder.join(format!("{name}.png")), &squares)?;
        let colour = |&v: &u16| usize::from(v).checked_sub(1).and_then(|n| COLOURS.get(n).copied()).unwrap_or([0; 3]);
        let reference = [white(&vessel), labels.iter().map(colour).collect()];
        self.strip(&folder.join("ref_mask").join(format!("{name}.png")), &reference)?;
        let mut there: Vec<u16> = labels.iter().copied().filter(|&label| label != 0).collect();
        there.sort_unstable();
        there.dedup();
        let side = self.sample.volume.rows;
        for &object in &there {
            let mask: Vec<u8> = labels.iter().map(|&label| if label == object { 255 } else { 0 }).collect();
            let path = folder.join(&name).join(format!("{:02}.png", object - 1));
            atomic_file(&path, |temporary| png::write(temporary, side, side, Pixels::Grey8(&mask)))?;
        }
        let numbers: Vec<i32> = there.iter().map(|&object| i32::from(object) - 1).collect();
        let path = folder.join(&name).join("objects.npy");
        atomic_file(&path, |temporary| npy::write(temporary, &numbers, &[numbers.len() as u64]))
    }

    fn faz(&self, folder: &Path, frame: usize, faz: &Labels) -> Result<()> {
        let raw = self.raw(frame)?;
        let inside: Vec<bool> = faz.frame(frame).iter().map(|&v| v != 0).collect();
        let squares = [over(&raw, &inside), grey(&raw), white(&inside)];
        self.strip(&folder.join(format!("{}.png", self.name(frame))), &squares)
    }

    /// The map that the layers were cut from, as far as they show it.
    fn map(&self, root: &Path, vessels: &Labels) -> Result<Option<PathBuf>> {
        let Ok(picture) = coloured(&vessels.project()) else { return Ok(None) };
        let path = root.join("Colored_RV").join(format!("{}.png", self.sample.number));
        io::write_picture(&picture, &path)?;
        Ok(Some(path))
    }

    /// Squares side by side.
    fn strip(&self, path: &Path, squares: &[Vec<[u8; 3]>]) -> Result<()> {
        let side = self.sample.volume.rows;
        let rows =
            (0..side).flat_map(|row| squares.iter().flat_map(move |square| &square[row * side..(row + 1) * side]));
        let pixels: Vec<u8> = rows.flatten().copied().collect();
        atomic_file(path, |temporary| png::write(temporary, side * squares.len(), side, Pixels::Rgb8(&pixels)))
    }
}

fn white(inside: &[bool]) -> Vec<[u8; 3]> {
    inside.iter().map(|&inside| [if inside { 255 } else { 0 }; 3]).collect()
}

fn grey(raw: &[u8]) -> Vec<[u8; 3]> {
    raw.iter().map(|&v| [v; 3]).collect()
}

/// Half green, half the layer at twice its brightness. SAM-OCTA2 reads vessels as green minus blue.
fn over(raw: &[u8], inside: &[bool]) -> Vec<[u8; 3]> {
    let pixel = |(&v, &inside): (&u8, &bool)| {
        let half = v.saturating_mul(2) / 2;
        [half, half + if inside { 127 } else { 0 }, half]
    };
    raw.iter().zip(inside).map(pixel).collect()
}
