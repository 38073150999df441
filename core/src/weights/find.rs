//! Where checkpoints lie: an official size by its name, or a file.

use crate::model::config::Official;
use crate::{Error, Result, system};
use std::path::{Path, PathBuf};

const FOLDER: &str = "sam2_weights";
const ENDINGS: [&str; 3] = ["pt", "pth", "safetensors"];

/// The checkpoint that `name` means: an official size (`2.1-tiny`), the name of a file in one of the folders (with or without its
/// ending), or a path. Folders: `dirs`, those in `$SAM_OCTA2_WEIGHTS`, `./sam2_weights`.
pub fn find(name: &str, dirs: &[PathBuf]) -> Result<PathBuf> {
    let official = name.parse::<Official>().ok();
    if official.is_none() && Path::new(name).is_file() {
        return Ok(PathBuf::from(name));
    }
    let mut folders = dirs.to_vec();
    folders.extend(std::env::var_os("SAM_OCTA2_WEIGHTS").iter().flat_map(std::env::split_paths));
    folders.push(PathBuf::from(FOLDER));
    let stem = official.map_or_else(|| name.to_owned(), Official::stem);
    let mut files = vec![stem.clone()];
    files.extend(ENDINGS.map(|ending| format!("{stem}.{ending}")));
    let mut candidates = folders.iter().flat_map(|folder| files.iter().map(|file| folder.join(file)));
    if let Some(found) = candidates.find(|path| path.is_file()) {
        return Ok(found);
    }
    let folder = &folders[0];
    Err(Error::NotFound(match official {
        Some(official) => format!("{stem}.pt is not there: download {} into {}", official.url(), folder.display()),
        None => format!("{name}: neither a file, nor in {}, nor one of {}", folder.display(), Official::names()),
    }))
}

/// The file that this code was loaded from: the program, or the plugin's library.
pub fn own_file() -> Option<PathBuf> {
    system::file_of(own_file as *const ())
}

/// Folders named `sam2_weights` that lie beside `file` (the executable, the plugin) or above it, nearest first.
pub fn default_dirs(file: &Path) -> Vec<PathBuf> {
    file.ancestors().skip(1).map(|folder| folder.join(FOLDER)).filter(|folder| folder.is_dir()).collect()
}
