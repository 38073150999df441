//! Calls that fit no function: what there is instead, and which argument is at fault.

use super::library::{Entry, Parameter, Section, TYPES};
use super::rewrite;
use rhai::EvalAltResult;
use sam_octa2_core::did_you_mean;

/// Rhai's error in words, if it is about a function or a property that it does not find.
pub fn explained(error: &EvalAltResult, sections: &[Section]) -> Option<String> {
    match error {
        EvalAltResult::ErrorFunctionNotFound(call, _) => {
            let (name, given) = call.split_once(" (").unwrap_or((call, ")"));
            let given: Vec<String> = split(given.strip_suffix(')').unwrap_or(given)).map(plain).collect();
            Some(no_call(name, &given, sections))
        }
        EvalAltResult::ErrorDotExpr(text, _) => {
            // Rhai 1.27: "Unknown property 'x' - a getter is not registered for type 'T'"
            let mut quoted = text.split('\'').skip(1).step_by(2);
            let (name, kind) = (quoted.next()?, plain(quoted.next()?));
            if text.contains("a setter is not registered") {
                return Some(no_setter(rewrite::as_written(name), &kind, sections));
            }
            text.starts_with("Unknown property").then(|| no_property(name, &kind, sections))
        }
        EvalAltResult::ErrorModuleNotFound(name, _) => {
            let about =
                if name == "viewer" { "this host brings no functions" } else { "there is no `import` with this name" };
            Some(format!("unknown module `{name}`: {about}"))
        }
        _ => None,
    }
}

/// "there is no function `x`; did you mean `y`?"
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    format!("there is no {what} `{name}`{}", did_you_mean(name, known))
}

fn no_call(name: &str, given: &[String], sections: &[Section]) -> String {
    let given_text = given.join(", ");
    if name.contains("::") {
        return format!("there is no function `{name}` that takes ({given_text})");
    }
    if !name.starts_with(|letter: char| letter.is_alphabetic() || letter == '_') {
        return format!("`{name}` does not work on ({given_text})");
    }
    let entries = || sections.iter().flat_map(|section| &section.entries).filter(|entry| !entry.property);
    let named: Vec<&Entry> = entries().filter(|entry| entry.name == name).collect();
    let Some(nearest) = named.iter().min_by_key(|entry| fault(entry, given).map_or(0, |(at, _)| usize::MAX - at))
    else {
        return match given {
            [] => unknown("function", name, entries().map(|entry| entry.name.as_str())),
            _ => format!(
                "{} (called with {given_text})",
                unknown("function", name, entries().map(|entry| entry.name.as_str()))
            ),
        };
    };
    let what = fault(nearest, given).map(|(_, what)| format!(": {what}")).unwrap_or_default();
    let forms: Vec<String> = named.iter().map(|entry| format!("`{}`", entry.typed_call())).collect();
    format!("`{name}` does not take ({given_text}){what}; there is {}", forms.join(" and "))
}

/// The first argument that does not fit: its number, and what is wrong.
fn fault(entry: &Entry, given: &[String]) -> Option<(usize, String)> {
    let wrong = entry.parameters.iter().zip(given).position(|(parameter, kind)| !fits(parameter, kind));
    if let Some(at) = wrong {
        let parameter = &entry.parameters[at];
        let what = match at == 0 && entry.receiver().is_some() {
            true => format!("it belongs to a {}, not to a {}", parameter.kind, given[at]),
            false => format!("`{}` is a {}, expected {}", parameter.name, given[at], parameter.shown_kind()),
        };
        return Some((at, what));
    }
    match entry.parameters.get(given.len()) {
        Some(missing) if !missing.optional => Some((given.len(), format!("`{}` is missing", missing.name))),
        None if given.len() > entry.parameters.len() => {
            Some((entry.parameters.len(), format!("{} too many", given.len() - entry.parameters.len())))
        }
        _ => None,
    }
}

fn fits(parameter: &Parameter, kind: &str) -> bool {
    match parameter.kind.as_str() {
        "Dynamic" | "?" => true,
        "float" => kind == "float" || kind == "int",
        _ if !parameter.keys.is_empty() => kind == "Map",
        wanted => wanted == kind || !(KINDS.contains(&wanted) || TYPES.contains(&wanted)),
    }
}

/// What signatures call Rhai's own types.
const KINDS: [&str; 8] = ["int", "float", "bool", "String", "Array", "Map", "FnPtr", "Range"];

/// Rhai's name of a type as signatures write it.
fn plain(kind: &str) -> String {
    let kind = kind.trim();
    let name = match kind {
        "i64" => "int",
        "f64" => "float",
        "array" => "Array",
        "map" => "Map",
        "Fn" => "FnPtr",
        "()" => "nothing",
        _ if kind.contains("String") || kind.contains("&str") || kind == "string" => "String",
        _ if kind.starts_with("Range") || kind.starts_with("range") => "Range",
        other => other.rsplit("::").next().unwrap_or(other),
    };
    name.to_owned()
}

fn split(given: &str) -> impl Iterator<Item = &str> {
    given.split(", ").filter(|kind| !kind.is_empty())
}

fn no_setter(name: &str, kind: &str, sections: &[Section]) -> String {
    let own = |entry: &Entry| entry.property && entry.receiver().is_some_and(|receiver| receiver.kind == kind);
    match sections.iter().flat_map(|section| &section.entries).any(|entry| own(entry) && entry.name == name) {
        true => format!("`{name}` of a {kind} can be read, not changed"),
        false => no_property(name, kind, sections),
    }
}

pub(super) fn no_property(name: &str, kind: &str, sections: &[Section]) -> String {
    let of = |entry: &&Entry| entry.receiver().is_some_and(|receiver| receiver.kind == kind);
    let own: Vec<&Entry> = sections.iter().flat_map(|section| &section.entries).filter(of).collect();
    if own.iter().any(|entry| entry.name == name) {
        return format!("`{name}` of a {kind} is a function: write `.{name}(...)`");
    }
    let what = format!("property of a {kind}");
    let reply = unknown(&what, name, own.iter().map(|entry| entry.name.as_str()));
    let properties: Vec<&str> = own.iter().filter(|entry| entry.property).map(|entry| entry.name.as_str()).collect();
    if properties.is_empty() { reply } else { format!("{reply} (properties: {})", properties.join(", ")) }
}
