//! The demo host: drives the SAM-OCTA2 plugin from a terminal, as a viewer would. It knows the plugin's interface and nothing else.
//!
//! `cli (what was typed) -> find (the plugin) -> tasks | check -> exit code`

mod check;
mod cli;
mod exit;
mod find;
mod observer;
mod output;
mod scripts;
mod tasks;

use clap::Parser;
use cli::{Cli, Command, PluginCommand};
use exit::Code;
use sam_octa2_abi::PluginError;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = run(&cli).unwrap_or_else(|error| fail(&error));
    match cli.command {
        Command::Task(_) => exit::at_once(code),
        Command::Plugin { .. } => ExitCode::from(code), // what happens at the end belongs to what is checked
    }
}

fn run(cli: &Cli) -> anyhow::Result<Code> {
    match &cli.command {
        Command::Plugin { command: PluginCommand::Check(options) } => check::run(options, cli.plugin.as_deref()),
        Command::Plugin { command: PluginCommand::RunCheck { name, case } } => {
            Ok(check::one_in_this_process(case, name))
        }
        Command::Task(task) => {
            tasks::run(cli, task)?;
            Ok(exit::SUCCESS)
        }
    }
}

/// One line on stderr; for an error in a script the place is shown below it.
fn fail(error: &anyhow::Error) -> Code {
    if output::is_broken_pipe(error) {
        return exit::SUCCESS; // the reader (`| head`) has what it wants
    }
    output::note(&format!("error: {error:#}"));
    let Some(error) = error.downcast_ref::<PluginError>() else { return exit::FAILURE };
    let detail: serde_json::Value = serde_json::from_str(&error.detail_json).unwrap_or_default();
    if let Some(excerpt) = detail["excerpt"].as_str() {
        output::note(excerpt.trim_end());
    }
    match error.code.as_str() {
        "cancelled" => exit::CANCELLED,
        _ => exit::FAILURE,
    }
}
