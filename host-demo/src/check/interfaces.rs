//! Both interfaces to the functions of a plugin: the extensions of the Rust interface, and the C symbols.

use super::{Case, file, skip};
use anyhow::{Context, ensure};
use libloading::Library;
use sam_octa2_abi::raw::Tables;
use sam_octa2_abi::{Api, ExtensionError, Plugin};
use std::ffi::c_void;
use std::path::Path;

/// The functions as they come through one interface.
pub struct Interface {
    name: &'static str,
    pub tables: Tables,
    pub api: Api,
}

/// Goes through each interface that there is; what fails is told with the interface's name.
pub fn each(case: &Case, through: impl Fn(&Interface) -> anyhow::Result<()>) -> anyhow::Result<String> {
    let interfaces = all(case)?;
    if interfaces.is_empty() {
        return skip("the plugin has neither the extensions nor the C functions for it");
    }
    for interface in &interfaces {
        through(interface).with_context(|| format!("through {}", interface.name))?;
    }
    Ok(if interfaces.len() == 2 { String::new() } else { format!("through {} only", interfaces[0].name) })
}

/// The interfaces that there are.
pub fn all(case: &Case) -> anyhow::Result<Vec<Interface>> {
    let path = case.path()?;
    let (rust, c) = (extensions(&Plugin::load(&path)?)?, symbols(&path)?);
    let interface = |name: &'static str, tables: Tables| {
        // Safety: the functions under these names and ids are those of the header; that they keep its rules is checked here.
        Interface { name, tables, api: unsafe { Api::from_tables(tables) } }
    };
    Ok([("the extensions", rust), ("the C functions", c)]
        .into_iter()
        .filter_map(|(name, tables)| Some(interface(name, tables?)))
        .collect())
}

/// The tables of the Rust interface, if the plugin has them all.
fn extensions(plugin: &Plugin) -> anyhow::Result<Option<Tables>> {
    match plugin.tables() {
        Ok(tables) => Ok(Some(tables)),
        Err(ExtensionError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The functions of the header by their names, if the library has any of them.
fn symbols(path: &Path) -> anyhow::Result<Option<Tables>> {
    if !file::exports(path)?.iter().any(|name| name.starts_with("sam_octa2_")) {
        return Ok(None);
    }
    let library = open(path)?;
    // Safety: the types are those of the header.
    let tables = unsafe {
        Tables::by_name(|name| {
            let found = library.get::<*const c_void>(name.as_bytes()).with_context(|| format!("no function {name}"));
            found.map(|symbol| *symbol)
        })
    }?;
    std::mem::forget(library); // never unloaded
    Ok(Some(tables))
}

/// The library by the system's loader, as a C host opens it.
pub fn open(path: &Path) -> anyhow::Result<Library> {
    let absolute = path.canonicalize().with_context(|| path.display().to_string())?;
    ensure!(sam_octa2_abi::check_library_file(&absolute).is_ok(), "not a whole library");
    // Safety: the library to be checked, in a process of its own.
    unsafe { Library::new(&absolute) }.with_context(|| format!("{} cannot be loaded", absolute.display()))
}
