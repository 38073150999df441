//! The Rhai engine with what every script has: limits, no files and no `eval`, and the functions `arg`, `print`, `debug`, `progress`,
//! `sleep`.

use super::errors::{self, Failure};
use super::library::Library;
use super::{Context, Limits};
use rhai::packages::{Package, StandardPackage};
use rhai::{Dynamic, Engine, EvalAltResult, FLOAT, INT, NativeCallContext};
use sam_octa2_abi::{Flow, HostCalls, Severity};
use sam_octa2_core::Error;
use std::path::Path;
use std::time::{Duration, Instant};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// The host's calls, for closures that Rhai wants to be `'static`.
#[derive(Clone, Copy)]
pub struct HostRef(&'static HostCalls);

impl HostRef {
    /// # Safety
    /// The result and all its copies must be gone before `host` is.
    pub unsafe fn new(host: &HostCalls) -> Self {
        // Safety: only the lifetime changes; the caller promises that it holds.
        Self(unsafe { &*std::ptr::from_ref(host) })
    }

    /// Progress, log and cancel.
    pub fn calls(&self) -> &HostCalls {
        self.0
    }
}

/// An engine for one run of one script.
pub fn new(limits: &Limits, context: &Context, path: &Path) -> Engine {
    let mut engine = Engine::new_raw(); // no module resolver: `import` finds nothing
    StandardPackage::new().register_into_engine(&mut engine);
    engine.disable_symbol("eval");
    engine
        .set_max_operations(limits.operations)
        .set_max_call_levels(limits.call_depth)
        .set_max_expr_depths(64, 64)
        .set_max_string_size(limits.string_bytes)
        .set_max_array_size(limits.array_elements)
        .set_max_map_size(limits.map_entries)
        .set_max_variables(limits.variables)
        .set_max_modules(1);
    register_output(&mut engine, context, path);
    let host = context.host;
    let (most, before) = (limits.memory_bytes, resident_bytes());
    engine.on_progress(move |operations| {
        if operations % 8192 == 0 && resident_bytes().saturating_sub(before) > most {
            return Some(Dynamic::from(OUT_OF_MEMORY)); // maps and lists grow past Rhai's own limits where they are indexed
        }
        let asked = operations % 64 == 0 && host.calls().is_cancelled();
        asked.then_some(Dynamic::UNIT)
    });
    errors::register(&mut engine);
    engine
}

/// Why a script was ended that took too much memory.
pub const OUT_OF_MEMORY: &str = "memory";

/// Bytes of this process in memory; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// What every script has.
pub fn register(library: &mut Library<'_>, context: &Context) {
    library.room("Host", "`print(value)` goes to the host's output, `debug(value)` to its log, with file and line.");
    register_arguments(library, context);
    register_time(library, context);
}

fn register_output(engine: &mut Engine, context: &Context, path: &Path) {
    let host = context.host;
    engine.on_print(move |text| host.calls().log(Severity::OUTPUT, text));
    let file = path.display().to_string();
    engine.on_debug(move |text, _, position| {
        let line = position.line().unwrap_or_default();
        host.calls().log(Severity::DEBUG, &format!("{file}:{line}: {text}"));
    });
}

fn register_arguments(library: &mut Library<'_>, context: &Context) {
    let (given, typed) = (context.arguments.clone(), context.arguments.clone());
    library
        .function(
            "arg(key: String, default?: Dynamic) -> Dynamic",
            "An argument of the script in the type of the default; without one as text, and an error if it is missing.",
            "arg(\"max_frames\", 5)",
            move |call: NativeCallContext, key: &str, default: Dynamic| -> Fallible<Dynamic> {
                typed.or_default(key, default).map_err(|error| errors::raise(&call, error))
            },
        )
        .also("arg", move |call: NativeCallContext, key: &str| -> Fallible<Dynamic> {
            given.required(key).map_err(|error| errors::raise(&call, error))
        });
}

fn register_time(library: &mut Library<'_>, context: &Context) {
    let host = context.host;
    library
        .function(
            "progress(stage: String, done: int, total: int)",
            "Shows where the script stands.",
            "progress(\"files\", 3, 10)",
            move |call: NativeCallContext, stage: &str, done: INT, total: INT| -> Fallible<()> {
                let (done, total) = (done.max(0).unsigned_abs(), total.max(0).unsigned_abs());
                match host.calls().progress(stage, done, total) {
                    Flow::CONTINUE => Ok(()),
                    _ => Err(errors::raise(&call, Error::Cancelled)),
                }
            },
        )
        // instead of the standard package's, which cannot be cancelled
        .function(
            "sleep(seconds: float)",
            "Waits; can be cancelled.",
            "sleep(0.01)",
            move |call: NativeCallContext, seconds: FLOAT| sleep(&call, host, seconds),
        )
        .also("sleep", move |call: NativeCallContext, seconds: INT| sleep(&call, host, seconds as FLOAT));
}

fn sleep(call: &NativeCallContext, host: HostRef, seconds: FLOAT) -> Fallible<()> {
    let length = Duration::try_from_secs_f64(seconds)
        .map_err(|_| errors::raise(call, Failure::invalid(format!("cannot sleep for {seconds} seconds"))))?;
    let start = Instant::now();
    while let Some(left) = length.checked_sub(start.elapsed()) {
        if host.calls().is_cancelled() {
            return Err(errors::raise(call, Error::Cancelled));
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
    Ok(())
}
