//! Gives the library its short name, so that programs which link to it (docs/viewers.md) look for `libsam_octa2.so` and not for the path
//! of this build; and keeps the public names of decoders inside (OpenJPEG's), which a viewer's own decoder would take the place of.
include!("../.setup/glibc/build.rs");

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsam_octa2.so");
        println!("cargo:rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
    }
    link_for_old_glibc("../.setup/glibc", None);
    println!("cargo:rerun-if-changed=build.rs");
}
