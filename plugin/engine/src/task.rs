//! `sam_octa2.task/1`: the jobs that need a model or a script, by name. Each is: read the request, call the core, write the report.
//! `libsam_octa2.so` does the others itself.

use crate::convert::{self, ToHost};
use crate::script;
use sam_octa2_abi::abi_stable::std_types::{RResult, RStr, RString};
use sam_octa2_abi::{HostCalls, PluginError};
use sam_octa2_boundary::c::Checked;
use sam_octa2_boundary::task::{for_rust, request, response};
use sam_octa2_core::progress::{Flow, Observer};
use sam_octa2_core::{Error, job, loader, sparse, train};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Does one task for a Rust host.
pub extern "C" fn run(name: RStr<'_>, request: RStr<'_>, host: &HostCalls) -> RResult<RString, PluginError> {
    for_rust(dispatch, name, request, host)
}

/// Does one task.
pub fn dispatch(name: &str, json: &str, host: &HostCalls) -> Checked<Value> {
    let observer = &mut ToHost(host);
    let reply = match name {
        "segment" => job::segment(&request(name, json)?, observer).map(response),
        "export" => {
            let request = request(name, json)?;
            let exported = observer.step("export", 0, 1).and_then(|()| job::export(&request));
            exported.map(|report| json!({"report": report}))
        }
        "predict" => job::predict(&request(name, json)?, observer).map(response),
        "replay" => job::replay(&request(name, json)?, observer).map(response),
        "script" => return script::run(&request(name, json)?, host),
        "check" => return script::check(&request(name, json)?, host),
        "reference" => return script::reference(&request(name, json)?, host),
        "fine_tune" => train::fine_tune(&request(name, json)?, observer, &mut |_| Ok(Flow::Continue))
            .map(|report| json!({"report": report})),
        "train_segmenter" => sparse::train_segmenter(&request(name, json)?, observer, &mut |_| Ok(Flow::Continue))
            .map(|report| json!({"report": report})),
        "models" => models(&request(name, json)?),
        _ => Err(Error::NotFound(format!("the engine has no task `{name}`"))),
    };
    reply.map_err(convert::error)
}

/// `host-demo models`
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ModelsRequest {
    #[serde(default)]
    weights_dirs: Vec<PathBuf>,
}

fn models(request: &ModelsRequest) -> Result<Value, Error> {
    let models = loader::list(&request.weights_dirs)?;
    let folder = loader::download_folder(&request.weights_dirs);
    Ok(json!({"report": models, "text": loader::table(&models), "folder": folder}))
}
