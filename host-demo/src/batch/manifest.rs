//! The cases of a run: from a table (CSV, TSV), JSON Lines or a folder (`folder`) to a list sorted by name, byte by byte.

use super::folder;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Columns that name a file or a folder, whatever they hold.
const PATHS: [&str; 4] = ["volume", "prompts", "labels", "adapter"];

/// The longest name of a case, in bytes: with `.json` it must still be the name of a file.
const LONGEST: usize = 200;

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// its name, and the name of its files
    pub case: String,
    /// what is segmented
    pub volume: PathBuf,
    /// the other columns: text, or any JSON value; those that name files are resolved
    #[serde(flatten)]
    pub values: Map<String, Value>,
}

impl Case {
    /// The columns that name files which are there or should be.
    pub fn files(&self) -> Vec<(&str, &Path)> {
        let others = self.values.iter().filter_map(|(key, value)| Some((key.as_str(), Path::new(value.as_str()?))));
        let others = others.filter(|(key, path)| PATHS.contains(key) || (path.is_absolute() && path.exists()));
        std::iter::once(("volume", self.volume.as_path())).chain(others).collect()
    }
}

/// Reads the cases, sorted; every mistake names its line. `plugin` is what `--plugin` said.
pub fn read(path: &Path, plugin: Option<&Path>) -> anyhow::Result<Vec<Case>> {
    let here = std::path::absolute(path).with_context(|| path.display().to_string())?;
    let mut cases = if here.is_dir() {
        folder::cases(&here, plugin)?
    } else {
        let text = std::fs::read(&here).with_context(|| path.display().to_string())?;
        let text = String::from_utf8(text).ok().with_context(|| format!("{}: not UTF-8 text", path.display()))?;
        let text = text.trim_start_matches('\u{feff}');
        let rows = match here.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("jsonl" | "ndjson") => json_lines(text),
            Some("csv" | "tsv" | "txt") => table(text),
            _ if text.trim_start().starts_with('{') => json_lines(text),
            _ => table(text),
        };
        let base = here.parent().unwrap_or(Path::new("/"));
        let cases = rows.and_then(|rows| {
            rows.into_iter().map(|(line, row)| case(row, base).with_context(|| format!("line {line}"))).collect()
        });
        cases.with_context(|| path.display().to_string())?
    };
    check_names(&cases).with_context(|| path.display().to_string())?;
    cases.sort_by(|a, b| a.case.cmp(&b.case));
    Ok(cases)
}

/// Rows with their line numbers.
type Rows = Vec<(u64, Map<String, Value>)>;

fn json_lines(text: &str) -> anyhow::Result<Rows> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(at, line): (usize, &str)| {
        let row = serde_json::from_str(line).with_context(|| format!("line {}: expected a JSON object", at + 1))?;
        Ok((at as u64 + 1, row))
    };
    lines.map(row).collect()
}

/// A table whose first line names the columns, separated by commas, tabs or semicolons: whichever the first line has.
fn table(text: &str) -> anyhow::Result<Rows> {
    let head = text.lines().next().unwrap_or_default();
    let separator = [b',', b'\t', b';'].into_iter().find(|&separator| head.contains(char::from(separator)));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator.unwrap_or(b','))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let columns = reader.headers().context("line 1")?.clone();
    if let Some(missing) = ["case", "volume"].into_iter().find(|name| !columns.iter().any(|column| column == *name)) {
        let there: Vec<&str> = columns.iter().collect();
        bail!(
            "line 1: there is no column `{missing}`; a manifest has at least case,volume, this one has {}",
            there.join(",")
        );
    }
    if let Some(twice) =
        columns.iter().enumerate().find(|(at, name)| columns.iter().take(*at).any(|other| other == *name))
    {
        bail!("line 1: there are two columns `{}`", twice.1);
    }
    let row = |row: csv::Result<csv::StringRecord>| {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        let cells = columns.iter().zip(row.iter()).filter(|(_, cell)| !cell.is_empty());
        Ok((line, cells.map(|(column, cell)| (column.to_owned(), Value::from(cell))).collect()))
    };
    reader.records().map(row).collect()
}

fn case(mut row: Map<String, Value>, base: &Path) -> anyhow::Result<Case> {
    let mut taken = |key: &str| match row.remove(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::String(_) | Value::Null) | None => bail!("`{key}` is missing"),
        Some(other) => bail!("`{key}`: expected text, got {other}"),
    };
    let (case, volume) = (taken("case")?, taken("volume")?);
    let values = row.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| {
        let found = value.as_str().and_then(|text| path_of(&key, text, base));
        let value = found.map_or(value, |path| path.to_string_lossy().into_owned().into());
        (key, value)
    });
    let values: Map<String, Value> = values.collect();
    if let Some(own) = ["input", "out"].into_iter().find(|own| values.contains_key(*own)) {
        bail!("the column `{own}` has a meaning of its own here; call it something else");
    }
    Ok(Case { case, volume: resolved(&volume, base), values })
}

/// The path that a cell names: of a column that holds paths always, of another one where there is such a file.
fn path_of(column: &str, text: &str, base: &Path) -> Option<PathBuf> {
    let path = resolved(text, base);
    let looks_like_one = text.contains(['/', '.']) && path.exists();
    (PATHS.contains(&column) || looks_like_one).then_some(path)
}

/// Paths count from the manifest's folder; what is not there, from the current one.
fn resolved(text: &str, base: &Path) -> PathBuf {
    let beside = base.join(text);
    match std::path::absolute(text) {
        Ok(from_here) if !beside.exists() && from_here.exists() => from_here,
        _ => beside,
    }
}

fn check_names(cases: &[Case]) -> anyhow::Result<()> {
    let mut seen = HashMap::new();
    for case in cases {
        let name = case.case.as_str();
        let odd = name.len() > LONGEST
            || name.starts_with(['.', '-'])
            || name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | ':'));
        if odd {
            bail!(
                "the case {name:?} cannot be the name of a file: at most {LONGEST} bytes, no / \\ : or control characters, no dot or dash in front"
            );
        }
        if let Some(other) = seen.insert(name.to_lowercase(), &case.volume) {
            bail!(
                "the case {name:?} is there twice: {} and {}; every case needs a name of its own",
                other.display(),
                case.volume.display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(name: &str, text: &str) -> Result<Vec<Case>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there.png"), "").unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path, None).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn tables_and_json_lines_say_the_same() {
        let table =
            read_as("a.csv", "\u{feff}case,volume,prompts,eye,mask\nb,/v/b.nii,p.json,right,there.png\na,v/a.nii,,,\n")
                .unwrap();
        assert_eq!(table.iter().map(|case| case.case.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(table[0].volume.ends_with("v/a.nii") && table[0].volume.is_absolute());
        assert!(table[0].values.is_empty());
        assert!(Path::new(table[1].values["prompts"].as_str().unwrap()).is_absolute());
        assert!(table[1].values["mask"].as_str().unwrap().ends_with("/there.png"));
        let files: Vec<&str> = table[1].files().into_iter().map(|(column, _)| column).collect();
        assert_eq!(files, ["volume", "prompts"], "the mask's folder is gone by now");
        let semicolons = read_as("a.csv", "case;volume\n1;x.nii\n").unwrap();
        let lines = read_as("a.jsonl", "{\"case\": 1, \"volume\": \"x.nii\", \"n\": 2}\n\n").unwrap();
        assert_eq!(
            (&semicolons[0].case, lines[0].case.as_str(), &lines[0].values["n"]),
            (&"1".to_owned(), "1", &Value::from(2))
        );
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, says) in [
            ("case,file\na,b\n", "no column `volume`"),
            ("case,volume\na\n", "line: 2"),
            ("case,volume\na,b\n,b\n", "line 3: `case` is missing"),
            ("case,volume\na,b\nA,c\n", "there twice"),
            ("case,volume\n../a,b\n", "cannot be the name of a file"),
            ("case,volume,case\na,b,c\n", "two columns `case`"),
            ("case,volume,out\na,b,c\n", "meaning of its own"),
        ] {
            let reply = read_as("a.csv", text).unwrap_err();
            assert!(reply.contains(says) && reply.contains("a.csv"), "{reply}");
        }
        assert!(read_as("a.jsonl", "{\"case\": \"a\", \"volume\": \"b\"}\n[1]\n").unwrap_err().contains("line 2"));
    }
}
