//! libtorch in someone else's process: missing, or of another version, it is a sentence and not a crash.

use super::library;
use std::path::Path;
use std::process::{Command, Output};

/// This test's own program, which runs one of the tests below as a child.
pub fn child(test: &str, library: &Path, extra: &Path) -> Output {
    let program = std::env::current_exe().unwrap();
    Command::new(program)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("SAM_OCTA2_TEST_LIBRARY", library)
        .env("SAM_OCTA2_TEST_EXTRA", extra)
        .output()
        .unwrap()
}

pub fn says(output: &Output, texts: &[&str]) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    for text in texts {
        assert!(stdout.contains(text), "no `{text}` in {stdout}{stderr}");
    }
}

/// A folder with the library and perhaps the engine, copied.
pub fn folder(engine: Option<&[u8]>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(library(), folder.path().join("libsam_octa2.so")).unwrap();
    if let Some(bytes) = engine {
        std::fs::write(folder.path().join("libsam_octa2_engine.so"), bytes).unwrap();
    }
    folder
}

#[test]
fn a_missing_or_foreign_engine_is_a_sentence() {
    for (engine, text) in [(None, "belongs beside the plugin"), (Some(&b"no library"[..]), "cannot be loaded")] {
        let folder = folder(engine);
        let output = child("libtorch::tells_the_error", &folder.path().join("libsam_octa2.so"), Path::new(""));
        says(&output, &["libsam_octa2_engine.so", text]);
    }
    // a library that is no engine
    let front = std::fs::read(library()).unwrap();
    let folder = folder(Some(&front));
    let output = child("libtorch::tells_the_error", &folder.path().join("libsam_octa2.so"), Path::new(""));
    says(&output, &["does not belong to this plugin"]);
}

/// A stand-in for the libtorch of a viewer, with PyTorch's `version.py`.
#[test]
fn another_libtorch_in_the_process_is_refused() {
    let torch = tempfile::tempdir().unwrap();
    std::fs::create_dir(torch.path().join("lib")).unwrap();
    std::fs::write(torch.path().join("version.py"), "__version__ = '2.4.1+cpu'\n").unwrap();
    let source = torch.path().join("stub.c");
    std::fs::write(&source, "int stub(void) { return 1; }\n").unwrap();
    let stub = torch.path().join("lib/libtorch_cpu.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let made = Command::new(compiler)
        .args(["-shared", "-fPIC", "-Wl,-soname,libtorch_cpu.so", "-o"])
        .args([&stub, &source])
        .status()
        .unwrap();
    assert!(made.success());
    let output = child("libtorch::tells_the_error", &library(), &stub);
    says(&output, &["code torch", "libtorch 2.4.1+cpu is loaded in this process already", "needs 2.13.0"]);
}

/// Nothing happens before the first call that computes.
#[test]
fn loading_maps_no_libtorch() {
    says(
        &child("libtorch::loads_and_lists", &library(), Path::new("")),
        &["mapped before: false", "mapped after: true"],
    );
}

#[test]
#[ignore = "a child of the tests above"]
fn tells_the_error() {
    let extra = std::env::var("SAM_OCTA2_TEST_EXTRA").unwrap();
    if !extra.is_empty() {
        std::mem::forget(unsafe { libloading::Library::new(extra) }.unwrap());
    }
    let library = std::env::var("SAM_OCTA2_TEST_LIBRARY").unwrap();
    let plugin = sam_octa2_abi::Plugin::load(Path::new(&library)).unwrap();
    let api = plugin.api().unwrap();
    for _ in 0..2 {
        let error = api.start().unwrap_err();
        println!("code {}: {}", error.code, error.message);
        assert!(!error.message.contains('\n'));
    }
    // what was lent is released also when there is nobody to lend to
    let values = std::sync::Arc::new(vec![0u8; 8]);
    assert!(api.lend_volume(values.clone(), &[2, 2, 2], None).is_err());
    assert_eq!(std::sync::Arc::strong_count(&values), 1);
}

#[test]
#[ignore = "a child of the tests above"]
fn loads_and_lists() {
    let mapped = || std::fs::read_to_string("/proc/self/maps").unwrap().contains("libtorch_cpu");
    let plugin = sam_octa2_abi::Plugin::load(&library()).unwrap();
    plugin.manifest_json();
    let api = plugin.api().unwrap();
    println!("mapped before: {}", mapped());
    api.start().unwrap();
    println!("mapped after: {}", mapped());
}
