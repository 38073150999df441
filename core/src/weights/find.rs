//! Where checkpoints lie: a model of the catalogue by its name, or a file.

use crate::model::config::{Catalogue, CatalogueEntry};
use crate::{Error, Result, system};
use std::path::{Path, PathBuf};

const FOLDER: &str = "sam2_weights";
const ENDINGS: [&str; 3] = ["pt", "pth", "safetensors"];

/// The checkpoint that `name` means: a model of the catalogue (`2.1-tiny`), the name of a file in one of the folders (with or without its
/// ending), or a path. Folders: `dirs`, those in `$SAM_OCTA2_WEIGHTS`, `./sam2_weights`.
pub fn find(name: &str, dirs: &[PathBuf]) -> Result<PathBuf> {
    let folders = folders(dirs);
    let catalogue = Catalogue::load(&folders)?;
    let listed = catalogue.named(name);
    if let Some(why) = listed.and_then(|entry| entry.unsupported.as_ref()) {
        return Err(Error::Unsupported(format!("{name} cannot be used here: {why}")));
    }
    if listed.is_none() && Path::new(name).is_file() {
        return Ok(PathBuf::from(name));
    }
    let found = locate(listed.map_or(name, CatalogueEntry::stem), &folders);
    found.ok_or_else(|| Error::NotFound(absent(name, listed, &catalogue, &folders[0])))
}

/// What to say of a checkpoint that is in none of the folders.
fn absent(name: &str, listed: Option<&CatalogueEntry>, catalogue: &Catalogue, folder: &Path) -> String {
    let folder = folder.display();
    match listed {
        Some(CatalogueEntry { file, name, url: Some(url), .. }) => {
            format!("{file} is not there: `host-demo models get {name}` downloads it, or put {url} into {folder}")
        }
        Some(CatalogueEntry { file, .. }) => format!("{file} is not there: put it into {folder}"),
        None => {
            let (names, nearest) = (catalogue.names(), catalogue.nearest(name));
            format!("{name}: neither a file, nor in {folder}, nor one of {names}{nearest}")
        }
    }
}

/// The folders of checkpoints, nearest first: `dirs`, those in `$SAM_OCTA2_WEIGHTS`, `./sam2_weights`.
pub(crate) fn folders(dirs: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = dirs.to_vec();
    folders.extend(std::env::var_os("SAM_OCTA2_WEIGHTS").iter().flat_map(std::env::split_paths));
    folders.push(PathBuf::from(FOLDER));
    folders
}

/// The first file with this name, with or without an ending, in the folders.
pub(crate) fn locate(stem: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let mut files = vec![stem.to_owned()];
    files.extend(ENDINGS.map(|ending| format!("{stem}.{ending}")));
    let mut candidates = folders.iter().flat_map(|folder| files.iter().map(|file| folder.join(file)));
    candidates.find(|path| path.is_file())
}

/// The file that this code was loaded from: the program, or the plugin's library.
pub fn own_file() -> Option<PathBuf> {
    system::file_of(own_file as *const ())
}

/// Folders named `sam2_weights` that lie beside `file` (the executable, the plugin) or above it, nearest first.
pub fn default_dirs(file: &Path) -> Vec<PathBuf> {
    file.ancestors().skip(1).map(|folder| folder.join(FOLDER)).filter(|folder| folder.is_dir()).collect()
}
