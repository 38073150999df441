//! Both interfaces to one plugin, and that they are the same.

use super::library;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use sam_octa2_abi::raw::Tables;
use sam_octa2_abi::{Api, Plugin};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::path::Path;
use std::process::Command;

/// The plugin through each interface.
pub fn both() -> [(&'static str, Api); 2] {
    let rust = Plugin::load(&library()).unwrap().api().unwrap();
    // Safety: the symbols of `sam_octa2.h`.
    let c = unsafe { Api::from_tables(symbols(&library())) };
    [("rust", rust), ("c", c)]
}

/// The functions of the header by their names.
pub fn symbols(path: &Path) -> Tables {
    // Safety: the plugin's library; the types are those of the header.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.unwrap();
    let find = |name: &str| unsafe { library.get::<*const c_void>(name.as_bytes()) }.map(|symbol| *symbol);
    // Safety: as above.
    let tables = unsafe { Tables::by_name(find) }.unwrap();
    std::mem::forget(library);
    tables
}

fn exports(library: &Path) -> BTreeSet<String> {
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(library).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect()
}

/// Of decoders inside (OpenJPEG has public names) nothing is seen: a viewer's own would take their place.
/// What the header declares and what the library exports: the same, and abi_stable's loader.
#[test]
fn the_library_exports_the_header_and_nothing_else() {
    let exported = exports(&library());
    let header = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/sam_octa2.h")).unwrap();
    let declared = header.split("sam_octa2_").skip(1).filter_map(|rest| rest.split_once('(').map(|(name, _)| name));
    let letters = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let mut expected: BTreeSet<String> = declared.filter(letters).map(|name| format!("sam_octa2_{name}")).collect();
    expected.insert("_1as_0lib_1header_0root_bmodule_bloader".to_owned());
    assert_eq!(exported, expected);
    assert_eq!(exports(&library().with_file_name("libsam_octa2_engine.so")), ["sam_octa2_engine".to_owned()].into());
}

/// The library in front needs what every Linux has, so that a viewer's start costs nothing.
#[test]
fn the_library_in_front_needs_only_the_system() {
    let output = Command::new("readelf").arg("-d").arg(library()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let needed = text.lines().filter(|line| line.contains("(NEEDED)"));
    let needed: Vec<&str> = needed.filter_map(|line| line.split(['[', ']']).nth(1)).collect();
    let system = ["libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "libdl.so", "ld-linux"];
    let known = |name: &&str| system.iter().any(|system| name.starts_with(system));
    assert!(!needed.is_empty() && needed.iter().all(known), "{needed:?}");
}

/// Manifest, sidecar, versions and tables agree.
#[test]
fn the_manifest_tells_the_truth() {
    let plugin = Plugin::load(&library()).unwrap();
    let manifest: Value = serde_json::from_str(&plugin.manifest_json()).unwrap();
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["abi"], sam_octa2_abi::ABI_VERSION);
    for id in manifest["extensions"].as_array().unwrap() {
        assert!(plugin.has_extension(id.as_str().unwrap()), "{id}");
    }
    let tasks: Value = serde_json::from_str(&plugin.tasks_json().unwrap()).unwrap();
    assert_eq!(tasks, manifest["tasks"]);
    let capabilities: Value = serde_json::from_str(&plugin.api().unwrap().capabilities().unwrap()).unwrap();
    assert_eq!(capabilities["torch"], manifest["torch"]);
    assert_eq!(capabilities["devices"][0], "cpu");
}
