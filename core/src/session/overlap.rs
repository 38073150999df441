//! Which object a voxel gets where masks overlap: one rule, for every map of labels.
//!
//! A locked object comes before one that is not locked. Then a mask of a prompted slice comes before one that was followed, so that what the
//! user drew stays whole (not in [`Compat::Reference`], which knows no such rule). Among equals, [`Overlap`] decides.

use super::object::Object;
use super::{Compat, Session};
use crate::guard::{guard, torch};
use crate::progress::check;
use crate::volume::Labels;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which of two masks of equal rank gets the voxels that both claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// the object with the larger logit
    #[default]
    LargerLogit,
    /// the object that was added first
    Keep,
    /// the object that was added last
    Later,
    /// none: labels are an error there
    Forbid,
}

const NAMES: [(Overlap, &str); 4] = [
    (Overlap::LargerLogit, "larger_logit"),
    (Overlap::Keep, "keep"),
    (Overlap::Later, "later"),
    (Overlap::Forbid, "forbid"),
];

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.into_iter().find(|(overlap, _)| overlap == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Overlap {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = NAMES.into_iter().find(|(_, name)| *name == text).map(|(overlap, _)| overlap);
        found.ok_or_else(|| {
            let hint = crate::did_you_mean(text, NAMES.map(|(_, name)| name));
            let names = NAMES.map(|(_, name)| name).join(", ");
            Error::invalid(format!("overlap \"{text}\" is none of {names}{hint}"))
        })
    }
}

/// A slice that is being put together.
struct Slice {
    labels: Vec<u16>,
    /// of the mask that has the voxel: its rank and its logit
    held: Vec<(u8, f32)>,
    /// voxels that more than one object claims
    shared: Vec<bool>,
}

impl Slice {
    /// Another mask, `logits` above 0, with its rank.
    fn add(&mut self, object: u16, rank: u8, logits: &[f32], overlap: Overlap) {
        for (at, &logit) in logits.iter().enumerate().filter(|(_, logit)| **logit > 0.0) {
            let (label, held) = (&mut self.labels[at], &mut self.held[at]);
            let wins = match (*label, rank.cmp(&held.0)) {
                (0, _) | (_, std::cmp::Ordering::Greater) => true,
                (_, std::cmp::Ordering::Less) => false,
                _ => match overlap {
                    Overlap::LargerLogit => logit > held.1,
                    Overlap::Later => true,
                    Overlap::Keep | Overlap::Forbid => false,
                },
            };
            self.shared[at] |= *label != 0;
            if wins {
                (*label, *held) = (object, (rank, logit));
            }
        }
    }
}

impl Session {
    /// Object numbers on one slice, row by row; the module says which object gets a voxel that several claim.
    /// Errors: several claim one, and [`Overlap::Forbid`] was chosen.
    pub fn slice_labels(&self, frame: usize) -> Result<Vec<u16>> {
        Ok(self.decided_slice(frame)?.0)
    }

    /// The same, and how many voxels several objects claim.
    pub fn decided_slice(&self, frame: usize) -> Result<(Vec<u16>, usize)> {
        self.check_frame(frame)?;
        let pixels = self.volume().rows * self.volume().columns;
        let mut slice = Slice { labels: vec![0; pixels], held: vec![(0, 0.0); pixels], shared: vec![false; pixels] };
        let mut before: Vec<&Object> = Vec::new();
        for object in &self.objects {
            check()?;
            let Some(output) = object.latest(frame) else { continue };
            let logits = guard(|| {
                let logits = self.full_size(output)?;
                torch(|| Vec::<f32>::try_from(logits.flatten(0, -1)))
            })?;
            slice.add(object.id as u16, self.rank(object, frame), &logits, self.settings.overlap);
            let shared = slice.shared.iter().filter(|shared| **shared).count();
            if self.settings.overlap == Overlap::Forbid && shared > 0 {
                return Err(forbidden(frame, object, &before, &slice, shared));
            }
            before.push(object);
        }
        let decided = slice.shared.iter().filter(|shared| **shared).count();
        Ok((slice.labels, decided))
    }

    /// Masks of a higher rank keep their voxels whole.
    fn rank(&self, object: &Object, frame: usize) -> u8 {
        let prompted = self.settings.compat == Compat::Holding && object.prompts.contains_key(&frame);
        2 * u8::from(object.properties.locked) + u8::from(prompted)
    }

    /// Object numbers of the whole volume. Errors: as for [`Session::slice_labels`].
    pub fn labels(&self) -> Result<Labels> {
        Ok(self.decided_labels()?.0)
    }

    /// The same, and how many voxels several objects claim, so that the rule decided about them.
    pub fn decided_labels(&self) -> Result<(Labels, usize)> {
        let mut labels = Labels::empty_like(self.volume());
        let mut frames: Vec<_> = self.objects.iter().flat_map(|object| object.frames()).collect();
        frames.sort_unstable();
        frames.dedup();
        let mut decided = 0;
        for frame in frames {
            let (slice, voxels) = self.decided_slice(frame)?;
            labels.frame_mut(frame).copy_from_slice(&slice);
            decided += voxels;
        }
        Ok((labels, decided))
    }
}

/// What to say where objects overlap that must not.
fn forbidden(frame: usize, object: &Object, before: &[&Object], slice: &Slice, shared: usize) -> Error {
    let first = slice.shared.iter().position(|shared| *shared).map_or(0, |at| u32::from(slice.labels[at]));
    let other = before.iter().find(|other| other.id == first).map_or_else(|| format!("object {first}"), |o| o.called());
    Error::invalid(format!(
        "{} and {other} share {shared} voxels of slice {frame}, and `overlap` is `forbid`: correct one of them, or choose `keep`, `later` or \
         `larger_logit`",
        object.called()
    ))
    .about(frame, object.id)
}
