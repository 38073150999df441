//! What is done with each case: a script, the user's or the one that this program carries, with its arguments; and what decides about its results.

use super::child::{Answer, Limits, Worker};
use super::fingerprint::{Fingerprint, hash_of, hash_of_text};
use super::manifest::Case;
use super::options::{RunOptions, Work};
use super::record::Settings;
use super::worker::Request;
use crate::{scripts, tasks};
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The script of `--model`.
const OWN: &str = include_str!("../../../scripts/batch.rhai");
/// The measurements of hundreds of layers, region by region, are more than a script may hold unless a limit is given (a stack of 640 slices).
const OWN_ENTRIES: u64 = 100_000_000;
/// Arguments that every case brings.
const BROUGHT: [&str; 4] = ["case", "volume", "input", "out"];

/// A script with what is equal for all cases.
pub struct Plan {
    /// `path` or `source`
    script: Value,
    own: Option<PathBuf>,
    set: Vec<(String, String)>,
    options: Value,
    allow: Vec<PathBuf>,
    /// the column that is the argument `prompts`
    prompts_column: Option<String>,
    /// arguments that the script reads, and whether it needs them
    reads: BTreeMap<String, bool>,
    pub settings: Settings,
    pub limits: Limits,
}

impl Plan {
    /// Looks the script over, finds the model, and hashes what decides.
    pub fn new(options: &RunOptions, plugin: &Path, worker: &mut Worker) -> anyhow::Result<Self> {
        let work = &options.work;
        let (script, set) = match &work.script {
            Some(path) => (json!({"path": tasks::text(path)?}), work.set.clone()),
            None => (json!({"source": OWN}), work.own_arguments()?),
        };
        let mut look = script.clone();
        look["library"] = json!(options.bounds.library);
        let checked = task(worker, "check", &look)?;
        if let Some(problem) = checked["problems"].as_array().and_then(|problems| problems.first()) {
            let shown = work.script.as_deref().map_or_else(String::new, |path| path.display().to_string());
            bail!(
                "{shown}:{}:{}: {}",
                problem["line"],
                problem["column"],
                problem["text"].as_str().unwrap_or_default()
            );
        }
        let reads = checked["arguments"].as_array().into_iter().flatten();
        let reads =
            reads.filter_map(|a| Some((a["name"].as_str()?.to_owned(), a["required"].as_bool().unwrap_or(false))));
        let scripts = match &work.script {
            Some(path) => modules(path, options.bounds.library.as_deref())?,
            None => BTreeMap::from([("built in".to_owned(), hash_of_text(OWN))]),
        };
        let settings = Settings {
            host: env!("CARGO_PKG_VERSION").to_owned(),
            plugin: worker.manifest.clone(),
            libraries: libraries(plugin, &worker.manifest)?,
            scripts,
            arguments: set.iter().map(|(key, value)| (key.clone(), json!(value))).collect(),
            files: files(&set, work.script.is_none(), worker)?,
        };
        let megabytes = |mb: u64| mb.saturating_mul(1 << 20);
        let limits = Limits {
            seconds: options.bounds.max_seconds.filter(|&seconds| seconds > 0.0),
            memory_bytes: options.bounds.max_memory.map(megabytes),
        };
        let mut bounds = scripts::bounds(&options.bounds, work.script.as_deref(), &set)?;
        if work.script.is_none() {
            widen(&mut bounds["limits"]);
        }
        let (own, allow) = (work.script.clone(), options.bounds.allow.clone());
        let (reads, prompts_column) = (reads.collect(), work.prompts_column.clone());
        Ok(Self { script, own, set, options: bounds, allow, prompts_column, reads, settings, limits })
    }

    /// Arguments that the script needs and that this case does not have.
    pub fn lacks(&self, case: &Case) -> Vec<&str> {
        let has = |name: &str| {
            BROUGHT.contains(&name) || case.values.contains_key(name) || self.set.iter().any(|(key, _)| key == name)
        };
        self.reads.iter().filter(|(name, needed)| **needed && !has(name)).map(|(name, _)| name.as_str()).collect()
    }

    /// Does the script read this argument? The plugin warns of every one that it does not; columns may well be for other readers.
    pub fn is_unread_column(&self, warning: &str, case: &Case) -> bool {
        let Some(name) =
            warning.strip_prefix("the script did not read the argument `").and_then(|rest| rest.strip_suffix('`'))
        else {
            return false;
        };
        BROUGHT.contains(&name) || case.values.contains_key(name)
    }

    /// A script's error without its place (`script:55:14: `), where the script is the one that this program carries and nobody sees.
    pub fn without_place(&self, message: String) -> String {
        let is_place = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == ':');
        let rest =
            message.strip_prefix("script:").and_then(|rest| rest.split_once(": ")).filter(|(place, _)| is_place(place));
        match rest {
            Some((_, rest)) if self.own.is_none() => rest.to_owned(),
            _ => message,
        }
    }

    /// What a case's record must hold to stand for it: sha256 over the settings and the columns that name no files.
    pub fn key(&self, case: &Case) -> String {
        let files: BTreeSet<&str> = case.files().into_iter().map(|(column, _)| column).collect();
        let plain: Map<String, Value> = case
            .values
            .iter()
            .filter(|(key, _)| !files.contains(key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        hash_of_text(&json!({"settings": self.settings, "values": plain}).to_string())
    }

    /// The request that does a case, with its files in `out`.
    pub fn request(&self, case: &Case, out: &Path) -> anyhow::Result<Request> {
        let mut args: Map<String, Value> = self.set.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        args.extend(case.values.clone());
        if let Some(prompts) = self.prompts_column.as_ref().and_then(|column| args.remove(column)) {
            args.insert("prompts".to_owned(), prompts);
        }
        let (volume, out) = (tasks::text(&case.volume)?, tasks::text(out)?);
        for (key, value) in [("case", case.case.as_str()), ("volume", volume), ("input", volume), ("out", out)] {
            args.insert(key.to_owned(), json!(value));
        }
        let mut request = self.script.clone();
        for (key, value) in self.options.as_object().into_iter().flatten() {
            request[key] = value.clone();
        }
        let mut roots = scripts::roots(self.own.as_deref(), &self.set, &self.allow)?;
        let mut grant = |kind: &str, path: &str| roots[kind].as_array_mut().map_or((), |list| list.push(json!(path)));
        grant("write", out);
        for (_, path) in case.files() {
            grant("read", tasks::text(path)?);
            // masks that a prompt file names lie beside it
            grant("read", tasks::text(path.parent().unwrap_or(path))?);
        }
        request["roots"] = roots;
        request["keep_models"] = json!(true);
        request["args"] = json!(args);
        Ok(Request::Run(request))
    }
}

/// More space for the lists and maps of our own script, where the user does not say how much.
fn widen(limits: &mut Value) {
    for name in ["array_elements", "map_entries"] {
        if limits[name].is_null() {
            limits[name] = json!(OWN_ENTRIES);
        }
    }
}

impl Work {
    /// The arguments of the script that this program carries.
    fn own_arguments(&self) -> anyhow::Result<Vec<(String, String)>> {
        let prompts = match (&self.prompts_column, self.no_prompts) {
            (_, true) => "none",
            (Some(_), _) => "column",
            (None, false) => bail!("--model needs to know where prompts are: --prompts-column, or --no-prompts"),
        };
        let adapter = self.adapter.as_deref().map(tasks::text).transpose()?;
        let given = [
            ("model", self.model.as_deref()),
            ("config", self.model_config.as_deref()),
            ("adapter", adapter),
            ("device", self.device.as_deref()),
            ("precision", self.precision.as_deref()),
            ("mode", Some(prompts)),
        ];
        let given = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())));
        Ok(given.chain(self.set.iter().cloned()).collect())
    }
}

/// A task of the plugin in the worker; its report.
fn task(worker: &mut Worker, name: &str, request: &Value) -> anyhow::Result<Value> {
    let request = Request::Task { name: name.to_owned(), request: request.clone() };
    match worker.ask(&request, Limits::default(), |_, _| {}, || false) {
        Answer::Done { mut report, .. } => Ok(report["report"].take()),
        Answer::Failed { message, .. } => bail!("{message}"),
        other => bail!("{name}: the worker ended: {other:?}"),
    }
}

/// The plugin's libraries: it, and the engine beside it.
fn libraries(plugin: &Path, manifest: &Value) -> anyhow::Result<BTreeMap<String, String>> {
    let engine = manifest["engine"].as_str().map(|name| plugin.with_file_name(name)).filter(|path| path.is_file());
    let hashed = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, hash_of(path).with_context(|| path.display().to_string())?))
    };
    std::iter::once(plugin).chain(engine.as_deref()).map(hashed).collect()
}

/// A script and those that it imports, by the names under which they are imported.
fn modules(script: &Path, library: Option<&Path>) -> anyhow::Result<BTreeMap<String, String>> {
    let own = script.parent().unwrap_or(Path::new(""));
    let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (mut found, mut waiting) = (BTreeMap::new(), vec![(name, script.to_path_buf())]);
    while let Some((name, path)) = waiting.pop() {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for import in imports(&text) {
            let file = format!("{import}.rhai");
            let places = [Some(path.parent().unwrap_or(own)), Some(own), library];
            let place = places.into_iter().flatten().map(|folder| folder.join(&file)).find(|path| path.is_file());
            if let Some(place) = place.filter(|_| !found.contains_key(&file)) {
                waiting.push((file, place));
            }
        }
        found.insert(name, hash_of_text(&text));
    }
    Ok(found)
}

/// What a script imports; one that only looks like an import does no harm: it is hashed for nothing, or not found.
fn imports(text: &str) -> impl Iterator<Item = &str> {
    text.split("import").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
}

/// The files among the arguments, and the model that one of them names: sha256 of each. Error: `named` says that a model must be there, and it is not.
fn files(set: &[(String, String)], named: bool, worker: &mut Worker) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut known = None;
    for (key, value) in set {
        let path = Path::new(value);
        let path = if path.is_file() || (path.is_dir() && key != "out") {
            Some(path.to_path_buf())
        } else if key == "model" || key == "segmenter" {
            if known.is_none() {
                known = Some(task(worker, "models", &json!({}))?);
            }
            let model = known.iter().filter_map(Value::as_array).flatten().find(|model| model["name"] == json!(value));
            let path = model.and_then(|model| model["path"].as_str()).map(PathBuf::from);
            let is_file = [".pt", ".pth", ".safetensors"].iter().any(|ending| value.ends_with(ending));
            if named && key == "model" && path.is_none() && !is_file {
                bail!(
                    "--model {value}: is not here; `host-demo models` lists those that are, and where others can be had"
                );
            }
            path
        } else {
            None
        };
        if let Some(path) = path {
            let fingerprint = Fingerprint::of(&path).with_context(|| path.display().to_string())?;
            found.insert(key.clone(), fingerprint.sha256);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_script_has_room_for_long_stacks_unless_the_user_says_less() {
        let mut limits = json!({"map_entries": 7, "seconds": 2.0});
        widen(&mut limits);
        assert_eq!(limits, json!({"map_entries": 7, "array_elements": OWN_ENTRIES, "seconds": 2.0}));
    }
}
