//! A folder as a list of cases: every volume below it. A file is a case; so is a folder of pictures, and every series of a folder of DICOM files.
//! The folders of OCTA-500, as SAM-OCTA2 arranges them, are known by their names.

use super::manifest::Case;
use crate::find;
use anyhow::{Context, bail};
use sam_octa2_abi::Plugin;
use serde_json::{Map, Value, json};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// Endings of files that are a volume each.
const VOLUMES: [&str; 9] = [".nii", ".nii.gz", ".npy", ".hdr", ".nrrd", ".nhdr", ".mha", ".mhd", ".vol"];
/// Voxels beside a `.hdr` (Analyze), or a volume of their own (Cirrus).
const VOXELS: [&str; 1] = [".img"];
/// Labels, not volumes.
const LABELS: &str = ".seg.nrrd";
/// Endings of pictures: in the folder itself a case each, in a folder below it the slices of one.
const PICTURES: [&str; 7] = [".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"];
/// Sequences of layers in SAM-OCTA2's arrangement of OCTA-500.
const SEQUENCES: [&str; 2] = ["RV_LayerSequence", "FAZ_LayerSequence"];
/// More series than this no folder of an eye holds.
const MOST_SERIES: usize = 1000;

/// The plugin, loaded when a folder of DICOM files asks for it.
struct Asked<'a> {
    file: Option<&'a Path>,
    plugin: OnceCell<Plugin>,
}

impl Asked<'_> {
    fn plugin(&self) -> anyhow::Result<&Plugin> {
        if let Some(plugin) = self.plugin.get() {
            return Ok(plugin);
        }
        let plugin = find::load(self.file).context("a folder of DICOM files needs the plugin")?;
        Ok(self.plugin.get_or_init(|| plugin))
    }
}

/// The cases of a folder, in no order. `plugin` is what `--plugin` said: it knows the series of DICOM files.
pub fn cases(root: &Path, plugin: Option<&Path>) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    if SEQUENCES.iter().any(|name| root.join(name).is_dir()) {
        octa500(root, &mut cases)?;
    } else {
        below(root, "", &mut cases, &Asked { file: plugin, plugin: OnceCell::new() })?;
    }
    if cases.is_empty() {
        bail!("{}: no volumes below this folder ({} {})", root.display(), VOLUMES.join(" "), PICTURES.join(" "));
    }
    Ok(cases)
}

fn case(name: String, volume: PathBuf, values: Value) -> Case {
    let values = if let Value::Object(values) = values { values } else { Map::new() };
    Case { case: name, volume, values }
}

/// What a folder holds: files and folders, without hidden ones.
fn entries(folder: &Path) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let read = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths: Result<Vec<PathBuf>, _> = read.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.with_context(|| folder.display().to_string())?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths.into_iter().partition(|path| !path.is_dir()))
}

/// The name of a file without the ending, if it is one of these.
fn stem<'a>(path: &'a Path, endings: &[&str]) -> Option<&'a str> {
    let name = path.file_name()?.to_str()?;
    let lower = name.to_ascii_lowercase();
    let ending = endings.iter().filter(|ending| lower.ends_with(*ending)).map(|ending| ending.len()).max()?;
    name.get(..name.len() - ending).filter(|stem| !stem.is_empty())
}

/// The name of a file that is a volume.
fn volume_name(path: &Path) -> Option<&str> {
    if stem(path, &[LABELS]).is_some() {
        return None;
    }
    stem(path, &VOLUMES).or_else(|| stem(path, &VOXELS).filter(|_| !path.with_extension("hdr").exists()))
}

fn below(folder: &Path, prefix: &str, cases: &mut Vec<Case>, asked: &Asked<'_>) -> anyhow::Result<()> {
    let (files, folders) = entries(folder)?;
    if files.iter().any(|file| file.file_name().is_some_and(|name| name == super::store::ABOUT)) {
        return Ok(()); // the results of another run
    }
    let named = |stem: &str| if prefix.is_empty() { stem.to_owned() } else { format!("{prefix}_{stem}") };
    let volumes = files.iter().filter_map(|file| Some((volume_name(file)?, file)));
    cases.extend(volumes.map(|(stem, file)| case(named(stem), file.clone(), json!({}))));
    let is_picture = |file: &&PathBuf| stem(file, &PICTURES).is_some();
    if prefix.is_empty() {
        let pictures = files.iter().filter_map(|file| Some((stem(file, &PICTURES)?, file)));
        cases.extend(pictures.map(|(stem, file)| case(named(stem), file.clone(), json!({}))));
    } else if files.iter().any(|file| is_picture(&file)) {
        cases.push(case(prefix.to_owned(), folder.to_path_buf(), json!({})));
    }
    if files.iter().any(|file| is_dicom(file)) {
        let name = if prefix.is_empty() { "dicom" } else { prefix };
        dicom(folder, name, cases, asked)?;
    }
    folders.iter().try_for_each(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        below(folder, &named(&name), cases, asked)
    })
}

/// A DICOM file by its ending, or by the letters that stand in front of one that has none.
fn is_dicom(file: &Path) -> bool {
    let magic = || {
        let mut head = [0; 132];
        let read = std::fs::File::open(file).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head));
        read.is_ok() && &head[128..] == b"DICM"
    };
    stem(file, &[".dcm"]).is_some() || (file.extension().is_none() && magic())
}

/// Every series of a folder of DICOM files. Which there are, the plugin knows; what is damaged becomes a case, too, and fails at its turn.
fn dicom(folder: &Path, name: &str, cases: &mut Vec<Case>, asked: &Asked<'_>) -> anyhow::Result<()> {
    let plugin = asked.plugin()?;
    let asked = |series: Option<&str>| {
        let request = json!({"input": folder.to_string_lossy(), "series": series}).to_string();
        plugin.task("info", &request, &mut ()).map_err(|error| error.to_string())
    };
    if !asked(None).is_err_and(|error| error.contains(" series: ")) {
        cases.push(case(name.to_owned(), folder.to_path_buf(), json!({})));
        return Ok(());
    }
    for place in 1..=MOST_SERIES {
        let series = format!("#{place}");
        if asked(Some(&series)).is_err_and(|error| error.contains("has no series")) {
            break;
        }
        cases.push(case(format!("{name}_series{place}"), folder.to_path_buf(), json!({"series": series})));
    }
    Ok(())
}

/// SAM-OCTA2's folders: a case for every sample of the sequences of layers, and for every projection. Samples from 10301 on are 3 mm wide,
/// those before 6 mm.
fn octa500(root: &Path, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let facts = |sample: &str, kind: &str| {
        let field = if sample.parse::<u32>().is_ok_and(|number| number > 10300) { 3 } else { 6 };
        json!({"sample": sample, "kind": kind, "subset": format!("OCTA500_{field}M"), "field": f64::from(field)})
    };
    for sequence in SEQUENCES.iter().filter(|name| root.join(name).is_dir()) {
        let kind = sequence.trim_end_matches("_LayerSequence");
        for folder in entries(&root.join(sequence))?.1 {
            let sample = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            cases.push(case(format!("{sample}_{kind}"), folder, facts(&sample, kind)));
        }
    }
    for field in ["3M", "6M"] {
        let maps = root.join(field).join("ProjectionMaps");
        if !maps.is_dir() {
            continue;
        }
        for kind in entries(&maps)?.1 {
            let name = kind.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for file in entries(&kind)?.0 {
                if let Some(sample) = stem(&file, &PICTURES) {
                    cases.push(case(format!("{sample}_{name}"), file.clone(), facts(sample, &name)));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let mut names: Vec<String> = cases(folder.path(), None).unwrap().into_iter().map(|case| case.case).collect();
        names.sort();
        names
    }

    #[test]
    fn files_stacks_and_folders_of_subjects() {
        assert_eq!(
            names(&[
                "a.nii.gz",
                "b.png",
                "sub-1/scan.nii",
                "stack/1.png",
                "stack/2.png",
                ".hidden/c.nii",
                "notes.txt",
                "old/batch.json",
                "old/x.nii"
            ]),
            ["a", "b", "stack", "sub-1_scan"]
        );
    }

    #[test]
    fn every_ending_that_the_plugin_reads() {
        let manifest: Value = serde_json::from_str(include_str!("../../../plugin/libsam_octa2.json")).unwrap();
        let endings: Vec<&str> = manifest["reads"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for ending in endings.iter().filter(|ending| !["DICOMDIR", ".dcm"].contains(ending)) {
            assert_eq!(names(&[&format!("eye{ending}"), "labels.seg.nrrd"]), ["eye"], "{ending}");
        }
        assert_eq!(names(&["eye.hdr", "eye.img"]), ["eye"]);
    }

    #[test]
    fn the_folders_of_octa500() {
        let found = names(&[
            "RV_LayerSequence/10301/237.png",
            "FAZ_LayerSequence/10001/1.png",
            "3M/ProjectionMaps/FULL/10301.bmp",
            "3M/GT_FAZ/10301.bmp",
        ]);
        assert_eq!(found, ["10001_FAZ", "10301_FULL", "10301_RV"]);
    }

    #[test]
    fn an_empty_folder_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        assert!(cases(folder.path(), None).unwrap_err().to_string().contains("no volumes"));
    }
}
