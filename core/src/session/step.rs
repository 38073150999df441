//! What was done to a session, as data: one [`Step`] for every verb that changes something. Steps are what the history is made of, what a
//! session's script is written from, and what `host-demo replay` reads in its own spelling.

use super::object::{Marks, Mask, Point};
use super::{PropertyChange, Range, Session, SliceResult};
use crate::io::Rle;
use crate::progress::Flow;
use crate::prompts::Direction;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Step {
    /// [`Session::prompt`]
    Prompt(PromptStep),
    /// [`Session::remove_prompt`]
    RemovePrompt {
        /// the slice
        frame: usize,
        /// the object
        object: u32,
        /// which of its prompts there
        index: usize,
    },
    /// [`Session::clear_slice`]
    Clear {
        /// the slice
        frame: usize,
        /// the object
        object: u32,
    },
    /// [`Session::remove_object`]
    Remove {
        /// the object
        object: u32,
    },
    /// [`Session::reset`]
    Reset,
    /// [`Session::set_object`]
    SetObject {
        /// the object
        object: u32,
        /// what was given
        #[serde(flatten)]
        change: PropertyChange,
    },
    /// [`Session::propagate`]
    Propagate {
        /// which way
        direction: Direction,
        /// slice to start from
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<usize>,
        /// how many slices beyond the start
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_frames: Option<usize>,
        /// which objects; none: all
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        objects: Vec<u32>,
        /// see [`Range::patience`]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience: Option<usize>,
        /// see [`Range::threshold`]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        threshold: Option<f64>,
        /// it was stopped after so many slices
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slices: Option<usize>,
    },
    /// [`Session::undo`]
    Undo,
    /// [`Session::redo`]
    Redo,
}

/// What a user gave at once on one slice, as in a prompt file; a mask as COCO run lengths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptStep {
    /// the slice
    pub frame: usize,
    /// the object
    pub object: u32,
    /// clicked positions `[x, y]`: numbers of float32 ([`short`])
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<[f64; 2]>,
    /// one per point: 1 on the object, 0 outside
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<i32>,
    /// `[x0, y0, x1, y1]`
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub bounds: Option<[f64; 4]>,
    /// a drawn mask
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Rle>,
    /// were the earlier points and box of the slice forgotten?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// which of the model's masks was chosen, 1 to 3
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<u8>,
}

impl PromptStep {
    /// Marks as data.
    pub fn new(frame: usize, object: u32, marks: &Marks) -> Self {
        let rle = |mask: &Mask| Rle::encode(mask.rows, mask.columns, |index| mask.pixels[index], true);
        Self {
            frame,
            object,
            points: marks.points.iter().map(|point| [point.x, point.y].map(short)).collect(),
            labels: marks.points.iter().map(|point| i32::from(point.positive)).collect(),
            bounds: marks.bounds.map(|bounds| bounds.map(short)),
            mask: marks.mask.as_ref().map(rle),
            replace: marks.replace,
            choice: marks.choice,
        }
    }

    /// The marks again. Errors: labels that do not fit the points, a damaged mask.
    pub fn marks(&self) -> Result<Marks> {
        let single = |n: f64| n as f32;
        let points: Vec<_> = self.points.iter().map(|point| point.map(single)).collect();
        Ok(Marks {
            points: Point::pairs(&points, &self.labels)?,
            bounds: self.bounds.map(|bounds| bounds.map(single)),
            mask: self.mask.as_ref().map(Mask::from_rle).transpose()?,
            replace: self.replace,
            choice: self.choice,
        })
    }
}

/// A float32 in as few digits as tell it from its neighbours, `0.1` rather than `0.10000000149011612`. It comes back as it was, also from a
/// reader of decimal numbers that errs in the last bit of a float64.
pub fn short(number: f32) -> f64 {
    let exact = f64::from(number);
    let short = number.to_string().parse().unwrap_or(exact);
    let same = [short.next_down(), short, short.next_up()].into_iter().all(|near| near as f32 == number);
    if same { short } else { exact }
}

impl Session {
    /// Does a step. A propagation that was stopped is stopped after as many slices again, which is no error here.
    pub fn apply(&mut self, step: &Step, mut on_slice: impl FnMut(SliceResult) -> Result<Flow>) -> Result<()> {
        match *step {
            Step::Prompt(ref prompt) => self.prompt(prompt.frame, prompt.object, prompt.marks()?).map(drop),
            Step::RemovePrompt { frame, object, index } => self.remove_prompt(frame, object, index),
            Step::Clear { frame, object } => self.clear_slice(frame, object),
            Step::Remove { object } => self.remove_object(object),
            Step::Reset => self.reset(),
            Step::SetObject { object, ref change } => self.set_object(object, change),
            Step::Propagate { direction, start, max_frames, ref objects, patience, threshold, slices } => {
                let mut enough = false;
                let (objects, threshold) = (objects.clone(), threshold.map(|threshold| threshold as f32));
                let range = Range { direction, start, max_frames, objects, patience, threshold };
                let result = self.propagate(range, |slice| {
                    enough = slices.is_some_and(|slices| slice.done >= slices);
                    let flow = on_slice(slice)?;
                    Ok(if enough { Flow::Cancel } else { flow })
                });
                match result {
                    Err(Error::Cancelled) if enough => Ok(()),
                    result => result,
                }
            }
            Step::Undo => self.undo().map(drop),
            Step::Redo => self.redo().map(drop),
        }
    }
}

/// For lists that people read: `slice 3, object 1: 2 points, box`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt(prompt) => write!(f, "{prompt}"),
            Self::RemovePrompt { frame, object, index } => {
                write!(f, "slice {frame}, object {object}: prompt {index} removed")
            }
            Self::Clear { frame, object } => write!(f, "slice {frame}, object {object}: all prompts removed"),
            Self::Remove { object } => write!(f, "object {object} removed"),
            Self::Reset => f.write_str("all objects removed"),
            Self::SetObject { object, change } => write!(f, "object {object}: {change}"),
            Self::Propagate { direction, objects, slices, .. } => {
                write!(f, "propagation {direction}")?;
                match objects[..] {
                    [] => {}
                    [object] => write!(f, " of object {object}")?,
                    _ => write!(f, " of {} objects", objects.len())?,
                }
                slices.map_or(Ok(()), |slices| write!(f, ", stopped after {slices} slices"))
            }
            Self::Undo => f.write_str("undo"),
            Self::Redo => f.write_str("redo"),
        }
    }
}

impl fmt::Display for PromptStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = match self.points.len() {
            0 => None,
            1 => Some("1 point".to_owned()),
            n => Some(format!("{n} points")),
        };
        let bounds = self.bounds.map(|_| "box".to_owned());
        let mask = self.mask.as_ref().map(|_| "mask".to_owned());
        let choice = self.choice.map(|choice| format!("choice {choice}"));
        let parts: Vec<String> = [points, bounds, mask, choice].into_iter().flatten().collect();
        write!(f, "slice {}, object {}: {}", self.frame, self.object, parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_come_back() {
        assert_eq!(short(0.1), 0.1);
        assert_eq!(short(24.0), 24.0);
        let mut bits = 1u32;
        for _ in 0..200_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = f32::from_bits(bits);
            if number.is_finite() {
                let text = short(number).to_string();
                let back: f64 = text.parse().unwrap();
                assert_eq!((back as f32).to_bits(), number.to_bits(), "{text}");
                assert_eq!((back.next_up() as f32).to_bits(), number.to_bits(), "{text}, one bit off");
            }
        }
    }

    #[test]
    fn steps_go_to_json_and_back() {
        let pixels: Vec<bool> = (0..12).map(|i| i % 5 < 2).collect();
        let marks = Marks {
            points: vec![Point { x: 3.3, y: 0.1, positive: false }],
            bounds: Some([0.0, 0.5, 2.0, 3.0]),
            mask: Some(Mask { rows: 3, columns: 4, pixels }),
            replace: true,
            choice: Some(3),
        };
        let prompt = PromptStep::new(2, 7, &marks);
        assert_eq!(prompt.marks().unwrap(), marks);
        assert_eq!(Step::Prompt(prompt.clone()).to_string(), "slice 2, object 7: 1 point, box, mask, choice 3");
        let steps = [
            Step::Prompt(prompt),
            Step::Propagate {
                direction: Direction::Both,
                start: None,
                max_frames: Some(3),
                objects: vec![7],
                patience: Some(2),
                threshold: Some(0.5),
                slices: Some(2),
            },
            Step::SetObject {
                object: 7,
                change: PropertyChange { name: Some("FAZ".to_owned()), ..Default::default() },
            },
            Step::RemovePrompt { frame: 2, object: 7, index: 0 },
            Step::Undo,
        ];
        let text = serde_json::to_string(&steps).unwrap();
        assert!(
            text.contains(r#"{"op":"prompt","frame":2,"object":7,"points":[[3.3,0.1]],"labels":[0],"box":"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Vec<Step>>(&text).unwrap(), steps);
    }
}
