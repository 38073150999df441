//! Models known by name: the list `sam2_weights/models.toml`, which is part of the library, and what a user adds to it.
//!
//! `name -> entry (file, configuration, address, digest, licence)`. Nothing here opens a connection: a host downloads.

use super::ModelConfig;
use crate::{Error, Result, did_you_mean};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const BUILT_IN: &str = include_str!("../../../../sam2_weights/models.toml");
/// The user's own list in a folder of checkpoints.
const OWN: &str = "my-models.toml";
/// Names another list of the user's.
const VARIABLE: &str = "SAM_OCTA2_MODELS";
/// A list is shorter.
const LONGEST: u64 = 1 << 20;

/// A model in the list; the fields are the keys of the file, which explains them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueEntry {
    /// what `--model` takes
    pub name: String,
    /// which kind of network it is
    #[serde(default)]
    pub family: Option<String>,
    /// file name of the checkpoint
    pub file: String,
    /// an official configuration by name, or a file; none: the checkpoint carries it
    #[serde(default)]
    pub config: Option<String>,
    /// side in pixels of the square that the model sees, where it is not that of `config`
    #[serde(default)]
    pub image_size: Option<i64>,
    /// where the checkpoint is published
    #[serde(default)]
    pub url: Option<String>,
    /// its size
    #[serde(default)]
    pub bytes: Option<u64>,
    /// SHA-256 in lower-case hexadecimal digits
    #[serde(default)]
    pub sha256: Option<String>,
    /// name of its terms
    #[serde(default)]
    pub licence: Option<String>,
    /// what they ask for, in a sentence
    #[serde(default)]
    pub terms: Option<String>,
    /// where their text is
    #[serde(default)]
    pub licence_url: Option<String>,
    /// data
    #[serde(default)]
    pub trained_on: Option<String>,
    /// uses
    #[serde(default)]
    pub good_for: Option<String>,
    /// what to cite
    #[serde(default)]
    pub citation: Option<String>,
    /// why it cannot be used here
    #[serde(default)]
    pub unsupported: Option<String>,
    /// the user's list that names it; none: it is built in
    #[serde(skip_deserializing)]
    pub list: Option<PathBuf>,
}

/// The built-in list with the user's own.
#[derive(Debug, Clone)]
pub struct Catalogue(Vec<CatalogueEntry>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    model: Vec<CatalogueEntry>,
}

impl Catalogue {
    /// The built-in list, `my-models.toml` of each of the folders and the file in `$SAM_OCTA2_MODELS`. A later entry of a name replaces
    /// an earlier one; of several folders the nearest, which comes first, decides.
    ///
    /// # Errors
    /// A list of the user's is not well formed; the text names file, line and what is wrong.
    pub fn load(folders: &[PathBuf]) -> Result<Self> {
        let mut all = Self(Vec::new());
        all.add(BUILT_IN, None)?;
        let own = folders.iter().rev().map(|folder| folder.join(OWN)).filter(|path| path.is_file());
        for path in own.chain(std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)) {
            let size = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
            if size > LONGEST {
                return Err(Error::format(&path, "not a list of models: larger than 1 MB"));
            }
            all.add(&std::fs::read_to_string(&path).map_err(Error::io(&path))?, Some(&path))?;
        }
        Ok(all)
    }

    /// The built-in list alone.
    pub fn built_in() -> Result<Self> {
        let mut all = Self(Vec::new());
        all.add(BUILT_IN, None)?;
        Ok(all)
    }

    fn add(&mut self, text: &str, path: Option<&Path>) -> Result<()> {
        let place = path.unwrap_or(Path::new("models.toml"));
        let list: List = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map(|before| format!("line {}: ", before.matches('\n').count() + 1)).unwrap_or_default();
            Error::format(place, format!("{line}{}", error.message().replace('\n', " ")))
        })?;
        let mut seen = Vec::new();
        for mut entry in list.model {
            entry.check().map_err(|what| Error::format(place, format!("\"{}\": {what}", entry.name)))?;
            if seen.contains(&entry.name) {
                return Err(Error::format(place, format!("\"{}\" is there twice", entry.name)));
            }
            seen.push(entry.name.clone());
            entry.list = path.map(Path::to_path_buf);
            match self.0.iter_mut().find(|known| known.name == entry.name) {
                Some(known) => *known = entry,
                None => self.0.push(entry),
            }
        }
        Ok(())
    }

    /// All models, those of the built-in list first.
    pub fn entries(&self) -> &[CatalogueEntry] {
        &self.0
    }

    /// The model with this name, or whose file has it without its ending.
    pub fn named(&self, name: &str) -> Option<&CatalogueEntry> {
        self.0.iter().find(|entry| entry.name == name).or_else(|| self.0.iter().find(|entry| entry.stem() == name))
    }

    /// The model that a file's name implies: `.../sam2_hiera_tiny.pt`, whatever its ending and its folder.
    pub fn of_file(&self, path: &Path) -> Option<&CatalogueEntry> {
        let stem = path.file_stem()?.to_str()?;
        self.0.iter().find(|entry| entry.stem().eq_ignore_ascii_case(stem))
    }

    /// The names of all that can be used, for messages.
    pub fn names(&self) -> String {
        let usable = self.0.iter().filter(|entry| entry.unsupported.is_none());
        usable.map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// "; did you mean ...?" where a name looks like this one.
    pub fn nearest(&self, name: &str) -> String {
        did_you_mean(name, self.0.iter().map(|entry| entry.name.as_str()))
    }
}

impl CatalogueEntry {
    /// The file's name without its ending.
    pub fn stem(&self) -> &str {
        self.file.rsplit_once('.').map_or(&self.file, |(stem, _)| stem)
    }

    /// The configuration; `None`: the checkpoint carries it.
    ///
    /// # Errors
    /// The list names a configuration that is not there, or that is none.
    pub fn configuration(&self) -> Result<Option<ModelConfig>> {
        let Some(name) = &self.config else { return Ok(None) };
        let mut config = match ModelConfig::preset(name) {
            Ok(official) => official,
            Err(_) => {
                let beside = self.list.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
                ModelConfig::from_file(beside.join(name))?
            }
        };
        if let Some(size) = self.image_size {
            config.image_size = size;
            config.validate().map_err(|error| Error::invalid(format!("\"{}\": {error}", self.name)))?;
        }
        Ok(Some(config))
    }

    /// `Ok`, or what is wrong with what the file says.
    fn check(&mut self) -> std::result::Result<(), String> {
        if self.name.is_empty() || self.name.contains(['/', '\\']) || self.name.chars().any(char::is_control) {
            return Err("`name` is empty or has a slash".to_owned());
        }
        let plain = Path::new(&self.file).file_name().is_some_and(|name| name == self.file.as_str());
        let ending = [".pt", ".pth", ".safetensors"].iter().any(|ending| self.file.ends_with(ending));
        if !plain || !ending || self.file.contains('\\') || self.file.chars().any(char::is_control) {
            return Err(
                "`file` is to be a file name that ends in .pt, .pth or .safetensors, without a folder".to_owned()
            );
        }
        if self.url.as_ref().is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
            return Err("`url` is to begin with https:// (or http://)".to_owned());
        }
        if let Some(digest) = &mut self.sha256 {
            digest.make_ascii_lowercase();
            if digest.len() != 64 || !digest.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err("`sha256` is to be 64 hexadecimal digits".to_owned());
            }
        }
        if self.image_size.is_some() && self.config.is_none() {
            return Err("`image_size` needs `config`".to_owned());
        }
        Ok(())
    }
}
