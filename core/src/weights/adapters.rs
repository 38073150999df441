//! Adapters by themselves: what fine-tuning learnt, to be added to the checkpoint that it started from.
//!
//! Read and written: a file of ours (`.safetensors` with `format` `sam_octa2.adapter/1` in its metadata) and PEFT's pair
//! `adapter_model.safetensors` and `adapter_config.json`.

use super::{Adapter, Checkpoint, Tensors, names};
use crate::model::params::head;
use crate::{Error, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// PEFT's file names.
pub(crate) const PEFT: [&str; 2] = ["adapter_model.safetensors", "adapter_config.json"];

/// A name for the weights of a checkpoint: sha256 (hexadecimal) over name, shape and the first 64 numbers (as float32) of every tensor.
pub fn fingerprint(tensors: &Tensors) -> String {
    let mut hash = Sha256::new();
    for (name, tensor) in tensors {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(head(tensor));
    }
    format!("{:x}", hash.finalize())
}

/// What an adapter file holds.
#[derive(Debug)]
pub struct AdapterFile {
    path: PathBuf,
    /// LoRA by the name of the layer
    pub adapters: BTreeMap<String, Adapter>,
    /// parameters that replace those of the checkpoint
    pub tensors: Tensors,
    /// what the adapters are multiplied with
    pub scaling: f64,
    /// the weights that they belong to, where the file says so
    pub base: Option<String>,
}

impl AdapterFile {
    /// Reads a file of ours, or PEFT's folder (or the file in it).
    pub fn read(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join(PEFT[0]) } else { path.to_owned() };
        let wrong = |what: String| Error::format(&file, what);
        let bytes = fs::read(&file).map_err(Error::io(&file))?;
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)
            .map_err(|error| wrong(format!("adapters come as .safetensors: {error}")))?;
        let entries = header.metadata().clone().unwrap_or_default();
        drop(bytes);
        let entry = |key: &str| entries.get(key).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let beside = file.with_file_name(PEFT[1]);
        let (rank, alpha) = match entry("adapt") {
            Some(adapt) => (adapt["rank"].as_f64(), adapt["alpha"].as_f64()),
            None if beside.exists() => {
                let text = fs::read_to_string(&beside).map_err(Error::io(&beside))?;
                let config: Value =
                    serde_json::from_str(&text).map_err(|error| Error::format(&beside, error.to_string()))?;
                refuse_variants(&config).map_err(|what| Error::format(&beside, what))?;
                (config["r"].as_f64(), config["lora_alpha"].as_f64())
            }
            None => return Err(wrong(format!("does not say its scaling, and there is no {} beside it", PEFT[1]))),
        };
        let (Some(rank), Some(alpha)) = (rank, alpha) else { return Err(wrong("does not say rank and alpha".into())) };
        let read = crate::guard::torch(|| Tensor::read_safetensors(&file))?;
        let raw = read.into_iter().map(|(name, tensor)| (official(name), tensor)).collect();
        let (tensors, adapters) = names::normalise(raw).map_err(wrong)?;
        let base = entry("base").and_then(|base| base.as_str().map(str::to_owned));
        Ok(Self { path: path.to_owned(), adapters, tensors, scaling: alpha / rank.max(1.0), base })
    }

    /// Joins them to the checkpoint that they belong to. Errors: another checkpoint; a parameter that it does not have.
    pub fn apply(self, checkpoint: &mut Checkpoint) -> Result<()> {
        let Self { path, adapters, tensors, scaling, base } = self;
        let wrong = |what: String| Err(Error::format(&path, what));
        if base.is_some_and(|base| base != fingerprint(&checkpoint.tensors)) {
            return wrong(format!("was trained from other weights than {}", checkpoint.path.display()));
        }
        if !checkpoint.adapters.is_empty() && !adapters.is_empty() {
            return wrong(format!("{} has adapters already", checkpoint.path.display()));
        }
        for (name, tensor) in tensors {
            match checkpoint.tensors.get_mut(&name) {
                Some(old) if old.size() == tensor.size() => *old = tensor,
                Some(old) => return wrong(format!("{name} is {:?} and not {:?}", tensor.size(), old.size())),
                None => return wrong(format!("{} has no {name}", checkpoint.path.display())),
            }
        }
        (checkpoint.adapters, checkpoint.scaling) = (adapters, scaling);
        Ok(())
    }
}

/// PEFT names parameters from where it wraps the model: around the image encoder (SAM-OCTA2), or around the whole model.
fn official(name: String) -> String {
    let bare = name.replace("base_model.model.", "");
    let encoder = ["trunk.", "neck."].iter().any(|prefix| bare.starts_with(prefix));
    if encoder { format!("image_encoder.{bare}") } else { bare }
}

/// Kinds of LoRA that are computed differently.
fn refuse_variants(config: &Value) -> std::result::Result<(), String> {
    if config["peft_type"].as_str().is_some_and(|kind| kind != "LORA") {
        return Err(format!("adapters of the kind {} are not understood, only LORA", config["peft_type"]));
    }
    for key in ["use_dora", "use_rslora", "fan_in_fan_out"] {
        if config[key].as_bool() == Some(true) {
            return Err(format!("{key} is not understood"));
        }
    }
    for key in ["rank_pattern", "alpha_pattern"] {
        if config[key].as_object().is_some_and(|pattern| !pattern.is_empty()) {
            return Err(format!("{key} is not understood: one rank and one alpha for all layers"));
        }
    }
    Ok(())
}
