//! The Rhai engine with what every script has: limits, no files and no `eval`, and the functions `arg`, `print`, `debug`, `warn`, `progress`,
//! `sleep`, `timer`.

use super::errors::{self, Failure};
use super::library::Library;
use super::modules::Resolver;
use super::values::{Checked, Fallible, float64, native, text, whole};
use super::watch::Watch;
use super::{Context, Limits};
use rhai::packages::{Package, StandardPackage};
use rhai::{Array, Dynamic, Engine, EvalAltResult, FLOAT, FnPtr, INT, Map, NativeCallContext, Position, Scope};
use sam_octa2_abi::{Flow, HostCalls, Severity};
use sam_octa2_core::{Error, progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

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
pub fn new(limits: &Limits, context: &Context) -> Engine {
    let mut engine = Engine::new_raw();
    StandardPackage::new().register_into_engine(&mut engine);
    engine.disable_symbol("eval");
    engine
        .set_max_operations(limits.operations)
        .set_max_call_levels(limits.call_depth)
        .set_max_expr_depths(limits.expression_depth, limits.expression_depth)
        .set_max_string_size(limits.string_bytes)
        .set_max_array_size(limits.array_elements)
        .set_max_map_size(limits.map_entries)
        .set_max_variables(limits.variables)
        .set_max_modules(limits.imports)
        .set_module_resolver(Resolver(context.modules.clone()));
    limit_nesting(&mut engine, limits.nesting);
    register_output(&mut engine, context);
    let watch = context.watch.clone();
    engine.on_progress(move |operations| watch.step(operations).then_some(Dynamic::UNIT));
    errors::register(&mut engine);
    engine
}

/// values that a closure may hold, those of closures in it counted
const MOST_CAPTURED: u64 = 100_000;

/// Lists inside lists inside lists would overflow the stack where they are counted, copied or dropped, and Rhai has no limit of its own. Looks
/// at values when they are used: at small ones always, at large ones now and then, so that no use costs more than a few microseconds.
fn limit_nesting(engine: &mut Engine, most: usize) {
    let chance = AtomicU64::new(Instant::now().elapsed().as_nanos() as u64 | 1);
    let cost = AtomicU64::new(0); // of the last look
    #[allow(deprecated, reason = "its note says that it is not deprecated, but may change")]
    engine.on_var(move |name, _, context| {
        let dice = chance.load(Relaxed).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chance.store(dice, Relaxed);
        let value = context.scope().get(name);
        // a closure that holds itself doubles at each step, and whoever uses it copies it anyway
        let closure = value.is_some_and(Dynamic::is_fnptr);
        if !closure && !(dice >> 33).is_multiple_of((cost.load(Relaxed) / 64).clamp(1, 1024)) {
            return Ok(None);
        }
        let mut seen = 0;
        let deep = [value, context.this_ptr()].into_iter().flatten().any(|value| nested(value, most, &mut seen));
        if !closure {
            cost.store(seen, Relaxed);
        }
        match deep {
            true => Err(EvalAltResult::ErrorDataTooLarge("nesting".to_owned(), Position::NONE).into()),
            false => Ok(None),
        }
    });
}

/// Are there more than `most` values inside one another? `seen` counts what was looked at.
fn nested(value: &Dynamic, most: usize, seen: &mut u64) -> bool {
    *seen += 1;
    if value.is_int() || value.is_float() || value.is_bool() || value.is_unit() || value.is_string() {
        return false;
    }
    let array = value.read_lock::<Array>();
    if let Some(array) = &array {
        return most == 0 || array.iter().any(|value| nested(value, most - 1, seen));
    }
    if let Some(map) = value.read_lock::<Map>() {
        return most == 0 || map.values().any(|value| nested(value, most - 1, seen));
    }
    value.read_lock::<FnPtr>().is_some_and(|closure| {
        most == 0 || *seen > MOST_CAPTURED || closure.iter_curry().any(|value| nested(value, most - 1, seen))
    })
}

/// A value as `print` shows it, strings in quotes.
pub fn shown(engine: &Engine, value: &Dynamic) -> String {
    let mut scope = Scope::new();
    scope.push_dynamic("value", value.clone());
    let how = if value.is_string() { "value.to_debug()" } else { "value.to_string()" };
    engine.eval_expression_with_scope(&mut scope, how).unwrap_or_else(|_| value.to_string())
}

/// What every script has.
pub fn register(library: &mut Library<'_>, context: &Context) {
    super::strings::register(library.engine());
    library.room("Host", "`print(value)` goes to the host's output, `debug(value)` to its log, with file and line.");
    register_arguments(library, context);
    errors::document(library);
    register_time(library, context);
}

fn register_output(engine: &mut Engine, context: &Context) {
    let [printed, debugged]: [Arc<Watch>; 2] = std::array::from_fn(|_| context.watch.clone());
    engine.on_print(move |text| printed.say(Severity::OUTPUT, text));
    let file = context.script.clone();
    engine.on_debug(move |text, module, position| {
        let line = position.line().unwrap_or_default();
        debugged.say(Severity::DEBUG, &format!("{}:{line}: {text}", module.unwrap_or(&file)));
    });
}

fn register_arguments(library: &mut Library<'_>, context: &Context) {
    let (given, typed) = (context.arguments.clone(), context.arguments.clone());
    library
        .function(
            "arg(key: String, default?: Dynamic) -> Dynamic",
            "An argument of the script in the type of the default; without one as text, and an error if it is missing.",
            "arg(\"max_frames\", 5)",
            move |call: NativeCallContext, key: Dynamic, default: Dynamic| -> Fallible<Dynamic> {
                native(&call, || typed.or_default(&text("arg: key", &key)?, default))
            },
        )
        .also("arg", move |call: NativeCallContext, key: Dynamic| -> Fallible<Dynamic> {
            native(&call, || given.required(&text("arg: key", &key)?))
        });
}

fn register_time(library: &mut Library<'_>, context: &Context) {
    let (host, watch, script) = (context.host, context.watch.clone(), context.script.clone());
    library
        .function(
            "warn(value: Dynamic)",
            "A warning for the host's user, with file and line.",
            "warn(\"no spacing in this file\")",
            move |call: NativeCallContext, value: Dynamic| {
                let place = call.call_position().line().map(|line| format!(":{line}")).unwrap_or_default();
                let file = call.call_source().map_or_else(|| script.clone(), str::to_owned);
                watch.say(Severity::WARN, &format!("{file}{place}: {value}"));
            },
        )
        .function(
            "progress(stage: String, done: int, total: int)",
            "Shows where the script stands.",
            "progress(\"files\", 3, 10)",
            move |call: NativeCallContext, stage: Dynamic, done: Dynamic, total: Dynamic| -> Fallible<()> {
                native(&call, || {
                    let (done, total) = (whole("progress: done", &done)?, whole("progress: total", &total)?);
                    match host.calls().progress(&text("progress: stage", &stage)?, done as u64, total as u64) {
                        Flow::CONTINUE => Ok(()),
                        _ => Err(Error::Cancelled.into()),
                    }
                })
            },
        )
        // instead of the standard package's, which cannot be cancelled
        .function(
            "sleep(seconds: float)",
            "Waits; can be cancelled.",
            "sleep(0.01)",
            |call: NativeCallContext, seconds: Dynamic| -> Fallible<()> { native(&call, || sleep(&seconds)) },
        )
        .also("sleep", |call: NativeCallContext, seconds: FLOAT| -> Fallible<()> {
            native(&call, || sleep(&seconds.into()))
        })
        .also("sleep", |call: NativeCallContext, seconds: INT| -> Fallible<()> {
            native(&call, || sleep(&seconds.into()))
        })
        .function(
            "timer() -> Timer",
            "A clock that starts now; `timer.elapsed`: seconds since then.",
            "let clock = timer(); print(`${clock.elapsed} s`)",
            Instant::now,
        );
}

fn sleep(seconds: &Dynamic) -> Checked<()> {
    let seconds = float64("sleep: seconds", seconds)?;
    let length = Duration::try_from_secs_f64(seconds)
        .map_err(|_| Failure::invalid(format!("sleep: cannot sleep for {seconds} seconds")))?;
    let start = Instant::now();
    while let Some(left) = length.checked_sub(start.elapsed()) {
        progress::check()?;
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
    Ok(())
}
