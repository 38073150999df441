//! libtorch in someone else's process. The system's loader knows libraries by their short names: where a viewer has loaded a libtorch
//! already, ours would be that one. The same version is shared; another one is refused here, before it can do harm.

use sam_octa2_abi::PluginError;
use sam_octa2_volumes::system;
use std::path::Path;

/// The version that the engine is built for.
const VERSION: &str = "2.13.0";

/// Is there a libtorch in this process, and is it ours?
pub fn check_process() -> Result<(), PluginError> {
    match system::loaded("libtorch_cpu.so") {
        Some(library) => check_version(&library, version_of(&library).as_deref()),
        None => Ok(()),
    }
}

fn check_version(library: &Path, version: Option<&str>) -> Result<(), PluginError> {
    let found = match version {
        Some(version) if version.split('+').next() == Some(VERSION) => return Ok(()),
        Some(version) => format!("libtorch {version}"),
        None => "a libtorch of unknown version".to_owned(),
    };
    let message = format!(
        "{found} is loaded in this process already ({}), but SAM-OCTA2 needs {VERSION}, and a process can hold only one; \
         use torch {VERSION} in this program, or segment in a process without torch (host-demo)",
        library.display()
    );
    Err(PluginError::new("torch", message))
}

/// What the folder of a libtorch says about itself: PyTorch's `torch/version.py`, libtorch's `build-version`.
fn version_of(library: &Path) -> Option<String> {
    let folder = library.parent()?.parent()?;
    if let Ok(text) = std::fs::read_to_string(folder.join("version.py")) {
        let line = text.lines().find(|line| line.starts_with("__version__"))?;
        return Some(line.split(['\'', '"']).nth(1)?.to_owned());
    }
    Some(std::fs::read_to_string(folder.join("build-version")).ok()?.trim().to_owned())
}

/// Why the engine could not be opened, in one sentence with a cure.
pub fn explain(engine: &Path, reason: &str) -> PluginError {
    let first = reason.lines().next().unwrap_or_default().trim();
    let about_torch =
        ["libtorch", "libc10", "libcudart", "libcupti", "libgomp"].iter().any(|name| reason.contains(name));
    let (code, cure) = if reason.contains("undefined symbol") {
        ("torch", format!("; another version of libtorch than {VERSION} is in this process or on LD_LIBRARY_PATH"))
    } else if about_torch {
        (
            "torch",
            format!(
                "; libtorch {VERSION} belongs in `libtorch/` beside it (make dist), or in the checkout (make setup)"
            ),
        )
    } else {
        ("io", String::new())
    };
    PluginError::new(code, format!("{}: cannot be loaded: {first}{cure}", engine.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_version_is_shared_and_another_refused() {
        let library = Path::new("/viewer/torch/lib/libtorch_cpu.so");
        assert!(check_version(library, Some("2.13.0+cu130")).is_ok());
        let error = check_version(library, Some("2.12.1+cpu")).unwrap_err();
        assert!(error.code == "torch" && error.message.contains("2.12.1+cpu is loaded"), "{error}");
        assert!(check_version(library, None).unwrap_err().message.contains("unknown version"));
    }

    #[test]
    fn a_libtorch_says_its_version() {
        let folder = std::env::temp_dir().join(format!("sam-octa2-torch-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("lib")).unwrap();
        let library = folder.join("lib/libtorch_cpu.so");
        assert_eq!(version_of(&library), None);
        std::fs::write(folder.join("build-version"), "2.9.0+cpu\n").unwrap();
        assert_eq!(version_of(&library).as_deref(), Some("2.9.0+cpu"));
        std::fs::write(folder.join("version.py"), "from x import y\n__version__ = '2.13.0+cu130'\n").unwrap();
        assert_eq!(version_of(&library).as_deref(), Some("2.13.0+cu130"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_missing_libtorch_comes_with_a_cure() {
        let error = explain(Path::new("e.so"), "libtorch_cpu.so: cannot open shared object file: No such file");
        assert!(error.code == "torch" && error.message.contains("make setup"), "{error}");
        assert_eq!(explain(Path::new("e.so"), "e.so: file too short").code, "io");
    }
}
