//! A plugin that was built with the interface 1.0.0: tasks and the self-test, no function tables, no C functions.

#![allow(clippy::panic, reason = "the self-test panics on purpose")]

use abi_stable::export_root_module;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{RErr, RNone, ROk, ROption, RResult, RSome, RStr, RString};
use sam_octa2_abi_1_0::{Extension, ExtensionPtr, Flow, HostCalls, PluginError, Root, Root_Ref, SelfTest1, Task1};
use std::panic::catch_unwind;
use std::time::Duration;

const MANIFEST: &str = r#"{"name": "old", "version": "0.0.1", "abi": "1.0.0", "torch": "none",
    "extensions": ["sam_octa2.task/1", "sam_octa2.selftest/1"], "tasks": ["models", "script"]}"#;

mod export {
    #![allow(missing_docs, reason = "the attribute generates a public static")]
    use super::*;

    #[export_root_module]
    fn root() -> Root_Ref {
        Root { manifest_json, get_extension }.leak_into_prefix()
    }
}

static TASK: Task1 = Task1 { list, run };
static SELFTEST: SelfTest1 = SelfTest1 { panic, echo, sleep };

extern "C" fn manifest_json() -> RString {
    MANIFEST.into()
}

extern "C" fn get_extension(id: RStr<'_>) -> ROption<ExtensionPtr> {
    match id.as_str() {
        Task1::ID => RSome(ExtensionPtr::new(&TASK)),
        SelfTest1::ID => RSome(ExtensionPtr::new(&SELFTEST)),
        _ => RNone,
    }
}

extern "C" fn list() -> RString {
    "[\"models\", \"script\"]".into()
}

/// `models` has none; `script` runs until it is cancelled.
extern "C" fn run(name: RStr<'_>, request: RStr<'_>, host: &HostCalls) -> RResult<RString, PluginError> {
    match (name.as_str(), request.as_str()) {
        ("models", "{}") => ROk("{\"report\": []}".into()),
        ("script", request) if request.starts_with("{\"path\":\"") => {
            while !host.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            RErr(PluginError::new("cancelled", "cancelled"))
        }
        ("models" | "script", _) => RErr(PluginError::new("invalid_argument", "a request that makes no sense")),
        _ => RErr(PluginError::new("not_found", "no such task")),
    }
}

extern "C" fn panic(_: &HostCalls) -> RResult<(), PluginError> {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = catch_unwind(|| panic!("on purpose"));
    RErr(PluginError::new("panic", if caught.is_err() { "a panic on purpose" } else { "no panic" }))
}

extern "C" fn echo(text: RStr<'_>) -> RResult<RString, PluginError> {
    ROk(text.into())
}

extern "C" fn sleep(milliseconds: u64, host: &HostCalls) -> RResult<(), PluginError> {
    for done in 0..milliseconds {
        if host.progress("sleep", done, milliseconds) != Flow::CONTINUE {
            return RErr(PluginError::new("cancelled", "cancelled"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    ROk(())
}
