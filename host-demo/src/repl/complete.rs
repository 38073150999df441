//! What can be typed next, and what `:help` says: from the plugin's own list of functions.

use crate::viewer;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

const WORDS: [&str; 20] = [
    "let", "const", "if", "else", "switch", "for", "in", "while", "loop", "do", "until", "break", "continue", "return",
    "throw", "try", "catch", "fn", "import", "print",
];

/// Names that a line may use.
#[derive(Clone)]
pub struct Known {
    functions: Arc<Vec<Value>>,
    variables: Arc<Mutex<Vec<String>>>,
}

impl Known {
    /// From `host-demo reference --json`.
    pub fn new(reference: &Value) -> Self {
        let sections = reference.as_array().into_iter().flatten();
        let functions = sections.filter_map(|section| section["functions"].as_array()).flatten().cloned().collect();
        Self { functions: Arc::new(functions), variables: Arc::default() }
    }

    /// The variables that there are now.
    pub fn set_variables(&self, names: &Value) {
        let names = names.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned));
        *self.variables.lock().unwrap_or_else(PoisonError::into_inner) = names.collect();
    }

    /// Their names, sorted, each once.
    pub fn variables(&self) -> Vec<String> {
        let mut names = self.variables.lock().unwrap_or_else(PoisonError::into_inner).clone();
        names.sort();
        names.dedup();
        names
    }

    /// Words that begin like the one before the cursor, and where that one starts.
    pub fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        let word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let start =
            line.rfind(|letter| !word(letter)).map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
        let (before, started) = line.split_at(start);
        let mut found: Vec<String> = if before.ends_with("viewer::") {
            viewer::FUNCTIONS.iter().map(|(name, _)| format!("{name}(")).collect()
        } else if before.ends_with(':') && before.trim() == ":" {
            ["help", "vars", "quit"].map(str::to_owned).to_vec()
        } else {
            let method = before.ends_with('.');
            let fitting = self.functions.iter().filter(|function| function["receiver"].is_string() == method);
            let names = fitting.filter_map(|function| {
                let end = if function["property"] == true { "" } else { "(" };
                Some(format!("{}{end}", function["name"].as_str()?))
            });
            let others = WORDS.map(str::to_owned).into_iter().chain(self.variables()).chain(["viewer::".to_owned()]);
            names.chain(others.filter(|_| !method)).collect()
        };
        found.retain(|name| name.starts_with(started));
        found.sort();
        found.dedup();
        (start, found)
    }

    /// What a name means; without one, all there is.
    pub fn help(&self, name: &str) -> String {
        let text = |function: &Value, key: &str| function[key].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            let calls: Vec<String> = self.functions.iter().map(|function| text(function, "call")).collect();
            let own = viewer::FUNCTIONS.map(|(name, _)| format!("viewer::{name}"));
            return format!(":help NAME  :vars  :quit\n{}\n{}", calls.join("\n"), own.join("\n"));
        }
        let name = name.trim_end_matches("()");
        if let Some((_, declaration)) = viewer::FUNCTIONS.iter().find(|(own, _)| format!("viewer::{own}") == name) {
            let declaration: Value = serde_json::from_str(declaration).unwrap_or_default();
            return format!("{name}: {}", text(&declaration, "doc"));
        }
        let last = name.rsplit('.').next().unwrap_or(name);
        let explained = self.functions.iter().filter(|function| function["name"] == last).map(|function| {
            let returns = function["returns"].as_str().map(|kind| format!(" -> {kind}")).unwrap_or_default();
            format!(
                "{}{returns}\n  {}\n  Example: {}",
                text(function, "call"),
                text(function, "doc"),
                text(function, "example")
            )
        });
        let explained = explained.collect::<Vec<_>>().join("\n");
        match explained.is_empty() {
            true => format!("there is no function `{name}` here; Rhai's own are on https://rhai.rs/book"),
            false => explained,
        }
    }
}

impl Completer for Known {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, names) = self.candidates(&line[..at]);
        Ok((start, names.into_iter().map(|name| Pair { display: name.clone(), replacement: name }).collect()))
    }
}

impl Hinter for Known {
    type Hint = String;
}
impl Highlighter for Known {}
impl Validator for Known {}
impl Helper for Known {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn methods_after_a_dot_and_everything_else_elsewhere() {
        let known = Known::new(&json!([{"functions": [
            {"name": "click", "receiver": "Session", "property": false},
            {"name": "columns", "receiver": "Volume", "property": true},
            {"name": "compare_all", "receiver": null, "property": false}]}]));
        known.set_variables(&json!(["count"]));
        assert_eq!(known.candidates("a = session.c"), (12, vec!["click(".to_owned(), "columns".to_owned()]));
        assert_eq!(
            known.candidates("co"),
            (0, ["compare_all(", "const", "continue", "count"].map(str::to_owned).to_vec())
        );
        assert_eq!(known.candidates("viewer::s"), (8, vec!["show(".to_owned()]));
        assert_eq!(known.candidates(":h"), (1, vec!["help".to_owned()]));
        assert_eq!(known.candidates("é.cl"), (3, vec!["click(".to_owned()]));
    }
}
