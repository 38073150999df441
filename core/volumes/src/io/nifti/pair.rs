//! Which files a NIfTI volume lies in: one (`.nii`), or two (`.hdr` and `.img`), each packed by gzip or not.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Does the name end like one half of a pair?
pub(super) fn is_half(name: &str) -> bool {
    [".hdr", ".img", ".hdr.gz", ".img.gz"].iter().any(|ending| name.ends_with(ending))
}

/// The other half: the same name with `wanted` (`hdr` or `img`) for its ending, packed or not; `path` itself where it ends so.
pub(super) fn half(path: &Path, wanted: &str) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let lower = name.to_lowercase();
    let plain = lower.strip_suffix(".gz").unwrap_or(&lower);
    if plain.ends_with(&format!(".{wanted}")) {
        return Ok(path.to_path_buf());
    }
    let stem = plain.rfind('.').and_then(|end| name.get(..end)).unwrap_or(&name);
    let upper = wanted.to_uppercase();
    let candidates = [wanted.to_owned(), format!("{wanted}.gz"), upper.clone(), format!("{upper}.GZ")];
    candidates
        .iter()
        .map(|ending| path.with_file_name(format!("{stem}.{ending}")))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Error::format(path, format!("is one half of a NIfTI .hdr/.img pair; {stem}.{wanted} is not beside it"))
        })
}
