//! Rhai asks [`shapes`](super::shapes) what to do about a property that a map lacks, and does not say whether it is read or assigned. So scripts are
//! compiled with their assignments spelled out: `map.key = 1` as `map.__set_key = 1`, `map[key] = 1` as `map[__set_(key)] = 1`. Places in errors
//! are translated back ([`Shifts`]).

use rhai::{AST, Dynamic, Engine, INT, ImmutableString, ParseError, Position, Token};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Stands before the name of a property that is assigned.
const SET: &str = "__set_";

/// The name of a property that is assigned, or `None` if it is read.
pub fn assigned(name: &str) -> Option<&str> {
    name.strip_prefix(SET)
}

/// A name as the script spells it.
pub fn as_written(name: &str) -> &str {
    name.strip_prefix(SET).unwrap_or(name)
}

/// Hears of the tokens of a script while it is compiled.
#[derive(Clone, Default)]
pub struct Tokens(Arc<Mutex<Option<Pieces>>>);

type Pieces = Vec<(Piece, Position)>;

/// What matters of a token.
#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Dot,
    Name,
    Open,
    Close,
    Assign,
    Other,
}

impl Piece {
    fn of(token: &Token) -> Self {
        match token {
            Token::Period | Token::Elvis => Self::Dot,
            Token::Identifier(_) | Token::Reserved(_) => Self::Name,
            Token::LeftBracket | Token::QuestionBracket => Self::Open,
            Token::RightBracket => Self::Close,
            Token::Equals => Self::Assign,
            token if token.is_op_assignment() => Self::Assign,
            _ => Self::Other,
        }
    }
}

/// What was put in, by line: the column before which, and how many letters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shifts(BTreeMap<usize, Vec<(usize, usize)>>);

impl Shifts {
    /// A column of the compiled text in the script as it is written.
    pub fn back(&self, line: usize, column: usize) -> usize {
        let mut before = 0;
        for &(at, length) in self.0.get(&line).into_iter().flatten() {
            if column < at + before {
                break;
            }
            if column < at + before + length {
                return at;
            }
            before += length;
        }
        column - before
    }
}

/// Makes the engine tell of tokens, and the function that marks an assigned key.
pub fn register(engine: &mut Engine, tokens: &Tokens) {
    let reply = tokens.clone();
    #[allow(deprecated, reason = "its note says that it is not deprecated, but may change")]
    engine.on_parse_token(move |token, position, _| {
        if let Some(seen) = reply.lock().as_mut() {
            seen.push((Piece::of(&token), position));
        }
        token
    });
    engine.register_set("__set_tag", |value: &mut Dynamic, tag: INT| {
        value.set_tag(i32::try_from(tag).unwrap_or_default());
    });
    engine.register_fn(SET, |key: Dynamic| match key.read_lock::<ImmutableString>() {
        Some(name) => format!("{SET}{}", name.as_str()).into(),
        None => key.clone(),
    });
}

impl Tokens {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Vec<(Piece, Position)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compiles a script with its assignments spelled out.
    pub fn compile(
        &self,
        source: &str,
        compile: impl Fn(&str) -> Result<AST, ParseError>,
    ) -> Result<(AST, Shifts), ParseError> {
        *self.lock() = Some(Vec::new());
        let tree = compile(source);
        let seen = self.lock().take().unwrap_or_default();
        let (tree, edits) = (tree?, edits(&seen));
        if edits.is_empty() {
            return Ok((tree, Shifts::default()));
        }
        let (text, shifts) = applied(source, &edits);
        Ok((compile(&text)?, shifts))
    }
}

/// What to put in, by line and column.
type Edits = BTreeMap<(usize, usize), &'static str>;

fn edits(seen: &[(Piece, Position)]) -> Edits {
    let (mut edits, mut open, mut matching) = (Edits::new(), Vec::new(), BTreeMap::new());
    for (at, (piece, _)) in seen.iter().enumerate() {
        match piece {
            Piece::Open => open.push(at),
            Piece::Close => {
                matching.insert(at, open.pop());
            }
            Piece::Assign if at > 0 => match seen[at - 1] {
                (Piece::Name, name) if at > 1 && seen[at - 2].0 == Piece::Dot => {
                    edits.extend(key(name).map(|key| (key, SET)));
                }
                (Piece::Close, close) => {
                    let first = matching.get(&(at - 1)).copied().flatten().and_then(|open| seen.get(open + 1));
                    if let (Some(from), Some(to)) = (first.and_then(|(_, from)| key(*from)), key(close)) {
                        edits.extend([(from, "__set_("), (to, ")")]);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
    edits
}

fn key(place: Position) -> Option<(usize, usize)> {
    Some((place.line()?, place.position()?))
}

fn applied(source: &str, edits: &Edits) -> (String, Shifts) {
    let (mut text, mut shifts) = (String::with_capacity(source.len() + 8 * edits.len()), Shifts::default());
    for (number, line) in source.split_inclusive('\n').enumerate() {
        let mut here = edits.range((number + 1, 0)..(number + 2, 0)).peekable();
        for (column, letter) in (1..).zip(line.chars()) {
            if let Some((_, put)) = here.next_if(|((_, at), _)| *at == column) {
                text.push_str(put);
                shifts.0.entry(number + 1).or_default().push((column, put.len()));
            }
            text.push(letter);
        }
    }
    (text, shifts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(source: &str) -> String {
        let (mut engine, tokens) = (Engine::new(), Tokens::default());
        register(&mut engine, &tokens);
        let seen = Mutex::new(Vec::new());
        let keep = |text: &str| {
            seen.lock().unwrap().push(text.to_owned());
            engine.compile(text)
        };
        tokens.compile(source, keep).unwrap();
        seen.into_inner().unwrap().pop().unwrap()
    }

    #[test]
    fn assignments_are_spelled_out_and_reads_are_not() {
        for (source, compiled) in [
            ("let m = #{}; m.a = m.b; m.a.b += 1;", "let m = #{}; m.__set_a = m.b; m.a.__set_b += 1;"),
            ("let m = #{}; m[m.k[0]] = [m[1]];", "let m = #{}; m[__set_(m.k[0])] = [m[1]];"),
            ("let m = #{}; m[`${m[1]} = `] = 2; m == 3", "let m = #{}; m[__set_(`${m[1]} = `)] = 2; m == 3"),
            (
                "fn f(m) { m?.x = 1; } let g = |m| { m[1][2] = 3 };",
                "fn f(m) { m?.__set_x = 1; } let g = |m| { m[1][__set_(2)] = 3 };",
            ),
            ("let a = [1]; a[\n 0\n] = 2;", "let a = [1]; a[\n __set_(0\n)] = 2;"),
        ] {
            assert_eq!(spelled(source), compiled);
        }
    }

    #[test]
    fn places_lead_back() {
        let source = "m.a = m[k].b; m[k] = nope";
        let (_, shifts) = applied(source, &BTreeMap::from([((1, 3), SET), ((1, 17), "__set_("), ((1, 18), ")")]));
        for (column, letter) in source.chars().enumerate().map(|(at, letter)| (at + 1, letter)) {
            let put = [(3, 6), (17, 7), (18, 1)].iter().filter(|(at, _)| column >= *at).map(|(_, n)| n).sum::<usize>();
            assert_eq!(shifts.back(1, column + put), column, "{letter}");
        }
        assert_eq!(shifts.back(2, 7), 7);
    }
}
