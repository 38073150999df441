//! Errors of scripts: always with file, line and column, the line itself and what was wrong there.

use super::Limits;
use super::engine::OUT_OF_MEMORY;
use crate::convert;
use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext, Position};
use sam_octa2_abi::PluginError;
use sam_octa2_core::Error;
use serde_json::json;
use std::path::Path;

/// What a native function throws, and what `catch (error)` gets: `error.code`, `error.message`, or the message when printed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// the core's name of the kind of error
    pub code: &'static str,
    /// one sentence
    pub message: String,
}

impl Failure {
    /// An argument is not what the function wants.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::Invalid(message.into()).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

/// An error at the place from which the native function was called. A cancelled function ends the script, past any `catch`.
pub fn raise(call: &NativeCallContext, failure: impl Into<Failure>) -> Box<EvalAltResult> {
    let failure = failure.into();
    Box::new(match failure.code {
        "cancelled" => EvalAltResult::ErrorTerminated(Dynamic::UNIT, call.call_position()),
        _ => EvalAltResult::ErrorRuntime(Dynamic::from(failure), call.call_position()),
    })
}

/// Lets scripts look into a [`Failure`] that they caught.
pub fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Failure>("Error")
        .register_get("code", |failure: &mut Failure| failure.code.to_owned())
        .register_get("message", |failure: &mut Failure| failure.message.clone())
        .register_fn("to_string", |failure: &mut Failure| failure.message.clone())
        .register_fn("to_debug", |failure: &mut Failure| format!("{}: {}", failure.code, failure.message));
}

/// What is needed to explain an error of a script.
pub struct Script<'a> {
    /// where it lies
    pub path: &'a Path,
    /// its text
    pub source: &'a str,
    /// what it was allowed
    pub limits: Limits,
}

impl Script<'_> {
    /// Rhai's error for the host: the innermost cause and its place, and from where it was called.
    pub fn explain(&self, error: EvalAltResult) -> PluginError {
        let (cause, position, calls) = innermost(error);
        if matches!(cause, EvalAltResult::ErrorTerminated(..)) && !out_of_memory(&cause) {
            return convert::error(Error::Cancelled);
        }
        let (line, column) = (position.line(), position.position());
        let text = self.text(&cause);
        let place = match (line, column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.path.display()),
            (Some(line), None) => format!("{}:{line}", self.path.display()),
            _ => self.path.display().to_string(),
        };
        let mut excerpt = line.map(|line| self.excerpt(line, column)).unwrap_or_default();
        for call in &calls {
            excerpt.push_str(&format!("  {call}\n"));
        }
        let detail = json!({
            "file": self.path, "line": line, "column": column, "text": text, "kind": kind(&cause), "excerpt": excerpt,
            "calls": calls, "code": failure(&cause).map(|failure| failure.code),
        });
        PluginError::new("script", format!("{place}: {text}")).with_detail(detail.to_string())
    }

    fn text(&self, cause: &EvalAltResult) -> String {
        let limit = |what: &str, name: &str, value: usize| {
            format!("{what}: the limit is {value} (the host can raise `limits.{name}`)")
        };
        match cause {
            EvalAltResult::ErrorRuntime(thrown, _) => match failure(cause) {
                Some(failure) => failure.message,
                None if thrown.is_unit() => "the script threw an error without text".to_owned(),
                None => thrown.to_string(),
            },
            EvalAltResult::ErrorTooManyOperations(_) => format!(
                "the script was stopped after {} operations, the limit (the host can raise `limits.operations`; host-demo: \
                 --max-operations)",
                self.limits.operations
            ),
            EvalAltResult::ErrorTerminated(..) => format!(
                "the script was stopped: it took more than {} MB of memory, the limit (the host can raise `limits.memory_bytes`)",
                self.limits.memory_bytes >> 20
            ),
            EvalAltResult::ErrorStackOverflow(_) => {
                limit("too many calls inside calls", "call_depth", self.limits.call_depth)
            }
            EvalAltResult::ErrorTooManyVariables(_) => limit("too many variables", "variables", self.limits.variables),
            EvalAltResult::ErrorModuleNotFound(name, _) => {
                format!("cannot import `{name}`: a script cannot read other files as modules")
            }
            EvalAltResult::ErrorParsing(kind, _) => kind.to_string(),
            other => other.to_string(),
        }
    }

    /// The line with a caret below the column.
    fn excerpt(&self, line: usize, column: Option<usize>) -> String {
        let text = self.source.lines().nth(line - 1).unwrap_or_default();
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let mut excerpt = format!("  {number} | {text}\n");
        if let Some(column) = column {
            let before = text.chars().chain(std::iter::repeat(' ')).take(column - 1);
            let blank: String = before.map(|letter| if letter == '\t' { '\t' } else { ' ' }).collect();
            excerpt.push_str(&format!("  {margin} | {blank}^\n"));
        }
        excerpt
    }
}

/// The cause without its position, the position nearest to it, and the calls on the way, innermost first.
fn innermost(mut error: EvalAltResult) -> (EvalAltResult, Position, Vec<String>) {
    let (mut position, mut calls) = (Position::NONE, Vec::new());
    loop {
        let here = error.position();
        position = if here.is_none() { position } else { here };
        match error {
            EvalAltResult::ErrorInFunctionCall(name, _, inner, _) => {
                let from = here.line().map(|line| format!(", called from line {line}")).unwrap_or_default();
                let name = if name.starts_with("anon$") { "a closure".to_owned() } else { format!("`{name}`") };
                calls.push(format!("in {name}{from}"));
                error = *inner;
            }
            EvalAltResult::ErrorInModule(_, inner, _) => error = *inner,
            mut cause => {
                cause.clear_position();
                calls.reverse();
                return (cause, position, calls);
            }
        }
    }
}

fn failure(cause: &EvalAltResult) -> Option<Failure> {
    match cause {
        EvalAltResult::ErrorRuntime(thrown, _) => thrown.clone().try_cast::<Failure>(),
        _ => None,
    }
}

/// What sort of mistake, for programs.
/// Was the script ended because it took too much memory, rather than cancelled?
fn out_of_memory(cause: &EvalAltResult) -> bool {
    let EvalAltResult::ErrorTerminated(token, _) = cause else { return false };
    token.read_lock::<&'static str>().is_some_and(|token| *token == OUT_OF_MEMORY)
        || token.read_lock::<rhai::ImmutableString>().is_some_and(|token| token.as_str() == OUT_OF_MEMORY)
}

fn kind(cause: &EvalAltResult) -> &'static str {
    match cause {
        EvalAltResult::ErrorTerminated(..) => "limit",
        EvalAltResult::ErrorParsing(..) => "syntax",
        EvalAltResult::ErrorTooManyOperations(_)
        | EvalAltResult::ErrorStackOverflow(_)
        | EvalAltResult::ErrorTooManyVariables(_)
        | EvalAltResult::ErrorTooManyModules(_)
        | EvalAltResult::ErrorDataTooLarge(..) => "limit",
        EvalAltResult::ErrorRuntime(..) => "thrown",
        _ => "runtime",
    }
}
