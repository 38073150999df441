//! What studies of OCT angiography print: `vessels, FAZ -> numbers per layer and region -> CSV, JSON, a page`.
//!
//! Where publications define a measure in more than one way, each way has its own name. Definitions, sources and what they were
//! compared with: docs/measurements.md. Nothing here says what is normal: these numbers depend on device and threshold.

mod about;
mod fields;
mod fractal;
mod notes;
mod page;
mod perimeter;
mod sectors;
mod single;
mod table;
pub mod terms;
mod validation;
mod vessel;
mod zone;

pub use crate::volume::Eye;
pub use about::About;
pub use fractal::{Fractal, fractal};
pub use perimeter::{crofton, polygon};
pub use sectors::{Region, Sectors};
pub use single::SingleVessel;
pub use validation::{ALL, Bias, Validation, ValidationSet};
pub use vessel::{VesselMeasures, Vessels};
pub use zone::Zone;

use crate::measure::Grid;
use crate::progress::Observer;
use crate::volume::Labels;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OctaOptions {
    /// which eye it is, to tell nasal from temporal. _Default: unknown; sectors are called left and right._
    pub eye: Option<Eye>,
    /// the fovea, pixels from the left and from the top. _Default: the centre of the FAZ, else of the picture._
    pub centre: Option<[f64; 2]>,
    /// circles around it, ascending, in millimetres; none: no regions. _Default: those of the ETDRS, 1, 3 and 6._
    pub diameters_mm: Vec<f64>,
    /// millimetres between pixels along x, y, z, where the labels do not say. _Default: what the labels say._
    pub spacing: Option<[f64; 3]>,
    /// every layer, too, and not only the projection. _Default: true._
    pub layers: bool,
    /// axial length of the eye in mm: sizes along x and y are corrected for it, by Bennett's rule (1994, Graefe's Arch 232:361), with the
    /// length that the device assumes. _Default: sizes are taken as they are said._
    pub axial_length: Option<f64>,
    /// the axial length for which the device's sizes hold, in mm. _Default: none; it must be given with `axial_length`._
    pub device_axial_length: Option<f64>,
}

impl Default for OctaOptions {
    fn default() -> Self {
        let diameters_mm = vec![1.0, 3.0, 6.0];
        Self {
            eye: None,
            centre: None,
            diameters_mm,
            spacing: None,
            layers: true,
            axial_length: None,
            device_axial_length: None,
        }
    }
}

/// millimetres from the cornea to the second principal point of Bennett's eye
const PRINCIPAL_POINT: f64 = 1.82;

impl OctaOptions {
    /// What sizes along x and y are multiplied by for the axial length. Errors: one of the two lengths without the other, lengths that no eye has.
    fn magnification(&self) -> Result<Option<f64>> {
        let (own, device) = match (self.axial_length, self.device_axial_length) {
            (None, None) => return Ok(None),
            (Some(own), Some(device)) => (own, device),
            (Some(_), None) => {
                let what =
                    "give the axial length that the device assumes, too (`device_axial_length`; its manual says it)";
                return Err(Error::invalid(what));
            }
            (None, Some(_)) => return Err(Error::invalid("give the axial length of the eye, too (`axial_length`)")),
        };
        match [own, device].iter().all(|mm| (15.0..=40.0).contains(mm)) {
            true => Ok(Some((own - PRINCIPAL_POINT) / (device - PRINCIPAL_POINT))),
            false => Err(Error::invalid(format!(
                "an axial length of {own} mm, or {device} for the device, is none of an eye (15 to 40 mm)"
            ))),
        }
    }
}

/// Everything measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OctaReport {
    /// slices, rows and columns of what was measured
    pub shape: [usize; 3],
    /// millimetres between pixels along x, y, z, corrected for the axial length if that was given
    pub spacing: [f64; 3],
    /// what sizes along x and y were multiplied by for the axial length
    pub magnification: Option<f64>,
    /// which eye
    pub eye: Option<Eye>,
    /// the middle of the circles, pixels from the left and from the top
    pub centre: [f64; 2],
    /// how it was found: `given`, `faz`, `picture`
    pub centre_from: &'static str,
    /// all layers as one
    pub projected: Layer,
    /// layer by layer, where there is anything
    pub layers: Vec<Layer>,
    /// vessel by vessel, by number
    pub vessels: Vec<SingleVessel>,
    /// what a reader should look at: numbers that hardly an eye has, what is missing
    pub notes: Vec<String>,
    /// what made the numbers, and how far they can be trusted
    pub about: About,
}

impl OctaReport {
    /// The same with where it comes from; adds what that has to say to the notes.
    #[must_use]
    pub fn with_about(mut self, about: About) -> Self {
        self.about = about;
        self.notes.extend(notes::unlike_validation(&self));
        self.notes.extend(self.about.notes.iter().cloned());
        self
    }

    /// The table of single vessels: one line each. Errors: none that text in memory could have.
    pub fn vessels_csv(&self) -> Result<String> {
        single::csv(&self.vessels)
    }
}

/// One layer, or all of them projected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// its slice; nothing for the projection
    pub layer: Option<usize>,
    /// the FAZ, where there is one
    pub faz: Option<Zone>,
    /// vessels by region
    pub regions: Vec<RegionMeasures>,
}

/// The vessels of one region.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionMeasures {
    /// `whole`, `centre`, `inner`, `inner_superior`, ..., `disc_3mm`
    pub region: String,
    /// its numbers
    #[serde(flatten)]
    pub measures: VesselMeasures,
}

/// Measures vessels and FAZ (whatever is not 0), either or both, on one grid. Progress: stage `"measure"`, one step per layer.
/// Errors: neither given; different sizes; labels that do not say how large a pixel is, unless the options do; bad options.
pub fn measure_octa(
    vessels: Option<&Labels>,
    faz: Option<&Labels>,
    options: &OctaOptions,
    observer: &mut dyn Observer,
) -> Result<OctaReport> {
    let first = vessels.or(faz).ok_or_else(|| Error::invalid("nothing to measure: give vessels, a FAZ, or both"))?;
    let faz = faz.map(|faz| faz.onto(first.lattice())).transpose()?;
    let faz = faz.as_deref();
    let magnification = options.magnification()?;
    let factor = magnification.unwrap_or(1.0);
    let [x, y, z] = spacing(first, options)?;
    let spacing @ [x, y, z] = [x * factor, y * factor, z];
    let grid =
        |labels: Option<&Labels>| labels.map(|labels| Grid { spacing: [z, y, x], ..Grid::where_(labels, |v| v != 0) });
    let flat = |labels: Option<&Labels>| grid(labels.map(Labels::project).as_ref());
    let zone = flat(faz).as_ref().and_then(Zone::of);
    let middle = [(first.columns - 1) as f64 / 2.0, (first.rows - 1) as f64 / 2.0];
    let (centre, centre_from) = match (options.centre, &zone) {
        (Some(centre), _) => (centre, "given"),
        (None, Some(zone)) => ([zone.centre_x, zone.centre_y], "faz"),
        (None, None) => (middle, "picture"),
    };
    let sectors = Sectors { diameters: options.diameters_mm.clone(), centre, eye: options.eye };
    sectors.check()?;
    let regions =
        sectors.regions(&Grid { shape: [1, first.rows, first.columns], spacing: [z, y, x], inside: Vec::new() });
    let layer = |layer, zone, vessels: Option<Grid>| {
        let vessels = vessels.map(Vessels::of);
        let reply = |region: &Region| {
            let measures = vessels.as_ref()?.measure(region);
            Some(RegionMeasures { region: region.name.clone(), measures })
        };
        Layer { layer, faz: zone, regions: regions.iter().filter_map(reply).collect() }
    };
    let total = if options.layers { first.frames } else { 0 };
    let projected = layer(None, zone, flat(vessels));
    let (all_vessels, all_faz) = (grid(vessels), grid(faz));
    let mut layers = Vec::new();
    for frame in 0..total {
        observer.step("measure", frame, total)?;
        let slice = |grid: &Option<Grid>| grid.as_ref().map(|grid| grid.slice(frame)).filter(|slice| slice.count() > 0);
        let (vessels, zone) = (slice(&all_vessels), slice(&all_faz));
        if vessels.is_some() || zone.is_some() {
            layers.push(layer(Some(frame), zone.as_ref().and_then(Zone::of), vessels));
        }
    }
    observer.step("measure", total, total)?;
    let vessels = vessels.map_or(Ok(Vec::new()), |vessels| single::single_vessels(vessels, spacing))?;
    let (eye, about) = (options.eye, About::default());
    let shape = [first.frames, first.rows, first.columns];
    let mut report = OctaReport {
        shape,
        spacing,
        magnification,
        eye,
        centre,
        centre_from,
        projected,
        layers,
        vessels,
        notes: Vec::new(),
        about,
    };
    report.notes = notes::notes(&report, faz.is_some(), [first.columns as f64 * x, first.rows as f64 * y]);
    Ok(report)
}

fn spacing(labels: &Labels, options: &OctaOptions) -> Result<[f64; 3]> {
    let spacing = match options.spacing {
        Some(spacing) => spacing,
        None if labels.geometry.has_size() => labels.geometry.spacing,
        None => {
            let what = "the labels do not say how large a pixel is: give `spacing` in mm, as in [0.0099, 0.0099, 0.002] for 3 mm in 304 pixels";
            return Err(Error::invalid(what));
        }
    };
    match spacing.iter().all(|mm| mm.is_finite() && *mm > 0.0) {
        true => Ok(spacing),
        false => Err(Error::invalid(format!("a spacing of {spacing:?} mm is not positive"))),
    }
}
