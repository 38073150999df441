//! Objects and marks of a saved session. The states of the history share most of what they hold: every answer, memory, mark and object is
//! written once and named by its number.
//!
//! Coordinates are kept as the bits of their floating point numbers, because decimal numbers in JSON may come back a bit off.

use super::super::history::State;
use super::super::object::{Marks, Object, Output, Pending, Point, Remembered, SlicePrompts};
use super::super::properties::Properties;
use super::super::store::{Slot, Store};
use super::damaged;
use super::tensors::{Parts, Reader};
use crate::Result;
use crate::volume::Volume;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedObject {
    id: u32,
    #[serde(default)]
    properties: Properties,
    prompts: BTreeMap<usize, SavedPrompts>,
    /// an answer, and is it a conditioning slice?
    pending: BTreeMap<usize, (usize, bool)>,
    /// an answer and its memory
    prompted: BTreeMap<usize, (usize, usize)>,
    tracked: BTreeMap<usize, (usize, usize)>,
    visited: BTreeMap<usize, bool>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedPrompts {
    history: Vec<usize>,
    first: bool,
    reverse: bool,
    replaced: Option<(usize, usize)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedMarks {
    /// x, y, and 1 on the object or 0 outside
    points: Vec<(u32, u32, u8)>,
    #[serde(rename = "box")]
    bounds: Option<[u32; 4]>,
    mask: bool,
    replace: bool,
    #[serde(default)]
    choice: Option<u8>,
}

/// Things with numbers, in the order in which they were first met.
struct Numbered<'a, T> {
    numbers: HashMap<usize, usize>,
    things: Vec<&'a T>,
}

impl<T> Default for Numbered<'_, T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), things: Vec::new() }
    }
}

impl<'a, T> Numbered<'a, T> {
    /// `id` tells things apart.
    fn number(&mut self, id: usize, thing: &'a T) -> usize {
        *self.numbers.entry(id).or_insert_with(|| {
            self.things.push(thing);
            self.things.len() - 1
        })
    }

    fn shared(&mut self, thing: &'a Arc<T>) -> usize {
        self.number(Arc::as_ptr(thing).addr(), thing)
    }
}

/// What will be written, each thing once.
#[derive(Default)]
pub(super) struct Pool<'a> {
    outputs: Numbered<'a, Output>,
    memories: Numbered<'a, Slot>,
    marks: Numbered<'a, Marks>,
    numbers: HashMap<usize, usize>,
    /// the objects
    pub objects: Vec<SavedObject>,
}

impl<'a> Pool<'a> {
    /// Takes the objects of a state in. -> their numbers
    pub fn state(&mut self, state: &'a State) -> Vec<usize> {
        state.iter().map(|object| self.object(object)).collect()
    }

    fn object(&mut self, object: &'a Arc<Object>) -> usize {
        let id = Arc::as_ptr(object).addr();
        if let Some(&number) = self.numbers.get(&id) {
            return number;
        }
        let saved = SavedObject {
            id: object.id,
            properties: object.properties.clone(),
            prompts: object.prompts.iter().map(|(&frame, prompts)| (frame, self.prompts(prompts))).collect(),
            pending: object
                .pending
                .iter()
                .map(|(&frame, pending)| (frame, (self.outputs.shared(&pending.output), pending.conditioning)))
                .collect(),
            prompted: self.remembered(&object.prompted),
            tracked: self.remembered(&object.tracked),
            visited: object.visited.clone(),
        };
        self.objects.push(saved);
        self.numbers.insert(id, self.objects.len() - 1);
        self.objects.len() - 1
    }

    fn prompts(&mut self, prompts: &'a SlicePrompts) -> SavedPrompts {
        SavedPrompts {
            history: prompts.history.iter().map(|marks| self.marks.shared(marks)).collect(),
            first: prompts.first,
            reverse: prompts.reverse,
            replaced: prompts.replaced.as_ref().map(|remembered| self.pair(remembered)),
        }
    }

    fn remembered(&mut self, slices: &'a BTreeMap<usize, Remembered>) -> BTreeMap<usize, (usize, usize)> {
        slices.iter().map(|(&frame, remembered)| (frame, self.pair(remembered))).collect()
    }

    fn pair(&mut self, remembered: &'a Remembered) -> (usize, usize) {
        let Remembered { output, memory } = remembered;
        (self.outputs.shared(output), self.memories.number(memory.id(), memory))
    }

    /// How many answers and memories there are.
    pub fn counts(&self) -> [usize; 2] {
        [self.outputs.things.len(), self.memories.things.len()]
    }

    /// The tensors go to `parts`.
    pub fn write(self, parts: &mut Parts<'a>) -> (Vec<SavedMarks>, Vec<SavedObject>) {
        for (number, output) in self.outputs.things.into_iter().enumerate() {
            parts.output(&output_name(number), output);
        }
        for (number, memory) in self.memories.things.into_iter().enumerate() {
            parts.memory(memory_name(number), memory);
        }
        let masks = self.marks.things.iter().enumerate();
        masks.filter_map(|(number, marks)| Some((number, marks.mask.as_ref()?))).for_each(|(number, mask)| {
            parts.mask(mask_name(number), mask);
        });
        (self.marks.things.into_iter().map(SavedMarks::of).collect(), self.objects)
    }
}

fn output_name(number: usize) -> String {
    format!("output.{number}")
}

fn memory_name(number: usize) -> String {
    format!("memory.{number}")
}

fn mask_name(number: usize) -> String {
    format!("mask.{number}")
}

/// What was read, to be put together again.
pub(super) struct Taken {
    outputs: Vec<Arc<Output>>,
    memories: Vec<Slot>,
    marks: Vec<Arc<Marks>>,
}

impl Taken {
    /// Takes everything out of `reader`. What lies beyond `budget` bytes goes to the temporary file.
    pub fn new(
        [outputs, memories]: [usize; 2],
        marks: Vec<SavedMarks>,
        volume: &Volume,
        reader: &mut Reader,
        store: &Store,
        budget: usize,
    ) -> Result<Self> {
        let park = |slot: &Slot| if store.live_bytes() > budget { slot.park() } else { Ok(()) };
        let outputs = (0..outputs).map(|number| {
            let output = reader.output(&output_name(number), store)?;
            park(&output.low_res)?;
            Ok(Arc::new(output))
        });
        let outputs = outputs.collect::<Result<_>>()?;
        let memories = (0..memories).map(|number| {
            let memory = reader.memory(&memory_name(number), store)?;
            park(&memory)?;
            Ok(memory)
        });
        let memories = memories.collect::<Result<_>>()?;
        let marks = marks.into_iter().enumerate().map(|(number, saved)| {
            let marks = saved.restore(&mask_name(number), volume, reader)?;
            Ok(Arc::new(marks))
        });
        Ok(Self { outputs, memories, marks: marks.collect::<Result<_>>()? })
    }

    /// An object of those parts.
    pub fn object(&self, saved: SavedObject, volume: &Volume) -> Result<Arc<Object>> {
        let SavedObject { id, properties, prompts, pending, prompted, tracked, visited } = saved;
        if !(1..=65535).contains(&id) {
            return Err(damaged(format!("object number {id}")));
        }
        let frames = pending.keys().chain(prompted.keys()).chain(tracked.keys()).chain(visited.keys());
        frames.chain(prompts.keys()).try_for_each(|&frame| known(frame, volume))?;
        properties.check().map_err(damaged)?;
        let mut object = Object { visited, properties, ..Object::new(id) };
        for (frame, saved) in prompts {
            object.prompts.insert(frame, self.prompts(id, frame, saved)?);
        }
        for (frame, (output, conditioning)) in pending {
            object.pending.insert(frame, Pending { output: self.output(output)?, conditioning });
        }
        for (frame, pair) in prompted {
            object.prompted.insert(frame, self.remembered(pair)?);
        }
        for (frame, pair) in tracked {
            object.tracked.insert(frame, self.remembered(pair)?);
        }
        Ok(Arc::new(object))
    }

    fn prompts(&self, id: u32, frame: usize, saved: SavedPrompts) -> Result<SlicePrompts> {
        if saved.history.is_empty() {
            return Err(damaged(format!("object {id} has no prompt on slice {frame}")));
        }
        let marks =
            |number: usize| self.marks.get(number).cloned().ok_or_else(|| damaged(format!("no marks {number}")));
        Ok(SlicePrompts {
            history: saved.history.into_iter().map(marks).collect::<Result<_>>()?,
            first: saved.first,
            reverse: saved.reverse,
            replaced: saved.replaced.map(|pair| self.remembered(pair)).transpose()?,
        })
    }

    fn output(&self, number: usize) -> Result<Arc<Output>> {
        self.outputs.get(number).cloned().ok_or_else(|| damaged(format!("there is no answer {number}")))
    }

    fn remembered(&self, (output, memory): (usize, usize)) -> Result<Remembered> {
        let missing = || damaged(format!("there is no memory {memory}"));
        Ok(Remembered { output: self.output(output)?, memory: self.memories.get(memory).cloned().ok_or_else(missing)? })
    }
}

/// Is there such a slice?
pub(super) fn known(frame: usize, volume: &Volume) -> Result<()> {
    volume.check_frame(frame).map_err(damaged)
}

impl SavedObject {
    /// Slices with prompts.
    pub fn prompted_frames(&self) -> impl Iterator<Item = usize> {
        self.prompts.keys().copied()
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
            choice: marks.choice,
        }
    }

    fn restore(self, mask: &str, volume: &Volume, reader: &mut Reader) -> Result<Marks> {
        let point = |(x, y, positive)| Point { x: f32::from_bits(x), y: f32::from_bits(y), positive: positive != 0 };
        let marks = Marks {
            points: self.points.into_iter().map(point).collect(),
            bounds: self.bounds.map(|bounds| bounds.map(f32::from_bits)),
            mask: self.mask.then(|| reader.mask(mask, volume.rows, volume.columns)).transpose()?,
            replace: self.replace,
            choice: self.choice,
        };
        marks.check(volume.rows, volume.columns).map_err(damaged)?;
        Ok(marks)
    }
}
