//! What the values of a script are, as far as that can be told without running it, to find properties that do not exist: `let a = session.click(...);
//! a.iuo`. Where anything is in doubt (a variable that holds now this, now that; a parameter of a function that is called with both) nothing is said.
//!
//! Several passes: each knows from the one before what variables are assigned, and what functions are called with and return; the last tells the problems.

use super::calls;
use super::library::{Entry, Section};
use super::shapes::Kind;
use rhai::{AST, ASTFlags, ASTNode, Expr, FnCallExpr, FnPtr, ImmutableString, Position, Stmt, StmtBlock};
use std::collections::{BTreeMap, BTreeSet};

/// A property that does not exist: where, and what to say.
pub type Problem = (Position, String);

/// Every property that is read and does not exist.
pub fn problems(tree: &AST, sections: &[Section], others: &BTreeSet<String>) -> Vec<Problem> {
    let bodies = bodies(tree);
    let mut look =
        Look { sections, others, bodies: &bodies, earlier: Facts::default(), now: Facts::default(), found: Vec::new() };
    for _ in 0..3 {
        look.earlier = std::mem::take(&mut look.now);
        look.found.clear();
        look.everything();
    }
    look.found.sort_by_key(|(place, _)| *place);
    look.found.dedup();
    look.found
}

/// The statements of the script, or of a function of it.
struct Body {
    name: String,
    params: Vec<String>,
    statements: Vec<Stmt>,
}

/// The script itself first. Functions' statements are told apart by their places, since Rhai walks through all of them alike.
fn bodies(tree: &AST) -> Vec<Body> {
    let mut bodies = vec![Body { name: String::new(), params: Vec::new(), statements: Vec::new() }];
    let mut spans = vec![(Position::NONE, Position::NONE)];
    for function in tree.iter_functions() {
        if let Some(whole) = tree.shared_lib().get_script_fn(function.name, function.params.len()) {
            spans.push((whole.body.start_position(), whole.body.end_position()));
            let params = function.params.iter().map(|name| (*name).to_owned()).collect();
            bodies.push(Body { name: function.name.to_owned(), params, statements: Vec::new() });
        }
    }
    tree.walk(&mut |path| {
        if let [ASTNode::Stmt(statement)] = path {
            let place = statement.position();
            let within = |(from, to): &(Position, Position)| {
                !from.is_none() && *from <= place && (place <= *to || (to.is_none() && *from == place))
            };
            let own = (1..spans.len()).filter(|&at| within(&spans[at])).max_by_key(|&at| spans[at].0).unwrap_or(0);
            bodies[own].statements.push((*statement).clone());
        }
        true
    });
    bodies
}

/// What was seen in a pass.
#[derive(Default)]
struct Facts {
    /// by variable, all that it was assigned
    variables: BTreeMap<String, Kind>,
    /// by function and parameter, all that it was called with
    arguments: BTreeMap<(String, usize), Kind>,
    /// what functions return
    results: BTreeMap<String, Kind>,
    /// properties that the script gives to maps itself
    added: BTreeSet<String>,
}

/// Both, if they are one.
fn join<K: Ord>(facts: &mut BTreeMap<K, Kind>, key: K, kind: &Kind) {
    facts
        .entry(key)
        .and_modify(|known| {
            if known != kind {
                *known = Kind::Any
            }
        })
        .or_insert_with(|| kind.clone());
}

struct Look<'a> {
    sections: &'a [Section],
    others: &'a BTreeSet<String>,
    bodies: &'a [Body],
    /// of the pass before
    earlier: Facts,
    now: Facts,
    found: Vec<Problem>,
}

/// The variables in sight; of one that was made without a value, `None`: what it is assigned counts.
type Scope = Vec<(String, Option<Kind>)>;

impl<'a> Look<'a> {
    fn everything(&mut self) {
        for body in self.bodies.iter().filter(|body| !body.name.starts_with("anon$")) {
            let argument =
                |at: usize| self.earlier.arguments.get(&(body.name.clone(), at)).cloned().unwrap_or(Kind::Any);
            let scope = body.params.iter().enumerate().map(|(at, name)| (name.clone(), Some(argument(at)))).collect();
            let result = self.block(&body.statements, scope);
            join(&mut self.now.results, body.name.clone(), &result);
        }
    }

    /// The value of its last statement.
    fn block(&mut self, statements: &[Stmt], mut scope: Scope) -> Kind {
        let mut last = Kind::Any;
        for statement in statements {
            last = self.statement(statement, &mut scope);
        }
        last
    }

    fn inner(&mut self, block: &StmtBlock, scope: &Scope) -> Kind {
        self.block(block.statements(), scope.clone())
    }

    fn statement(&mut self, statement: &Stmt, scope: &mut Scope) -> Kind {
        match statement {
            Stmt::Var(var, ..) => {
                let kind = self.expression(&var.1, scope);
                let name = var.0.name.to_string();
                let empty = matches!(var.1, Expr::Unit(_));
                if !empty {
                    join(&mut self.now.variables, name.clone(), &kind);
                }
                scope.push((name, (!empty).then_some(kind)));
            }
            Stmt::Assignment(assignment) => {
                self.assignment(&assignment.1.lhs, &assignment.1.rhs, assignment.0.is_op_assignment(), scope)
            }
            Stmt::If(flow, _) | Stmt::While(flow, _) | Stmt::Do(flow, ..) => {
                self.expression(&flow.expr, scope);
                self.inner(&flow.body, scope);
                self.inner(&flow.branch, scope);
            }
            Stmt::TryCatch(flow, _) => {
                self.inner(&flow.body, scope);
                let mut caught = scope.clone();
                if let Expr::Variable(name, ..) = &flow.expr {
                    caught.push((name.1.to_string(), Some(Kind::Any)));
                }
                self.inner(&flow.branch, &caught);
            }
            Stmt::For(whole, _) => {
                let (name, counter, flow) = &**whole;
                let kind = match self.expression(&flow.expr, scope) {
                    Kind::List(of) => *of,
                    Kind::Type(name) if name == "Labels" || name == "Volume" => Kind::Type(name),
                    _ => Kind::Any,
                };
                let mut within = scope.clone();
                within.push((name.name.to_string(), Some(kind)));
                within.extend(counter.iter().map(|counter| (counter.name.to_string(), Some(Kind::Any))));
                self.inner(&flow.body, &within);
            }
            Stmt::Switch(switch, _) => {
                self.expression(&switch.0, scope);
                for case in &switch.1.expressions {
                    self.expression(&case.lhs, scope);
                    self.expression(&case.rhs, scope);
                }
            }
            Stmt::FnCall(call, _) => return self.call(call, None, scope),
            Stmt::Block(block) => return self.inner(block, scope),
            Stmt::Expr(expression) => return self.expression(expression, scope),
            Stmt::Return(Some(value), options, _) => {
                let kind = self.expression(value, scope);
                return if options.contains(ASTFlags::BREAK) { Kind::Any } else { kind };
            }
            Stmt::BreakLoop(Some(value), ..) => _ = self.expression(value, scope),
            _ => {}
        }
        Kind::Any
    }

    fn assignment(&mut self, target: &Expr, value: &Expr, changes: bool, scope: &mut Scope) {
        let kind = self.expression(value, scope);
        let kind = if changes { Kind::Any } else { kind };
        if let Expr::Variable(name, ..) = target {
            join(&mut self.now.variables, name.1.to_string(), &kind);
            return;
        }
        let mut link = target;
        while let Expr::Dot(pair, ..) | Expr::Index(pair, ..) = link {
            self.now.added.extend(name_of(&pair.rhs).map(str::to_owned));
            link = &pair.rhs;
        }
        self.expression(target, scope);
    }

    fn expression(&mut self, expression: &Expr, scope: &mut Scope) -> Kind {
        match expression {
            Expr::Variable(name, ..) => self.variable(&name.1, scope),
            Expr::Dot(pair, ..) | Expr::Index(pair, ..) => {
                if let (Expr::Variable(name, ..), Expr::MethodCall(call, _)) = (&pair.lhs, &pair.rhs)
                    && ["mixin", "fill_with", "set"].contains(&call.name.as_str())
                {
                    join(&mut self.now.variables, name.1.to_string(), &Kind::Any);
                }
                let first = self.expression(&pair.lhs, scope);
                self.link(first, expression, scope)
            }
            Expr::FnCall(call, _) => self.call(call, None, scope),
            Expr::Array(items, _) => {
                let kinds: Vec<Kind> = items.iter().map(|item| self.expression(item, scope)).collect();
                match kinds.first() {
                    Some(first) if kinds.iter().all(|kind| kind == first) => Kind::List(Box::new(first.clone())),
                    _ => Kind::Any,
                }
            }
            Expr::Map(map, _) => {
                map.0.iter().for_each(|(_, value)| _ = self.expression(value, scope));
                Kind::Any
            }
            Expr::InterpolatedString(parts, _) => {
                parts.iter().for_each(|part| _ = self.expression(part, scope));
                Kind::Any
            }
            Expr::And(parts, _) | Expr::Or(parts, _) | Expr::Coalesce(parts, _) => {
                parts.iter().for_each(|part| _ = self.expression(part, scope));
                Kind::Any
            }
            Expr::Stmt(block) => match closure(block) {
                Some((name, captured)) => {
                    let kinds = captured.iter().map(|name| self.variable(name, scope)).collect();
                    self.closure(&name, kinds, &[]);
                    Kind::Any
                }
                None => self.inner(block, scope),
            },
            Expr::DynamicConstant(value, _) => {
                if let Some(function) = value.read_lock::<FnPtr>() {
                    self.closure(function.fn_name(), Vec::new(), &[]);
                }
                Kind::Any
            }
            _ => Kind::Any,
        }
    }

    fn variable(&self, name: &str, scope: &Scope) -> Kind {
        let here = scope.iter().rev().find(|(other, _)| other == name).map(|(_, kind)| kind.clone());
        match (here, self.earlier.variables.get(name)) {
            (Some(None), Some(always)) => always.clone(),
            (Some(Some(kind)), Some(always)) if kind == *always => kind,
            (Some(Some(kind)), None) => kind,
            _ => Kind::Any,
        }
    }

    /// What comes after the first part of a chain.
    fn link(&mut self, before: Kind, chain: &Expr, scope: &mut Scope) -> Kind {
        let (Expr::Dot(pair, flags, _) | Expr::Index(pair, flags, _)) = chain else { return Kind::Any };
        let indexing = matches!(chain, Expr::Index(..));
        match &pair.rhs {
            Expr::Dot(next, ..) | Expr::Index(next, ..) if !indexing || !flags.contains(ASTFlags::BREAK) => {
                let kind =
                    if indexing { self.index(before, &next.lhs, scope) } else { self.part(before, &next.lhs, scope) };
                self.link(kind, &pair.rhs, scope)
            }
            last if indexing => self.index(before, last, scope),
            last => self.part(before, last, scope),
        }
    }

    fn index(&mut self, of: Kind, index: &Expr, scope: &mut Scope) -> Kind {
        self.expression(index, scope);
        match (of, index) {
            (Kind::List(of), _) => *of,
            (of, Expr::StringConstant(name, place)) => self.property(&of, name, *place),
            _ => Kind::Any,
        }
    }

    fn part(&mut self, of: Kind, part: &Expr, scope: &mut Scope) -> Kind {
        match part {
            Expr::Property(name, place) => self.property(&of, &name.2, *place),
            Expr::MethodCall(call, _) => self.call(call, Some(of), scope),
            other => self.expression(other, scope),
        }
    }

    fn property(&mut self, of: &Kind, name: &ImmutableString, place: Position) -> Kind {
        let added = self.earlier.added.contains(name.as_str()) || self.now.added.contains(name.as_str());
        match of {
            Kind::Record(record) => match record.field(name) {
                Some(field) => return field.kind.clone(),
                None if !added => self.found.push((place, record.no_property(name))),
                None => {}
            },
            Kind::Type(kind) => {
                let mut entries =
                    self.sections.iter().flat_map(|section| &section.entries).filter(|entry| entry.property);
                match entries.find(|entry| entry.name == name.as_str() && belongs(entry, kind)) {
                    Some(entry) => return entry.result.clone(),
                    None => self.found.push((place, calls::no_property(name, kind, self.sections))),
                }
            }
            Kind::Any | Kind::List(_) | Kind::Open => {}
        }
        Kind::Any
    }

    /// A call, as a method of a value or not: what it returns.
    fn call(&mut self, call: &FnCallExpr, of: Option<Kind>, scope: &mut Scope) -> Kind {
        let entries: Vec<&'a Entry> = match call.is_qualified() || call.op_token.is_some() {
            true => Vec::new(),
            false => self.named(&call.name, of.as_ref(), call.args.len() + usize::from(of.is_some())),
        };
        let own = self.bodies.iter().any(|body| body.name == call.name.as_str() && !call.is_qualified());
        for (at, argument) in call.args.iter().enumerate() {
            let given = match entries.first() {
                Some(entry) => entry
                    .parameters
                    .iter()
                    .map(|p| p.kind_seen.clone())
                    .filter(|kind_seen| *kind_seen != Kind::Any)
                    .collect(),
                None => of.as_ref().map(|of| each(of, &call.name)).unwrap_or_default(),
            };
            let kind = self.argument(argument, &given, scope);
            if own {
                join(&mut self.now.arguments, (call.name.to_string(), at), &kind);
            }
        }
        if own {
            return self.earlier.results.get(call.name.as_str()).cloned().unwrap_or(Kind::Any);
        }
        match entries.split_first() {
            Some((first, rest)) if rest.iter().all(|entry| entry.result == first.result) => first.result.clone(),
            _ => Kind::Any,
        }
    }

    /// Functions of the product that may be meant.
    fn named(&self, name: &str, of: Option<&Kind>, count: usize) -> Vec<&'a Entry> {
        let unclear = !matches!(of, Some(Kind::Type(_))) && self.others.contains(name);
        let sections: &'a [Section] = self.sections;
        let entries = sections.iter().flat_map(|section| &section.entries);
        let fits = |entry: &&Entry| {
            let (least, most) = entry.arguments();
            let receiver = usize::from(entry.receiver().is_some());
            let whose = match of {
                Some(Kind::Type(kind)) => belongs(entry, kind),
                _ => !unclear,
            };
            !entry.property && entry.name == name && whose && (least + receiver..=most + receiver).contains(&count)
        };
        entries.filter(fits).collect()
    }

    /// An argument; if it is a closure, `given` is what it receives.
    fn argument(&mut self, argument: &Expr, given: &[Kind], scope: &mut Scope) -> Kind {
        match argument {
            Expr::Stmt(block) => {
                if let Some((name, captured)) = closure(block) {
                    let kinds = captured.iter().map(|name| self.variable(name, scope)).collect();
                    self.closure(&name, kinds, given);
                    return Kind::Any;
                }
                self.expression(argument, scope)
            }
            Expr::DynamicConstant(value, _) => {
                if let Some(function) = value.read_lock::<FnPtr>() {
                    self.closure(function.fn_name(), Vec::new(), given);
                }
                Kind::Any
            }
            other => self.expression(other, scope),
        }
    }

    /// The body of a closure: what it captured comes first among its parameters.
    fn closure(&mut self, name: &str, captured: Vec<Kind>, given: &[Kind]) {
        let Some(body) = self.bodies.iter().find(|body| body.name == name && name.starts_with("anon$")) else { return };
        let kinds = captured.into_iter().chain(given.iter().cloned()).chain(std::iter::repeat(Kind::Any));
        let scope = body.params.iter().cloned().zip(kinds.map(Some)).collect();
        self.block(&body.statements, scope);
    }
}

fn belongs(entry: &Entry, kind: &str) -> bool {
    entry.receiver().is_some_and(|receiver| receiver.kind == kind)
}

/// What the closure receives that a list gives its values to.
fn each(of: &Kind, method: &str) -> Vec<Kind> {
    match of {
        Kind::List(of)
            if ["map", "filter", "for_each", "some", "all", "find", "find_map", "index_of"].contains(&method) =>
        {
            vec![(**of).clone()]
        }
        Kind::List(of) if method == "sort" => vec![(**of).clone(), (**of).clone()],
        _ => Vec::new(),
    }
}

/// A property, or an index that is written down.
fn name_of(link: &Expr) -> Option<&str> {
    match link {
        Expr::Property(name, _) => Some(&name.2),
        Expr::StringConstant(name, _) => Some(name),
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => name_of(&pair.lhs),
        _ => None,
    }
}

/// A closure that captures variables is a block: `{ share variables; curry(function, variables) }`. Its function and these.
fn closure(block: &StmtBlock) -> Option<(String, Vec<&str>)> {
    let curry = block.statements().iter().find_map(|statement| match statement {
        Stmt::Expr(curry) => match &**curry {
            Expr::FnCall(curry, _) if curry.name == "curry" => Some(&**curry),
            _ => None,
        },
        Stmt::FnCall(curry, _) if curry.name == "curry" => Some(&**curry),
        _ => None,
    })?;
    let (function, captured) = curry.args.split_first()?;
    let Expr::DynamicConstant(value, _) = function else { return None };
    let name = value.read_lock::<FnPtr>()?.fn_name().to_owned();
    let names = captured.iter().filter_map(|argument| match argument {
        Expr::Variable(name, ..) => Some(name.1.as_str()),
        _ => None,
    });
    Some((name, names.collect()))
}

#[cfg(test)]
mod tests;
