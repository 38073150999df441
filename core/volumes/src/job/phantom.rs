//! `host-demo phantom`: a synthetic volume and its truth as files.

use crate::phantom::{FAZ, Phantom, PhantomOptions};
use crate::progress::Observer;
use crate::volume::Labels;
use crate::{Error, Result, io};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// What kind of phantom, and into which files. Only what is named is written; each file's ending says its format.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhantomRequest {
    /// [`PhantomOptions`]; what is left out has its default
    #[serde(default)]
    pub options: serde_json::Map<String, Value>,
    /// the slices
    pub out: PathBuf,
    /// truth, slice by slice
    #[serde(default)]
    pub labels: Option<PathBuf>,
    /// where slices hold the plexus of large vessels
    #[serde(default)]
    pub region: Option<PathBuf>,
    /// the projection of the inner retina
    #[serde(default)]
    pub en_face: Option<PathBuf>,
    /// its truth
    #[serde(default)]
    pub en_face_labels: Option<PathBuf>,
}

/// What a [`PhantomRequest`] gave.
#[derive(Debug, Clone, Serialize)]
pub struct PhantomReport {
    /// all options, defaults included: the same again gives the same phantom
    pub options: PhantomOptions,
    /// slices, rows, columns
    pub shape: [usize; 3],
    /// millimetres along x, y, z
    pub spacing: [f64; 3],
    /// area of the avascular zone en face
    pub faz_mm2: f64,
    /// share of the field that named vessels cover en face
    pub vessel_density: f64,
    /// numbers of the vessels in the labels
    pub vessels: Vec<VesselReport>,
    /// the files written
    pub files: Vec<PathBuf>,
}

/// One vessel tree.
#[derive(Debug, Clone, Serialize)]
pub struct VesselReport {
    /// its number in the labels
    pub object: u16,
    /// `artery` or `vein`
    pub kind: &'static str,
}

impl PhantomReport {
    /// What can be said of a phantom; no files yet.
    pub fn new(options: PhantomOptions, phantom: &Phantom) -> Self {
        let volume = &phantom.volume;
        let truth = &phantom.en_face_labels;
        let pixel = truth.geometry.spacing[0] * truth.geometry.spacing[1];
        let vessel_pixels = truth.data.iter().filter(|&&number| number > FAZ).count();
        let kind = |artery: bool| if artery { "artery" } else { "vein" };
        Self {
            options,
            shape: [volume.frames, volume.rows, volume.columns],
            spacing: volume.geometry.spacing,
            faz_mm2: truth.count(FAZ) as f64 * pixel,
            vessel_density: vessel_pixels as f64 / truth.data.len() as f64,
            vessels: phantom
                .vessels
                .iter()
                .map(|&(object, artery)| VesselReport { object, kind: kind(artery) })
                .collect(),
            files: Vec::new(),
        }
    }
}

impl fmt::Display for PhantomReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([slices, rows, columns], [x, y, z]) = (self.shape, self.spacing);
        writeln!(f, "{slices} slices of {rows} x {columns}, {x:.4} x {y:.4} x {z:.4} mm, seed {}", self.options.seed)?;
        let (faz, density) = (self.faz_mm2, 100.0 * self.vessel_density);
        write!(f, "avascular zone {FAZ}: {faz:.3} mm²; {} vessels, {density:.1} % of the field", self.vessels.len())?;
        self.files.iter().try_for_each(|file| write!(f, "\n{}", file.display()))
    }
}

/// Runs a [`PhantomRequest`]. Errors: an option that is none or out of range, a file that cannot be written, two outputs of one name.
pub fn phantom(request: &PhantomRequest, observer: &mut dyn Observer) -> Result<PhantomReport> {
    let options = PhantomOptions::from_json(Value::Object(request.options.clone()))?;
    let PhantomRequest { out, labels, region, en_face, en_face_labels, .. } = request;
    let truths = [labels, region, en_face_labels].into_iter().flatten();
    let mut names = HashSet::new();
    let all = [out].into_iter().chain(truths.clone()).chain(en_face);
    if let Some(twice) = all.clone().find(|path| !names.insert(*path)) {
        return Err(Error::invalid(format!("{}: two outputs have this name", twice.display())));
    }
    // before any work: is every ending one that can be written?
    truths.clone().try_for_each(|path| io::check_label_output(path, &io::LabelOptions::default()))?;
    observer.step("phantom", 0, 1)?;
    let phantom = Phantom::new(&options)?;
    observer.step("phantom", 1, 1)?;
    let mut report = PhantomReport::new(options, &phantom);
    io::write_volume(&phantom.volume, out, observer)?;
    let write = |labels: &Labels, path: Option<&Path>| path.map_or(Ok(()), |path| io::write_labels(labels, path));
    write(&phantom.labels, labels.as_deref())?;
    write(&phantom.region, region.as_deref())?;
    write(&phantom.en_face_labels, en_face_labels.as_deref())?;
    en_face.as_ref().map_or(Ok(()), |path| io::write_volume(&phantom.en_face, path, observer))?;
    report.files = all.cloned().collect();
    Ok(report)
}
