//! Tells the linker where libtorch lies, so that nobody needs LD_LIBRARY_PATH, and compiles the functions of libtorch that tch does not pass on
//! (`src/device/shim.cpp`).

use std::path::PathBuf;

fn main() -> Result<(), &'static str> {
    println!("cargo:rerun-if-changed=src/device/shim.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let libtorch = std::env::var_os("LIBTORCH").map(PathBuf::from);
    let libtorch = libtorch.ok_or("LIBTORCH names no libtorch; `make setup` fetches one")?;
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}/lib", libtorch.display());
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .warnings(false)
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"))
        .file("src/device/shim.cpp")
        .compile("sam_octa2_shim");
    Ok(())
}
