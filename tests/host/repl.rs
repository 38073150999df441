//! `repl` through a pipe, and the viewer's functions of the demo host.

use crate::util::{Host, Ran};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn repl(host: &Host, lines: &str, arguments: &[&str]) -> Ran {
    let mut command = host.command(&[&["repl"], arguments].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

fn volume() -> String {
    root().join("tests/data/demo/volume.nii.gz").display().to_string()
}

#[test]
fn lines_share_variables_functions_and_imports() {
    let host = Host::new();
    host.file("lib.rhai", "fn two() { 2 }");
    let lines = "let n = 20;\nfn f(x) {\n  x + 1\n}\nf(n)\nlet f2 = |x| x * n;\nf2.call(3)\nn += 5;\nn\nimport \"lib\" as lib;\nlib::two()\n\"text\"\n[1, \"a\"]\n";
    assert_eq!(repl(&host, lines, &["--library", "."]).ok(), "21\n60\n25\n2\n\"text\"\n[1, \"a\"]\n");
}

#[test]
fn an_error_shows_its_place_and_the_next_line_works() {
    let ran =
        repl(&Host::new(), "let a = 1;\na.frobnicate()\nfn bad(x) {\n  x / 0\n}\nbad(a)\na + 1\nlet b = ;\n(1 +", &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "2\n"), "{ran:#?}");
    assert!(ran.stderr.contains("error: [2]:1:3: there is no function `frobnicate`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("  1 | a.frobnicate()\n    |   ^\n"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("error: [3]:2:5: ") && ran.stderr.contains("  2 |   x / 0\n"),
        "an older line: {}",
        ran.stderr
    );
    assert_eq!(ran.stderr.matches("error: ").count(), 4, "{}", ran.stderr);
}

#[test]
fn help_and_variables() {
    let reply = repl(
        &Host::new(),
        "let b = 1; let a = 2;\n:vars\n:help click\n:help viewer::show\n:help nonesuch\n:quit\nprint(1)\n",
        &[],
    )
    .ok();
    assert!(reply.starts_with("a\nb\nsession.click(frame, x, y, [options]) -> Map\n"), "{reply}");
    assert!(
        reply.contains("Example: session.click(")
            && reply.contains("viewer::show: Shows")
            && reply.contains("no function `nonesuch`"),
        "{reply}"
    );
    assert!(!reply.ends_with("1\n"), "{reply}");
    assert!(repl(&Host::new(), ":help\n", &[]).ok().contains("open_volume(path, [options])"));
    repl(&Host::new(), ":frob\n", &[]).fails_with(&[":help"]);
}

#[test]
fn volumes_and_labels_are_shown_as_pictures() {
    let host = Host::new();
    let lines = "let v = viewer::volume();\nv\nv.threshold(90, 255)\nfor slice in v { if slice.frames != 1 { throw slice } }\nviewer::refresh()\n";
    let reply = repl(&host, lines, &["--volume", &volume(), "--pictures", "seen"]).ok();
    let expected = "Volume(nifti, 12 x 256 x 256, uint8)\nseen/001.png\nLabels(12 x 256 x 256, objects [1])\nseen/002.png\nseen/003.png\n";
    assert_eq!(reply, expected);
    let picture = |name: &str| image::open(host.path(name)).unwrap().to_rgb8();
    let (plain, labelled) = (picture("seen/001.png"), picture("seen/002.png"));
    assert_eq!(plain.dimensions(), (256, 256));
    assert!(plain.pixels().all(|pixel| pixel[0] == pixel[1]) && plain.pixels().any(|pixel| pixel[0] > 200), "grey");
    assert!(labelled.pixels().any(|pixel| pixel[0] > pixel[1] + 40), "red over grey");
    assert_eq!(picture("seen/003.png"), labelled);
}

#[test]
fn a_stopped_line_leaves_the_rest() {
    let ran = repl(&Host::new(), "let a = 1;\nloop {}\na\n", &["--max-seconds", "0.3"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "1\n"), "{ran:#?}");
    assert!(ran.stderr.contains("limits.seconds"), "{}", ran.stderr);
}

#[test]
fn roots_and_arguments_hold_for_every_line() {
    let host = Host::new();
    let ran = repl(&host, "read_json(\"/etc/hostname\")\narg(\"n\", 1) + 1\n", &["--set", "n=4"]);
    assert_eq!(ran.stdout, "5\n");
    assert!(ran.stderr.contains("scripts may not read here"), "{}", ran.stderr);
}

#[test]
fn a_script_may_ask() {
    let host = Host::new();
    let source = "print(viewer::ask(\"a?\", 5)); print(viewer::ask(\"b?\", \"x\"))";
    assert_eq!(host.script(source, &["--answer", "yes"]).ok(), "yes\nx\n");
    host.script("viewer::ask(\"who?\")", &[]).fails_with(&[
        "test.rhai:1:9",
        "nobody answers \"who?\"",
        "--answer TEXT",
    ]);
    host.script("viewer::volume()", &[]).fails_with(&["test.rhai:1:9", "--volume FILE"]);
    host.script("viewer::show(3)", &[]).fails_with(&["test.rhai:1:9", "only volumes and labels"]);
    host.script("viewer::shwo(3)", &[]).fails_with(&["test.rhai:1:9", "viewer::shwo"]);
}

/// Ctrl-C at a running line: the line ends, the next one is read.
#[cfg(unix)]
#[test]
fn ctrl_c_stops_the_line_and_not_the_repl() {
    use std::io::{BufRead, BufReader};
    use std::process::Command;
    let host = Host::new();
    let mut child =
        host.command(&["repl"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut received = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    for round in 0..2 {
        writeln!(input, "print(\"ready\"); loop {{ sleep(1) }}").unwrap();
        assert_eq!(received(), "ready\n");
        assert!(Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap().success());
        writeln!(input, "{round} + 1").unwrap();
        assert_eq!(received(), format!("{}\n", round + 1));
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(1), "two lines were stopped");
}
