//! Hand-labelled layers as SAM-OCTA2 keeps them (`RV_Annotation`): one picture each, the layer on the left, its mask on the right.

use super::octa500::{Strip, sorted};
use super::{Case, Subset};
use crate::volume::{Geometry, Labels, Volume, Voxels};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A folder of such pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideBySide {
    /// the folder
    pub folder: PathBuf,
    /// pictures for validation, by their names with or without ending
    #[serde(default)]
    pub validation: Vec<String>,
    /// every so many-th picture is for validation, the first one beginning; 0: none
    #[serde(default)]
    pub validation_every: usize,
}

impl SideBySide {
    pub(super) fn cases(&self) -> Result<Vec<Box<dyn Case>>> {
        let picture = |path: &PathBuf| {
            let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            ["png", "bmp", "tif", "tiff", "jpg", "jpeg"].contains(&ending.as_str())
        };
        let paths: Vec<_> = sorted(&self.folder)?.into_iter().filter(picture).collect();
        if paths.is_empty() {
            return Err(Error::format(&self.folder, "holds no pictures"));
        }
        let stem = |name: &str| Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let names: Vec<_> = paths.iter().map(|path| stem(&path.to_string_lossy())).collect();
        let wanted: Vec<_> = self.validation.iter().map(|name| stem(name)).collect();
        if let Some(missing) = wanted.iter().find(|name| !names.contains(name)) {
            return Err(Error::NotFound(format!("{}: there is no picture {missing}", self.folder.display())));
        }
        let cases = paths.into_iter().zip(names).enumerate().map(|(at, (path, name))| {
            let turn = self.validation_every > 0 && at % self.validation_every == 0;
            let subset = if turn || wanted.contains(&name) { Subset::Validation } else { Subset::Train };
            Box::new(Layer { name, subset, path }) as Box<dyn Case>
        });
        Ok(cases.collect())
    }
}

struct Layer {
    name: String,
    subset: Subset,
    path: PathBuf,
}

impl Case for Layer {
    fn name(&self) -> &str {
        &self.name
    }

    fn subset(&self) -> Subset {
        self.subset
    }

    /// One slice; the mask is what is brighter than half. It may be empty.
    fn read(&self) -> Result<(Volume, Labels)> {
        let strip = Strip::read(&self.path)?;
        if strip.columns != 2 * strip.rows {
            let what = format!(
                "{} x {} pixels; a layer with its mask beside it is twice as wide as high",
                strip.columns, strip.rows
            );
            return Err(Error::format(&self.path, what));
        }
        let side = strip.rows;
        let pixels = Voxels::U8(strip.square(0, 2));
        let volume = Volume::new([1, side, side, 1], pixels, Geometry::unknown(), "OCTA-500")?;
        let data = strip.square(1, 2).iter().map(|&v| u16::from(v > 127)).collect();
        let labels = Labels { data, ..Labels::empty_like(&volume) };
        Ok((volume, labels))
    }
}
