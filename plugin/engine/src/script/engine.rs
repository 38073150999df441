//! The Rhai engine with what every script has: limits, no files and no `eval`, and the functions `arg`, `print`, `debug`, `warn`, `progress`,
//! `sleep`, `timer`.

use super::caught::Caught;
use super::errors::{self, Failure};
use super::library::Library;
use super::modules::Resolver;
use super::sizes::{self, Sizes};
use super::values::{Checked, Fallible, float64, native, text, whole};
use super::watch::Watch;
use super::{Context, Limits, rewrite, shapes};
use rhai::packages::{Package, StandardPackage};
use rhai::{Dynamic, Engine, EvalAltResult, FLOAT, INT, NativeCallContext, Position, Scope};
use sam_octa2_abi::{Flow, HostCalls, Severity};
use sam_octa2_core::{Error, progress};
use std::sync::{Arc, OnceLock};
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
        .set_max_string_size(0) // of values: see `sizes`
        .set_max_array_size(0)
        .set_max_map_size(0)
        .set_max_variables(limits.variables)
        .set_max_modules(limits.imports)
        .set_module_resolver(Resolver(context.modules.clone()));
    sizes::register(&mut engine, *limits);
    shapes::register(&mut engine);
    rewrite::register(&mut engine, &context.tokens);
    look_at_variables(&mut engine, *limits, context.caught.clone());
    register_output(&mut engine, context);
    let watch = context.watch.clone();
    engine.on_progress(move |operations| watch.step(operations).then_some(Dynamic::UNIT));
    errors::register(&mut engine);
    engine
}

/// Looks at values when variables are used: at what is too large, and at what Rhai gives to a `catch`.
fn look_at_variables(engine: &mut Engine, limits: Limits, caught: Caught) {
    let sizes = Sizes::new(limits);
    #[allow(deprecated, reason = "its note says that it is not deprecated, but may change")]
    engine.on_var(move |name, _, mut context| {
        if let Some(failure) = context.scope().get(name).and_then(|value| caught.failure(value)) {
            context.scope_mut().set_value(name, failure);
        }
        for value in [context.scope().get(name), context.this_ptr()].into_iter().flatten() {
            sizes.look(value)?;
        }
        Ok(None)
    });
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
    library.section("Host", "`print(value)` goes to the host's output, `debug(value)` to its log, with file and line.");
    register_arguments(library, context);
    register_exit(library, context);
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

fn register_exit(library: &mut Library<'_>, context: &Context) {
    let [(given, watch), (nothing, end)] = [0; 2].map(|_| (context.exit.clone(), context.watch.clone()));
    library
        .function(
            "exit(code?: int)",
            "Ends the script, past any `catch`; `host-demo` ends with this exit code, 0 to 255 [0]. Any other value is the script's result.",
            "if arg(\"input\") == \"\" { exit(2) }",
            move |call: NativeCallContext, value: Dynamic| -> Fallible<()> {
                if let Some(code) = value.as_int().ok().filter(|code| !(0..=255).contains(code)) {
                    let failure = Failure::invalid(format!("exit: code: expected 0 to 255, got {code}"));
                    return Err(errors::raise(&call, failure));
                }
                leave(&given, &watch, value)
            },
        )
        .also("exit", move || -> Fallible<()> { leave(&nothing, &end, Dynamic::UNIT) });
}

fn leave(given: &OnceLock<Dynamic>, watch: &Watch, value: Dynamic) -> Fallible<()> {
    let _ = given.set(value.clone());
    watch.leave();
    Err(EvalAltResult::Exit(value, Position::NONE).into())
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
