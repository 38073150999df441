//! The text at the beginning of an NRRD file: fields (`type: short`) and key/value pairs (`key:=value`).
//!
//! Standard: <https://teem.sourceforge.net/nrrd/format.html>.

use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// no header is longer; Slicer's with hundreds of segments have some hundred kB
const MAX_HEADER: u64 = 16 << 20;

/// What the header says, not yet understood.
#[derive(Debug)]
pub(super) struct Header {
    /// by their names in lower case without spaces
    fields: BTreeMap<String, String>,
    /// in their order
    pub pairs: Vec<(String, String)>,
    /// where the voxels begin, if they are in the same file
    pub end: u64,
}

impl Header {
    /// Reads the text up to the first empty line, or to the end of a detached header.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let mut reader = BufReader::new(file.take(MAX_HEADER));
        let mut header = Self { fields: BTreeMap::new(), pairs: Vec::new(), end: 0 };
        let mut line = Vec::new();
        for number in 0.. {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(Error::io(path))?;
            header.end += read as u64;
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            if number == 0 {
                magic(path, text)?;
            } else if text.is_empty() {
                break;
            } else if !text.starts_with('#') {
                header.line(path, text)?;
            }
        }
        if header.end >= MAX_HEADER {
            return Err(Error::format(path, format!("has an NRRD header of more than {MAX_HEADER} bytes: damaged")));
        }
        Ok(header)
    }

    fn line(&mut self, path: &Path, text: &str) -> Result<()> {
        // whichever comes first: a value may hold the other
        let pair = text.find(":=").filter(|at| text.find(": ").is_none_or(|field| *at < field));
        if let Some(at) = pair {
            self.pairs.push((text[..at].to_owned(), unescaped(&text[at + 2..])));
            return Ok(());
        }
        let Some((name, value)) = text.split_once(':') else {
            let start: String = text.chars().take(40).collect();
            return Err(Error::format(path, format!("has a line in its NRRD header that is no field: {start:?}")));
        };
        let name = name.to_lowercase().replace(' ', "");
        if self.fields.insert(name.clone(), value.trim().to_owned()).is_some() {
            return Err(Error::format(path, format!("says {name} twice in its NRRD header")));
        }
        Ok(())
    }

    /// A field by one of its names.
    pub fn field(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.fields.get(*name)).map(String::as_str)
    }

    /// The same, which must be there.
    pub fn wanted(&self, path: &Path, names: &[&str]) -> Result<&str> {
        self.field(names).ok_or_else(|| {
            Error::format(path, format!("says no {} in its NRRD header: damaged, or not NRRD", names[0]))
        })
    }

    /// The value of a key.
    pub fn pair(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

fn magic(path: &Path, line: &str) -> Result<()> {
    match line.strip_prefix("NRRD") {
        Some(version) if version.len() == 4 && version.bytes().all(|b| b.is_ascii_digit()) => match version {
            "0001" | "0002" | "0003" | "0004" | "0005" => Ok(()),
            _ => Err(Error::Unsupported(format!(
                "{}: is NRRD version {version}; versions up to 5 are known",
                path.display()
            ))),
        },
        _ => Err(Error::format(path, "is not an NRRD file (it does not begin with NRRD and a version)")),
    }
}

/// `\n` and `\\` in values.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.clone().next()) {
            ('\\', Some('n')) => {
                letters.next();
                out.push('\n');
            }
            ('\\', Some('\\')) => {
                letters.next();
                out.push('\\');
            }
            _ => out.push(letter),
        }
    }
    out
}
