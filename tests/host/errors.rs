//! Errors of tasks reach the terminal as one line.

use crate::util::Host;

#[test]
fn a_missing_script_is_named() {
    Host::new().run(&["run", "gone.rhai"]).fails_with(&["gone.rhai: No such file"]);
}

#[test]
fn a_script_that_is_not_text_is_named() {
    let host = Host::new();
    host.file("bytes.rhai", b"\xff\xfe\x00");
    host.run(&["run", "bytes.rhai"]).fails_with(&["bytes.rhai", "UTF-8"]);
}

#[test]
fn quiet_keeps_errors() {
    let ran = Host::new().script("debug(1); throw \"no\"", &["--quiet"]).fails_with(&["test.rhai:1:11: no"]);
    assert!(ran.stderr.starts_with("error: "), "{ran:#?}");
}
