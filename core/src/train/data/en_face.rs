//! Pictures en face with a vessel mask of the same name, as data sets of OCTA are distributed. Subsets are folders whose names begin with `train`, `val`
//! or `test`, in them are the pictures and the masks:
//!
//! | set | subsets | pictures | masks |
//! |---|---|---|---|
//! | ROSSA (arXiv 2309.09483) | `train_manual`, `train_sam`, `val`, `test` | `image` | `label` |
//! | ROSE-1 (arXiv 2007.05201), `SVC`, `DVC` or `SVC_DVC` | `train`, `test` | `img` | `gt`, `thick_gt`, `thin_gt` |
//! | ROSE-2 | `train`, `test` | `original` | `gt` |

use super::octa500::sorted;
use super::{Case, Subset, WholeSlices, fitted};
use crate::job::InputRequest;
use crate::volume::{Labels, Volume};
use crate::{Error, Result, io};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PICTURES: [&str; 4] = ["image", "images", "img", "original"];
const MASKS: [&str; 3] = ["label", "labels", "gt"];

/// Such a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnFaceSet {
    /// the folder with the subsets; of ROSE-1 that of one plexus
    pub folder: PathBuf,
    /// the folder of the masks in each subset, such as `thick_gt`; default: `label` or `gt`
    #[serde(default)]
    pub masks: Option<String>,
}

impl EnFaceSet {
    pub(super) fn cases(&self) -> Result<Vec<Box<dyn Case>>> {
        let mut cases = Vec::new();
        for folder in sorted(&self.folder)?.into_iter().filter(|path| path.is_dir()) {
            if let Some(subset) = subset(&folder) {
                cases.extend(self.subset_cases(&folder, subset)?);
            }
        }
        if cases.is_empty() {
            let what = "has no folders train, val or test with pictures in them (image, img or original) and masks of the same names (label or gt); \
                        of ROSE-1 name the folder of one plexus, such as ROSE-1/SVC";
            return Err(Error::format(&self.folder, what));
        }
        Ok(cases)
    }

    fn subset_cases(&self, folder: &Path, subset: Subset) -> Result<Vec<Box<dyn Case>>> {
        let named: Vec<&str> = self.masks.as_deref().map_or(MASKS.to_vec(), |name| vec![name]);
        let (pictures, masks) = (within(folder, &PICTURES)?, by_stem(&within(folder, &named)?)?);
        let cases = by_stem(&pictures)?.into_iter().map(|(stem, image)| {
            let Some(mask) = masks.get(&stem).cloned() else {
                let what = format!("no mask of this name is among those of {}", folder.display());
                return Err(Error::format(&image, what));
            };
            let subset_name = folder.file_name().unwrap_or_default().to_string_lossy();
            Ok(Box::new(Picture { name: format!("{subset_name}/{stem}"), subset, image, mask }) as Box<dyn Case>)
        });
        cases.collect()
    }
}

/// What a folder is for, by its name.
fn subset(folder: &Path) -> Option<Subset> {
    let name = folder.file_name()?.to_str()?.to_lowercase();
    let known = [("train", Subset::Train), ("val", Subset::Validation), ("test", Subset::Test)];
    known.into_iter().find(|(start, _)| name.starts_with(start)).map(|(_, subset)| subset)
}

/// The one folder of these names that is there.
fn within(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    let there = names.iter().map(|name| folder.join(name)).find(|path| path.is_dir());
    there.ok_or_else(|| Error::format(folder, format!("has no folder {}", names.join(", "))))
}

/// Files by their names without ending.
fn by_stem(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let files = sorted(folder)?.into_iter().filter(|path| path.is_file());
    Ok(files.filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path))).collect())
}

struct Picture {
    name: String,
    subset: Subset,
    image: PathBuf,
    mask: PathBuf,
}

impl Case for Picture {
    fn name(&self) -> &str {
        &self.name
    }

    fn subset(&self) -> Subset {
        self.subset
    }

    fn whole(&self) -> Option<WholeSlices> {
        Some(WholeSlices { faz: None })
    }

    /// One slice; the vessels are object 1.
    fn read(&self) -> Result<(Volume, Labels)> {
        let channel = Some("luminance".to_owned());
        let request = InputRequest { input: self.image.clone(), channel, ..InputRequest::default() };
        let volume = request.open(&mut ())?;
        let (rows, columns, mask) = io::read_mask(&self.mask)?;
        let empty = Labels::empty_like(&volume);
        if [empty.frames, empty.rows, empty.columns] != [1, rows, columns] {
            let what =
                format!("is {columns} x {rows} pixels, {} {} x {}", self.image.display(), empty.columns, empty.rows);
            return Err(Error::format(&self.mask, what));
        }
        let labels = Labels { data: mask.into_iter().map(u16::from).collect(), ..empty };
        let labels = fitted(&self.name, &volume, labels)?;
        Ok((volume, labels))
    }
}
