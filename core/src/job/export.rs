//! A checkpoint with what fine-tuning learnt, as one file for other programs.

use crate::device::Precision;
use crate::loader::ModelRequest;
use crate::model::params::Params;
use crate::model::{Model, ModelConfig};
use crate::train::trainee::FREQUENCIES;
use crate::weights::{self, Checkpoint, Tensors};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use tch::{Device, Kind};

/// What to write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportRequest {
    /// the checkpoint, and the adapter that belongs to it; `precision` bf16 or f16 writes numbers of two bytes, otherwise they stay as they are
    #[serde(flatten)]
    pub model: ModelRequest,
    /// `.pt`, `.pth` or `.safetensors`
    pub output: PathBuf,
    /// names and form of what is written
    #[serde(default)]
    pub layout: Layout,
}

/// Names and form of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// as the official checkpoints: adapters added to their layers, `{"model": state_dict}`
    #[default]
    Official,
    /// as SAM-OCTA2 saves its training: PEFT's names around the image encoder, adapters beside their layers
    SamOcta2,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// the file
    pub output: PathBuf,
    /// its layout
    pub layout: Layout,
    /// tensors in it
    pub tensors: usize,
    /// adapters in it, or added to their layers
    pub adapters: usize,
    /// bytes
    pub size: u64,
}

/// Writes a checkpoint. Errors: adapters outside of the image encoder in SAM-OCTA2's layout, which has no names for them.
pub fn export(request: &ExportRequest) -> Result<ExportReport> {
    let ExportRequest { model, output, layout } = request;
    let (checkpoint, config, _) = model.parts()?;
    let kind = match model.place.precision {
        Precision::Auto | Precision::F32 => None,
        half => Some(half.resolve(Device::Cpu)),
    };
    let adapters = checkpoint.adapters.len();
    let ending = output.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let tensors = match layout {
        Layout::Official => checkpoint.merged()?,
        Layout::SamOcta2 => wrapped(checkpoint)?,
    };
    let tensors = match kind {
        // frequencies of coordinates keep all their digits
        Some(kind) => {
            let half = |(name, tensor): (String, tch::Tensor)| match name.ends_with(FREQUENCIES) {
                true => (name, tensor),
                false => (name, tensor.to_kind(kind)),
            };
            tensors.into_iter().map(half).collect()
        }
        None => tensors,
    };
    match ending.as_str() {
        "pt" | "pth" => weights::write_torch(output, &tensors, (*layout == Layout::Official).then_some("model"))?,
        "safetensors" => {
            let config = serde_json::to_string(&config).map_err(|error| Error::invalid(error.to_string()))?;
            weights::write_safetensors(output, &tensors, HashMap::from([("config".to_owned(), config)]))?;
        }
        _ => return Err(Error::format(output, "a checkpoint is a .pt, a .pth or a .safetensors file")),
    }
    let size = std::fs::metadata(output).map_err(Error::io(output))?.len();
    Ok(ExportReport { output: output.clone(), layout: *layout, tensors: tensors.len(), adapters, size })
}

/// SAM-OCTA2's names: `image_encoder.base_model.model.trunk. ... .qkv.{base_layer.weight, lora_A.default.weight, ...}`. There adapters are added as
/// they are, so that our scaling goes into `lora_B`.
fn wrapped(checkpoint: Checkpoint) -> Result<Tensors> {
    const ENCODER: &str = "image_encoder.";
    let Checkpoint { path, tensors, adapters, scaling, .. } = checkpoint;
    if adapters.is_empty() {
        return Err(Error::format(path, "there are no adapters in it; the layout `official` needs none"));
    }
    if let Some(other) = adapters.keys().find(|layer| !layer.starts_with(ENCODER)) {
        return Err(Error::format(path, format!("SAM-OCTA2 has no adapter for {other}; choose the layout `official`")));
    }
    let rename = |name: &str| match name.strip_prefix(ENCODER) {
        Some(rest) => format!("{ENCODER}base_model.model.{rest}"),
        None => name.to_owned(),
    };
    let mut written = Tensors::new();
    for (name, tensor) in tensors {
        let base = name.rsplit_once('.').filter(|(layer, _)| adapters.contains_key(*layer));
        let new = base.map_or_else(|| rename(&name), |(layer, kind)| format!("{}.base_layer.{kind}", rename(layer)));
        written.insert(new, tensor);
    }
    for (layer, adapter) in adapters {
        let b = crate::guard::torch(|| adapter.b.f_mul_scalar(scaling))?;
        written.insert(format!("{}.lora_A.default.weight", rename(&layer)), adapter.a);
        written.insert(format!("{}.lora_B.default.weight", rename(&layer)), b);
    }
    Ok(written)
}

/// Random weights to train from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreshRequest {
    /// an official size by name, or a configuration file
    pub model_config: String,
    /// equal seeds give equal weights on the same machine
    #[serde(default)]
    pub seed: u64,
    /// `.safetensors`, which carries the configuration
    pub output: PathBuf,
}

/// Writes random weights of a configuration.
pub fn fresh(request: &FreshRequest) -> Result<ExportReport> {
    let FreshRequest { model_config, seed, output } = request;
    let config = ModelConfig::load(model_config)?;
    if output.extension().is_none_or(|ending| ending != "safetensors") {
        return Err(Error::format(
            output,
            "random weights are written as .safetensors, which carry their configuration",
        ));
    }
    let params = Params::random(*seed, Device::Cpu, Kind::Float).remembering();
    crate::guard::guard(|| Model::new(params.clone(), config.clone()))?;
    let tensors = params.given();
    let text = serde_json::to_string(&config).map_err(|error| Error::invalid(error.to_string()))?;
    weights::write_safetensors(output, &tensors, HashMap::from([("config".to_owned(), text)]))?;
    let size = std::fs::metadata(output).map_err(Error::io(output))?.len();
    Ok(ExportReport { output: output.clone(), layout: Layout::Official, tensors: tensors.len(), adapters: 0, size })
}
