// Included by the build scripts of the two libraries and the program (`include!`): what they are linked with so that an old glibc suffices.

/// Links the file beside this one, for a library (`with` empty), a library with C++ in it (`WITH_CXX`) or a program (`WITH_MAIN`).
fn link_for_old_glibc(folder: &str, with: Option<&str>) {
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    let source = format!("{folder}/old.c");
    println!("cargo:rerun-if-changed={source}");
    println!("cargo:rerun-if-changed={folder}/build.rs");
    if (target("OS"), target("ENV"), target("ARCH")) != ("linux".into(), "gnu".into(), "x86_64".into()) {
        return;
    }
    let mut build = cc::Build::new();
    build.file(&source).warnings(true).flag("-fno-lto");
    with.into_iter().for_each(|name| _ = build.define(name, None));
    let kind = if with == Some("WITH_MAIN") { "bins" } else { "cdylib" };
    let argument = |text: &str| println!("cargo:rustc-link-arg-{kind}={text}");
    build.compile_intermediates().iter().for_each(|object| argument(&object.display().to_string()));
    let text = std::fs::read_to_string(&source).unwrap_or_default();
    let names = text.match_indices("__wrap_").map(|(at, mark)| &text[at + mark.len()..]);
    let old = text.match_indices("\nOLD(").map(|(at, mark)| &text[at + mark.len()..]);
    let names = names.chain(old).map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default());
    let mut names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    if with != Some("WITH_MAIN") {
        names.retain(|name| *name != "__libc_start_main");
    }
    names.into_iter().for_each(|name| argument(&format!("-Wl,--wrap={name}")));
    if with == Some("WITH_CXX") {
        argument("-Wl,--wrap=_ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEEC1Ev");
    }
    // where an old glibc has threads and loading; a new one has empty libraries of these names
    let libraries = ["-Wl,--push-state,--no-as-needed", "-l:libpthread.so.0", "-l:libdl.so.2", "-Wl,--pop-state"];
    libraries.into_iter().for_each(argument);
}
