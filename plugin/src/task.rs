//! `sam_octa2.task/1`: whole jobs by name, JSON in and out. What needs no model is done here, without the engine and libtorch.

use crate::{MANIFEST, engine};
use sam_octa2_abi::abi_stable::std_types::{RErr, RResult, RStr, RString};
use sam_octa2_abi::raw::{ErrorBox, HostStruct, Status};
use sam_octa2_abi::{HostCalls, PluginError};
use sam_octa2_boundary::c::{Checked, text};
use sam_octa2_boundary::convert::{self, ToHost};
use sam_octa2_boundary::guard::infallible;
use sam_octa2_boundary::task::{for_c, for_rust, request, response};
use sam_octa2_volumes::{Error, job};
use serde_json::{Value, json};
use std::ffi::c_char;

/// All names as a JSON array.
pub extern "C" fn list() -> RString {
    infallible(|| json!(names("tasks")).to_string().into())
}

/// Does one task for a Rust host.
pub extern "C" fn run(name: RStr<'_>, request: RStr<'_>, host: &HostCalls) -> RResult<RString, PluginError> {
    if !is_of_engine(&name) {
        return for_rust(dispatch, name, request, host);
    }
    match engine::get() {
        Ok(engine) => (engine.run_task)(name, request, host),
        Err(error) => RErr(error),
    }
}

/// Does one task for a C host.
///
/// # Safety
/// The header's rules.
pub unsafe fn run_c(
    name: *const c_char,
    request: *const c_char,
    host: *const HostStruct,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    // Safety: the caller's promise.
    unsafe {
        // a name that is none is refused here
        if !text("name", name).is_ok_and(is_of_engine) {
            return for_c(dispatch, name, request, host, reply, error);
        }
        engine::forward(error, |engine| (engine.run_c_task)(name, request, host, reply, error))
    }
}

fn dispatch(name: &str, json: &str, host: &HostCalls) -> Checked<Value> {
    let observer = &mut ToHost(host);
    let reply = match name {
        "info" => job::info(&request(name, json)?, observer).map(response),
        "convert" => job::convert(&request(name, json)?, observer).map(|report| json!({"report": report})),
        "phantom" => job::phantom(&request(name, json)?, observer).map(response),
        "vessels" => job::vessels(&request(name, json)?, observer).map(response),
        "measure" => job::measure(&request(name, json)?, observer).map(response),
        "export_octa500" => job::export_octa500(&request(name, json)?, observer).map(response),
        _ => Err(Error::NotFound(format!("there is no task `{name}`; there are {}", names("tasks").join(", ")))),
    };
    reply.map_err(convert::error)
}

/// A list of the manifest's, so that viewers read there what holds here.
fn names(list: &str) -> Vec<String> {
    let manifest: Value = serde_json::from_str(MANIFEST).unwrap_or_default();
    let names = manifest[list].as_array().into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Is it a task that needs a model or a script?
fn is_of_engine(name: &str) -> bool {
    let among = |list| names(list).iter().any(|known| known == name);
    among("tasks") && !among("tasks_without_torch")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text has between backticks.
    fn quoted(text: &str) -> Vec<&str> {
        text.split('`').skip(1).step_by(2).collect()
    }

    #[test]
    fn the_page_has_every_task() {
        let page = include_str!("../../docs/abi.md");
        let section = page.split("## Tasks").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
        let mut listed: Vec<&str> =
            section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let mut known = names("tasks");
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
        assert!(section.contains("is an error that names the nearest") && !section.contains("passed over"));
    }

    #[test]
    fn page_and_header_name_the_tasks_without_a_model() {
        let page = include_str!("../../docs/abi.md");
        let sentence = page.lines().find(|line| line.contains("open neither the engine nor libtorch")).unwrap();
        assert_eq!(quoted(sentence), names("tasks_without_torch"));
        let header = include_str!("../include/sam_octa2.h");
        let sentence = header.lines().find(|line| line.contains("open neither engine nor libtorch")).unwrap();
        assert_eq!(quoted(sentence), names("tasks_without_torch"));
    }
}
