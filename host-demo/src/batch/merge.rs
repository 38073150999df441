//! `host-demo batch merge`: one table of all cases, a dictionary of its columns, and the page of the cohort. The table is streamed: records are read
//! once to learn the columns and once to write the rows, and one of them is in memory at a time.

use super::cohort::Cohort;
use super::dictionary;
use super::options::MergeOptions;
use super::page;
use super::record::{Record, Status};
use super::status::expected;
use super::store::Store;
use crate::exit::{self, Code};
use crate::output;
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Columns that every table has, before and behind those of manifest and script.
const FIRST: [&str; 3] = ["case", "status", "reason"];
const LAST: [&str; 3] = ["volume", "seconds", "peak_memory_mb"];

/// Writes what was asked for.
pub fn run(options: &MergeOptions, plugin: Option<&Path>) -> anyhow::Result<Code> {
    let store = Store::open(&options.folder)?;
    store.sweep();
    let mut cases: BTreeSet<String> = expected(&store, options.manifest.as_deref(), plugin)?.into_iter().collect();
    cases.extend(store.recorded()?);
    let (mut columns, mut cohort) = (Columns::default(), Cohort::default());
    for case in &cases {
        let record = store.record(case);
        if let Some(record) = &record {
            columns.learn(record);
        }
        if options.html.is_some() {
            cohort.add(case, record.as_ref());
        }
    }
    if let Some(path) = &options.csv {
        whole(path, |file| columns.table(&store, &cases, file))?;
        let beside = path.with_extension("json");
        whole(&beside, |file| Ok(writeln!(file, "{}", serde_json::to_string_pretty(&columns.dictionary())?)?))?;
        output::note(&format!(
            "{}: {} cases, {} columns; what they are: {}",
            path.display(),
            cases.len(),
            columns.names().len(),
            beside.display()
        ));
    }
    if let Some(path) = &options.html {
        let page = page::render(&store, &cohort.judged(), path)?;
        whole(path, |file| Ok(file.write_all(page.as_bytes())?))?;
        output::note(&path.display().to_string());
    }
    Ok(exit::SUCCESS)
}

/// Writes a file whole: under another name in the same folder, then by a rename.
fn whole(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let name =
        path.file_name().with_context(|| format!("{}: not the name of a file", path.display()))?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let attempt = || -> anyhow::Result<()> {
        let mut file = BufWriter::new(File::create(&temporary)?);
        write(&mut file)?;
        file.flush()?;
        Ok(std::fs::rename(&temporary, path)?)
    };
    let written = attempt();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.with_context(|| path.display().to_string())
}

/// What manifest and script gave, over all cases, in the order of their names.
#[derive(Default)]
struct Columns {
    values: BTreeSet<String>,
    results: BTreeSet<String>,
}

impl Columns {
    fn learn(&mut self, record: &Record) {
        let fresh = |known: &BTreeSet<String>, name: &str| !known.contains(name);
        for name in record.values.keys() {
            if fresh(&self.values, name) && !FIRST.contains(&name.as_str()) && !LAST.contains(&name.as_str()) {
                self.values.insert(name.clone());
            }
        }
        for (name, _) in flat(&record.result) {
            if fresh(&self.results, &name) {
                self.results.insert(name);
            }
        }
    }

    /// What a script's value is called in the table: its name, unless another column has it.
    fn shown(&self, result: &str) -> String {
        let taken = self.values.contains(result) || FIRST.contains(&result) || LAST.contains(&result);
        if taken { format!("result_{result}") } else { result.to_owned() }
    }

    fn names(&self) -> Vec<String> {
        let fixed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let results = self.results.iter().map(|name| self.shown(name)).collect();
        [fixed(&FIRST), self.values.iter().cloned().collect(), results, fixed(&LAST)].concat()
    }

    fn table(&self, store: &Store, cases: &BTreeSet<String>, file: &mut BufWriter<File>) -> anyhow::Result<()> {
        let mut table = csv::Writer::from_writer(file);
        table.write_record(self.names())?;
        for case in cases {
            table.write_record(self.row(case, store.record(case).as_ref()))?;
        }
        Ok(table.flush()?)
    }

    fn row(&self, case: &str, record: Option<&Record>) -> Vec<String> {
        let Some(record) = record else {
            let empty = vec![String::new(); self.names().len() - FIRST.len()];
            return [vec![case.to_owned(), "missing".to_owned(), "not done yet".to_owned()], empty].concat();
        };
        let status = if record.status == Status::Done { "done" } else { "failed" };
        let reason = record.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
        let results: Map<String, Value> = flat(&record.result).into_iter().collect();
        let cell = |value: Option<&Value>| match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let mut row = vec![case.to_owned(), status.to_owned(), reason];
        row.extend(self.values.iter().map(|name| cell(record.values.get(name))));
        row.extend(self.results.iter().map(|name| cell(results.get(name))));
        let volume = record.inputs.get("volume").map(|input| input.path.display().to_string()).unwrap_or_default();
        let peak = record.run.peak_memory_bytes.map(|bytes| bytes.div_ceil(1 << 20).to_string()).unwrap_or_default();
        row.extend([volume, format!("{:.3}", record.run.seconds), peak]);
        row
    }

    fn dictionary(&self) -> Value {
        let described = |name: String, source: &str| {
            let (description, unit) = dictionary::of(&name);
            (name, json!({"description": description, "unit": unit, "source": source}))
        };
        let fixed = FIRST.iter().chain(&LAST).map(|name| described((*name).to_owned(), "batch"));
        let values = self.values.iter().map(|name| described(name.clone(), "manifest"));
        let results = self.results.iter().map(|name| (self.shown(name), described(name.clone(), "script").1));
        Value::Object(fixed.chain(values).chain(results).collect())
    }
}

/// A script's last value as columns: maps inside of maps become `outer.inner`; lists, and a value that is no map, stay JSON.
pub fn flat(result: &Value) -> Vec<(String, Value)> {
    match result {
        Value::Null => Vec::new(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::Object(_) => {
                    flat(value).into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)).collect()
                }
                plain => vec![(key.clone(), plain.clone())],
            })
            .collect(),
        plain => vec![("result".to_owned(), plain.clone())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_becomes_columns() {
        let found = flat(&json!({"a": 1, "b": {"c": 2.5, "d": {"e": "x"}}, "f": [1, 2]}));
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b.c", "b.d.e", "f"]);
        assert_eq!(flat(&json!(3)), [("result".to_owned(), json!(3))]);
        assert!(flat(&Value::Null).is_empty());
    }
}
