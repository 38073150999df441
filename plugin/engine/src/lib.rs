//! SAM-OCTA2 as a plugin: the library that a viewer opens. Here is what it exports; the work is done by `sam_octa2_core`.
//!
//! Layers only convert and forward: `root -> extension table -> guard (no panic passes) -> task or script -> core`. Opening the
//! library runs nothing of ours: the manifest is put together when asked for, devices are touched by the first task that needs one.

mod convert;
mod guard;
mod script;
mod selftest;
mod task;

use sam_octa2_abi::abi_stable::export_root_module;
use sam_octa2_abi::abi_stable::prefix_type::PrefixTypeTrait;
use sam_octa2_abi::abi_stable::std_types::{RNone, ROption, RSome, RStr, RString};
use sam_octa2_abi::{ABI_VERSION, Extension, ExtensionPtr, Root, Root_Ref, SelfTest1, Task1};
use serde_json::json;

/// The libtorch that this library was built for (`tch` 0.26).
const TORCH_VERSION: &str = "2.13.0";

mod export {
    #![allow(missing_docs, reason = "the attribute generates a public static")]
    use super::*;

    #[export_root_module]
    fn root() -> Root_Ref {
        Root { manifest_json, get_extension }.leak_into_prefix()
    }
}

static TASK: Task1 = Task1 { list: task::list, run: task::run };
static SELFTEST: SelfTest1 = SelfTest1 { panic: selftest::panic, echo: selftest::echo, sleep: selftest::sleep };

extern "C" fn get_extension(id: RStr<'_>) -> ROption<ExtensionPtr> {
    match id.as_str() {
        Task1::ID => RSome(ExtensionPtr::new(&TASK)),
        SelfTest1::ID => RSome(ExtensionPtr::new(&SELFTEST)),
        _ => RNone,
    }
}

extern "C" fn manifest_json() -> RString {
    guard::infallible(|| {
        let manifest = json!({
            "name": "sam_octa2",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Segments OCT-angiography stacks with SAM-OCTA2",
            "abi": ABI_VERSION,
            "extensions": [Task1::ID, SelfTest1::ID],
            "tasks": task::NAMES,
            "torch": TORCH_VERSION,
        });
        manifest.to_string().into()
    })
}
