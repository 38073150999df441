//! A task through either interface: read the request, do the work, write the report.

use crate::c::{Checked, Place, long_as, text};
use crate::guard::guarded;
use crate::json;
use crate::watch::{Asked, Passed, watched};
use sam_octa2_abi::abi_stable::std_types::{RResult, RStr, RString};
use sam_octa2_abi::raw::{ErrorBox, HostStruct, Status};
use sam_octa2_abi::{HostCalls, PluginError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::ffi::c_char;
use std::fmt::Display;

/// Does the task of a name with a request in JSON.
pub type Dispatch = fn(name: &str, request: &str, host: &HostCalls) -> Checked<Value>;

/// A task for a Rust host.
pub fn for_rust(
    dispatch: Dispatch,
    name: RStr<'_>,
    request: RStr<'_>,
    host: &HostCalls,
) -> RResult<RString, PluginError> {
    let work = |calls: &HostCalls| {
        let reply = || Ok(dispatch(name.as_str(), request.as_str(), calls)?.to_string().into());
        guarded(Some(calls), || watched(calls, reply))
    };
    HostCalls::scope(&mut Asked::new(Passed(host)).silently(silent(&name)), work)
}

/// A task for a C host.
///
/// # Safety
/// The header's rules.
pub unsafe fn for_c(
    dispatch: Dispatch,
    name: *const c_char,
    request: *const c_char,
    host: *const HostStruct,
    reply: *mut *mut c_char,
    error: *mut *mut ErrorBox,
) -> Status {
    // Safety: the caller's promise.
    unsafe {
        let stage = text("name", name).map_or("open", silent);
        long_as(stage, host, error, |calls| {
            let reply = Place::new("reply", reply)?;
            let answer = dispatch(text("name", name)?, text("request", request)?, calls)?;
            reply.give_text(&answer.to_string());
            Ok(())
        })
    }
}

/// What a host hears of a task before its first step, should that take long: most begin with a file.
fn silent(name: &str) -> &'static str {
    match name {
        "script" => "script",
        "phantom" => "phantom",
        _ => "open",
    }
}

/// What a task is asked, from JSON.
pub fn request<T: DeserializeOwned + Serialize>(task: &str, text: &str) -> Checked<T> {
    json::read(&format!("the request of the task `{task}`"), text)
}

/// A report for programs and the same for people.
pub fn response(report: impl Serialize + Display) -> Value {
    json!({"report": report, "text": report.to_string()})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics, or says what it was asked.
    fn task(name: &str, request: &str, host: &HostCalls) -> Checked<Value> {
        assert_ne!(name, "panic", "on purpose");
        let answer = host.progress("step", 1, 1);
        Ok(json!([request, answer == sam_octa2_abi::Flow::CONTINUE]))
    }

    #[test]
    fn a_panic_is_an_error_through_both_doors() {
        let rust = |name: &str| HostCalls::scope(&mut (), |host| for_rust(task, name.into(), "{}".into(), host));
        assert_eq!(rust("panic").into_result().unwrap_err().code, "panic");
        assert_eq!(rust("other").into_result().unwrap(), r#"["{}",true]"#);
        let (host, error) = (std::ptr::null(), std::ptr::null_mut());
        let mut reply = std::ptr::null_mut();
        let c =
            |name: &std::ffi::CStr, reply| unsafe { for_c(task, name.as_ptr(), c"{}".as_ptr(), host, reply, error) };
        assert_eq!(c(c"panic", &raw mut reply), sam_octa2_abi::raw::status::PANIC);
        assert!(reply.is_null());
        assert_eq!(c(c"other", &raw mut reply), 0);
        unsafe { crate::c::text_free(reply) };
    }
}
