//! A script reads and writes where it may, and nowhere else.

use crate::util::Host;
use std::path::Path;

#[test]
fn the_current_folder_and_what_is_named_are_granted() {
    let host = Host::new();
    std::fs::create_dir(host.path("inside")).unwrap();
    host.script("write_json(\"inside/a.json\", [1]); print(read_json(\"inside/a.json\")[0])", &[]).ok();
    let other = tempfile::tempdir().unwrap();
    let named = format!("out={}", other.path().join("new").display());
    host.script("write_json(arg(\"out\") + \"/a.json\", [1])", &["--set", &named]).ok();
    assert!(other.path().join("new/a.json").is_file());
}

#[test]
fn everything_else_is_refused_and_says_how_to_grant_it() {
    let host = Host::new();
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("secret.json");
    std::fs::write(&file, "[1]").unwrap();
    let here = host.path("link.json");
    std::os::unix::fs::symlink(&file, &here).unwrap();
    let absolute = file.display().to_string();
    let tricks = [
        format!("read_json(\"{absolute}\")"),
        "read_json(\"link.json\")".to_owned(),
        "read_json(\"../../../../../../../../etc/hostname\")".to_owned(),
        format!("write_json(\"{absolute}\", [2])"),
        "write_json(\"link.json\", [2])".to_owned(),
        "write_csv(\"/tmp/../etc/x.csv\", [[1]])".to_owned(),
        format!("open_volume(\"{absolute}\")"),
        format!("open_labels(\"{absolute}\")"),
        format!("exists(\"{absolute}\")"),
        "load_model(\"/etc/hostname\")".to_owned(),
    ];
    for trick in &tricks {
        host.script(trick, &[]).fails_with(&["scripts may not", "--allow DIR"]);
    }
    let listed = host.script(&format!("glob(\"{}/*\")", other.path().display()), &[]);
    listed.fails_with(&["scripts may not read here", "--allow DIR"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[1]");
    let allowed = other.path().display().to_string();
    host.script(&format!("write_json(\"{absolute}\", [2])"), &["--allow", &allowed]).ok();
    assert!(!Path::new("/etc/x.csv").exists());
}

#[test]
fn features_are_kept_where_a_script_may_write() {
    let host = Host::new();
    let data =
        |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name).display().to_string();
    let other = tempfile::tempdir().unwrap();
    let folder = other.path().join("kept").display().to_string();
    let source = format!(
        r#"let model = load_model(arg("model"), #{{config: arg("config")}});
        let session = new_session(open_volume(arg("input")), model, #{{features: "{folder}", features_bytes: 100_000_000}});
        session.click(0, 120, 80);
        print(`${{session.features.encoded}} encoded, ${{session.features.read}} read, fine: ${{session.features.problem == ()}}`)"#
    );
    let arguments =
        ["model=parity/mini21.pt", "config=parity/mini21.yaml", "input=demo/volume.nii.gz"].map(|argument| {
            let (key, file) = argument.split_once('=').unwrap();
            format!("{key}={}", data(file))
        });
    let set: Vec<&str> = arguments.iter().flat_map(|argument| ["--set", argument]).collect();
    host.script(&source, &set).fails_with(&["kept", "scripts may not write", "--allow DIR"]);
    assert!(!Path::new(&folder).exists());
    let allowed = [&set[..], &["--allow", other.path().to_str().unwrap()]].concat();
    assert_eq!(host.script(&source, &allowed).ok().trim(), "1 encoded, 0 read, fine: true");
    assert_eq!(host.script(&source, &allowed).ok().trim(), "0 encoded, 1 read, fine: true");
}

#[test]
fn an_input_that_is_named_is_read_and_not_written() {
    let host = Host::new();
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("input.json");
    std::fs::write(&file, "[7]").unwrap();
    let named = format!("input={}", file.display());
    let read = host.script("print(read_json(arg(\"input\"))[0])", &["--set", &named]).ok();
    assert_eq!(read.trim(), "7");
    host.script("write_json(arg(\"input\"), [1])", &["--set", &named]).fails_with(&["may not write"]);
}

#[test]
fn a_pattern_that_is_named_grants_its_folder() {
    let host = Host::new();
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join("a")).unwrap();
    std::fs::write(other.path().join("a/1.json"), "[7]").unwrap();
    let named = format!("inputs={}/*/*.json", other.path().display());
    let read = "for path in glob(arg(\"inputs\")) { print(read_json(path)[0]); write_json(path, 1) }";
    let ran = host.script(read, &["--set", &named]).fails_with(&["scripts may not write here"]);
    assert_eq!(ran.stdout, "7\n");
    // a pattern that begins anywhere grants nothing
    host.script("glob(arg(\"inputs\"))", &["--set", "inputs=/*/*.json"]).ok();
    host.script("read_json(\"/etc/hostname\")", &["--set", "inputs=/*/*.json"]).fails_with(&["may not read here"]);
}
