//! One object of a session: what the user marked, and what the model answered, slice by slice.

use super::properties::Properties;
use super::store::{Slot, Store};
use crate::device::transfer;
use crate::io::Rle;
use crate::model::SamOutput;
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use tch::{Kind, Tensor};

/// A click, in pixels of the slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// to the right
    pub x: f32,
    /// downwards
    pub y: f32,
    /// on the object (or outside)
    pub positive: bool,
}

impl Point {
    /// Positions with one label each: 1 on the object, 0 outside; without labels all are on it.
    pub fn pairs(points: &[[f32; 2]], labels: &[i32]) -> Result<Vec<Self>> {
        if !labels.is_empty() && labels.len() != points.len() {
            return Err(Error::invalid(format!("{} points but {} labels", points.len(), labels.len())));
        }
        if let Some(label) = labels.iter().find(|label| !matches!(label, 0 | 1)) {
            return Err(Error::invalid(format!("label {label} is neither 1 (inside) nor 0 (outside)")));
        }
        let labels = labels.iter().copied().chain(std::iter::repeat(1));
        Ok(points.iter().zip(labels).map(|(&[x, y], label)| Self { x, y, positive: label == 1 }).collect())
    }
}

/// A drawn mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// height in pixels
    pub rows: usize,
    /// width in pixels
    pub columns: usize,
    /// object or not, row by row
    pub pixels: Vec<bool>,
}

impl Mask {
    /// One object on one slice of a volume, from labels at the same place. Errors: labels on another grid; no such slice; nothing there.
    pub fn of(labels: &Labels, volume: &Volume, frame: usize, object: u16) -> Result<Self> {
        let labels = labels.onto(volume.lattice())?;
        if labels.area(frame, object)? == 0 {
            return Err(Error::invalid(format!("the labels hold no pixel of object {object} on slice {frame}")));
        }
        let pixels = labels.frame(frame).iter().map(|&label| label == object).collect();
        Ok(Self { rows: labels.rows, columns: labels.columns, pixels })
    }

    /// A mask in run lengths. Errors: runs that do not fill it.
    pub fn from_rle(rle: &Rle) -> Result<Self> {
        let [rows, columns] = rle.size;
        Ok(Self { rows, columns, pixels: rle.decode()? })
    }
}

/// What a user gives at once on one slice; any mixture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Marks {
    /// clicks
    pub points: Vec<Point>,
    /// `[x0, y0, x1, y1]`
    pub bounds: Option<[f32; 4]>,
    /// a drawn mask: alone it is the answer; with points or a box it is where the model starts from
    pub mask: Option<Mask>,
    /// forget the earlier points and box of the slice (the model still starts from its last answer)
    pub replace: bool,
    /// which of the masks that the model has for a click is the answer, 1 to 3 ([`Session::preview`](super::Session::preview) shows them);
    /// default: the one that it takes itself
    pub choice: Option<u8>,
}

impl Marks {
    /// Joins later marks to these: points add up, a box replaces a box, a mask starts the slice anew.
    pub(super) fn join(&mut self, later: &Marks) {
        if later.replace || later.mask.is_some() {
            *self = Self::default();
        }
        self.points.extend(&later.points);
        self.bounds = later.bounds.or(self.bounds);
        self.mask = later.mask.clone();
        self.choice = later.choice;
    }

    /// Clicks and box corners.
    pub(super) fn tokens(&self) -> i64 {
        (self.points.len() + 2 * usize::from(self.bounds.is_some())) as i64
    }

    pub(super) fn check(&self, rows: usize, columns: usize) -> Result<()> {
        if self.points.is_empty() && self.bounds.is_none() && self.mask.is_none() {
            return Err(Error::invalid("a prompt needs points, a box or a mask"));
        }
        // a whole number is the centre of a pixel, which reaches half a pixel to all sides; programs that count edges go up to the size
        let inside = |x: f32, y: f32| (-0.5..=columns as f32).contains(&x) && (-0.5..=rows as f32).contains(&y);
        let size = format!("the slice is {columns} wide and {rows} high");
        if let Some(point) = self.points.iter().find(|point| !inside(point.x, point.y)) {
            return Err(Error::invalid(format!("point ({}, {}) lies outside: {size}", point.x, point.y)));
        }
        if let Some([x0, y0, x1, y1]) = self.bounds
            && !(inside(x0, y0) && inside(x1, y1) && x0 < x1 && y0 < y1)
        {
            return Err(Error::invalid(format!(
                "box [{x0}, {y0}, {x1}, {y1}] must be [left, top, right, bottom] inside the slice: {size}"
            )));
        }
        match self.choice {
            Some(choice) if !(1..=3).contains(&choice) => {
                return Err(Error::invalid(format!("choice {choice} is none: a click has the masks 1, 2 and 3")));
            }
            Some(_) if self.tokens() == 0 => {
                return Err(Error::invalid("a choice is among the masks of a click or a box: give one with it"));
            }
            _ => {}
        }
        match &self.mask {
            Some(mask) if (mask.rows, mask.columns) != (rows, columns) || mask.pixels.len() != rows * columns => {
                Err(Error::invalid(format!("the mask is {} wide and {} high, but {size}", mask.columns, mask.rows)))
            }
            _ => Ok(()),
        }
    }
}

/// The model's answer for one object on one slice. It never changes: the states of the history share it.
pub(super) struct Output {
    /// logits `[1, 1, 4 side, 4 side]` float32
    pub low_res: Slot,
    /// `[1, C]`
    pub obj_ptr: Slot,
    /// presence logit `[1, 1]`
    pub score: Slot,
    /// predicted IoU `[1, 1]`
    pub iou: Slot,
    /// does the mask have a pixel?
    pub present: bool,
    /// presence logit and predicted IoU, on the host
    pub numbers: Numbers,
}

/// What a model says about its mask.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    /// presence logit
    pub score: f32,
    /// predicted IoU
    pub iou: f32,
}

impl Output {
    pub fn new(output: SamOutput, store: &Store) -> Result<Arc<Self>> {
        let SamOutput { low_res, obj_ptr, object_score_logits, iou, .. } = output;
        Ok(Arc::new(Self::of([low_res, obj_ptr, object_score_logits, iou], store)?))
    }

    /// From its tensors: low-resolution logits, object pointer, presence, predicted IoU.
    pub fn of(tensors: [Tensor; 4], store: &Store) -> Result<Self> {
        let [low_res, _, score, iou] = &tensors;
        let [present, score, iou] = transfer::packed(&[&low_res.gt(0.0).any(), score, iou])?;
        let (present, numbers) = (present != 0.0, Numbers { score, iou });
        let [low_res, obj_ptr, score, iou] = tensors.map(|tensor| store.put(tensor));
        Ok(Self { low_res, obj_ptr, score, iou, present, numbers })
    }

    fn slots(&self) -> [&Slot; 4] {
        [&self.low_res, &self.obj_ptr, &self.score, &self.iou]
    }
}

/// An answer that later slices look at.
#[derive(Clone)]
pub(super) struct Remembered {
    pub output: Arc<Output>,
    /// `[1, mem_dim, side, side]`
    pub memory: Slot,
}

impl Remembered {
    pub fn park(&self) -> Result<()> {
        self.slots().into_iter().try_for_each(Slot::park)
    }

    fn slots(&self) -> [&Slot; 2] {
        [&self.output.low_res, &self.memory] // what is large
    }
}

/// What the user did on one slice.
#[derive(Clone)]
pub(super) struct SlicePrompts {
    /// everything given, in order
    pub history: Vec<Arc<Marks>>,
    /// answered without memory: the slice was not tracked before
    pub first: bool,
    /// direction in which the slice was tracked before
    pub reverse: bool,
    /// the tracked answer that the prompts replaced
    pub replaced: Option<Remembered>,
}

impl SlicePrompts {
    /// All of it together.
    pub fn marks(&self) -> Marks {
        self.history.iter().fold(Marks::default(), |mut all, marks| {
            all.join(marks);
            all
        })
    }
}

/// An answer that is not part of the memory yet: memories are made when the user has finished clicking.
#[derive(Clone)]
pub(super) struct Pending {
    pub output: Arc<Output>,
    pub conditioning: bool,
}

/// One object. Cheap to clone: marks and tensors are shared.
#[derive(Clone)]
pub(super) struct Object {
    pub id: u32,
    pub properties: Properties,
    pub prompts: BTreeMap<usize, SlicePrompts>,
    pub pending: BTreeMap<usize, Pending>,
    /// conditioning slices
    pub prompted: BTreeMap<usize, Remembered>,
    /// tracked slices
    pub tracked: BTreeMap<usize, Remembered>,
    /// slices that a propagation passed, and whether backwards
    pub visited: BTreeMap<usize, bool>,
}

impl Object {
    pub fn new(id: u32) -> Self {
        let (prompts, pending, prompted) = Default::default();
        let properties = Properties::default();
        Self { id, properties, prompts, pending, prompted, tracked: BTreeMap::new(), visited: BTreeMap::new() }
    }

    /// The newest answer on a slice.
    pub fn latest(&self, frame: usize) -> Option<&Output> {
        let pending = self.pending.get(&frame).map(|pending| &*pending.output);
        pending.or_else(|| Some(&*self.remembered(frame)?.output))
    }

    /// What later slices see of a slice.
    pub fn remembered(&self, frame: usize) -> Option<&Remembered> {
        self.prompted.get(&frame).or_else(|| self.tracked.get(&frame))
    }

    /// Every tensor, those in several places several times.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        let replaced = self.prompts.values().filter_map(|prompts| prompts.replaced.as_ref());
        let remembered = self.prompted.values().chain(self.tracked.values()).chain(replaced);
        let pending = self.pending.values().map(|pending| &pending.output);
        let memories = remembered.clone().map(|remembered| &remembered.memory);
        pending.chain(remembered.map(|remembered| &remembered.output)).flat_map(|output| output.slots()).chain(memories)
    }

    /// Slices that have an answer.
    pub fn frames(&self) -> impl Iterator<Item = usize> {
        self.pending.keys().chain(self.prompted.keys()).chain(self.tracked.keys()).copied()
    }

    /// Slices that steer a propagation: prompted ones, remembered or not yet.
    pub fn anchors(&self) -> impl Iterator<Item = usize> {
        let pending = self.pending.iter().filter(|(_, pending)| pending.conditioning).map(|(&frame, _)| frame);
        self.prompted.keys().copied().chain(pending)
    }

    /// A mask `[H, W]` of 0 and 1 as the model wants it: `[1, 1, size, size]`, resized with antialiasing, cut at one half.
    pub fn model_mask(mask: &Mask, size: i64) -> Tensor {
        let pixels: Vec<u8> = mask.pixels.iter().map(|&inside| u8::from(inside)).collect();
        let image =
            Tensor::from_slice(&pixels).view([1, 1, mask.rows as i64, mask.columns as i64]).to_kind(Kind::Float);
        if (mask.rows as i64, mask.columns as i64) == (size, size) {
            return image;
        }
        crate::model::layers::resize_bilinear_antialias(&image, [size, size]).ge(0.5).to_kind(Kind::Float)
    }
}
