//! OCTA-500 as it is distributed: a folder of B-scans for each sample (`OCTA_3mm/OCTA/10301/1.bmp`), and the layer curves of all samples in
//! `GT_Layers/10301.mat` somewhere above.
//!
//! Li et al. 2024, "OCTA-500: A retinal dataset for optical coherence tomography angiography study", Medical Image Analysis 93:103092: samples
//! 10001 to 10300 are 6 x 6 x 2 mm, 10301 to 10500 are 3 x 3 x 2 mm.

use super::curves;
use crate::io::OpenOptions;
use crate::progress::Observer;
use crate::volume::{Scan, Volume};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// depth of every volume
const DEPTH_MM: f64 = 2.0;
/// folders above a sample that are searched for the curves
const LEVELS: usize = 4;

/// The number of a sample whose B-scans a folder holds: `.../OCT/10301` or `.../OCTA/10301`.
pub(in crate::io) fn sample(folder: &Path) -> Option<u32> {
    let name = folder.file_name()?.to_str()?;
    let kind = folder.parent()?.file_name()?.to_str()?.to_uppercase();
    let number = name.parse().ok().filter(|number| (10_001..=10_500).contains(number))?;
    ["OCT", "OCTA"].iter().any(|known| kind == *known || kind.starts_with(&format!("{known}_"))).then_some(number)
}

/// Gives the pictures of a sample their size and curves. Errors: curves of another size.
pub(in crate::io) fn described(
    folder: &Path,
    number: u32,
    volume: Volume,
    options: &OpenOptions,
    observer: &mut dyn Observer,
) -> Result<Volume> {
    let field = if number <= 10_300 { 6.0 } else { 3.0 };
    let row_mm = DEPTH_MM / volume.rows as f64;
    let mut volume = volume;
    if options.spacing.is_none() {
        volume.geometry = options.of_field(folder, Some(field), [volume.columns, volume.frames], row_mm)?;
    }
    volume.format = "octa500";
    let mut scan = Scan::default();
    match (&options.layers, mat_of(folder, number)) {
        (None, Some(path)) => scan.surfaces = curves::read(&path, &volume, observer)?,
        (None, None) => {
            observer.note(&format!("{}: no GT_Layers/{number}.mat above it: no layer curves", folder.display()))
        }
        (Some(_), _) => {}
    }
    Ok(volume.with_scan(Some(Arc::new(scan))))
}

/// The curves of a sample: in a folder `GT_Layers` beside one of the folders above it, or one level below that.
fn mat_of(folder: &Path, number: u32) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let name = format!("{number}.mat");
    folder.ancestors().skip(1).take(LEVELS).find_map(|above| {
        let direct = above.join("GT_Layers").join(&name);
        let below = || {
            let mut folders: Vec<PathBuf> =
                std::fs::read_dir(above).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
            folders.sort();
            folders.into_iter().map(|inside| inside.join("GT_Layers").join(&name)).find(|path| path.is_file())
        };
        if direct.is_file() { Some(direct) } else { below() }
    })
}

/// What to say of a folder that holds samples and no pictures.
pub(in crate::io) fn hint(folder: &Path) -> Option<Error> {
    let mut samples: Vec<u32> =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| sample(&entry.ok()?.path())).collect();
    samples.sort_unstable();
    let first = samples.first()?;
    let what =
        format!("holds {} samples of OCTA-500; open one: {}", samples.len(), folder.join(first.to_string()).display());
    Some(Error::format(folder, what))
}
