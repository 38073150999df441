//! Files that are not the plugin: each a sentence and exit code 1.

use crate::util::{Host, Ran, built_plugin};

fn info_with(host: &Host, plugin: &str) -> Ran {
    Ran::from(host.command(&["info", "x", "--plugin", plugin]).output().unwrap())
}

#[test]
fn a_missing_plugin_says_where_it_was_looked_for() {
    let host = Host::without_plugin();
    host.run(&["info", "x"]).fails_with(&[
        "no plugin found",
        "libsam_octa2",
        "SAM_OCTA2_PLUGIN is not set",
        "--plugin",
    ]);
    let ran = Ran::from(host.command(&["info", "x"]).env("SAM_OCTA2_PLUGIN", "/nowhere.so").output().unwrap());
    ran.fails_with(&["no plugin found", "/nowhere.so"]);
    info_with(&host, "gone.so").fails_with(&["gone.so: no such file"]);
}

#[test]
fn the_environment_names_the_plugin() {
    let host = Host::without_plugin();
    host.file("hello.rhai", "print(6 * 7)");
    let ran = Ran::from(host.command(&["run", "hello.rhai"]).env("SAM_OCTA2_PLUGIN", built_plugin()).output().unwrap());
    assert_eq!(ran.ok(), "42\n");
}

#[test]
fn wrong_files_are_told_apart() {
    let host = Host::without_plugin();
    host.file("text.so", "not a library");
    host.file("empty.so", "");
    info_with(&host, "text.so").fails_with(&["text.so: not a shared library"]);
    info_with(&host, "empty.so").fails_with(&["empty.so: an empty file"]);
    info_with(&host, ".").fails_with(&["not a file"]);
}

#[test]
#[cfg(target_os = "linux")]
fn half_a_plugin_never_reaches_the_loader() {
    let host = Host::without_plugin();
    let whole = std::fs::read(built_plugin()).unwrap();
    for length in [50, 4096, whole.len() / 3, whole.len() - 1] {
        host.file("half.so", &whole[..length]);
        info_with(&host, "half.so").fails_with(&["half.so: only", "copy it again"]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_ordinary_library_is_not_a_plugin() {
    let host = Host::without_plugin();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.split_whitespace().find(|word| word.starts_with('/') && word.contains("libc.so")).unwrap();
    info_with(&host, libc).fails_with(&["a shared library, but not a SAM-OCTA2 plugin"]);
}

/// As on a machine where libtorch was not set up: a library that the plugin needs is renamed inside a copy of it.
#[test]
#[cfg(target_os = "linux")]
fn a_missing_libtorch_comes_with_advice() {
    let host = Host::without_plugin();
    let mut library = std::fs::read(built_plugin()).unwrap();
    let needed = b"libgcc_s.so.1\0";
    let at = library.windows(needed.len()).position(|window| window == needed).unwrap();
    library[at..at + needed.len()].copy_from_slice(b"libtorch.so.9\0");
    host.file("lonely.so", &library);
    info_with(&host, "lonely.so").fails_with(&["lonely.so: cannot be loaded: libtorch.so.9", "make setup"]);
}
