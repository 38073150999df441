//! Errors of both sides: what a plugin returns, and why a library could not be used as a plugin.

use abi_stable::StableAbi;
use abi_stable::std_types::RString;
use std::fmt;
use std::path::{Path, PathBuf};

/// What a plugin's function returns when it fails. Frozen.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Eq)]
pub struct PluginError {
    /// stable name of the kind: `io`, `format`, `not_found`, `invalid_argument`, `unsupported`, `device`, `torch`, `cancelled`,
    /// `script`, `panic`
    pub code: RString,
    /// one sentence for the person at the viewer
    pub message: RString,
    /// more for programs: a JSON object, `{}` if there is nothing to add
    pub detail_json: RString,
}

impl PluginError {
    /// An error without detail.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into().into(), detail_json: "{}".into() }
    }

    /// The same with a JSON object for programs.
    pub fn with_detail(mut self, detail_json: impl Into<String>) -> Self {
        self.detail_json = detail_json.into().into();
        self
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PluginError {}

/// Why a library cannot be used as a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// there is no such file, or it cannot be read
    NotFound,
    /// the file is no shared library of this machine
    NotALibrary,
    /// the file ends before the library does
    Truncated,
    /// the system's loader refused it: something that it needs is missing
    Open,
    /// a shared library, but no plugin
    NotAPlugin,
    /// a plugin built with another version of abi_stable or another interface
    Incompatible,
    /// the plugin itself failed while it started
    Start,
}

impl LoadErrorKind {
    /// The stable name of the kind, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotALibrary => "not_a_library",
            Self::Truncated => "truncated",
            Self::Open => "open",
            Self::NotAPlugin => "not_a_plugin",
            Self::Incompatible => "incompatible",
            Self::Start => "start",
        }
    }
}

/// Why [`Plugin::load`](crate::Plugin::load) failed: one sentence, and the long text behind it.
#[derive(Clone, Debug)]
pub struct LoadError {
    /// what sort of failure
    pub kind: LoadErrorKind,
    /// the file
    pub path: PathBuf,
    /// one sentence for the person at the viewer
    pub message: String,
    /// the loader's full text; for a layout that differs, thousands of lines
    pub detail: String,
}

impl LoadError {
    pub(crate) fn new(kind: LoadErrorKind, path: &Path, message: impl Into<String>) -> Self {
        Self { kind, path: path.to_path_buf(), message: message.into(), detail: String::new() }
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for LoadError {}

/// Why an extension cannot be used; the rest of the plugin can.
#[derive(Clone, Debug)]
pub enum ExtensionError {
    /// the plugin does not have it
    Missing {
        /// the extension's id
        id: &'static str,
    },
    /// the plugin has something else under this id
    Layout {
        /// the extension's id
        id: &'static str,
        /// what differs, in many lines
        detail: String,
    },
}

impl ExtensionError {
    pub(crate) fn layout(id: &'static str, detail: String) -> Self {
        Self::Layout { id, detail }
    }
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { id } => write!(f, "the plugin does not have the extension `{id}`"),
            Self::Layout { id, .. } => {
                write!(f, "the plugin's extension `{id}` is laid out differently from this program's")
            }
        }
    }
}

impl std::error::Error for ExtensionError {}

impl From<ExtensionError> for PluginError {
    fn from(error: ExtensionError) -> Self {
        Self::new("unsupported", error.to_string())
    }
}
