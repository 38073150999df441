//! What a saved session holds beside tensors: what it belongs to, its settings, its history. A JSON document; objects and marks stand in
//! `pool.rs`.
//!
//! Windows are kept as the bits of their floating point numbers, because decimal numbers in JSON may come back a bit off.

use super::super::history::{History, State, tensors};
use super::super::store::Store;
use super::super::{Compat, Overlap, Session, Settings, Step};
use super::pool::{Pool, SavedMarks, SavedObject, Taken, known};
use super::tensors::{Parts, Reader};
use super::{damaged, unwritable};
use crate::intensity::{Intensity, Window, Windows};
use crate::model::Model;
use crate::volume::Volume;
use crate::weights::{dtype_of, kind_of};
use crate::{Error, Result};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tch::Kind;

/// bytes that the history may always add to a saved session
const HISTORY: u64 = 4 << 20;

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
    #[serde(default)]
    overlap: Overlap,
    /// how many answers and memories there are
    counts: [usize; 2],
    marks: Vec<SavedMarks>,
    /// the objects of all states; where a step left one as it was, states share it
    objects: Vec<SavedObject>,
    /// the objects that make up the session
    present: Vec<usize>,
    /// and those before the last steps, the last one first
    past: Vec<Vec<usize>>,
    /// the steps that can be redone, as places in the record, and the objects after each; the next one first
    future: Vec<(usize, Vec<usize>)>,
    /// everything that was done
    record: Vec<Step>,
    /// places there of the steps in force
    done: Vec<usize>,
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
        let mut pool = Pool::default();
        let present = pool.state(&session.objects);
        let (past, future) = near(session);
        let past = past.into_iter().map(|state| pool.state(state)).collect();
        let future = future.into_iter().map(|(step, state)| (*step, pool.state(state))).collect();
        let (fingerprint, counts) = (volume.fingerprint(prompted(&pool.objects))?, pool.counts());
        let (marks, objects) = pool.write(parts);
        let dtype = |kind| dtype_of(kind).ok_or_else(|| unwritable(format!("there is no name for the type {kind:?}")));
        Ok(Self {
            model: session.model.fingerprint().to_owned(),
            precision: dtype(session.model.kind())?,
            shape: volume.shape(),
            volume: fingerprint,
            compat: settings.compat,
            intensity,
            window,
            memory_kind: settings.memory_kind.map(dtype).transpose()?,
            overlap: settings.overlap,
            counts,
            marks,
            objects,
            present,
            past,
            future,
            record: session.history.record.clone(),
            done: session.history.done.clone(),
        })
    }

    /// Is it this model, and this volume?
    pub fn check(&self, model: &Model, volume: &Volume) -> Result<()> {
        if self.model != model.fingerprint() {
            return Err(Error::invalid("the session was saved with another model (other weights or configuration)"));
        }
        if self.shape != volume.shape() {
            return Err(Error::invalid(format!(
                "the session was saved with another volume, of shape {:?}; this one is {:?} (frames, rows, columns, channels)",
                self.shape,
                volume.shape()
            )));
        }
        let frames = prompted(&self.objects);
        frames.iter().try_for_each(|&frame| known(frame, volume))?;
        if self.volume != volume.fingerprint(frames)? {
            return Err(Error::invalid(
                "the session was saved with another volume: the shape is the same, but voxels, their type or their place differ",
            ));
        }
        Ok(())
    }

    /// What the model computed in.
    pub fn kind(&self) -> Result<Kind> {
        kind_of(self.precision).ok_or_else(|| damaged(format!("the type {:?}", self.precision)))
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
        let overlap = self.overlap;
        Ok((Settings { compat: self.compat, intensity, memory_kind, overlap, ..settings }, windows))
    }

    /// The objects as they are, and the history. What lies beyond `budget` bytes goes to the temporary file.
    pub fn states(
        self,
        volume: &Volume,
        reader: &mut Reader,
        store: &Store,
        budget: usize,
    ) -> Result<(State, History)> {
        let taken = Taken::new(self.counts, self.marks, volume, reader, store, budget)?;
        let objects = self.objects.into_iter().map(|object| taken.object(object, volume));
        let objects = objects.collect::<Result<Vec<_>>>()?;
        let state = |numbers: Vec<usize>| {
            let one =
                |number: usize| objects.get(number).cloned().ok_or_else(|| damaged(format!("no object {number}")));
            let state = numbers.into_iter().map(one).collect::<Result<State>>()?;
            let mut ids = BTreeSet::new();
            match state.iter().find(|object| !ids.insert(object.id)) {
                Some(object) => Err(damaged(format!("object number {} comes twice", object.id))),
                None => Ok(state),
            }
        };
        let future = self.future.into_iter().rev().map(|(step, numbers)| Ok((step, state(numbers)?)));
        let history = History {
            record: self.record,
            done: self.done,
            past: self.past.into_iter().rev().map(state).collect::<Result<_>>()?,
            undone: future.collect::<Result<_>>()?,
        };
        if history.is_sound() { Ok((state(self.present)?, history)) } else { Err(damaged("its history is none")) }
    }
}

type Near<'a> = (Vec<&'a State>, Vec<&'a (usize, State)>);

/// As many states of the history as at most double the bytes of the session: those nearest to it, the past first.
fn near(session: &Session) -> Near<'_> {
    let mut held = tensors(&session.objects);
    let mut room = held.values().sum::<u64>().max(HISTORY);
    let mut fits = |state: &State| {
        let more: Vec<_> = tensors(state).into_iter().filter(|(id, _)| !held.contains_key(id)).collect();
        let bytes = more.iter().map(|(_, bytes)| bytes).sum();
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        held.extend(more);
        fits
    };
    let past = session.history.past.iter().rev().take_while(|state| fits(state)).collect();
    (past, session.history.undone.iter().rev().take_while(|(_, state)| fits(state)).collect())
}

/// Slices on which any object has prompts.
fn prompted(objects: &[SavedObject]) -> BTreeSet<usize> {
    objects.iter().flat_map(SavedObject::prompted_frames).collect()
}
