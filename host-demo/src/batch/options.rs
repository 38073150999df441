//! What can be typed after `host-demo batch`.

use super::shard::Shard;
use crate::cli::{Bounds, key_value};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// The command: a run over a manifest, or a question about its folder.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Options {
    #[command(subcommand)]
    pub question: Option<Question>,
    #[command(flatten)]
    pub run: RunOptions,
}

/// What can be asked about the folder of a run.
#[derive(Subcommand)]
pub enum Question {
    /// Count what is done, failed, missing and done twice
    ///
    /// Exit codes: 0 every case is done, 1 some are missing, 3 none is missing but some failed, 4 all failed.
    #[command(after_long_help = "Example:\n  host-demo batch status out --manifest cases.csv")]
    Status(StatusOptions),
    /// Write one table of all cases, and a page to look at
    ///
    /// The table has a row per case: failed and missing cases stand in it with their reason. Beside it, NAME.json says what each column is and
    /// in which unit. The page shows what to look at first at its top.
    #[command(after_long_help = "Example:\n  host-demo batch merge out --csv measurements.csv --html cohort.html")]
    Merge(MergeOptions),
}

/// Which folder to ask about.
#[derive(Args)]
pub struct StatusOptions {
    /// The folder of the run (--out)
    pub folder: PathBuf,
    /// The cases that there should be; default: those of the last run
    #[arg(long, value_name = "FILE|DIR")]
    pub manifest: Option<PathBuf>,
    /// Print JSON, with the names of failed and missing cases
    #[arg(long)]
    pub json: bool,
}

/// What to write.
#[derive(Args)]
pub struct MergeOptions {
    /// The folder of the run (--out)
    pub folder: PathBuf,
    /// The cases that there should be; default: those of the last run
    #[arg(long, value_name = "FILE|DIR")]
    pub manifest: Option<PathBuf>,
    /// Table to write
    #[arg(long, value_name = "TABLE.csv", required_unless_present = "html")]
    pub csv: Option<PathBuf>,
    /// Page to write; it shows pictures of the run's folder
    #[arg(long, value_name = "PAGE.html")]
    pub html: Option<PathBuf>,
}

/// A run over a manifest.
#[derive(Args)]
pub struct RunOptions {
    /// CSV, TSV or JSON Lines (.jsonl) with at least `case` and `volume` of each case; or a folder of volumes
    #[arg(value_name = "MANIFEST", required = true)]
    manifest: Option<PathBuf>,
    /// Folder for results and records
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
    /// Do shard I of N (from 0): every Nth case of the sorted list. auto: as Slurm's array says; auto/N: as a job array or an indexed job of
    /// Kubernetes with indices 0 to N-1 says
    #[arg(long, value_name = "I/N|auto|auto/N", default_value = "0/1")]
    pub shard: Shard,
    /// Pass over cases whose record matches program, options, model and input, failed ones too
    #[arg(long)]
    pub resume: bool,
    /// With --resume: do the failed ones again
    #[arg(long, requires = "resume")]
    pub retry_failed: bool,
    /// With --resume: compare contents, also of files whose size and time are those of the record
    #[arg(long, requires = "resume")]
    pub verify: bool,
    /// Go on after a case that failed (this is the default)
    #[arg(long, conflicts_with = "fail_fast")]
    pub keep_going: bool,
    /// Stop after the first case that fails
    #[arg(long)]
    pub fail_fast: bool,
    /// Do nothing: say of each case of the shard what would be done, and whether its files are there
    #[arg(long)]
    pub dry_run: bool,
    /// Do nothing: list the cases of the shard, one a line
    #[arg(long, conflicts_with = "dry_run")]
    pub list: bool,
    /// Threads of a computation; default: the cores that the job has (cgroup, affinity, SLURM_CPUS_PER_TASK), OMP_NUM_THREADS before that
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Print a line of JSON for each case on stdout
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub work: Work,
    #[command(flatten)]
    pub bounds: Bounds,
}

impl RunOptions {
    /// The cases. (Where a question is asked, none is typed; a run always has one, and so with `out`.)
    pub fn manifest(&self) -> &Path {
        self.manifest.as_deref().unwrap_or(Path::new(""))
    }

    /// The folder for results and records.
    pub fn out(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new(""))
    }
}

/// What is done with each case.
#[derive(Args)]
#[command(next_help_heading = "What is done with each case")]
pub struct Work {
    /// Script to run for each case; it reads the columns of the manifest with arg("column"), and `case`, `volume` (also as `input`) and `out`, the
    /// folder for its files. Its last value, a map, becomes columns of the table
    #[arg(long, value_name = "FILE.rhai", required_unless_present = "model", conflicts_with = "model")]
    pub script: Option<PathBuf>,
    /// Argument for the script, the same for every case that has no column of this name; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Segment and measure with this model: a name or a file, as for segment
    #[arg(long, value_name = "NAME|FILE")]
    pub model: Option<String>,
    /// With --model: take prompts from the files that this column names; a case without one is done without prompts
    #[arg(long, value_name = "COLUMN", num_args = 0..=1, default_missing_value = "prompts", conflicts_with_all = ["no_prompts", "script"])]
    pub prompts_column: Option<String>,
    /// With --model: find vessels and FAZ without a prompt (models with dense maps, such as nano)
    #[arg(long, conflicts_with = "script")]
    pub no_prompts: bool,
    /// With --model: its shape, if the weights do not tell
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "script")]
    pub model_config: Option<String>,
    /// With --model: what fine-tuning has learnt
    #[arg(long, value_name = "FILE", conflicts_with = "script")]
    pub adapter: Option<PathBuf>,
    /// With --model: where to compute: auto, cpu, cuda, cuda:N
    #[arg(long, conflicts_with = "script")]
    pub device: Option<String>,
    /// With --model: number format: auto, f32, bf16, f16
    #[arg(long, value_parser = ["auto", "f32", "bf16", "f16"], conflicts_with = "script")]
    pub precision: Option<String>,
}
