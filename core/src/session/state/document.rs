//! What the user did, and which answers there are: the JSON document of a saved session. The answers themselves are tensors.
//!
//! Coordinates and windows are kept as the bits of their floating point numbers, because decimal numbers in JSON may come back a bit off.

use super::super::object::{Marks, Object, Output, Pending, Point, SlicePrompts};
use super::super::store::Store;
use super::super::{Compat, Session, Settings};
use super::tensors::{Parts, Reader};
use super::{damaged, unwritable};
use crate::intensity::{Intensity, Window, Windows};
use crate::model::Sam2;
use crate::volume::Volume;
use crate::weights::{dtype_of, kind_of};
use crate::{Error, Result};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// fingerprint of the model, and what it computed in
    model: String,
    precision: Dtype,
    shape: [usize; 4],
    /// fingerprint of the volume on the prompted slices
    volume: String,
    compat: Compat,
    intensity: String,
    /// bits of its ends; `None`: each slice has its own
    window: Option<[u64; 2]>,
    memory_kind: Option<Dtype>,
    objects: Vec<SavedObject>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedObject {
    id: u32,
    prompts: BTreeMap<usize, SavedPrompts>,
    /// is it a conditioning slice?
    pending: BTreeMap<usize, bool>,
    prompted: BTreeSet<usize>,
    tracked: BTreeSet<usize>,
    visited: BTreeMap<usize, bool>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedPrompts {
    history: Vec<SavedMarks>,
    first: bool,
    reverse: bool,
    replaced: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedMarks {
    /// x, y, and 1 on the object or 0 outside
    points: Vec<(u32, u32, u8)>,
    #[serde(rename = "box")]
    bounds: Option<[u32; 4]>,
    mask: bool,
    replace: bool,
}

/// The name of the tensors of one answer, or of a mask.
fn name(object: u32, kind: &str, frame: usize) -> String {
    format!("{object}.{kind}.{frame}")
}

impl Document {
    /// Describes a session; its tensors go to `parts`.
    pub fn of<'a>(session: &'a Session, parts: &mut Parts<'a>) -> Result<Self> {
        let (volume, settings) = (session.volume(), &session.settings);
        let intensity = settings.intensity.to_string();
        if intensity.parse::<Intensity>().ok() != Some(settings.intensity) {
            return Err(unwritable(format!("its window \"{intensity}\" is none")));
        }
        let window = match session.windows() {
            Windows::Volume(window) => Some([window.low.to_bits(), window.high.to_bits()]),
            Windows::Slices { .. } => None,
        };
        let dtype = |kind| dtype_of(kind).ok_or_else(|| unwritable(format!("there is no name for the type {kind:?}")));
        Ok(Self {
            model: session.model.fingerprint().to_owned(),
            precision: dtype(session.model.kind())?,
            shape: volume.shape(),
            volume: volume.fingerprint(prompted_frames(&session.objects))?,
            compat: settings.compat,
            intensity,
            window,
            memory_kind: settings.memory_kind.map(dtype).transpose()?,
            objects: session.objects.iter().map(|object| SavedObject::of(object, parts)).collect(),
        })
    }

    /// Is it this model, and this volume?
    pub fn check(&self, model: &Sam2, volume: &Volume) -> Result<()> {
        if self.model != model.fingerprint() {
            return Err(Error::invalid("the session was saved with another model (other weights or configuration)"));
        }
        let precision = kind_of(self.precision);
        if precision != Some(model.kind()) {
            return Err(Error::invalid(format!(
                "the session was saved with a model in {:?}, this one computes in {:?}",
                self.precision,
                model.kind()
            )));
        }
        if self.shape != volume.shape() {
            return Err(Error::invalid(format!(
                "the session was saved with another volume, of shape {:?}; this one is {:?} (frames, rows, columns, channels)",
                self.shape,
                volume.shape()
            )));
        }
        let frames: BTreeSet<usize> = self.objects.iter().flat_map(|object| object.prompts.keys().copied()).collect();
        frames.iter().try_for_each(|&frame| known(frame, volume))?;
        if self.volume != volume.fingerprint(frames)? {
            return Err(Error::invalid(
                "the session was saved with another volume: the shape is the same, but voxels, their type or their place differ",
            ));
        }
        Ok(())
    }

    /// The settings that decide about results, with the budgets of `settings`.
    pub fn settings(&self, settings: Settings) -> Result<(Settings, Windows)> {
        let intensity: Intensity = self.intensity.parse().map_err(damaged::<Error>)?;
        let windows = match (self.window, intensity) {
            (None, Intensity::Percentiles { low, high, per_slice: true }) => {
                Windows::Slices { low_percentile: low, high_percentile: high }
            }
            (Some([low, high]), _) => Windows::Volume(Window { low: f64::from_bits(low), high: f64::from_bits(high) }),
            (None, _) => return Err(damaged("its window is missing")),
        };
        let kind = |dtype| kind_of(dtype).ok_or_else(|| damaged(format!("the type {dtype:?}")));
        let memory_kind = self.memory_kind.map(kind).transpose()?;
        Ok((Settings { compat: self.compat, intensity, memory_kind, ..settings }, windows))
    }

    /// The objects with their answers. Tracked slices go to the temporary file where more than `budget` bytes lie in memory.
    pub fn objects(self, volume: &Volume, reader: &mut Reader, store: &Store, budget: usize) -> Result<Vec<Object>> {
        let mut ids = BTreeSet::new();
        let mut restored = Vec::new();
        for saved in self.objects {
            if !(1..=65535).contains(&saved.id) || !ids.insert(saved.id) {
                return Err(damaged(format!("object number {}", saved.id)));
            }
            restored.push(saved.restore(volume, reader, store, budget)?);
        }
        Ok(restored)
    }
}

/// Slices on which any object has prompts.
fn prompted_frames(objects: &[Object]) -> BTreeSet<usize> {
    objects.iter().flat_map(|object| object.prompts.keys().copied()).collect()
}

fn known(frame: usize, volume: &Volume) -> Result<()> {
    volume.check_frame(frame).map_err(damaged)
}

impl SavedObject {
    fn of<'a>(object: &'a Object, parts: &mut Parts<'a>) -> Self {
        let id = object.id;
        for (frame, pending) in &object.pending {
            parts.output(&name(id, "pending", *frame), &pending.output);
        }
        for (frame, output) in &object.prompted {
            parts.output(&name(id, "prompted", *frame), output);
        }
        for (frame, output) in &object.tracked {
            parts.output(&name(id, "tracked", *frame), output);
        }
        let prompts = object.prompts.iter();
        Self {
            id,
            prompts: prompts.map(|(&frame, prompts)| (frame, SavedPrompts::of(id, frame, prompts, parts))).collect(),
            pending: object.pending.iter().map(|(&frame, pending)| (frame, pending.conditioning)).collect(),
            prompted: object.prompted.keys().copied().collect(),
            tracked: object.tracked.keys().copied().collect(),
            visited: object.visited.clone(),
        }
    }

    fn restore(self, volume: &Volume, reader: &mut Reader, store: &Store, budget: usize) -> Result<Object> {
        let id = self.id;
        let frames = self.pending.keys().chain(&self.prompted).chain(&self.tracked).chain(self.visited.keys());
        frames.chain(self.prompts.keys()).try_for_each(|&frame| known(frame, volume))?;
        let mut object = Object { visited: self.visited, ..Object::new(id) };
        for (frame, prompts) in self.prompts {
            object.prompts.insert(frame, prompts.restore(id, frame, volume, reader, store)?);
        }
        for (frame, conditioning) in self.pending {
            let output = reader.output(&name(id, "pending", frame), store)?;
            object.pending.insert(frame, Pending { output, conditioning });
        }
        for frame in self.prompted {
            object.prompted.insert(frame, reader.output(&name(id, "prompted", frame), store)?);
        }
        for frame in self.tracked {
            let mut output = reader.output(&name(id, "tracked", frame), store)?;
            if store.live_bytes() > budget {
                output.park()?;
            }
            object.tracked.insert(frame, output);
        }
        Ok(object)
    }
}

impl SavedPrompts {
    fn of<'a>(id: u32, frame: usize, prompts: &'a SlicePrompts, parts: &mut Parts<'a>) -> Self {
        let replaced = prompts.replaced.as_ref();
        if let Some(output) = replaced {
            parts.output(&name(id, "replaced", frame), output);
        }
        for (index, marks) in prompts.history.iter().enumerate() {
            if let Some(mask) = &marks.mask {
                parts.mask(format!("{}.{index}", name(id, "mask", frame)), mask);
            }
        }
        let history = prompts.history.iter().map(SavedMarks::of).collect();
        Self { history, first: prompts.first, reverse: prompts.reverse, replaced: replaced.is_some() }
    }

    fn restore(
        self,
        id: u32,
        frame: usize,
        volume: &Volume,
        reader: &mut Reader,
        store: &Store,
    ) -> Result<SlicePrompts> {
        if self.history.is_empty() {
            return Err(damaged(format!("object {id} has no prompt on slice {frame}")));
        }
        let mut marks = Marks::default();
        let mut history = Vec::new();
        for (index, saved) in self.history.into_iter().enumerate() {
            let one = saved.restore(&format!("{}.{index}", name(id, "mask", frame)), volume, reader)?;
            marks.join(&one);
            history.push(one);
        }
        let replaced: Option<Output> =
            self.replaced.then(|| reader.output(&name(id, "replaced", frame), store)).transpose()?;
        Ok(SlicePrompts { history, marks, first: self.first, reverse: self.reverse, replaced })
    }
}

impl SavedMarks {
    fn of(marks: &Marks) -> Self {
        let point = |point: &Point| (point.x.to_bits(), point.y.to_bits(), u8::from(point.positive));
        Self {
            points: marks.points.iter().map(point).collect(),
            bounds: marks.bounds.map(|bounds| bounds.map(f32::to_bits)),
            mask: marks.mask.is_some(),
            replace: marks.replace,
        }
    }

    fn restore(self, mask: &str, volume: &Volume, reader: &mut Reader) -> Result<Marks> {
        let point = |(x, y, positive)| Point { x: f32::from_bits(x), y: f32::from_bits(y), positive: positive != 0 };
        let marks = Marks {
            points: self.points.into_iter().map(point).collect(),
            bounds: self.bounds.map(|bounds| bounds.map(f32::from_bits)),
            mask: self.mask.then(|| reader.mask(mask, volume.rows, volume.columns)).transpose()?,
            replace: self.replace,
        };
        marks.check(volume.rows, volume.columns).map_err(damaged)?;
        Ok(marks)
    }
}
