//! `plugin check`: does a library keep the rules of the interface?
//!
//! ```text
//! runner    a process for each check, verdicts, time limits
//! file      the file: headers, symbols, what it needs, the JSON beside it        loading   manifest, layouts, ids
//! calls     text, panics, tasks, cancelling                                      errors    handles, null, sizes, texts of errors
//! volumes   lent memory, slices, writing      scripts   values, limits, functions of the host
//! sessions, prompts   what needs a model      stress    what takes long
//! ```
//! The checks that go through the function tables run over both interfaces: the extensions and the C symbols.

mod calls;
mod errors;
mod expect;
mod file;
mod interfaces;
mod lender;
mod loading;
mod pages;
mod prompts;
mod runner;
mod scripts;
mod sessions;
mod stress;
mod volumes;

pub use runner::{Options, one_in_this_process, run};

use anyhow::Context;
use clap::Args;
use sam_octa2_abi::Plugin;
use serde_json::{Value, json};
use std::fmt;
use std::path::PathBuf;

/// A check: its name, how strict a run it belongs to, what must be true first, and what it does. The text of success is shown.
struct Check {
    name: &'static str,
    title: &'static str,
    level: u8,
    needs: &'static [&'static str],
    run: fn(&Case) -> anyhow::Result<String>,
}

/// All checks in the order in which they run.
fn checks() -> impl Iterator<Item = &'static Check> {
    let groups = [
        file::CHECKS,
        loading::CHECKS,
        calls::CHECKS,
        errors::CHECKS,
        volumes::CHECKS,
        scripts::CHECKS,
        sessions::CHECKS,
        prompts::CHECKS,
        stress::CHECKS,
    ];
    groups.into_iter().flatten()
}

/// What is checked.
#[derive(Args, Clone)]
pub struct Case {
    /// Library to test; default: the plugin that the other commands would use
    pub file: Option<PathBuf>,
    /// Weights for the checks that need a model (a small one will do); without it they are skipped
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Shape of the model, if the weights do not tell
    #[arg(long, value_name = "FILE", requires = "model")]
    pub model_config: Option<PathBuf>,
}

impl Case {
    fn path(&self) -> anyhow::Result<PathBuf> {
        crate::find::plugin(self.file.as_deref())
    }

    fn plugin(&self) -> anyhow::Result<Plugin> {
        Ok(Plugin::load(&self.path()?)?)
    }

    fn manifest(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.plugin()?.manifest_json()).context("the manifest is not JSON")
    }

    /// The request that loads the model.
    fn model_request(&self) -> anyhow::Result<String> {
        let Some(model) = &self.model else { return skip("needs a model (--model FILE, --model-config FILE)") };
        let absolute = |path: &PathBuf| path.canonicalize().with_context(|| path.display().to_string());
        let mut request = json!({"model": absolute(model)?, "device": "cpu"});
        if let Some(config) = &self.model_config {
            request["model_config"] = json!(absolute(config)?);
        }
        Ok(request.to_string())
    }
}

/// A check that cannot be made here, which is no failure.
#[derive(Debug)]
struct Skip(String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

fn skip<T>(why: impl Into<String>) -> anyhow::Result<T> {
    Err(Skip(why.into()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_needs_come_earlier() {
        let mut seen = Vec::new();
        for check in checks() {
            assert!(!seen.contains(&check.name), "{} twice", check.name);
            assert!(check.needs.iter().all(|needed| seen.contains(needed)), "{}: {:?}", check.name, check.needs);
            assert!((1..=3).contains(&check.level));
            seen.push(check.name);
        }
    }

    /// docs/abi.md lists every check.
    #[test]
    fn the_manual_lists_them() {
        let manual = include_str!("../../../docs/abi.md");
        for check in checks() {
            assert!(manual.contains(&format!("`{}`", check.name)), "docs/abi.md does not mention `{}`", check.name);
        }
    }
}
