//! Which files a script may read and write: those below the folders that the host grants, after links are followed; no devices, no pipes; and
//! nothing over the script itself or what it opened.

use super::errors::Failure;
use super::modules::Modules;
use super::values::{Checked, text};
use rhai::Dynamic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The folders (or single files) that a host grants; what is not named is denied.
#[derive(Serialize, Deserialize, Debug, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct Roots {
    /// to read from; what may be written may be read, too
    #[serde(default)]
    read: Option<Vec<PathBuf>>,
    /// to write to
    #[serde(default)]
    write: Option<Vec<PathBuf>>,
}

/// The same with links followed, and what the script did so far.
#[derive(Default)]
pub struct Files {
    read: Option<Vec<PathBuf>>,
    write: Option<Vec<PathBuf>>,
    script: Option<PathBuf>,
    modules: Option<Arc<Modules>>,
    touched: Mutex<Touched>,
}

#[derive(Default)]
struct Touched {
    /// what was opened and not written by this script
    inputs: BTreeSet<PathBuf>,
    outputs: BTreeSet<PathBuf>,
}

impl Files {
    /// What the host grants to the script that lies at `script`; without `roots` everything.
    pub fn new(roots: Option<&Roots>, script: Option<&Path>, modules: Arc<Modules>) -> Self {
        // a root that leads nowhere grants nothing: every path begins with an empty one
        let real = |paths: &Option<Vec<PathBuf>>| {
            let paths = paths.iter().flatten().map(|path| resolved(path));
            paths.filter(|root| root.is_absolute()).collect::<Vec<_>>()
        };
        let write = roots.map(|roots| real(&roots.write));
        let read = roots.map(|roots| [real(&roots.read), real(&roots.write)].concat());
        let (script, modules) = (script.map(resolved), Some(modules));
        Self { read, write, script, modules, touched: Mutex::default() }
    }

    /// An argument that names a file to look at.
    pub fn readable(&self, what: &str, path: &Dynamic) -> Checked<PathBuf> {
        let path = PathBuf::from(text(what, path)?);
        self.check_read(&path)?;
        Ok(path)
    }

    /// An argument that names a file to work on: from now on the script may not write over it, unless it wrote it itself.
    pub fn input(&self, what: &str, path: &Dynamic) -> Checked<PathBuf> {
        let path = self.readable(what, path)?;
        self.opened(&path);
        Ok(path)
    }

    /// Remembers what the script works on.
    pub fn opened(&self, path: &Path) {
        let (path, mut touched) = (resolved(path), self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        if !touched.outputs.contains(&path) {
            touched.inputs.insert(path);
        }
    }

    /// An argument that names a file to write.
    pub fn writable(&self, what: &str, path: &Dynamic) -> Checked<PathBuf> {
        let path = PathBuf::from(text(what, path)?);
        self.check_write(&path)?;
        Ok(path)
    }

    /// May this be written? If so, the script may write it again later.
    pub fn check_write(&self, path: &Path) -> Checked<()> {
        let real = granted(path, self.write.as_deref(), "write", "roots.write; host-demo: --allow DIR")?;
        let imported = self.modules.as_ref().is_some_and(|modules| modules.knows(&real));
        if imported || self.script.as_ref() == Some(&real) {
            return Err(refused(path, "a script may not write over itself or what it imports"));
        }
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if touched.inputs.contains(&real) {
            return Err(refused(
                path,
                "the script opened it: writing here would overwrite the input; name another output",
            ));
        }
        touched.outputs.insert(real);
        Ok(())
    }

    /// May this be read?
    pub fn check_read(&self, path: &Path) -> Checked<()> {
        granted(path, self.read.as_deref(), "read", "roots.read; host-demo: --allow DIR").map(drop)
    }

    /// Can there be anything to read below this folder?
    pub fn leads_to_roots(&self, folder: &Path) -> bool {
        let Some(roots) = &self.read else { return true };
        let folder = resolved(folder);
        roots.iter().any(|root| root.starts_with(&folder) || folder.starts_with(root))
    }
}

/// The path with links followed, if it is a file or a folder (or nothing yet) below the roots.
fn granted(path: &Path, roots: Option<&[PathBuf]>, verb: &str, how: &str) -> Checked<PathBuf> {
    if path.to_string_lossy().contains('\0') {
        return Err(Failure::invalid(format!(
            "{}: no file has a zero in its name",
            path.to_string_lossy().escape_debug()
        )));
    }
    let real = resolved(path);
    if !roots.is_none_or(|roots| roots.iter().any(|root| real.starts_with(root))) {
        return Err(refused(path, &format!("scripts may not {verb} here; the host can grant it ({how})")));
    }
    let system = cfg!(unix) && ["/proc", "/sys", "/dev"].iter().any(|folder| real.starts_with(folder));
    if system || std::fs::metadata(&real).is_ok_and(|is| !is.is_file() && !is.is_dir()) {
        return Err(refused(
            path,
            "is no plain file or folder; scripts may not touch devices, pipes and files of the system",
        ));
    }
    Ok(real)
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure { code: "refused", message: format!("{}: {why}", path.display()) }
}

/// The path with links followed as far as it exists; `..` in what does not exist yet is taken out.
fn resolved(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut real = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                real.pop();
            }
            other => {
                real.push(other);
                // a link that leads nowhere is followed, too: something may be written through it
                for _ in 0..40 {
                    match std::fs::read_link(&real) {
                        Ok(target) => real = real.parent().unwrap_or(Path::new("/")).join(target),
                        Err(_) => break,
                    }
                }
                if let Ok(canonical) = real.canonicalize() {
                    real = canonical;
                }
            }
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use super::super::rewrite::Tokens;
    use super::*;

    #[test]
    #[cfg(unix)]
    fn links_and_dots_lead_nowhere_else() {
        let root = std::env::temp_dir().join(format!("sam-octa2-roots-{}", std::process::id()));
        std::fs::create_dir_all(root.join("in/deep")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("in/etc")).unwrap();
        std::os::unix::fs::symlink("/etc/new-file", root.join("in/dangling")).unwrap();
        std::os::unix::fs::symlink(root.join("in/deep"), root.join("in/inside")).unwrap();
        let roots = Roots { read: Some(vec![root.join("in")]), write: Some(vec![root.join("in/deep")]) };
        let files =
            |roots: &Roots| Files::new(Some(roots), None, Arc::new(Modules::new(None, None, Tokens::default())));
        let granted = files(&roots);
        let reads = |path: &str| granted.readable("x", &root.join(path).display().to_string().into()).is_ok();
        let writes = |path: &str| granted.writable("x", &root.join(path).display().to_string().into()).is_ok();
        assert!(reads("in/a.nii") && reads("in/deep/../a.nii") && reads("in/inside/b"));
        assert!(!reads("in/../a") && !reads("a") && !reads("in/etc/passwd") && !reads("in/dangling"));
        assert!(!reads("in/new/../../../a") && !reads("in2/a"));
        assert!(writes("in/deep/new/a") && writes("in/inside/a"));
        assert!(!writes("in/a") && !writes("in/dangling") && !writes("in/deep/../a"));
        let error = granted.writable("x", &"/etc/passwd".into()).unwrap_err();
        assert!(error.code == "refused" && error.message.contains("may not write here"), "{}", error.message);
        let empty = files(&Roots { read: Some(vec![PathBuf::new()]), write: Some(Vec::new()) });
        assert!(empty.readable("x", &"/etc/passwd".into()).is_err(), "an empty root is the current folder");
        let (inside, outside) = (root.join("in/a").display().to_string(), root.join("a").display().to_string());
        let only = |read: Option<&str>, write: Option<&str>| {
            let paths = |name: Option<&str>| name.map(|name| vec![root.join(name)]);
            let files = files(&Roots { read: paths(read), write: paths(write) });
            [&inside, &outside]
                .map(|path| (files.readable("x", &path.into()).is_ok(), files.writable("x", &path.into()).is_ok()))
        };
        assert_eq!(only(None, None), [(false, false), (false, false)], "nothing named, nothing granted");
        assert_eq!(only(Some("in"), None), [(true, false), (false, false)], "to read is not to write");
        assert_eq!(only(None, Some("in")), [(true, true), (false, false)], "what may be written may be read");
        assert!(Files::default().readable("x", &"/etc/passwd".into()).is_ok());
        std::fs::remove_dir_all(&root).unwrap();
    }
}
