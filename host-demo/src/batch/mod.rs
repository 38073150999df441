//! `host-demo batch`: many cases, one after the other, in a way that engines (Slurm, Snakemake, Kubernetes, GNU parallel) can spread over many
//! machines. docs/batch.md is its manual.
//!
//! `options -> manifest (or folder) -> shard -> ahead -> run (child <-> worker) -> store (files, records, journals) -> status | merge | page`

mod ahead;
mod child;
mod cohort;
mod cores;
mod dictionary;
mod fault;
mod fingerprint;
mod folder;
mod log;
mod manifest;
mod merge;
mod options;
mod page;
mod record;
mod run;
mod shard;
mod status;
mod stop;
mod store;
mod work;
mod worker;

pub use options::Options;

use crate::cli::Cli;
use crate::exit::Code;

/// What was typed after `batch`.
pub fn run(cli: &Cli, options: &Options) -> anyhow::Result<Code> {
    let plugin = cli.plugin.as_deref();
    match &options.question {
        Some(options::Question::Status(options)) => status::run(options, plugin),
        Some(options::Question::Merge(options)) => merge::run(options, plugin),
        None => run::run(&options.run, plugin, cli.quiet),
    }
}

/// `batch-worker`, which a run starts.
pub fn worker(cli: &Cli, threads: u32) -> anyhow::Result<Code> {
    worker::run(cli.plugin.as_deref(), threads)
}
