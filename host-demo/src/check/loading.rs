//! Loading, the manifest, and what the plugin has under which id.

use super::interfaces::open;
use super::{Case, Check, file, skip};
use anyhow::{Context, bail, ensure};
use sam_octa2_abi::raw::{Mask1, Model1, Script1, Session1, System1, Volume1};
use sam_octa2_abi::{ABI_VERSION, Extension, ExtensionError, SelfTest1, Task1};
use serde_json::Value;
use std::ffi::{CStr, c_char};
use std::time::{Duration, Instant};

/// The check of one extension's layout.
macro_rules! layout {
    ($table:ty, $name:literal, $id:literal) => {
        Check {
            name: $name,
            title: concat!("extension ", $id, " is laid out as expected"),
            level: 1,
            needs: &["load"],
            run: layout::<$table>,
        }
    };
}

pub const CHECKS: &[Check] = &[
    Check { name: "load", title: "loads, and its root is the interface's", level: 1, needs: &["file"], run: load },
    Check { name: "manifest", title: "manifest says who it is", level: 1, needs: &["load"], run: manifest },
    Check {
        name: "quick",
        title: "says so at once, and opens no libtorch for it",
        level: 1,
        needs: &["manifest"],
        run: quick,
    },
    layout!(Task1, "task-layout", "sam_octa2.task/1"),
    layout!(SelfTest1, "selftest-layout", "sam_octa2.selftest/1"),
    layout!(System1, "system-layout", "sam_octa2.system/1"),
    layout!(Volume1, "volume-layout", "sam_octa2.volume/1"),
    layout!(Model1, "model-layout", "sam_octa2.model/1"),
    layout!(Session1, "session-layout", "sam_octa2.session/1"),
    layout!(Mask1, "mask-layout", "sam_octa2.mask/1"),
    layout!(Script1, "script-layout", "sam_octa2.script/1"),
    Check {
        name: "consistent",
        title: "manifest agrees with what is there",
        level: 1,
        needs: &["manifest"],
        run: consistent,
    },
    Check {
        name: "unknown-id",
        title: "unknown extension ids give nothing",
        level: 1,
        needs: &["load"],
        run: unknown_id,
    },
];

fn load(case: &Case) -> anyhow::Result<String> {
    let start = Instant::now();
    case.plugin()?;
    Ok(format!("{} ms", start.elapsed().as_millis()))
}

fn manifest(case: &Case) -> anyhow::Result<String> {
    let manifest = case.manifest()?;
    let field = |name: &str| manifest[name].as_str().with_context(|| format!("`{name}` is missing or no text"));
    for name in ["extensions", "tasks"] {
        strings(&manifest[name]).with_context(|| format!("`{name}` is missing or no list of text"))?;
    }
    Ok(format!("{} {}, interface {}", field("name")?, field("version")?, field("abi")?))
}

/// A viewer asks every plugin at its start.
fn quick(case: &Case) -> anyhow::Result<String> {
    const LIMIT: Duration = Duration::from_millis(100);
    let start = processor_time();
    case.plugin()?.manifest_json();
    // the clock runs on while others work; this does not
    let spent = processor_time().saturating_sub(start);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for heavy in ["libtorch", "libc10", "libcuda", "libcudart"] {
        ensure!(!maps.contains(heavy), "{heavy} was opened");
    }
    ensure!(spent < LIMIT, "it took {} ms; {} are allowed", spent.as_millis(), LIMIT.as_millis());
    Ok(format!("{:.1} ms", spent.as_secs_f64() * 1e3))
}

/// What this process has computed so far.
fn processor_time() -> Duration {
    #[cfg(unix)]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // Safety: writes the struct.
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    }
    #[cfg(not(unix))]
    Duration::ZERO
}

fn layout<E: Extension>(case: &Case) -> anyhow::Result<String> {
    match case.plugin()?.extension::<E>() {
        Ok(_) => Ok(String::new()),
        Err(error @ ExtensionError::Missing { .. }) => skip(error.to_string()),
        Err(error) => Err(error.into()),
    }
}

fn consistent(case: &Case) -> anyhow::Result<String> {
    let (plugin, manifest) = (case.plugin()?, case.manifest()?);
    let declared = strings(&manifest["extensions"]).unwrap_or_default();
    for id in &declared {
        ensure!(plugin.has_extension(id), "`{id}` is in the manifest, but the plugin does not have it");
    }
    let groups = [System1::ID, Volume1::ID, Model1::ID, Session1::ID, Mask1::ID, Script1::ID];
    for id in [Task1::ID, SelfTest1::ID].into_iter().chain(groups) {
        ensure!(declared.contains(&id) || !plugin.has_extension(id), "`{id}` is there, but not in the manifest");
    }
    let first = |version: &str| version.split('.').next().map(str::to_owned);
    let abi = manifest["abi"].as_str().unwrap_or_default();
    ensure!(first(abi) == first(ABI_VERSION), "it is made for interface {abi}, this program for {ABI_VERSION}");
    if plugin.has_extension(Task1::ID) {
        let tasks: Value = serde_json::from_str(&plugin.tasks_json()?).context("the list of tasks is not JSON")?;
        ensure!(tasks == manifest["tasks"], "tasks: the manifest says {}, the extension {tasks}", manifest["tasks"]);
    }
    let c = c_says_the_same(case, &manifest)?;
    Ok(format!("{} extensions, {} tasks{c}", declared.len(), manifest["tasks"].as_array().map_or(0, Vec::len)))
}

/// The two C functions that answer without an engine.
fn c_says_the_same(case: &Case, manifest: &Value) -> anyhow::Result<&'static str> {
    let path = case.path()?;
    let there = file::exports(&path)?.contains("sam_octa2_abi_version");
    match (there, manifest["c_abi"].as_u64()) {
        (false, None) => return Ok(""),
        (false, Some(_)) => bail!("the manifest promises C functions, but there are none"),
        (true, None) => bail!("there are C functions, but the manifest has no `c_abi`"),
        (true, Some(_)) => {}
    }
    let library = open(&path)?;
    // Safety: functions of the header.
    let (version, text) = unsafe {
        let version = library.get::<extern "C" fn() -> u32>(b"sam_octa2_abi_version")?;
        let text = library.get::<extern "C" fn() -> *const c_char>(b"sam_octa2_manifest")?();
        ensure!(!text.is_null(), "sam_octa2_manifest gives null");
        (version(), CStr::from_ptr(text).to_str().context("sam_octa2_manifest is not UTF-8")?.to_owned())
    };
    std::mem::forget(library);
    ensure!(manifest["c_abi"] == version, "`c_abi` is {}, but the library says {version}", manifest["c_abi"]);
    let reply: Value = serde_json::from_str(&text).context("sam_octa2_manifest is not JSON")?;
    ensure!(reply == *manifest, "sam_octa2_manifest and the root's manifest differ");
    Ok(", C functions")
}

fn unknown_id(case: &Case) -> anyhow::Result<String> {
    let plugin = case.plugin()?;
    let ids = [
        "",
        "nonsense",
        "sam_octa2.task",
        "sam_octa2.task/",
        "sam_octa2.task/1x",
        "sam_octa2.task/1\0",
        "sam_octa2.task/999999",
    ];
    for id in ids.map(str::to_owned).into_iter().chain(["x".repeat(1 << 20)]) {
        ensure!(!plugin.has_extension(&id), "there is an extension under the id {:?}", id.get(..40).unwrap_or(&id));
    }
    Ok(String::new())
}

/// A list of text.
pub fn strings(list: &Value) -> Option<Vec<&str>> {
    list.as_array()?.iter().map(Value::as_str).collect()
}
