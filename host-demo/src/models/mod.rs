//! `host-demo models`: what is known by name, downloads, checks. The plugin tells what there is (its task `models`) and never opens a
//! connection; this host does, when it is asked to.
//!
//! `the plugin's list -> download (http, part) -> digest -> the checkpoint in its folder`

mod digest;
mod download;
mod http;
mod part;

pub use download::{Order, get};

use crate::cli::Cli;
use crate::exit::{self, Code, SUCCESS};
use crate::observer::Terminal;
use crate::{find, output};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use sam_octa2_abi::{HostObserver, Plugin, PluginError, Severity};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What can be typed.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    pub command: Option<Action>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to do with models.
#[derive(Subcommand)]
pub enum Action {
    /// Tell what a model was trained on, what it is good for and under which terms it comes
    Show {
        /// Model
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Download models
    ///
    /// Shows the terms, downloads, checks size and SHA-256 and puts the file in its place. What was stopped or broke off goes on where it
    /// stood when the same is typed again. A SHA-256 that the list does not know is learnt at the first download and kept beside the file.
    #[command(
        after_long_help = "Examples:\n  host-demo models get 2.1-tiny\n  host-demo models get medsam2 --to /data/weights"
    )]
    Get {
        /// Models
        #[arg(required = true)]
        names: Vec<String>,
        /// Folder; default: the first of SAM_OCTA2_WEIGHTS, else the sam2_weights nearest to the plugin, else ./sam2_weights
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// Download also what is there already, and replace it
        #[arg(long)]
        replace: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Compare the models that are here with their SHA-256
    ///
    /// Exit code 1 if a file is not what it should be.
    Verify {
        /// Models; default: all that are here
        names: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A model as the plugin tells of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Listed {
    name: String,
    file: String,
    path: Option<PathBuf>,
    url: Option<String>,
    bytes: Option<u64>,
    sha256: Option<String>,
    licence: Option<String>,
    terms: Option<String>,
    licence_url: Option<String>,
    unsupported: Option<String>,
}

/// What the plugin knows, and where new ones go.
pub struct Known {
    models: Vec<Listed>,
    report: Vec<Value>,
    folder: PathBuf,
}

impl Known {
    /// From the reply to the plugin's task `models`.
    pub fn of_reply(reply: &str) -> anyhow::Result<Self> {
        let reply: Value = serde_json::from_str(reply).context("the plugin's reply is not JSON")?;
        let folder = reply["folder"].as_str().context("this plugin does not say where models go: it is too old")?;
        let models = Listed::deserialize_all(&reply["report"])?;
        Ok(Self { models, report: reply["report"].as_array().cloned().unwrap_or_default(), folder: folder.into() })
    }

    fn of(plugin: &Plugin) -> anyhow::Result<Self> {
        Self::of_reply(&plugin.task("models", "{}", &mut ())?)
    }

    /// The model with this name.
    pub fn named(&self, name: &str) -> anyhow::Result<&Listed> {
        self.models.iter().find(|model| model.name == name).with_context(|| {
            let names: Vec<_> = self.models.iter().map(|model| model.name.as_str()).collect();
            format!("no model is named \"{name}\"; there are {}", names.join(", "))
        })
    }

    /// What to download for a model, and its folder.
    pub fn order(&self, name: &str) -> anyhow::Result<(Order, PathBuf)> {
        let model = self.named(name)?;
        if let Some(why) = &model.unsupported {
            bail!("{name} cannot be used here: {why}");
        }
        let Some(url) = &model.url else {
            match &model.path {
                Some(path) => bail!("{name} is here ({}), and the list has no address for it", path.display()),
                None => bail!("{name}: the list has no address for it"),
            }
        };
        let order =
            Order { url: url.clone(), file: model.file.clone(), bytes: model.bytes, sha256: model.sha256.clone() };
        Ok((order, self.folder.clone()))
    }

    /// The terms of a model, in a few lines.
    pub fn terms(&self, name: &str) -> anyhow::Result<String> {
        let model = self.named(name)?;
        let licence = model.licence.as_deref().unwrap_or("unknown: ask its authors");
        let mut lines = vec![format!("{name}: licence {licence}")];
        lines.extend(model.terms.iter().map(|terms| format!("  {terms}")));
        lines.extend(model.licence_url.iter().map(|url| format!("  {url}")));
        Ok(lines.join("\n"))
    }
}

impl Listed {
    fn deserialize_all(report: &Value) -> anyhow::Result<Vec<Self>> {
        Vec::deserialize(report).context("the plugin's list of models is not understood")
    }
}

/// The stop that a user asked for, as an error.
fn cancelled() -> anyhow::Error {
    PluginError::new("cancelled", "cancelled").into()
}

/// `host-demo models show | get | verify`
pub fn run(cli: &Cli, action: &Action) -> anyhow::Result<Code> {
    let known = Known::of(&find::load(cli.plugin.as_deref())?)?;
    match action {
        Action::Show { name, json } => show(&known, name, *json),
        Action::Get { names, to, replace, json } => {
            let mut terminal = Terminal::new(cli.quiet, *json)?;
            let got = get_all(&known, names, to.as_ref(), *replace, &mut terminal);
            terminal.pause();
            let lines = got?;
            match *json {
                true => output::line(&serde_json::to_string_pretty(&lines)?)?,
                false if cli.quiet => {}
                false => lines.iter().filter_map(|line| line["text"].as_str()).try_for_each(output::line)?,
            }
            Ok(SUCCESS)
        }
        Action::Verify { names, json } => verify(&known, names, *json, &mut Terminal::new(cli.quiet, *json)?),
    }
}

fn show(known: &Known, name: &str, as_json: bool) -> anyhow::Result<Code> {
    known.named(name)?;
    let model = known.report.iter().find(|model| model["name"] == json!(name)).unwrap_or(&Value::Null);
    if as_json {
        output::line(&serde_json::to_string_pretty(model)?)?;
        return Ok(SUCCESS);
    }
    for (label, key) in [
        ("name", "name"),
        ("family", "family"),
        ("cannot be used", "unsupported"),
        ("file", "file"),
        ("here", "path"),
        ("configuration", "config"),
        ("pixels", "image_size"),
        ("address", "url"),
        ("bytes", "bytes"),
        ("SHA-256", "sha256"),
        ("licence", "licence"),
        ("terms", "terms"),
        ("", "licence_url"),
        ("trained on", "trained_on"),
        ("good for", "good_for"),
        ("cite", "citation"),
        ("listed in", "list"),
    ] {
        match &model[key] {
            Value::Null => {}
            Value::String(text) => output::line(&format!("{label:15} {text}"))?,
            other => output::line(&format!("{label:15} {other}"))?,
        }
    }
    Ok(SUCCESS)
}

/// One line of a report for each model.
fn get_all(
    known: &Known,
    names: &[String],
    to: Option<&PathBuf>,
    replace: bool,
    watch: &mut dyn HostObserver,
) -> anyhow::Result<Vec<Value>> {
    names.iter().try_for_each(|name| known.order(name).map(drop))?; // before the first of them takes its time
    let mut lines = Vec::new();
    for name in names {
        let (order, folder) = known.order(name)?;
        watch.log(Severity::INFO, &known.terms(name)?);
        let got = get(&order, to.unwrap_or(&folder), replace, watch).with_context(|| name.clone())?;
        lines.push(got.report(name));
    }
    Ok(lines)
}

fn verify(known: &Known, names: &[String], as_json: bool, watch: &mut Terminal) -> anyhow::Result<Code> {
    let chosen: Vec<&Listed> = match names.is_empty() {
        true => known.models.iter().filter(|model| model.path.is_some()).collect(),
        false => names.iter().map(|name| known.named(name)).collect::<anyhow::Result<_>>()?,
    };
    let (mut reports, mut wrong) = (Vec::new(), 0);
    for model in chosen {
        let Some(path) = &model.path else { bail!("{} is not here: host-demo models get {0}", model.name) };
        let listed = path.file_name().is_some_and(|name| name == model.file.as_str());
        let expected = model.sha256.clone().filter(|_| listed);
        let expected = match expected {
            None => digest::kept(path)?,
            known => known,
        };
        let found = digest::of_file(path, watch).with_context(|| model.name.clone())?;
        let state = match &expected {
            Some(expected) if *expected == found => "ok",
            Some(_) => "differs",
            None => "unknown",
        };
        wrong += usize::from(state == "differs");
        let report = json!({"name": model.name, "path": path, "state": state, "sha256": found, "expected": expected});
        watch.pause();
        if !as_json {
            output::line(&verified(&report))?;
        }
        reports.push(report);
    }
    if as_json {
        output::line(&serde_json::to_string_pretty(&reports)?)?;
    }
    Ok(if wrong == 0 { SUCCESS } else { exit::FAILURE })
}

/// The line of a model that was looked at.
fn verified(report: &Value) -> String {
    let text = |key: &str| report[key].as_str().unwrap_or_default();
    let (name, path, found) = (text("name"), text("path"), text("sha256"));
    match text("state") {
        "ok" => format!("{name:18} ok  {path}"),
        "differs" => format!("{name:18} NOT what it should be: SHA-256 {found}, not {}  {path}", text("expected")),
        _ => format!("{name:18} no SHA-256 is known to compare with; it has {found}  {path}"),
    }
}
