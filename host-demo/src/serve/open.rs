//! Volumes from files: those that the server was started with, and those that are sent to it.

use super::Shared;
use super::packed::gunzip_up_to;
use super::refusal::{Answer, Refusal};
use super::store::Held;
use super::work::Watch;
use sam_octa2_abi::Volume;
use serde_json::Value;
use std::path::Path;

/// A name without a folder in it. It decides about the format and is used for nothing else.
pub fn plain(name: &str) -> Answer<String> {
    let plain = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = plain.chars().filter(|c| c.is_alphanumeric() || "._- ".contains(*c)).collect();
    let plain = plain.trim_start_matches('.');
    match plain.is_empty() || plain.len() > 200 {
        true => Err(Refusal::bad("the file needs a name with an ending, such as scan.nii.gz")),
        false => Ok(plain.to_owned()),
    }
}

/// bytes of a file beside its voxels
const HEAD: usize = 1 << 20;

/// Endings of files that hold everything that belongs to them. What names other files (`.nhdr`, `.mhd`, `.xml`, DICOMDIR) could name any of this
/// computer's.
const WHOLE: [&str; 14] =
    ["nii", "nii.gz", "nrrd", "mha", "npy", "tif", "tiff", "png", "jpg", "jpeg", "bmp", "webp", "dcm", "vol"];

/// Is this a file that stands for itself?
fn check_whole(name: &str, bytes: &[u8]) -> Answer<()> {
    let name = name.to_lowercase();
    if !WHOLE.iter().any(|ending| name.ends_with(&format!(".{ending}"))) {
        let known = WHOLE.join(", ");
        return Err(Refusal::bad(format!(
            "{name}: files of these kinds can be sent: {known}; name others when the server is started"
        )));
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1 << 16)]).to_lowercase();
    let field = |key: &str| {
        head.lines()
            .find_map(|line| line.trim().strip_prefix(key))
            .map(|value| value.trim_matches([' ', ':', '=', '\t']))
    };
    let elsewhere = match () {
        () if name.ends_with(".nrrd") => field("data file").or_else(|| field("datafile")).is_some(),
        () if name.ends_with(".mha") => field("elementdatafile").is_none_or(|value| value != "local"),
        () => false,
    };
    match elsewhere {
        true => Err(Refusal::bad(format!("{name}: its voxels lie in another file; send one that holds them"))),
        false => Ok(()),
    }
}

/// Reads a file that was sent. It lies in a folder of its own, which goes with the volume: large volumes are read slice by slice.
pub fn sent(shared: &Shared, name: &str, bytes: &[u8], watch: &mut Watch) -> Answer<(Volume, Held)> {
    let name = plain(name)?;
    check_whole(&name, bytes)?;
    let folder = tempfile::Builder::new().prefix("sam-octa2-").tempdir()?;
    let mut path = folder.path().join(&name);
    match name.strip_suffix(".gz") {
        Some(inner) => {
            // unpacked here, so that it takes no more than a volume may
            path.set_file_name(inner);
            std::fs::write(&path, gunzip_up_to(bytes, shared.max_volume.saturating_add(HEAD))?)?;
        }
        None => std::fs::write(&path, bytes)?,
    }
    let (volume, mut held) = read(shared, &path, watch).map_err(|refusal| {
        let place = format!("{}/", folder.path().display());
        Refusal { sentence: refusal.sentence.replace(&place, ""), ..refusal } // where it lies says nothing to anybody
    })?;
    held.keep(folder);
    Ok((volume, held))
}

/// Opens a file or folder.
pub fn read(shared: &Shared, path: &Path, watch: &mut Watch) -> Answer<(Volume, Held)> {
    let volume = shared.api.open_volume(&super::text(path)?, None, watch)?;
    let info: Value = serde_json::from_str(&volume.info()?).unwrap_or_default();
    let (_, held) = shared.hold(bytes(&info))?;
    Ok((volume, held))
}

/// Bytes of a volume by its description.
fn bytes(info: &Value) -> Option<usize> {
    let shape: Vec<usize> = serde_json::from_value(info["shape"].clone()).ok()?;
    let bits: String = info["dtype"].as_str()?.chars().filter(char::is_ascii_digit).collect();
    let size = bits.parse::<usize>().unwrap_or(8).div_ceil(8);
    shape.iter().try_fold(size, |product, &n| product.checked_mul(n))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_lose_their_folders() {
        for name in ["../../etc/scan.nii.gz", "C:\\x\\scan.nii.gz", "/scan.nii.gz", "..scan.nii.gz", "scan\0.nii.gz"] {
            assert_eq!(plain(name).unwrap(), "scan.nii.gz");
        }
        for name in ["", "..", "/", "a/..", &"x".repeat(300)] {
            assert!(plain(name).is_err(), "{name}");
        }
    }

    #[test]
    fn files_that_name_others_are_refused() {
        for (name, bytes) in [
            ("a.nhdr", &b"NRRD0004\n"[..]),
            ("a.nrrd", b"NRRD0004\ntype: uint8\nData File: /etc/passwd\n\n"),
            ("a.nrrd", b"NRRD0004\ndatafile:= x\n\n"),
            ("a.mha", b"NDims = 3\nElementDataFile = /etc/passwd\n"),
            ("a.mhd", b"NDims = 3\nElementDataFile = LOCAL\n"),
            ("export.xml", b"<x/>"),
        ] {
            assert_eq!(check_whole(name, bytes).unwrap_err().status, 400, "{name}");
        }
        assert!(check_whole("a.mha", b"NDims = 3\nElementDataFile = LOCAL\n").is_ok());
        assert!(check_whole("A.NII.GZ", b"").is_ok() && check_whole("a.nrrd", b"NRRD0004\ntype: uint8\n\n").is_ok());
    }
}
