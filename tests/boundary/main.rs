//! The contract of the boundary, through both interfaces: the same tests over the tables of the Rust interface and over the C symbols.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cancel;
mod errors;
mod history;
mod interfaces;
mod libtorch;
mod lifetimes;
mod masks;
mod options;
mod scripts;
mod sessions;
mod state;
mod tasks;
mod volumes;

use sam_octa2_abi::{Api, Model, Prompt, Session, Volume};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A file of the tests' data.
fn data(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").canonicalize().unwrap();
    root.join(name).to_str().unwrap().to_owned()
}

fn demo_volume(api: Api) -> Volume {
    api.open_volume(&data("demo/volume.nii.gz"), None, &mut ()).unwrap()
}

fn mini(api: Api) -> Model {
    let request = format!(
        r#"{{"model": "{}", "model_config": "{}", "device": "cpu"}}"#,
        data("parity/mini21.pt"),
        data("parity/mini21.yaml")
    );
    api.load_model(&request, &mut ()).unwrap()
}

/// A session on the demo volume with one click, and the click.
fn clicked(api: Api) -> (Session, Prompt) {
    let session = api.session(&demo_volume(api), &mini(api), None, &mut ()).unwrap();
    let click = Prompt::click(2, 1, [30.0, 30.0]);
    session.prompt(&click, &mut ()).unwrap();
    (session, click)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// The library of this build; the engine lies beside it.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    let name = format!("{}sam_octa2{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = folder.join(name);
    assert!(library.is_file(), "{} is not there", library.display());
    library
}
