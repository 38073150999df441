//! What a case says while it runs: warnings for its record, all of it for `log.txt` beside its results.

use anyhow::Context;
use sam_octa2_abi::Severity;
use std::path::Path;

/// Warnings of a case that its record keeps.
const MOST_WARNINGS: usize = 20;
/// Bytes of what a case prints that are kept.
const MOST_LOG: usize = 1 << 20;

/// What a case says while it runs.
#[derive(Default)]
pub struct Log {
    /// the first of them
    pub warnings: Vec<String>,
    text: String,
}

impl Log {
    /// A line, warning or not.
    pub fn add(&mut self, severity: u8, text: String) {
        let is = |one: Severity| severity == one.number();
        if self.text.len() + text.len() < MOST_LOG {
            self.text += &text;
            self.text.push('\n');
        }
        if (is(Severity::WARN) || is(Severity::ERROR)) && self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(text);
        }
    }

    /// As `log.txt` beside the results, if there is any.
    pub fn save(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join("log.txt");
        if self.text.is_empty() || !folder.is_dir() {
            return Ok(());
        }
        std::fs::write(&path, &self.text).with_context(|| path.display().to_string())
    }
}
