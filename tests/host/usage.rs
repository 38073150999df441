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
        "serve",
        "view",
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

#[test]
fn values_may_begin_with_a_minus() {
    let host = Host::new();
    let segment = ["segment", "gone.nii", "--prompts", "p.json", "--model", "tiny", "--out", "o.nii.gz"];
    let measure = ["measure", "gone.nii"];
    let cases: [(&[&str], &[&str]); 7] = [
        (&segment, &["--window", "-5000,-4700"]),
        (&segment, &["--crop", "-5,0,10,10"]),
        (&segment, &["--spacing", "-1,1,1"]),
        (&segment, &["--seg-description", "-left-"]),
        (&measure, &["--centre", "-5,3.5"]),
        (&measure, &["--diameters", "-1,3"]),
        (&["phantom", "--out", "o.nii.gz"], &["--noise", "-1"]),
    ];
    for (command, option) in cases {
        let ran = host.run(&[command, option].concat());
        assert_eq!(ran.code, Some(1), "{option:?} is no wrong usage: {ran:#?}");
    }
    let seed = host.run(&["phantom", "--out", "o.nii.gz", "--seed", "-1"]);
    assert!(seed.code == Some(2) && seed.stderr.contains("invalid value '-1' for '--seed"), "{seed:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_no_success() {
    let host = Host::new();
    host.file("loop.rhai", "for i in 0..3000 { print(i) }\nwrite_json(\"done.json\", 1)");
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for arguments in [&["run", "loop.rhai"][..], &["reference", "--json"], &["models"]] {
        let ran = host.command(arguments).stdout(full()).stderr(Stdio::piped()).output().unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}: {errors}");
        assert_eq!(errors.matches("No space left").count(), 1, "{arguments:?}: {errors}");
    }
    assert!(host.path("done.json").is_file(), "the work itself goes on");
}
