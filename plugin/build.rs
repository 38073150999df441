//! Gives the library its short name, so that programs which link to it (docs/viewers.md) look for `libsam_octa2.so` and not for the path
//! of this build.
fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsam_octa2.so");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
