//! What training leaves on disk: adapters for use (`adapter.safetensors`), and everything that is needed to go on as if nothing had
//! happened (`checkpoint.safetensors`). Both are written beside and renamed, so that a kill leaves the one before.

use super::optimizer::Adam;
use super::trainee::{Adapt, Trainee};
use super::training_loop::Trainable;
use crate::guard::torch;
use crate::io::write_text;
use crate::weights::{PEFT, Tensors, write_safetensors};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tch::{Tensor, no_grad};

/// `format` in the metadata of a checkpoint of training
const CHECKPOINT: &str = "sam_octa2.training/1";
/// `format` in the metadata of adapters
const ADAPTER: &str = "sam_octa2.adapter/1";

/// Where training stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// epochs done
    pub epoch: usize,
    /// clips done of the epoch under way
    pub clip: usize,
    /// sum of the losses of these clips
    pub loss: f64,
    /// clips that were left out in the epoch under way
    pub skipped: usize,
}

fn metadata(format: &str, entries: &[(&str, &Value)]) -> HashMap<String, String> {
    let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), value.to_string()));
    entries.chain([("format".to_owned(), format.to_owned())]).collect()
}

impl Trainee {
    /// Writes what was trained, to be used with the model that it was trained on: `metrics` go with it.
    pub fn write_adapter(&self, path: &Path, metrics: &Value) -> Result<()> {
        let tensors = self.parameters.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        let adapt = serde_json::to_value(&self.adapt).unwrap_or_default();
        let base = Value::String(self.base.clone());
        let config = serde_json::to_value(self.model.config()).unwrap_or_default();
        let entries = [("adapt", &adapt), ("base", &base), ("base_config", &config), ("metrics", metrics)];
        write_safetensors(path, &tensors, metadata(ADAPTER, &entries))
    }

    /// Writes the adapters as PEFT does, into a folder: around the image encoder, as SAM-OCTA2 wraps it, where nothing else was adapted.
    /// Errors: whole parts were trained, which PEFT's format does not hold.
    pub fn write_peft(&self, folder: &Path) -> Result<()> {
        const ENCODER: &str = "image_encoder.";
        let encoder = self.parameters.iter().all(|(name, _)| name.starts_with(ENCODER));
        let (mut tensors, mut layers, mut biases) = (Tensors::new(), Vec::new(), false);
        for (name, tensor) in &self.parameters {
            let name = if encoder { &name[ENCODER.len()..] } else { name };
            let name = if let Some(layer) = name.strip_suffix(".lora_A.weight") {
                layers.push(layer.to_owned());
                name.to_owned()
            } else if name.ends_with(".lora_B.weight") {
                name.to_owned()
            } else if let Some(layer) = name.strip_suffix(".bias").filter(|_| self.adapt.train.is_empty()) {
                biases = true;
                format!("{layer}.base_layer.bias")
            } else {
                return Err(Error::invalid(format!("{name} was trained whole: PEFT's format holds adapters only")));
            };
            tensors.insert(format!("base_model.model.{name}"), tensor.shallow_clone());
        }
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        write_safetensors(&folder.join(PEFT[0]), &tensors, HashMap::from([("format".to_owned(), "pt".to_owned())]))?;
        let Adapt { rank, alpha, dropout, .. } = self.adapt;
        let config = json!({
            "peft_type": "LORA", "r": rank, "lora_alpha": alpha, "lora_dropout": dropout, "target_modules": layers,
            "bias": if biases { "lora_only" } else { "none" }, "inference_mode": true,
        });
        write_text(folder.join(PEFT[1]), &format!("{config:#}\n"))
    }
}

/// The parameters as a file of this training has them (`adapter.safetensors`, `segmenter.safetensors`).
pub fn read_parameters(path: &Path, parameters: &[(String, Tensor)]) -> Result<()> {
    let read: BTreeMap<_, _> = torch(|| Tensor::read_safetensors(path))?.into_iter().collect();
    for (name, parameter) in parameters {
        let saved = read.get(name).filter(|saved| saved.size() == parameter.size());
        let saved = saved.ok_or_else(|| Error::format(path, format!("{name} is not in it as it is trained")))?;
        no_grad(|| parameter.shallow_clone().copy_(saved));
    }
    Ok(())
}

/// Writes everything that is needed to go on.
pub fn save(path: &Path, trainable: &dyn Trainable, adam: &Adam, state: &Value) -> Result<()> {
    let mut tensors = Tensors::new();
    for (name, tensor) in trainable.parameters() {
        tensors.insert(format!("parameter.{name}"), tensor.shallow_clone());
    }
    let (moments, steps) = adam.state();
    tensors.extend(moments);
    let (steps, base) = (Value::from(steps), Value::from(trainable.base()));
    write_safetensors(path, &tensors, metadata(CHECKPOINT, &[("state", state), ("steps", &steps), ("base", &base)]))
}

/// Goes on from a checkpoint of the same training: parameters, optimizer, and the state that was saved with them.
pub fn load(path: &Path, trainable: &dyn Trainable, adam: &mut Adam) -> Result<Value> {
    let wrong = |what: String| Error::format(path, what);
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)
        .map_err(|error| wrong(format!("no checkpoint of training: {error}")))?;
    let entries = header.metadata().clone().unwrap_or_default();
    let entry = |key: &str| entries.get(key).and_then(|text| serde_json::from_str::<Value>(text).ok());
    if entries.get("format").map(String::as_str) != Some(CHECKPOINT) {
        return Err(wrong("no checkpoint of training".into()));
    }
    if entry("base") != Some(Value::from(trainable.base())) {
        return Err(wrong("the training was of another model; choose that one, or another output folder".into()));
    }
    let read = torch(|| Tensor::read_safetensors(path))?;
    let mut tensors: BTreeMap<String, Tensor> = read.into_iter().collect();
    for (name, parameter) in trainable.parameters() {
        let saved = tensors.remove(&format!("parameter.{name}"));
        let saved = saved.filter(|saved| saved.size() == parameter.size());
        let saved = saved
            .ok_or_else(|| wrong(format!("{name} is not in it, or of another shape: other adapters were trained")))?;
        no_grad(|| parameter.shallow_clone().copy_(&saved));
    }
    let steps = entry("steps").and_then(|steps| steps.as_u64()).unwrap_or(0);
    adam.set_state(tensors, steps as usize)?;
    entry("state").ok_or_else(|| wrong("it does not say where the training stood".into()))
}
