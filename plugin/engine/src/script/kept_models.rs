//! Models that one script leaves to the next of the same engine, if the host wants it (`keep_models`): many runs, one load.

use sam_octa2_core::Result;
use sam_octa2_core::loader::{LoadedModel, ModelRequest};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What the last script loaded.
#[derive(Default)]
pub struct KeptModels(Mutex<Vec<Kept>>);

struct Kept {
    /// as it was asked for
    request: Value,
    /// the files that it came from, as they were
    files: Vec<Stamp>,
    model: LoadedModel,
    /// the script that runs asked for it
    used: bool,
}

/// A file and its last change; a folder (an adapter of PEFT) says too little about itself to be kept.
#[derive(PartialEq)]
struct Stamp {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

/// A run ends: what it did not ask for goes.
pub struct OnEnd<'a>(&'a KeptModels);

impl Drop for OnEnd<'_> {
    fn drop(&mut self) {
        let mut gone = Vec::new(); // freed outside of the lock
        let mut kept = self.0.lock();
        for at in (0..kept.len()).rev() {
            if !std::mem::take(&mut kept[at].used) {
                gone.push(kept.remove(at));
            }
        }
        drop(kept);
    }
}

impl KeptModels {
    /// The model, as an earlier script left it or loaded now.
    pub fn load(&self, request: &ModelRequest) -> Result<LoadedModel> {
        let key = serde_json::to_value(request).unwrap_or_default();
        let before =
            |kept: &&mut Kept| kept.request == key && stamps(request, &kept.model).as_ref() == Some(&kept.files);
        if let Some(kept) = self.lock().iter_mut().find(before) {
            kept.used = true;
            return Ok(kept.model.clone());
        }
        let model = request.load()?;
        if let Some(files) = stamps(request, &model) {
            let mut kept = self.lock();
            kept.retain(|other| other.request != key);
            kept.push(Kept { request: key, files, model: model.clone(), used: true });
        }
        Ok(model)
    }

    /// For the time of a run.
    pub fn on_end(&self) -> OnEnd<'_> {
        OnEnd(self)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files of a model as they are now.
fn stamps(request: &ModelRequest, model: &LoadedModel) -> Option<Vec<Stamp>> {
    let config = request.model_config.as_deref().map(Path::new).filter(|path| path.exists());
    let paths = [Some(model.path.as_path()), config, request.adapter.as_deref()];
    let stamp = |path: &Path| {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Stamp { path: path.to_path_buf(), bytes: metadata.len(), modified: metadata.modified().ok()? })
    };
    paths.into_iter().flatten().map(stamp).collect()
}
