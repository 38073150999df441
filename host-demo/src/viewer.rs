//! The demo host's own side of a script, as a viewer has one: `viewer::volume()`, `viewer::show(thing)`, `viewer::ask(question, [default])`,
//! `viewer::refresh()`, `viewer::model_get(name)`.

use crate::cli::ViewerOptions;
use crate::picture::{self, Picture};
use crate::{models, output};
use sam_octa2_abi::{Api, Script, Volume};
use sam_octa2_abi::{Flow, HostObserver, PluginError, Severity};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What scripts may call: name, declaration for the plugin.
pub const FUNCTIONS: [(&str, &str); 5] = [
    ("volume", r#"{"name": "volume", "doc": "The volume that the viewer shows (--volume)."}"#),
    (
        "show",
        r#"{"name": "show", "doc": "Shows a volume or labels: writes a picture and prints its path.",
            "parameters": [{"name": "thing"}]}"#,
    ),
    (
        "ask",
        r#"{"name": "ask", "doc": "Asks the user; without a terminal the next --answer, or the default.",
            "parameters": [{"name": "question"}, {"name": "default", "optional": true}]}"#,
    ),
    ("refresh", r#"{"name": "refresh", "doc": "Draws again what was shown last."}"#),
    (
        "model_get",
        r#"{"name": "model_get", "doc": "Downloads a model of the list, if it is not here, and returns its path; the user has to allow it (--allow-download).",
            "parameters": [{"name": "name"}]}"#,
    ),
];

/// A script engine with a viewer's functions.
pub struct Viewer {
    script: Arc<Script>,
    state: Arc<Mutex<State>>,
}

struct State {
    api: Api,
    options: ViewerOptions,
    /// the active volume and its handle, once a script asked for it
    active: Option<(Volume, u64)>,
    answers: VecDeque<String>,
    pictures: usize,
    last: Option<Picture>,
    /// stdout is left to a report
    to_stderr: bool,
    /// nothing is said
    quiet: bool,
    /// has the user stopped the call under way?
    stopped: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Viewer {
    /// With what was typed.
    pub fn new(api: Api, options: &ViewerOptions, to_stderr: bool, quiet: bool) -> Result<Self, PluginError> {
        let script = Arc::new(api.script()?);
        let answers = options.answer.clone().into();
        let (active, options) = (None, options.clone());
        let stopped = Box::new(|| false);
        let state = State { api, options, active, answers, pictures: 0, last: None, to_stderr, quiet, stopped };
        let viewer = Self { script, state: Arc::new(Mutex::new(state)) };
        for (name, declaration) in FUNCTIONS {
            let (state, script) = (viewer.state.clone(), Arc::downgrade(&viewer.script));
            viewer.script.add_function(declaration, move |arguments| answer(name, &state, &script, arguments))?;
        }
        Ok(viewer)
    }

    /// What says that the user stops what a function does.
    pub fn stopped_by(self, stopped: Box<dyn Fn() -> bool + Send + Sync>) -> Self {
        lock(&self.state).stopped = stopped;
        self
    }

    /// Runs a script; the report.
    pub fn run(&self, request: &Value, observer: &mut dyn HostObserver) -> anyhow::Result<Value> {
        let report = self.script.run(&request.to_string(), observer)?;
        Ok(serde_json::from_str(&report)?)
    }

    /// Shows a value of a script.
    pub fn show(&self, thing: &Value) -> Result<(), String> {
        lock(&self.state).show(&self.script, thing)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(name: &str, state: &Mutex<State>, script: &Weak<Script>, arguments: &str) -> Result<String, String> {
    let script = script.upgrade().ok_or("the engine is gone")?;
    let arguments: Vec<Value> = serde_json::from_str(arguments).map_err(|error| error.to_string())?;
    let argument = |at: usize| arguments.get(at).unwrap_or(&Value::Null);
    let mut state = lock(state);
    let answer = match name {
        "volume" => json!({"handle": state.volume(&script)?}),
        "show" => state.show(&script, argument(0)).map(|()| Value::Null)?,
        "ask" => state.ask(argument(0), arguments.get(1))?,
        "model_get" => state.model_get(argument(0))?,
        _ => state.draw().map(|()| Value::Null)?,
    };
    Ok(answer.to_string())
}

impl State {
    fn volume(&mut self, script: &Script) -> Result<u64, String> {
        if let Some((_, id)) = self.active {
            return Ok(id);
        }
        let path = self.options.volume.as_deref().ok_or("no volume is open (host-demo: --volume FILE)")?;
        let path = path.to_str().ok_or("the name of the volume is not UTF-8")?;
        let volume = self.api.open_volume(path, None, &mut ()).map_err(|error| error.to_string())?;
        let id = script.share_volume(&volume).map_err(|error| error.to_string())?;
        self.active = Some((volume, id));
        Ok(id)
    }

    fn show(&mut self, script: &Script, thing: &Value) -> Result<(), String> {
        let reply = |error: PluginError| error.to_string();
        let id = thing["handle"].as_u64().ok_or("only volumes and labels can be shown")?;
        let picture = match thing["kind"].as_str() {
            Some("labels") => {
                let active = self.active.as_ref().map(|(volume, _)| volume);
                picture::of_labels(&script.labels(id).map_err(reply)?, active)
            }
            _ => picture::of_volume(&script.volume(id).map_err(reply)?),
        };
        self.last = Some(picture?);
        self.draw()
    }

    /// Draws what was shown last.
    fn draw(&mut self) -> Result<(), String> {
        let Some(picture) = &self.last else { return Ok(()) };
        self.pictures += 1;
        let path = self.options.pictures.join(format!("{:03}.png", self.pictures));
        picture.write(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let line = path.display().to_string();
        if self.quiet {
            // the picture is there
        } else if self.to_stderr {
            output::note(&line);
        } else {
            output::line_of_work(&line);
        }
        Ok(())
    }

    fn ask(&mut self, question: &Value, default: Option<&Value>) -> Result<Value, String> {
        let question = question.as_str().map_or_else(|| question.to_string(), str::to_owned);
        if let Some(answer) = self.answers.pop_front() {
            return Ok(json!(answer));
        }
        let hint = default
            .map(|default| format!(" [{}]", default.as_str().unwrap_or(&default.to_string())))
            .unwrap_or_default();
        if std::io::stdin().is_terminal() {
            eprint!("{question}{hint} ");
            std::io::stderr().flush().map_err(|error| error.to_string())?;
            let mut typed = String::new();
            std::io::stdin().lock().read_line(&mut typed).map_err(|error| error.to_string())?;
            if !typed.trim().is_empty() {
                return Ok(json!(typed.trim()));
            }
        }
        default.cloned().ok_or_else(|| format!("nobody answers \"{question}\" (host-demo: --answer TEXT)"))
    }

    /// Downloads a model, where the user allows it; its path.
    fn model_get(&mut self, name: &Value) -> Result<Value, String> {
        let name = name.as_str().ok_or("the name of a model is expected")?;
        if !self.options.allow_download {
            return Err(format!("downloading {name} is not allowed (host-demo: --allow-download)"));
        }
        let get = || {
            let known = models::Known::of_reply(&self.api.task("models", "{}", &mut ())?)?;
            let (order, folder) = known.order(name)?;
            let terms = known.terms(name)?;
            let mut watch = Download { stopped: &*self.stopped, quiet: self.quiet };
            watch.log(Severity::INFO, &terms);
            models::get(&order, &folder, false, &mut watch)
        };
        let got = get().map_err(|error: anyhow::Error| format!("{error:#}"))?;
        Ok(json!(got.path))
    }
}

/// A download in a script: what matters is said, and the user may stop it.
struct Download<'a> {
    stopped: &'a (dyn Fn() -> bool + Send + Sync),
    quiet: bool,
}

impl HostObserver for Download<'_> {
    fn progress(&mut self, _: &str, _: u64, _: u64) -> Flow {
        if (self.stopped)() { Flow::CANCEL } else { Flow::CONTINUE }
    }

    fn log(&mut self, _: Severity, message: &str) {
        if !self.quiet {
            output::note(message);
        }
    }

    fn is_cancelled(&mut self) -> bool {
        (self.stopped)()
    }
}
