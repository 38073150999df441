//! Help, wrong usage, exit codes.

use crate::util::Host;
use std::io::Read;
use std::process::Stdio;

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_wrong() {
    let host = Host::new();
    let cases: [(&[&str], &str); 7] = [
        (&[], "Usage"),
        (&["fly"], "unrecognized subcommand 'fly'"),
        (&["info"], "<INPUT>"),
        (&["segment", "x", "--prompts", "p.json"], "--model"),
        (&["segment", "x", "--prompts", "p.json", "--model", "tiny", "--precision", "f8"], "possible values"),
        (&["run", "x.rhai", "--set", "novalue"], "expected KEY=VALUE"),
        (&["replay", "x", "s.json", "--model", "tiny"], "--logits"),
    ];
    for (arguments, text) in cases {
        let ran = host.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:#?}");
        assert!(ran.stderr.contains(text), "{arguments:?}: {ran:#?}");
    }
}

#[test]
fn help_is_complete() {
    let host = Host::new();
    let help = host.run(&["--help"]).ok();
    for command in [
        "info",
        "convert",
        "phantom",
        "vessels",
        "measure",
        "export-octa500",
        "segment",
        "predict",
        "replay",
        "run",
        "models",
        "export",
        "plugin",
    ] {
        assert!(help.contains(&format!("  {command} ")), "{command} is missing:\n{help}");
        assert!(host.run(&[command, "--help"]).ok().contains("Usage"));
    }
    let segment = host.run(&["segment", "--help"]).ok();
    for flag in [
        "--crop",
        "--model",
        "--model-config",
        "--device",
        "--precision",
        "--compat",
        "--prompts",
        "--out",
        "--logits",
        "--overlay",
        "--seg-property",
        "--seg-fractional",
        "--seg-deterministic",
    ] {
        assert!(segment.contains(flag), "{flag} is missing:\n{segment}");
    }
    assert!(!help.contains("run-check"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let host = Host::new();
    host.file("long.rhai", "for i in 0..20000 { print(i) }");
    let mut child = host.command(&["run", "long.rhai"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut beginning = [0; 10];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut beginning).unwrap();
    drop(stdout);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(&beginning, b"0\n1\n2\n3\n4\n");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}
