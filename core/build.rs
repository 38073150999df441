//! Compiles the functions of libtorch that tch does not pass on (`src/device/shim.cpp`).

use std::env::var;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=src/device/shim.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    let Some(libtorch) = var("LIBTORCH_INCLUDE").or_else(|_| var("LIBTORCH")).map(PathBuf::from).ok() else {
        panic!("LIBTORCH names no libtorch; `make setup` fetches one")
    };
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .warnings(false)
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"))
        .file("src/device/shim.cpp")
        .compile("sam_octa2_shim");
}
