//! Viewers in C++ and C, as docs/viewers.md shows them: compiled without a warning, run, and their labels equal to those of `segment`.

use crate::util::{Host, Ran, built_plugin};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn data(name: &str) -> String {
    root().join("tests/data").join(name).display().to_string()
}

fn compiler(variable: &str, or: &str) -> Command {
    Command::new(std::env::var(variable).unwrap_or_else(|_| or.to_owned()))
}

/// Compiles an example of `plugin/examples`.
fn compile(mut compiler: Command, example: &str, program: &Path, link: &[&str]) {
    let plugin = root().join("plugin");
    let output = compiler
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .args([plugin.join("include"), plugin.join("examples").join(example)])
        .arg("-o")
        .arg(program)
        .args(link)
        .output()
        .unwrap();
    let [reply, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{reply}{errors}");
}

/// The plugin and its sidecar as they lie in a distribution.
fn library(host: &Host) -> PathBuf {
    let library = host.path("libsam_octa2.so");
    std::os::unix::fs::symlink(built_plugin(), &library).unwrap();
    std::fs::copy(root().join("plugin/libsam_octa2.json"), host.path("libsam_octa2.json")).unwrap();
    library
}

fn run(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH"); // cargo's would find what an earlier build left
    Ran::from(command.env("OMP_NUM_THREADS", "1").args(arguments).output().unwrap()).ok()
}

/// Labels as voxels, frame by frame.
fn voxels(host: &Host, file: &str) -> Vec<u8> {
    host.run(&["convert", file, "voxels.npy"]).ok();
    let bytes = std::fs::read(host.path("voxels.npy")).unwrap();
    bytes[bytes.len() - 12 * 256 * 256..].to_vec()
}

fn report(host: &Host, file: &str) -> serde_json::Value {
    serde_json::from_str(&host.run(&["info", file, "--json"]).ok()).unwrap()
}

#[test]
fn a_viewer_in_cpp() {
    let host = Host::new();
    let (library, program) = (library(&host), host.path("viewer"));
    let mut cpp = compiler("CXX", "c++");
    cpp.arg("-std=c++17");
    compile(cpp, "viewer.cpp", &program, &["-ldl", "-pthread"]);
    let (volume, model, config) = (data("demo/volume.nii.gz"), data("parity/mini21.pt"), data("parity/mini21.yaml"));
    let folder = host.path("");
    let reply = run(&program, &[library.to_str().unwrap(), &volume, &model, &config, folder.to_str().unwrap()]);
    for line in
        ["progress propagate 3/12", "stopped cancelled", "progress propagate 12/12", "/missing.nii: No such file"]
    {
        assert!(reply.contains(line), "no `{line}` in {reply}");
    }
    let click: Vec<&str> = reply.lines().find(|line| line.starts_with("click ")).unwrap().split(' ').collect();
    assert_eq!(click[1], click[4], "the mask and what is told of it: {reply}");

    let prompts = data("demo/prompts.json");
    let arguments =
        ["segment", &volume, "--prompts", &prompts, "--model", &model, "--model-config", &config, "--device", "cpu"];
    host.run(&[&arguments[..], &["--out", "expected.nii.gz"]].concat()).ok();
    let (found, expected) = (voxels(&host, "labels.nii.gz"), voxels(&host, "expected.nii.gz"));
    let different = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert_eq!(different, 0, "voxels");
    let count = found.iter().filter(|label| **label != 0).count();
    assert!(count > 100 && reply.contains(&format!("script {{\"result\":{count}}}")), "{count} voxels: {reply}");
    assert!(reply.contains(&format!("log measured {count}")), "{reply}");
    assert_eq!(report(&host, "labels.nii.gz")["affine"], report(&host, "expected.nii.gz")["affine"]);
}

#[test]
fn a_click_in_c() {
    let host = Host::new();
    let (library, program) = (library(&host), host.path("click"));
    let mut c = compiler("CC", "cc");
    c.arg("-std=c99");
    let folder = library.parent().unwrap().display().to_string();
    compile(c, "click.c", &program, &["-L", &folder, "-lsam_octa2", "-Wl,-rpath,$ORIGIN"]);
    let labels = host.path("labels.nii.gz").display().to_string();
    let (volume, model, config) = (data("demo/volume.nii.gz"), data("parity/mini21.pt"), data("parity/mini21.yaml"));
    let reply = run(&program, &[&volume, &model, &config, &labels]);
    assert!(reply.starts_with("12 x 256 x 256, {"), "{reply}");
    assert!(voxels(&host, "labels.nii.gz").contains(&1));
    let wrong = Command::new(&program)
        .env_remove("LD_LIBRARY_PATH")
        .args(["missing.nii", &model, &config, &labels])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains(": missing.nii: No such file"), "{wrong:?}");
}
