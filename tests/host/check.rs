//! `plugin check`.

use crate::util::{Host, Ran, built_plugin};
use serde_json::Value;

#[test]
fn our_plugin_passes_every_check() {
    let host = Host::new();
    let text = host.run(&["plugin", "check"]).ok();
    assert!(text.contains("0 failed, 0 skipped"), "{text}");
    assert!(!text.contains('✗'), "{text}");
    let report: Value = serde_json::from_str(&host.run(&["plugin", "check", "--json"]).ok()).unwrap();
    assert_eq!(report["passed"], true);
    let names: Vec<&str> =
        report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in ["file", "load", "manifest", "task-layout", "panic", "unknown-id", "garbage", "cancel", "cancel-script"]
    {
        assert!(names.contains(&name), "{name} is missing from {names:?}");
    }
}

#[test]
fn a_file_that_is_no_plugin_fails_the_first_check_only() {
    let host = Host::without_plugin();
    host.file("text.so", "not a library");
    let ran = host.run(&["plugin", "check", "text.so", "--json"]);
    assert_eq!(ran.code, Some(1));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["passed"], false);
    assert_eq!(report["checks"][0]["status"], "failed");
    assert!(report["checks"].as_array().unwrap()[1..].iter().all(|check| check["status"] == "skipped"));
}

/// A plugin that dies while it is opened must not take the checker with it.
#[test]
#[cfg(target_os = "linux")]
fn a_library_that_crashes_the_process_is_a_failed_check() {
    let host = Host::without_plugin();
    let mut library = std::fs::read(built_plugin()).unwrap();
    // the file keeps its length and headers; everything behind them is noise, so that the loader stumbles
    let start = 4096.min(library.len());
    library[start..].fill(0xee);
    let end = library.len();
    library[end - 64..].fill(0xee);
    host.file("noise.so", &library);
    let ran = Ran::from(host.command(&["plugin", "check", "noise.so"]).output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.stdout.contains("crashed (signal"), "{ran:#?}");
}

#[test]
fn a_panic_of_the_plugin_stays_inside_and_quiet() {
    let host = Host::new();
    let plugin = built_plugin();
    let ran = host.run(&["plugin", "run-check", plugin.to_str().unwrap(), "panic"]);
    assert!(!ran.stderr.contains("panicked at"), "{ran:#?}");
    ran.ok();
}
