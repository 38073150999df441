//! `host-demo repl`: a script line by line, with what the lines before left. From a terminal with history and completion, or from a pipe.
//!
//! `line -> (until brackets close) -> run -> its value, a picture of volumes and labels, or the error with a caret`

mod complete;
mod input;
mod unfinished;

use crate::cli::{Bounds, Cli, ViewerOptions};
use crate::exit::{self, Code};
use crate::observer::Terminal;
use crate::viewer::Viewer;
use crate::{find, output, scripts, show_error};
use anyhow::Context;
use complete::Known;
use input::{Input, Line};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// What can be typed for it.
#[derive(clap::Args)]
pub struct Options {
    /// Argument for what reads it with arg("key"); may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = crate::cli::key_value)]
    pub set: Vec<(String, String)>,
    #[command(flatten)]
    pub bounds: Bounds,
    #[command(flatten)]
    pub viewer: ViewerOptions,
    /// Where typed lines are kept; default: .sam_octa2_history in the home folder
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
}

/// Everything that a line needs.
struct Session {
    viewer: Viewer,
    terminal: Terminal,
    known: Known,
    request: Value,
}

/// Reads lines to the end. From a pipe the exit code says whether any failed.
pub fn run(cli: &Cli, options: &Options) -> anyhow::Result<Code> {
    let plugin = find::load(cli.plugin.as_deref())?;
    let reference = plugin.task("reference", &json!({"form": "json"}).to_string(), &mut ())?;
    let reference: Value = serde_json::from_str(&reference).context("the plugin's reply is not JSON")?;
    let args: Map<String, Value> = options.set.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let mut request = scripts::bounds(&options.bounds, None, &options.set)?;
    (request["args"], request["keep"]) = (json!(args), json!(true));
    let terminal = Terminal::for_lines(cli.quiet)?;
    let mut session = Session {
        viewer: Viewer::new(plugin.api()?, &options.viewer, false, cli.quiet)?.stopped_by(terminal.stopper()),
        terminal,
        known: Known::new(&reference["report"]),
        request,
    };
    let mut input = Input::new(options.history.clone(), session.known.clone())?;
    if input.is_terminal() && !cli.quiet {
        output::note(":help lists what there is, :help NAME explains it, Ctrl-C stops a line, Ctrl-D ends");
    }
    let (mut failed, mut left) = (false, None);
    let mut text = String::new();
    loop {
        match input.line(!text.is_empty())? {
            Line::Text(line) => {
                text.push_str(&line);
                text.push('\n');
                if unfinished::is(&text) {
                    continue;
                }
                input.remember(text.trim_end());
                input.save(); // a terminal may close at any time
                match session.one(&text) {
                    Ok(None) => {}
                    Ok(code) => {
                        left = code;
                        break;
                    }
                    Err(error) => {
                        failed = true;
                        show_error(&error);
                    }
                }
                text.clear();
                if session.terminal.ends() {
                    return Ok(exit::CANCELLED);
                }
            }
            Line::Interrupted => text.clear(),
            Line::End => {
                // what a pipe left open is run, so that its error shows
                match session.one(&text) {
                    Ok(code) => left = code,
                    Err(error) => {
                        failed = true;
                        show_error(&error);
                    }
                }
                break;
            }
        }
    }
    let usual = if failed && !input.is_terminal() { exit::FAILURE } else { exit::SUCCESS };
    Ok(left.filter(|&code| code != exit::SUCCESS).unwrap_or(usual))
}

impl Session {
    /// One input; with a code the user, or a script, wants to leave.
    fn one(&mut self, text: &str) -> anyhow::Result<Option<Code>> {
        let text = text.trim();
        match text.strip_prefix(':').map(|command| command.split_once(' ').unwrap_or((command, ""))) {
            _ if text.is_empty() => {}
            None => return self.evaluate(text),
            Some(("quit" | "q" | "exit", _)) => return Ok(Some(exit::SUCCESS)),
            Some(("help" | "h", name)) => output::line(&self.known.help(name.trim()))?,
            Some(("vars", _)) => output::line(&self.known.variables().join("\n"))?,
            Some((other, _)) => anyhow::bail!("there is no `:{other}`; there are :help [NAME], :vars, :quit"),
        }
        Ok(None)
    }

    fn evaluate(&mut self, text: &str) -> anyhow::Result<Option<Code>> {
        self.request["source"] = json!(text);
        self.terminal.begin();
        let report = self.viewer.run(&self.request, &mut self.terminal);
        self.terminal.end();
        self.terminal.pause();
        let report = report?;
        self.known.set_variables(&report["variables"]);
        if let Some(shown) = report["text"].as_str() {
            output::line(shown)?;
        }
        if report["result"]["handle"].is_u64() {
            self.viewer.show(&report["result"]).map_err(anyhow::Error::msg)?;
        }
        Ok(exit::of_script(&report))
    }
}
