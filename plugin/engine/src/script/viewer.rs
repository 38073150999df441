//! The module `viewer` of a script: functions of the host, with JSON values both ways; volumes and labels go as `{"handle": id}`.

use super::errors::{self, Failure};
use super::files::Files;
use super::kept::Kept;
use super::kept_models::KeptModels;
use super::labels::LabelsValue;
use super::values::Checked;
use super::volume::VolumeValue;
use super::watch::Watch;
use super::{Context, ScriptRequest, run_with};
use crate::convert;
use rhai::{Array, Dynamic, Engine, FuncRegistration, Map, Module, NativeCallContext, RhaiFunc, Shared};
use sam_octa2_abi::raw::{FunctionStruct, ReplyStruct};
use sam_octa2_abi::{HostCalls, PluginError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::any::TypeId;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// more arguments than this no function of a host takes
const MOST_PARAMETERS: usize = 12;

/// A script engine as hosts hold it: their functions, and what they and scripts show one another.
#[derive(Default)]
pub struct ScriptValue {
    /// what scripts left behind; locked while one runs
    running: Mutex<Kept>,
    side: Arc<HostSide>,
}

/// What the host brought.
#[derive(Default)]
pub struct HostSide {
    functions: Mutex<Vec<Arc<HostFunction>>>,
    shown: Mutex<Shown>,
    /// where the script that runs may read and write
    files: Mutex<Arc<Files>>,
    /// looks after it
    watch: Mutex<Option<Arc<Watch>>>,
    /// models of the last script, if it was to keep them
    models: Arc<KeptModels>,
}

#[derive(Default)]
struct Shown {
    last: u64,
    things: HashMap<u64, Entry>,
}

/// What a handle leads to.
enum Entry {
    /// a script showed it: lives until the next run
    OfScript(Thing),
    /// the host shared it: kept until a run has ended, afterwards there as long as the host's own handle is
    OfHost { kept: Option<Thing>, handle: Handle },
}

/// What the host's own handle leads to, while there is one.
type Handle = Box<dyn Fn() -> Option<Thing> + Send + Sync>;

impl Entry {
    fn thing(&self) -> Option<Thing> {
        match self {
            Self::OfScript(thing) | Self::OfHost { kept: Some(thing), .. } => Some(thing.clone()),
            Self::OfHost { handle, .. } => handle(),
        }
    }
}

/// What a handle in JSON stands for.
#[derive(Clone)]
pub enum Thing {
    /// a volume
    Volume(VolumeValue),
    /// labels
    Labels(LabelsValue),
}

/// `declaration` of `sam_octa2_script_add_function`
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Declaration {
    name: String,
    #[serde(default)]
    doc: String,
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    name: String,
    #[serde(default)]
    optional: bool,
}

struct HostFunction {
    declaration: Declaration,
    function: FunctionStruct,
}

// Safety: the header says on which thread the function is called, and that `release` may come on any.
unsafe impl Send for HostFunction {}
unsafe impl Sync for HostFunction {}

impl Drop for HostFunction {
    fn drop(&mut self) {
        if let Some(release) = self.function.release {
            // Safety: the host's function with the host's context, once.
            unsafe { release(self.function.context) }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptValue {
    /// Adds a function. It is released when it is needed no more, also when this fails.
    ///
    /// # Safety
    /// The functions of `function` may be called with its context until `release`.
    pub unsafe fn add(&self, declaration: &str, function: FunctionStruct) -> Result<(), PluginError> {
        let mut made = HostFunction { declaration: Declaration::default(), function }; // from here on released, whatever happens
        made.declaration = sam_octa2_boundary::c::parse("declaration", declaration)?;
        made.declaration.check()?;
        if function.call.is_none() {
            return Err(convert::invalid("`function->call` is null"));
        }
        let mut functions = lock(&self.side.functions);
        if functions.iter().any(|other| other.declaration.name == made.declaration.name) {
            return Err(convert::invalid(format!("there is a function `{}` already", made.declaration.name)));
        }
        functions.push(Arc::new(made));
        Ok(())
    }

    /// Shows something of the host's to scripts: until the next run has ended, and as long as `handle` still gives it.
    pub fn share(&self, thing: Thing, handle: impl Fn() -> Option<Thing> + Send + Sync + 'static) -> u64 {
        self.side.show(Entry::OfHost { kept: Some(thing), handle: Box::new(handle) })
    }

    /// What a script showed.
    pub fn shown(&self, id: u64) -> Result<Thing, PluginError> {
        self.side.find(id).ok_or_else(|| convert::invalid(no_handle(id)))
    }

    /// Runs a script from its request in JSON.
    pub fn run_json(&self, request: &str, host: &HostCalls) -> Result<Value, PluginError> {
        match sam_octa2_boundary::c::parse("request", request) {
            Ok(request) => self.run(&request, host),
            Err(error) => {
                if let Ok(_nobody_runs) = self.running.try_lock() {
                    self.side.settle(); // what was shared for this run
                }
                Err(error)
            }
        }
    }

    /// Runs a script. What it shows lives until the next run; what scripts kept, until the engine is freed.
    fn run(&self, request: &ScriptRequest, host: &HostCalls) -> Result<Value, PluginError> {
        let mut kept = match self.running.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(PluginError::new(
                    "busy",
                    "the script engine runs another script; wait, or make a second one",
                ));
            }
        };
        lock(&self.side.shown).things.retain(|_, entry| !matches!(entry, Entry::OfScript(_)));
        let _end = OnEnd(&self.side);
        run_with(request, host, &self.side, request.keep.then_some(&mut *kept))
    }
}

/// A run ends, however it does.
struct OnEnd<'a>(&'a HostSide);

impl Drop for OnEnd<'_> {
    fn drop(&mut self) {
        self.0.settle();
    }
}

impl Declaration {
    fn check(&self) -> Result<(), PluginError> {
        let name = &self.name;
        let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let free = Engine::new_raw().compile(format!("let {name} = 1;")).is_ok(); // no keyword
        if !letters || !free || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(convert::invalid(format!("`{name}` cannot be the name of a function in a script")));
        }
        if self.parameters.len() > MOST_PARAMETERS {
            return Err(convert::invalid(format!("`{name}` has more than {MOST_PARAMETERS} parameters")));
        }
        let first_optional = self.parameters.iter().position(|parameter| parameter.optional);
        match first_optional.and_then(|at| self.parameters[at..].iter().find(|parameter| !parameter.optional)) {
            Some(late) => Err(convert::invalid(format!("`{name}`: `{}` comes after optional parameters", late.name))),
            None => Ok(()),
        }
    }

    fn required(&self) -> usize {
        self.parameters.iter().filter(|parameter| !parameter.optional).count()
    }
}

impl HostSide {
    fn show(&self, entry: Entry) -> u64 {
        let mut shown = lock(&self.shown);
        shown.last += 1;
        let id = shown.last;
        shown.things.insert(id, entry);
        id
    }

    fn find(&self, id: u64) -> Option<Thing> {
        lock(&self.shown).things.get(&id).and_then(Entry::thing)
    }

    /// A run has ended: what the host shared is the host's alone again, and what belonged to the run goes.
    fn settle(&self) {
        *lock(&self.files) = Arc::default();
        *lock(&self.watch) = None;
        let mut freed = Vec::new(); // dropped outside of the lock: a host's `release` may call back
        let mut shown = lock(&self.shown);
        for entry in shown.things.values_mut() {
            if let Entry::OfHost { kept, .. } = entry {
                freed.push(kept.take());
            }
        }
        let mut alive = |entry: &Entry| {
            let thing = entry.thing();
            let alive = thing.is_some();
            freed.push(thing);
            alive
        };
        shown.things.retain(|_, entry| alive(entry));
        drop(shown);
    }

    /// Makes the host's functions known as `viewer::name`.
    pub fn register(self: &Arc<Self>, engine: &mut Engine) {
        let mut module = Module::new();
        for function in lock(&self.functions).iter() {
            let all = function.declaration.parameters.len();
            for count in function.declaration.required()..=all {
                let names: Vec<&str> =
                    function.declaration.parameters[..count].iter().map(|parameter| parameter.name.as_str()).collect();
                let (side, function) = (self.clone(), function.clone());
                let declaration = function.clone();
                let call = move |context: Option<NativeCallContext>, arguments: &mut [&mut Dynamic]| {
                    let answer = function.call(&side, arguments);
                    answer.map_err(|failure| match &context {
                        Some(context) => errors::raise(context, failure),
                        None => failure.message.into(),
                    })
                };
                FuncRegistration::new(declaration.declaration.name.as_str())
                    .with_params_info(&names)
                    .with_comments(declaration.declaration.doc.lines().map(|line| format!("/// {line}")))
                    .set_into_module_raw(
                        &mut module,
                        vec![TypeId::of::<Dynamic>(); count],
                        RhaiFunc::Method {
                            func: Shared::new(call),
                            has_context: true,
                            is_pure: true,
                            is_volatile: true,
                        },
                    );
            }
        }
        engine.register_static_module("viewer", module.into());
    }

    /// A script's value as JSON.
    pub fn to_json(&self, value: &Dynamic) -> Value {
        if let Some(volume) = value.read_lock::<VolumeValue>() {
            return json!({"handle": self.show(Entry::OfScript(Thing::Volume(volume.clone()))), "kind": "volume"});
        }
        if let Some(labels) = value.read_lock::<LabelsValue>() {
            return json!({"handle": self.show(Entry::OfScript(Thing::Labels(labels.to_host()))), "kind": "labels"});
        }
        if let Some(array) = value.read_lock::<Array>() {
            return Value::Array(array.iter().map(|value| self.to_json(value)).collect());
        }
        if let Some(map) = value.read_lock::<Map>() {
            return Value::Object(map.iter().map(|(key, value)| (key.to_string(), self.to_json(value))).collect());
        }
        rhai::serde::from_dynamic::<Value>(value).unwrap_or_else(|_| Value::String(value.to_string()))
    }

    /// What scripts of this engine keep.
    pub fn models(&self) -> Arc<KeptModels> {
        self.models.clone()
    }

    /// A script begins.
    pub fn grant(&self, context: &Context) {
        *lock(&self.files) = context.files.clone();
        *lock(&self.watch) = Some(context.watch.clone());
    }

    /// The host's volume in the hands of a script.
    fn bound(&self, volume: &VolumeValue) -> VolumeValue {
        VolumeValue { files: lock(&self.files).clone(), ..volume.clone() }
    }

    /// Does this JSON stand for something that was shown?
    pub fn is_handle(value: &Value) -> bool {
        value.get("handle").is_some_and(Value::is_u64)
    }

    /// JSON as a script's value.
    pub fn understood(&self, value: &Value) -> Checked<Dynamic> {
        match value {
            Value::Object(map) if Self::is_handle(value) => {
                let id = map["handle"].as_u64().unwrap_or_default();
                match self.find(id) {
                    Some(Thing::Volume(volume)) => Ok(Dynamic::from(self.bound(&volume))),
                    Some(Thing::Labels(labels)) => {
                        let volume = self.bound(&labels.volume);
                        Ok(Dynamic::from(LabelsValue { volume, ..labels }))
                    }
                    None => Err(Failure::invalid(no_handle(id))),
                }
            }
            Value::Object(map) => {
                let entries = map.iter().map(|(key, value)| Ok((key.into(), self.understood(value)?)));
                entries.collect::<Checked<Map>>().map(Dynamic::from_map)
            }
            Value::Array(values) => {
                let values = values.iter().map(|value| self.understood(value));
                values.collect::<Checked<Array>>().map(Dynamic::from_array)
            }
            plain => rhai::serde::to_dynamic(plain).map_err(|error| Failure::invalid(error.to_string())),
        }
    }
}

impl HostFunction {
    fn call(&self, side: &HostSide, arguments: &[&mut Dynamic]) -> Checked<Dynamic> {
        let name = &self.declaration.name;
        let response = Value::Array(arguments.iter().map(|value| side.to_json(value)).collect()).to_string();
        let response =
            CString::new(response).map_err(|_| Failure::invalid(format!("viewer::{name}: a text holds a zero")))?;
        let mut answer: Option<String> = None;
        let reply = ReplyStruct { to: (&raw mut answer).cast(), call: Some(take_answer) };
        let Some(call) = self.function.call else { return Ok(Dynamic::UNIT) };
        // Safety: the host's function with the host's context; arguments and reply live until it returns.
        let ask = || unsafe { call(self.function.context, response.as_ptr(), &raw const reply) };
        let watch = lock(&side.watch).clone();
        let status = watch.map_or_else(ask, |watch| watch.away(ask));
        match (status, answer) {
            (0, None) => Ok(Dynamic::UNIT),
            (0, Some(json)) => {
                let value: Value = serde_json::from_str(&json)
                    .map_err(|error| Failure::invalid(format!("viewer::{name} answered no JSON: {error}")))?;
                side.understood(&value)
            }
            (_, sentence) => {
                let sentence = sentence.unwrap_or_else(|| "the viewer gave no reason".to_owned());
                Err(Failure { code: "host", message: format!("viewer::{name}: {sentence}") })
            }
        }
    }
}

fn no_handle(id: u64) -> String {
    format!("there is nothing with the handle {id}, or not any more")
}

unsafe extern "C" fn take_answer(to: *mut c_void, json: *const c_char) {
    if to.is_null() || json.is_null() {
        return;
    }
    // Safety: `to` is the place that `HostFunction::call` gave; the text is the host's.
    let (place, text) = unsafe { (&mut *to.cast::<Option<String>>(), CStr::from_ptr(json)) };
    *place = Some(text.to_string_lossy().into_owned());
}
