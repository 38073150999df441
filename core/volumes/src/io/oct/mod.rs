//! Files that OCT devices and data sets of OCTA have: Heidelberg's `.vol` ([`heyex`]) and XML exports ([`heyex_xml`]), what is extracted from Optovue ([`optovue`]), Zeiss
//! Cirrus' raw `.img` ([`cirrus`]), OCTA-500 as it is distributed ([`octa500`]); layer curves from files beside ([`curves`], [`mat`]).
//!
//! All are B-scans one after another, rows are depth. Files without a header are known by their names, or by what the user says
//! (`OpenOptions::kind`). None says where in the patient its voxels lie.

pub(super) mod cirrus;
pub(super) mod curves;
pub(super) mod heyex;
pub(super) mod heyex_xml;
mod mat;
pub(super) mod octa500;
pub(super) mod optovue;

use super::OpenOptions;
use super::lazy::{Decode, FileFrames};
use crate::volume::Volume;
use crate::{Error, Result};
use std::fs::File;
use std::path::Path;
use std::str::FromStr;

/// What a file without a header is, as the user says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Heidelberg `.vol` with reflectivity
    HeyexStructure,
    /// Heidelberg `.vol` with flow
    HeyexAngio,
    /// extracted flow of Optovue: uint16, 160 rows
    OptovueAngio,
    /// extracted en-face picture of Optovue: float32
    OptovueEnFace,
    /// Optovue's `.OCT` with reflectivity: float32, 640 rows
    OptovueOct,
    /// Zeiss Cirrus' raw cube
    Cirrus,
}

/// Names of kinds.
const KINDS: [(&str, FileKind); 6] = [
    ("heyex-structure", FileKind::HeyexStructure),
    ("heyex-angio", FileKind::HeyexAngio),
    ("optovue-angio", FileKind::OptovueAngio),
    ("optovue-enface", FileKind::OptovueEnFace),
    ("optovue-oct", FileKind::OptovueOct),
    ("cirrus", FileKind::Cirrus),
];

impl FromStr for FileKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind).ok_or_else(|| {
            let names = KINDS.map(|(name, _)| name);
            let hint = crate::did_you_mean(text, names);
            Error::invalid(format!("kind of file {text:?} is none of {}{hint}", names.join(", ")))
        })
    }
}

/// Files of devices that stay unread: what to do instead, by the ending or the first bytes of the file.
pub(super) fn refused(path: &Path, name: &str, start: &[u8]) -> Option<Error> {
    let what = match name.rsplit('.').next().unwrap_or_default() {
        "e2e" => "is Heidelberg's database file (.e2e), which is not read: export it from HEYEX as .vol (raw export)",
        "sdb" => {
            "is Heidelberg's database file (.sdb), which is not read: export the scan from HEYEX as .vol (raw export)"
        }
        "fda" => {
            "is Topcon's .fda, which is not read: export it from IMAGEnet 6 as DICOM, or convert it with oct-converter"
        }
        "fds" => {
            "is Topcon's .fds, which is not read: export it from IMAGEnet as DICOM, or convert it with oct-converter"
        }
        "ex.dcm" | "exd" => {
            "is an encrypted Zeiss file, which is not read: export it from FORUM or the Cirrus as DICOM that is not encrypted"
        }
        "mgz" | "mgh" => {
            "is FreeSurfer's MGH format, which is not read: `mri_convert in.mgz out.nii.gz` makes NIfTI of it"
        }
        "mat" => {
            "is a MATLAB file: layer curves of a volume are read from it (`--layers FILE.mat`), volumes are not; save as .npy or NIfTI"
        }
        "mrb" => "is a scene of 3D Slicer: save its volumes as .nrrd or .nii.gz",
        "czi" | "lif" | "nd2" => {
            "is a microscope's format, which is not read: save it as TIFF (Fiji does, by Bio-Formats)"
        }
        _ if start.starts_with(b"CMDb") => {
            "is Heidelberg's .e2e under another name, which is not read: export it from HEYEX as .vol (raw export)"
        }
        _ if start.starts_with(b"FOCT") => {
            "is Topcon's .fda under another name, which is not read: export it from IMAGEnet 6 as DICOM"
        }
        _ => return None,
    };
    Some(Error::Unsupported(format!("{}: {what}", path.display())))
}

/// A volume that is read slice by slice, whole in memory where it is small.
pub(super) fn at_hand(path: &Path, lazy: Volume, bytes: u64, options: &OpenOptions) -> Result<Volume> {
    if options.is_lazy(bytes) || options.once {
        return Ok(lazy);
    }
    options.check_size(path, bytes)?;
    let voxels = lazy.voxels()?.into_owned();
    let (window, scan) = (lazy.window, lazy.scan.clone());
    Ok(Volume::new(lazy.shape(), voxels, lazy.geometry, lazy.format)?.with_window(window).with_scan(scan))
}

/// B-scans of `bytes` bytes that begin at `starts`.
pub(super) fn placed(path: &Path, starts: Vec<u64>, bytes: u64, decode: Decode) -> Result<FileFrames> {
    FileFrames::at(path, File::open(path).map_err(Error::io(path))?, starts, bytes as usize, decode)
}
