//! The task `script`: runs a Rhai file. The script has no more authority than the functions registered here give it.
//!
//! `request -> engine (limits, arg, print, progress) -> register (what the product can do) -> run -> the script's last value`.

mod arguments;
mod calls;
mod captured;
mod caught;
mod check;
mod describe;
mod engine;
mod errors;
mod files;
mod history;
mod judging;
mod kept;
mod kept_models;
mod kinds;
mod labels;
mod library;
mod limits;
mod listing;
mod mask;
mod measures;
mod model;
mod modules;
mod oct;
mod phantom;
mod pixels;
mod prompting;
mod propagate;
mod proposals;
mod regions;
mod rewrite;
mod session;
mod shapes;
mod sizes;
mod sparse;
mod tables;
mod train;
mod values;
mod vessels;
mod viewer;
mod volume;
mod watch;

pub use labels::LabelsValue;
pub use model::ModelValue;
pub use viewer::{ScriptValue, Thing};
pub use volume::VolumeValue;

use crate::convert;
use arguments::Arguments;
use caught::Caught;
use engine::HostRef;
use files::{Files, Roots};
use kept::Kept;
use kept_models::KeptModels;
use library::{Library, Section};
use limits::Limits;
use modules::Modules;
use rewrite::Tokens;
use rhai::{Dynamic, Engine, EvalAltResult, OptimizationLevel};
use sam_octa2_abi::{HostCalls, PluginError, Severity};
use sam_octa2_core::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use viewer::HostSide;
use watch::{Ended, Watch};

/// The request of the task `script`.
#[derive(Serialize, Deserialize, Default)]
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
    /// which files the script may read and write; absent: all; given, what it does not name is denied
    #[serde(default)]
    roots: Option<Roots>,
    /// a folder from which scripts may import, beside the script's own
    #[serde(default)]
    library: Option<PathBuf>,
    /// what the script leaves behind (variables, functions) is there for the next script with `keep`
    #[serde(default)]
    pub keep: bool,
    /// models that the script loads are there for the next script of this engine with `keep_models`, which then need not load them
    #[serde(default)]
    keep_models: bool,
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
    /// what it may import
    pub modules: Arc<Modules>,
    /// stops it
    pub watch: Arc<Watch>,
    /// what it may use up
    pub limits: Limits,
    /// hears of its tokens
    pub tokens: Tokens,
    /// puts what it catches into words
    pub caught: Caught,
    /// what it gave to `exit`
    pub exit: Arc<OnceLock<Dynamic>>,
    /// the name that its messages carry
    pub script: String,
    /// models of the script before it, and those that it loads
    pub models: Arc<KeptModels>,
}

/// Makes the product's functions known to the engine, each type in a file of its own beside this one. A function that can fail or takes
/// long receives `NativeCallContext` first and runs in [`values::native`], so that its error carries the place in the script.
fn register(engine: &mut Engine, context: &Context) -> Arc<[Section]> {
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
    vessels::register(&mut library, context);
    measures::register(&mut library, context);
    tables::register(&mut library, context);
    oct::register(&mut library, context);
    phantom::register(&mut library, context);
    sparse::register(&mut library, context);
    proposals::register(&mut library);
    judging::register(&mut library);
    train::register(&mut library, context);
    let sections = library.into_sections().into();
    context.caught.know(&sections);
    sections
}

/// Runs a script; the reply's report is `{"result": <its last value>}`, with `exit` if it called `exit(code)`.
pub fn run(request: &ScriptRequest, host: &HostCalls) -> Result<Value, PluginError> {
    run_with(request, host, &Arc::default(), None)
}

/// Runs a script that may call the host's functions, and go on where the scripts before it ended.
pub fn run_with(
    request: &ScriptRequest,
    host: &HostCalls,
    side: &Arc<HostSide>,
    kept: Option<&mut Kept>,
) -> Result<Value, PluginError> {
    let mut fresh = Kept::default();
    let kept = kept.unwrap_or(&mut fresh);
    let (mut path, source) = request.text()?;
    if request.keep && request.path.is_none() {
        path = kept.name();
    }
    // Safety: the engine and the values of the script, which alone get clones of it, end with this function.
    let host = unsafe { HostRef::new(host) };
    let arguments = Arc::new(Arguments::new(request.args.clone(), side.clone()));
    let mut context = request.context(host, arguments, &path)?;
    let models = side.models();
    if request.keep_models {
        context.models = models.clone();
    }
    let _end = models.on_end();
    side.grant(&context);
    let script = errors::Script { path: &path, source: &source, limits: request.limits, context: &context };
    let mut engine = engine::new(&request.limits, &context);
    let sections = register(&mut engine, &context);
    side.register(&mut engine);

    let result = kept.run((&engine, &context.tokens), &path, &context.watch, unshebanged(&source));
    let result = match context.exit.get() {
        Some(value) if context.watch.ended() == Some(Ended::Exit) => value.clone(),
        _ => result.map_err(|error| script.explain(*error, &sections, kept))?,
    };
    for key in context.arguments.unused() {
        host.calls().log(Severity::WARN, &format!("the script did not read the argument `{key}`"));
    }
    let mut report = json!({"result": side.to_json(&result)});
    if let Some(code) = context.exit.get().and_then(|value| value.as_int().ok()) {
        report["exit"] = json!(code);
    }
    if request.keep {
        report["text"] = if result.is_unit() { Value::Null } else { json!(engine::shown(&engine, &result)) };
        report["variables"] = kept.variables();
    }
    Ok(json!({"report": report}))
}

impl ScriptRequest {
    fn context(&self, host: HostRef, arguments: Arc<Arguments>, path: &Path) -> Result<Context, PluginError> {
        self.limits.check()?;
        let own = self.path.as_deref().map(|path| path.parent().unwrap_or(Path::new("")));
        let tokens = Tokens::default();
        let modules = Arc::new(Modules::new(own, self.library.as_deref(), tokens.clone()));
        let files = Arc::new(Files::new(self.roots.as_ref(), self.path.as_deref(), modules.clone()));
        let watch = Arc::new(Watch::new(host, self.limits));
        let (limits, script) = (self.limits, path.display().to_string());
        let (caught, exit) = (Caught::default(), Arc::default());
        let models = Arc::default();
        Ok(Context { host, arguments, files, modules, watch, limits, tokens, caught, exit, script, models })
    }

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
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceRequest {
    /// `markdown`, `definitions` or `json`
    form: String,
}

/// Describes what scripts can use; the report is text, `{file: text}`, or a list of sections.
pub fn reference(request: &ReferenceRequest, host: &HostCalls) -> Result<Value, PluginError> {
    with_engine(&ScriptRequest::default(), Path::new("script"), host, |engine, sections, _| {
        match request.form.as_str() {
            "markdown" => Ok(json!({"report": describe::markdown(sections)})),
            "definitions" => {
                let files = describe::definitions(engine, sections).into_iter().map(|(name, text)| (name, text.into()));
                Ok(json!({"report": files.collect::<Map<String, Value>>()}))
            }
            "json" => Ok(json!({"report": describe::json(sections)})),
            other => Err(convert::invalid(format!("`form` \"{other}\" is none of markdown, definitions, json"))),
        }
    })
}

/// Looks a script over without running it, and what it imports.
pub fn check(request: &ScriptRequest, host: &HostCalls) -> Result<Value, PluginError> {
    let (path, source) = request.text()?;
    with_engine(request, &path, host, |engine, sections, context| {
        let script = errors::Script { path: &path, source: &source, limits: request.limits, context };
        let tree = engine.compile(unshebanged(&source));
        let tree = tree.map_err(|error| script.explain(EvalAltResult::from(error), sections, &Kept::default()))?;
        let found = check::check(engine, sections, &context.modules, &tree, &source);
        let file = |p: &check::Problem| p.file.as_deref().unwrap_or(&path).display().to_string();
        let lines = found.problems.iter().map(|p| format!("{}:{}:{}: {}", file(p), p.line, p.column, p.text));
        Ok(json!({"report": found, "text": lines.collect::<Vec<_>>().join("\n")}))
    })
}

/// An engine that runs nothing, with the list of its functions.
fn with_engine<T>(
    request: &ScriptRequest,
    path: &Path,
    host: &HostCalls,
    work: impl FnOnce(&Engine, &[Section], &Context) -> Result<T, PluginError>,
) -> Result<T, PluginError> {
    // Safety: the engine, which alone gets clones of it, ends with this function.
    let host = unsafe { HostRef::new(host) };
    let arguments = Arc::new(Arguments::new(Map::new(), Arc::default()));
    let context = request.context(host, arguments, path)?;
    let mut engine = engine::new(&request.limits, &context);
    engine.set_optimization_level(OptimizationLevel::None); // the script as it is written
    let sections = register(&mut engine, &context);
    work(&engine, &sections, &context)
}

/// A first line that starts an interpreter is a comment; the lines keep their numbers.
fn unshebanged(source: &str) -> String {
    match source.strip_prefix("#!") {
        Some(rest) => format!("// {rest}"), // with a blank: `///` would be documentation
        None => source.to_owned(),
    }
}
