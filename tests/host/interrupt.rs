//! Ctrl-C, SIGTERM and SIGHUP: the first stops the work cleanly, whatever it does.

#![cfg(unix)]

use crate::util::{Host, Ran};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

fn send(signal: &str, child: &Child) {
    assert!(Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status().unwrap().success());
}

/// Starts a command, and waits for its line `ready`.
fn started(mut command: Command) -> Child {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "ready\n");
    child
}

/// Scripts that never end by themselves: waiting, asking, computing in native calls.
const ENDLESS: [&str; 3] = [
    "print(\"ready\"); loop { sleep(60) }",
    "print(\"ready\"); loop { try { progress(\"w\", 1, 2); sleep(0.01) } catch {} }",
    "print(\"ready\"); loop { phantom(#{size: 64, slices: 2}) }",
];

#[test]
fn a_signal_stops_a_script_with_exit_code_130() {
    for signal in crate::util::signals() {
        for source in ENDLESS {
            let host = Host::new();
            host.file("test.rhai", source);
            let child = started(host.command(&["run", "test.rhai"]));
            send(signal, &child);
            let ran = Ran::from(child.wait_with_output().unwrap());
            assert_eq!(ran.code, Some(130), "{signal}: {ran:#?}");
            assert!(ran.stderr.contains("error: cancelled"), "{signal}: {ran:#?}");
        }
    }
}

/// A terminal that closes may send it twice; `nohup` asks to go on.
#[test]
fn a_hang_up_comes_twice_or_is_passed_over() {
    if !crate::util::signals().contains(&"HUP") {
        return;
    }
    let host = Host::new();
    host.file("test.rhai", ENDLESS[0]);
    let child = started(host.command(&["run", "test.rhai"]));
    send("HUP", &child);
    send("HUP", &child);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert!(ran.code == Some(130) && ran.stderr.contains("error: cancelled"), "{ran:#?}");

    let own = host.command(&["run", "test.rhai"]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(own.get_program()).args(own.get_args());
    command.current_dir(host.path("")).stdin(Stdio::null());
    let child = started(command);
    send("HUP", &child);
    send("TERM", &child);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:#?}");
    assert_eq!(ran.stderr.matches("stopping").count(), 1, "SIGHUP was ignored: {ran:#?}");
}

#[test]
fn a_signal_ends_the_repl_and_ctrl_c_only_its_line() {
    for signal in crate::util::signals() {
        let then = if signal == "INT" { "print(\"and on\")\n" } else { "" };
        let host = Host::new();
        let mut command = host.command(&["repl"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "print(\"ready\"); loop {{ sleep(60) }}").unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(stdout.next().unwrap().unwrap(), "ready");
        send(signal, &child);
        stdin.write_all(then.as_bytes()).unwrap();
        if signal == "INT" {
            assert_eq!(stdout.next().unwrap().unwrap(), "and on");
            drop(stdin);
        }
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(if signal == "INT" { 1 } else { 130 }), "{signal}");
    }
}
