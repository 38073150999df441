//! A session as hosts hold it: one call at a time, and none after a failure inside.

use super::mask::{MaskValue, SliceMask};
use crate::convert;
use crate::script::{LabelsValue, ModelValue, VolumeValue};
use sam_octa2_abi::PluginError;
use sam_octa2_core::device::Precision;
use sam_octa2_core::intensity::Intensity;
use sam_octa2_core::job;
use sam_octa2_core::progress::stoppable;
use sam_octa2_core::prompts::Direction;
use sam_octa2_core::session::{Compat, ObjectMask, Overlap, Range, Session, Settings};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Mutex, TryLockError};

/// A session with what it works on.
pub struct Work {
    session: Mutex<Session>,
    volume: VolumeValue,
    model: ModelValue,
}

/// `options` of `sam_octa2_session_create`
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct SessionOptions {
    window: Option<String>,
    compat: Option<String>,
    overlap: Option<String>,
    memory_precision: Precision,
    feature_cache_bytes: Option<usize>,
    features: Option<PathBuf>,
    features_bytes: Option<u64>,
    state_bytes: Option<usize>,
    history_bytes: Option<usize>,
}

/// `range` of `sam_octa2_session_propagate`
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RangeOptions {
    direction: Direction,
    start: Option<usize>,
    max_frames: Option<usize>,
    objects: Vec<u32>,
    patience: Option<usize>,
    threshold: Option<f32>,
}

impl From<RangeOptions> for Range {
    fn from(options: RangeOptions) -> Self {
        let RangeOptions { direction, start, max_frames, objects, patience, threshold } = options;
        Self { direction, start, max_frames, objects, patience, threshold }
    }
}

impl SessionOptions {
    fn settings(&self) -> sam_octa2_core::Result<Settings> {
        let defaults = Settings::default();
        Ok(Settings {
            compat: self.compat.as_deref().map_or(Ok(Compat::default()), str::parse)?,
            intensity: self.window.as_deref().map_or(Ok(Intensity::default()), str::parse)?,
            overlap: self.overlap.as_deref().map_or(Ok(Overlap::default()), str::parse)?,
            feature_cache_bytes: self.feature_cache_bytes.unwrap_or(defaults.feature_cache_bytes),
            features: self.features.clone(),
            features_bytes: self.features_bytes.unwrap_or(defaults.features_bytes),
            state_bytes: self.state_bytes.unwrap_or(defaults.state_bytes),
            history_bytes: self.history_bytes.unwrap_or(defaults.history_bytes),
            memory_kind: self.memory_precision.kind(),
        })
    }
}

impl Work {
    /// A session of `volume` and `model`.
    pub fn new(volume: &VolumeValue, model: &ModelValue, options: &SessionOptions) -> Result<Self, PluginError> {
        let made = options
            .settings()
            .and_then(|settings| Session::new(model.loaded.model.clone(), volume.volume.clone(), settings));
        Self::of(made, volume, model)
    }

    /// The session that was saved as `state`.
    pub fn restored(
        volume: &VolumeValue,
        model: &ModelValue,
        state: &[u8],
        options: &SessionOptions,
    ) -> Result<Self, PluginError> {
        let made = options
            .settings()
            .and_then(|settings| Session::restore(model.loaded.model.clone(), volume.volume.clone(), state, settings));
        Self::of(made, volume, model)
    }

    fn of(
        made: sam_octa2_core::Result<Session>,
        volume: &VolumeValue,
        model: &ModelValue,
    ) -> Result<Self, PluginError> {
        let session = Mutex::new(made.map_err(convert::error)?);
        Ok(Self { session, volume: volume.clone(), model: model.clone() })
    }

    /// The session as a script that does the same again.
    pub fn script(&self) -> Result<String, PluginError> {
        self.with(|session| job::script(session, self.volume.origin(), &self.model.loaded))
    }

    /// What the session works on.
    pub fn volume(&self) -> &sam_octa2_core::volume::Volume {
        &self.volume.volume
    }

    /// Does something with the session. Another call meanwhile is refused; so is every call after one that failed inside, since a
    /// panic that passes through here poisons the lock.
    pub fn with<T>(&self, work: impl FnOnce(&mut Session) -> sam_octa2_core::Result<T>) -> Result<T, PluginError> {
        let mut session = self.session.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                PluginError::new("busy", "the session is at work on another call; wait for its end, or cancel it")
            }
            TryLockError::Poisoned(_) => {
                PluginError::new("panic", "the session failed inside in an earlier call; free it and make a new one")
            }
        })?;
        stoppable(|| work(&mut session)).map_err(convert::error) // a stop is no failure inside
    }

    /// The mask of an object on a slice as hosts get it.
    pub fn slice_mask(session: &Session, frame: usize, mask: &ObjectMask) -> sam_octa2_core::Result<MaskValue> {
        let volume = session.volume();
        Ok(MaskValue::Slice(SliceMask::new(frame, [volume.rows, volume.columns], mask)?))
    }

    /// All masks as object numbers.
    pub fn labels(&self) -> Result<MaskValue, PluginError> {
        let labels = self.with(|session| LabelsValue::of(session, self.volume.clone()))?;
        Ok(MaskValue::Stack(labels.to_host()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sam_octa2_core::job::InputRequest;
    use sam_octa2_core::loader::{ModelRequest, Place};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;

    #[test]
    fn a_panic_ends_its_session_and_no_other() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
        let input = InputRequest { input: data.join("demo/volume.nii.gz"), ..InputRequest::default() };
        let volume = VolumeValue::of(input, &mut ()).unwrap();
        let file = |name: &str| data.join("parity").join(name).display().to_string();
        let request = ModelRequest {
            model: file("mini21.pt"),
            model_config: Some(file("mini21.yaml")),
            place: Place { device: "cpu".parse().unwrap(), ..Place::default() },
            ..ModelRequest::default()
        };
        let model = ModelValue::of(&request, &mut ()).unwrap();
        let [broken, sound] = [(); 2].map(|()| Work::new(&volume, &model, &SessionOptions::default()).unwrap());
        let passed = catch_unwind(AssertUnwindSafe(|| broken.with::<()>(|_| panic!("inside"))));
        assert!(passed.is_err(), "the guard of the boundary is further out");
        for _ in 0..2 {
            assert_eq!(broken.with(|session| Ok(session.objects().len())).unwrap_err().code, "panic");
        }
        assert_eq!(sound.with(|session| Ok(session.objects().len())).unwrap(), 0);
    }
}
