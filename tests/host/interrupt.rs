//! Ctrl-C: the first stops the work cleanly, whatever it does.

#![cfg(unix)]

use crate::util::{Host, Ran};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn interrupted(source: &str) -> Ran {
    let host = Host::new();
    host.file("test.rhai", source);
    let mut child = host.command(&["run", "test.rhai"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "ready\n");
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap().success());
    let ran = Ran::from(child.wait_with_output().unwrap());
    ran
}

#[test]
fn ctrl_c_stops_a_script_with_exit_code_130() {
    for source in [
        "print(\"ready\"); sleep(600)",
        "print(\"ready\"); loop { try { progress(\"w\", 1, 2); sleep(0.01) } catch {} }",
    ] {
        let ran = interrupted(source);
        assert_eq!(ran.code, Some(130), "{ran:#?}");
        assert!(ran.stderr.contains("error: cancelled"), "{ran:#?}");
    }
}
