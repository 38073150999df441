//! How a volume is to be read, beyond what the file says of itself.

use super::{Channel, Crop, FileKind};
use crate::volume::{Geometry, Volume};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// larger volumes are read slice by slice, unless the caller says otherwise
const LAZY_BYTES: u64 = 256 << 20;
/// no volume that is unpacked into memory is larger, unless the caller says so
const MAX_BYTES: u64 = 32 << 30;

/// how far, relative to it, the step between slices that somebody gives may lie off what their positions say
const SAME_STEP: f64 = 0.02;

/// How to read a volume. The order of the steps: choose a volume, decode, apply slope or modality LUT, crop, pick a channel.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// region of every slice to keep; the geometry is shifted accordingly. _Default: whole slices._
    pub crop: Option<Crop>,
    /// which DICOM series, where there are several: its SeriesInstanceUID, its SeriesNumber, or `#2` for the second of those that the
    /// error lists. _Default: the only one._
    pub series: Option<String>,
    /// accept DICOM slices with gaps or unequal spacing; the geometry then has their median spacing. _Default: an error._
    pub uneven: bool,
    /// which volume of a file that holds several (time points of a 4-D NIfTI, say), from 0. _Default: the only one; an error that says
    /// how many there are otherwise._
    pub volume: Option<usize>,
    /// what becomes of colour. _Default: it stays colour._
    pub channel: Option<Channel>,
    /// millimetres between voxels along x (columns), y (rows) and z (frames), for sources that do not say and for TIFF, whose scale it
    /// replaces; an error where any other source does. _Default: what the source says, else 1 mm and a geometry that counts as unknown._
    pub spacing: Option<[f64; 3]>,
    /// NIfTI and DICOM volumes and arrays of more bytes are read slice by slice when they are used, instead of at once (packed NIfTI files are
    /// unpacked into an unnamed temporary file; arrays in Fortran order are read at once). _Default: 256 MiB._
    pub lazy_bytes: Option<u64>,
    /// the volume is used once, from the first slice to the last: NIfTI files, arrays and the pages of a TIFF are then read slice by slice,
    /// whatever their size, and packed ones as they are unpacked. _Default: no._
    pub once: bool,
    /// what a file without a header is. _Default: what its name says._
    pub kind: Option<FileKind>,
    /// a file with the layer curves of the B-scans: a MATLAB array `[curves, B-scans, columns]`, extracted Optovue curves, another `.vol`, or
    /// labels of the layers. _Default: those of the volume's own file, if it has any._
    pub layers: Option<PathBuf>,
    /// millimetres of the whole field along columns and across them, for pictures en face and B-scans of devices that do not say. _Default: not known._
    pub assume_size: Option<[f64; 2]>,
    /// A-scans of a B-scan, for cubes whose name does not say. _Default: the name's, or a square._
    pub columns: Option<usize>,
    /// most bytes that the voxels of a volume may take in memory. _Default: 32 GiB._
    pub max_bytes: Option<u64>,
}

impl OpenOptions {
    /// With the crop that a user typed, if any: `"X,Y,W,H"`, each in pixels or percent.
    pub fn with_crop(crop: Option<&str>) -> Result<Self> {
        Ok(Self { crop: crop.map(str::parse).transpose()?, ..Self::default() })
    }

    /// A size that a user typed: `3mm`, `3`, `6x4.5mm` (along columns, across them).
    pub fn parse_size(text: &str) -> Result<[f64; 2]> {
        let wrong = || Error::invalid(format!("size {text:?} is none: give millimetres, as in 3mm or 6x4.5mm"));
        let number = |part: &str| part.trim().trim_end_matches("mm").trim().parse::<f64>().ok();
        let sides = match text.split_once(['x', 'X']) {
            Some((x, y)) => number(x).zip(number(y)),
            None => number(text).map(|side| (side, side)),
        };
        let (x, y) = sides.ok_or_else(wrong)?;
        match [x, y].iter().all(|mm| mm.is_finite() && *mm > 0.0) {
            true => Ok([x, y]),
            false => Err(wrong()),
        }
    }

    /// Where the voxels of B-scans lie whose rows are `row_mm` deep: by the size of the field that the user gives, else by the one that the
    /// source says. A spacing that the user gives comes later.
    /// Errors: both give one.
    pub(super) fn of_field(
        &self,
        path: &Path,
        said: Option<f64>,
        [columns, frames]: [usize; 2],
        row_mm: f64,
    ) -> Result<Geometry> {
        if self.assume_size.is_some() && self.spacing.is_some() {
            return Err(Error::invalid(format!("{}: give its size or its spacing, not both", path.display())));
        }
        let field = self.assume_size.or(said.filter(|_| self.spacing.is_none()).map(|mm| [mm, mm]));
        Ok(match field {
            Some([x, y]) => Geometry::from_spacing([x / columns as f64, row_mm, y / frames as f64], true),
            None => Geometry::unknown(),
        })
    }

    /// The volume with the size that the user assumes, where it is one slice; files of devices have been sized already.
    /// Errors: a source that says its size, a stack of which nobody knows what its rows are.
    pub(super) fn assumed(&self, path: &Path, mut volume: Volume) -> Result<Volume> {
        let sized = matches!(volume.format, "optovue" | "cirrus");
        let Some([x, y]) = self.assume_size.filter(|_| !sized) else { return Ok(volume) };
        if volume.geometry.known {
            let what = "says itself how large its voxels are: leave the assumed size out";
            return Err(Error::invalid(format!("{}: {what}", path.display())));
        }
        if volume.frames > 1 {
            let what = "holds several slices, whose distance a size does not say: give the spacing (x, y, z)";
            return Err(Error::invalid(format!("{}: {what}", path.display())));
        }
        let spacing = [x / volume.columns as f64, y / volume.rows as f64, volume.geometry.spacing[2]];
        volume.geometry = volume.geometry.with_spacing(spacing);
        Ok(volume)
    }

    /// Which of `count` volumes to read; `axes` tells the user what the file holds.
    pub(super) fn chosen_volume(&self, path: &Path, count: u64, axes: &str) -> Result<u64> {
        match self.volume {
            None if count == 1 => Ok(0),
            None => {
                let how = "choose one with `--volume N` (option `volume`)";
                Err(Error::format(path, format!("holds {count} volumes ({axes}): {how}, 0 to {}", count - 1)))
            }
            Some(volume) if (volume as u64) < count => Ok(volume as u64),
            Some(volume) => {
                let last = count.saturating_sub(1);
                Err(Error::invalid(format!(
                    "{}: has no volume {volume}: it holds {count} (0 to {last})",
                    path.display()
                )))
            }
        }
    }

    /// Are so many bytes too many to be read at once?
    pub(super) fn is_lazy(&self, bytes: u64) -> bool {
        bytes > self.lazy_bytes.unwrap_or(LAZY_BYTES)
    }

    /// An error when unpacked voxels would take more than is allowed.
    pub(super) fn check_size(&self, path: &Path, bytes: u64) -> Result<()> {
        let most = self.max_bytes.unwrap_or(MAX_BYTES);
        if bytes <= most {
            return Ok(());
        }
        let what = format!("would take {bytes} bytes of memory, more than the {most} allowed");
        Err(Error::Unsupported(format!("{}: {what}", path.display())))
    }

    /// The geometry of whole slices with the size that the caller gives, where the source says none. `replaceable`: what the source says
    /// is often a program's default.
    /// Errors: a spacing that is not positive; a source that says another.
    pub(super) fn sized(&self, path: &Path, geometry: Geometry, replaceable: bool) -> Result<Geometry> {
        let Some(spacing) = self.spacing else { return Ok(geometry) };
        if spacing.iter().any(|&mm| !(mm.is_finite() && mm > 0.0)) {
            return Err(Error::invalid(format!(
                "spacing {spacing:?} must be three positive numbers of millimetres (x, y, z)"
            )));
        }
        let rounded = |mm: f64| (mm * 1e6).round() / 1e6;
        if geometry.known && !replaceable {
            let [x, y, z] = geometry.spacing.map(rounded);
            let what = format!(
                "{}: says itself that its voxels are {x} x {y} x {z} mm: leave the spacing out",
                path.display()
            );
            return Err(Error::Invalid(what));
        }
        let between = geometry.spacing[2];
        if geometry.placed && between != 1.0 && (spacing[2] / between - 1.0).abs() > SAME_STEP {
            let what = format!("{}: its slices lie {} mm apart by their positions", path.display(), rounded(between));
            return Err(Error::Invalid(format!("{what}, not {} mm: give that for z", spacing[2])));
        }
        Ok(geometry.with_spacing(spacing))
    }
}
