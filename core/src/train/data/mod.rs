//! What there is to learn from: volumes with labels, set apart for training, validation and test; from OCTA-500 in SAM-OCTA2's layout
//! (`octa500`), from layers with their masks beside them (`side_by_side`), from sets en face such as ROSE (`en_face`) or from any pairs of
//! files (`manifest`). `kept` says which stay in memory, `sample` makes clips of them, `crate::regions` places prompts, `augment` varies.

pub mod augment;
pub mod en_face;
pub mod kept;
pub mod manifest;
pub mod octa500;
pub mod phantom;
pub mod sample;
pub mod side_by_side;

use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use en_face::EnFaceSet;
use octa500::Octa500;
use phantom::Phantoms;
use serde::{Deserialize, Serialize};
use side_by_side::SideBySide;
use std::borrow::Cow;
use std::path::PathBuf;

/// What becomes of data that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BadData {
    /// the training stops and names them
    #[default]
    Stop,
    /// they are left out and counted
    Skip,
}

/// What a case is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subset {
    /// learnt from
    Train,
    /// measured after every epoch; decides which weights are the best
    Validation,
    /// measured at the end
    Test,
}

/// Where the data are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DataConfig {
    /// OCTA-500 in SAM-OCTA2's layout
    Octa500(Octa500),
    /// a folder of pictures: layer on the left, mask on the right
    SideBySide(SideBySide),
    /// pictures en face with masks of the same names: ROSSA, ROSE
    EnFace(EnFaceSet),
    /// a table of files: `.csv` with the columns `image`, `labels` and perhaps `subset`, `name`, `axis`, `channel`, `all_vessels`; or `.json`, a list of the same
    Manifest(PathBuf),
    /// phantoms (docs/phantoms.md), made as they are needed
    Phantoms(Phantoms),
}

/// Labels that hold every vessel of every slice: the truth of the maps that need no prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeSlices {
    /// the number of the foveal avascular zone; none: the labels do not say where it is
    pub faz: Option<u16>,
}

/// One volume with its truth, read when it is needed.
pub trait Case: Send + Sync {
    /// for messages and tables
    fn name(&self) -> &str;
    /// what it is for
    fn subset(&self) -> Subset;
    /// What the labels say of whole slices, where no vessel is left out of them.
    fn whole(&self) -> Option<WholeSlices> {
        None
    }
    /// Reads it. Volume and labels have the same grid.
    fn read(&self) -> Result<(Volume, Labels)>;
}

/// The cases of a configuration, in a fixed order; at least one is for training.
pub fn cases(config: &DataConfig) -> Result<Vec<Box<dyn Case>>> {
    let cases = match config {
        DataConfig::Octa500(octa500) => octa500.cases()?,
        DataConfig::SideBySide(pictures) => pictures.cases()?,
        DataConfig::EnFace(set) => set.cases()?,
        DataConfig::Manifest(path) => manifest::cases(path)?,
        DataConfig::Phantoms(phantoms) => phantoms.cases()?,
    };
    if cases.iter().any(|case| case.subset() == Subset::Train) {
        return Ok(cases);
    }
    Err(Error::invalid(match config {
        DataConfig::Octa500(octa500) => format!("{}: no sample to train with", octa500.root.display()),
        DataConfig::SideBySide(pictures) => format!("{}: no picture is for training", pictures.folder.display()),
        DataConfig::EnFace(set) => format!("{}: no folder is for training (train...)", set.folder.display()),
        DataConfig::Manifest(path) => format!("{}: no row is for training", path.display()),
        DataConfig::Phantoms(_) => "data.phantoms.train is 0".to_owned(),
    }))
}

/// Labels on the grid of their volume. Errors: another grid; nothing labelled.
fn fitted(name: &str, volume: &Volume, labels: Labels) -> Result<Labels> {
    let turned = match labels.onto(volume.lattice()) {
        Ok(Cow::Borrowed(_)) => None,
        Ok(Cow::Owned(turned)) => Some(turned),
        Err(error) => return Err(Error::invalid(format!("{name}: {error}"))),
    };
    let labels = turned.unwrap_or(labels);
    match labels.data.iter().all(|&label| label == 0) {
        true => Err(Error::invalid(format!("{name}: the labels are empty on every slice"))),
        false => Ok(labels),
    }
}
