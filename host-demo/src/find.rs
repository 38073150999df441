//! Where the plugin is.

use anyhow::{Context, bail};
use sam_octa2_abi::Plugin;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

const VARIABLE: &str = "SAM_OCTA2_PLUGIN";

/// The plugin's file: as given, or beside this program, or in the environment.
pub fn plugin(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_path_buf());
    }
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let beside = program.with_file_name(format!("{DLL_PREFIX}sam_octa2{DLL_SUFFIX}"));
    if beside.is_file() {
        return Ok(beside);
    }
    // `cargo run -p host-demo` builds this program alone; the plugin of `make` lies in the neighbouring folder
    let built = beside
        .parent()
        .and_then(Path::parent)
        .map(|target| target.join("release").join(beside.file_name().unwrap_or_default()));
    if let Some(built) =
        built.filter(|built| program.parent().is_some_and(|folder| folder.ends_with("debug")) && built.is_file())
    {
        return Ok(built);
    }
    let beside = beside.display();
    match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from) {
        Some(file) if file.is_file() => Ok(file),
        Some(file) => bail!("no plugin found: neither {beside} nor {} (from {VARIABLE}) is a file", file.display()),
        None => bail!("no plugin found: {beside} is missing and {VARIABLE} is not set; name it with --plugin FILE"),
    }
}

/// Finds and loads the plugin.
pub fn load(given: Option<&Path>) -> anyhow::Result<Plugin> {
    Ok(Plugin::load(&plugin(given)?)?)
}
