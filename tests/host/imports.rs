//! `import`: from the script's own folder and the library, errors with the module's own place, `check` follows.

use crate::util::Host;
use serde_json::Value;
use std::fs;

/// A host with modules beside the script and in a library.
fn host() -> Host {
    let host = Host::new();
    fs::create_dir_all(host.path("lib/deep")).unwrap();
    host.file("tools.rhai", "import \"deep/numbers\" as numbers;\nfn four() { 2 * numbers::two() }\nfn none(x) {\n  [1].map(|y| x / (y - 1))\n}\n");
    host.file("lib/deep/numbers.rhai", "export const NAME = \"numbers\";\nfn two() { 2 }\nfn bad() { throw \"no number\" }\nprivate fn secret() { 1 }\n");
    host.file("lib/wrong.rhai", "let x = ;");
    host.file("lib/throws.rhai", "let a = 1;\nlet b = a.frobnicate();");
    host
}

const LIBRARY: [&str; 2] = ["--library", "lib"];

#[test]
fn modules_come_from_the_own_folder_and_the_library() {
    let source = "import \"tools\" as tools; import \"deep/numbers\" as n; print(tools::four()); print(n::NAME); print(n::two() + 1)";
    assert_eq!(host().script(source, &LIBRARY).ok(), "4\nnumbers\n3\n");
    host().script("import \"deep/numbers\" as n;", &[]).fails_with(&[
        "test.rhai:1:",
        "no deep/numbers.rhai",
        "--library DIR",
    ]);
    let source = "import \"deep/numbers\" as n; n::secret()";
    host().script(source, &LIBRARY).fails_with(&["test.rhai:1:32", "there is no function `n::secret`"]);
}

#[test]
fn an_error_in_a_module_says_where_it_is() {
    let host = host();
    let ran = host.script("import \"deep/numbers\" as n;\n\nn::bad()", &LIBRARY);
    let ran = ran.fails_with(&["lib/deep/numbers.rhai:3:12", "no number"]);
    assert!(ran.stderr.contains("  3 | fn bad() { throw \"no number\" }\n    |            ^"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("in `n::bad`, called from line 3") || ran.stderr.contains("in `bad`, called from line 3"),
        "{}",
        ran.stderr
    );
    let ran = host.script("import \"tools\" as t;\nt::none(1)", &LIBRARY).fails_with(&["tools.rhai:4:17"]);
    assert!(ran.stderr.contains("  4 |   [1].map(|y| x / (y - 1))\n"), "{}", ran.stderr);
    let ran = host.script("\nimport \"wrong\" as w;", &LIBRARY).fails_with(&["lib/wrong.rhai:1:9"]);
    assert!(ran.stderr.contains("imported in line 2"), "{}", ran.stderr);
    host.script("import \"throws\" as t;", &LIBRARY).fails_with(&["lib/throws.rhai:2:11", "frobnicate"]);
}

#[test]
fn errors_in_closures_say_where_they_are() {
    let host = host();
    host.script("[1, 2].map(|x| {\n  x.sleep_well() })", &[]).fails_with(&["test.rhai:2:5", "sleep_well"]);
    host.script("let f = |x| {\n  read_json(x)\n};\n[\"gone\"].map(f)", &[]).fails_with(&["test.rhai:2:3", "gone"]);
    host.script("[1].filter(|x| [2].map(|y|\n viewer::ask(\"?\")).len() > 0)", &[])
        .fails_with(&["test.rhai:2:", "nobody answers"]);
}

#[test]
fn check_follows_imports() {
    let host = host();
    host.file("main.rhai", "import \"tools\" as tools;\nimport \"broken\" as b;\nimport \"gone\" as g;\ntools::for();\ntools::four(1);\ntools::fuor();\nnope::f();\narg(\"own\");\n".replace("tools::for();\n", ""));
    host.file("broken.rhai", "fn f() {\n  glbo(\"x\");\n  arg(\"theirs\", 1);\n}\n");
    let ran = host.run(&["check", "main.rhai", "--library", "lib", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let problems = report[0]["report"]["problems"].as_array().unwrap();
    let reply: Vec<String> = problems
        .iter()
        .map(|p| {
            format!(
                "{}:{}: {}",
                p["file"].as_str().unwrap_or("-").rsplit('/').next().unwrap(),
                p["line"],
                p["text"].as_str().unwrap()
            )
        })
        .collect();
    let expected = [
        ("-:3: ", "cannot import \"gone\""),
        ("-:4: ", "`tools::four()`"),
        ("-:5: ", "did you mean `four`?"),
        ("-:6: ", "unknown module `nope`"),
        ("broken.rhai:2: ", "did you mean `glob`?"),
    ];
    assert_eq!(reply.len(), expected.len(), "{reply:#?}");
    for (reply, (place, part)) in reply.iter().zip(expected) {
        assert!(reply.starts_with(place) && reply.contains(part), "{reply}, wanted {place}{part}");
    }
    let names: Vec<&str> =
        report[0]["report"]["arguments"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["own", "theirs"]);
}

#[test]
fn a_call_that_fits_nothing_is_explained() {
    let host = Host::new();
    let cases: [(&str, &[&str]); 12] = [
        ("opn_volume(\"x\")", &["there is no function `opn_volume`; did you mean `open_volume`?"]),
        (
            "open_volume()",
            &["`open_volume` does not take (): `path` is missing", "open_volume(path: String, [options: #{crop"],
        ),
        ("open_volume(\"a\", #{}, 3)", &["1 too many"]),
        ("write_json(\"a\")", &["`value` is missing"]),
        ("let x = 5; x.propagate()", &["`propagate`", "it belongs to a Session, not to a int"]),
        ("overlay(1)", &["`overlay` does not take (int)", "session.overlay(path: String)"]),
        ("sleep(\"long\")", &["sleep: seconds: expected a number, got the string \"long\""]),
        ("progress(\"a\", -1, 2)", &["progress: done: expected a whole number from 0 on, got -1"]),
        ("arg(3)", &["arg: key: expected a string, got 3"]),
        ("1 + #{}", &["`+` does not work on (int, Map)"]),
        (
            "let e = 1; try { read_json(\"gone\") } catch (x) { e = x } e.mesage",
            &["property of a Error `mesage`; did you mean `message`?"],
        ),
        ("nowhere::f(1)", &["unknown module `nowhere`"]),
    ];
    for (source, texts) in cases {
        host.script(source, &[]).fails_with(texts);
    }
}
