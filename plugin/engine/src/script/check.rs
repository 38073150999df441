//! Looks a script over without running it: functions that do not exist, wrong numbers of arguments, unknown options, and the arguments
//! that the script reads.

use super::library::{Entry, Room};
use rhai::{AST, ASTNode, Engine, Expr, FnCallExpr, Position, Stmt};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Something that will fail when the script comes there.
#[derive(Debug, Serialize, PartialEq)]
pub struct Problem {
    /// from 1
    pub line: usize,
    /// from 1
    pub column: usize,
    /// one sentence
    pub text: String,
}

/// An argument that the script reads with `arg`.
#[derive(Debug, Serialize, PartialEq)]
pub struct Argument {
    /// its name
    pub name: String,
    /// the default, where it is written down as a plain value
    pub default: Option<Value>,
    /// does the script fail without it?
    pub required: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// in the order of the script
    pub problems: Vec<Problem>,
    /// in the order in which the script names them
    pub arguments: Vec<Argument>,
    /// the comment at the head of the script
    pub about: String,
}

/// Looks over a script that was parsed.
pub fn check(engine: &Engine, rooms: &[Room], tree: &AST, source: &str) -> Checked {
    let known = Known::new(engine, rooms, tree);
    let (mut problems, mut arguments) = (Vec::new(), Vec::<Argument>::new());
    tree.walk(&mut |path| {
        let (call, method, place) = match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, place))) => (call, false, *place),
            Some(ASTNode::Expr(Expr::MethodCall(call, place))) => (call, true, *place),
            Some(ASTNode::Stmt(Stmt::FnCall(call, place))) => (call, false, *place),
            _ => return true,
        };
        problems.extend(known.problem(call, method).map(|text| problem(place, text)));
        if let Some(argument) = read_argument(call)
            && !arguments.iter().any(|other| other.name == argument.name)
        {
            arguments.push(argument);
        }
        true
    });
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    Checked { problems, arguments, about: about(source) }
}

fn problem(place: Position, text: String) -> Problem {
    Problem { line: place.line().unwrap_or(1), column: place.position().unwrap_or(1), text }
}

struct Known<'a> {
    ours: BTreeMap<&'a str, Vec<&'a Entry>>,
    others: BTreeSet<String>,
    /// functions of the script, with their number of arguments
    own: BTreeSet<(String, usize)>,
}

impl<'a> Known<'a> {
    fn new(engine: &Engine, rooms: &'a [Room], tree: &AST) -> Self {
        let mut ours: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in rooms.iter().flat_map(|room| &room.entries).filter(|entry| !entry.property) {
            ours.entry(&entry.name).or_default().push(entry);
        }
        let listed = engine.gen_fn_metadata_to_json(true).unwrap_or_default();
        let mut others = BTreeSet::new();
        names(&serde_json::from_str(&listed).unwrap_or_default(), &mut others);
        let builtin =
            ["print", "debug", "call", "curry", "type_of", "is_def_var", "is_def_fn", "is_shared", "Fn", "import"];
        others.extend(builtin.map(str::to_owned));
        let own = tree.iter_functions().map(|function| (function.name.to_owned(), function.params.len())).collect();
        Self { ours, others, own }
    }

    fn problem(&self, call: &FnCallExpr, method: bool) -> Option<String> {
        let name = call.name.as_str();
        if call.op_token.is_some() || call.is_qualified() || name.starts_with("anon$") {
            return None;
        }
        let count = call.args.len();
        if self.own.iter().any(|(own, _)| own == name) {
            return None; // Rhai itself says when the number of arguments is wrong, and overloads may be natives
        }
        let Some(entries) = self.ours.get(name) else {
            return (!self.others.contains(name)).then(|| self.unknown(name));
        };
        let fits = |entry: &&&Entry| {
            let (least, most) = entry.arguments();
            let own = usize::from(entry.receiver().is_some() && !method);
            (least + own..=most + own).contains(&count)
        };
        let fitting: Vec<&&Entry> = entries.iter().filter(fits).collect();
        if fitting.is_empty() {
            if self.others.contains(name) && self.is_rhais(name) {
                return None;
            }
            let forms: Vec<String> = entries.iter().map(|entry| format!("`{}`", entry.call())).collect();
            return Some(format!("`{name}` does not take {count} arguments; there is {}", forms.join(" and ")));
        }
        fitting.iter().find_map(|entry| wrong_key(entry, call, method))
    }

    /// Names that Rhai's own packages use for other types too.
    fn is_rhais(&self, name: &str) -> bool {
        ["clear", "remove", "reset", "sleep"].contains(&name)
    }

    fn unknown(&self, name: &str) -> String {
        let all = self.ours.keys().copied().chain(self.others.iter().map(String::as_str));
        let nearest = all.min_by_key(|known| strsim::damerau_levenshtein(name, known));
        let near = nearest.filter(|known| strsim::damerau_levenshtein(name, known) <= 2);
        let hint = near.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
        format!("there is no function `{name}`{hint}")
    }
}

/// Every `"name"` of a function in Rhai's metadata.
fn names(metadata: &Value, into: &mut BTreeSet<String>) {
    match metadata {
        Value::Object(map) => {
            if let (Some(name), true) = (map.get("name").and_then(Value::as_str), map.contains_key("numParams")) {
                into.insert(name.to_owned());
            }
            map.values().for_each(|value| names(value, into));
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, into)),
        _ => {}
    }
}

/// A key of a literal map of options that the function does not know.
fn wrong_key(entry: &Entry, call: &FnCallExpr, method: bool) -> Option<String> {
    let skip = usize::from(entry.receiver().is_some() && method);
    entry.parameters.iter().skip(skip).zip(&call.args).filter(|(parameter, _)| !parameter.keys.is_empty()).find_map(
        |(parameter, argument)| {
            let Expr::Map(map, ..) = argument else { return None };
            let given = map.0.iter().map(|(key, _)| key.name.as_str());
            let wrong = given.into_iter().find(|key| !parameter.keys.iter().any(|known| known == key))?;
            let known: Vec<&str> = parameter.keys.iter().map(String::as_str).collect();
            Some(super::values::unknown(&entry.name, wrong, &known))
        },
    )
}

/// `arg("name", default)`
fn read_argument(call: &FnCallExpr) -> Option<Argument> {
    if call.name != "arg" {
        return None;
    }
    let Expr::StringConstant(name, ..) = call.args.first()? else { return None };
    let default = call.args.get(1);
    let plain = default.and_then(Expr::plain_value);
    Some(Argument { name: name.to_string(), default: plain, required: default.is_none() })
}

/// The value of a literal.
trait Literal {
    fn plain_value(&self) -> Option<Value>;
}

impl Literal for Expr {
    fn plain_value(&self) -> Option<Value> {
        let value = self.get_literal_value(None)?;
        rhai::serde::from_dynamic(&value).ok()
    }
}

/// The comment lines at the head, without their slashes.
fn about(source: &str) -> String {
    let lines = source.lines().skip_while(|line| line.starts_with("#!") || line.trim().is_empty());
    let lines = lines.map_while(|line| line.strip_prefix("//"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}
