//! Tells the plugin where libtorch lies: beside it in a distribution, in the checkout, or where LIBTORCH said at build time; and keeps the public names of
//! decoders inside (OpenJPEG's), which a viewer's own decoder would take the place of.
include!("../../.setup/glibc/build.rs");

fn main() {
    link_for_old_glibc("../../.setup/glibc", Some("WITH_CXX"));
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/libtorch/lib");
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../../.libtorch/torch/lib");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
