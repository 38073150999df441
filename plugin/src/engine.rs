//! Opens the engine's library once, on the first call that computes, and passes calls on to it.
//!
//! Everything that can be wrong with libtorch is an error here: missing, another version, or another one in the process already.

use crate::libtorch;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use sam_octa2_abi::PluginError;
use sam_octa2_abi::raw::{ENGINE_SYMBOL, ENGINE_VERSION, Engine, ErrorBox, Status};
use sam_octa2_boundary::c::fail;
use sam_octa2_volumes::system;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The engine's file, beside this library.
const FILE: &str = "libsam_octa2_engine.so";

/// The engine, opened if it is not yet. A failure is not remembered: the next call tries again. Errors: it cannot be opened here; this is a
/// fork of the process that opened it.
pub fn get() -> Result<&'static Engine, PluginError> {
    static ENGINE: OnceLock<&'static Engine> = OnceLock::new();
    static OPENING: Mutex<()> = Mutex::new(());
    check_fork()?; // before a lock that a thread may hold which the fork left behind
    if let Some(engine) = ENGINE.get() {
        return Ok(engine);
    }
    let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(engine) = ENGINE.get() {
        return Ok(engine);
    }
    let opened = catch_unwind(AssertUnwindSafe(open));
    let engine = opened.unwrap_or_else(|_| Err(PluginError::new("panic", "opening the engine failed inside")));
    let engine = engine.inspect_err(|_| OPENED_BY.store(0, Relaxed))?;
    Ok(ENGINE.get_or_init(|| engine))
}

/// The process that opened the engine; 0: none.
static OPENED_BY: AtomicU32 = AtomicU32::new(0);

/// libtorch's threads do not come along when a process forks: the child would wait for them for ever. So a process that was forked after
/// the engine was opened gets an error. (One that was forked before opens an engine of its own.)
fn check_fork() -> Result<(), PluginError> {
    let here = std::process::id();
    match OPENED_BY.compare_exchange(0, here, Relaxed, Relaxed) {
        Err(opened) if opened != here => Err(PluginError::new(
            "unsupported",
            format!(
                "this process is a fork of process {opened}, which has opened SAM-OCTA2's engine; libtorch does not work in a fork: \
                 fork before the first call, or start a new process (Python: multiprocessing.get_context(\"spawn\"))"
            ),
        )
        .with_detail(format!("{{\"opened_by\":{opened}}}"))),
        _ => Ok(()),
    }
}

/// Calls the engine; a missing engine is the function's error.
pub fn forward(error: *mut *mut ErrorBox, call: impl FnOnce(&'static Engine) -> Status) -> Status {
    match get() {
        Ok(engine) => call(engine),
        Err(reason) => fail(error, &reason),
    }
}

fn open() -> Result<&'static Engine, PluginError> {
    let path = own_folder()?.join(FILE);
    if !path.is_file() {
        return Err(PluginError::new(
            "not_found",
            format!("{}: not there; it belongs beside the plugin", path.display()),
        ));
    }
    libtorch::check_process()?;
    // Safety: this project's own library; its initialisers are libtorch's.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| libtorch::explain(&path, &reason(&error)))?;
    // Safety: the symbol is a function of this type in every version of the engine.
    let engine = unsafe {
        let entry = library.get::<extern "C" fn() -> *const Engine>(ENGINE_SYMBOL.as_bytes());
        let entry = entry.map_err(|_| stranger(&path))?;
        let engine = entry();
        check_version(&path, engine)?;
        &*engine
    };
    std::mem::forget(library); // libtorch does not survive being unloaded
    Ok(engine)
}

/// # Safety
/// `engine` points to an [`Engine`] of some version: the version comes first in all of them.
unsafe fn check_version(path: &Path, engine: *const Engine) -> Result<(), PluginError> {
    // Safety: the caller's promise.
    let version = unsafe { std::slice::from_raw_parts((*engine).version, (*engine).version_length) };
    if version == ENGINE_VERSION.as_bytes() { Ok(()) } else { Err(stranger(path)) }
}

fn stranger(path: &Path) -> PluginError {
    PluginError::new(
        "unsupported",
        format!("{}: does not belong to this plugin; take both files from one build", path.display()),
    )
}

/// The folder of this very library.
fn own_folder() -> Result<PathBuf, PluginError> {
    let path = system::file_of(own_folder as *const ());
    let folder = path.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    folder.ok_or_else(|| {
        PluginError::new("not_found", "cannot tell where the plugin's library lies; load it by its whole path")
    })
}

/// The system loader's own words.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
