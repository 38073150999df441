//! Which files: a DICOMDIR's references, and one series of those that are there.
//!
//! Standard: DICOM PS3.3 annex F (basic directory), PS3.10 8.2 (file IDs), PS3.3 C.7.3.1 (series).

use super::elements::DataSet;
use super::file::DicomFile;
use super::header::Header;
use crate::{Error, Result};
use dicom_dictionary_std::{tags, uids};
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

/// The DICOMDIR of a folder, if there is one.
pub(in crate::io) fn directory_of(folder: &Path) -> Option<PathBuf> {
    ["DICOMDIR", "dicomdir"].iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Is this file a directory of others?
fn is_directory(set: &DataSet) -> bool {
    set.text(tags::SOP_CLASS_UID) == uids::MEDIA_STORAGE_DIRECTORY_STORAGE || set.has(tags::DIRECTORY_RECORD_SEQUENCE)
}

/// The files that a DICOMDIR names, in its order; `None` where `path` is no DICOMDIR.
pub(super) fn referenced_files(path: &Path) -> Result<Option<Vec<PathBuf>>> {
    let set = DicomFile::open(path)?.set;
    if !is_directory(&set) {
        return Ok(None);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for record in set.items(tags::DIRECTORY_RECORD_SEQUENCE) {
        let id = record.text(tags::REFERENCED_FILE_ID);
        if id.is_empty() || record.integer(tags::RECORD_IN_USE_FLAG) == Ok(Some(0)) {
            continue;
        }
        match locate(folder, &id) {
            Some(file) => files.push(file),
            None => missing.push(id.replace('\\', "/")),
        }
    }
    match (files.is_empty(), missing.first()) {
        (_, Some(first)) => {
            let what = format!("names {} files that are not there, such as {first}", missing.len());
            Err(Error::format(path, what))
        }
        (true, None) => Err(Error::format(path, "is a DICOMDIR that names no files")),
        (false, None) => Ok(Some(files)),
    }
}

/// A file ID below the folder of its DICOMDIR; media are copied to other file systems with their names in lower case.
fn locate(folder: &Path, id: &str) -> Option<PathBuf> {
    let mut path = folder.to_path_buf();
    for part in id.split(['\\', '/']).map(str::trim).filter(|part| !part.is_empty()) {
        // never out of the folder
        let mut components = Path::new(part).components();
        let (Some(Component::Normal(_)), None) = (components.next(), components.next()) else { return None };
        let exact = path.join(part);
        path = if exact.exists() {
            exact
        } else {
            let entries = std::fs::read_dir(&path).ok()?;
            entries.flatten().find(|entry| entry.file_name().to_string_lossy().eq_ignore_ascii_case(part))?.path()
        };
    }
    path.is_file().then_some(path)
}

/// Slices of one series; the error lists what is there where it is not clear which.
///
/// `wanted` is a SeriesInstanceUID, a SeriesNumber that only one series has, or `#2`: the second in the list of the error.
pub(super) fn choose<'a>(source: &Path, headers: &'a [Header], wanted: Option<&str>) -> Result<Vec<&'a Header>> {
    let series = group(headers);
    let listed = |what: &str| {
        let list: Vec<String> = series.iter().enumerate().map(|(i, files)| describe(i, files)).collect();
        Error::format(
            source,
            format!("{what}: {}; choose one by its number, its UID or its place (#1)", list.join("; ")),
        )
    };
    let found: Vec<usize> = match wanted.map(str::trim) {
        None if series.len() == 1 => vec![0],
        None => return Err(listed(&format!("holds {} series", series.len()))),
        Some(wanted) => match wanted.strip_prefix('#') {
            Some(place) => place
                .parse::<usize>()
                .ok()
                .filter(|n| (1..=series.len()).contains(n))
                .map(|n| n - 1)
                .into_iter()
                .collect(),
            None => {
                let is = |i: &usize| series[*i][0].series == wanted || series[*i][0].series_number == wanted;
                (0..series.len()).filter(is).collect()
            }
        },
    };
    let wanted = wanted.unwrap_or_default();
    match found[..] {
        [one] => different(source, &series[one]).map(|()| series[one].clone()),
        [] => Err(listed(&format!("has no series {wanted}, but"))),
        _ => Err(listed(&format!("has {} series of number {wanted}", found.len()))),
    }
}

/// By SeriesInstanceUID; in the order of their numbers.
fn group(headers: &[Header]) -> Vec<Vec<&Header>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut series: Vec<Vec<&Header>> = Vec::new();
    for header in headers {
        let place = *places.entry(&header.series).or_insert(series.len());
        if place == series.len() {
            series.push(Vec::new());
        }
        series[place].push(header);
    }
    series.sort_by_key(|files| (files[0].series_number.parse::<i64>().unwrap_or(i64::MAX), files[0].series.clone()));
    series
}

fn describe(place: usize, files: &[&Header]) -> String {
    let Header { series, series_number, description, modality, path, .. } = files[0];
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let slices: usize = files.iter().map(|file| file.frames.len()).sum();
    format!(
        "#{} number {}, \"{description}\", {}, {slices} slices (UID {}, {})",
        place + 1,
        or(series_number, "none"),
        or(modality, "no modality"),
        or(series, "none"),
        path.file_name().unwrap_or_default().display(),
    )
}

/// The same image twice is a mistake in copying, not two slices.
fn different(source: &Path, files: &[&Header]) -> Result<()> {
    let mut seen: HashMap<&str, &Path> = HashMap::new();
    for header in files.iter().filter(|header| !header.uid.is_empty()) {
        if let Some(other) = seen.insert(&header.uid, &header.path) {
            let what = format!(
                "holds one image twice ({} and {} have one SOPInstanceUID and are at the same place): remove one",
                other.file_name().unwrap_or_default().display(),
                header.path.file_name().unwrap_or_default().display()
            );
            return Err(Error::format(source, what));
        }
    }
    Ok(())
}
