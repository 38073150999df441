//! `run`: what scripts can do without a volume, and how their errors look.

use crate::util::Host;
use serde_json::{Value, json};

#[test]
fn print_and_arguments() {
    let source = r#"
        print("hello " + arg("name"));
        print(arg("n", 1) + 1);
        print(arg("scale", 0.5) * 2);
        print(!arg("flag", false));
        print(arg("list", [0]).len());
        print(arg("absent", "default"));
    "#;
    let set = ["--set", "name=you=me", "--set", "n=41", "--set", "scale=4", "--set", "flag=yes", "--set", "list=1,2,3"];
    let stdout = Host::new().script(source, &set).ok();
    assert_eq!(stdout, "hello you=me\n42\n8.0\nfalse\n3\ndefault\n");
}

#[test]
fn debug_goes_to_stderr_with_its_line() {
    let ran = Host::new().script("print(1);\ndebug(2);", &[]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1\n", "test.rhai:2: 2\n"));
}

#[test]
fn a_missing_or_wrong_argument_is_explained_at_its_place() {
    let host = Host::new();
    host.script("let x = 1;\nlet y = arg(\"input\");", &[]).fails_with(&[
        "test.rhai:2:9",
        "`input`",
        "--set input=VALUE",
    ]);
    host.script("arg(\"n\", 3)", &["--set", "n=many"]).fails_with(&[
        "test.rhai:1:1",
        "`n`",
        "a whole number",
        "`many`",
    ]);
    let ran = host.script("print(1)", &["--set", "typo=1"]);
    assert!(ran.stderr.contains("did not read the argument `typo`"), "{ran:#?}");
}

#[test]
fn errors_show_line_column_and_the_line_itself() {
    let host = Host::new();
    let ran = host.script("let a = 1;\nlet b = a.frobnicate(2);\n", &[]).fails_with(&["test.rhai:2:11", "frobnicate"]);
    assert!(ran.stderr.contains("  2 | let b = a.frobnicate(2);\n    |           ^"), "{}", ran.stderr);
    host.script("let x = ;", &[]).fails_with(&["test.rhai:1:9"]);
    host.script("#!/usr/bin/env host-demo\nthrow \"stop here\";", &[]).fails_with(&["test.rhai:2:1", "stop here"]);
}

#[test]
fn an_error_inside_functions_shows_where_it_was_and_who_called() {
    let source = "fn inner(x) {\n  x / 0\n}\nlet f = |x| inner(x);\nf.call(1);\n";
    let ran = Host::new().script(source, &[]).fails_with(&["test.rhai:2:"]);
    assert!(ran.stderr.contains("in `inner`, called from line 4"), "{}", ran.stderr);
    assert!(ran.stderr.contains("in a closure, called from line 5"), "{}", ran.stderr);
}

#[test]
fn a_caught_error_has_code_and_message() {
    let source = "try { arg(\"gone\") } catch (e) { print(`${e.code} ${e.message.contains(\"gone\")}`) }";
    assert_eq!(Host::new().script(source, &[]).ok(), "invalid_argument true\n");
}

#[test]
fn the_last_value_is_the_json_result() {
    let ran = Host::new().script("print(\"aside\"); #{a: [1, 2.5], b: ()}", &["--json"]);
    assert_eq!(ran.stderr, "aside\n");
    let report: Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!(report, json!({"result": {"a": [1, 2.5], "b": null}}));
    let ran = Host::new().script("exit(7)", &["--json"]);
    assert_eq!(ran.code, Some(7), "{ran:#?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report, json!({"result": 7, "exit": 7}));
}

#[test]
fn runaway_scripts_are_stopped() {
    let host = Host::new();
    host.script("loop {}", &[]).fails_with(&["test.rhai:1:", "200000000 operations"]);
    host.script("loop { try { loop {} } catch {} }", &["--max-operations", "1000"]).fails_with(&["1000 operations"]);
    host.script("fn f() { f() } f()", &[]).fails_with(&["too many calls inside calls"]);
    host.script("let s = \"x\"; loop { s += s }", &[]).fails_with(&["test.rhai:1:", "too large"]);
    // not `m[key] = ...`: stopped while it indexes, Rhai does not say where
    let growing = "let m = #{}; let text = \"x\"; text.pad(2000, 'x');\nlet i = 0;\nloop { m.set(`key ${i}`, `${text}${i}`); i += 1; }";
    host.script(growing, &["--max-memory", "50"]).fails_with(&[
        "test.rhai:3:",
        "more than 50 MB of memory",
        "limits.memory_bytes",
    ]);
}

#[test]
fn scripts_reach_no_other_files_and_no_eval() {
    let host = Host::new();
    host.script("import \"/etc/other\" as o; print(o::X)", &[])
        .fails_with(&["test.rhai:1:", "cannot import \"/etc/other\""]);
    host.script("eval(\"1\")", &[]).fails_with(&["eval"]);
}

#[test]
fn sleeping_for_ever_is_refused_rather_than_a_panic() {
    Host::new().script("sleep(1e300)", &[]).fails_with(&["test.rhai:1:1", "cannot sleep"]);
}
