//! The task `script`: runs a Rhai file. The script has no more authority than the functions registered here give it.
//!
//! `request -> engine (limits, arg, print, progress) -> register (what the product can do) -> run -> the script's last value`.

mod arguments;
mod captured;
mod check;
mod describe;
mod engine;
mod errors;
mod files;
mod history;
mod labels;
mod library;
mod model;
mod pixels;
mod prompting;
mod propagate;
mod regions;
mod session;
mod tables;
mod train;
mod values;
mod viewer;
mod volume;

pub use labels::LabelsValue;
pub use model::ModelValue;
pub use viewer::{ScriptValue, Thing};
pub use volume::VolumeValue;

use crate::convert;
use arguments::Arguments;
use engine::HostRef;
use files::{Files, Roots};
use library::{Library, Room};
use rhai::{Dynamic, Engine, EvalAltResult, OptimizationLevel};
use sam_octa2_abi::{HostCalls, PluginError, Severity};
use sam_octa2_core::Error;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use viewer::HostSide;

/// The request of the task `script`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptRequest {
    /// a file
    #[serde(default)]
    path: Option<PathBuf>,
    /// or the text itself
    #[serde(default)]
    source: Option<String>,
    /// what `arg("key")` returns: text as typed at a terminal, or any JSON value
    #[serde(default)]
    args: Map<String, Value>,
    #[serde(default)]
    limits: Limits,
    /// which files the script may read and write; default: all
    #[serde(default)]
    roots: Roots,
}

/// What a script may use up. The defaults stop a runaway script within seconds and leave room for long honest ones.
#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// steps of the interpreter; work inside functions such as `propagate` does not count
    pub operations: u64,
    /// functions inside functions
    pub call_depth: usize,
    /// bytes of one string
    pub string_bytes: usize,
    /// elements of one array; Rhai counts them all at each `push`, so that a million would take minutes
    pub array_elements: usize,
    /// entries of one map
    pub map_entries: usize,
    /// variables at one time
    pub variables: usize,
    /// bytes by which the process may grow while the script runs, voxels and models included
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 200_000_000,
            call_depth: 64,
            string_bytes: 16 << 20,
            array_elements: 100_000,
            map_entries: 100_000,
            variables: 10_000,
            memory_bytes: 16 << 30,
        }
    }
}

/// What native functions may need besides their arguments.
#[derive(Clone)]
pub struct Context {
    /// progress, log and cancel of the host that runs the script
    pub host: HostRef,
    /// what `arg` reads
    pub arguments: Arc<Arguments>,
    /// where the script may read and write
    pub files: Arc<Files>,
}

/// Makes the product's functions known to the engine, each type in a file of its own beside this one. A function that can fail or takes
/// long receives `NativeCallContext` first and runs in [`values::native`], so that its error carries the place in the script.
fn register(engine: &mut Engine, context: &Context) -> Vec<Room> {
    let mut library = Library::new(engine);
    engine::register(&mut library, context);
    volume::register(&mut library, context);
    pixels::register(&mut library, context);
    model::register(&mut library, context);
    session::register(&mut library, context);
    propagate::register(&mut library, context);
    history::register(&mut library, context);
    labels::register(&mut library, context);
    regions::register(&mut library, context);
    tables::register(&mut library, context);
    train::register(&mut library, context);
    library.into_rooms()
}

/// Runs a script; the reply's report is `{"result": <its last value>}`.
pub fn run(request: &ScriptRequest, host: &HostCalls) -> Result<Value, PluginError> {
    run_with(request, host, &Arc::default())
}

/// Runs a script that may call the host's functions.
pub fn run_with(request: &ScriptRequest, host: &HostCalls, side: &Arc<HostSide>) -> Result<Value, PluginError> {
    let (path, source) = request.text()?;
    let script = errors::Script { path: &path, source: &source, limits: request.limits };
    // Safety: the engine and the values of the script, which alone get clones of it, end with this function.
    let host = unsafe { HostRef::new(host) };
    let files = Arc::new(Files::from(&request.roots));
    side.grant(&files);
    let arguments = Arc::new(Arguments::new(request.args.clone(), side.clone()));
    let context = Context { host, arguments, files };
    let mut engine = engine::new(&request.limits, &context, &path);
    drop(register(&mut engine, &context));
    side.register(&mut engine);

    let tree = engine.compile(unshebanged(&source)).map_err(|error| script.explain(EvalAltResult::from(error)))?;
    let result = engine.eval_ast::<Dynamic>(&tree);
    let result = result.map_err(|error| script.explain(*captured::explained(error, Some(&tree))))?;
    for key in context.arguments.unused() {
        host.calls().log(Severity::WARN, &format!("the script did not read the argument `{key}`"));
    }
    Ok(json!({"report": {"result": side.told(&result)}}))
}

impl ScriptRequest {
    /// The script and the name that its errors carry.
    fn text(&self) -> Result<(PathBuf, String), PluginError> {
        match (&self.path, &self.source) {
            (Some(path), None) => {
                let source = std::fs::read_to_string(path).map_err(Error::io(path)).map_err(convert::error)?;
                Ok((path.clone(), source))
            }
            (None, Some(source)) => Ok((PathBuf::from("script"), source.clone())),
            _ => Err(convert::invalid("the request of a script needs either `path` or `source`")),
        }
    }
}

/// What a request for a description may ask for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceRequest {
    /// `markdown`, `definitions` or `json`
    form: String,
}

/// Describes what scripts can use; the report is text, `{file: text}`, or a list of sections.
pub fn reference(request: &ReferenceRequest, host: &HostCalls) -> Result<Value, PluginError> {
    with_engine(&Limits::default(), Path::new("script"), host, |engine, rooms| match request.form.as_str() {
        "markdown" => Ok(json!({"report": describe::markdown(rooms)})),
        "definitions" => {
            let files = describe::definitions(engine, rooms).into_iter().map(|(name, text)| (name, text.into()));
            Ok(json!({"report": files.collect::<Map<String, Value>>()}))
        }
        "json" => Ok(json!({"report": describe::json(rooms)})),
        other => Err(convert::invalid(format!("`form` \"{other}\" is none of markdown, definitions, json"))),
    })
}

/// Looks a script over without running it.
pub fn check(request: &ScriptRequest, host: &HostCalls) -> Result<Value, PluginError> {
    let (path, source) = request.text()?;
    with_engine(&request.limits, &path, host, |engine, rooms| {
        let script = errors::Script { path: &path, source: &source, limits: request.limits };
        let tree = engine.compile(unshebanged(&source));
        let tree = tree.map_err(|error| script.explain(EvalAltResult::from(error)))?;
        let found = check::check(engine, rooms, &tree, &source);
        let lines = found.problems.iter().map(|p| format!("{}:{}:{}: {}", path.display(), p.line, p.column, p.text));
        Ok(json!({"report": found, "text": lines.collect::<Vec<_>>().join("\n")}))
    })
}

/// An engine that runs nothing, with the list of its functions.
fn with_engine<T>(
    limits: &Limits,
    path: &Path,
    host: &HostCalls,
    work: impl FnOnce(&Engine, &[Room]) -> Result<T, PluginError>,
) -> Result<T, PluginError> {
    // Safety: the engine, which alone gets clones of it, ends with this function.
    let host = unsafe { HostRef::new(host) };
    let arguments = Arc::new(Arguments::new(Map::new(), Arc::default()));
    let context = Context { host, arguments, files: Arc::default() };
    let mut engine = engine::new(limits, &context, path);
    engine.set_optimization_level(OptimizationLevel::None); // the script as it is written
    let rooms = register(&mut engine, &context);
    work(&engine, &rooms)
}

/// A first line that starts an interpreter is a comment; the lines keep their numbers.
fn unshebanged(source: &str) -> String {
    match source.strip_prefix("#!") {
        Some(rest) => format!("// {rest}"), // with a blank: `///` would be documentation
        None => source.to_owned(),
    }
}
