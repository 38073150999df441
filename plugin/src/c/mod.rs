//! The C interface: the functions of `plugin/include/sam_octa2.h` with their tables, made from the list in `plugin/abi/src/raw/functions.rs`. Those
//! of `system` are done here; the others are passed on to the engine.
//!
//! What every function has in common stands at the top of the header (`plugin/cbindgen.toml`).
#![allow(
    clippy::missing_safety_doc,
    reason = "the header's rules hold for all of them: pointers are valid or null where it says so"
)]

mod refused;
mod system;

use crate::engine::get;
use refused::{Answer, Argument};
use sam_octa2_abi::ExtensionPtr;
use sam_octa2_abi::raw::opaque::{DlTensor, Mask, Model, Script, Session, Volume};
use sam_octa2_abi::raw::{
    Cancel, ErrorBox, Failure, FunctionStruct, Handle, HostStruct, Mask1, Model1, OnSliceStruct, Out, PromptStruct,
    Reply, Script1, Session1, Status, System1, Text, ViewStruct, Volume1,
};
use std::ffi::c_char;

/// What a function does: its module, its name, its arguments.
macro_rules! body {
    (system $name:ident $($argument:ident)*) => {
        system::$name($($argument),*)
    };
    ($module:ident free $handle:ident) => {
        if let (false, Ok(engine)) = ($handle.is_null(), get()) {
            (engine.$module.free)($handle)
        }
    };
    ($module:ident $name:ident $($argument:ident)*) => {
        match get() {
            Ok(engine) => (engine.$module.$name)($($argument),*),
            Err(reason) => Answer::without_engine([$($argument.refused(&reason)),*].into_iter().min()),
        }
    };
}

macro_rules! exports {
    ($(
        $(#[doc = $about:literal])+
        $module:ident $table:ident $id:literal $prefix:literal {
            $($(#[doc = $doc:literal])+ $name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)+
        }
    )+) => { pastey::paste! {
        $($(
            $(#[doc = $doc])+
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn [<sam_octa2_ $prefix $name>]($($argument: $kind),*) $(-> $result)? {
                unsafe { body!($module $name $($argument)*) }
            }
        )+)+

        /// The table with this id.
        pub fn table(id: &str) -> Option<ExtensionPtr> {
            match id {
                $($id => {
                    static TABLE: $table = $table { $($name: [<sam_octa2_ $prefix $name>],)+ };
                    Some(ExtensionPtr::new(&TABLE))
                })+
                _ => None,
            }
        }
    } };
}
sam_octa2_abi::functions!(exports);
