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
    let listed = host.script(&format!("print(glob(\"{}/*\").len())", other.path().display()), &[]).ok();
    assert_eq!(listed.trim(), "0");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[1]");
    let allowed = other.path().display().to_string();
    host.script(&format!("write_json(\"{absolute}\", [2])"), &["--allow", &allowed]).ok();
    assert!(!Path::new("/etc/x.csv").exists());
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
