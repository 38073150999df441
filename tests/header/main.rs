//! The C header is what the sources say. `SAM_OCTA2_BLESS=1 cargo test --release --workspace --test header` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn header() -> std::path::PathBuf {
    root().join("include/sam_octa2.h")
}

fn generated() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in ["abi/src/raw/types.rs", "src/c/system.rs", "src/c/volume.rs", "src/c/model.rs", "src/c/session.rs"] {
        builder = builder.with_src(root().join(source));
    }
    for source in ["src/c/history.rs", "src/c/mask.rs", "src/c/script.rs"] {
        builder = builder.with_src(root().join(source));
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn is_what_the_sources_say() {
    let generated = generated();
    if std::env::var_os("SAM_OCTA2_BLESS").is_some() {
        std::fs::create_dir_all(root().join("include")).unwrap();
        std::fs::write(header(), &generated).unwrap();
    }
    let there = std::fs::read_to_string(header()).unwrap_or_default();
    assert!(there == generated, "plugin/include/sam_octa2.h is stale: SAM_OCTA2_BLESS=1 writes it anew");
}

/// Compiles as strict C99 and as C++11 without a warning.
#[test]
fn is_clean_c_and_cpp() {
    for (language, standard) in [("c", "-std=c99"), ("c++", "-std=c++11")] {
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let output = Command::new(compiler)
            .args(["-x", language, standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
            .arg(header())
            .output()
            .unwrap();
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The C++ header opens every function of the C header.
#[test]
fn the_cpp_header_is_complete() {
    let cpp = std::fs::read_to_string(root().join("include/sam_octa2.hpp")).unwrap();
    let c = std::fs::read_to_string(header()).unwrap();
    let declared = c.split("sam_octa2_").skip(1).filter_map(|rest| rest.split_once('(').map(|(name, _)| name));
    let names: Vec<&str> = declared.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect();
    assert!(names.len() > 50, "{names:?}");
    for name in names {
        assert!(cpp.contains(&format!("F({name})")), "sam_octa2.hpp does not know {name}");
    }
}
