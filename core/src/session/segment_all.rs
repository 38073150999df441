//! Vessels and the avascular zone of every slice without a prompt, from a model that has the head for it (`model::dense_head`).

use super::image::{GreySlices, Pixels, normalised};
use crate::device::transfer::download;
use crate::guard::{guard, torch};
use crate::intensity::Intensity;
use crate::model::Model;
use crate::model::dense_head::logit;
use crate::model::layers::resize_bilinear;
use crate::progress::Observer;
use crate::vessels::{clean_vessels, clean_zone, objects};
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use tch::{Kind, Tensor};

/// What was found without a prompt.
pub struct Found {
    /// all vessels, as object 1
    pub vessels: Labels,
    /// the foveal avascular zone, as object 1; empty where there is none
    pub faz: Labels,
    /// both as objects: 1 is the zone, from 2 on a vessel each ([`objects`])
    pub objects: Labels,
}

/// Whatever is likelier on every slice than `threshold` (0 to 1), or than what the model's configuration says for its head (the one place where
/// thresholds are kept), without specks and pinholes ([`clean_vessels`], [`clean_zone`]). Progress: stage `"segment"`, one step per slice.
/// Errors: a model without the head, a threshold out of range, cancelled.
pub fn segment_all(
    model: &Model,
    volume: &Volume,
    intensity: Intensity,
    threshold: Option<f64>,
    observer: &mut dyn Observer,
) -> Result<Found> {
    if let Some(threshold) = threshold.filter(|threshold| !(*threshold > 0.0 && *threshold < 1.0)) {
        return Err(Error::invalid(format!("segment_all: threshold {threshold} must lie between 0 and 1")));
    }
    let none = || Error::invalid("segment_all: this model answers prompts only (its configuration has no dense_head)");
    let own = model.dense_thresholds().ok_or_else(none)?;
    let thresholds = threshold.map_or(own, |threshold| [threshold; 2]).map(logit);
    let windows = intensity.of(volume)?;
    let size = [volume.rows as i64, volume.columns as i64];
    let [mut vessels, mut faz] = [Labels::empty_like(volume), Labels::empty_like(volume)];
    let mut grey = GreySlices::default();
    for frame in 0..volume.frames {
        observer.step("segment", frame, volume.frames)?;
        let pixels = Pixels::read(&mut grey, volume, frame, windows, model.config().input())?;
        let image = || normalised(&pixels.image(), model.device());
        let logits = guard(|| model.dense(&model.encode_image(&image())).ok_or_else(none))?;
        for (class, labels) in [&mut vessels, &mut faz].into_iter().enumerate() {
            let logits = logits.narrow(1, class as i64, 1).to_kind(Kind::Float);
            let found = guard(|| Ok(resize_bilinear(&logits, size).gt(thresholds[class])))?;
            write(labels.frame_mut(frame), &found)?;
        }
    }
    observer.step("segment", volume.frames, volume.frames)?;
    let (vessels, faz) = (clean_vessels(&vessels), clean_zone(&faz));
    let objects = objects(&vessels, &faz)?;
    Ok(Found { vessels, faz, objects })
}

fn write(labels: &mut [u16], found: &Tensor) -> Result<()> {
    let found = guard(|| torch(|| Vec::<bool>::try_from(download(found).f_flatten(0, -1)?)))?;
    labels.iter_mut().zip(found).for_each(|(label, inside)| *label = u16::from(inside));
    Ok(())
}
