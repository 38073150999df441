//! Layer curves from a file beside the volume: a MATLAB array as OCTA-500 has it, extracted Optovue curves, another volume of the same scan,
//! or a label volume whose objects are the layers of the retina.

use super::mat;
use crate::io::{OpenOptions, nrrd, open_observed, read_labels};
use crate::progress::Observer;
use crate::volume::{Surface, Volume};
use crate::{Error, Result};
use std::fs;
use std::path::Path;

/// The curves of OCTA-500's `Layer` (Li et al. 2024, Medical Image Analysis 93:103092), from the vitreous down.
const OCTA500: [&str; 6] = ["ILM", "IPL", "OPL", "ISOS", "RPE", "BM"];

/// The curves of a file, for the B-scans of a volume. Errors: curves of another size; files without.
pub(in crate::io) fn read(path: &Path, volume: &Volume, observer: &mut dyn Observer) -> Result<Vec<Surface>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let metadata = fs::metadata(path).map_err(Error::io(path))?;
    if name.ends_with(".mat") {
        return of_mat(path, volume);
    }
    let plane = (volume.frames * volume.columns * 4) as u64;
    let headerless = metadata.is_file() && !is_known(&name);
    if headerless && [7, 8].iter().any(|curves| metadata.len() == curves * plane) {
        return of_optovue(path, volume);
    }
    if let Some(surfaces) = of_scan(path, volume, observer)? {
        return Ok(surfaces);
    }
    of_labels(path, volume)
}

/// Is the ending one that says what a file is?
fn is_known(name: &str) -> bool {
    [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".vol", ".npy", ".tif", ".tiff", ".json", ".dcm", ".png"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// `[curves, B-scans, columns]`, first index fastest.
fn of_mat(path: &Path, volume: &Volume) -> Result<Vec<Surface>> {
    let arrays = mat::read(path)?;
    let fits = |array: &&mat::Array| matches!(array.sizes[..], [_, frames, columns] if frames == volume.frames && columns == volume.columns);
    let Some(array) = arrays.iter().find(fits) else {
        let has: Vec<String> = arrays.iter().map(|array| format!("{} {:?}", array.name, array.sizes)).collect();
        let what = format!(
            "holds no array [curves, {}, {}] (B-scans, columns), but {}",
            volume.frames,
            volume.columns,
            if has.is_empty() { "no array of numbers".to_owned() } else { has.join(", ") }
        );
        return Err(Error::format(path, what));
    };
    let curves = array.sizes[0];
    let name = |curve: usize| match curves == OCTA500.len() {
        true => OCTA500[curve].to_owned(),
        false => (curve + 1).to_string(),
    };
    let (frames, columns) = (volume.frames, volume.columns);
    let rows = |curve: usize| {
        let at = |frame: usize, column: usize| array.values[curve + curves * (frame + frames * column)];
        (0..frames).flat_map(|frame| (0..columns).map(move |column| at(frame, column))).collect()
    };
    Ok((0..curves).map(|curve| Surface { name: name(curve), rows: rows(curve) }).collect())
}

/// `[B-scans, curves, columns]` of float32, as oct-to-tiff reads them; which curve is which nobody says, so they are numbered from 1.
fn of_optovue(path: &Path, volume: &Volume) -> Result<Vec<Surface>> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    let (frames, columns) = (volume.frames, volume.columns);
    let curves = values.len() / (frames * columns);
    let rows = |curve: usize| {
        (0..frames).flat_map(|frame| values[(frame * curves + curve) * columns..][..columns].to_vec()).collect()
    };
    Ok((0..curves).map(|curve| Surface { name: (curve + 1).to_string(), rows: rows(curve) }).collect())
}

/// Those of another volume of the same scan: structure has them where flow has not. `None`: a volume without.
fn of_scan(path: &Path, volume: &Volume, observer: &mut dyn Observer) -> Result<Option<Vec<Surface>>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if !super::heyex::is_named_so(&name) {
        return Ok(None);
    }
    let options = OpenOptions { once: true, ..OpenOptions::default() };
    let other = open_observed(path, &options, observer)?;
    let (have, want) = ([other.frames, other.columns], [volume.frames, volume.columns]);
    if have != want {
        let what = format!("holds curves of {have:?} (B-scans, columns), and the volume has {want:?}");
        return Err(Error::format(path, what));
    }
    let surfaces = other.scan.as_deref().map(|scan| scan.surfaces.clone()).unwrap_or_default();
    match surfaces.is_empty() {
        true => Err(Error::format(path, "has no layer curves")),
        false => Ok(Some(surfaces)),
    }
}

/// The lower edge of each object, named as the object is (a segment's name, else its number), and the upper edge of all as `ILM`.
fn of_labels(path: &Path, volume: &Volume) -> Result<Vec<Surface>> {
    let labels = read_labels(path)?;
    let labels = labels
        .onto(volume.lattice())
        .map_err(|error| Error::format(path, format!("does not lie on the volume: {error}")))?;
    let objects = labels.objects();
    if objects.is_empty() {
        return Err(Error::format(path, "holds no object: layers of the retina are wanted"));
    }
    let names = segment_names(path, &objects)?;
    Ok(Surface::of_labels(&labels, &names))
}

/// The names of objects that have one.
fn segment_names(path: &Path, objects: &[u16]) -> Result<Vec<(u16, String)>> {
    let named_so = nrrd::is_named_so(&path.file_name().unwrap_or_default().to_string_lossy().to_lowercase());
    let segments = if named_so { nrrd::names(path)? } else { Vec::new() };
    Ok(segments.into_iter().filter(|(object, _)| objects.contains(object)).collect())
}
