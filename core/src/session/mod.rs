//! The one stateful type: a volume, a model, the user's prompts, and the memory that carries masks from slice to slice.
//!
//! A slice is encoded once and every prompt on it is answered from the cached features. Every object is followed by itself. Two ways to
//! treat corrections (prompts on slices that were tracked before):
//! - [`Compat::Holding`] (default): a prompted slice is a conditioning slice; its answer stays as the user corrected it.
//! - [`Compat::Reference`]: as PyPI `sam2` 1.1.0: a correction on a tracked slice is overwritten when a propagation passes it again, and
//!   memories are rounded to bfloat16. Source: `sam2_video_predictor.py`.

mod ahead;
mod answer;
mod describe;
mod history;
mod image;
mod masks;
pub(crate) mod memory;
mod notices;
mod object;
mod overlap;
mod preview;
mod propagate;
mod properties;
mod resize;
mod segment_all;
mod shapes;
mod slices;
mod state;
mod step;
mod store;

pub use describe::{ObjectInfo, PromptInfo, SessionInfo};
pub use history::HistoryInfo;
pub use image::prepare;
pub use notices::{Notice, NoticeInfo};
pub use object::{Marks, Mask, Point};
pub use overlap::Overlap;
pub use preview::Preview;
pub use propagate::{Range, SliceResult};
pub use properties::{Properties, PropertyChange};
pub use segment_all::{Found, segment_all};
pub use step::{PromptStep, Step, short};

use crate::device::cuda;
use crate::features::{FeatureFolder, FeaturesInfo};
use crate::guard::{guard, guard_twice, torch};
use crate::intensity::{Intensity, Windows};
use crate::model::Model;
use crate::volume::Volume;
use crate::{Error, Result};
use history::{History, State};
use properties::check_number;
use serde::{Deserialize, Serialize};
use slices::Slices;
use std::path::PathBuf;
use std::sync::Arc;
use store::Store;
use tch::{Device, Kind, Tensor};

/// How corrections and memories behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// corrections hold
    #[default]
    Holding,
    /// as the Python package, for comparisons
    Reference,
}

impl std::str::FromStr for Compat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "reference" => Ok(Self::Reference),
            other => Err(Error::invalid(format!("compat \"{other}\" is not known; there is \"reference\""))),
        }
    }
}

/// Choices of a session.
#[derive(Debug, Clone)]
pub struct Settings {
    /// how corrections and memories behave
    pub compat: Compat,
    /// which values become 0 and 1 for the model
    pub intensity: Intensity,
    /// which object gets a voxel of the labels that several claim
    pub overlap: Overlap,
    /// what stored memories are rounded to; default: bfloat16 for the reference, else what the model computes in
    pub memory_kind: Option<Kind>,
    /// bytes of slice features to keep (about 16 MB a slice at 1024 pixels, float32)
    pub feature_cache_bytes: usize,
    /// a folder, created if missing, in which features are kept for later sessions: a slice that was encoded before, with this model, precision
    /// and window, is not encoded again
    pub features: Option<PathBuf>,
    /// bytes that the files of that folder may take; those used longest ago go first
    pub features_bytes: u64,
    /// bytes of masks and memories to keep in memory; what is older goes to a temporary file
    pub state_bytes: usize,
    /// bytes of masks and memories, in memory or in the file, that are kept only for undo and redo; beyond them the oldest steps cannot be
    /// undone any more, but the last one always can
    pub history_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            compat: Compat::Holding,
            intensity: Intensity::Auto,
            overlap: Overlap::default(),
            memory_kind: None,
            feature_cache_bytes: 256 << 20,
            features: None,
            features_bytes: 4 << 30,
            state_bytes: 128 << 20,
            history_bytes: 1 << 30,
        }
    }
}

impl Settings {
    /// On a GPU: a budget that was left as it is by default grows to a sixteenth of the card's memory.
    fn on(self, device: Device) -> Self {
        let Device::Cuda(index) = device else { return self };
        let Some((_, total)) = cuda::memory(index) else { return self };
        let (usual, share) = (Self::default(), (total / 16) as usize);
        let grown = |budget: usize, usual: usize| if budget == usual { share.max(usual) } else { budget };
        Self {
            feature_cache_bytes: grown(self.feature_cache_bytes, usual.feature_cache_bytes),
            state_bytes: grown(self.state_bytes, usual.state_bytes),
            ..self
        }
    }

    /// What memories are rounded to with this model.
    fn memory_kind_of(&self, own: Kind) -> Kind {
        self.memory_kind.unwrap_or(match self.compat {
            Compat::Holding => own,
            Compat::Reference => Kind::BFloat16,
        })
    }

    fn feature_folder(&self, model: &Model) -> Result<Option<FeatureFolder>> {
        let open = |folder: &PathBuf| FeatureFolder::open(folder, model, model.fingerprint(), self.features_bytes);
        self.features.as_ref().map(open).transpose()
    }
}

/// One object's mask on one slice.
#[derive(Debug)]
pub struct ObjectMask {
    /// the object's number
    pub object: u32,
    /// logits `[rows, columns]` float32 on the host, at the volume's own resolution; positive: object
    pub logits: Tensor,
    /// predicted IoU, 0 to 1
    pub iou: f32,
    /// presence logit; positive: the object is on this slice
    pub object_score: f32,
}

impl ObjectMask {
    /// The logits, `[rows, columns]` row by row.
    pub fn values(&self) -> Result<Vec<f32>> {
        guard(|| torch(|| Vec::<f32>::try_from(self.logits.flatten(0, -1))))
    }

    /// Pixels of the mask.
    pub fn area(&self) -> Result<usize> {
        guard(|| Ok(self.logits.gt(0.0).count_nonzero(None).int64_value(&[]) as usize))
    }
}

/// The session.
pub struct Session {
    model: Arc<Model>,
    slices: Slices,
    objects: State,
    history: History,
    store: Store,
    settings: Settings,
}

impl Session {
    /// A session on a volume; nothing is computed yet.
    /// Errors: a window that the volume does not have, a lazy volume that cannot be read, a folder for features that cannot be written.
    pub fn new(model: Arc<Model>, volume: Arc<Volume>, settings: Settings) -> Result<Self> {
        let settings = settings.on(model.device());
        let folder = settings.feature_folder(&model)?;
        let windows = settings.intensity.of(&volume)?;
        let slices = Slices::new(volume, windows, settings.feature_cache_bytes, folder);
        Ok(Self {
            model,
            slices,
            objects: State::new(),
            history: History::default(),
            store: Store::default(),
            settings,
        })
    }

    /// What was chosen when it was made.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Which values of the volume the model sees as 0 and 1.
    pub fn windows(&self) -> Windows {
        self.slices.windows
    }

    /// The volume.
    pub fn volume(&self) -> &Arc<Volume> {
        &self.slices.volume
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Numbers of the objects, in the order in which they were added.
    pub fn objects(&self) -> Vec<u32> {
        self.objects.iter().map(|object| object.id).collect()
    }

    /// Slices on which an object has a mask, ascending.
    pub fn frames_of(&self, object: u32) -> Vec<usize> {
        let mut frames: Vec<_> = self.find(object).into_iter().flat_map(|object| object.frames()).collect();
        frames.sort_unstable();
        frames.dedup();
        frames
    }

    /// Slices on which an object has prompts, ascending.
    pub fn prompted_frames(&self, object: u32) -> Vec<usize> {
        self.find(object).map(|object| object.prompts.keys().copied().collect()).unwrap_or_default()
    }

    /// The prompts of an object on a slice, in the order given.
    pub fn prompts(&self, frame: usize, object: u32) -> &[Arc<Marks>] {
        self.find(object).and_then(|object| object.prompts.get(&frame)).map_or(&[], |prompts| &prompts.history)
    }

    /// How many slices were encoded so far.
    pub fn encoded_slices(&self) -> usize {
        self.slices.encoded()
    }

    /// What the folder of features gave so far, where there is one.
    pub fn features(&self) -> Option<FeaturesInfo> {
        self.slices.folder().map(FeatureFolder::describe)
    }

    /// Bytes in memory: features, masks and memories; and bytes in the temporary file.
    pub fn bytes(&self) -> (usize, u64) {
        (self.slices.cached_bytes() + self.store.live_bytes(), self.store.file_bytes())
    }

    /// Tensor work that changes nothing when it fails; where memory is full, without the features that are kept, once more.
    fn compute<T>(&mut self, work: impl Fn(&mut Self) -> Result<T>) -> Result<T> {
        guard_twice(self, Self::free_caches, work)
    }

    /// Forgets the features of all slices; they are computed again when needed.
    pub fn free_caches(&mut self) {
        self.slices.clear();
    }

    /// Encodes a slice now, so that the first prompt on it is answered at once.
    pub fn encode(&mut self, frame: usize) -> Result<()> {
        self.check_frame(frame)?;
        self.compute(|session| session.slices.features(&session.model, frame).map(drop))
            .map_err(|error| error.about(frame, None))
    }

    /// Marks an object on a slice, and answers with its mask there. The object is added if it is new (1 to 65535). Errors: it is locked.
    pub fn prompt(&mut self, frame: usize, object: u32, marks: Marks) -> Result<ObjectMask> {
        self.prompted(frame, object, marks).map_err(|error| error.about(frame, object))
    }

    fn prompted(&mut self, frame: usize, object: u32, marks: Marks) -> Result<ObjectMask> {
        self.check_prompt(frame, object, &marks)?;
        let step = Step::Prompt(PromptStep::new(frame, object, &marks));
        self.change(step, |session| {
            session.position_or_new(object);
            let marks = Arc::new(marks);
            session.compute(|session| session.answer(frame, object, marks.clone()))?;
            session.mask(frame, object)
        })
    }

    /// Can these marks be given to this object there?
    fn check_prompt(&self, frame: usize, object: u32, marks: &Marks) -> Result<()> {
        self.check_frame(frame)?;
        marks.check(self.volume().rows, self.volume().columns)?;
        check_number(object)?;
        self.check_unlocked(object)?;
        match marks.choice {
            Some(choice) if !self.model.has_alternatives() => {
                Err(Error::invalid(format!("choice {choice}: this model has one mask for a prompt")))
            }
            _ => Ok(()),
        }
    }

    /// Is there such a slice?
    fn check_frame(&self, frame: usize) -> Result<()> {
        self.volume().check_frame(frame).map_err(|error| error.about(frame, None))
    }

    /// Clicks. See [`Session::prompt`].
    pub fn add_points(&mut self, frame: usize, object: u32, points: &[Point]) -> Result<ObjectMask> {
        self.prompt(frame, object, Marks { points: points.to_vec(), ..Marks::default() })
    }

    /// A box `[x0, y0, x1, y1]`. See [`Session::prompt`].
    pub fn add_box(&mut self, frame: usize, object: u32, bounds: [f32; 4]) -> Result<ObjectMask> {
        self.prompt(frame, object, Marks { bounds: Some(bounds), ..Marks::default() })
    }

    /// A drawn mask. See [`Session::prompt`].
    pub fn add_mask(&mut self, frame: usize, object: u32, mask: Mask) -> Result<ObjectMask> {
        self.prompt(frame, object, Marks { mask: Some(mask), ..Marks::default() })
    }

    /// Removes one of the prompts given on a slice (`index` into [`Session::prompts`]); the others are answered again.
    pub fn remove_prompt(&mut self, frame: usize, object: u32, index: usize) -> Result<()> {
        self.without_prompt(frame, object, index).map_err(|error| error.about(frame, object))
    }

    fn without_prompt(&mut self, frame: usize, object: u32, index: usize) -> Result<()> {
        self.check_frame(frame)?;
        let at = self.position(object)?;
        self.check_unlocked(object)?;
        let mut left = self.prompts(frame, object).to_vec();
        if index >= left.len() {
            return Err(Error::invalid(format!(
                "object {object} has {} prompts on slice {frame}, no number {index}",
                left.len()
            )));
        }
        left.remove(index);
        self.change(Step::RemovePrompt { frame, object, index }, |session| {
            session.take_prompts(at, frame);
            left.into_iter()
                .try_for_each(|marks| session.compute(|session| session.answer(frame, object, marks.clone())))
        })
    }

    /// Removes the last prompt given on a slice, wherever it stands in the history. See [`Session::remove_prompt`].
    pub fn remove_last_prompt(&mut self, frame: usize, object: u32) -> Result<()> {
        self.check_frame(frame)?;
        self.position(object)?;
        let nothing = || {
            let what = format!("there is nothing to undo: object {object} has no prompts on slice {frame}");
            Error::invalid(what).about(frame, object)
        };
        let last = self.prompts(frame, object).len().checked_sub(1).ok_or_else(nothing)?;
        self.remove_prompt(frame, object, last)
    }

    /// Removes an object's prompts on a slice. What was tracked there before comes back (in [`Compat::Reference`]: the prompted mask stays
    /// as if it were tracked).
    pub fn clear_slice(&mut self, frame: usize, object: u32) -> Result<()> {
        self.check_frame(frame)?;
        let at = self.position(object)?;
        self.check_unlocked(object)?;
        self.change(Step::Clear { frame, object }, |session| {
            match session.settings.compat {
                Compat::Holding => session.take_prompts(at, frame),
                Compat::Reference => session.downgrade(at, frame),
            }
            Ok(())
        })
    }

    /// Removes an object with everything that belongs to it.
    pub fn remove_object(&mut self, object: u32) -> Result<()> {
        let at = self.position(object)?;
        self.check_unlocked(object)?;
        self.change(Step::Remove { object }, |session| {
            session.objects.remove(at);
            Ok(())
        })
    }

    /// Removes all objects. Errors: one of them is locked.
    pub fn reset(&mut self) -> Result<()> {
        self.objects.iter().try_for_each(|object| self.check_unlocked(object.id))?;
        let before = std::mem::take(&mut self.objects);
        self.commit(before, Step::Reset);
        Ok(())
    }
}
