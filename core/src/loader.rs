//! From what a user names to a model that is ready: find the checkpoint, know its configuration, choose device and precision, build.

use crate::device::{Device, Precision};
use crate::guard::guard;
use crate::measure::octa::{About, Validation};
use crate::model::config::Official;
use crate::model::params::Params;
use crate::model::{Model, ModelConfig};
use crate::weights::AdapterFile;
use crate::{Result, weights};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which weights to use, in which shape, where and how exactly.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ModelRequest {
    /// an official size by name (`tiny`, `2.1-base_plus`, ...), looked up in the weights folders, or a checkpoint file
    pub model: String,
    /// an official size by name or a configuration file; default: implied by the checkpoint
    #[serde(default)]
    pub model_config: Option<String>,
    /// what fine-tuning has learnt for this checkpoint: a file of ours, or a folder (or file) of PEFT's
    #[serde(default)]
    pub adapter: Option<PathBuf>,
    /// where and how exactly to compute, and where checkpoints lie
    #[serde(flatten)]
    pub place: Place,
}

/// Where and how exactly to compute, and where checkpoints lie: the same for every network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// where to compute
    pub device: Device,
    /// how exactly to compute
    pub precision: Precision,
    /// folders searched for checkpoints, besides `$SAM_OCTA2_WEIGHTS`, `./sam2_weights` and those beside and above the program and the plugin
    pub weights_dirs: Vec<PathBuf>,
}

impl Place {
    /// A checkpoint by its name in the folders, or by its path.
    pub(crate) fn find(&self, checkpoint: &str) -> Result<PathBuf> {
        weights::find(checkpoint, &self.dirs())
    }

    /// Folders to search, nearest first.
    fn dirs(&self) -> Vec<PathBuf> {
        let files = [std::env::current_exe().ok(), weights::own_file()];
        let beside = files.iter().flatten().flat_map(|file| weights::default_dirs(file));
        let mut dirs = self.weights_dirs.clone();
        for dir in beside {
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        dirs
    }
}

/// The method of labels that need no prompt, as reports and scripts spell it.
pub const WITHOUT_A_CLICK: &str = "without a click";

/// A model with where it came from.
#[derive(Clone)]
pub struct LoadedModel {
    /// the model
    pub model: Arc<Model>,
    /// its checkpoint
    pub path: PathBuf,
    /// as it was asked for
    pub request: ModelRequest,
}

impl LoadedModel {
    /// Where it computes: `cpu`, `cuda:0`.
    pub fn device(&self) -> String {
        device_name(self.model.device())
    }

    /// How exactly it computes: `f32`, `bf16`, `f16`.
    pub fn precision(&self) -> &'static str {
        precision_name(self.model.kind())
    }

    /// What a report says of the model that made its labels by a `method`, in words. What the model was validated on, the table
    /// `NAME.validation.json` beside the checkpoint, holds for labels [`WITHOUT_A_CLICK`] alone. Errors: a table that cannot be read.
    pub fn about(&self, method: &str) -> Result<About> {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let adapter = self.request.adapter.as_ref().map(|adapter| format!(" with {}", adapter.display()));
        let mut about = About {
            model: Some(name + &adapter.unwrap_or_default()),
            fingerprint: Some(self.model.fingerprint().to_owned()),
            method: Some(method.to_owned()),
            ..About::default()
        };
        let table = self.path.with_extension("validation.json");
        if method == WITHOUT_A_CLICK && table.exists() {
            about.validated(Validation::read(&table)?);
        }
        Ok(about)
    }
}

/// Where a model computes: `cpu`, `cuda:0`.
pub fn device_name(device: tch::Device) -> String {
    match device {
        tch::Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// How exactly it computes: `f32`, `bf16`, `f16`.
pub fn precision_name(kind: tch::Kind) -> &'static str {
    match kind {
        tch::Kind::BFloat16 => "bf16",
        tch::Kind::Half => "f16",
        _ => "f32",
    }
}

impl ModelRequest {
    /// The same for comparisons with the Python package: in float32 unless a precision is named.
    pub(crate) fn for_comparison(&self) -> Self {
        let mut same = self.clone();
        if same.place.precision == Precision::Auto {
            same.place.precision = Precision::F32;
        }
        same
    }

    /// What the model is built from: tensors, configuration and device.
    pub(crate) fn parts(&self) -> Result<(weights::Checkpoint, ModelConfig, tch::Device)> {
        let path = self.place.find(&self.model)?;
        let device = self.place.device.resolve()?;
        let mut checkpoint = weights::read(&path)?;
        let config = match &self.model_config {
            Some(name) => ModelConfig::load(name)?,
            None => checkpoint.require_config()?.clone(),
        };
        if let Some(adapter) = &self.adapter {
            AdapterFile::read(adapter)?.apply(&mut checkpoint)?;
        }
        Ok((checkpoint, config, device))
    }

    /// Loads the model.
    pub fn load(&self) -> Result<LoadedModel> {
        self.load_with(|config| config)
    }

    /// Loads the model with a changed configuration.
    pub fn load_with(&self, change: impl FnOnce(ModelConfig) -> ModelConfig) -> Result<LoadedModel> {
        let (checkpoint, config, device) = self.parts()?;
        let kind = self.place.precision.resolve(device);
        let path = checkpoint.path.clone();
        let tensors = checkpoint.merged()?;
        let model = guard(|| Model::new(Params::from_tensors(tensors, device, kind), change(config)))
            .map_err(|error| error.in_file(&path))?;
        Ok(LoadedModel { model: Arc::new(model), path, request: self.clone() })
    }
}

/// A checkpoint by name, and where it lies (or where it can be had).
#[derive(Debug, Serialize)]
pub struct KnownModel {
    /// the name to give
    pub name: String,
    /// the file, if it is there
    pub path: Option<PathBuf>,
    /// where an official checkpoint is published
    pub url: Option<String>,
}

impl std::fmt::Display for KnownModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.path, &self.url) {
            (Some(path), _) => write!(f, "{:16} {}", self.name, path.display()),
            (None, Some(url)) => write!(f, "{:16} not here; {url}", self.name),
            (None, None) => write!(f, "{:16} not here", self.name),
        }
    }
}

/// The official sizes, present or not, and every other checkpoint in the weights folders.
pub fn list(weights_dirs: &[PathBuf]) -> Vec<KnownModel> {
    let dirs = Place { weights_dirs: weights_dirs.to_vec(), ..Place::default() }.dirs();
    let official = Official::all().map(|official| KnownModel {
        name: official.to_string(),
        path: weights::find(&official.to_string(), &dirs).ok(),
        url: Some(official.url()),
    });
    let mut known: Vec<_> = official.collect();
    for path in dirs.iter().chain([&PathBuf::from("sam2_weights")]).flat_map(|dir| checkpoints(dir)) {
        let there = |path: &PathBuf| path.canonicalize().ok(); // one folder may be named twice
        if !known.iter().any(|model| model.path.as_ref().and_then(there) == there(&path)) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            known.push(KnownModel { name, path: Some(path), url: None });
        }
    }
    known
}

fn checkpoints(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "pt" || e == "pth" || e == "safetensors"))
        .collect();
    found.sort();
    found
}
