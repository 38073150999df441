//! From what a user names to a model that is ready: find the checkpoint, know its configuration, choose device and precision, build.

use crate::device::{Device, Precision};
use crate::guard::guard;
use crate::measure::octa::{About, Validation};
use crate::model::config::{Catalogue, CatalogueEntry};
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
    /// an official configuration by name or a configuration file; default: implied by the checkpoint
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
            None => self.implied_config(&checkpoint)?,
        };
        if let Some(adapter) = &self.adapter {
            AdapterFile::read(adapter)?.apply(&mut checkpoint)?;
        }
        Ok((checkpoint, config, device))
    }

    /// The configuration that goes with the checkpoint: what it carries or its file's name implies, else what the catalogue says of its name.
    fn implied_config(&self, checkpoint: &weights::Checkpoint) -> Result<ModelConfig> {
        if checkpoint.config.is_none() {
            let catalogue = Catalogue::load(&weights::folders(&self.place.dirs()))?;
            if let Some(config) = catalogue.named(&self.model).map(CatalogueEntry::configuration).transpose()?.flatten()
            {
                return Ok(config);
            }
        }
        checkpoint.require_config().cloned()
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

/// A model by name, with what is known of it, and where its checkpoint lies.
#[derive(Debug, Serialize)]
pub struct KnownModel {
    /// what the catalogue says; of a checkpoint that it does not name, the file's name alone
    #[serde(flatten)]
    pub entry: CatalogueEntry,
    /// the file, if it is there
    pub path: Option<PathBuf>,
}

/// The catalogue's models, present or not, and every other checkpoint in the weights folders.
///
/// # Errors
/// A list of the user's is not well formed.
pub fn list(weights_dirs: &[PathBuf]) -> Result<Vec<KnownModel>> {
    let folders = weights::folders(&Place { weights_dirs: weights_dirs.to_vec(), ..Place::default() }.dirs());
    Ok(list_with(&Catalogue::load(&folders)?, &folders))
}

/// The same without the user's lists, for a host that asks what there is while one of them is damaged.
pub fn list_built_in() -> Result<Vec<KnownModel>> {
    Ok(list_with(&Catalogue::built_in()?, &weights::folders(&Place::default().dirs())))
}

fn list_with(catalogue: &Catalogue, folders: &[PathBuf]) -> Vec<KnownModel> {
    let listed = catalogue.entries().iter();
    let listed = listed.map(|entry| KnownModel { path: weights::locate(entry.stem(), folders), entry: entry.clone() });
    let mut known: Vec<_> = listed.collect();
    for path in folders.iter().flat_map(|dir| checkpoints(dir)) {
        let there = |path: &PathBuf| path.canonicalize().ok(); // one folder may be named twice
        if !known.iter().any(|model| model.path.as_ref().and_then(there) == there(&path)) {
            let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
            let (name, file) = (text(path.file_stem()), text(path.file_name()));
            known.push(KnownModel { entry: CatalogueEntry { name, file, ..Default::default() }, path: Some(path) });
        }
    }
    known
}

/// Where a host puts a checkpoint that it downloads: the first of `weights_dirs`, of `$SAM_OCTA2_WEIGHTS`, of the folders that are there, else
/// `./sam2_weights`.
pub fn download_folder(weights_dirs: &[PathBuf]) -> PathBuf {
    let variable = std::env::var_os("SAM_OCTA2_WEIGHTS");
    let named = variable.iter().flat_map(std::env::split_paths).find(|path| !path.as_os_str().is_empty());
    let dirs = || weights::folders(&Place::default().dirs()).into_iter().next();
    weights_dirs.first().cloned().or(named).or_else(dirs).unwrap_or_default()
}

/// The list as a table for people.
pub fn table(models: &[KnownModel]) -> String {
    let mut lines = vec![format!("{:18} {:>8}  {:29} {:5} {}", "name", "size", "licence", "here", "good for")];
    for KnownModel { entry, path } in models {
        let size = entry.bytes.map_or_else(String::new, |bytes| format!("{} MB", (bytes + 500_000) / 1_000_000));
        let here = if path.is_some() { "yes" } else { "no" };
        let about: &str = match (&entry.unsupported, &entry.good_for, path) {
            (Some(_), ..) => "(cannot be used here)",
            (None, Some(uses), _) => uses,
            (None, None, Some(path)) => &path.display().to_string(),
            _ => "",
        };
        let licence = entry.licence.as_deref().unwrap_or_default();
        lines.push(format!("{:18} {size:>8}  {licence:29} {here:5} {about}", entry.name).trim_end().to_owned());
    }
    lines.join("\n")
}

fn checkpoints(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "pt" || e == "pth" || e == "safetensors"))
        .collect();
    found.sort();
    found
}
