//! What a script may do, and the viewer that it talks to.

use clap::Args;
use std::path::PathBuf;

/// What a script may do and use up.
#[derive(Args)]
#[command(next_help_heading = "What the script may do")]
pub struct Bounds {
    /// Let it read and write below this folder, too; may be given several times. Without it: the current folder, what --set names, and
    /// reading the script's own folder
    #[arg(long, value_name = "DIR")]
    pub allow: Vec<PathBuf>,
    /// Let it import from this folder, beside its own
    #[arg(long, value_name = "DIR")]
    pub library: Option<PathBuf>,
    /// Stop it after so many seconds; 0: never (the default)
    #[arg(long, value_name = "S")]
    pub max_seconds: Option<f64>,
    /// Stop it after so many steps of the interpreter; 0: never
    #[arg(long, value_name = "N")]
    pub max_operations: Option<u64>,
    /// Stop it when the process has grown by so many megabytes
    #[arg(long, value_name = "MB")]
    pub max_memory: Option<u64>,
    /// Stop it before it has written more than so many megabytes
    #[arg(long, value_name = "MB")]
    pub max_disk: Option<u64>,
    /// Any other limit by its name, as errors tell it; may be given several times
    #[arg(long = "limit", value_name = "NAME=N", value_parser = limit)]
    pub limits: Vec<(String, u64)>,
}

/// What the functions `viewer::...` answer with.
#[derive(Args, Clone)]
#[command(next_help_heading = "The viewer of the script")]
pub struct ViewerOptions {
    /// What viewer::volume() returns: a file, or a folder of slices
    #[arg(id = "active_volume", long = "volume", value_name = "INPUT")]
    pub volume: Option<PathBuf>,
    /// Where viewer::show(...) writes pictures
    #[arg(long, value_name = "DIR", default_value = "pictures")]
    pub pictures: PathBuf,
    /// What the next viewer::ask(...) returns; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub answer: Vec<String>,
    /// Let the script download models with viewer::model_get(...)
    #[arg(long)]
    pub allow_download: bool,
}

/// `KEY=VALUE`
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn limit(text: &str) -> Result<(String, u64), String> {
    let (name, value) = key_value(text)?;
    value.parse().map(|value| (name, value)).map_err(|_| "expected NAME=N, a whole number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_an_equals_sign() {
        assert_eq!(key_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(key_value("=x").is_err() && key_value("x").is_err());
    }
}
