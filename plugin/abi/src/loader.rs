//! Opens a plugin's library and finds its extensions; everything that can be wrong with the file is a sentence.

use crate::api::Api;
use crate::error::{ExtensionError, LoadError, LoadErrorKind, PluginError};
use crate::raw::Tables;
use crate::{Extension, HostCalls, HostObserver, Root_Ref, SelfTest1, Task1, check_library_file};
use abi_stable::library::{LibraryError, lib_header_from_path};
use std::path::{Path, PathBuf};

/// A loaded plugin. Its library stays in the process for ever, also when this value is dropped.
#[derive(Clone)]
pub struct Plugin {
    path: PathBuf,
    root: Root_Ref,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Plugin {
    /// Loads the library. The file is looked at first: a text file or half a library never reaches the system's loader.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        check_library_file(path)?;
        let absolute = path
            .canonicalize()
            .map_err(|error| LoadError::new(LoadErrorKind::NotFound, path, format!("cannot be read: {error}")))?;
        // not RootModule::load_from_file: that one remembers the first library of a type for the whole process
        let root = lib_header_from_path(&absolute)
            .and_then(|header| header.init_root_module::<Root_Ref>())
            .map_err(|error| explain(path, &error))?;
        Ok(Self { path: absolute, root })
    }

    /// Where the library lies, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who the plugin is, as JSON: `name`, `version`, `abi`, `extensions`, `tasks`, `torch`.
    pub fn manifest_json(&self) -> String {
        self.root.manifest_json()().into()
    }

    /// Does the plugin have something under this id? Its layout is not looked at.
    pub fn has_extension(&self, id: &str) -> bool {
        self.root.get_extension()(id.into()).is_some()
    }

    /// The extension `E`, after comparing its layout.
    pub fn extension<E: Extension>(&self) -> Result<&'static E, ExtensionError> {
        match self.root.get_extension()(E::ID.into()).into_option() {
            Some(pointer) => pointer.import(),
            None => Err(ExtensionError::Missing { id: E::ID }),
        }
    }

    /// The plugin's functions beyond whole tasks: volumes, models, sessions, masks, scripts.
    pub fn api(&self) -> Result<Api, ExtensionError> {
        // Safety: the plugin offers them under the ids of this interface, with its layouts.
        Ok(unsafe { Api::from_tables(self.tables()?) })
    }

    /// The function tables behind [`Plugin::api`].
    pub fn tables(&self) -> Result<Tables, ExtensionError> {
        macro_rules! tables {
            ($($(#[$about:meta])+ $module:ident $table:ident $id:literal $prefix:literal { $($functions:tt)+ })+) => {
                Tables { $($module: *self.extension()?,)+ }
            };
        }
        Ok(crate::functions!(tables))
    }

    /// The names of the tasks: a JSON array of strings.
    pub fn tasks_json(&self) -> Result<String, PluginError> {
        Ok((self.extension::<Task1>()?.list)().into())
    }

    /// Does one task and blocks until it is done. Request and reply are JSON (docs/abi.md).
    pub fn task(&self, name: &str, request: &str, observer: &mut dyn HostObserver) -> Result<String, PluginError> {
        let task = self.extension::<Task1>()?;
        HostCalls::scope(observer, |host| (task.run)(name.into(), request.into(), host)).into_result().map(String::from)
    }

    /// Has the plugin return the text.
    pub fn selftest_echo(&self, text: &str) -> Result<String, PluginError> {
        (self.extension::<SelfTest1>()?.echo)(text.into()).into_result().map(String::from)
    }

    /// Has the plugin panic inside; the answer of a sound plugin is an error with the code `panic`.
    pub fn selftest_panic(&self, observer: &mut dyn HostObserver) -> Result<(), PluginError> {
        let selftest = self.extension::<SelfTest1>()?;
        HostCalls::scope(observer, |host| (selftest.panic)(host)).into_result()
    }

    /// Has the plugin sleep, with progress, until it is done or cancelled.
    pub fn selftest_sleep(&self, milliseconds: u64, observer: &mut dyn HostObserver) -> Result<(), PluginError> {
        let selftest = self.extension::<SelfTest1>()?;
        HostCalls::scope(observer, |host| (selftest.sleep)(milliseconds, host)).into_result()
    }
}

/// One sentence for each way in which abi_stable refuses a library; its own text (up to 50 kB) goes to the detail.
fn explain(path: &Path, error: &LibraryError) -> LoadError {
    let (kind, message) = match error {
        LibraryError::OpenError { err, .. } => (LoadErrorKind::Open, cannot_open(&reason(err.as_ref()))),
        LibraryError::GetSymbolError { .. } => {
            (LoadErrorKind::NotAPlugin, "a shared library, but not a SAM-OCTA2 plugin".to_owned())
        }
        LibraryError::InvalidAbiHeader(found) => (
            LoadErrorKind::Incompatible,
            format!(
                "built with abi_stable {}.{}, but this program needs {}; take the plugin that belongs to this program",
                found.abi_major, found.abi_minor, "0.11"
            ),
        ),
        LibraryError::IncompatibleVersionNumber { expected_version, actual_version, .. } => (
            LoadErrorKind::Incompatible,
            format!("offers interface version {actual_version}, but this program needs {expected_version}"),
        ),
        LibraryError::AbiInstability(_) | LibraryError::ParseVersionError(_) | LibraryError::InvalidCAbi { .. } => (
            LoadErrorKind::Incompatible,
            "a plugin of another make: its interface is laid out differently from this program's".to_owned(),
        ),
        LibraryError::RootModule { .. } => (LoadErrorKind::Start, "the plugin failed while it started".to_owned()),
        LibraryError::Many(errors) => match errors.first() {
            Some(first) => return explain(path, first),
            None => (LoadErrorKind::Incompatible, "cannot be loaded".to_owned()),
        },
    };
    LoadError::new(kind, path, message).with_detail(error.to_string())
}

/// The innermost reason, which is the system loader's own text.
fn reason(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => reason(source),
        None => error.to_string(),
    }
}

/// The system loader's text, with advice where the cause is known.
fn cannot_open(reason: &str) -> String {
    let first = reason.lines().next().unwrap_or_default().trim();
    let torch = ["libtorch", "libc10", "libcudart", "libcupti", "libgomp"].iter().any(|name| reason.contains(name));
    let advice = if torch && reason.contains("undefined symbol") {
        "; another version of libtorch is in this process or on LD_LIBRARY_PATH"
    } else if torch {
        "; libtorch is not where the plugin looks: beside it in `libtorch/`, or in the checkout after `make setup`"
    } else {
        ""
    };
    format!("cannot be loaded: {first}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_libtorch_comes_with_advice() {
        let text = cannot_open("libtorch_cpu.so: cannot open shared object file: No such file or directory");
        assert!(text.contains("libtorch_cpu.so: cannot open") && text.contains("make setup"), "{text}");
        assert!(!cannot_open("libfoo.so: cannot open shared object file").contains("libtorch"));
    }
}
