//! A session as bytes, and back: what is restored answers every later prompt and propagation bit for bit as the original would.
//!
//! | bytes | |
//! |---|---|
//! | 8 | `SAMOCTA2` |
//! | 4 | version of the format, little endian |
//! | 32 | sha256 of all that follows |
//! | rest | `.safetensors`: masks, pointers, memories; what the user did is JSON under `session` in its metadata (`state/document.rs`) |
//!
//! The record of what was done is whole; of the states to undo and redo to, the nearest are kept, as many as at most double the bytes (4 MB
//! are always free).
//!
//! Neither the model nor the volume is in it, only their fingerprints. The same session gives the same bytes. Bytes that come back are
//! not trusted: nothing is read, and no memory is asked for, beyond what they hold.

mod document;
mod pool;
mod tensors;

use super::slices::Slices;
use super::store::Store;
use super::{Session, Settings};
use crate::guard::guard;
use crate::model::Model;
use crate::progress::check;
use crate::volume::Volume;
use crate::{Error, Result};
use document::Document;
use safetensors::{SafeTensorError, SafeTensors};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tensors::{Parts, Reader};

const MAGIC: &[u8] = b"SAMOCTA2";
const VERSION: u32 = 2;
/// magic, version, sha256
const PREFIX: usize = 8 + 4 + 32;

impl Session {
    /// The session as bytes: prompts, answers, memories, the settings that decide about results, the record of what was done, and of the
    /// steps to undo and redo the nearest (they make it at most twice as large). They are made in memory, at full size: about 1.3 MB for
    /// every mask of a model of 1024 pixels in float32.
    ///
    /// Errors: not enough memory, a lazy volume or a temporary file that cannot be read.
    pub fn save(&self) -> Result<Vec<u8>> {
        guard(|| {
            let mut parts = Parts::default();
            let document = Document::of(self, &mut parts)?;
            let mut bytes = parts.write(PREFIX, serde_json::to_string(&document).map_err(unwritable)?)?;
            let (prefix, payload) = bytes.split_at_mut(PREFIX);
            prefix[..8].copy_from_slice(MAGIC);
            prefix[8..12].copy_from_slice(&VERSION.to_le_bytes());
            prefix[12..].copy_from_slice(&digest(payload)?);
            Ok(bytes)
        })
    }

    /// The session that was saved, on the same volume and with the same model (on any device, in any precision:
    /// what was computed in another one is converted, and later answers differ as the precisions do). Of `settings` only the budgets count;
    /// everything that decides about results comes back as it was.
    ///
    /// Errors: bytes that are no session, damaged, cut short or from a newer program; another model or volume than it was saved with.
    pub fn restore(model: Arc<Model>, volume: Arc<Volume>, bytes: &[u8], settings: Settings) -> Result<Self> {
        guard(|| {
            let (mut reader, text) = Reader::new(payload(bytes)?, &model)?;
            let document: Document = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
            document.check(&model, &volume)?;
            let (settings, windows) = document.settings(settings.on(model.device()))?;
            let saved = document.kind()?;
            reader.kinds = [saved, model.kind()];
            reader.memory_kinds = [saved, model.kind()].map(|own| settings.memory_kind_of(own));
            let store = Store::default();
            let (objects, history) = document.states(&volume, &mut reader, &store, settings.state_bytes)?;
            reader.finish()?;
            let folder = settings.feature_folder(&model)?;
            let slices = Slices::new(volume, windows, settings.feature_cache_bytes, folder);
            let mut session = Self { model, slices, objects, history, store, settings };
            session.limit_history();
            Ok(session)
        })
    }
}

/// What follows the prefix, unchanged since it was saved.
fn payload(bytes: &[u8]) -> Result<&[u8]> {
    if bytes.is_empty() {
        return Err(Error::invalid("the saved session is empty"));
    }
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        return Err(Error::invalid("these bytes are not a saved session"));
    }
    let cut = || Error::invalid("the saved session is cut short");
    let version = bytes.get(8..).and_then(|rest| rest.first_chunk()).ok_or_else(cut)?;
    match u32::from_le_bytes(*version) {
        VERSION => {}
        0 => return Err(damaged("it has no version")),
        1 => {
            return Err(Error::Unsupported(format!(
                "the saved session has format 1, from before the first release; this program reads format {VERSION}"
            )));
        }
        newer => {
            return Err(Error::Unsupported(format!(
                "the saved session comes from a newer program (format {newer}; this one reads up to {VERSION})"
            )));
        }
    }
    let (prefix, payload) = bytes.split_at_checked(PREFIX).ok_or_else(cut)?;
    if prefix[12..] == digest(payload)? {
        return Ok(payload);
    }
    match SafeTensors::read_metadata(payload) {
        Err(
            SafeTensorError::HeaderTooSmall
            | SafeTensorError::InvalidHeaderLength
            | SafeTensorError::MetadataIncompleteBuffer,
        ) => Err(cut()),
        _ => Err(damaged("its checksum is wrong")),
    }
}

/// sha256, in pieces: a session of fifty objects has gigabytes.
fn digest(payload: &[u8]) -> Result<[u8; 32]> {
    let mut digest = Sha256::new();
    for piece in payload.chunks(16 << 20) {
        check()?;
        digest.update(piece);
    }
    Ok(digest.finalize().into())
}

fn damaged<T: std::fmt::Display>(what: T) -> Error {
    Error::invalid(format!("the saved session is damaged: {what}"))
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::Unsupported(format!("the session cannot be saved: {error}"))
}
