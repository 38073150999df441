//! `Session` in scripts: prompts on slices, corrections, undo. Each function reads its arguments and calls the core.
//!
//! A session works for one caller at a time: a function that is called while another one of the same session runs (from the closure
//! given to `propagate`) fails with the code `busy`.

use super::Context;
use super::engine::HostRef;
use super::errors::Failure;
use super::files::Files;
use super::labels::LabelsValue;
use super::library::Library;
use super::model::ModelValue;
use super::values::{
    Checked, Fallible, Options, float, int, ints, list, native, number, numbers, object, truth, typed, whole,
};
use super::volume::VolumeValue;
use crate::convert::ToHost;
use rhai::{Array, Dynamic, Map, NativeCallContext};
use sam_octa2_core::intensity::Intensity;
use sam_octa2_core::job;
use sam_octa2_core::session::{Compat, Marks, Mask, ObjectMask, Point, Session, Settings};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// A session with what it works on.
#[derive(Clone)]
pub struct SessionValue {
    session: Arc<Mutex<Session>>,
    /// its volume
    pub volume: VolumeValue,
    model: ModelValue,
}

/// Makes sessions known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    library.engine().register_type_with_name::<SessionValue>("Session");
    library
        .room("Session", INTRO)
        .function(
            "new_session(volume: Volume, model: Model, options?: #{window, compat}) -> Session",
            "Prompts and masks on one volume. `window`: values that the model sees as 0 and 1 (`\"auto\"`, `\"LOW,HIGH\"`, `\"1%,99%\"`, \
             `\"slice:1%,99%\"`, `\"full\"`, `\"source\"`); `compat: \"reference\"`: corrections and memories as in the Python package.",
            "new_session(volume, model, #{window: \"1%,99%\"})",
            new_with,
        )
        .also("new_session", new);
    prompting(library, context);
    taking_back(library);
    looking(library);
}

const INTRO: &str = "Prompts return `#{frame, object, iou, score, area}` of the mask that answers all prompts of the slice: predicted IoU \
    (0 to 1), presence score (positive: the object is there), pixels.\n\nA session is busy while `propagate` runs: the closure may look at \
    what it is given and change the script's own variables, but a call of the same session fails with the code `busy`. Return `false`, and \
    correct afterwards.";

fn prompting(library: &mut Library<'_>, context: &Context) {
    let (host, files) = (context.host, context.files.clone());
    library
        .function(
            "click(session: Session, frame: int, x: float, y: float, options?: #{object, positive}) -> Map",
            "A click on object 1, or another one; `positive: false` for a click beside it.",
            "session.click(3, 9, 9, #{object: 2, positive: false})",
            click_with,
        )
        .also("click", click)
        .function(
            "points(session: Session, frame: int, object: int, points: Array, labels?: Array) -> Map",
            "Several clicks at once, with 1 (on the object) or 0 (beside it) for each.",
            "session.points(3, 1, [[120, 80], [9, 9]], [1, 0])",
            points_with,
        )
        .also("points", points)
        .function(
            "box(session: Session, frame: int, object: int, corners: Array) -> Map",
            "`[left, top, right, bottom]` in pixels.",
            "session.box(3, 1, [10, 10, 60, 90])",
            bounds,
        )
        .function(
            "mask(session: Session, frame: int, object: int, mask: String) -> Map",
            "A picture file (what is not black), or labels: the object on that slice.",
            "session.mask(3, 1, session.labels())",
            mask,
        )
        .function(
            "prompts(session: Session, path: String) -> Map",
            "Everything in a prompt file; returns what it wants of `propagate`.",
            "session.propagate(session.prompts(arg(\"prompts\")))",
            move |call: NativeCallContext, session: &mut SessionValue, path: Dynamic| -> Fallible<Map> {
                native(&call, || prompts(host, &files, session, &path))
            },
        );
}

fn taking_back(library: &mut Library<'_>) {
    library
        .function(
            "undo(session: Session, frame: int, object: int) -> Map",
            "Takes the last prompt of an object on a slice back; returns the answer to those left, `()` if none.",
            "session.undo(3, 1)",
            undo,
        )
        .function(
            "clear(session: Session, frame: int, object: int)",
            "Removes all prompts of a slice; what was tracked there comes back.",
            "session.clear(3, 1)",
            clear,
        )
        .function("remove(session: Session, object: int)", "Removes an object.", "session.remove(1)", remove)
        .function("reset(session: Session)", "Removes all objects.", "session.reset()", reset);
}

fn looking(library: &mut Library<'_>) {
    library
        .function(
            "frames_of(session: Session, object: int) -> Array",
            "Slices on which an object has a mask.",
            "session.frames_of(1)",
            frames_of,
        )
        .function(
            "labels(session: Session) -> Labels",
            "The object numbers of the whole volume, as they are now.",
            "session.labels().save(\"labels.nii.gz\")",
            labels,
        )
        .property(
            "objects(session: Session) -> Array",
            "Numbers of the objects, in the order in which they were added.",
            "session.objects.len()",
            objects,
        )
        .property(
            "volume(session: Session) -> Volume",
            "What it works on.",
            "session.volume.frames",
            |s: &mut SessionValue| s.volume.clone(),
        )
        .property(
            "model(session: Session) -> Model",
            "What it works with.",
            "session.model.name",
            |s: &mut SessionValue| s.model.clone(),
        );
    library
        .engine()
        .register_fn("to_string", |session: &mut SessionValue| session.describe())
        .register_fn("to_debug", |session: &mut SessionValue| session.describe());
}

impl SessionValue {
    fn new(volume: &Dynamic, model: &Dynamic, options: Option<&Dynamic>) -> Checked<Self> {
        let volume: VolumeValue = typed("new_session: volume", "Volume", volume)?;
        let model: ModelValue = typed("new_session: model", "Model", model)?;
        let options = options.map(|options| Options::new("new_session", options, &["compat", "window"])).transpose()?;
        let compat: Option<Compat> = options.as_ref().map_or(Ok(None), |options| options.parsed("compat"))?;
        let window: Option<Intensity> = options.as_ref().map_or(Ok(None), |options| options.parsed("window"))?;
        let (compat, intensity) = (compat.unwrap_or_default(), window.unwrap_or_default());
        let settings = Settings { compat, intensity, ..Settings::default() };
        let session = Session::new(model.loaded.model.clone(), volume.volume.clone(), settings)?;
        Ok(Self { session: Arc::new(Mutex::new(session)), volume, model })
    }

    /// The session, for one call.
    pub fn lock(&self) -> Checked<MutexGuard<'_, Session>> {
        self.session.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => busy(),
            TryLockError::Poisoned(_) => Failure::invalid("the session broke down in an earlier call; make a new one"),
        })
    }

    fn describe(&self) -> String {
        let Ok(session) = self.lock() else { return "Session(busy)".to_owned() };
        format!("Session({} slices, objects {:?})", session.volume().frames, session.objects())
    }
}

/// The error of a call that comes while another one runs.
pub fn busy() -> Failure {
    let message = "the session is busy: it cannot be used inside the closure given to its own `propagate`; return `false` from the \
                   closure to stop, and go on after `propagate`";
    Failure { code: "busy", message: message.to_owned() }
}

fn new(call: NativeCallContext, volume: Dynamic, model: Dynamic) -> Fallible<SessionValue> {
    native(&call, || SessionValue::new(&volume, &model, None))
}

fn new_with(call: NativeCallContext, volume: Dynamic, model: Dynamic, options: Dynamic) -> Fallible<SessionValue> {
    native(&call, || SessionValue::new(&volume, &model, Some(&options)))
}

fn click(call: NativeCallContext, session: &mut SessionValue, frame: Dynamic, x: Dynamic, y: Dynamic) -> Fallible<Map> {
    click_with(call, session, frame, x, y, Dynamic::from_map(Map::new()))
}

fn click_with(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    x: Dynamic,
    y: Dynamic,
    options: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let options = Options::new("click", &options, &["object", "positive"])?;
        let object = options.get("object", object)?.unwrap_or(1);
        let positive = options.get("positive", truth)?.unwrap_or(true);
        let point = Point { x: number("click: x", &x)?, y: number("click: y", &y)?, positive };
        prompt(session, "click", &frame, object, Marks { points: vec![point], ..Marks::default() })
    })
}

fn points(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    points: Dynamic,
) -> Fallible<Map> {
    points_with(call, session, frame, id, points, Dynamic::from_array(Array::new()))
}

fn points_with(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    points: Dynamic,
    labels: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let points = list("points: points", &points, |what, point| numbers(what, "a position [x, y]", point))?;
        let labels =
            list("points: labels", &labels, |what, label| Ok(i32::try_from(whole(what, label)?).unwrap_or(-1)))?;
        let marks = Marks { points: Point::pairs(&points, &labels)?, ..Marks::default() };
        prompt(session, "points", &frame, object("points: object", &id)?, marks)
    })
}

fn bounds(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    corners: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let bounds = numbers("box: corners", "four numbers [x0, y0, x1, y1]", &corners)?;
        let marks = Marks { bounds: Some(bounds), ..Marks::default() };
        prompt(session, "box", &frame, object("box: object", &id)?, marks)
    })
}

/// `drawn`: a picture file, or labels of which the slice and the object are taken.
fn mask(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    drawn: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let id = object("mask: object", &id)?;
        let mask = match drawn.read_lock::<LabelsValue>() {
            Some(labels) => Mask::of(&labels.labels, whole("mask: frame", &frame)?, id as u16)?,
            None => job::read_mask(&session.volume.files.readable("mask: picture file or labels", &drawn)?)?,
        };
        prompt(session, "mask", &frame, id, Marks { mask: Some(mask), ..Marks::default() })
    })
}

fn prompt(session: &SessionValue, function: &str, frame: &Dynamic, object: u32, marks: Marks) -> Checked<Map> {
    let frame = whole(&format!("{function}: frame"), frame)?;
    let mask = session.lock()?.prompt(frame, object, marks)?;
    answer(frame, &mask)
}

/// What a prompt returns: `#{frame, object, iou, score, area}`.
fn answer(frame: usize, mask: &ObjectMask) -> Checked<Map> {
    let mut answer = numbers_of(mask)?;
    answer.extend([("frame".into(), int(frame).into()), ("object".into(), int(mask.object).into())]);
    Ok(answer)
}

/// A mask in numbers: predicted IoU, presence score, pixels.
pub fn numbers_of(mask: &ObjectMask) -> sam_octa2_core::Result<Map> {
    let area = Dynamic::from_int(int(mask.area()?));
    let entries = [("iou".into(), float(mask.iou)), ("score".into(), float(mask.object_score)), ("area".into(), area)];
    Ok(Map::from(entries))
}

/// Returns what the file wants of `propagate`: `#{direction, start, max_frames}`.
fn prompts(host: HostRef, files: &Files, session: &SessionValue, path: &Dynamic) -> Checked<Map> {
    let path = files.input("prompts: path", path)?;
    let file = job::read_prompts(&path)?;
    job::give_prompts(&mut *session.lock()?, &file, &path, &mut ToHost(host.calls()))?;
    let optional = |number: Option<usize>| number.map_or(Dynamic::UNIT, |number| int(number).into());
    Ok(Map::from([
        ("direction".into(), file.direction.to_string().into()),
        ("start".into(), optional(file.start)),
        ("max_frames".into(), optional(file.max_frames)),
    ]))
}

/// Returns the answer to the prompts that are left, or `()` when the object has no mask on the slice any more.
fn undo(call: NativeCallContext, session: &mut SessionValue, frame: Dynamic, id: Dynamic) -> Fallible<Dynamic> {
    native(&call, || {
        let (frame, id) = (whole("undo: frame", &frame)?, object("undo: object", &id)?);
        let mut session = session.lock()?;
        session.undo(frame, id)?;
        let left = session.frames_of(id).contains(&frame).then(|| session.mask(frame, id)).transpose()?;
        left.map_or(Ok(Dynamic::UNIT), |mask| answer(frame, &mask).map(Dynamic::from_map))
    })
}

fn clear(call: NativeCallContext, session: &mut SessionValue, frame: Dynamic, id: Dynamic) -> Fallible<()> {
    native(&call, || {
        let (frame, id) = (whole("clear: frame", &frame)?, object("clear: object", &id)?);
        Ok(session.lock()?.clear_slice(frame, id)?)
    })
}

fn remove(call: NativeCallContext, session: &mut SessionValue, id: Dynamic) -> Fallible<()> {
    native(&call, || Ok(session.lock()?.remove_object(object("remove: object", &id)?)?))
}

fn reset(call: NativeCallContext, session: &mut SessionValue) -> Fallible<()> {
    native(&call, || session.lock().map(|mut session| session.reset()))
}

fn frames_of(call: NativeCallContext, session: &mut SessionValue, id: Dynamic) -> Fallible<Array> {
    native(&call, || Ok(ints(session.lock()?.frames_of(object("frames_of: object", &id)?))))
}

fn objects(call: NativeCallContext, session: &mut SessionValue) -> Fallible<Array> {
    native(&call, || Ok(ints(session.lock()?.objects())))
}

fn labels(call: NativeCallContext, session: &mut SessionValue) -> Fallible<LabelsValue> {
    native(&call, || Ok(LabelsValue { labels: Arc::new(session.lock()?.labels()?), volume: session.volume.clone() }))
}
