//! `glob("scans/**/*.nii.gz")`: walks the folders that the script may read, each once, and asks between two entries whether to go on.

use super::errors::Failure;
use super::files::Files;
use super::values::Checked;
use glob::{MatchOptions, Pattern};
use sam_octa2_core::progress;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// A hidden file is meant only where the pattern names the dot.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// One part of a pattern.
enum Part {
    /// a name as it is, or `..`
    Name(String),
    /// with `*`, `?` or `[...]`
    Like(Pattern),
    /// `**`
    Folders,
}

/// Walks once.
struct Walk<'a> {
    files: &'a Files,
    parts: &'a [Part],
    /// folders with the number of the part that was tried there: `**/**` would come by more than once
    tried: BTreeSet<(PathBuf, usize)>,
    found: BTreeSet<PathBuf>,
    most: usize,
}

/// The paths that fit, in natural order; more than `most` are an error.
pub fn glob(pattern: &str, files: &Files, most: usize) -> Checked<Vec<String>> {
    Pattern::new(pattern).map_err(|error| Failure::invalid(format!("glob: {pattern}: {error}")))?;
    let (start, parts) = parse(pattern)?;
    let named = parts.iter().map_while(|part| match part {
        Part::Name(name) => Some(name),
        _ => None,
    });
    let folder = named.fold(start.clone(), |folder, name| folder.join(name));
    if !files.leads_to_roots(&folder) {
        files.check_read(&folder)?; // nothing below it may be read: an empty list would hide that
    }
    let mut walk = Walk { files, parts: &parts, tried: BTreeSet::new(), found: BTreeSet::new(), most };
    walk.go(&start, 0)?;
    let mut paths: Vec<String> = walk.found.iter().map(|path| path.display().to_string()).collect();
    paths.sort_by(|a, b| natord::compare(a, b));
    Ok(paths)
}

/// Where a pattern begins, and its parts.
fn parse(pattern: &str) -> Checked<(PathBuf, Vec<Part>)> {
    let (mut start, mut parts) = (PathBuf::new(), Vec::new());
    for component in Path::new(pattern).components() {
        let name = component.as_os_str().to_string_lossy().into_owned();
        match component {
            Component::Prefix(_) | Component::RootDir => start.push(component),
            Component::CurDir => {}
            _ if name == "**" => {
                if !matches!(parts.last(), Some(Part::Folders)) {
                    parts.push(Part::Folders);
                }
            }
            _ if name.contains(['*', '?', '[']) => {
                let like =
                    Pattern::new(&name).map_err(|error| Failure::invalid(format!("glob: {pattern}: {error}")))?;
                parts.push(Part::Like(like));
            }
            _ => parts.push(Part::Name(name)),
        }
    }
    Ok((start, parts))
}

impl Walk<'_> {
    fn go(&mut self, at: &Path, part: usize) -> Checked<()> {
        progress::check()?;
        let Some(wanted) = self.parts.get(part) else { return self.keep(at) };
        if !self.files.leads_to_roots(at) || !self.tried.insert((at.to_path_buf(), part)) {
            return Ok(());
        }
        match wanted {
            Part::Name(name) => {
                let path = at.join(name);
                if path.symlink_metadata().is_ok() { self.go(&path, part + 1) } else { Ok(()) }
            }
            Part::Like(like) => {
                let fits = |name: &str| like.matches_with(name, OPTIONS);
                names(at).into_iter().filter(|name| fits(name)).try_for_each(|name| self.go(&at.join(name), part + 1))
            }
            Part::Folders => {
                self.go(at, part + 1)?;
                let folder = |name: &String| {
                    let real = at.join(name).symlink_metadata(); // links may lead in circles
                    !name.starts_with('.') && real.is_ok_and(|real| real.is_dir())
                };
                names(at).into_iter().filter(folder).try_for_each(|name| self.go(&at.join(name), part))
            }
        }
    }

    fn keep(&mut self, path: &Path) -> Checked<()> {
        if self.files.check_read(path).is_ok() && !path.as_os_str().is_empty() {
            self.found.insert(path.to_path_buf());
        }
        match self.found.len() > self.most {
            true => Err(Failure::invalid(format!(
                "glob: more than {} files: the limit (the host can raise `limits.array_elements`; host-demo: --limit array_elements=N)",
                self.most
            ))),
            false => Ok(()),
        }
    }
}

/// What a folder holds; nothing where it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_what_they_say() {
        let root = std::env::temp_dir().join(format!("sam-octa2-glob-{}", std::process::id()));
        for file in ["a/1.nii", "a/2.nii", "a/10.nii", "a/b/c/3.nii", "a/.hidden.nii", "x.txt"] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let paths = glob(&root.join(pattern).display().to_string(), &Files::default(), 100).unwrap();
            let within = |path: &String| Path::new(path).strip_prefix(&root).unwrap().display().to_string();
            paths.iter().map(within).collect()
        };
        assert_eq!(found("a/*.nii"), ["a/1.nii", "a/2.nii", "a/10.nii"]);
        assert_eq!(found("**/*.nii").len(), 4);
        assert_eq!(found("**/**/**/3.nii"), ["a/b/c/3.nii"]);
        assert_eq!(found("a/[12].nii"), ["a/1.nii", "a/2.nii"]);
        assert_eq!(found("a/../x.tx?"), ["a/../x.txt"]);
        assert!(found("gone/*").is_empty() && found("a/.h*").len() == 1);
        assert!(glob("a[", &Files::default(), 1).is_err());
        assert!(glob(&root.join("a/*").display().to_string(), &Files::default(), 2).is_err());
        std::fs::remove_dir_all(&root).unwrap();
    }
}
