//! `host-demo replay`: one session driven step by step, every answer written down. The file spells the steps as the parity fixtures do, so
//! that any program can be compared with any other; they are the session's own [`Step`]s.

use super::InputRequest;
use super::logits::{self, Entry};
use super::{compat, read_json, read_mask, write_script};
use crate::io;
use crate::loader::ModelRequest;
use crate::model::{ModelConfig, NO_OBJ_SCORE};
use crate::progress::{Flow, Observer};
use crate::prompts::Direction;
use crate::session::{Marks, Point, PromptStep, Session, Settings, Step};
use crate::volume::Volume;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// What to replay, with what, and where to write the answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// the volume
    #[serde(flatten)]
    pub input: InputRequest,
    /// the model
    #[serde(flatten)]
    pub model: ModelRequest,
    /// `{"steps": [...]}`
    pub steps: PathBuf,
    /// `"reference"`: behave as the Python package does
    #[serde(default)]
    pub compat: Option<String>,
    /// safetensors file to write
    pub logits: PathBuf,
    /// script to write, which does the same again
    #[serde(default)]
    pub record: Option<PathBuf>,
}

/// The file given as STEPS; what else stands in it (a fixture's expectations) is not read.
#[derive(Debug, Deserialize)]
struct StepFile {
    steps: Vec<Spelled>,
    /// a fixture made with upstream's `apply_postprocessing`
    #[serde(default)]
    apply_postprocessing: bool,
    /// "float32...": memories are not rounded to bfloat16, for tight comparisons
    #[serde(default)]
    memory_dtype: Option<String>,
}

/// One step as the file spells it.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Spelled {
    Points {
        frame: usize,
        obj: u32,
        #[serde(default)]
        points: Option<Vec<[f32; 2]>>,
        #[serde(default)]
        labels: Option<Vec<i32>>,
        #[serde(default, rename = "box")]
        bounds: Option<[f32; 4]>,
        #[serde(default)]
        clear_old_points: Option<bool>,
    },
    Mask {
        frame: usize,
        obj: u32,
        mask: PathBuf,
    },
    Propagate {
        #[serde(default)]
        start: Option<usize>,
        #[serde(default)]
        reverse: bool,
        #[serde(default)]
        max: Option<usize>,
    },
    ClearFrame {
        frame: usize,
        obj: u32,
    },
    Remove {
        obj: u32,
    },
    Reset,
    Undo,
    Redo,
}

impl Spelled {
    /// The session's step; pictures of masks lie in `folder`.
    fn step(&self, folder: &Path) -> Result<Step> {
        Ok(match *self {
            Self::Points { frame, obj, ref points, ref labels, bounds, clear_old_points } => {
                let points = Point::pairs(points.as_deref().unwrap_or(&[]), labels.as_deref().unwrap_or(&[]))?;
                let marks = Marks { points, bounds, replace: clear_old_points.unwrap_or(true), ..Marks::default() };
                Step::Prompt(PromptStep::new(frame, obj, &marks))
            }
            Self::Mask { frame, obj, ref mask } => {
                let mask = Some(read_mask(&folder.join(mask))?);
                Step::Prompt(PromptStep::new(frame, obj, &Marks { mask, ..Marks::default() }))
            }
            Self::Propagate { start, reverse, max } => {
                let direction = if reverse { Direction::Backward } else { Direction::Forward };
                Step::Propagate {
                    direction,
                    start,
                    max_frames: max,
                    objects: Vec::new(),
                    patience: None,
                    threshold: None,
                    slices: None,
                }
            }
            Self::ClearFrame { frame, obj } => Step::Clear { frame, object: obj },
            Self::Remove { obj } => Step::Remove { object: obj },
            Self::Reset => Step::Reset,
            Self::Undo => Step::Undo,
            Self::Redo => Step::Redo,
        })
    }
}

/// A tensor to be written: name, shape, values.
struct Answer {
    name: String,
    shape: Vec<usize>,
    values: Tensor,
}

impl Answer {
    fn new(name: String, values: Tensor) -> Self {
        Self { name, shape: values.size().iter().map(|&n| n as usize).collect(), values }
    }
}

/// What a [`ReplayRequest`] gave.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayReport {
    /// the file written
    pub logits: PathBuf,
    /// steps done
    pub steps: usize,
    /// what is in the file
    pub tensors: Vec<TensorReport>,
}

/// One tensor of a [`ReplayReport`].
#[derive(Debug, Clone, Serialize)]
pub struct TensorReport {
    /// `s0.logits`, ...
    pub name: String,
    /// its shape
    pub shape: Vec<usize>,
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps", self.steps)?;
        self.tensors.iter().try_for_each(|tensor| write!(f, "\n{} {:?}", tensor.name, tensor.shape))?;
        write!(f, "\n{}", self.logits.display())
    }
}

/// Runs a [`ReplayRequest`].
pub fn replay(request: &ReplayRequest, observer: &mut dyn Observer) -> Result<ReplayReport> {
    io::check_output(&request.input.input, &request.logits)?;
    io::check_output(&request.steps, &request.logits)?;
    let StepFile { steps, apply_postprocessing, memory_dtype } = read_json(&request.steps)?;
    if let Some(record) = &request.record {
        io::check_output(&request.input.input, record)?;
        io::check_output(&request.steps, record)?;
        if apply_postprocessing {
            return Err(Error::format(
                &request.steps,
                "`apply_postprocessing` changes the model, which a script cannot: no record",
            ));
        }
    }
    let exact = memory_dtype.is_some_and(|dtype| dtype.starts_with("float32"));
    let memory_kind = exact.then_some(Kind::Float);
    let settings = Settings { compat: compat(request.compat.as_deref())?, memory_kind, ..Settings::default() };
    let volume = Arc::new(request.input.open(observer)?.along(request.input.axis()?)?);
    observer.step("load", 0, 1)?;
    let processed = |config: ModelConfig| if apply_postprocessing { config.with_postprocessing() } else { config };
    let loaded = request.model.for_comparison().load_with(processed)?;
    let session = Session::new(loaded.model.clone(), volume.clone(), settings)?;
    let folder = request.steps.parent().unwrap_or(Path::new("."));
    let mut replay = Replay { session, answers: Vec::new() };
    for (i, step) in steps.iter().enumerate() {
        observer.step("replay", i, steps.len())?;
        let done = step.step(folder).and_then(|step| replay.step(i, &step, observer));
        done.map_err(|error| match error.cause() {
            Error::Invalid(what) | Error::NotFound(what) => Error::format(&request.steps, format!("step {i}: {what}")),
            _ => error,
        })?;
    }
    let Replay { answers, session } = replay;
    if let Some(path) = &request.record {
        write_script(path, &session, Some(&request.input), &loaded)?;
    }
    let entries: Vec<_> = answers.iter().map(|answer| Entry::f32(&answer.name, &answer.shape)).collect();
    logits::write(&request.logits, &entries, |sink| answers.iter().try_for_each(|answer| sink.floats(&answer.values)))?;
    let tensors = answers.into_iter().map(|Answer { name, shape, .. }| TensorReport { name, shape }).collect();
    Ok(ReplayReport { logits: request.logits.clone(), steps: steps.len(), tensors })
}

struct Replay {
    session: Session,
    answers: Vec<Answer>,
}

impl Replay {
    fn step(&mut self, i: usize, step: &Step, observer: &mut dyn Observer) -> Result<()> {
        let marked = match *step {
            Step::Propagate { .. } => return self.propagate(i, step, observer),
            Step::Remove { object } => self.session.prompted_frames(object),
            _ => Vec::new(),
        };
        self.session.apply(step, |_| Ok(Flow::Continue))?;
        match *step {
            Step::Prompt(PromptStep { frame, object, .. }) => {
                self.slice(format!("s{i}.logits"), frame)?;
                let score = self.session.object_score(frame, object)?.unwrap_or(NO_OBJ_SCORE as f32);
                let score = Tensor::from_slice(&[score]).view([1, 1]);
                self.answers.push(Answer::new(format!("s{i}.object_score_logits"), score));
            }
            Step::Clear { frame, .. } => self.slice(format!("s{i}.logits"), frame)?,
            Step::Remove { .. } if !self.session.objects().is_empty() => {
                marked.into_iter().try_for_each(|frame| self.slice(format!("s{i}.updated.{frame}"), frame))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// `[objects, 1, rows, columns]`
    fn slice(&mut self, name: String, frame: usize) -> Result<()> {
        let logits = self.session.slice_logits(frame)?;
        self.answers.push(Answer::new(name, logits.unsqueeze(1)));
        Ok(())
    }

    /// Logits `[slices, objects, 1, rows, columns]` and scores `[slices, objects, 1]`, in the order of the propagation.
    fn propagate(&mut self, i: usize, step: &Step, observer: &mut dyn Observer) -> Result<()> {
        let ids = self.session.objects();
        let Volume { rows, columns, .. } = **self.session.volume();
        let (mut logits, mut scores) = (Vec::new(), Vec::new());
        let absent = || Tensor::full([rows as i64, columns as i64], NO_OBJ_SCORE, (Kind::Float, Device::Cpu));
        self.session.apply(step, |slice| {
            let of = |id: &u32| slice.masks.iter().find(|mask| mask.object == *id);
            let masks: Vec<_> =
                ids.iter().map(|id| of(id).map_or_else(absent, |mask| mask.logits.shallow_clone())).collect();
            logits.push(Tensor::stack(&masks, 0).unsqueeze(1));
            scores.extend(ids.iter().map(|id| of(id).map_or(NO_OBJ_SCORE as f32, |mask| mask.object_score)));
            observer.step("propagate", slice.done, slice.total).map(|()| Flow::Continue)
        })?;
        let (slices, objects) = (logits.len() as i64, ids.len() as i64);
        let logits = if logits.is_empty() {
            Tensor::zeros([0, objects, 1, rows as i64, columns as i64], (Kind::Float, Device::Cpu))
        } else {
            Tensor::stack(&logits, 0)
        };
        self.answers.push(Answer::new(format!("s{i}.logits"), logits));
        self.answers.push(Answer::new(
            format!("s{i}.object_score_logits"),
            Tensor::from_slice(&scores).view([slices, objects, 1]),
        ));
        Ok(())
    }
}
