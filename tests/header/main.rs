//! The C header and Python's list of functions are what the sources say. `SAM_OCTA2_BLESS=1 cargo test --release --workspace --test header` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use sam_octa2_abi::raw::{FUNCTIONS, FunctionInfo};
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The header: structs and numbers by cbindgen, and the list of functions as cbindgen reads it.
fn header() -> String {
    let folder = tempfile::tempdir().unwrap();
    let functions = folder.path().join("functions.rs");
    std::fs::write(&functions, FUNCTIONS.iter().map(as_rust).collect::<String>()).unwrap();
    let mut config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    config.trailer = Some(format!(
        "/* Every function, for programs that look them up: each name goes through F. */\n#define SAM_OCTA2_FUNCTIONS(F){}",
        FUNCTIONS.iter().map(|function| format!(" \\\n    F({})", short(function))).collect::<String>()
    ));
    let builder = cbindgen::Builder::new().with_config(config).with_src(root().join("abi/src/raw/types.rs"));
    let mut text = Vec::new();
    builder.with_src(functions).generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

/// The name without `sam_octa2_`.
fn short(function: &FunctionInfo) -> &'static str {
    function.name.trim_start_matches("sam_octa2_")
}

/// A type without the blanks that `stringify!` puts into it.
fn plain(kind: &str) -> String {
    [("* ", "*"), (" < ", "<"), (" >", ">")].iter().fold(kind.to_owned(), |kind, (from, to)| kind.replace(from, to))
}

/// A function as it would be exported, with the types spelt out that cbindgen does not look up.
fn as_rust(function: &FunctionInfo) -> String {
    let spelt = |kind: &str| match plain(kind).split_once('<') {
        Some(("Handle", of)) => format!("*mut {}", of.trim_end_matches('>')),
        Some((_, of)) => format!("*mut *mut {}", of.trim_end_matches('>')),
        None => match kind {
            "Text" => "*const c_char".to_owned(),
            "Reply" => "*mut *mut c_char".to_owned(),
            "Failure" => "*mut *mut ErrorBox".to_owned(),
            other => other.to_owned(),
        },
    };
    let doc: String = function.doc.iter().map(|line| format!("///{line}\n")).collect();
    let arguments: Vec<String> =
        function.arguments.iter().map(|(name, kind)| format!("{name}: {}", spelt(kind))).collect();
    let result = if function.result.is_empty() { "()".to_owned() } else { spelt(function.result) };
    let (name, arguments) = (function.name, arguments.join(", "));
    format!("{doc}#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn {name}({arguments}) -> {result} {{}}\n")
}

/// The same list for ctypes.
fn python() -> String {
    let spelt = |kind: &str| match plain(kind).as_str() {
        "" => "None",
        "Status" => "c_int32",
        "u32" => "c_uint32",
        "u64" => "c_uint64",
        "usize" => "c_size_t",
        "Text" => "c_char_p",
        "*const f64" | "*mut f64" => "THREE",
        "*mut u64" => "POINTER(c_uint64)",
        "*const HostStruct" => "POINTER(Host)",
        "*const ViewStruct" | "*mut ViewStruct" => "POINTER(View)",
        "*const PromptStruct" => "POINTER(Prompt)",
        "*const OnSliceStruct" => "POINTER(OnSlice)",
        "*const FunctionStruct" => "POINTER(Function)",
        "Reply" | "Failure" | "*mut *mut DlTensor" => "POINTER(c_void_p)",
        out if out.starts_with("Out<") => "POINTER(c_void_p)",
        _ => "c_void_p",
    };
    let mut text = "\"\"\"The functions of ``plugin/include/sam_octa2.h``: name without ``sam_octa2_``, type of the result, types of the \
                    arguments. Generated (``tests/header``).\"\"\"\n\nfrom ctypes import POINTER, c_char_p, c_double, c_int32, c_size_t, \
                    c_uint32, c_uint64, c_void_p\nfrom typing import Any, Dict, List, Tuple\n\nfrom ._abi import Function, Host, OnSlice, \
                    Prompt, View\n\nTHREE = c_double * 3\n\nFUNCTIONS: Dict[str, Tuple[Any, List[Any]]] = {\n"
        .to_owned();
    for function in FUNCTIONS {
        let arguments: Vec<&str> = function.arguments.iter().map(|(_, kind)| spelt(kind)).collect();
        let (name, result) = (short(function), spelt(function.result));
        text += &format!("    \"{name}\": ({result}, [{}]),\n", arguments.join(", "));
    }
    text + "}\n"
}

/// Compares a file with what the sources say; with `SAM_OCTA2_BLESS` it is written anew.
fn same(file: &str, generated: &str) {
    let path = root().join(file);
    if std::env::var_os("SAM_OCTA2_BLESS").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == generated, "plugin/{file} is stale: SAM_OCTA2_BLESS=1 writes it anew");
}

#[test]
fn is_what_the_sources_say() {
    same("include/sam_octa2.h", &header());
    same("python/sam_octa2/_functions.py", &python());
}

/// Compiles as strict C99 and as C++11 without a warning.
#[test]
fn is_clean_c_and_cpp() {
    for (language, standard) in [("c", "-std=c99"), ("c++", "-std=c++11")] {
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let output = Command::new(compiler)
            .args(["-x", language, standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
            .arg(root().join("include/sam_octa2.h"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
