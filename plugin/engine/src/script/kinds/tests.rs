//! What is found, and where nothing is said.

use super::*;
use crate::script::library::Library;
use rhai::{Dynamic, Engine, INT};

fn found(source: &str) -> Vec<String> {
    let mut engine = Engine::new();
    let mut library = Library::new(&mut engine);
    library
        .function("open() -> Session", "", "", || 1 as INT)
        .function("click(session: Session) -> Map #{iou, parts: [#{id}]}", "", "", |_: Dynamic| 1 as INT)
        .function("follow(session: Session, closure: FnPtr(#{frame})) -> int", "", "", |_: Dynamic, _: Dynamic| {
            1 as INT
        })
        .property("objects(session: Session) -> Array", "", "", |_: &mut Dynamic| 1 as INT);
    let sections = library.into_sections();
    engine.set_optimization_level(rhai::OptimizationLevel::None);
    let tree = engine.compile(source).unwrap();
    let names = |text: String| text.split('`').nth(1).unwrap_or_default().to_owned();
    problems(&tree, &sections, &BTreeSet::new()).into_iter().map(|(_, text)| names(text)).collect()
}

#[test]
fn what_does_not_exist_is_found() {
    for source in [
        "let s = open(); let a = s.click(); if a.bad < 0.9 { }",
        "open().click().bad",
        "let s = open(); s.click()[\"bad\"]",
        "let a = click(open()); print(`${a.iou} ${a.bad}`)",
        "let a = open().click(); a.parts[0].bad",
        "for part in open().click().parts { part.bad }",
        "let a = open().click(); a.parts.map(|p| p.bad)",
        "let n = 0; let s = open(); s.follow(|slice| { n += slice.bad })",
        "open().follow(|slice| slice.bad)",
        "let a; let s = open(); a = s.click(); a.bad",
        "fn f(a) { a.bad } f(open().click())",
        "fn f(s) { s.click() } let a = f(open()); a.bad",
        "let s = open(); s.bad",
        "let a = open().click(); let f = || a.bad;",
        "try { open().click().bad } catch (e) { e.bad }",
    ] {
        assert_eq!(found(source), ["bad"], "{source}");
    }
}

#[test]
fn nothing_is_said_in_doubt() {
    for source in [
        "let a = #{}; a.bad",
        "let a = open().click(); a.mine = 1; a.mine",
        "let a = open().click(); a.mixin(#{mine: 1}); a.mine",
        "let a = open().click(); a += #{mine: 1}; a.mine",
        "let a = open().click(); if a.iou < 1 { a = #{mine: 1}; } a.mine",
        "fn f(a) { a.mine } f(open().click()); f(#{mine: 1})",
        "fn g() { let a = open().click(); a.iou } fn f(a) { a.mine }",
        "fn click(x) { #{mine: 1} } click(1).mine",
        "let s = open(); s.follow(|slice| slice.frame); s.objects[0].mine",
        "let a = open().click(); { let a = #{mine: 1}; a.mine } a.iou",
    ] {
        assert_eq!(found(source), Vec::<String>::new(), "{source}");
    }
}
