//! Checkpoints: `file -> named tensors`, from which a model is built (`model::params`).
//!
//! [`read`] understands official `.pt` files, SAM-OCTA2's fine-tuned `.pth` files and `.safetensors` (what a file is, its content
//! says, not its ending). Nothing that a file says is ever run.

mod adapters;
mod find;
mod names;
mod pickle;
mod safe;
mod torch;
mod write;

pub(crate) use adapters::PEFT;
pub use adapters::{AdapterFile, fingerprint};
pub use find::{default_dirs, find, own_file};
pub(crate) use find::{folders, locate};
pub use names::Adapter;
pub(crate) use safe::{dtype_of, entry, kind_of};
pub(crate) use write::{bytes, write_safetensors, write_torch};

use crate::model::ModelConfig;
use crate::model::config::{Official, Size, Version, preset_names};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// What a file holds, as it names it.
type Raw = Vec<(String, Tensor)>;

/// What a file holds, under the official names.
#[derive(Debug)]
pub struct Checkpoint {
    /// the file
    pub path: PathBuf,
    /// on the CPU, in the file's own types; adapters not merged
    pub tensors: Tensors,
    /// LoRA by the name of the layer: `image_encoder.trunk.blocks.0.attn.qkv`
    pub adapters: BTreeMap<String, Adapter>,
    /// what the adapters are multiplied with (alpha / r: 1 as SAM-OCTA2 trains)
    pub scaling: f64,
    /// the configuration that the file carries, or that its name implies
    pub config: Option<ModelConfig>,
}

impl Checkpoint {
    /// The tensors for inference: every adapter added to its layer, times [`Self::scaling`].
    pub fn merged(self) -> Result<Tensors> {
        let Self { path, mut tensors, adapters, scaling, .. } = self;
        for (layer, adapter) in adapters {
            let name = format!("{layer}.weight");
            let Some(weight) = tensors.get_mut(&name) else {
                let what =
                    format!("an adapter for {layer}, but {name} is not in the file: adapters alone are not enough");
                return Err(Error::format(path, what));
            };
            *weight =
                adapter.merge(weight, scaling).map_err(|error| Error::format(&path, format!("{layer}: {error}")))?;
        }
        Ok(tensors)
    }

    /// The official size whose tensors look like these: a hint for messages, because the picture's size leaves no trace.
    pub fn resembles(&self) -> Option<Official> {
        let channels = self.tensors.get("image_encoder.trunk.patch_embed.proj.bias")?.numel();
        let is_2_1 = self.tensors.contains_key("no_obj_embed_spatial");
        let version = if is_2_1 { Version::V2_1 } else { Version::V2_0 };
        let sizes = [Size::Tiny, Size::Small, Size::BasePlus, Size::Large];
        sizes.into_iter().map(|size| Official { version, size }).find(|official| {
            let encoder = official.config().image_encoder;
            let Some(trunk) = encoder.as_ref().and_then(|encoder| encoder.trunk.hiera()) else { return false };
            let block = |i: i64| self.tensors.contains_key(&format!("image_encoder.trunk.blocks.{i}.norm1.weight"));
            trunk.embed_dim as usize == channels && block(trunk.depth() - 1) && !block(trunk.depth())
        })
    }

    /// The configuration, or an error that says how to give one.
    pub fn require_config(&self) -> Result<&ModelConfig> {
        self.config.as_ref().ok_or_else(|| {
            let hint = self.resembles().map_or_else(
                || format!("one of {}, or a file", preset_names()),
                |official| format!("its tensors have the shapes of \"{official}\""),
            );
            Error::format(&self.path, format!("no configuration is known for this checkpoint, name one ({hint})"))
        })
    }
}

/// Reads a checkpoint.
pub fn read(path: impl AsRef<Path>) -> Result<Checkpoint> {
    let path = path.as_ref();
    let mut file = File::open(path).map_err(Error::io(path))?;
    if file.metadata().map_err(Error::io(path))?.is_dir() {
        return Err(Error::format(path, "a folder, not a checkpoint"));
    }
    let mut start = Vec::new();
    (&mut file).take(64).read_to_end(&mut start).map_err(Error::io(path))?;
    file.rewind().map_err(Error::io(path))?;
    let (raw, config) = match &start[..] {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => (torch::read(file, path)?, None),
        [_, _, _, _, _, _, _, _, b'{', ..] => safe::read(file, path)?,
        other => return Err(Error::format(path, what_else(other))),
    };
    let (tensors, adapters) = names::normalise(raw).map_err(|what| Error::format(path, what))?;
    let config = match config {
        None => ModelConfig::default_for_file(path)?,
        carried => carried,
    };
    Ok(Checkpoint { path: path.to_path_buf(), tensors, adapters, scaling: 1.0, config })
}

/// What a file is that is no checkpoint.
fn what_else(start: &[u8]) -> &'static str {
    const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    match start {
        [] => "an empty file, not a checkpoint",
        _ if start.starts_with(LEGACY) => {
            "written by PyTorch before 1.6; save it anew: torch.save(torch.load(path, weights_only=True), path)"
        }
        _ if start.starts_with(b"version https://git-lfs") => {
            "a Git LFS pointer, not the checkpoint itself: git lfs pull"
        }
        _ if start.trim_ascii_start().starts_with(b"<") => "a web page, not a checkpoint: the download went wrong",
        _ => "neither a PyTorch checkpoint (zip) nor a safetensors file",
    }
}
