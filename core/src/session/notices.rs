//! What a user should be told about the answers: an empty one, one that misses its own click, an object that was lost while it was
//! followed. The masks stay what the model gave.

use super::object::{Object, Output};
use super::{Point, Session};
use crate::Result;
use crate::guard::guard;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What is the matter with an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
    /// the prompts of a slice were answered with an empty mask
    Empty {
        /// the object
        object: u32,
        /// the slice
        frame: usize,
        /// presence logit
        object_score: f32,
        /// predicted IoU
        iou: f32,
    },
    /// a positive click lies outside of its answer
    MissedClick {
        /// the object
        object: u32,
        /// the slice
        frame: usize,
        /// the click, `[x, y]`
        point: [f32; 2],
        /// presence logit
        object_score: f32,
        /// predicted IoU
        iou: f32,
    },
    /// an object that was followed has no mask on some slices
    Lost {
        /// the object
        object: u32,
        /// the last slice with a mask in the direction in which it was followed, if there is one
        after: Option<usize>,
        /// first slice without a mask, in the order of the stack
        first: usize,
        /// last slice without a mask
        last: usize,
        /// presence logit on the slice where it was lost
        object_score: f32,
    },
}

/// A notice with its sentence, as reports and viewers get it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoticeInfo {
    /// the sentence
    pub text: String,
    /// what it says
    #[serde(flatten)]
    pub notice: Notice,
}

impl From<Notice> for NoticeInfo {
    fn from(notice: Notice) -> Self {
        Self { text: notice.to_string(), notice }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { object, frame, object_score, iou } => write!(
                f,
                "object {object}: the answer on slice {frame} is empty (presence {object_score:.1}, predicted IoU {iou:.2}); \
                 click again, draw a box, or choose another model"
            ),
            Self::MissedClick { object, frame, point: [x, y], object_score, iou } => write!(
                f,
                "object {object}: the answer on slice {frame} misses the click at ({x}, {y}) (presence {object_score:.1}, predicted IoU \
                 {iou:.2})"
            ),
            Self::Lost { object, after, first, last, object_score } => {
                match after {
                    Some(after) => write!(f, "object {object}: lost after slice {after}")?,
                    None => write!(f, "object {object}: not found")?,
                }
                write!(f, " (presence {object_score:.1}), no mask on ")?;
                match first == last {
                    true => write!(f, "slice {first}"),
                    false => write!(f, "slices {first} to {last}"),
                }
            }
        }
    }
}

impl Session {
    /// What to tell the user, object by object, prompted slices first.
    pub fn notices(&self) -> Result<Vec<NoticeInfo>> {
        let mut notices = Vec::new();
        for object in &self.objects {
            guard(|| self.prompted_notices(object, &mut notices))?;
            self.lost_notices(object, &mut notices)?;
        }
        Ok(notices.into_iter().map(NoticeInfo::from).collect())
    }

    /// Prompted slices: empty answers and missed clicks.
    fn prompted_notices(&self, object: &Object, notices: &mut Vec<Notice>) -> Result<()> {
        for (&frame, prompts) in &object.prompts {
            let Some(output) = object.latest(frame) else { continue };
            let (object_score, iou) = (output.numbers.score, output.numbers.iou);
            if !output.present {
                notices.push(Notice::Empty { object: object.id, frame, object_score, iou });
                continue;
            }
            let points: Vec<Point> = prompts.marks().points.into_iter().filter(|point| point.positive).collect();
            for point in self.missed(output, &points)? {
                let point = [point.x, point.y];
                notices.push(Notice::MissedClick { object: object.id, frame, point, object_score, iou });
            }
        }
        Ok(())
    }

    /// The clicks that lie outside of an answer.
    fn missed(&self, output: &Output, points: &[Point]) -> Result<Vec<Point>> {
        if points.is_empty() {
            return Ok(Vec::new());
        }
        let logits = self.full_size(output)?;
        let (rows, columns) = (self.volume().rows as i64, self.volume().columns as i64);
        let inside = |point: &&Point| {
            let (x, y) = ((point.x as i64).clamp(0, columns - 1), (point.y as i64).clamp(0, rows - 1));
            logits.double_value(&[y, x]) > 0.0
        };
        Ok(points.iter().filter(|point| !inside(point)).copied().collect())
    }

    /// Runs of followed slices without a mask.
    fn lost_notices(&self, object: &Object, notices: &mut Vec<Notice>) -> Result<()> {
        let followed: BTreeMap<usize, &Output> =
            object.tracked.iter().map(|(&frame, remembered)| (frame, &*remembered.output)).collect();
        let mut run: Option<(usize, usize)> = None;
        let mut runs = Vec::new();
        for (&frame, output) in &followed {
            run = match (run, output.present) {
                (Some((first, last)), false) if last + 1 == frame => Some((first, frame)),
                (ended, present) => {
                    runs.extend(ended);
                    (!present).then_some((frame, frame))
                }
            };
        }
        runs.extend(run);
        for (first, last) in runs {
            let reverse = object.visited.get(&first).copied().unwrap_or(false);
            let (lost, before) = if reverse { (last, last.checked_add(1)) } else { (first, first.checked_sub(1)) };
            let after = before.filter(|&frame| object.latest(frame).is_some_and(|output| output.present));
            let object_score = followed.get(&lost).map_or(0.0, |output| output.numbers.score);
            notices.push(Notice::Lost { object: object.id, after, first, last, object_score });
        }
        Ok(())
    }
}
