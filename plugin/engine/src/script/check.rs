//! Looks a script over without running it, and the modules that it imports: functions that do not exist, wrong numbers of arguments, unknown
//! options, properties that do not exist ([`kinds`]), and the arguments that are read.

use super::library::{Entry, Section};
use super::modules::Modules;
use super::{calls, kinds};
use rhai::packages::{Package, StandardPackage};
use rhai::{AST, ASTNode, Engine, Expr, FnAccess, FnCallExpr, Position, Stmt};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Something that will fail when the script comes there.
#[derive(Debug, Serialize, PartialEq)]
pub struct Problem {
    /// the module that it is in; absent: the script
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
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
pub fn check(engine: &Engine, sections: &[Section], modules: &Modules, tree: &AST, source: &str) -> Checked {
    let mut found = Checked { problems: Vec::new(), arguments: Vec::new(), about: about(source) };
    let imported = imports(engine, modules, tree, None, &mut found.problems);
    let mut waiting = vec![(None, tree.clone(), imported)];
    let mut seen = BTreeSet::new();
    while let Some((file, tree, imported)) = waiting.pop() {
        let known = Known::new(engine, sections, &tree, &imported);
        look_over(&tree, &known, file.as_ref(), &mut found);
        let unknown = kinds::problems(&tree, sections, &known.rhais);
        found.problems.extend(unknown.into_iter().map(|(place, text)| problem(file.as_ref(), place, text)));
        for (file, tree) in imported.into_values().flatten() {
            if seen.insert(file.clone()) {
                let further = imports(engine, modules, &tree, Some(&file), &mut found.problems);
                waiting.push((Some(file), tree, further));
            }
        }
    }
    found.problems.sort_by_key(|problem| (problem.file.clone(), problem.line, problem.column));
    found.problems.dedup();
    found
}

fn look_over(tree: &AST, known: &Known<'_>, file: Option<&PathBuf>, found: &mut Checked) {
    tree.walk(&mut |path| {
        let (call, method, place) = match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, place))) => (call, false, *place),
            Some(ASTNode::Expr(Expr::MethodCall(call, place))) => (call, true, *place),
            Some(ASTNode::Stmt(Stmt::FnCall(call, place))) => (call, false, *place),
            _ => return true,
        };
        found.problems.extend(known.problem(call, method).map(|text| problem(file, place, text)));
        if let Some(argument) = read_argument(call)
            && !found.arguments.iter().any(|other| other.name == argument.name)
        {
            found.arguments.push(argument);
        }
        true
    });
}

/// The modules of a script by the names that it gives them; `None`: it is not known what is in them.
type Imported = BTreeMap<String, Option<(PathBuf, AST)>>;

/// What a script imports by names that are written down; what cannot be imported is a problem.
fn imports(
    engine: &Engine,
    modules: &Modules,
    tree: &AST,
    file: Option<&PathBuf>,
    problems: &mut Vec<Problem>,
) -> Imported {
    let mut imported = Imported::new();
    tree.walk(&mut |path| {
        let Some(ASTNode::Stmt(Stmt::Import(import, place))) = path.last() else { return true };
        let (expression, alias) = &**import;
        let Expr::StringConstant(name, ..) = expression else {
            imported.insert(alias.name.to_string(), None);
            return true;
        };
        let parsed = match modules.find(name) {
            Ok(found) => match modules.parse(engine, &found) {
                Ok(tree) => Some((found, tree)),
                Err(error) => {
                    let at = error.position();
                    let text = match *error {
                        rhai::EvalAltResult::ErrorParsing(kind, _) => kind.to_string(),
                        other => other.to_string(),
                    };
                    problems.push(problem(Some(&found), at, text));
                    None
                }
            },
            Err(failure) => {
                problems.push(problem(file, *place, failure.message));
                None
            }
        };
        imported.insert(alias.name.to_string(), parsed);
        true
    });
    imported
}

fn problem(file: Option<&PathBuf>, place: Position, text: String) -> Problem {
    Problem { file: file.cloned(), line: place.line().unwrap_or(1), column: place.position().unwrap_or(1), text }
}

struct Known<'a> {
    ours: BTreeMap<&'a str, Vec<&'a Entry>>,
    others: BTreeSet<String>,
    /// functions of Rhai's own packages, some of which are called as ours are
    rhais: BTreeSet<String>,
    /// functions of the script, with their number of arguments
    own: BTreeSet<(String, usize)>,
    imported: &'a Imported,
}

impl<'a> Known<'a> {
    fn new(engine: &Engine, sections: &'a [Section], tree: &AST, imported: &'a Imported) -> Self {
        let mut ours: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in sections.iter().flat_map(|section| &section.entries).filter(|entry| !entry.property) {
            ours.entry(&entry.name).or_default().push(entry);
        }
        let mut others = all_names(engine);
        let mut plain = Engine::new_raw();
        StandardPackage::new().register_into_engine(&mut plain);
        let builtin =
            ["print", "debug", "call", "curry", "type_of", "is_def_var", "is_def_fn", "is_shared", "Fn", "import"];
        others.extend(builtin.map(str::to_owned));
        let own = tree.iter_functions().map(|function| (function.name.to_owned(), function.params.len())).collect();
        Self { ours, others, rhais: all_names(&plain), own, imported }
    }

    fn problem(&self, call: &FnCallExpr, method: bool) -> Option<String> {
        let name = call.name.as_str();
        if call.is_qualified() {
            return self.qualified(call);
        }
        if call.op_token.is_some() || name.starts_with("anon$") {
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
            if self.rhais.contains(name) {
                return None;
            }
            let forms: Vec<String> = entries.iter().map(|entry| format!("`{}`", entry.call())).collect();
            return Some(format!("`{name}` does not take {count} arguments; there is {}", forms.join(" and ")));
        }
        fitting.iter().find_map(|entry| wrong_key(entry, call, method))
    }

    fn unknown(&self, name: &str) -> String {
        calls::unknown("function", name, self.ours.keys().copied().chain(self.others.iter().map(String::as_str)))
    }

    /// `module::function(...)`
    fn qualified(&self, call: &FnCallExpr) -> Option<String> {
        let [alias] = &call.namespace.path[..] else { return None };
        let Some(module) = self.imported.get(alias.name.as_str()) else {
            let known = ["viewer", "global"].contains(&alias.name.as_str());
            return (!known).then(|| format!("unknown module `{}`: there is no `import` with this name", alias.name));
        };
        let (_, tree) = module.as_ref()?;
        let public: Vec<_> = tree.iter_functions().filter(|function| function.access == FnAccess::Public).collect();
        let named: Vec<_> = public.iter().filter(|function| function.name == call.name.as_str()).collect();
        if named.is_empty() {
            let what = format!("function of the module `{}`:", alias.name);
            return Some(calls::unknown(&what, &call.name, public.iter().map(|function| function.name)));
        }
        let forms: Vec<_> =
            named.iter().map(|f| format!("`{}::{}({})`", alias.name, f.name, f.params.join(", "))).collect();
        let fits = named.iter().any(|function| function.params.len() == call.args.len());
        (!fits).then(|| {
            let given = call.args.len();
            format!("`{}::{}` does not take {given} arguments; there is {}", alias.name, call.name, forms.join(" and "))
        })
    }
}

/// The names of all functions of an engine.
fn all_names(engine: &Engine) -> BTreeSet<String> {
    let listed = engine.gen_fn_metadata_to_json(true).unwrap_or_default();
    let mut found = BTreeSet::new();
    names(&serde_json::from_str(&listed).unwrap_or_default(), &mut found);
    found
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
