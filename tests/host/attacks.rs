//! Scripts that try to hang, fill or break the host: each ends soon with one error that says which limit, or does no harm.

use crate::util::Host;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// More time than any trick needs; one that hangs fails on it rather than for ever.
const LONG: [&str; 2] = ["--max-seconds", "100"];

/// The script, more arguments, texts of its error.
type Trick = (&'static str, &'static [&'static str], &'static [&'static str]);

#[test]
fn what_takes_too_much_is_stopped_by_a_limit_that_it_names() {
    let tricks: &[Trick] = &[
        ("loop {}", &["--max-operations", "100000"], &["100000 operations", "limits.operations", "--max-operations N"]),
        ("loop { try { loop {} } catch {} }", &["--max-operations", "1000"], &["1000 operations"]),
        ("loop {}", &["--max-seconds", "0.2"], &["after 0.2 seconds", "limits.seconds", "--max-seconds S"]),
        ("loop { try { sleep(10) } catch {} }", &["--max-seconds", "0.2"], &["limits.seconds"]),
        ("for i in 0..9223372036854775807 { let x = i }", &["--max-operations", "100000"], &["limits.operations"]),
        (
            "let n = 0; while true { n += 1; if n < 0 { break; } }",
            &["--max-operations", "5000"],
            &["limits.operations"],
        ),
        ("fn f() { f() } f()", &[], &["too many calls inside calls", "limits.call_depth", "--limit call_depth=N"]),
        ("let f = |g| g.call(g); f.call(f)", &[], &["too many calls inside calls"]),
        ("fn f(a) { a.map(|x| f([x])) } f([1])", &[], &["limits."]),
        ("fn f() { f() } f()", &["--limit", "call_depth=100000000"], &["kB of the stack", "limits.stack_bytes"]),
        ("let s = \"x\"; loop { s += s }", &[], &["a string is too large", "limits.string_bytes"]),
        ("let s = \"\"; s.pad(9223372036854775807, \"x\")", &[], &["limits.string_bytes"]),
        ("let s = \"\"; s.pad(1000000, \"x\"); let t = s; s.replace(\"x\", t)", &[], &["limits.string_bytes"]),
        ("let s = \"\"; s.pad(1000000, \"x\"); let t = s; s.replace('x', t)", &[], &["limits.string_bytes"]),
        ("let a = [0]; loop { a += a }", &[], &["an array is too large", "limits.array_elements"]),
        ("let a = []; a.pad(9223372036854775807, 0)", &[], &["limits.array_elements"]),
        ("let a = []; loop { a = [a, a] }", &[], &["limits.array_elements"]),
        ("let a = []; loop { a = [a] }", &[], &["too many lists or maps inside one another", "limits.nesting"]),
        ("let m = #{}; loop { m = #{x: m} }", &[], &["limits.nesting"]),
        ("let f = |x| x; loop { f = f.curry(f) }", &[], &["limits.nesting"]),
        ("let a = []; a.pad(50, 0); loop { a[25] = [a[25]] }", &[], &["limits.nesting"]),
        ("let a = []; loop { try { a = [a] } catch {} }", &[], &["limits.nesting"]),
        ("let b = blob(9223372036854775807)", &[], &["limits.array_elements"]),
        ("let m = #{}; let i = 0; loop { m[`key ${i}`] = 1; i += 1 }", &["--max-memory", "40"], &["limits."]),
        ("let m = #{}; loop { m = #{a: m, b: m} }", &[], &["limits.map_entries"]),
        (
            "let m = #{}; for i in 0..300 { let b = \"\"; b.pad(1000000, \"x\"); m[`key ${i}`] = b + i }",
            &["--max-memory", "40"],
            &["more than 40 MB of memory", "limits.memory_bytes", "--max-memory MB"],
        ),
        ("loop { print(\"flood\") }", &["--limit", "output_bytes=10000"], &["limits.output_bytes"]),
        ("loop { debug(\"flood\"); warn(\"flood\") }", &["--limit", "output_bytes=10000"], &["limits.output_bytes"]),
        ("loop { write_json(\"a.json\", \"0123456789\") }", &["--limit", "files=5"], &["more than 5 files"]),
        (
            "let s = \"\"; s.pad(300000, \"x\"); for i in 0..99 { write_json(`${i}.json`, s) }",
            &["--max-disk", "1"],
            &["more than 1 MB", "limits.disk_bytes", "--max-disk MB"],
        ),
    ];
    for (source, arguments, texts) in tricks {
        let host = Host::new();
        host.file("module.rhai", "export const X = 1;");
        let arguments = [*arguments, if arguments.contains(&"--max-seconds") { &[] } else { &LONG }].concat();
        let ran = host.script(source, &arguments);
        let line = ran.stderr.lines().filter(|line| !line.contains("flood")).collect::<Vec<_>>().join("\n");
        assert_eq!(ran.code, Some(1), "{source}: {line}");
        for text in *texts {
            assert!(line.contains(text), "{source}: no `{text}` in {line}");
        }
    }
}

#[test]
fn what_was_written_stays_within_the_limit() {
    let host = Host::new();
    let source = "let s = \"\"; s.pad(300000, \"x\"); for i in 0..99 { write_json(`${i}.json`, s) }";
    host.script(source, &["--max-disk", "1"]).fails_with(&["more than 1 MB"]);
    let files: Vec<_> = fs::read_dir(host.path("")).unwrap().map(|entry| entry.unwrap()).collect();
    let written = files.iter().filter(|file| file.path().extension().is_some_and(|ending| ending == "json"));
    assert_eq!(written.count(), 3, "{files:?}");
    let hidden = files.iter().filter(|file| file.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0, "{files:?}");
}

#[test]
fn what_leads_outside_is_refused() {
    let host = Host::new();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("outside.rhai"), "export const X = 1;").unwrap();
    fs::write(other.path().join("outside.json"), "[1]").unwrap();
    let link = |name: &str, to: PathBuf| std::os::unix::fs::symlink(to, host.path(name)).unwrap();
    link("link.rhai", other.path().join("outside.rhai"));
    link("link.json", other.path().join("outside.json"));
    link("folder", other.path().to_path_buf());
    link("circle", host.path(""));
    host.file("one.rhai", "import \"two\" as two;");
    host.file("two.rhai", "import \"one\" as one;");
    host.file("self.rhai", "import \"self\" as me;");
    assert!(std::process::Command::new("mkfifo").arg(host.path("pipe.json")).status().unwrap().success());
    let outside = other.path().join("outside").display().to_string();
    let tricks: &[(String, &[&str])] = &[
        ("read_json(\"link.json\")".into(), &["scripts may not read here"]),
        ("read_json(\"folder/outside.json\")".into(), &["scripts may not read here"]),
        ("write_json(\"folder/new.json\", 1)".into(), &["scripts may not write here"]),
        ("read_json(\"../../../../../../etc/hostname\")".into(), &["scripts may not read here"]),
        (format!("read_json(\"{outside}.json\")"), &["scripts may not read here", "--allow DIR"]),
        ("read_json(\"a\\x00b\")".into(), &["zero in its name"]),
        ("read_json(\"/dev/zero\")".into(), &["scripts may not read here"]),
        ("read_json(\"/proc/self/mem\")".into(), &["scripts may not read here"]),
        ("read_json(\"pipe.json\")".into(), &["no plain file"]),
        ("read_csv(\"pipe.json\")".into(), &["no plain file"]),
        ("open_labels(\"pipe.json\")".into(), &["no plain file"]),
        ("write_json(\"pipe.json\", 1)".into(), &["no plain file"]),
        ("write_json(\"test.rhai\", 1)".into(), &["may not write over itself"]),
        ("import \"module\" as m; write_json(\"module.rhai\", 1)".into(), &["may not write over itself"]),
        ("import \"link\" as m;".into(), &["cannot import \"link\"", "a link leads out"]),
        (format!("import \"{outside}\" as m;"), &["cannot import", "below the script's own folder"]),
        ("import \"../other\" as m;".into(), &["cannot import \"../other\"", "below the script's own folder"]),
        ("import \"gone\" as m;".into(), &["cannot import \"gone\": there is no gone.rhai in", "--library DIR"]),
        ("import \"\" as m;".into(), &["cannot import"]),
        ("import \"one\" as m;".into(), &["two.rhai:1:", "in a circle: one imports two imports one"]),
        ("import \"self\" as m;".into(), &["in a circle: self imports self"]),
        ("eval(\"1\")".into(), &["eval"]),
    ];
    host.file("module.rhai", "export const X = 1;");
    for (source, texts) in tricks {
        host.script(source, &LONG).fails_with(texts);
    }
    let found = host.script("print(glob(\"**/**/**/*\").len()); print(glob(\"**/**/*.json\"))", &LONG).ok();
    assert!(found.ends_with("[]\n"), "neither through links nor a pipe: {found}");
}

#[test]
fn without_roots_devices_are_refused_too() {
    let host = Host::new();
    for path in ["/dev/zero", "/proc/self/mem", "/sys/kernel", "/dev/../proc/self/environ"] {
        host.script(&format!("read_json(\"{path}\")"), &["--allow", "/"]).fails_with(&["no plain file"]);
    }
}

#[test]
fn an_input_is_never_written_over() {
    let host = Host::new();
    let labels = "let v = open_volume(\"v.npy\"); let l = v.threshold(1, 2);";
    host.file("v.npy", npy());
    host.script(&format!("{labels} l.save(\"v.npy\")"), &[]).fails_with(&["overwrite the input"]);
    host.script(&format!("{labels} v.save(\"v.npy\")"), &[]).fails_with(&["overwrite the input"]);
    host.script(&format!("{labels} write_json(\"./v.npy\", 1)"), &[]).fails_with(&["overwrite the input"]);
    assert_eq!(fs::read(host.path("v.npy")).unwrap(), npy());
    // what a script wrote itself, it may write again
    let again =
        "l.save(\"l.npy\"); open_labels(\"l.npy\"); l.save(\"l.npy\"); write_json(\"j\", 1); write_json(\"j\", 2)";
    host.script(&format!("{labels} {again}"), &[]).ok();
}

/// Two slices of 4 x 4 bytes.
fn npy() -> Vec<u8> {
    let head = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4, 4), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((118u16).to_le_bytes());
    bytes.extend(format!("{head:<117}\n").bytes());
    bytes.extend((0..32).map(|n| n % 5));
    bytes
}

#[test]
fn bombs_in_files_are_refused() {
    let host = Host::new();
    host.file("deep.json", "[".repeat(100_000));
    host.file("wide.json", format!("[0{}]", ",0".repeat(3_000_000)));
    host.file("long.json", format!("\"{}\"", "x".repeat(20_000_000)));
    host.file("wide.csv", format!("a{}\n{}", ",a".repeat(2000), format!("1{}\n", ",1".repeat(2000)).repeat(500)));
    host.file("bad.csv", [0xff, 0xfe, 0, b'\n', 0xff]);
    let tricks: &[(&str, &[&str])] = &[
        ("read_json(\"deep.json\")", &["deep.json", "recursion"]),
        ("read_json(\"wide.json\")", &["limits.array_elements"]),
        ("read_json(\"long.json\")", &["limits.string_bytes"]),
        ("read_csv(\"wide.csv\")", &["limits."]),
        ("read_csv(\"bad.csv\")", &["bad.csv"]),
        (
            "parse_json(\"[\" + \"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\")",
            &["test.rhai"],
        ),
    ];
    for (source, texts) in tricks {
        host.script(source, &LONG).fails_with(texts);
    }
}

#[test]
fn own_functions_with_native_names_change_nothing_else() {
    let host = Host::new();
    let source = "fn exists(path) { \"mine\" }\nfn check_read(path) { true }\nfn sleep(seconds) { print(`no ${seconds}`) }\n\
        print(exists(\"x\")); sleep(100); try { glob(\"/etc/*\") } catch (e) { print(e.code) } read_json(\"/etc/hostname\")";
    let ran = host.script(source, &LONG).fails_with(&["scripts may not read here"]);
    assert_eq!(ran.stdout, "mine\nno 100\nrefused\n");
}

/// Every registered function with odd values in every place: an answer or an error, never a panic, a hang or an end of the process.
#[test]
fn odd_arguments_break_no_function() {
    let host = Host::new();
    host.file("v.npy", npy());
    let reference: Value = serde_json::from_str(&host.run(&["reference", "--json"]).ok()).unwrap();
    let functions: Vec<&Value> =
        reference.as_array().unwrap().iter().flat_map(|section| section["functions"].as_array().unwrap()).collect();
    let data = root().join("tests/data");
    let set = |key: &str, path: &str| format!("{key}={}", data.join(path).display());
    let (model, config) = (set("model", "parity/mini21.pt"), set("config", "parity/mini21.yaml"));
    let mut source = ODD.to_owned();
    for function in functions.iter().filter(|function| !["sleep", "exit"].contains(&function["name"].as_str().unwrap()))
    {
        source.push_str(&odd_calls(function));
    }
    source.push_str("print(`${tried} calls, ${refused} refused`);");
    let ran = host.script(&source, &["--set", &model, "--set", &config, "--max-seconds", "500"]);
    let end = ran.stdout.lines().last().unwrap_or_default().to_owned();
    assert_eq!(ran.code, Some(0), "after `{end}`: {}", ran.stderr);
    let numbers: Vec<usize> = end.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[0] > 2000 && numbers[1] > 1000 && numbers[1] < numbers[0], "{end}");
}

/// What every odd call starts from.
const ODD: &str = "
let tried = 0; let refused = 0;
let mini = load_model(arg(\"model\"), #{config: arg(\"config\")});
let v = open_volume(\"v.npy\"); let l = v.threshold(1, 2); let s = new_session(v, mini); s.click(0, 1, 1);
let caught = (); try { read_json(\"gone\") } catch (e) { caught = e; }
let zero = 0.0;
let odd = [(), true, 0, 1, -1, 9223372036854775807, -9223372036854775807 - 1, 65536, 4294967296, 0.0/zero, 1.0/zero, -1.0/zero, -0.0, 1e300,
    1e-300, \"\", \"x\", \"../..\", \"/\", \"a\\x00b\", \"x.nii.gz\", \"x.dcm\", \"x.gif\", \"*\", \"网膜\", '\\n', [], [()], [[]], [-1, 1e300, \"x\", ()],
    [9223372036854775807], #{}, #{frame: -1, object: \"x\"}, #{range: -5..-9, how: 1}, 0..0, 5..2, -3..=9223372036854775807,
    0..9223372036854775807, |x| x, Fn(\"gone\"), timer(), caught, mini, v, l, s, blob(3, 255)];
";

/// Calls of one function: one odd value at a time among plain ones, and odd values everywhere.
fn odd_calls(function: &Value) -> String {
    let name = function["name"].as_str().unwrap();
    let parameters: Vec<&str> =
        function["parameters"].as_array().unwrap().iter().map(|p| p["type"].as_str().unwrap()).collect();
    let plain = |kind: &str| match kind {
        "Volume" => "v",
        "Model" => "mini",
        "Session" => "s",
        "Labels" => "l",
        "Mask" => "s.mask_of(0, 1)",
        "Error" => "caught",
        "Timer" => "timer()",
        "int" => "1",
        "float" => "1.5",
        "bool" => "true",
        "String" => "\"out.json\"",
        "Array" => "[1]",
        "Map" => "#{}",
        "FnPtr" => "|x| x",
        _ => "0..1",
    };
    let mut calls = format!("print(\"{name}\");\n");
    let mut add = |arguments: &[&str]| {
        let call = match function["property"] == true {
            true => format!("{}.{name}", arguments[0]),
            false => format!("{name}({})", arguments.join(", ")),
        };
        calls.push_str(&format!("for x in odd {{ tried += 1; try {{ {call}; }} catch {{ refused += 1; }} }}\n"));
    };
    for count in 0..=parameters.len() {
        for at in 0..count {
            let arguments: Vec<&str> = (0..count).map(|i| if i == at { "x" } else { plain(parameters[i]) }).collect();
            add(&arguments);
        }
        if count > 0 && function["property"] != true {
            add(&vec!["x"; count]);
        }
    }
    calls
}
