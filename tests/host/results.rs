//! What scripts read of results and errors: a property that does not exist is an error at run time and in `check`, errors of the language are like those
//! of the product, and a script says how the process ends.

use crate::scripts::{run, value};
use crate::util::Host;
use serde_json::{Value, json};

#[test]
fn unknown_properties_of_results_are_errors() {
    for (source, texts) in [
        (
            "let a = session.click(3, 60, 60);\nif a.iuo < 0.9 { }",
            &["test.rhai:4:6", "no property `iuo`", "did you mean `iou`"][..],
        ),
        ("session.click(3, 60, 60)[\"iuo\"]", &["did you mean `iou`"]),
        ("session.click(3, 60, 60);\nsession.propagate(|slice| slice.objcts)", &["did you mean `objects`"]),
        ("session.click(3, 60, 60);\nsession.propagate(|slice| slice.objects[0].aera)", &["did you mean `area`"]),
        ("session.click(3, 60, 60);\nsession.history().done[0].txt", &["did you mean `text`"]),
        ("volume.statistics().meen", &["did you mean `mean`", "properties: count, min, max, mean, std"]),
        ("models()[0].nam", &["did you mean `name`"]),
        ("session.features.encodet", &["did you mean `encoded`"]),
        ("let l = volume.threshold(60, 255); l.compare(l).dise", &["did you mean `dice`"]),
        ("volume.threshold(60, 255).propose(#{least: 1}).objects[0].prompts[0].fame", &["did you mean `frame`"]),
        ("phantom(#{size: 64, slices: 3}).report.options.sead", &["did you mean `seed`"]),
        ("let a = session.click(3, 60, 60); a.mine = 1; a.iuo", &["did you mean `iou`"]),
        ("volume.faces", &["no property of a Volume `faces`; did you mean `frames`"]),
        ("volume.frames = 3", &["`frames` of a Volume can be read, not changed"]),
    ] {
        run(&Host::new(), source).fails_with(texts);
    }
}

#[test]
fn what_a_result_may_have_and_what_a_script_makes_is_as_before() {
    let result = value(
        r#"let a = session.click(3, 60, 60);
        a.mine = 7; a["other"] = 8;
        let own = #{iou: a.iou};
        let counts = #{};
        for word in ["x", "y", "x"] { if counts[word] == () { counts[word] = 0; } counts[word] += 1; }
        let deep = #{a: #{}, list: [#{}]}; deep.a.b = 1; deep.list[0].c = 2; deep.list[0]["d"] = 3;
        fn change(m) { m.inside = 1; m }
        let inside = change(#{});
        let f = |m| { m[`k${1}`] = 2; m };
        let step = session.history().done[0];
        [a.mine, a.other, own.iuo, own.nothing, counts, deep, inside, f.call(#{}), "nothing" in own, step.box, step.mask, a.keys().len(),
         type_of(a)]"#,
    );
    let expected = json!([
        7, 8, null, null, {"x": 2, "y": 1}, {"a": {"b": 1}, "list": [{"c": 2, "d": 3}]}, {"inside": 1}, {"k1": 2}, false, null, null, 7, "map"
    ]);
    assert_eq!(result, expected);
}

/// The documented shapes are what the functions return.
#[test]
fn documented_shapes_are_true() {
    let reference: Value = serde_json::from_str(&Host::new().run(&["reference", "--json"]).ok()).unwrap();
    let functions: Vec<&Value> =
        reference.as_array().unwrap().iter().flat_map(|section| section["functions"].as_array().unwrap()).collect();
    let shape = |name: &str| {
        let found = functions.iter().find(|function| function["name"] == name && function["shape"].is_string());
        let text = found.unwrap_or_else(|| panic!("{name}"))["shape"].as_str().unwrap();
        let (mut depth, mut plain) = (0, String::new());
        for letter in text.trim_matches(['[', ']']).chars() {
            depth -= i32::from("}]".contains(letter));
            if depth == 1 {
                plain.push(letter);
            }
            depth += i32::from("{[".contains(letter));
        }
        let names = plain.split(',').map(|field| field.split(':').next().unwrap().trim().to_owned());
        let mut names: Vec<String> = names.filter(|name| !name.is_empty() && !name.ends_with('?')).collect();
        names.sort();
        names
    };
    let calls = [
        ("click", "session.click(3, 60, 60)"),
        ("prompts", "session.prompts(session.labels().propose(#{least: 1}))"),
        ("history", "session.history()"),
        ("features", "session.features"),
        ("statistics", "volume.statistics()"),
        ("models", "models()[0]"),
        ("compare", "session.labels().compare(session.labels())"),
        ("propose", "session.labels().propose(#{least: 1})"),
        ("review", "session.labels().review()[0]"),
        ("phantom", "phantom(#{size: 64, slices: 3})"),
        ("measure_octa", "session.labels().measure_octa(#{spacing: [0.01, 0.01, 0.002]})"),
        ("correction", "session.labels().correction(volume.threshold(120, 255), 3, 1)"),
    ];
    let source: String = calls.iter().map(|(_, call)| format!("keys.push(({call}).keys());\n")).collect();
    let found = value(&format!("let keys = []; session.click(3, 60, 60);\n{source} keys"));
    for ((name, call), keys) in calls.iter().zip(found.as_array().unwrap()) {
        let mut keys: Vec<String> =
            keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        keys.sort();
        assert_eq!(keys, shape(name), "{call}");
    }
    let parts = value(
        "session.click(3, 60, 60); let l = session.labels(); let r = l.measure_octa(#{spacing: [0.01, 0.01, 0.002], faz: l});
         [r.projected.keys(), r.projected.faz.keys(), r.projected.regions[0].keys()]",
    );
    let documented =
        functions.iter().find(|function| function["name"] == "measure_octa").unwrap()["shape"].as_str().unwrap();
    for key in parts.as_array().unwrap().iter().flat_map(|keys| keys.as_array().unwrap()) {
        assert!(documented.contains(key.as_str().unwrap()), "{key} is not in {documented}");
    }
}

#[test]
fn check_finds_them_too() {
    let host = Host::new();
    let source = "let volume = open_volume(arg(\"input\")); let session = new_session(volume, load_model(\"nano\"));
let a = session.click(1, 2, 3);
if a.iuo < 0.9 { print(volume.fames) }
session.propagate(|slice| print(slice.objects.map(|o| o.aera)));
for look in session.labels().review() { print(look.expected_eror) }
let own = #{}; own.x = 1; print(own.y); a.mine = 1; print(a.mine);";
    host.file("bad.rhai", source);
    let ran = host.run(&["check", "bad.rhai"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let wanted = ["bad.rhai:3:6: ", "bad.rhai:3:31: ", "bad.rhai:4:57: ", "bad.rhai:5:52: "];
    assert_eq!(lines.len(), 4, "{ran:#?}");
    for ((line, start), nearest) in lines.iter().zip(wanted).zip(["iou", "frames", "area", "expected_error"]) {
        assert!(line.starts_with(start) && line.contains(&format!("did you mean `{nearest}`")), "{line}");
    }
    assert_eq!(ran.code, Some(1));
}

#[test]
fn errors_of_the_language_have_code_and_message() {
    let tries = [
        ("[1][7]", "out_of_bounds", "Array index 7 out of bounds"),
        ("let z = 0; 1 / z", "arithmetic", "Division by zero"),
        ("nope + volume", "unknown_variable", "nope"),
        ("fo(1)", "unknown_function", "there is no function `fo`"),
        ("session.clik(1, 2, 3)", "unknown_function", "did you mean `click`"),
        ("volume.fames", "unknown_property", "did you mean `frames`"),
        ("session.click(1, 2, 3).iuo", "unknown_property", "did you mean `iou`"),
        ("let q = 5; for x in q { }", "wrong_type", "iterable"),
        ("m::f()", "unknown_module", "there is no `import` with this name"),
        ("read_json(\"gone\")", "not_found", "gone"),
    ];
    let source: String = tries
        .iter()
        .map(|(body, ..)| {
            format!(
                "try {{ {body} }} catch (e) {{ told.push([e.code, e.message, `${{e}}` == e.message, type_of(e)]); }}\n"
            )
        })
        .collect();
    let reply = value(&format!("let told = [];\n{source} told"));
    assert_eq!(reply.as_array().unwrap().len(), tries.len(), "{reply}");
    for ((body, code, message), reply) in tries.iter().zip(reply.as_array().unwrap()) {
        assert_eq!(reply[0], *code, "{body}: {reply}");
        assert!(
            reply[1].as_str().unwrap().contains(message) && reply[2] == true && reply[3] == "Error",
            "{body}: {reply}"
        );
    }
    let inside = value(
        "fn f() { let z = 0; 1 / z } let told = (); try { f() } catch (e) { let g = || e.code; told = [e.message, g.call()]; } told",
    );
    assert_eq!(inside, json!(["Division by zero: 1 / 0", "arithmetic"]));
    run(&Host::new(), "try { let z = 0; 1 / z } catch { throw }").fails_with(&["Division by zero"]);
}

#[test]
fn places_in_errors_are_those_of_the_script() {
    let host = Host::new();
    host.script("let m = #{}; m.a = 1; m[\"b\"] = nope + m;", &[]).fails_with(&["test.rhai:1:32: ", "nope"]);
    host.file("module.rhai", "fn f() { let m = #{}; m.a = 1; m[\"x\" + 1] = 2; throw \"no\" }");
    host.script("import \"module\" as m; m::f()", &[]).fails_with(&["module.rhai:1:48: no"]);
    let ran = host.script("fn f(m) { m.a = 1; m.b.c.d }\nf(#{})", &[]).fails_with(&["test.rhai:1:24: "]);
    assert!(ran.stderr.contains("m.a = 1; m.b.c.d"), "the script as it is written: {ran:#?}");
}

#[test]
fn a_script_ends_the_process_with_its_code() {
    let host = Host::new();
    for (source, code) in [
        ("exit(3)", 3),
        ("fn f() { try { exit(4) } catch { } } f()", 4),
        ("exit()", 0),
        ("[1].map(|x| exit(5))", 5),
        ("try { [1].map(|x| exit(6)) } catch { }", 6),
        ("3", 0),
    ] {
        let ran = host.script(&format!("print(\"begun\"); {source}; print(\"not here\")"), &[]);
        assert_eq!(ran.code, Some(code), "{source}: {ran:#?}");
        assert_eq!(ran.stdout.contains("not here"), source == "3", "{ran:#?}");
    }
    let report: Value = serde_json::from_str(&host.script("exit(7)", &["--json"]).stdout).unwrap();
    assert_eq!(report, json!({"result": 7, "exit": 7}));
    host.script("exit(256)", &[]).fails_with(&["exit: code: expected 0 to 255, got 256"]);
}

#[test]
fn quiet_is_quiet() {
    let host = Host::new();
    let ran = host.script("print(1); debug(2); warn(3); progress(\"x\", 1, 2);", &["--quiet"]);
    assert!(ran.code == Some(0) && ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:#?}");
    let quiet = host.run(&["phantom", "--out", "p.npy", "--size", "64", "--slices", "2", "-q"]);
    assert!(quiet.code == Some(0) && quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet:#?}");
    assert!(host.run(&["info", "p.npy", "-q"]).ok().contains("64"), "what was asked for is said");
    assert!(host.run(&["convert", "p.npy", "p.nii", "-q"]).ok().is_empty());
    host.script("throw \"no\"", &["--quiet"]).fails_with(&["no"]);
}

/// Lists, maps and texts that grow step by step; that looks at them take a share of the time only is tested beside them.
#[test]
fn long_lists_may_be_pushed_together() {
    let source = "let a = []; for i in 0..80000 { a.push(`text ${i}`) }
        let m = #{}; for i in 0..20000 { m[`k${i}`] = i }
        let r = #{items: []}; for i in 0..20000 { r.items.push([i, i]) }
        let s = \"\"; for i in 0..80000 { s += \"ab\" }
        print([a.len(), m.len(), r.items.len(), s.len()])";
    assert_eq!(Host::new().script(source, &[]).ok(), "[80000, 20000, 20000, 160000]\n");
}
