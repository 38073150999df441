//! Segmentation by clicks without a model, for comparison: `slice + clicks -> mask`.
//!
//! Every method makes a mask of the whole slice, then the clicks choose: parts with a positive click stay, less what is nearer to a
//! negative one (`at_clicks`). The random walker alone uses the clicks throughout.

mod frangi;
mod walker;

pub use frangi::frangi;

use crate::clicks::Click;
use crate::measure::filters::{gaussian, otsu};
use crate::measure::{Connectivity, Grid, components};
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How a slice is segmented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// pixels within a tolerance of the clicked values
    RegionGrowing,
    /// Otsu's threshold; the side on which most positive clicks lie
    Otsu,
    /// [`frangi`], then as `Otsu`
    Frangi,
    /// Grady 2006, with the clicks as seeds
    RandomWalker,
}

impl Method {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::RegionGrowing, "region_growing"),
        (Self::Otsu, "otsu"),
        (Self::Frangi, "frangi"),
        (Self::RandomWalker, "random_walker"),
    ];
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(method, _)| method).ok_or_else(|| {
            Error::invalid(format!("method \"{text}\" is none of {}", Self::ALL.map(|(_, name)| name).join(", ")))
        })
    }
}

/// Numbers of the methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Gaussian before all methods but Frangi's, in pixels; 0: none
    pub sigma: f64,
    /// region growing: how far from the clicked values, in standard deviations of the slice
    pub tolerance: f64,
    /// Frangi: the Gaussians, in pixels
    pub scales: Vec<f64>,
    /// random walker: how much a difference of values hinders
    pub beta: f64,
    /// random walker: what is farther than this from all positive clicks is background, in pixels; default: a quarter of the shorter side
    pub reach: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { sigma: 1.0, tolerance: 0.5, scales: vec![1.0, 2.0, 3.0], beta: 90.0, reach: None }
    }
}

/// One channel of one slice.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    /// `[rows, columns]`
    pub values: &'a [f32],
    /// height in pixels
    pub rows: usize,
    /// width in pixels
    pub columns: usize,
}

/// The mask that answers the clicks, `[rows, columns]`. Errors: no positive click; clicks outside; values that are no numbers; options out of
/// range.
pub fn segment(slice: Slice<'_>, method: Method, clicks: &[Click], options: &Options) -> Result<Vec<bool>> {
    check(&slice, clicks, options)?;
    let shape = [slice.rows, slice.columns];
    let raw: Vec<f64> = slice.values.iter().map(|&value| f64::from(value)).collect();
    let values = if method == Method::Frangi {
        frangi(&raw, shape, &options.scales)
    } else {
        smoothed(raw, shape, options.sigma)
    };
    let mask = match method {
        Method::RegionGrowing => near_clicked(&values, shape, clicks, options.tolerance),
        Method::Otsu | Method::Frangi => side_of_clicks(&values, shape, clicks),
        Method::RandomWalker => walker::inside(&values, shape, clicks, options)?,
    };
    Ok(at_clicks(mask, shape, clicks))
}

/// Object 1 on one slice of a volume; colours count by their mean. Errors: no such slice; those of [`segment`].
pub fn segment_frame(
    volume: &Volume,
    frame: usize,
    method: Method,
    clicks: &[Click],
    options: &Options,
) -> Result<Labels> {
    let values = volume.frame(frame)?.to_f32();
    let mean = |pixel: &[f32]| pixel.iter().sum::<f32>() / pixel.len() as f32;
    let values: Vec<f32> = values.chunks(volume.channels).map(mean).collect();
    let slice = Slice { values: &values, rows: volume.rows, columns: volume.columns };
    let mask = segment(slice, method, clicks, options)?;
    let mut labels = Labels::empty_like(volume);
    labels.frame_mut(frame).iter_mut().zip(mask).for_each(|(to, inside)| *to = u16::from(inside));
    Ok(labels)
}

fn check(slice: &Slice<'_>, clicks: &[Click], options: &Options) -> Result<()> {
    let Slice { values, rows, columns } = *slice;
    if values.len() != rows * columns {
        return Err(Error::invalid(format!("{} values are no slice of {rows} x {columns} pixels", values.len())));
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Error::invalid("the slice holds values that are no finite numbers"));
    }
    if !clicks.iter().any(|click| click.positive) {
        return Err(Error::invalid("no positive click: there is nothing to segment"));
    }
    if let Some(Click { row, column, .. }) = clicks.iter().find(|click| click.row >= rows || click.column >= columns) {
        return Err(Error::invalid(format!(
            "the click ({column}, {row}) lies outside of the slice, which is {columns} wide and {rows} high"
        )));
    }
    let range = |what: &str, value: f64, range: std::ops::RangeInclusive<f64>| match range.contains(&value) {
        true => Ok(()),
        false => Err(Error::invalid(format!("{what} is {value}: it goes from {} to {}", range.start(), range.end()))),
    };
    range("sigma", options.sigma, 0.0..=100.0)?;
    range("tolerance", options.tolerance, 0.0..=1e6)?;
    range("beta", options.beta, 0.0..=1e6)?;
    options.reach.map_or(Ok(()), |reach| range("reach", reach, 1.0..=1e6))?;
    if options.scales.is_empty() || options.scales.len() > 20 {
        return Err(Error::invalid(format!("{} scales: give 1 to 20", options.scales.len())));
    }
    options.scales.iter().try_for_each(|&scale| range("a scale", scale, 0.3..=100.0))
}

fn smoothed(values: Vec<f64>, shape: [usize; 2], sigma: f64) -> Vec<f64> {
    if sigma > 0.0 { gaussian(&values, shape, sigma) } else { values }
}

/// Values of the pixels clicked as positive.
fn clicked(values: &[f64], [_, columns]: [usize; 2], clicks: &[Click]) -> Vec<f64> {
    clicks.iter().filter(|click| click.positive).map(|click| values[click.row * columns + click.column]).collect()
}

/// From the lowest to the highest clicked value, with a tolerance.
fn near_clicked(values: &[f64], shape: [usize; 2], clicks: &[Click], tolerance: f64) -> Vec<bool> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    let clicked = clicked(values, shape, clicks);
    let low = clicked.iter().copied().fold(f64::INFINITY, f64::min) - tolerance * variance.sqrt();
    let high = clicked.iter().copied().fold(f64::NEG_INFINITY, f64::max) + tolerance * variance.sqrt();
    values.iter().map(|value| (low..=high).contains(value)).collect()
}

/// The side of Otsu's threshold on which most clicks lie; the bright one where as many lie on each.
fn side_of_clicks(values: &[f64], shape: [usize; 2], clicks: &[Click]) -> Vec<bool> {
    let threshold = otsu(values);
    let clicked = clicked(values, shape, clicks);
    let bright = 2 * clicked.iter().filter(|&&value| value > threshold).count() >= clicked.len();
    values.iter().map(|&value| (value > threshold) == bright).collect()
}

/// The parts (8 neighbours) of a mask with a positive click, less the pixels that are nearer to a negative click than to a positive one.
fn at_clicks(mask: Vec<bool>, shape: [usize; 2], clicks: &[Click]) -> Vec<bool> {
    let [rows, columns] = shape;
    let grid = Grid { shape: [1, rows, columns], spacing: [1.0; 3], inside: mask };
    let (parts, sizes) = components(&grid, Connectivity::Corners);
    let mut chosen = vec![false; sizes.len() + 1];
    let positive = clicks.iter().filter(|click| click.positive);
    positive.for_each(|click| chosen[parts[click.row * columns + click.column] as usize] = true);
    chosen[0] = false;
    let nearest = |at: usize, positive: bool| {
        let apart =
            |click: &Click| click.row.abs_diff(at / columns).pow(2) + click.column.abs_diff(at % columns).pow(2);
        clicks.iter().filter(|click| click.positive == positive).map(apart).min().unwrap_or(usize::MAX)
    };
    let kept = |at: usize| chosen[parts[at] as usize] && nearest(at, true) <= nearest(at, false);
    (0..parts.len()).map(kept).collect()
}

#[cfg(test)]
mod tests;
