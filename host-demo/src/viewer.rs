//! The demo host's own side of a script, as a viewer has one: `viewer::volume()`, `viewer::show(thing)`, `viewer::ask(question, [default])`,
//! `viewer::refresh()`.

use crate::cli::ViewerOptions;
use crate::output;
use crate::picture::{self, Picture};
use sam_octa2_abi::{Api, Script, Volume};
use sam_octa2_abi::{HostObserver, PluginError};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What scripts may call: name, declaration for the plugin.
pub const FUNCTIONS: [(&str, &str); 4] = [
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
}

impl Viewer {
    /// With what was typed.
    pub fn new(api: Api, options: &ViewerOptions, to_stderr: bool, quiet: bool) -> Result<Self, PluginError> {
        let script = Arc::new(api.script()?);
        let answers = options.answer.clone().into();
        let (active, options) = (None, options.clone());
        let state = State { api, options, active, answers, pictures: 0, last: None, to_stderr, quiet };
        let viewer = Self { script, state: Arc::new(Mutex::new(state)) };
        for (name, declaration) in FUNCTIONS {
            let (state, script) = (viewer.state.clone(), Arc::downgrade(&viewer.script));
            viewer.script.add_function(declaration, move |arguments| answer(name, &state, &script, arguments))?;
        }
        Ok(viewer)
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
}
