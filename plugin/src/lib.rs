//! SAM-OCTA2 as a plugin: the library that a viewer opens. It needs nothing but the C library, so that a viewer learns in a millisecond
//! what is here. The tasks that need no model (`info`, `convert`, `vessels`, `measure`, `export_octa500`) are done here; the first call of anything else that computes opens
//! `libsam_octa2_engine.so` beside it, and libtorch with that.
//!
//! ```text
//! viewer (Rust) -> Root -> tables sam_octa2.<extension>/1 -┐
//! viewer (C)    -> sam_octa2_<extension>_<verb>  ----------┴-> c/mod.rs -> libsam_octa2_engine.so
//! viewer -> task `info`, `measure`, ...               -> task.rs -----> sam_octa2_volumes
//! ```
//! Both interfaces lead to the same functions: the tables hold the addresses of the C functions.

pub mod c;
mod engine;
mod libtorch;
mod task;

use sam_octa2_abi::abi_stable::export_root_module;
use sam_octa2_abi::abi_stable::prefix_type::PrefixTypeTrait;
use sam_octa2_abi::abi_stable::std_types::{RErr, ROption, RResult, RSome, RStr, RString};
use sam_octa2_abi::{Extension, ExtensionPtr, HostCalls, PluginError, Root, Root_Ref, SelfTest1, Task1};

/// Who the plugin is. The same text lies beside the library as `libsam_octa2.json`, for viewers that look before they load.
pub const MANIFEST: &str = include_str!("../libsam_octa2.json");

mod export {
    #![allow(missing_docs, reason = "the attribute generates a public static")]
    use super::*;

    #[export_root_module]
    fn root() -> Root_Ref {
        Root { manifest_json, get_extension }.leak_into_prefix()
    }
}

static TASK: Task1 = Task1 { list: task::list, run: task::run };
static SELFTEST: SelfTest1 = SelfTest1 { panic: selftest_panic, echo: selftest_echo, sleep: selftest_sleep };

extern "C" fn manifest_json() -> RString {
    MANIFEST.into()
}

extern "C" fn get_extension(id: RStr<'_>) -> ROption<ExtensionPtr> {
    match id.as_str() {
        Task1::ID => RSome(ExtensionPtr::new(&TASK)),
        SelfTest1::ID => RSome(ExtensionPtr::new(&SELFTEST)),
        id => c::table(id).into(),
    }
}

extern "C" fn selftest_panic(host: &HostCalls) -> RResult<(), PluginError> {
    match engine::get() {
        Ok(engine) => (engine.selftest.panic)(host),
        Err(error) => RErr(error),
    }
}

extern "C" fn selftest_echo(text: RStr<'_>) -> RResult<RString, PluginError> {
    match engine::get() {
        Ok(engine) => (engine.selftest.echo)(text),
        Err(error) => RErr(error),
    }
}

extern "C" fn selftest_sleep(milliseconds: u64, host: &HostCalls) -> RResult<(), PluginError> {
    match engine::get() {
        Ok(engine) => (engine.selftest.sleep)(milliseconds, host),
        Err(error) => RErr(error),
    }
}
