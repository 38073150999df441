//! One volume and the plugin's session on it, as viewers drive it: an interaction is one or more prompts, and then the object is followed
//! through the neighbouring slices. An interaction succeeds or changes nothing, and can be undone as one.

use super::drawn::Drawn;
use super::masks::{Bounds, Crop, Masks};
use super::refusal::{Answer, Refusal};
use super::settings::Follow;
use sam_octa2_abi::{Api, CancelToken, Flow, HostObserver, Model, Prompt, Session, Slice, Volume};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// most slices of a scribble that get points
const SCRIBBLED_SLICES: usize = 8;
/// most points on one slice of a scribble
const SCRIBBLED_POINTS: usize = 6;
/// most interactions that can be undone
const REMEMBERED: usize = 200;

/// Memory for features of one session; the plugin's default is meant for one user.
const OPTIONS: &str = r#"{"feature_cache_bytes": 268435456, "state_bytes": 268435456}"#;

/// Stops the plugin's call when asked to.
#[derive(Default, Clone)]
pub struct Watch(pub CancelToken);

impl HostObserver for Watch {
    fn cancel_token(&self) -> Option<CancelToken> {
        Some(self.0.clone())
    }
}

/// A volume in work.
pub struct Work {
    /// the voxels
    pub volume: Volume,
    /// frames, rows, columns
    pub shape: [usize; 3],
    session: Session,
    objects: BTreeMap<u32, Masks>,
    undo: Vec<Before>,
    redo: Vec<Before>,
    /// slices of interactions that the client wants followed later
    pub waiting: Vec<usize>,
}

/// What an interaction found, and how many of the plugin's steps it took.
struct Before {
    objects: BTreeMap<u32, Masks>,
    steps: usize,
}

/// An interaction under way.
pub struct Step<'a> {
    work: &'a mut Work,
    watch: &'a mut Watch,
    steps: usize,
}

impl Work {
    /// Begins on a volume.
    pub fn new(api: Api, model: &Model, volume: Volume, watch: &mut Watch) -> Answer<Self> {
        let info: Value = serde_json::from_str(&volume.info()?).unwrap_or_default();
        let at = |i: usize| info["shape"][i].as_u64().and_then(|n| usize::try_from(n).ok());
        let shape = match [at(0), at(1), at(2)] {
            [Some(frames), Some(rows), Some(columns)] => [frames, rows, columns],
            _ => return Err(Refusal::inside("the plugin does not say how large the volume is")),
        };
        let session = api.session(&volume, model, Some(OPTIONS), watch)?;
        Ok(Self {
            volume,
            shape,
            session,
            objects: BTreeMap::new(),
            undo: Vec::new(),
            redo: Vec::new(),
            waiting: Vec::new(),
        })
    }

    /// The plugin's session, for what changes nothing.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// An object's masks; an object that does not exist has none.
    pub fn masks(&self, object: u32) -> Masks {
        self.objects.get(&object).cloned().unwrap_or_default()
    }

    /// All objects with masks.
    pub fn objects(&self) -> impl Iterator<Item = (u32, &Masks)> {
        self.objects.iter().map(|(&object, masks)| (object, masks))
    }

    /// The whole volume as bounds.
    pub fn whole(&self) -> Bounds {
        self.shape.map(|n| [0, n])
    }

    /// How many interactions can be undone and redone.
    pub fn steps(&self) -> [usize; 2] {
        [self.undo.len(), self.redo.len()]
    }

    /// Does an interaction. If it fails, what it did is undone, but for one that was stopped and keeps what is done.
    pub fn interact<T>(
        &mut self,
        watch: &mut Watch,
        keep_stopped: bool,
        act: impl FnOnce(&mut Step<'_>) -> Answer<T>,
    ) -> Answer<T> {
        let objects = self.objects.clone();
        let mut step = Step { work: self, watch, steps: 0 };
        let result = act(&mut step);
        let steps = step.steps;
        if result.is_err() && !(keep_stopped && watch_stopped(&result)) {
            for _ in 0..steps {
                self.session.undo()?;
            }
            self.objects = objects;
        } else if steps > 0 {
            self.undo.push(Before { objects, steps });
            self.redo.clear();
            if self.undo.len() > REMEMBERED {
                self.undo.remove(0);
            }
        }
        result
    }

    /// Takes the last interaction back. Returns whether there was one.
    pub fn undo(&mut self) -> Answer<bool> {
        let Some(before) = self.undo.pop() else { return Ok(false) };
        self.waiting.clear();
        for _ in 0..before.steps {
            self.session.undo()?;
        }
        let objects = std::mem::replace(&mut self.objects, before.objects);
        self.redo.push(Before { objects, steps: before.steps });
        Ok(true)
    }

    /// Does it again.
    pub fn redo(&mut self) -> Answer<bool> {
        let Some(after) = self.redo.pop() else { return Ok(false) };
        for _ in 0..after.steps {
            self.session.redo()?;
        }
        let objects = std::mem::replace(&mut self.objects, after.objects);
        self.undo.push(Before { objects, steps: after.steps });
        Ok(true)
    }

    /// Forgets all objects and what could be undone.
    pub fn reset(&mut self) -> Answer<()> {
        self.session.reset()?;
        self.objects.clear();
        self.undo.clear();
        self.redo.clear();
        self.waiting.clear();
        Ok(())
    }

    /// Is this place in the volume? Places are frame, row, column.
    pub fn check(&self, at: [i64; 3]) -> Answer<[usize; 3]> {
        let inside = |(at, n): (i64, usize)| usize::try_from(at).ok().filter(|&at| at < n);
        let [frame, row, column] = [0, 1, 2].map(|i| inside((at[i], self.shape[i])));
        match (frame, row, column) {
            (Some(frame), Some(row), Some(column)) => Ok([frame, row, column]),
            _ => {
                let [frames, rows, columns] = self.shape;
                let [frame, row, column] = at;
                Err(Refusal::bad(format!(
                    "the place {column}, {row} on slice {frame} lies outside of the volume of {columns} x {rows} pixels and {frames} slices"
                )))
            }
        }
    }
}

fn watch_stopped<T>(result: &Answer<T>) -> bool {
    result.as_ref().is_err_and(|refusal| refusal.status == axum::http::StatusCode::CONFLICT)
}

impl Step<'_> {
    /// Is the object on this slice?
    pub fn has(&self, object: u32, frame: usize) -> bool {
        self.work.objects.get(&object).is_some_and(|masks| masks.at(frame).is_some())
    }

    /// Is this place (frame, row, column) in the volume?
    pub fn check(&self, at: [i64; 3]) -> Answer<[usize; 3]> {
        self.work.check(at)
    }

    /// Gives a prompt to the plugin and takes its answer over.
    pub fn prompt(&mut self, prompt: &Prompt) -> Answer<()> {
        let mask = self.work.session.prompt(prompt, self.watch)?;
        self.steps += 1;
        let frame = usize::try_from(prompt.frame).map_err(|_| Refusal::bad("slices are counted from 0"))?;
        let crop = Crop::of_mask(&mask)?;
        self.work.objects.entry(prompt.object).or_default().set(frame, crop);
        Ok(())
    }

    /// A click. Returns the slice.
    pub fn point(&mut self, object: u32, at: [i64; 3], positive: bool) -> Answer<usize> {
        let [frame, row, column] = self.work.check(at)?;
        self.points(object, frame, &[[column, row]], positive)?;
        Ok(frame)
    }

    fn points(&mut self, object: u32, frame: usize, points: &[[usize; 2]], positive: bool) -> Answer<()> {
        if !positive && !self.has(object, frame) {
            return Err(Refusal::bad(format!(
                "there is nothing to take away on slice {frame}: mark the object there first"
            )));
        }
        self.prompt(&Prompt {
            frame: frame as i64,
            object,
            points: points.iter().flatten().map(|&at| at as f64).collect(),
            labels: vec![i32::from(positive); points.len()],
            ..Prompt::default()
        })
    }

    /// A box on one slice, corners included: columns and rows.
    pub fn bounds(&mut self, object: u32, frame: usize, [x0, y0, x1, y1]: [f64; 4]) -> Answer<usize> {
        self.prompt(&Prompt { frame: frame as i64, object, bounds: vec![x0, y0, x1, y1], ..Prompt::default() })?;
        Ok(frame)
    }

    /// A stroke: points along it, on a few of its slices. Returns the slices.
    pub fn scribble(&mut self, object: u32, drawn: &Drawn, positive: bool) -> Answer<Vec<usize>> {
        let frames = spread(&drawn.frames(), SCRIBBLED_SLICES);
        let frames: Vec<usize> = match positive {
            true => frames,
            false => frames.into_iter().filter(|&frame| self.has(object, frame)).collect(),
        };
        if frames.is_empty() {
            return Err(Refusal::bad("nothing is drawn, or there is nothing to take away where it is drawn"));
        }
        for &frame in &frames {
            self.points(object, frame, &drawn.along(frame, SCRIBBLED_POINTS), positive)?;
        }
        Ok(frames)
    }

    /// A filled outline on one slice: the object gets it, or loses it. Returns the slice.
    pub fn lasso(&mut self, object: u32, drawn: &Drawn, positive: bool) -> Answer<usize> {
        let [_, rows, columns] = self.work.shape;
        let frame = match drawn.frames()[..] {
            [frame] => frame,
            [] => return Err(Refusal::bad("nothing is drawn")),
            _ => {
                return Err(Refusal::bad(
                    "an outline must lie on one slice of the stack (its first axis); draw it in the view that shows the slices",
                ));
            }
        };
        let earlier =
            self.work.objects.get(&object).and_then(|masks| masks.at(frame)).map(|crop| crop.whole(rows, columns));
        let mut mask = earlier.unwrap_or_else(|| vec![0; rows * columns]);
        drawn.each(frame, |row, column| mask[row * columns + column] = u8::from(positive));
        if mask.iter().all(|&value| value == 0) {
            return Err(Refusal::bad(format!(
                "nothing of the object would be left on slice {frame}; undo or reset it instead"
            )));
        }
        self.mask(object, frame, mask)?;
        Ok(frame)
    }

    /// A mask of a whole slice is the object there.
    pub fn mask(&mut self, object: u32, frame: usize, mask: Vec<u8>) -> Answer<()> {
        let [_, rows, columns] = self.work.shape;
        self.prompt(&Prompt {
            frame: frame as i64,
            object,
            mask: Some((rows, columns, Arc::new(mask))),
            ..Prompt::default()
        })
    }

    /// A segmentation from elsewhere: shown as it is; a few of its slices are prompts for what follows.
    pub fn given(&mut self, object: u32, drawn: &Drawn) -> Answer<()> {
        let [_, rows, columns] = self.work.shape;
        let frames = drawn.frames();
        for frame in spread(&frames, SCRIBBLED_SLICES) {
            let mut mask = vec![0; rows * columns];
            drawn.each(frame, |row, column| mask[row * columns + column] = 1);
            self.mask(object, frame, mask)?;
        }
        let masks = self.work.objects.entry(object).or_default();
        for frame in frames {
            masks.set(frame, Crop::of(|row, column| drawn.holds(frame, row, column), rows, columns));
        }
        Ok(())
    }

    /// Follows the object to both sides of a slice, as far as the server was told to.
    pub fn follow(&mut self, frame: usize, follow: Follow) -> Answer<()> {
        let range = match follow {
            Follow::Slices(0) => return Ok(()),
            _ if self.work.shape[0] == 1 => return Ok(()),
            Follow::Slices(count) => json!({"direction": "both", "start": frame, "max_frames": count}),
            Follow::All => json!({"direction": "both", "start": frame}),
        };
        self.propagate(&range, &mut |_, _, _| {})
    }

    /// Follows all objects; `each` gets slices done, slices in all, and the slice.
    pub fn propagate(&mut self, range: &Value, each: &mut dyn FnMut(u64, u64, SliceDone<'_>)) -> Answer<()> {
        let Self { work, watch, steps } = self;
        let (objects, session, mut failed) = (&mut work.objects, &work.session, None);
        let on_slice = &mut |slice: Slice<'_>| match taken(objects, &slice) {
            Ok(ids) => {
                each(slice.done, slice.total, SliceDone { frame: slice.frame as usize, objects: &ids });
                Flow::CONTINUE
            }
            Err(refusal) => {
                failed = Some(refusal);
                Flow::CANCEL
            }
        };
        let mut slices = 0;
        let counted = &mut |slice: Slice<'_>| {
            slices += 1;
            on_slice(slice)
        };
        let result = session.propagate(Some(&range.to_string()), counted, &mut **watch);
        *steps += usize::from(result.is_ok() || slices > 0);
        match failed {
            Some(refusal) => Err(refusal),
            None => Ok(result?),
        }
    }

    /// Removes an object.
    pub fn remove(&mut self, object: u32) -> Answer<()> {
        self.work.session.remove_object(object)?;
        self.steps += 1;
        self.work.objects.remove(&object);
        Ok(())
    }

    /// Takes the prompts of a slice back. What was tracked there shows again.
    pub fn clear(&mut self, object: u32, frame: usize) -> Answer<()> {
        self.work.session.clear_slice(frame as u64, object, self.watch)?;
        self.steps += 1;
        let crop = match self.work.session.mask(frame as u64, object) {
            Ok(mask) => Crop::of_mask(&mask)?,
            Err(_) => None,
        };
        self.work.objects.entry(object).or_default().set(frame, crop);
        Ok(())
    }
}

/// A slice that was followed.
pub struct SliceDone<'a> {
    /// which
    pub frame: usize,
    /// the objects, and how likely each is there (its presence logit)
    pub objects: &'a [(u32, f64, Option<Arc<Crop>>)],
}

type Found = (u32, f64, Option<Arc<Crop>>);

fn taken(objects: &mut BTreeMap<u32, Masks>, slice: &Slice<'_>) -> Answer<Vec<Found>> {
    let mut found = Vec::new();
    for mask in slice.masks {
        let info: Value = serde_json::from_str(&mask.info()?).unwrap_or_default();
        let object = info["object"].as_u64().and_then(|id| u32::try_from(id).ok());
        let object = object.ok_or_else(|| Refusal::inside("the plugin does not say whose mask this is"))?;
        let frame = slice.frame as usize;
        let masks = objects.entry(object).or_default();
        masks.set(frame, Crop::of_mask(mask)?);
        found.push((object, info["score"].as_f64().unwrap_or_default(), masks.at(frame).cloned()));
    }
    Ok(found)
}

/// At most `most` of these, evenly spread, first and last among them.
fn spread(all: &[usize], most: usize) -> Vec<usize> {
    match all.len() <= most {
        true => all.to_vec(),
        false => (0..most).map(|i| all[i * (all.len() - 1) / (most - 1)]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_spread() {
        assert_eq!(spread(&[3, 4], 8), [3, 4]);
        let hundred: Vec<usize> = (0..100).collect();
        assert_eq!(spread(&hundred, 4), [0, 33, 66, 99]);
    }
}
