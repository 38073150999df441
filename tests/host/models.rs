//! `host-demo models`: the list, downloads that hold, checks. The server is in this process.

use crate::server::Server;
use crate::util::{Host, Ran};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

/// A host whose folder of checkpoints is its own, and a server with a file.
struct Case {
    host: Host,
    server: Server,
    file: Vec<u8>,
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Case {
    fn new() -> Self {
        let file: Vec<u8> = (0..300_001u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        let case = Self { host: Host::new(), server: Server::of(&file), file };
        std::fs::create_dir(case.host.path("weights")).unwrap();
        case
    }

    /// The user's list: one model `mine`, whose file the server has under `path`.
    fn list(&self, path: &str, more: &str) {
        let address = &self.server.address;
        let text = format!(
            "[[model]]\nname = \"mine\"\nfile = \"mine.pt\"\nconfig = \"2.1-tiny\"\nurl = \"{address}/{path}\"\nlicence = \"MIT\"\n\
             terms = \"Keep the notice.\"\n{more}"
        );
        self.host.file("weights/my-models.toml", text);
    }

    fn known_digest(&self) -> String {
        format!("sha256 = \"{}\"\nbytes = {}\n", digest(&self.file), self.file.len())
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.host.command(arguments);
        for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        command.env("SAM_OCTA2_WEIGHTS", self.host.path("weights")).env_remove("SAM_OCTA2_MODELS");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    fn get(&self) -> Ran {
        self.run(&["models", "get", "mine"])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.host.path("weights").join(name)
    }

    /// A part of so many bytes, as a download that was stopped leaves it.
    fn part(&self, bytes: usize, path: &str, tag: &str) {
        std::fs::write(self.path("mine.pt.part"), &self.file[..bytes]).unwrap();
        let source = serde_json::json!({"url": format!("{}/{path}", self.server.address), "version": tag});
        std::fs::write(self.path("mine.pt.part.source"), source.to_string()).unwrap();
    }

    /// The checkpoint is there, whole, and nothing unfinished beside it.
    fn is_whole(&self) {
        assert!(std::fs::read(self.path("mine.pt")).unwrap() == self.file, "other bytes");
        assert!(!self.path("mine.pt.part").exists() && !self.path("mine.pt.part.source").exists());
    }

    /// It failed with one line that holds this; there is no checkpoint.
    fn fails(&self, ran: &Ran, text: &str) {
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        let errors: Vec<_> = ran.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(matches!(errors[..], [line] if line.contains(text)), "{ran:#?}");
        assert!(!self.path("mine.pt").exists());
    }
}

#[test]
fn a_model_is_downloaded_once_and_checked() {
    let case = Case::new();
    case.list("file", &case.known_digest());
    let listed = case.run(&["models"]).ok();
    let line = listed.lines().find(|line| line.starts_with("mine ")).unwrap();
    assert!(line.contains("MIT") && line.contains(" no"), "{line}");

    let ran = case.get();
    assert!(ran.stderr.contains("licence MIT") && ran.stderr.contains("Keep the notice."), "{ran:#?}");
    assert!(ran.ok().contains("checked"));
    case.is_whole();
    assert!(!case.path("mine.pt.sha256").exists(), "the list knows it");

    let again = case.run(&["models", "get", "mine", "--json"]).ok();
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again[0]["was_here"], &again[0]["sha256"]), (&true.into(), &digest(&case.file).into()));
    assert_eq!(case.server.asked().len(), 1, "nothing is downloaded twice");
    assert!(case.run(&["models", "verify"]).ok().contains(&format!("{:18} ok  ", "mine")));

    std::fs::write(case.path("mine.pt"), "something else").unwrap();
    let ran = case.run(&["models", "verify", "mine"]);
    assert!(ran.code == Some(1) && ran.stdout.contains("NOT what it should be"), "{ran:#?}");
    let ran = case.get();
    assert!(ran.code == Some(1) && ran.stderr.contains("--replace"), "{ran:#?}");
    case.run(&["models", "get", "mine", "--replace"]).ok();
    case.is_whole();
}

#[test]
fn an_unknown_digest_is_learnt_and_kept() {
    let case = Case::new();
    case.list("file", "");
    let text = case.get().ok();
    assert!(text.contains(&digest(&case.file)) && text.contains("mine.pt.sha256"), "{text}");
    let kept = std::fs::read_to_string(case.path("mine.pt.sha256")).unwrap();
    assert_eq!(kept, format!("{}  mine.pt\n", digest(&case.file)));
    assert!(case.run(&["models", "verify"]).ok().contains(&format!("{:18} ok  ", "mine")));

    // where it is published there is another file now
    let other = Server::of(b"other bytes");
    let list = std::fs::read_to_string(case.path("my-models.toml")).unwrap();
    std::fs::write(case.path("my-models.toml"), list.replace(&case.server.address, &other.address)).unwrap();
    let ran = case.run(&["models", "get", "mine", "--replace"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("as was learnt before"), "{ran:#?}");
    case.is_whole();
}

#[test]
fn what_is_not_as_listed_does_not_come_into_its_place() {
    let case = Case::new();
    case.list("file", &format!("sha256 = \"{}\"", "ab".repeat(32)));
    case.fails(&case.get(), &format!("SHA-256 {}, not abab", digest(&case.file)));
    assert!(!case.path("mine.pt.part").exists());
    case.list("file", "bytes = 5");
    case.fails(&case.get(), "has 300001 bytes, the list says 5");
    case.list("gone", "");
    case.fails(&case.get(), "no such file (404)");
    case.list("busy", "");
    case.fails(&case.get(), "(503)");
}

#[test]
fn a_download_goes_on_where_it_stood() {
    let case = Case::new();
    case.list("moved", "");
    case.part(100_000, "moved", "\"one\"");
    let ran = case.get();
    assert!(ran.stderr.contains("going on after 100000 bytes"), "{ran:#?}");
    ran.ok();
    case.is_whole();
    let asked = case.server.asked();
    assert_eq!(asked.iter().map(|asked| asked.path.as_str()).collect::<Vec<_>>(), ["/moved", "/file"]);
    assert_eq!((asked[1].from, asked[1].if_range.as_deref()), (Some(100_000), Some("\"one\"")));
}

#[test]
fn a_part_of_something_else_is_begun_anew() {
    for (path, tag) in [("file", "\"two\""), ("no-ranges", "\"one\"")] {
        let case = Case::new();
        case.list(path, "");
        std::fs::write(case.path("mine.pt.part"), "not what it was").unwrap();
        let source = serde_json::json!({"url": format!("{}/{path}", case.server.address), "version": tag});
        std::fs::write(case.path("mine.pt.part.source"), source.to_string()).unwrap();
        let ran = case.get();
        assert!(ran.stderr.contains("beginning anew"), "{ran:#?}");
        ran.ok();
        case.is_whole();
    }
    let case = Case::new(); // from another address
    case.list("file", "");
    case.part(1000, "elsewhere", "\"one\"");
    case.get().ok();
    case.is_whole();
    assert_eq!(case.server.asked()[0].from, None);
    let case = Case::new(); // all of it, and stopped before it was checked
    case.list("file", &case.known_digest());
    case.part(case.file.len(), "file", "\"one\"");
    case.get().ok();
    case.is_whole();
    assert!(case.server.asked().is_empty());
}

#[test]
fn a_connection_that_breaks_is_made_again() {
    for (path, connections) in [("cut", 2), ("cut-twice", 3)] {
        let case = Case::new();
        case.list(path, &case.known_digest());
        case.get().ok();
        case.is_whole();
        let asked = case.server.asked();
        assert!(asked.len() == connections && asked[0].from.is_none(), "{asked:?}");
        assert!(asked[1..].iter().all(|asked| asked.from.is_some()), "{asked:?}");
    }
}

#[test]
fn one_that_only_breaks_ends_with_what_came() {
    let case = Case::new();
    case.list("cut-always", &case.known_digest());
    case.fails(&case.get(), "150000 of 300001 bytes are kept, the same command goes on from there");
    assert_eq!(std::fs::read(case.path("mine.pt.part")).unwrap(), case.file[..150_000]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said() {
    let case = Case::new();
    case.list("huge", "");
    case.fails(&case.get(), "the disk is full");
    let case = Case::new();
    case.list("file", "");
    std::os::unix::fs::symlink("/dev/full", case.path("mine.pt.part")).unwrap();
    case.fails(&case.get(), "the disk is full");
}

#[test]
fn of_two_at_once_one_downloads_and_the_other_waits() {
    let case = Case::new();
    case.list("held", "");
    let start =
        || case.command(&["models", "get", "mine"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = start();
    case.server.arrived.recv().unwrap();
    let mut second = start();
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("another download of")), "the second did not wait");
    case.server.release.send(()).unwrap();
    assert!(Ran::from(first.wait_with_output().unwrap()).ok().contains("mine.pt"));
    drop(lines);
    assert!(Ran::from(second.wait_with_output().unwrap()).ok().contains("is here already"));
    case.is_whole();
    assert_eq!(case.server.asked().len(), 1);
}

#[cfg(unix)]
#[test]
fn a_stopped_download_can_be_gone_on_with() {
    let case = Case::new();
    case.list("held", &case.known_digest());
    let child = case.command(&["models", "get", "mine"]).stderr(Stdio::piped()).spawn().unwrap();
    case.server.arrived.recv().unwrap();
    // until the half that was sent is written
    while std::fs::metadata(case.path("mine.pt.part")).map_or(0, |part| part.len()) < 150_000 {
        std::thread::yield_now();
    }
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert!(ran.code == Some(130) && ran.stderr.contains("are kept"), "{ran:#?}");
    assert!(!case.path("mine.pt").exists());
    case.server.release.send(()).unwrap();
    case.server.release.send(()).unwrap();
    case.get().ok();
    case.is_whole();
}

#[test]
fn scripts_download_only_where_the_user_allows_it() {
    let case = Case::new();
    case.list("file", &case.known_digest());
    case.host.file("get.rhai", "print(viewer::model_get(\"mine\")); print(models().find(|m| m.name == \"mine\").path)");
    let ran = case.run(&["run", "get.rhai"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("--allow-download"), "{ran:#?}");
    assert!(case.server.asked().is_empty());
    let text = case.run(&["run", "get.rhai", "--allow-download"]).ok();
    let path = case.path("mine.pt").display().to_string();
    assert_eq!(text.lines().collect::<Vec<_>>(), [&path, &path]);
    case.is_whole();
}

#[test]
fn what_cannot_be_had_is_said() {
    let case = Case::new();
    for (name, text) in [
        ("mien", "no model is named \"mien\"; there are nano, tiny"),
        ("sam2-oct", "cannot be used here: its mask decoder"),
        ("nano", "the list has no address"),
    ] {
        case.fails(&case.run(&["models", "get", name]), text);
    }
    let shown = case.run(&["models", "show", "medsam2"]).ok();
    for text in ["research", "https://huggingface.co/wanglab/MedSAM2", "2504.03600", "512"] {
        assert!(shown.contains(text), "{shown}");
    }
    case.list("file", "");
    let ran = case.run(&["models", "verify", "mine"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("is not here"), "{ran:#?}");
}

#[test]
fn a_damaged_list_is_named_with_its_line() {
    let case = Case::new();
    for (text, what) in [
        ("[[model]]\nname = \"a\"\nfile = \"a.pt\"\nlicense = \"MIT\"", "line 4: unknown field `license`"),
        ("[[model]]\nname = \"a\"\nfile = \"../a.pt\"", "\"a\": `file` is to be a file name"),
        ("[[model]]\nname = \"a\"\nfile = \"a.pt\"\nsha256 = \"abc\"", "\"a\": `sha256` is to be 64"),
        ("[[model]]\nname = \"a\"\nfile = \"a.pt\"\nurl = \"ftp://a\"", "\"a\": `url` is to begin with https://"),
        ("[[model]]\nname = \"a\"\nfile = \"a.pt\"\n[[model]]\nname = \"a\"\nfile = \"b.pt\"", "\"a\" is there twice"),
    ] {
        case.host.file("weights/my-models.toml", text);
        let ran = case.run(&["models"]);
        case.fails(&ran, "my-models.toml: ");
        assert!(ran.stderr.contains(what), "{what}: {ran:#?}");
    }
}
