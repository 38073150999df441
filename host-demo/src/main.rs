//! The demo host: drives the SAM-OCTA2 plugin from a terminal, as a viewer would. It knows the plugin's interface and nothing else.
//!
//! `cli (what was typed) -> find (the plugin) -> tasks | batch | repl | serve | check -> exit code`

mod batch;
mod check;
mod cli;
mod exit;
mod find;
mod models;
mod observer;
mod octa;
mod output;
mod picture;
mod repl;
mod scripts;
mod serve;
mod tasks;
mod viewer;

use cli::{Cli, Command, PluginCommand};
use exit::Code;
use sam_octa2_abi::PluginError;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::typed();
    let code = run(&cli).unwrap_or_else(|error| fail(&error));
    let code = if code == exit::SUCCESS && !output::finished() { exit::FAILURE } else { code };
    match cli.command {
        Command::Task(_)
        | Command::Repl(_)
        | Command::Batch(_)
        | Command::BatchWorker { .. }
        | Command::Serve(_)
        | Command::View(_) => exit::at_once(code),
        Command::Plugin { .. } => ExitCode::from(code), // what happens at the end belongs to what is checked
    }
}

fn run(cli: &Cli) -> anyhow::Result<Code> {
    match &cli.command {
        Command::Plugin { command: PluginCommand::Check(options) } => check::run(options, cli.plugin.as_deref()),
        Command::Plugin { command: PluginCommand::RunCheck { name, case } } => {
            Ok(check::one_in_this_process(case, name))
        }
        Command::Batch(options) => batch::run(cli, options),
        Command::BatchWorker { threads } => batch::worker(cli, *threads),
        Command::Repl(options) => repl::run(cli, options),
        Command::Serve(options) => serve::serve(cli, options),
        Command::View(options) => serve::view(cli, options),
        Command::Task(task) => tasks::run(cli, task),
    }
}

/// Says what went wrong.
fn fail(error: &anyhow::Error) -> Code {
    if output::is_broken_pipe(error) {
        return exit::SUCCESS; // the reader (`| head`) has what it wants
    }
    show_error(error);
    match error.downcast_ref::<PluginError>().map(|error| error.code.as_str()) {
        Some("cancelled") => exit::CANCELLED,
        _ => exit::FAILURE,
    }
}

/// One line on stderr; for an error in a script the place is shown below it.
fn show_error(error: &anyhow::Error) {
    output::note(&format!("error: {error:#}"));
    let detail = error.downcast_ref::<PluginError>().map(|error| error.detail_json.as_str()).unwrap_or_default();
    let detail: serde_json::Value = serde_json::from_str(detail).unwrap_or_default();
    if let Some(excerpt) = detail["excerpt"].as_str() {
        output::note(excerpt.trim_end());
    }
}
