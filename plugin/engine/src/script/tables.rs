//! For batches: finding files, JSON and CSV in and out.

use super::errors::Failure;
use super::library::Library;
use super::listing::glob;
use super::values::{Checked, Fallible, native, refused, text};
use super::{Context, Limits};
use rhai::{Array, Dynamic, Map, NativeCallContext};
use sam_octa2_core::io::write_text;
use sam_octa2_core::{Error, progress};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Makes them known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let [listing, looking, reading, writing, tables, parsing] = std::array::from_fn(|_| context.files.clone());
    let limits = context.limits;
    library
        .section("Files and tables", "")
        .function(
            "glob(pattern: String) -> Array",
            "Files whose path fits, in natural order: `*` any letters, `?` one, `**` any folders. A folder in which the script may read nothing is an error.",
            "for path in glob(\"*.nii.gz\") { print(path) }",
            move |call: NativeCallContext, pattern: Dynamic| -> Fallible<Array> {
                native(&call, || {
                    let pattern = text("glob: pattern", &pattern)?;
                    let paths = glob(&pattern, &listing, limits.array_elements)?;
                    Ok(paths.into_iter().map(Dynamic::from).collect())
                })
            },
        )
        .function(
            "exists(path: String) -> bool",
            "Is there such a file or folder? To skip what is done.",
            "if exists(\"labels.nii.gz\") { print(\"done\") }",
            move |call: NativeCallContext, path: Dynamic| -> Fallible<bool> {
                native(&call, || Ok(looking.readable("exists: path", &path)?.exists()))
            },
        )
        .function(
            "file_stem(path: String) -> String",
            "The name of a file without folder and ending: `scan` of `in/scan.nii.gz`.",
            "file_stem(\"in/scan.nii.gz\")",
            |call: NativeCallContext, path: Dynamic| -> Fallible<String> {
                native(&call, || Ok(stem(&text("file_stem: path", &path)?)))
            },
        )
        .function(
            "write_json(path: String, value: Dynamic)",
            "Any value that is made of maps, lists, numbers and text.",
            "write_json(\"areas.json\", #{slices: [1, 2]})",
            move |call: NativeCallContext, path: Dynamic, value: Dynamic| -> Fallible<()> {
                native(&call, || {
                    let path = writing.writable("write_json: path", &path)?;
                    let value: Value = rhai::serde::from_dynamic(&value)
                        .map_err(|_| refused("write_json: value", "maps, lists, numbers and text", &value))?;
                    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
                    Ok(write_text(&path, &(text + "\n"))?)
                })
            },
        )
        .function(
            "read_json(path: String) -> Dynamic",
            "What a JSON file holds.",
            "write_json(\"a.json\", [1, 2]); read_json(\"a.json\")[1]",
            move |call: NativeCallContext, path: Dynamic| -> Fallible<Dynamic> {
                native(&call, || {
                    let path = parsing.readable("read_json: path", &path)?;
                    let text = read(&path, &limits)?;
                    let value: Value = serde_json::from_str(&text).map_err(|e| Error::format(&path, e.to_string()))?;
                    within(&value, &path, &limits)?;
                    rhai::serde::to_dynamic(value).map_err(|e| Failure::invalid(e.to_string()))
                })
            },
        );
    library
        .function(
            "write_csv(path: String, rows: Array)",
            "A table: a list of maps, whose keys become the first line, or a list of lists.",
            "write_csv(\"areas.csv\", [#{slice: 1, area: 2.5}, #{slice: 2, area: 3.5}])",
            move |call: NativeCallContext, path: Dynamic, rows: Dynamic| -> Fallible<()> {
                native(&call, || {
                    let path = tables.writable("write_csv: path", &path)?;
                    Ok(write_text(&path, &csv(&rows)?)?)
                })
            },
        )
        .function(
            "read_csv(path: String) -> Array",
            "A table with a first line of names: a list of maps; numbers are numbers, but `007` is a text.",
            "write_csv(\"a.csv\", [#{x: 1}]); read_csv(\"a.csv\")[0].x",
            move |call: NativeCallContext, path: Dynamic| -> Fallible<Array> {
                native(&call, || table(&reading.readable("read_csv: path", &path)?, &limits))
            },
        );
}

fn stem(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(".gz").unwrap_or(&name).to_owned();
    PathBuf::from(&name).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The text of a file; no more than one string may hold.
fn read(path: &Path, limits: &Limits) -> Checked<String> {
    let (size, most) = (std::fs::metadata(path).map_err(Error::io(path))?.len(), limits.string_bytes);
    if most > 0 && size > most as u64 {
        return Err(too_much(path, &format!("{size} bytes"), "string_bytes", most));
    }
    Ok(std::fs::read_to_string(path).map_err(Error::io(path))?)
}

/// No array and no map may be larger than a script's own.
fn within(value: &Value, path: &Path, limits: &Limits) -> Checked<()> {
    let check = |length: usize, name: &str, most: usize| match most > 0 && length > most {
        true => Err(too_much(path, &format!("{length} entries"), name, most)),
        false => Ok(()),
    };
    match value {
        Value::Array(values) => {
            check(values.len(), "array_elements", limits.array_elements)?;
            values.iter().try_for_each(|value| within(value, path, limits))
        }
        Value::Object(map) => {
            check(map.len(), "map_entries", limits.map_entries)?;
            map.values().try_for_each(|value| within(value, path, limits))
        }
        _ => Ok(()),
    }
}

fn too_much(path: &Path, what: &str, limit: &str, most: usize) -> Failure {
    let how = format!("the host can raise `limits.{limit}`; host-demo: --limit {limit}=N");
    Error::format(path, format!("{what} are more than the limit of {most} ({how})")).into()
}

/// A number, if it is written as one; `007` is a name.
fn cell(text: &str) -> Dynamic {
    let digits = text.trim_start_matches('-');
    let named = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    match (text.parse::<i64>(), text.parse::<f64>()) {
        _ if named => text.to_owned().into(),
        (Ok(whole), _) => Dynamic::from_int(whole),
        (_, Ok(number)) => Dynamic::from_float(number),
        _ => text.to_owned().into(),
    }
}

fn csv(rows: &Dynamic) -> Checked<String> {
    let rows = rows.read_lock::<Array>().ok_or_else(|| refused("write_csv: rows", "a list of rows", rows))?;
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let mut keys: Vec<String> = Vec::new();
    for row in rows.iter().filter_map(|row| row.read_lock::<Map>()) {
        for key in row.keys().filter(|key| !keys.iter().any(|known| known == key.as_str())).collect::<Vec<_>>() {
            keys.push(key.to_string());
        }
    }
    let failed = |error: csv::Error| Failure::invalid(format!("write_csv: {error}"));
    if !keys.is_empty() {
        writer.write_record(&keys).map_err(failed)?;
    }
    let cell = |value: &Dynamic| if value.is_unit() { String::new() } else { value.to_string() };
    for row in rows.iter() {
        let cells: Vec<String> = match (row.read_lock::<Map>(), row.read_lock::<Array>()) {
            (Some(map), _) => keys.iter().map(|key| map.get(key.as_str()).map(cell).unwrap_or_default()).collect(),
            (None, Some(array)) => array.iter().map(cell).collect(),
            _ => return Err(refused("write_csv: rows", "a list of maps or of lists", row)),
        };
        writer.write_record(&cells).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Failure::invalid(format!("write_csv: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn table(path: &Path, limits: &Limits) -> Checked<Array> {
    let text = read(path, limits)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let wrong = |error: csv::Error| Error::format(path, error.to_string());
    let names = reader.headers().map_err(wrong)?.clone();
    let (mut rows, mut cells, most) = (Array::new(), 0, limits.map_entries);
    for record in reader.records() {
        progress::check()?;
        let record = record.map_err(wrong)?;
        cells += names.len();
        if most > 0 && cells > most {
            return Err(too_much(path, &format!("{cells} cells"), "map_entries", most));
        }
        let row: Map = names.iter().zip(&record).map(|(name, text)| (name.into(), cell(text))).collect();
        rows.push(Dynamic::from_map(row));
    }
    Ok(rows)
}
