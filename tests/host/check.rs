//! `plugin check`: what our plugin passes, and that it finds each defect of `tests/broken`.

use crate::util::{Host, Ran, built_plugin};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A file of the tests' data.
fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/parity").join(name).to_str().unwrap().to_owned()
}

/// The arguments that name a model.
fn model() -> [String; 4] {
    ["--model".to_owned(), data("mini21.pt"), "--model-config".to_owned(), data("mini21.yaml")]
}

/// A library that cargo built with these tests.
fn built(name: &str) -> PathBuf {
    let file = format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = built_plugin().with_file_name(&file);
    assert!(library.is_file(), "{} is not there", library.display());
    library
}

/// The report of a run, by the names of the checks.
pub struct Report(Value);

impl Report {
    pub fn of(ran: &Ran) -> Self {
        Self(serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}")))
    }

    fn checks(&self) -> &Vec<Value> {
        self.0["checks"].as_array().unwrap()
    }

    pub fn names_with(&self, status: &str) -> Vec<&str> {
        self.checks()
            .iter()
            .filter(|check| check["status"] == status)
            .map(|check| check["name"].as_str().unwrap())
            .collect()
    }

    pub fn message(&self, name: &str) -> &str {
        let check = self.checks().iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("no check {name}"))["message"].as_str().unwrap()
    }
}

#[test]
fn our_plugin_passes_every_check() {
    let host = Host::new();
    let arguments: Vec<String> = ["plugin", "check", "--json"].map(str::to_owned).into_iter().chain(model()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = host.run(&arguments);
    let report = Report::of(&ran);
    assert_eq!(report.names_with("failed"), [""; 0], "{ran:#?}");
    assert_eq!(report.names_with("skipped"), ["sidecar"], "{ran:#?}");
    assert_eq!((ran.code, &report.0["passed"]), (Some(0), &Value::Bool(true)));
    for name in ["file", "exports", "manifest", "task-layout", "panic", "garbage", "cancel", "read-only", "state"] {
        assert!(report.names_with("passed").contains(&name), "{name} is missing");
    }
}

#[test]
fn the_file_beside_the_library_is_compared() {
    let host = Host::without_plugin();
    std::fs::copy(built_plugin(), host.path("libsam_octa2.so")).unwrap();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin/libsam_octa2.json");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let check = || host.run(&["plugin", "check", "libsam_octa2.so", "--only", "sidecar"]);
    host.file("libsam_octa2.json", &manifest);
    assert!(check().ok().contains("✓ sidecar"));
    host.file("libsam_octa2.json", manifest.replace("\"segment\", ", ""));
    let ran = check();
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("differs"), "{ran:#?}");
}

#[test]
fn quick_runs_need_no_engine_and_names_are_listed() {
    let host = Host::without_plugin();
    std::fs::copy(built_plugin(), host.path("libsam_octa2.so")).unwrap(); // no engine beside it
    let text = host.run(&["plugin", "check", "libsam_octa2.so", "--strict", "1"]).ok();
    assert!(text.contains("0 failed"), "{text}");
    let list = host.run(&["plugin", "check", "libsam_octa2.so", "--list"]).ok();
    assert!(list.contains("1 file ") && list.contains("2 read-only ") && list.contains("3 leak "), "{list}");
    host.run(&["plugin", "check", "libsam_octa2.so", "--only", "no-such"]).fails_with(&["no check `no-such`"]);
    let ran = host.run(&["plugin", "check", "libsam_octa2.so", "--only", "echo", "--in-process"]);
    assert!(ran.code == Some(1) && ran.stdout.contains("belongs beside the plugin"), "{ran:#?}");
}

#[test]
fn a_file_that_is_no_plugin_fails_the_first_check_only() {
    let host = Host::without_plugin();
    host.file("text.so", "not a library");
    let ran = host.run(&["plugin", "check", "text.so", "--json"]);
    assert_eq!(ran.code, Some(1));
    let report = Report::of(&ran);
    assert_eq!(report.names_with("failed"), ["file"]);
    assert_eq!(report.names_with("passed"), [""; 0]);
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
    let ran = host.run(&["plugin", "run-check", "panic", plugin.to_str().unwrap()]);
    assert!(!ran.stderr.contains("panicked at"), "{ran:#?}");
    ran.ok();
}

/// Checks the real plugin with one defect.
fn broken(defect: &str, arguments: &[&str]) -> (Ran, Report) {
    let host = Host::new();
    let library = built("sam_octa2_broken");
    let mut command = host.command(&["plugin", "check", library.to_str().unwrap(), "--json"]);
    command.args(arguments).env("SAM_OCTA2_BROKEN", defect).env("SAM_OCTA2_BROKEN_REAL", built_plugin());
    let ran = Ran::from(command.output().unwrap());
    let report = Report::of(&ran);
    (ran, report)
}

#[test]
fn without_a_defect_all_is_well() {
    let model = model();
    let (ran, report) = broken("none", &model.each_ref().map(String::as_str));
    assert_eq!(report.names_with("failed"), [""; 0], "{ran:#?}");
    assert_eq!(report.names_with("skipped"), ["exports", "sidecar"], "{ran:#?}");
    assert_eq!(ran.code, Some(0));
}

/// Each defect fails the check that is for it, and the run goes on to its end.
#[test]
fn every_defect_is_found() {
    let model = model();
    let model = model.each_ref().map(String::as_str);
    let defects = [
        ("layout", "volume-layout", "laid out differently"),
        ("lies", "consistent", "sam_octa2.magic/1"),
        ("any-id", "unknown-id", "sam_octa2.task"),
        ("panics", "volume-info", "crashed (signal 6 SIGABRT)"),
        ("aborts", "panic-interfaces", "crashed (signal 6 SIGABRT)"),
        ("exits", "places", "ended the process (exit code 3)"),
        ("writes", "read-only", "crashed (signal 11 SIGSEGV)"),
        ("forgets-release", "release", "releases when the volume was freed"),
        ("releases-twice", "views", "releases: 2, but should be 1"),
        ("releases-early", "release", "while the volume is there"),
        ("reads-after-release", "after-release", "crashed (signal 11 SIGSEGV)"),
        ("trusts-handles", "handles", "crashed (signal 11 SIGSEGV)"),
        ("wrong-slice", "strides", "C order"),
        ("swallows-errors", "views", "reports success"),
        ("wrong-status", "error-text", "the error says -12"),
        ("several-lines", "error-text", "several lines"),
        ("no-utf8", "error-text", "not UTF-8"),
        ("no-detail", "script-error", "line: Null"),
        ("any-size", "struct-size", "reports success"),
        ("calls-late", "late-calls", "after the call had returned"),
        ("keeps-functions", "function-release", "releases"),
        ("unsteady", "determinism", "other bits"),
        ("takes-any-state", "state", "the restored session"),
    ];
    for (defect, check, reason) in defects {
        let (ran, report) = broken(defect, &[&["--only", check, "--only", "unknown-task"][..], &model].concat());
        assert_eq!(ran.code, Some(1), "{defect}: {ran:#?}");
        assert_eq!(report.names_with("failed"), [check], "{defect}: {ran:#?}");
        assert_eq!(report.names_with("passed"), ["unknown-task"], "{defect}: {ran:#?}");
        assert!(report.message(check).contains(reason), "{defect}: {}", report.message(check));
    }
}

#[test]
fn what_does_not_come_back_is_found_too() {
    for (defect, check) in [
        ("hangs", "places"),
        ("deadlocks", "script-busy"),
        ("ignores-cancel", "cancel-callback"),
        ("ignores-cancel", "cancel-token"),
    ] {
        let (ran, report) = broken(defect, &["--only", check, "--only", "unknown-task", "--limit", "8"]);
        assert_eq!(ran.code, Some(1), "{defect}: {ran:#?}");
        assert_eq!(report.names_with("failed"), [check], "{defect}: {ran:#?}");
        assert!(report.message(check).contains("did not come back"), "{defect}: {}", report.message(check));
    }
}

#[test]
fn a_leak_is_found() {
    let (ran, report) = broken("leaks", &["--only", "leak"]);
    assert_eq!(report.names_with("failed"), ["leak"], "{ran:#?}");
    assert!(report.message("leak").contains("left"), "{ran:#?}");
}
