//! A session described, for a viewer's lists and for records: objects, prompts, masks, memory. Nothing is computed for it.

use super::object::{Marks, Object};
use super::{Compat, NoticeInfo, Overlap, Properties, Session};
use crate::Result;
use crate::features::FeaturesInfo;
use crate::intensity::Windows;
use crate::picture::Colour;
use serde::Serialize;

/// What is in a session. Prompts are named as in a prompt file (docs/prompts.md).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SessionInfo {
    /// the volume: `[frames, rows, columns, channels]`
    pub shape: [usize; 4],
    /// fingerprint of the model
    pub model: String,
    /// how corrections and memories behave
    pub compat: Compat,
    /// which values the model sees as 0 and 1: what was asked for ...
    pub intensity: String,
    /// ... and what it means on this volume
    pub window: Windows,
    /// slices encoded so far
    pub encoded_slices: usize,
    /// the folder in which features are kept, where there is one
    pub features: Option<FeaturesInfo>,
    /// bytes of features, masks and memories in memory
    pub bytes_in_memory: usize,
    /// bytes of the temporary file
    pub bytes_on_disk: u64,
    /// which object gets a voxel of the labels that several claim
    pub overlap: Overlap,
    /// steps that can be undone, and redone
    pub undo: usize,
    /// see `undo`
    pub redo: usize,
    /// in the order in which they were added
    pub objects: Vec<ObjectInfo>,
    /// what to tell the user: empty answers, missed clicks, lost objects
    pub notices: Vec<NoticeInfo>,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// its number
    pub id: u32,
    /// words for people
    pub name: Option<String>,
    /// the colour to show it in: the one that was chosen, else one that tells it from the others
    pub colour: Colour,
    /// what it is: a name or codes
    pub property: Option<String>,
    /// is it to be shown?
    pub visible: bool,
    /// are its masks to stay as they are?
    pub locked: bool,
    /// slices with prompts, ascending
    pub prompted_frames: Vec<usize>,
    /// slices with a mask, ascending
    pub frames: Vec<usize>,
    /// everything that the user gave, slice by slice, in order
    pub prompts: Vec<PromptInfo>,
}

/// What the user gave at once on one slice, in pixels of the slice.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PromptInfo {
    /// the slice
    pub frame: usize,
    /// clicked positions `[x, y]`
    pub points: Vec<[f32; 2]>,
    /// one per point: 1 on the object, 0 outside
    pub labels: Vec<u8>,
    /// `[x0, y0, x1, y1]`
    #[serde(rename = "box")]
    pub bounds: Option<[f32; 4]>,
    /// was a mask drawn?
    pub mask: bool,
    /// were the earlier points and box of the slice forgotten?
    pub replace: bool,
    /// which of the model's masks was chosen, where one was
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<u8>,
}

impl Session {
    /// Describes the session. Errors: masks that cannot be read back from the temporary file.
    pub fn describe(&self) -> Result<SessionInfo> {
        let (bytes_in_memory, bytes_on_disk) = self.bytes();
        let history = self.history();
        Ok(SessionInfo {
            shape: self.volume().shape(),
            model: self.model.fingerprint().to_owned(),
            compat: self.settings.compat,
            intensity: self.settings.intensity.to_string(),
            window: self.windows(),
            encoded_slices: self.encoded_slices(),
            features: self.features(),
            bytes_in_memory,
            bytes_on_disk,
            overlap: self.settings.overlap,
            undo: history.undo,
            redo: history.undone.len(),
            objects: self.objects.iter().map(|object| self.describe_object(object)).collect(),
            notices: self.notices()?,
        })
    }

    /// Describes one object. Errors: there is none of this number.
    pub fn object(&self, object: u32) -> Result<ObjectInfo> {
        let at = self.position(object)?;
        Ok(self.describe_object(&self.objects[at]))
    }

    fn describe_object(&self, object: &Object) -> ObjectInfo {
        let prompts = object.prompts.iter();
        let Properties { name, colour, property, visible, locked } = object.properties.clone();
        ObjectInfo {
            id: object.id,
            name,
            colour: colour.unwrap_or_else(|| Colour::of_object(object.id as u16)),
            property,
            visible,
            locked,
            prompted_frames: self.prompted_frames(object.id),
            frames: self.frames_of(object.id),
            prompts: prompts
                .flat_map(|(&frame, prompts)| prompts.history.iter().map(move |marks| PromptInfo::new(frame, marks)))
                .collect(),
        }
    }
}

impl PromptInfo {
    fn new(frame: usize, marks: &Marks) -> Self {
        Self {
            frame,
            points: marks.points.iter().map(|point| [point.x, point.y]).collect(),
            labels: marks.points.iter().map(|point| u8::from(point.positive)).collect(),
            bounds: marks.bounds,
            mask: marks.mask.is_some(),
            replace: marks.replace,
            choice: marks.choice,
        }
    }
}
