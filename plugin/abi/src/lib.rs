//! The stable interface between a viewer and the SAM-OCTA2 plugin; a Rust viewer depends on this crate and nothing else.
//!
//! ```text
//! viewer -> Plugin::load(path) -> Root (frozen) -> get_extension("sam_octa2.task/1") -> Task1 -> run(name, json, host)
//! ```
//! The rules (docs/abi.md): a published type never changes; growth is a new extension with a new number. The root has two
//! functions for ever. Each extension brings its own layout, compared on import, so that a missing or different extension costs a
//! viewer one feature and not the plugin. Libraries are never unloaded. No panic crosses the boundary in either direction.
//!
//! ```no_run
//! use sam_octa2_abi::Plugin;
//! let plugin = Plugin::load("target/release/libsam_octa2.so".as_ref())?;
//! let reply = plugin.task("info", r#"{"input": "stack.nii.gz"}"#, &mut ())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![allow(non_local_definitions, non_camel_case_types)] // abi_stable's generated code

mod api;
mod error;
mod host;
mod library_file;
mod loader;
pub mod raw;

pub use abi_stable;
pub use api::{Api, CancelToken, Element, Form, Mask, Model, Prompt, Script, Session, Slice, View, Volume};
pub use error::{ExtensionError, LoadError, LoadErrorKind, PluginError};
pub use host::{Flow, HostCalls, HostObserver, Severity};
pub use library_file::check_library_file;
pub use loader::Plugin;

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{ROption, RResult, RStr, RString};
use abi_stable::type_layout::TypeLayout;

/// The version of this interface: a viewer and a plugin go together while the first number is equal.
pub const ABI_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a plugin's library exports. Frozen: it never gets a third function.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = Root_Ref)))]
#[sabi(missing_field(panic))]
pub struct Root {
    /// `[any thread]` Who the plugin is, as JSON: `name`, `version`, `abi`, `extensions`, `tasks`, `torch`.
    pub manifest_json: extern "C" fn() -> RString,
    /// `[any thread]` The function table with this id (`sam_octa2.task/1`), or nothing. Ids are compared byte by byte.
    #[sabi(last_prefix_field)]
    pub get_extension: extern "C" fn(id: RStr<'_>) -> ROption<ExtensionPtr>,
}

impl RootModule for Root_Ref {
    abi_stable::declare_root_module_statics! {Root_Ref}
    const BASE_NAME: &'static str = "sam_octa2";
    const NAME: &'static str = "sam_octa2";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

/// An extension's function table before its layout was compared. [`Plugin::extension`] does that.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct ExtensionPtr {
    layout: &'static TypeLayout,
    table: *const (),
}

impl ExtensionPtr {
    /// What `get_extension` returns for `table`.
    pub fn new<E: Extension>(table: &'static E) -> Self {
        Self { layout: E::LAYOUT, table: std::ptr::from_ref(table).cast() }
    }

    /// The table as `E`, if its layout is what this side knows as `E`.
    pub fn import<E: Extension>(self) -> Result<&'static E, ExtensionError> {
        match abi_stable::abi_stability::abi_checking::check_layout_compatibility(E::LAYOUT, self.layout) {
            // Safety: `new` made the pointer from a `&'static` to a type of this layout, and E's layout equals it.
            Ok(()) if !self.table.is_null() => Ok(unsafe { &*self.table.cast::<E>() }),
            Ok(()) => Err(ExtensionError::layout(E::ID, "its function table is missing".to_owned())),
            Err(differences) => Err(ExtensionError::layout(E::ID, differences.to_string())),
        }
    }
}

/// A function table that a plugin offers under an id.
///
/// # Safety
/// A `#[repr(C)]` struct of `extern "C"` functions which stays as it is for ever once published under [`Extension::ID`].
pub unsafe trait Extension: StableAbi + Sync + 'static {
    /// `sam_octa2.<name>/<number>`
    const ID: &'static str;
}

/// Whole jobs, with requests and reports as JSON (docs/abi.md lists them).
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Task1 {
    /// `[any thread]` The names of the tasks: a JSON array of strings.
    pub list: extern "C" fn() -> RString,
    /// `[any thread; blocks it until done; concurrent calls allowed]` Does one task. The reply is a JSON object: `report` is the
    /// result for programs; `text`, where present, the same for people.
    pub run: extern "C" fn(name: RStr<'_>, request_json: RStr<'_>, host: &HostCalls) -> RResult<RString, PluginError>,
}

// Safety: repr(C), functions only, published as `/1`.
unsafe impl Extension for Task1 {
    const ID: &'static str = "sam_octa2.task/1";
}

/// What a viewer or `plugin check` needs to see that the boundary holds.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct SelfTest1 {
    /// `[any thread]` Panics inside; the caller gets an error with the code `panic`.
    pub panic: extern "C" fn(host: &HostCalls) -> RResult<(), PluginError>,
    /// `[any thread]` Returns its argument.
    pub echo: extern "C" fn(text: RStr<'_>) -> RResult<RString, PluginError>,
    /// `[any thread]` Sleeps, reporting progress every few milliseconds; may be cancelled.
    pub sleep: extern "C" fn(milliseconds: u64, host: &HostCalls) -> RResult<(), PluginError>,
}

// Safety: repr(C), functions only, published as `/1`.
unsafe impl Extension for SelfTest1 {
    const ID: &'static str = "sam_octa2.selftest/1";
}
