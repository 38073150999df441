//! `Session` in scripts: what it is made of, what is taken back, what it shows. Prompts stand in `prompting.rs`, undo, redo and the record in
//! `history.rs`.
//!
//! A session works for one caller at a time: a function that is called while another one of the same session runs (from the closure
//! given to `propagate`) fails with the code `busy`.

use super::errors::Failure;
use super::files::Files;
use super::labels::LabelsValue;
use super::library::Library;
use super::model::ModelValue;
use super::values::{Checked, Fallible, Options, float, int, ints, native, object, text, to_map, truth, typed, whole};
use super::volume::VolumeValue;
use super::{Context, mask, prompting};
use rhai::{Array, Dynamic, Map, NativeCallContext};
use sam_octa2_core::device::Precision;
use sam_octa2_core::session::{NoticeInfo, ObjectMask, PropertyChange, Session, Settings};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// What `object` returns.
macro_rules! object_shape {
    () => {
        "#{id, name, colour, property, visible, locked, prompted_frames, frames, prompts: [#{frame, points, labels, box, mask, replace, choice?}]}"
    };
}
/// A session with what it works on.
#[derive(Clone)]
pub struct SessionValue {
    session: Arc<Mutex<Session>>,
    /// its volume
    pub volume: VolumeValue,
    /// its model
    pub model: ModelValue,
}

/// Makes sessions known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    library.engine().register_type_with_name::<SessionValue>("Session");
    let files = context.files.clone();
    library
        .section("Session", INTRO)
        .function(
            "new_session(volume: Volume, model: Model, options?: #{window, compat, overlap, memory_precision, feature_cache_bytes, features, \
             features_bytes, state_bytes, history_bytes}) -> Session",
            "Prompts and masks on one volume. `window`: values that the model sees as 0 and 1 (`\"auto\"`, `\"LOW,HIGH\"`, `\"1%,99%\"`, \
             `\"slice:1%,99%\"`, `\"full\"`, `\"source\"`); `compat: \"reference\"`: corrections and memories as in the Python package; \
             `overlap`: which object gets a voxel of the labels that several claim (`larger_logit`, `keep` the first, the `later`, `forbid`; a locked \
             object and a prompted slice come before); \
             `memory_precision`: what memories are rounded to (`f32` `bf16` `f16`). Bytes that it keeps: of slices (256 MB), of masks and \
             memories before they go to a temporary file (128 MB), and of what only undo and redo need (1 GB). \
             `features`: a folder in which the features of encoded slices are kept, so that a later session with this model and window encodes none \
             of them again; its files take at most `features_bytes` (4 GB), those used longest ago go first.",
            "new_session(volume, model, #{window: \"1%,99%\"})",
            move |call: NativeCallContext, volume: Dynamic, model: Dynamic, options: Dynamic| {
                native(&call, || SessionValue::new(&volume, &model, Some((&options, &files))))
            },
        )
        .also("new_session", new);
    prompting::register(library, context);
    taking_back(library);
    looking(library);
    mask::register(library);
}

const INTRO: &str = "Prompts return `frame, object, iou, score, area` of the mask that answers all prompts of the slice: predicted IoU \
    (0 to 1), presence score (positive: the object is there), pixels.\n\nA session is busy while `propagate` runs: the closure may look at \
    what it is given and change the script's own variables, but a call of the same session fails with the code `busy`. Return `false`, and \
    correct afterwards.";

fn taking_back(library: &mut Library<'_>) {
    library
        .function(
            "remove_prompt(session: Session, frame: int, object: int, index?: int) -> Map #{frame, object, iou, score, area}",
            "Removes one prompt of an object on a slice (`index` counts from 0), else the last one; returns the answer to those left, `()` if none.",
            "session.remove_prompt(3, 1)",
            remove_last,
        )
        .also("remove_prompt", remove_prompt)
        .function(
            "clear(session: Session, frame: int, object: int)",
            "Removes all prompts of a slice; what was tracked there comes back.",
            "session.clear(3, 1)",
            clear,
        )
        .function(
            "set_object(session: Session, object: int, properties: #{name, colour, property, visible, locked})",
            "Names, colours, describes, shows, hides, locks or unlocks an object; one that is new is added. `colour`: `#rrggbb`; `property`: `vessel`, \
             `artery`, `vein`, `capillary`, `faz`, or codes `SCHEME^VALUE^MEANING`. What is absent stays, `\"\"` takes a property back. The writers \
             of labels say it. Nothing changes the masks of a locked object, and it loses no voxel of the labels.",
            "session.set_object(1, #{name: \"FAZ\", colour: \"#ff8000\", property: \"faz\"})",
            set_object,
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
            concat!("object(session: Session, object: int) -> Map ", object_shape!()),
            "An object: its properties (`set_object`), its prompts, and the slices on which it has a mask.",
            "session.object(1).locked",
            told_object,
        )
        .function(
            "labels(session: Session) -> Labels",
            "The object numbers of the whole volume, as they are now.",
            "session.labels().save(\"labels.nii.gz\")",
            labels,
        )
        .function(
            "notices(session: Session) -> Array",
            "What there is to tell about the answers, as one map each: `#{kind, object, text, ...}`; `kind` is `empty` (the answer to a prompt has \
             no pixel), `missed_click` (a positive click lies outside of its answer) or `lost` (an object that was followed has no mask on some \
             slices), `text` says it in a sentence with the scores.",
            "session.notices().map(|notice| notice.text)",
            notices,
        )
        .property(
            "objects(session: Session) -> Array",
            "Numbers of the objects, in the order in which they were added.",
            "session.objects.len()",
            objects,
        )
        .property(
            "features(session: Session) -> Map #{encoded, read, problem}",
            "Where the features of slices came from so far: slices that were encoded, slices that were read from the folder \
             `features`, and why none are written to it any more (`()`: they are).",
            "session.features.encoded",
            features,
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
    fn new(volume: &Dynamic, model: &Dynamic, options: Option<(&Dynamic, &Files)>) -> Checked<Self> {
        let volume: VolumeValue = typed("new_session: volume", "Volume", volume)?;
        let model: ModelValue = typed("new_session: model", "Model", model)?;
        let settings = options.map_or(Ok(Settings::default()), |(options, files)| settings(options, files))?;
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

fn settings(options: &Dynamic, files: &Files) -> Checked<Settings> {
    const KEYS: [&str; 9] = [
        "window",
        "compat",
        "overlap",
        "memory_precision",
        "feature_cache_bytes",
        "features",
        "features_bytes",
        "state_bytes",
        "history_bytes",
    ];
    let options = Options::new("new_session", options, &KEYS)?;
    let usual = Settings::default();
    Ok(Settings {
        compat: options.parsed("compat")?.unwrap_or_default(),
        overlap: options.parsed("overlap")?.unwrap_or_default(),
        intensity: options.parsed("window")?.unwrap_or_default(),
        memory_kind: options.parsed("memory_precision")?.and_then(Precision::kind),
        feature_cache_bytes: options.get("feature_cache_bytes", whole)?.unwrap_or(usual.feature_cache_bytes),
        features: options.get("features", |what, folder| files.writable(what, folder))?,
        features_bytes: options.get("features_bytes", whole)?.map_or(usual.features_bytes, |bytes| bytes as u64),
        state_bytes: options.get("state_bytes", whole)?.unwrap_or(usual.state_bytes),
        history_bytes: options.get("history_bytes", whole)?.unwrap_or(usual.history_bytes),
    })
}

fn new(call: NativeCallContext, volume: Dynamic, model: Dynamic) -> Fallible<SessionValue> {
    native(&call, || SessionValue::new(&volume, &model, None))
}

/// What a prompt returns: `#{frame, object, iou, score, area}`.
pub fn answer(frame: usize, mask: &ObjectMask) -> Checked<Map> {
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

fn remove_prompt(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    index: Dynamic,
) -> Fallible<Dynamic> {
    native(&call, || removed(session, "remove_prompt", &frame, &id, Some(whole("remove_prompt: index", &index)?)))
}

fn remove_last(call: NativeCallContext, session: &mut SessionValue, frame: Dynamic, id: Dynamic) -> Fallible<Dynamic> {
    native(&call, || removed(session, "remove_prompt", &frame, &id, None))
}

/// Removes a prompt, the last one by default. Returns the answer to those that are left, or `()` when the object has no mask on the slice
/// any more.
pub fn removed(
    session: &SessionValue,
    function: &str,
    frame: &Dynamic,
    id: &Dynamic,
    index: Option<usize>,
) -> Checked<Dynamic> {
    let (frame, id) = (whole(&format!("{function}: frame"), frame)?, object(&format!("{function}: object"), id)?);
    let mut session = session.lock()?;
    match index {
        Some(index) => session.remove_prompt(frame, id, index)?,
        None => session.remove_last_prompt(frame, id)?,
    }
    let left = session.frames_of(id).contains(&frame).then(|| session.mask(frame, id)).transpose()?;
    left.map_or(Ok(Dynamic::UNIT), |mask| answer(frame, &mask).map(Dynamic::from_map))
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
    native(&call, || Ok(session.lock()?.reset()?))
}

fn set_object(call: NativeCallContext, session: &mut SessionValue, id: Dynamic, given: Dynamic) -> Fallible<()> {
    native(&call, || {
        let given = Options::new("set_object", &given, &["name", "colour", "property", "visible", "locked"])?;
        let change = PropertyChange {
            name: given.get("name", text)?,
            colour: given.get("colour", text)?,
            property: given.get("property", text)?,
            visible: given.get("visible", truth)?,
            locked: given.get("locked", truth)?,
        };
        Ok(session.lock()?.set_object(object("set_object: object", &id)?, &change)?)
    })
}

fn told_object(call: NativeCallContext, session: &mut SessionValue, id: Dynamic) -> Fallible<Map> {
    native(&call, || to_map(&session.lock()?.object(object("object: object", &id)?)?))
}

fn frames_of(call: NativeCallContext, session: &mut SessionValue, id: Dynamic) -> Fallible<Array> {
    native(&call, || Ok(ints(session.lock()?.frames_of(object("frames_of: object", &id)?))))
}

fn objects(call: NativeCallContext, session: &mut SessionValue) -> Fallible<Array> {
    native(&call, || Ok(ints(session.lock()?.objects())))
}

fn features(call: NativeCallContext, session: &mut SessionValue) -> Fallible<Map> {
    native(&call, || {
        let session = session.lock()?;
        let kept = session.features();
        let read = kept.as_ref().map_or(0, |kept| kept.read);
        let problem = kept.and_then(|kept| kept.problem).map_or(Dynamic::UNIT, Dynamic::from);
        let numbers = [("encoded", session.encoded_slices()), ("read", read)];
        let numbers = numbers.map(|(name, number)| (name.into(), Dynamic::from_int(int(number))));
        Ok(numbers.into_iter().chain([("problem".into(), problem)]).collect())
    })
}

fn notices(call: NativeCallContext, session: SessionValue) -> Fallible<Array> {
    native(&call, || {
        let notices = session.lock()?.notices()?;
        let map = |notice: &NoticeInfo| rhai::serde::to_dynamic(notice).unwrap_or(Dynamic::UNIT);
        Ok(notices.iter().map(map).collect())
    })
}

fn labels(call: NativeCallContext, session: &mut SessionValue) -> Fallible<LabelsValue> {
    native(&call, || Ok(LabelsValue::of(&*session.lock()?, session.volume.clone())?))
}
