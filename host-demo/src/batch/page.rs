//! The page of a cohort: a line per case, first what to look at first. It shows the pictures where they lie, and needs nothing else.

use super::cohort::Entry;
use super::dictionary;
use super::store::Store;
use anyhow::Context;
use minijinja::{AutoEscape, Environment, context};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

const TEMPLATE: &str = include_str!("cohort.html");
/// Numbers that are shown, if any case has them, in this order, and what people call them.
const SHOWN: [(&str, &str); 10] = [
    ("faz_area_mm2", "FAZ area"),
    ("faz_circularity_crofton", "FAZ circularity"),
    ("vessel_area_density", "vessel area density"),
    ("length_density_per_mm", "length density"),
    ("calibre_um", "calibre"),
    ("objects", "objects"),
    ("lost_objects", "lost objects"),
    ("lowest_iou", "lowest IoU"),
    ("signal", "signal"),
    ("motion", "motion"),
];

/// Cases that a page shows at most; browsers become slow with more. The table has all.
const MOST_ROWS: usize = 2000;

/// The page as text; `path` is where it will lie.
pub fn render(store: &Store, entries: &[Entry], path: &Path) -> anyhow::Result<String> {
    let folder = std::path::absolute(path)?.parent().map(Path::to_path_buf).context("the page needs a folder")?;
    let has = |name: &str| entries.iter().any(|entry| entry.numbers.contains_key(name));
    let columns: Vec<Value> = SHOWN
        .iter()
        .filter(|(name, _)| has(name))
        .map(|(name, label)| {
            let (about, unit) = dictionary::of(name);
            json!({"name": name, "label": label, "unit": unit, "about": about})
        })
        .collect();
    let rows: Vec<Value> = entries.iter().take(MOST_ROWS).map(|entry| row(store, entry, &folder)).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        *counts.entry(entry.status).or_default() += 1;
    }
    let flagged = entries.iter().filter(|entry| !entry.flags.is_empty()).count();
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("cohort.html", TEMPLATE)?;
    let page = environment.get_template("cohort.html")?.render(context! {
        title => store.name(), total => entries.len(), counts, flagged, columns, rows, shown => entries.len().min(MOST_ROWS),
    })?;
    Ok(page)
}

fn row(store: &Store, entry: &Entry, page: &Path) -> Value {
    let link = |name: &str| address(&relative(&store.results(&entry.case).join(name), page));
    let numbers: BTreeMap<&str, Value> = entry
        .numbers
        .iter()
        .map(|(name, number)| (name.as_str(), json!({"value": number, "text": short(*number)})))
        .collect();
    let files: Vec<Value> = entry.files.iter().map(|name| json!({"name": name, "link": link(name)})).collect();
    let flags: Vec<&str> = entry.flags.iter().map(|(text, _)| text.as_str()).collect();
    json!({
        "case": entry.case, "status": entry.status, "volume": entry.volume, "weight": entry.weight(), "flags": flags, "numbers": numbers,
        "picture": entry.picture.as_deref().map(link), "files": files,
        "record": address(&relative(&store.record_path(&entry.case), page)),
    })
}

/// What a number is called on the page.
pub fn label(name: &str) -> &str {
    SHOWN.iter().find(|(known, _)| *known == name).map_or(name, |(_, label)| label)
}

/// Four digits that count.
pub fn short(number: f64) -> String {
    if number == number.round() && number.abs() < 1e6 {
        return format!("{number:.0}");
    }
    let digits = (3.0 - number.abs().log10().floor()).clamp(0.0, 6.0);
    format!("{number:.*}", digits as usize)
}

/// The way from a folder to a file, so that both can be moved together.
fn relative(file: &Path, folder: &Path) -> PathBuf {
    let (mut to, mut from) = (file.components().peekable(), folder.components().peekable());
    while to.peek().is_some() && to.peek() == from.peek() {
        to.next();
        from.next();
    }
    let up = from.map(|_| Component::ParentDir);
    up.chain(to).collect()
}

/// A path as an address in HTML: what has a meaning there is written in percent.
fn address(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(byte);
    let text = path.to_string_lossy();
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_and_addresses() {
        assert_eq!(relative(Path::new("/a/b/c.png"), Path::new("/a/d")), Path::new("../b/c.png"));
        assert_eq!(address(Path::new("../b c/ü#.png")), "../b%20c/%C3%BC%23.png");
        assert_eq!((short(0.312_345), short(12.0), short(1234.56)), ("0.3123".into(), "12".into(), "1235".into()));
    }
}
