//! A viewer of interface 1.0.0 with today's plugin. (Today's checks with a plugin of that time: `tests/host/compat.rs`.)

#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

#[test]
fn an_old_viewer_uses_the_new_plugin() {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let name = format!("{}sam_octa2{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let output = Command::new(env!("CARGO_BIN_EXE_host-abi-1-0")).arg(folder.join(name)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for line in ["interface 1.0.0", "tasks [\"info\"", "echo 網膜", "panic panic", "missing not_found", "unknown false"]
    {
        assert!(text.lines().any(|said| said.starts_with(line)), "no `{line}` in {text}");
    }
}
