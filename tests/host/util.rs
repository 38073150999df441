//! A scratch folder per test and the host run in it.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The host and a folder of its own.
pub struct Host {
    folder: TempDir,
    plugin: Option<PathBuf>,
}

impl Host {
    /// With the plugin that was built with these tests.
    pub fn new() -> Self {
        Self { plugin: Some(built_plugin()), ..Self::without_plugin() }
    }

    /// A copy of the host that has no plugin beside it.
    pub fn without_plugin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, plugin: None }
    }

    /// A file in the folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Where a file of the folder lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A small segmentation network with weights of no meaning, under the names of the fixture.
    pub fn segmenter(&self) -> String {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/parity/swin/swinunetr.json");
        let fixture: Value = serde_json::from_slice(&std::fs::read(fixture).unwrap()).unwrap();
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, entry) in fixture["parameters"].as_object().unwrap() {
            let shape: Vec<usize> = serde_json::from_value(entry[0].clone()).unwrap();
            let (count, start) = (shape.iter().product::<usize>(), data.len());
            let scale = (count as f32 / shape[0] as f32).powf(-0.5);
            for i in 0..count {
                let spread = ((i * 7919 + count * 31) % 1009) as f32 / 504.0 - 1.0;
                let number = if shape.len() == 1 && name.ends_with("weight") { 1.0 } else { 1.7 * scale * spread };
                data.extend_from_slice(&number.to_le_bytes());
            }
            header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
        }
        let header = Value::Object(header).to_string();
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
        self.file("segmenter.safetensors", bytes).display().to_string()
    }

    /// The host with these arguments, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let program = match &self.plugin {
            Some(_) => PathBuf::from(env!("CARGO_BIN_EXE_host-demo")),
            None => {
                let copy = self.folder.path().join("host-demo");
                copy_program(Path::new(env!("CARGO_BIN_EXE_host-demo")), &copy);
                copy
            }
        };
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env_remove("SAM_OCTA2_PLUGIN").stdin(Stdio::null()).args(arguments);
        command.env("OMP_NUM_THREADS", "1"); // the tests run side by side
        if let Some(plugin) = &self.plugin {
            command.arg("--plugin").arg(plugin);
        }
        command
    }

    /// Runs the host.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// Runs a script.
    pub fn script(&self, source: &str, arguments: &[&str]) -> Ran {
        self.file("test.rhai", source);
        self.run(&[&["run", "test.rhai"], arguments].concat())
    }
}

/// Copies a program in a process of its own. A test that starts another process while this one writes the copy would hand the open file on, and
/// the system does not start a file that somebody writes ("text file busy").
fn copy_program(from: &Path, to: &Path) {
    if cfg!(unix) {
        assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    /// It went well; its stdout.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// It failed with `error: ` and one line that holds these texts; no panic, no signal.
    pub fn fails_with(self, texts: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{self:#?}");
        let line = self.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{self:#?}"));
        for text in texts {
            assert!(line.contains(text), "no `{text}` in {self:#?}");
        }
        assert!(!self.stderr.contains("panicked at"), "{self:#?}");
        self
    }
}

/// The plugin of this build: cargo puts a dependency's library into `deps` first, and a copy beside the programs only for `cargo build`.
pub fn built_plugin() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_host-demo")).parent().unwrap();
    let name = format!("{}sam_octa2{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let places = [folder.join("deps").join(&name), folder.join(&name)];
    places.into_iter().find(|place| place.is_file()).expect("cargo builds the plugin as a dependency of these tests")
}

/// The signals that end the program. Where the tests run under `nohup`, a hang-up is passed over by the programs that they start, too, as it should
/// be: then it is left out.
#[cfg(unix)]
pub fn signals() -> Vec<&'static str> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    if ignored & 1 == 0 {
        return vec!["INT", "TERM", "HUP"];
    }
    eprintln!("skipped: SIGHUP is ignored here (nohup)");
    vec!["INT", "TERM"]
}
