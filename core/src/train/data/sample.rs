//! A case becomes a clip: some slices, evenly spaced, some objects on them, and prompts on some of the slices.

use super::augment::Augment;
use super::{BadData, Case, Subset, WholeSlices};
use crate::intensity::Intensity;
use crate::model::config::InputImage;
use crate::regions::{PointRules, Region};
use crate::session::{Point, prepare};
use crate::train::clip::{Clip, ClipObject, Prompt};
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// draws of slices before a case is given up
const TRIES: usize = 50;

/// Slices of a clip that get prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptFrames {
    /// the first
    #[default]
    First,
    /// the first and the last
    FirstLast,
    /// the first and the middle one
    FirstMiddle,
    /// the first, the middle one and the last
    FirstMiddleLast,
}

impl PromptFrames {
    fn of(self, frames: usize) -> Vec<usize> {
        let (middle, last) = (frames / 2, frames - 1);
        let mut chosen = match self {
            Self::First => vec![0],
            Self::FirstLast => vec![0, last],
            Self::FirstMiddle => vec![0, middle],
            Self::FirstMiddleLast => vec![0, middle, last],
        };
        chosen.dedup();
        chosen
    }
}

/// What a prompt is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptKind {
    /// clicks
    #[default]
    Points,
    /// a box, drawn a little loosely
    Box,
    /// the true mask
    Mask,
    /// one of the three at random (half of the time points)
    Any,
}

/// How clips are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SampleConfig {
    /// slices of a clip
    pub frames: usize,
    /// most slices between two of them
    pub spacing: usize,
    /// most objects of a clip
    pub objects: usize,
    /// the slices that get prompts
    pub prompt_frames: PromptFrames,
    /// what they are made of
    pub prompt: PromptKind,
    /// where clicks lie, in pixels of the model's input
    pub points: PointRules,
    /// clicks that follow where the answer was wrong
    pub corrections: usize,
    /// an easier truth, for models with random weights
    pub curriculum: Option<Curriculum>,
}

/// A curriculum for training from random weights: only what lies near the first click counts. Without it training collapses to one mask for
/// every click.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curriculum {
    /// radius around the click, in pixels of the model's input
    pub radius: usize,
    /// blank the image; the truth is the whole disc, so that only the position of the click teaches
    #[serde(default)]
    pub blank_image: bool,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self {
            frames: 4,
            spacing: 2,
            objects: 2,
            prompt_frames: PromptFrames::First,
            prompt: PromptKind::Points,
            points: PointRules::default(),
            corrections: 0,
            curriculum: None,
        }
    }
}

impl SampleConfig {
    /// An error where a number makes no sense.
    pub fn check(&self) -> Result<()> {
        match self {
            Self { frames: 0, .. } => Err(Error::invalid("sample.frames is 0: a clip has at least one slice")),
            Self { spacing: 0, .. } => Err(Error::invalid("sample.spacing is 0: 1 takes neighbouring slices")),
            Self { objects: 0, .. } => Err(Error::invalid("sample.objects is 0: a clip has at least one object")),
            Self { points: PointRules { positive: 0, .. }, prompt: PromptKind::Points | PromptKind::Any, .. } => {
                Err(Error::invalid("sample.points.positive is 0: a prompt needs a point on the object"))
            }
            Self { curriculum: Some(_), prompt, points, corrections, .. }
                if *prompt != PromptKind::Points || points.negative > 0 || *corrections > 0 =>
            {
                Err(Error::invalid(
                    "sample.curriculum goes with points on the object alone: no boxes, masks, negative points or corrections",
                ))
            }
            _ => self.points.check("sample.points."),
        }
    }

    /// A random clip, varied.
    pub fn draw(&self, case: &LoadedCase, input: InputImage, augment: &Augment, rng: &mut ChaCha8Rng) -> Result<Clip> {
        let frames = self.frames.min(case.volume.frames);
        let most = if frames > 1 { (case.volume.frames - 1) / (frames - 1) } else { 1 };
        for _ in 0..TRIES {
            let step = rng.random_range(1..=self.spacing.min(most.max(1)));
            let start = rng.random_range(0..=case.volume.frames - 1 - (frames - 1) * step);
            let mut chosen: Vec<usize> = (0..frames).map(|i| start + i * step).collect();
            if rng.random_bool(0.5) {
                chosen.reverse(); // objects are followed both ways
            }
            let mut objects = objects_on(&case.labels, chosen[0]);
            if objects.is_empty() {
                continue;
            }
            objects.shuffle(rng);
            objects.truncate(self.objects);
            let mut clip = case.clip(&chosen, &objects, input)?;
            augment.apply(&mut clip, rng);
            if self.prompt(&mut clip, rng) {
                return Ok(clip);
            }
        }
        Err(Error::invalid(format!("{}: no object on the slices that were drawn, {TRIES} times over", case.name)))
    }

    /// The clips that measure a case: all objects, slices spread evenly over the stack from the first that shows the object.
    pub fn fixed(&self, case: &LoadedCase, input: InputImage, rng: &mut ChaCha8Rng) -> Result<Vec<Clip>> {
        let mut clips = Vec::new();
        for object in case.labels.objects() {
            let visible = case.labels.frames_of(object);
            let (Some(&first), Some(&last)) = (visible.first(), visible.last()) else { continue };
            let frames = self.frames.min(last - first + 1);
            let at = |i: usize| first + if frames > 1 { i * (last - first) / (frames - 1) } else { 0 };
            let chosen: Vec<_> = (0..frames).map(at).collect();
            let mut clip = case.clip(&chosen, &[object], input)?;
            if self.prompt(&mut clip, rng) {
                clips.push(clip);
            }
        }
        Ok(clips)
    }

    /// Puts prompts on a clip; objects that cannot be prompted on its first slice are left out. -> is there an object left?
    fn prompt(&self, clip: &mut Clip, rng: &mut ChaCha8Rng) -> bool {
        let frames = self.prompt_frames.of(clip.images.len());
        for object in &mut clip.objects {
            for &frame in &frames {
                if let Some(prompt) = self.prompt_on(&object.truth[frame], rng) {
                    object.prompts.insert(frame, prompt);
                }
            }
        }
        clip.objects.retain(|object| object.prompts.contains_key(&0));
        if let Some(curriculum) = self.curriculum {
            curriculum.apply(clip);
        }
        !clip.objects.is_empty()
    }

    fn prompt_on(&self, truth: &Tensor, rng: &mut ChaCha8Rng) -> Option<Prompt> {
        let side = truth.size()[3] as usize;
        let inside = Vec::<bool>::try_from(truth.gt(0.5).flatten(0, -1)).ok()?;
        let region = Region { rows: side, columns: side, inside };
        let bounds = region.bounds()?;
        let kind = match self.prompt {
            PromptKind::Any => {
                [PromptKind::Points, PromptKind::Points, PromptKind::Box, PromptKind::Mask][rng.random_range(0..4)]
            }
            kind => kind,
        };
        let mut prompt = Prompt { corrections: self.corrections, ..Prompt::default() };
        match kind {
            PromptKind::Points | PromptKind::Any => {
                let [on, around] = self.points.draw(&region, rng);
                let point = |positive: bool| move |[x, y]: [usize; 2]| Point { x: x as f32, y: y as f32, positive };
                prompt.points = on.into_iter().map(point(true)).chain(around.into_iter().map(point(false))).collect();
            }
            PromptKind::Box => {
                let loose = (side / 40).max(1) as f32;
                let edge = |at: usize, rng: &mut ChaCha8Rng| {
                    (at as f32 + rng.random_range(-loose..=loose)).clamp(0.0, side as f32)
                };
                prompt.bounds = Some(bounds.map(|at| edge(at, rng)));
            }
            PromptKind::Mask => prompt.mask = Some(truth.shallow_clone()),
        }
        Some(prompt)
    }
}

impl Curriculum {
    fn apply(self, clip: &mut Clip) {
        for object in &mut clip.objects {
            let Some(click) = object.prompts.get(&0).and_then(|prompt| prompt.points.first()) else { continue };
            for truth in &mut object.truth {
                let along = |centre: f32| {
                    (Tensor::arange(truth.size()[3], (Kind::Float, truth.device())) - f64::from(centre)).square()
                };
                let distance = along(click.y).view([-1, 1]) + along(click.x).view([1, -1]);
                let disc = distance.le((self.radius * self.radius) as f64).to_kind(Kind::Float).view_as(truth);
                *truth = if self.blank_image { disc } else { &*truth * disc };
            }
        }
        if self.blank_image {
            clip.images.iter_mut().for_each(|image| *image = image.zeros_like());
            clip.dense.clear();
        }
    }
}

fn objects_on(labels: &Labels, frame: usize) -> Vec<u16> {
    let mut objects: Vec<_> = labels.frame(frame).iter().copied().filter(|&label| label != 0).collect();
    objects.sort_unstable();
    objects.dedup();
    objects
}

/// A case in memory.
pub struct LoadedCase {
    /// for messages and tables
    pub name: String,
    /// the volume
    pub volume: Volume,
    /// its truth
    pub labels: Labels,
    /// what the labels say of whole slices, if they do
    pub whole: Option<WholeSlices>,
}

/// The cases of a training, read, by what they are for.
pub struct Sorted<T> {
    /// learnt from; at least one
    pub train: Vec<T>,
    /// measured after every epoch
    pub validation: Vec<T>,
    /// measured, and read, at the end
    pub test: Vec<Box<dyn Case>>,
    /// could not be read and were left out
    pub skipped: usize,
}

impl<T> Sorted<T> {
    /// Reads them with `read`. Errors: one that cannot be read (unless those are left out), none for training.
    pub fn read(
        cases: Vec<Box<dyn Case>>,
        on_bad_data: BadData,
        mut read: impl FnMut(Box<dyn Case>) -> Result<T>,
    ) -> Result<Self> {
        let mut sorted = Self { train: Vec::new(), validation: Vec::new(), test: Vec::new(), skipped: 0 };
        for case in cases {
            let target = match case.subset() {
                Subset::Train => &mut sorted.train,
                Subset::Validation => &mut sorted.validation,
                Subset::Test => {
                    sorted.test.push(case);
                    continue;
                }
            };
            match read(case) {
                Ok(case) => target.push(case),
                Err(_) if on_bad_data == BadData::Skip => sorted.skipped += 1,
                Err(error) => return Err(error),
            }
        }
        if sorted.train.is_empty() {
            return Err(Error::invalid("no case that could be read is for training"));
        }
        Ok(sorted)
    }
}

impl LoadedCase {
    /// Reads a case.
    pub fn read(case: &dyn Case) -> Result<Self> {
        let (volume, labels) = case.read()?;
        Ok(Self { name: case.name().to_owned(), volume, labels, whole: case.whole() })
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> u64 {
        (self.volume.bytes_held() + std::mem::size_of_val(self.labels.data.as_slice())) as u64
    }

    /// Its name as the name of a file: what would be a folder becomes `_`.
    pub fn file_name(&self) -> String {
        let allowed = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
        self.name.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
    }

    /// Slices as the model sees them at inference, and the truth of some objects; no prompts yet.
    pub fn clip(&self, frames: &[usize], objects: &[u16], input: InputImage) -> Result<Clip> {
        let (windows, size) = (Intensity::Auto.of(&self.volume)?, input.size);
        let images: Vec<_> =
            frames.iter().map(|&frame| prepare(&self.volume, frame, windows, input)).collect::<Result<_>>()?;
        let truth = |object: u16| frames.iter().map(move |&frame| self.truth(frame, object, size)).collect();
        let objects = objects.iter().map(|&id| ClipObject { id, truth: truth(id), prompts: Default::default() });
        let dense = |&frame: &usize| self.dense(frame, size);
        let dense = frames.iter().filter_map(dense).collect();
        Ok(Clip { name: self.name.clone(), images, objects: objects.collect(), dense })
    }

    /// All vessels, and the avascular zone (-1 where it is not known), `[1, 2, S, S]`.
    fn dense(&self, frame: usize, size: i64) -> Option<Tensor> {
        let WholeSlices { faz } = self.whole?;
        let vessels = self.mask(frame, size, |label| label != 0 && Some(label) != faz);
        let zone = faz.map_or_else(|| vessels.full_like(-1.0), |faz| self.truth(frame, faz, size));
        Some(Tensor::cat(&[vessels, zone], 1))
    }

    /// One object on one slice at the model's size, 0 and 1, `[1, 1, S, S]`.
    fn truth(&self, frame: usize, object: u16, size: i64) -> Tensor {
        self.mask(frame, size, |label| label == object)
    }

    fn mask(&self, frame: usize, size: i64, inside: impl Fn(u16) -> bool) -> Tensor {
        let pixels: Vec<u8> = self.labels.frame(frame).iter().map(|&label| u8::from(inside(label))).collect();
        let [rows, columns] = [self.labels.rows as i64, self.labels.columns as i64];
        let mask = Tensor::from_slice(&pixels).view([1, 1, rows, columns]).to_kind(Kind::Float);
        if (rows, columns) == (size, size) {
            return mask;
        }
        crate::model::layers::resize_bilinear_antialias(&mask, [size, size]).ge(0.5).to_kind(Kind::Float)
    }
}
