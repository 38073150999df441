//! What `host-demo info` prints: a volume described, for people and for programs.

use crate::Result;
use crate::progress::Observer;
use crate::volume::{Eye, Volume};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// A volume without its voxels.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VolumeInfo {
    /// what was opened
    pub path: PathBuf,
    /// what was read, as of [`Volume::format`]
    pub format: String,
    /// `[frames, rows, columns]`, or `[frames, rows, columns, 3]` for colour
    pub shape: Vec<usize>,
    /// numpy's name of the value type, after slope or modality LUT
    pub dtype: String,
    /// millimetres along x (columns), y (rows), z (frames)
    pub spacing: [f64; 3],
    /// voxel index `(x, y, z, 1)` to millimetres, RAS+
    pub affine: [[f64; 4]; 4],
    /// does the source give the geometry, or are these defaults?
    pub geometry_known: bool,
    /// smallest and largest finite value
    pub intensity_range: [f64; 2],
    /// which eye, if the source says
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eye: Option<Eye>,
    /// names of the layer curves that come with the B-scans
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<String>,
    /// columns and rows of the fundus picture that the device took with the scan
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fundus: Option<[usize; 2]>,
    /// what the reader wants people to know: values that it could not read, frames that the header forgets
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl VolumeInfo {
    /// Describes a volume that was read from `path`. Progress as of [`Volume::range_observed`].
    pub fn new(volume: &Volume, path: &Path, observer: &mut dyn Observer) -> Result<Self> {
        let mut shape = vec![volume.frames, volume.rows, volume.columns];
        if volume.channels > 1 {
            shape.push(volume.channels);
        }
        let (low, high) = volume.range_observed(observer)?;
        let scan = volume.scan.as_deref();
        Ok(Self {
            path: path.to_path_buf(),
            format: volume.format.to_owned(),
            shape,
            dtype: volume.dtype().to_owned(),
            spacing: volume.geometry.spacing,
            affine: volume.geometry.affine,
            geometry_known: volume.geometry.known,
            intensity_range: [low, high],
            eye: scan.and_then(|scan| scan.eye),
            surfaces: scan.into_iter().flat_map(|scan| &scan.surfaces).map(|surface| surface.name.clone()).collect(),
            fundus: scan.and_then(|scan| scan.fundus.as_ref()).map(|fundus| [fundus.columns, fundus.rows]),
            notes: Vec::new(),
        })
    }
}

impl fmt::Display for VolumeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        let axes = if self.shape.len() == 4 { "frames x rows x columns x channels" } else { "frames x rows x columns" };
        let [x, y, z] = self.spacing.map(short);
        let note = match (self.geometry_known, self.spacing == [1.0; 3]) {
            (true, _) => "",
            (false, true) => " (defaults: the source does not say)",
            (false, false) => " (the source does not say where that lies)",
        };
        let [low, high] = self.intensity_range;
        writeln!(f, "path       {}", self.path.display())?;
        writeln!(f, "format     {}", self.format)?;
        writeln!(f, "shape      {} ({axes})", shape.join(" x "))?;
        writeln!(f, "type       {}", self.dtype)?;
        writeln!(f, "range      {low} to {high}")?;
        writeln!(f, "spacing    {x} x {y} x {z} mm (columns, rows, frames){note}")?;
        if let Some(eye) = self.eye {
            writeln!(f, "eye        {}", if eye == Eye::Right { "right (OD)" } else { "left (OS)" })?;
        }
        if !self.surfaces.is_empty() {
            writeln!(f, "layers     {}", self.surfaces.join(", "))?;
        }
        if let Some([columns, rows]) = self.fundus {
            writeln!(f, "fundus     {columns} x {rows} (columns x rows)")?;
        }
        write!(f, "affine     (voxel x, y, z to mm, RAS+)")?;
        for row in &self.affine[..3] {
            write!(f, "\n          {}", row.map(|v| format!(" {:>12}", short(v))).concat())?;
        }
        Ok(())
    }
}

/// Six significant places behind the point, without trailing zeros.
fn short(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
