//! The library as a file: before anything of it runs.

use super::loading::strings;
use super::{Case, Check, skip};
use anyhow::{Context, ensure};
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn, ElfFile64, FileHeader, SectionHeader};
use object::{Endianness, Object, ObjectSymbol};
use sam_octa2_abi::raw::FUNCTIONS;
use sam_octa2_abi::{ABI_VERSION, check_library_file};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

pub const CHECKS: &[Check] = &[
    Check { name: "file", title: "is a whole shared library", level: 1, needs: &[], run: whole },
    Check {
        name: "exports",
        title: "exports the header's functions and nothing else",
        level: 1,
        needs: &["file"],
        run: exports_the_header,
    },
    Check {
        name: "needs-no-torch",
        title: "needs no libtorch to be opened",
        level: 1,
        needs: &["file"],
        run: needs_no_torch,
    },
    Check {
        name: "sidecar",
        title: "the JSON file beside it says the same as the library",
        level: 1,
        needs: &["file"],
        run: sidecar,
    },
];

/// What abi_stable looks for.
const LOADER_SYMBOL: &str = "_1as_0lib_1header_0root_bmodule_bloader";

fn whole(case: &Case) -> anyhow::Result<String> {
    check_library_file(&case.path()?)?;
    Ok(String::new())
}

/// The symbols that a library exports; none where its format is not read here.
pub fn exports(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(BTreeSet::new());
    }
    let elf = ElfFile64::<Endianness>::parse(&*bytes).context("its headers make no sense")?;
    let defined = elf.dynamic_symbols().filter(|symbol| symbol.is_definition() && symbol.is_global());
    defined.map(|symbol| Ok(symbol.name()?.to_owned())).collect()
}

/// The libraries that the system opens with it.
fn needed(path: &Path) -> anyhow::Result<Vec<String>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let header = FileHeader64::<Endianness>::parse(&*bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, &*bytes)?;
    let mut names = Vec::new();
    for section in sections.iter() {
        let Some((entries, strings)) = section.dynamic(endian, &*bytes)? else { continue };
        let strings = sections.strings(endian, &*bytes, strings)?;
        for entry in entries.iter().filter(|entry| entry.d_tag(endian) == DT_NEEDED) {
            let at = u32::try_from(entry.d_val(endian))?;
            let name = strings.get(at).ok().context("the name of a library that it needs is missing")?;
            names.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(names)
}

fn exports_the_header(case: &Case) -> anyhow::Result<String> {
    if !cfg!(target_os = "linux") {
        return skip("only the libraries of Linux are looked into");
    }
    let found = exports(&case.path()?)?;
    let expected: BTreeSet<String> = FUNCTIONS.iter().map(|function| function.name.to_owned()).collect();
    ensure!(found.contains(LOADER_SYMBOL), "abi_stable's symbol is not there: no plugin for Rust viewers");
    let ours = |name: &&String| name.starts_with("sam_octa2_");
    let manifest = case.manifest()?;
    if !found.iter().any(|name| ours(&name)) && manifest["c_abi"].is_null() {
        return skip("the plugin promises no C functions");
    }
    let missing: Vec<_> = expected.difference(&found).collect();
    ensure!(missing.is_empty(), "not there: {missing:?}");
    let surplus: Vec<_> = found.difference(&expected).filter(|name| *name != LOADER_SYMBOL).collect();
    let strangers: Vec<_> = surplus.iter().filter(|name| !ours(name)).collect();
    ensure!(strangers.is_empty(), "exports what may collide with others: {strangers:?}");
    ensure!(surplus.is_empty() || manifest["abi"] != ABI_VERSION, "not in the header: {surplus:?}");
    Ok(format!("{} functions", expected.len()))
}

fn needs_no_torch(case: &Case) -> anyhow::Result<String> {
    if !cfg!(target_os = "linux") {
        return skip("only the libraries of Linux are looked into");
    }
    let needed = needed(&case.path()?)?;
    let heavy = ["torch", "libc10", "cuda", "cudart", "nvrtc"];
    let found: Vec<_> = needed.iter().filter(|name| heavy.iter().any(|heavy| name.contains(heavy))).collect();
    ensure!(found.is_empty(), "it needs {found:?}: a viewer would wait for them at its start");
    Ok(needed.join(", "))
}

fn sidecar(case: &Case) -> anyhow::Result<String> {
    let path = case.path()?.with_extension("json");
    if !path.is_file() {
        return skip(format!("{} is not there", path.display()));
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let beside: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    ensure!(beside["schema"] == "sam_octa2.manifest/1", "its schema is {}", beside["schema"]);
    for name in ["name", "version", "abi", "torch"] {
        ensure!(beside[name].is_string(), "`{name}` is missing or no text");
    }
    for name in ["extensions", "tasks", "reads", "writes"] {
        strings(&beside[name]).with_context(|| format!("`{name}` is missing or no list of text"))?;
    }
    let inside = case.manifest()?;
    ensure!(beside == inside, "the library's manifest differs from {}", path.display());
    Ok(String::new())
}
