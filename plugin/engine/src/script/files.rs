//! Which files a script may read and write: those below the folders that the host grants, after links are followed.

use super::errors::Failure;
use super::values::{Checked, text};
use rhai::Dynamic;
use serde::Deserialize;
use std::path::{Component, Path, PathBuf};

/// The folders (or single files) that a host grants. Absent: everything.
#[derive(Deserialize, Debug, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct Roots {
    /// to read from; what may be written may be read, too
    #[serde(default)]
    read: Option<Vec<PathBuf>>,
    /// to write to
    #[serde(default)]
    write: Option<Vec<PathBuf>>,
}

/// The same with links followed.
#[derive(Debug, Default)]
pub struct Files {
    read: Option<Vec<PathBuf>>,
    write: Option<Vec<PathBuf>>,
}

impl From<&Roots> for Files {
    fn from(roots: &Roots) -> Self {
        // a root that leads nowhere grants nothing: every path begins with an empty one
        let real = |paths: &Vec<PathBuf>| {
            paths.iter().map(|path| resolved(path)).filter(|root| root.is_absolute()).collect::<Vec<_>>()
        };
        let write = roots.write.as_ref().map(real);
        let read = roots.read.as_ref().map(|paths| [real(paths), write.clone().unwrap_or_default()].concat());
        Self { read, write }
    }
}

impl Files {
    /// An argument that names a file to read.
    pub fn readable(&self, what: &str, path: &Dynamic) -> Checked<PathBuf> {
        let path = PathBuf::from(text(what, path)?);
        self.check_read(&path)?;
        Ok(path)
    }

    /// An argument that names a file to write.
    pub fn writable(&self, what: &str, path: &Dynamic) -> Checked<PathBuf> {
        let path = PathBuf::from(text(what, path)?);
        self.check_write(&path)?;
        Ok(path)
    }

    /// May this be written?
    pub fn check_write(&self, path: &Path) -> Checked<()> {
        check(path, self.write.as_deref(), "write", "roots.write; host-demo: --allow DIR")
    }

    /// May this be read?
    pub fn check_read(&self, path: &Path) -> Checked<()> {
        check(path, self.read.as_deref(), "read", "roots.read; host-demo: --allow DIR")
    }
}

fn check(path: &Path, roots: Option<&[PathBuf]>, verb: &str, how: &str) -> Checked<()> {
    let Some(roots) = roots else { return Ok(()) };
    let real = resolved(path);
    if roots.iter().any(|root| real.starts_with(root)) {
        return Ok(());
    }
    Err(Failure {
        code: "refused",
        message: format!("{}: scripts may not {verb} here; the host can grant it ({how})", path.display()),
    })
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
        let files = Files::from(&roots);
        let reads = |path: &str| files.readable("x", &root.join(path).display().to_string().into()).is_ok();
        let writes = |path: &str| files.writable("x", &root.join(path).display().to_string().into()).is_ok();
        assert!(reads("in/a.nii") && reads("in/deep/../a.nii") && reads("in/inside/b"));
        assert!(!reads("in/../a") && !reads("a") && !reads("in/etc/passwd") && !reads("in/dangling"));
        assert!(!reads("in/new/../../../a") && !reads("in2/a"));
        assert!(writes("in/deep/new/a") && writes("in/inside/a"));
        assert!(!writes("in/a") && !writes("in/dangling") && !writes("in/deep/../a"));
        let error = files.writable("x", &"/etc/passwd".into()).unwrap_err();
        assert!(error.code == "refused" && error.message.contains("may not write here"), "{}", error.message);
        let empty = Files::from(&Roots { read: Some(vec![PathBuf::new()]), write: Some(Vec::new()) });
        assert!(empty.readable("x", &"/etc/passwd".into()).is_err(), "an empty root is the current folder");
        assert!(Files::default().readable("x", &"/etc/passwd".into()).is_ok());
        std::fs::remove_dir_all(&root).unwrap();
    }
}
