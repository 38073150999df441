//! What a phantom is to be like: what is left out is drawn from the seed.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Which layers of the retina the slices go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layers {
    /// through the whole inner retina, equally far apart
    #[default]
    Whole,
    /// close together in the superficial plexus: large vessels in strips and rings, as in OCTA-500's vessel sequences
    Vessels,
    /// close together in the deep plexus: a FAZ that an arc cuts, as in OCTA-500's FAZ sequences
    Faz,
}

/// How the scanner maps flow to grey values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scanner {
    /// most voxels 0: a threshold was subtracted (OCTA-500's layer sequences)
    Dark,
    /// background and noise stay visible
    Bright,
}

/// A phantom. Equal options give equal phantoms. Strengths are factors: 0 is none, 1 what real scans show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhantomOptions {
    /// everything random follows from it
    pub seed: u64,
    /// rows and columns of a slice, 64 to 1024
    pub size: usize,
    /// number of slices, 1 to 256
    pub slices: usize,
    /// width and height of the field in millimetres: 3 or 6
    pub field: f64,
    /// which layers the slices go through
    pub layers: Layers,
    /// default: drawn from the seed
    pub scanner: Option<Scanner>,
    /// area of the foveal avascular zone in mm², 0.05 to 1; default: drawn from the healthy range (Linderman 2017)
    pub faz_mm2: Option<f64>,
    /// speckle and noise, 0 to 3
    pub noise: f32,
    /// broken and displaced scan lines, 0 to 3
    pub motion: f32,
    /// darkening towards the edges, floaters, uneven light, 0 to 3
    pub vignetting: f32,
    /// what superficial vessels leave in deeper layers: tails and shadows, 0 to 3
    pub projection: f32,
    /// brightness of the capillary mesh, 0 to 3
    pub capillaries: f32,
    /// share of the field without capillaries (non-perfusion, as in diabetic retinopathy), 0 to 0.8
    pub dropout: f32,
}

impl Default for PhantomOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            size: 512,
            slices: 16,
            field: 3.0,
            layers: Layers::Whole,
            scanner: None,
            faz_mm2: None,
            noise: 1.0,
            motion: 1.0,
            vignetting: 1.0,
            projection: 1.0,
            capillaries: 1.0,
            dropout: 0.0,
        }
    }
}

impl PhantomOptions {
    /// Options from JSON. Errors: an unknown key, a value of the wrong type or out of its range.
    pub fn from_json(value: serde_json::Value) -> Result<Self> {
        if !value.is_object() {
            return Err(Error::invalid("phantom: the options must be a JSON object"));
        }
        let options: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            let place = error.path().to_string();
            let place = if place == "." { String::new() } else { format!(" `{place}`") };
            Error::invalid(format!("phantom: option{place}: {}", error.inner()))
        })?;
        options.check()?;
        Ok(options)
    }

    /// Is every value within its range?
    pub fn check(&self) -> Result<()> {
        within("size", self.size as f64, 64.0..=1024.0)?;
        within("slices", self.slices as f64, 1.0..=256.0)?;
        if self.field != 3.0 && self.field != 6.0 {
            return Err(Error::invalid(format!("phantom: field is {} and must be 3 or 6 (millimetres)", self.field)));
        }
        if let Some(area) = self.faz_mm2 {
            within("faz_mm2", area, 0.05..=1.0)?;
        }
        let strengths = [
            ("noise", self.noise),
            ("motion", self.motion),
            ("vignetting", self.vignetting),
            ("projection", self.projection),
            ("capillaries", self.capillaries),
        ];
        strengths.into_iter().try_for_each(|(name, value)| within(name, f64::from(value), 0.0..=3.0))?;
        within("dropout", f64::from(self.dropout), 0.0..=0.8)
    }
}

fn within(name: &str, value: f64, range: RangeInclusive<f64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = (range.start(), range.end());
    Err(Error::invalid(format!("phantom: {name} is {value} and must lie between {low} and {high}")))
}
