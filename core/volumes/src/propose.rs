//! Labels become prompts: what a small network (or an older segmentation) found is handed to SAM 2, which follows and refines it.

use crate::prompts::{Direction, ObjectPrompts, PromptFile, SlicePrompt};
use crate::regions::{PointRules, Region};
use crate::volume::Labels;
use crate::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Which slices of an object get prompts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// the one where it is largest
    #[default]
    Largest,
    /// the first, the middle and the last that it is on
    FirstMiddleLast,
    /// all that it is on
    All,
    /// these, as far as it is on them
    #[serde(untagged)]
    Frames(Vec<usize>),
}

/// How prompts are proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proposal {
    /// the slices
    pub frames: Chosen,
    /// points inside: one for each part of the object, then anywhere on it
    pub positive: usize,
    /// points in the ring around it, outside of all of its parts
    pub negative: usize,
    /// the ring's distances from the object in pixels
    pub ring: [usize; 2],
    /// its bounding box, too
    #[serde(rename = "box")]
    pub bounds: bool,
    /// parts of fewer pixels are no object
    pub least: usize,
    /// fixes the choice of the points
    pub seed: u64,
}

impl Default for Proposal {
    fn default() -> Self {
        Self { frames: Chosen::Largest, positive: 1, negative: 0, ring: [3, 9], bounds: false, least: 20, seed: 1 }
    }
}

/// Prompts for every object of the labels. Errors: options that propose nothing; slices that the labels do not have; labels without objects.
pub fn propose(labels: &Labels, proposal: &Proposal) -> Result<PromptFile> {
    let Proposal { frames, positive, negative, ring, bounds, least, seed } = proposal;
    if *positive == 0 && !bounds {
        return Err(Error::invalid("propose: neither points inside nor a box; `positive` 1 or `box` true"));
    }
    let rules = PointRules { positive: *positive, negative: *negative, ring: *ring };
    rules.check("propose: ")?;
    if let Chosen::Frames(frames) = frames {
        frames.iter().try_for_each(|&frame| labels.check_frame(frame))?;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(*seed);
    let mut objects = Vec::new();
    for object in labels.objects() {
        let sizes = labels.frames_of(object).into_iter().map(|frame| (frame, region(labels, frame, object)));
        let there: Vec<(usize, Region)> = sizes.filter(|(_, region)| count(region) >= *least).collect();
        let mut prompts = Vec::new();
        for (frame, region) in frames.of(&there) {
            let [on, around] = rules.draw(region, &mut rng);
            let labels = on.iter().map(|_| 1).chain(around.iter().map(|_| 0)).collect();
            let points = on.into_iter().chain(around).map(|point| point.map(|at| at as f32)).collect();
            let bounds = region.bounds().filter(|_| *bounds).map(|bounds| bounds.map(|at| at as f32));
            prompts.push(SlicePrompt { frame: *frame, points, labels, bounds, mask: None });
        }
        if !prompts.is_empty() {
            objects.push(ObjectPrompts { id: object.into(), prompts });
        }
    }
    if objects.is_empty() {
        return Err(Error::invalid(format!("propose: no object has {least} pixels on a slice that was chosen")));
    }
    Ok(PromptFile { objects, direction: Direction::Both, start: None, max_frames: None })
}

impl Chosen {
    fn of<'a>(&self, there: &'a [(usize, Region)]) -> Vec<&'a (usize, Region)> {
        let Some(last) = there.len().checked_sub(1) else { return Vec::new() };
        match self {
            Self::Largest => {
                there.iter().max_by_key(|(frame, region)| (count(region), usize::MAX - frame)).into_iter().collect()
            }
            Self::FirstMiddleLast => {
                let mut at = vec![0, last / 2, last];
                at.dedup();
                at.into_iter().map(|at| &there[at]).collect()
            }
            Self::All => there.iter().collect(),
            Self::Frames(frames) => there.iter().filter(|(frame, _)| frames.contains(frame)).collect(),
        }
    }
}

fn region(labels: &Labels, frame: usize, object: u16) -> Region {
    let inside = labels.frame(frame).iter().map(|&label| label == object).collect();
    Region { rows: labels.rows, columns: labels.columns, inside }
}

fn count(region: &Region) -> usize {
    region.inside.iter().filter(|inside| **inside).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Geometry;

    /// Object 3: a square that grows from slice to slice, from the second on.
    fn labels() -> Labels {
        let square = |frame: usize, at: usize| at % 20 < 4 + 2 * frame && at / 20 < 5;
        let data = (0..4 * 400).map(|i| (i / 400, i % 400)).map(|(f, at)| if f > 0 && square(f, at) { 3 } else { 0 });
        Labels { frames: 4, rows: 20, columns: 20, data: data.collect(), geometry: Geometry::unknown() }
    }

    #[test]
    fn prompts_lie_on_what_was_found() {
        let labels = labels();
        let all = Proposal {
            frames: Chosen::All,
            positive: 2,
            negative: 3,
            ring: [1, 3],
            bounds: true,
            ..Proposal::default()
        };
        let file = propose(&labels, &all).unwrap();
        assert_eq!((file.objects.len(), file.objects[0].id, file.objects[0].prompts.len()), (1, 3, 3));
        for prompt in &file.objects[0].prompts {
            assert_eq!(prompt.bounds, Some([0.0, 0.0, 4.0 + 2.0 * prompt.frame as f32, 5.0]));
            assert_eq!(prompt.labels, [1, 1, 0, 0, 0]);
            for ([x, y], label) in prompt.points.iter().zip(&prompt.labels) {
                let there = labels.frame(prompt.frame)[*y as usize * 20 + *x as usize] == 3;
                assert_eq!(there, *label == 1);
            }
        }
        assert_eq!(file, propose(&labels, &all).unwrap(), "the same seed proposes the same");
    }

    #[test]
    fn slices_are_chosen() {
        let frames = |frames: Chosen| -> Vec<usize> {
            let file = propose(&labels(), &Proposal { frames, ..Proposal::default() }).unwrap();
            file.objects[0].prompts.iter().map(|prompt| prompt.frame).collect()
        };
        assert_eq!(frames(Chosen::Largest), [3]);
        assert_eq!(frames(Chosen::FirstMiddleLast), [1, 2, 3]);
        assert_eq!(frames(Chosen::Frames(vec![0, 2])), [2]);
        let read: Proposal = serde_json::from_str(r#"{"frames": [2], "box": true}"#).unwrap();
        assert_eq!((read.frames, read.bounds), (Chosen::Frames(vec![2]), true));
        let read: Proposal = serde_json::from_str(r#"{"frames": "first_middle_last"}"#).unwrap();
        assert_eq!(read.frames, Chosen::FirstMiddleLast);
    }

    #[test]
    fn what_proposes_nothing_is_refused() {
        let error = |proposal: Proposal| propose(&labels(), &proposal).unwrap_err().to_string();
        assert!(error(Proposal { positive: 0, ..Proposal::default() }).contains("`box` true"));
        assert!(error(Proposal { least: 1000, ..Proposal::default() }).contains("no object has 1000 pixels"));
        assert!(error(Proposal { ring: [9, 3], ..Proposal::default() }).contains("ring"));
        assert!(error(Proposal { positive: usize::MAX, ..Proposal::default() }).contains("1000 points are the most"));
        assert!(error(Proposal { frames: Chosen::Frames(vec![2, 4]), ..Proposal::default() }).contains('4'));
    }
}
