//! Errors of scripts: always with file, line and column, the line itself and what was wrong there.

use super::Context;
use super::kept::Kept;
use super::library::{Library, Section};
use super::limits::Limits;
use super::watch::Ended;
use super::{calls, caught};
use crate::convert;
use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext, Position};
use sam_octa2_abi::PluginError;
use sam_octa2_core::Error;
use serde_json::json;
use std::path::{Path, PathBuf};

/// What a native function throws, and what `catch (error)` gets, of errors of the language too ([`caught`]): `error.code`, `error.message`, or the message when printed.
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

/// An error at the place from which the native function was called.
pub fn raise(call: &NativeCallContext, failure: impl Into<Failure>) -> Box<EvalAltResult> {
    thrown(failure.into(), call.call_position())
}

/// An error at a place. A cancelled function ends the script, past any `catch`.
pub fn thrown(failure: Failure, place: Position) -> Box<EvalAltResult> {
    Box::new(match failure.code {
        "cancelled" => EvalAltResult::ErrorTerminated(Dynamic::UNIT, place),
        _ => EvalAltResult::ErrorRuntime(Dynamic::from(failure), place),
    })
}

/// Lets scripts look into a [`Failure`] that they caught.
pub fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Failure>("Error")
        .register_fn("to_string", |failure: &mut Failure| failure.message.clone())
        .register_fn("to_debug", |failure: &mut Failure| format!("{}: {}", failure.code, failure.message));
}

/// What a caught error has.
pub fn document(library: &mut Library<'_>) {
    library
        .property(
            "code(error: Error) -> String",
            "What sort of error: of a function `invalid_argument`, `not_found`, `io`, `busy` ..., of the language `out_of_bounds`, `unknown_function`, \
             `unknown_variable`, `unknown_property`, `unknown_module`, `arithmetic`, `wrong_type`, `constant`, `language`.",
            "try { read_json(\"gone\") } catch (error) { print(error.code) }",
            |failure: &mut Failure| failure.code.to_owned(),
        )
        .property(
            "message(error: Error) -> String",
            "The same in a sentence.",
            "try { read_json(\"gone\") } catch (error) { print(error.message) }",
            |failure: &mut Failure| failure.message.clone(),
        );
}

/// What is needed to explain an error of a script.
pub struct Script<'a> {
    /// where it lies
    pub path: &'a Path,
    /// its text
    pub source: &'a str,
    /// what it was allowed
    pub limits: Limits,
    /// what ran it
    pub context: &'a Context,
}

impl Script<'_> {
    /// Rhai's error for the host: the innermost cause and its place, and from where it was called. `earlier`: the scripts before this one.
    pub fn explain(&self, error: EvalAltResult, sections: &[Section], earlier: &Kept) -> PluginError {
        let ended = self.context.watch.ended();
        let Cause { error: cause, position, file, calls } = self.innermost(error, earlier);
        let stopped = matches!(cause, EvalAltResult::ErrorTerminated(..));
        let limit = match (stopped, ended) {
            (true, Some(Ended::Limit(name))) => Some(self.limits.stopped(name)),
            (true, _) => return convert::error(Error::Cancelled),
            _ => self.limits.exceeded(&cause),
        };
        let line = position.line();
        let column = position.position().map(|column| self.column(&cause, earlier, &file, line.unwrap_or(0), column));
        let kind = if limit.is_some() { "limit" } else { kind(&cause) };
        let text = limit.unwrap_or_else(|| self.text(&cause, sections));
        let place = match (line, column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", file.display()),
            (Some(line), None) => format!("{}:{line}", file.display()),
            _ => file.display().to_string(),
        };
        let mut excerpt = line.map(|line| self.excerpt(earlier.text(&file), &file, line, column)).unwrap_or_default();
        for call in &calls {
            excerpt.push_str(&format!("  {call}\n"));
        }
        let detail = json!({
            "file": file, "line": line, "column": column, "text": text, "kind": kind, "excerpt": excerpt,
            "calls": calls, "code": code(&cause),
        });
        PluginError::new("script", format!("{place}: {text}")).with_detail(detail.to_string())
    }

    /// A column of what was compiled, in the text as it is written.
    fn column(&self, cause: &EvalAltResult, earlier: &Kept, file: &Path, line: usize, column: usize) -> usize {
        if matches!(cause, EvalAltResult::ErrorParsing(..)) {
            return column; // of the text itself: it was compiled first as it is
        }
        let module = self.context.modules.shifts(file);
        module.as_ref().or(earlier.shifts(file)).map_or(column, |shifts| shifts.back(line, column))
    }

    fn text(&self, cause: &EvalAltResult, sections: &[Section]) -> String {
        match cause {
            EvalAltResult::ErrorRuntime(thrown, _) => match failure(cause) {
                Some(failure) => failure.message,
                None if thrown.is_unit() => "the script threw an error without text".to_owned(),
                None => thrown.to_string(),
            },
            EvalAltResult::ErrorParsing(kind, _) => kind.to_string(),
            other => calls::explained(other, sections).unwrap_or_else(|| other.to_string()),
        }
    }

    /// The cause, its place, and how it was come to.
    fn innermost(&self, mut error: EvalAltResult, earlier: &Kept) -> Cause {
        // the file that the error at hand is in, and the innermost place with its file
        let (mut within, mut calls) = (self.path.to_path_buf(), Vec::new());
        let (mut position, mut file) = (Position::NONE, within.clone());
        loop {
            let here = error.position();
            if !here.is_none() {
                (position, file) = (here, within.clone());
            }
            match error {
                EvalAltResult::ErrorInFunctionCall(function, source, inner, _) => {
                    let of = if within == self.path { String::new() } else { format!(" of {}", within.display()) };
                    let from = here.line().map(|line| format!(", called from line {line}{of}")).unwrap_or_default();
                    let name =
                        if function.starts_with("anon$") { "a closure".to_owned() } else { format!("`{function}`") };
                    calls.push(format!("in {name}{from}"));
                    if !source.is_empty() {
                        let own = Path::new(source.as_str()) == self.path; // of earlier scripts, all functions are said to be here
                        let origin = earlier.origin(&function).filter(|_| own);
                        within = origin.unwrap_or(Path::new(source.as_str())).to_path_buf();
                    }
                    error = *inner;
                }
                EvalAltResult::ErrorInModule(name, inner, _) => {
                    let line = here.line().map(|line| format!(", imported in line {line}")).unwrap_or_default();
                    calls.push(format!("in {name}{line}"));
                    within = PathBuf::from(name);
                    error = *inner;
                }
                mut cause => {
                    cause.clear_position();
                    calls.reverse();
                    return Cause { error: cause, position, file, calls };
                }
            }
        }
    }

    /// The line with a caret below the column.
    fn excerpt(&self, earlier: Option<&str>, file: &Path, line: usize, column: Option<usize>) -> String {
        let module = self.context.modules.text(file);
        let text = module.as_deref().or(earlier).unwrap_or(self.source).lines().nth(line - 1).unwrap_or_default();
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

/// What went wrong, and where.
struct Cause {
    /// without its position
    error: EvalAltResult,
    /// the position nearest to it
    position: Position,
    /// the script or module that it is in
    file: PathBuf,
    /// the calls on the way, innermost first
    calls: Vec<String>,
}

fn failure(cause: &EvalAltResult) -> Option<Failure> {
    match cause {
        EvalAltResult::ErrorRuntime(thrown, _) => thrown.clone().try_cast::<Failure>(),
        _ => None,
    }
}

/// The code of a failure of ours or of the language; what a script threw itself has none.
fn code(cause: &EvalAltResult) -> Option<&'static str> {
    failure(cause).map(|failure| failure.code).or(Some(caught::code(cause))).filter(|code| !code.is_empty())
}

/// What sort of mistake, for programs.
fn kind(cause: &EvalAltResult) -> &'static str {
    match cause {
        EvalAltResult::ErrorParsing(..) => "syntax",
        EvalAltResult::ErrorRuntime(..) => "thrown",
        _ => "runtime",
    }
}
