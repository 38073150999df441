//! `session.propagate(|slice| session.click(...))`: the engine locks a variable while one of its methods runs, finds it in the closure
//! too, and speaks of a data race without saying where. Here it becomes an error that a person understands, at its place.

use super::errors::Failure;
use super::session::busy;
use rhai::{AST, ASTNode, Dynamic, EvalAltResult, Expr, Position, Stmt};

/// The same error, explained if it is one of those.
pub fn explained(mut error: Box<EvalAltResult>, tree: Option<&AST>) -> Box<EvalAltResult> {
    let mut cause = &mut *error;
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _) = cause {
        cause = inner;
    }
    match cause {
        EvalAltResult::ErrorDataRace(text, position) => {
            let function = function(text);
            let place = tree.and_then(|tree| find(tree, function));
            *cause = EvalAltResult::ErrorRuntime(Dynamic::from(failure(function)), place.unwrap_or(*position));
        }
        EvalAltResult::ErrorFunctionNotFound(call, position) if call.starts_with("anon$") => {
            let given = call.split_once('(').map_or(call.as_str(), |(_, given)| given.trim_end_matches(')'));
            let message = format!("the closure takes other arguments than it is given here ({given})");
            *cause = EvalAltResult::ErrorRuntime(Dynamic::from(Failure::invalid(message)), *position);
        }
        _ => {}
    }
    error
}

/// The function that Rhai 1.27 names: "argument #2 of function 'propagate'".
pub fn function(text: &str) -> &str {
    text.split('\'').nth(1).unwrap_or_default()
}

/// The error of a closure that uses the value whose function runs.
pub fn failure(function: &str) -> Failure {
    match function {
        "propagate" | "" => busy(),
        _ => Failure {
            code: "busy",
            message: format!("a closure given to `{function}` cannot use the value whose `{function}` is running"),
        },
    }
}

/// Where a closure that is given to the method `function` of a variable uses that variable; the first in the script.
fn find(tree: &AST, function: &str) -> Option<Position> {
    let mut found = None;
    tree.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::Dot(chain, ..))) = path.last()
            && let Expr::Variable(variable, ..) = &chain.lhs
        {
            let call = match &chain.rhs {
                Expr::Dot(longer, ..) => &longer.lhs,
                last => last,
            };
            found = use_of(&variable.1, call, function);
        }
        found.is_none()
    });
    found
}

fn use_of(variable: &str, call: &Expr, function: &str) -> Option<Position> {
    let Expr::MethodCall(call, ..) = call else { return None };
    // a closure with captured variables is a block: `{ share variables; curry(function, variables) }`
    let blocks = call.args.iter().filter_map(|argument| match argument {
        Expr::Stmt(block) => Some(block.statements()),
        _ => None,
    });
    let captured = blocks.flatten().filter_map(|statement| match statement {
        Stmt::Expr(curry) => match &**curry {
            Expr::FnCall(curry, ..) if curry.name == "curry" => Some(&curry.args),
            _ => None,
        },
        Stmt::FnCall(curry, ..) if curry.name == "curry" => Some(&curry.args),
        _ => None,
    });
    let same = |argument: &&Expr| matches!(argument, Expr::Variable(captured, ..) if captured.1 == variable);
    captured.flatten().filter(|_| call.name == function).find(same).map(Expr::position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhai::Engine;

    #[test]
    fn the_use_inside_the_closure_is_found() {
        let place = |source: &str| find(&Engine::new().compile(source).unwrap(), "map");
        assert_eq!(place("let a = [1]; a.map(|x| a.len())"), Some(Position::new(1, 24)));
        assert_eq!(place("fn f(a) {\n a.map(|x| { let y = x; y + a }); }"), Some(Position::new(2, 29)));
        assert_eq!(place("let a = [1]; let b = a.map(|x| { a }).len();"), Some(Position::new(1, 34)));
        assert_eq!(place("let a = [1]; let b = 2; a.map(|x| b)"), None);
        assert_eq!(place("let a = [1]; a.filter(|x| a)"), None);
    }
}
