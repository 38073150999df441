//! `sam_octa2.task/1`: whole jobs by name, JSON in and out. Each is read the request, call the core, write the report.

use crate::convert::{self, ToHost};
use crate::guard::{guarded, infallible};
use crate::script;
use sam_octa2_abi::abi_stable::std_types::{RResult, RStr, RString};
use sam_octa2_abi::{HostCalls, PluginError};
use sam_octa2_core::progress::Flow;
use sam_octa2_core::{Error, job, loader, train};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Display;
use std::path::PathBuf;

/// The tasks of this plugin.
pub const NAMES: [&str; 9] =
    ["info", "convert", "segment", "replay", "script", "check", "reference", "models", "fine_tune"];

/// The names as a JSON array.
pub extern "C" fn list() -> RString {
    infallible(|| json!(NAMES).to_string().into())
}

/// Runs one task.
pub extern "C" fn run(name: RStr<'_>, request_json: RStr<'_>, host: &HostCalls) -> RResult<RString, PluginError> {
    guarded(Some(host), || {
        let reply = dispatch(name.as_str(), request_json.as_str(), host)?;
        Ok(reply.to_string().into())
    })
}

/// Does one task.
pub fn dispatch(name: &str, json: &str, host: &HostCalls) -> std::result::Result<Value, PluginError> {
    let observer = &mut ToHost(host);
    let reply = match name {
        "info" => job::info(&request(name, json)?).map(told),
        "convert" => job::convert(&request(name, json)?, observer).map(|report| json!({"report": report})),
        "segment" => job::segment(&request(name, json)?, observer).map(told),
        "replay" => job::replay(&request(name, json)?, observer).map(told),
        "script" => return script::run(&request(name, json)?, host),
        "check" => return script::check(&request(name, json)?, host),
        "reference" => return script::reference(&request(name, json)?, host),
        "fine_tune" => train::fine_tune(&request(name, json)?, observer, &mut |_| Ok(Flow::Continue))
            .map(|report| json!({"report": report})),
        "models" => Ok(models(&request(name, json)?)),
        _ => Err(Error::NotFound(format!("there is no task `{name}`; there are {}", NAMES.join(", ")))),
    };
    reply.map_err(convert::error)
}

/// A report for programs and the same for people.
fn told(report: impl Serialize + Display) -> Value {
    json!({"report": report, "text": report.to_string()})
}

fn request<T: DeserializeOwned>(task: &str, json: &str) -> std::result::Result<T, PluginError> {
    serde_json::from_str(json).map_err(|error| convert::invalid(format!("the request of the task `{task}`: {error}")))
}

/// `host-demo models`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelsRequest {
    #[serde(default)]
    weights_dirs: Vec<PathBuf>,
}

fn models(request: &ModelsRequest) -> Value {
    let models = loader::list(&request.weights_dirs);
    let lines: Vec<_> = models.iter().map(ToString::to_string).collect();
    json!({"report": models, "text": lines.join("\n")})
}
