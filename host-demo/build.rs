//! Lets the program start on an old glibc.
include!("../.setup/glibc/build.rs");

fn main() {
    link_for_old_glibc("../.setup/glibc", Some("WITH_MAIN"));
    println!("cargo:rerun-if-changed=build.rs");
}
