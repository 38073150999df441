//! Features of images on disk: an image goes through the encoder once, for every session that opens its case again, and for trainings whose
//! encoder stays as it is.
//!
//! `session/slices.rs, train/step.rs -> get(image) -> a file, or the encoder and a file`. A file is named after everything that decides about its
//! numbers: program, weights, precision, kind of device, and the image as the model sees it. So a slice is recognised in whichever volume it
//! lies, another window is another file, and no volume is read to know it. A file that is damaged or not what its name says is computed
//! and written anew. Files may go at any time: what is gone is computed.

mod file;
mod folder;

use crate::device::cuda;
use crate::guard::torch;
use crate::io::{TEMPORARY, spare_file};
use crate::model::{ImageFeatures, Model};
use crate::weights::bytes;
use crate::{Error, Result};
use folder::FileStore;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;
use tch::{Device, Kind, Tensor};

/// To be raised when the encoder's numbers change; the program's version is in the names, too.
const VERSION: u32 = 1;

/// A folder of features.
pub struct FeatureFolder {
    files: FileStore,
    form: Form,
    /// what the features depend on, besides the image
    model: String,
    /// images that were found
    found: AtomicUsize,
    /// why nothing is written any more
    problem: OnceLock<String>,
}

/// What the features of a model look like.
struct Form {
    /// names in the file, and shapes
    parts: Vec<(&'static str, Vec<i64>)>,
    kind: Kind,
    device: Device,
}

/// What a folder of features gave so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FeaturesInfo {
    /// the folder
    pub folder: PathBuf,
    /// slices whose features were read from it
    pub read: usize,
    /// why no features are written to it any more; the work goes on without
    pub problem: Option<String>,
}

/// Where the numbers are made, as far as they depend on it: GPUs of different models differ in the last bits.
fn processor(device: Device) -> String {
    match device {
        Device::Cuda(index) => {
            cuda::gpus().ok().and_then(|gpus| gpus.get(index)).map_or("gpu".into(), |gpu| gpu.name.clone())
        }
        _ => "cpu".to_owned(),
    }
}

impl FeatureFolder {
    /// Features of `model` in a folder, which is created; `weights` names the weights of its image encoder. What all its files take stays below
    /// `most` bytes, also where several programs work on it: the files used longest ago go first. Other files are left alone.
    ///
    /// Errors: the folder cannot be written, or there is no room for one image.
    pub fn open(folder: &Path, model: &Model, weights: &str, most: u64) -> Result<Self> {
        let form = Form::of(model);
        let refused = |error: std::io::Error| {
            Error::io(folder)(std::io::Error::new(
                error.kind(),
                format!("features cannot be kept here ({error}); name another folder for them, or none"),
            ))
        };
        if form.bytes() > most {
            return Err(Error::invalid(format!(
                "{}: the features of one slice take {} bytes, and {most} are allowed (features_bytes)",
                folder.display(),
                form.bytes()
            )));
        }
        fs::create_dir_all(folder).map_err(refused)?;
        let files = FileStore::new(folder.to_path_buf(), most);
        files.tidy();
        // as much as one image takes: better known now than in the middle of the work
        let mut builder = tempfile::Builder::new();
        let mut probe = builder.prefix(TEMPORARY).suffix(folder::ENDING).tempfile_in(folder).map_err(refused)?;
        probe.write_all(&vec![0; form.bytes() as usize]).map_err(refused)?;
        let model = format!(
            "{VERSION} {} {weights} {:?} {}",
            env!("CARGO_PKG_VERSION"),
            model.kind(),
            processor(model.device()),
        );
        Ok(Self { files, form, model, found: AtomicUsize::new(0), problem: OnceLock::new() })
    }

    /// The features of a prepared image `[1, 3, S, S]`, computed where they are not there yet. They lie in memory as the encoder left them, so that a run
    /// on a full folder has the very numbers of one without a folder. Errors: [`Error::Cancelled`] by the thread's watch, which counts files.
    pub fn get(&self, image: &Tensor, compute: impl FnOnce() -> ImageFeatures) -> Result<ImageFeatures> {
        let path = self.files.file(&self.key(image)?);
        if let Some(features) = file::read(&path, &self.form) {
            self.found.fetch_add(1, Relaxed);
            // the time of its last use
            let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(features);
        }
        let features = compute();
        if self.problem.get().is_none() {
            self.keep(&path, &features)?;
        }
        Ok(features)
    }

    /// What it gave so far.
    pub fn describe(&self) -> FeaturesInfo {
        let (folder, problem) = (self.files.folder().to_path_buf(), self.problem.get().cloned());
        FeaturesInfo { folder, read: self.found.load(Relaxed), problem }
    }

    fn keep(&self, path: &Path, features: &ImageFeatures) -> Result<()> {
        self.files.make(self.form.bytes());
        let written = spare_file(path, |temporary| file::write(temporary, features, &self.form));
        match written {
            Err(Error::Cancelled) => Err(Error::Cancelled),
            Err(error) => {
                let _ = self.problem.set(error.to_string());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn key(&self, image: &Tensor) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(&self.model);
        hash.update(bytes(&torch(|| image.f_to_kind(Kind::Float))?)?);
        Ok(format!("{:x}", hash.finalize()))
    }
}

impl Form {
    fn of(model: &Model) -> Self {
        Self { parts: model.feature_shapes(), kind: model.kind(), device: model.device() }
    }

    /// What a file takes: the numbers and a page for its header.
    fn bytes(&self) -> u64 {
        let numbers: i64 = self.parts.iter().map(|(_, shape)| shape.iter().product::<i64>()).sum();
        numbers as u64 * self.kind.elt_size_in_bytes() as u64 + file::MOST_HEADER
    }
}
