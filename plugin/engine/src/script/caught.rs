//! Errors of the language itself, caught by a script: Rhai gives `catch` a map of its own; scripts get an [`Failure`] like those of the product's
//! functions, with `code` and `message`. The map becomes one when the variable of the `catch` is used first.

use super::errors::Failure;
use super::library::Section;
use super::{calls, captured};
use rhai::{Dynamic, EvalAltResult, ImmutableString, Map, Position};
use std::sync::{Arc, OnceLock};

/// What there is, for the words of an error.
#[derive(Clone, Default)]
pub struct Caught(Arc<OnceLock<Arc<[Section]>>>);

/// What Rhai writes into its maps.
const KEYS: [&str; 15] = [
    "error",
    "message",
    "source",
    "line",
    "position",
    "function",
    "requested",
    "actual",
    "length",
    "index",
    "variable",
    "module",
    "property",
    "type",
    "token",
];

impl Caught {
    /// The functions are known now.
    pub fn know(&self, sections: &Arc<[Section]>) {
        let _ = self.0.set(sections.clone());
    }

    /// The error that a map of Rhai's stands for; `None`: the value is something else.
    pub fn failure(&self, value: &Dynamic) -> Option<Failure> {
        let map = value.read_lock::<Map>()?;
        let text = |key: &str| Some(map.get(key)?.read_lock::<ImmutableString>()?.to_string());
        let name = text("error").filter(|name| name.starts_with("Error"))?;
        let message = text("message")?;
        if !map.keys().all(|key| KEYS.contains(&key.as_str())) {
            return None;
        }
        let text = plain(&message);
        let (code, cause) = cause(&name, text);
        let sections = self.0.get().map(|sections| &**sections).unwrap_or_default();
        let message = match &cause {
            Some(EvalAltResult::ErrorDataRace(what, _)) => captured::failure(captured::function(what)).message,
            Some(cause) => calls::explained(cause, sections).unwrap_or_else(|| text.to_owned()),
            None => text.to_owned(),
        };
        Some(Failure { code, message })
    }
}

/// What sort of error of the language it is; `""`: none of the language.
pub fn code(cause: &EvalAltResult) -> &'static str {
    use EvalAltResult::{
        ErrorArithmetic, ErrorArrayBounds, ErrorAssignmentToConstant, ErrorBitFieldBounds, ErrorDataRace, ErrorDotExpr,
        ErrorFor, ErrorFunctionNotFound, ErrorIndexNotFound, ErrorIndexingType, ErrorMismatchDataType,
        ErrorMismatchOutputType, ErrorModuleNotFound, ErrorNonPureMethodCallOnConstant, ErrorParsing, ErrorRuntime,
        ErrorStringBounds, ErrorVariableNotFound,
    };
    match cause {
        ErrorArrayBounds(..) | ErrorStringBounds(..) | ErrorBitFieldBounds(..) | ErrorIndexNotFound(..) => {
            "out_of_bounds"
        }
        ErrorFunctionNotFound(..) => "unknown_function",
        ErrorVariableNotFound(..) => "unknown_variable",
        ErrorDotExpr(..) => "unknown_property",
        ErrorModuleNotFound(..) => "unknown_module",
        ErrorArithmetic(..) => "arithmetic",
        ErrorMismatchDataType(..) | ErrorMismatchOutputType(..) | ErrorIndexingType(..) | ErrorFor(..) => "wrong_type",
        ErrorAssignmentToConstant(..) | ErrorNonPureMethodCallOnConstant(..) => "constant",
        ErrorDataRace(..) => "busy",
        ErrorParsing(..) => "syntax",
        ErrorRuntime(..) => "",
        _ => "language",
    }
}

/// The innermost sentence, without the places that Rhai adds.
fn plain(message: &str) -> &str {
    let mut text = message.lines().next().unwrap_or_default();
    for (mark, end) in [(" (line ", ")"), (" @ '", "'")] {
        if let Some((before, rest)) = text.rsplit_once(mark)
            && rest.ends_with(end)
        {
            text = before;
        }
    }
    text
}

/// What sort of error it is, from what it says, since errors in functions do not tell the name of their cause; and Rhai's error again, where there are
/// better words for it.
fn cause(name: &str, text: &str) -> (&'static str, Option<EvalAltResult>) {
    let starts = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    type Make = fn(String, Position) -> EvalAltResult;
    let known: [(&str, Make); 5] = [
        ("Function not found: ", EvalAltResult::ErrorFunctionNotFound),
        ("Variable not found: ", EvalAltResult::ErrorVariableNotFound),
        ("Module not found: ", EvalAltResult::ErrorModuleNotFound),
        ("Data race detected on ", EvalAltResult::ErrorDataRace),
        ("Unknown property ", EvalAltResult::ErrorDotExpr),
    ];
    for (start, error) in known {
        if let Some(rest) = text.strip_prefix(start) {
            let what = if start.starts_with("Unknown property") { text } else { rest };
            let cause = error(what.to_owned(), Position::NONE);
            return (code(&cause), Some(cause));
        }
    }
    let code = if text.contains(" out of bounds: ") || starts(&["Invalid index: "]) {
        "out_of_bounds"
    } else if starts(&["Data type incorrect", "Output type incorrect", "Indexer unavailable", "For loop expects"]) {
        "wrong_type"
    } else if starts(&["Cannot modify", "Cannot assign", "Non-pure"]) {
        "constant"
    } else if name == "ErrorArithmetic" || ARITHMETIC.iter().any(|word| text.to_lowercase().contains(word)) {
        "arithmetic"
    } else {
        "language"
    };
    (code, None)
}

/// Words of Rhai's arithmetic errors.
const ARITHMETIC: [&str; 5] = ["by zero", "overflow", "underflow", "out of range", "negative"];

#[cfg(test)]
mod tests {
    use super::*;
    use rhai::{Engine, Scope};

    /// What a script catches, in a function and without one.
    fn caught(body: &str) -> Vec<Failure> {
        let mut engine = Engine::new();
        engine.register_type_with_name::<Failure>("Error");
        let sources = [
            format!("let a = [1]; let z = 0; try {{ {body} }} catch (e) {{ return e; }}"),
            format!("fn f() {{ let a = [1]; let z = 0; {body} }} try {{ f() }} catch (e) {{ return e; }}"),
        ];
        let value = |source: &String| engine.eval_with_scope::<Dynamic>(&mut Scope::new(), source).unwrap();
        sources
            .iter()
            .map(|source| Caught::default().failure(&value(source)).unwrap_or_else(|| panic!("{body}")))
            .collect()
    }

    #[test]
    fn every_sort_has_a_code() {
        for (body, code, message) in [
            ("a[7]", "out_of_bounds", "Array index 7 out of bounds: only 1 element in array"),
            ("\"abc\"[9]", "out_of_bounds", "String index 9"),
            ("1 / z", "arithmetic", "Division by zero: 1 / 0"),
            ("9223372036854775807 + (z + 1)", "arithmetic", "overflow"),
            ("nope + z", "unknown_variable", "nope"),
            ("fo(1)", "unknown_function", "there is no function `fo` (called with int)"),
            ("a.b.c", "unknown_property", "`b`"),
            ("for x in z { }", "wrong_type", "iterable"),
            ("1 - #{}", "unknown_function", "`-` does not work on (int, Map)"),
        ] {
            for failure in caught(body) {
                assert_eq!(failure.code, code, "{body}: {failure:?}");
                assert!(
                    failure.message.contains(message) && !failure.message.contains("(line "),
                    "{body}: {failure:?}"
                );
            }
        }
    }

    #[test]
    fn other_maps_stay_maps() {
        let map = |key: &str| Map::from([("error".into(), "ErrorFor".into()), (key.into(), "x".into())]);
        assert!(Caught::default().failure(&Dynamic::from_map(map("mine"))).is_none());
        assert!(Caught::default().failure(&Dynamic::from_map(map("message"))).is_some());
    }
}
