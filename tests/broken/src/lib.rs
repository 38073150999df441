//! A plugin with one defect: it opens the real one (`SAM_OCTA2_BROKEN_REAL`) and hands out its function tables, one function of which
//! breaks a rule of the header (`SAM_OCTA2_BROKEN`; `none` breaks nothing). The tests of `plugin check` see that each is found.

#![allow(missing_docs, clippy::expect_used, clippy::panic, reason = "for tests; some defects are panics")]

mod script;
mod session;
mod system;
mod volume;

use abi_stable::export_root_module;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{RNone, ROption, RSome, RStr, RString};
use sam_octa2_abi::raw::{Mask1, Model1, Script1, Session1, System1, Volume1};
use sam_octa2_abi::{Extension, ExtensionPtr, Plugin, Root, Root_Ref, SelfTest1, Task1};
use std::sync::LazyLock;

mod export {
    use super::*;

    #[export_root_module]
    fn root() -> Root_Ref {
        Root { manifest_json, get_extension }.leak_into_prefix()
    }
}

/// The plugin behind.
static REAL: LazyLock<Plugin> = LazyLock::new(|| {
    let path = std::env::var_os("SAM_OCTA2_BROKEN_REAL").expect("SAM_OCTA2_BROKEN_REAL names the real plugin");
    Plugin::load(path.as_ref()).expect("the real plugin loads")
});

/// The real table.
fn real<E: Extension>() -> &'static E {
    REAL.extension().expect("the real plugin has every extension")
}

/// Is this the defect of this run?
fn defect(name: &str) -> bool {
    static CHOSEN: LazyLock<String> = LazyLock::new(|| std::env::var("SAM_OCTA2_BROKEN").unwrap_or_default());
    *CHOSEN == name
}

extern "C" fn manifest_json() -> RString {
    let manifest = REAL.manifest_json().replace("\"c_abi\": 1,", ""); // there are no C functions here
    match defect("lies") {
        true => manifest.replace("\"sam_octa2.task/1\"", "\"sam_octa2.task/1\", \"sam_octa2.magic/1\"").into(),
        false => manifest.into(),
    }
}

extern "C" fn get_extension(id: RStr<'_>) -> ROption<ExtensionPtr> {
    match id.as_str() {
        Task1::ID => RSome(ExtensionPtr::new(real::<Task1>())),
        SelfTest1::ID => RSome(ExtensionPtr::new(real::<SelfTest1>())),
        System1::ID => RSome(ExtensionPtr::new(&*system::TABLE)),
        Volume1::ID if defect("layout") => RSome(ExtensionPtr::new(&volume::OTHER)),
        Volume1::ID => RSome(ExtensionPtr::new(&*volume::TABLE)),
        Model1::ID => RSome(ExtensionPtr::new(real::<Model1>())),
        Session1::ID => RSome(ExtensionPtr::new(&*session::TABLE)),
        Mask1::ID => RSome(ExtensionPtr::new(real::<Mask1>())),
        Script1::ID => RSome(ExtensionPtr::new(&*script::TABLE)),
        id if defect("any-id") && id.starts_with("sam_octa2.task") => RSome(ExtensionPtr::new(real::<Task1>())),
        _ => RNone,
    }
}
