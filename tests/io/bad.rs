//! Damaged, mixed and missing inputs: one clear line that names the file, no panic.

use crate::data;
use sam_octa2_volumes::io::{self, OpenOptions};

/// Opening fails with one line that names the path and holds all of `parts`.
fn fails(name: &str, parts: &[&str]) {
    let path = data("io/bad").join(name);
    let error = match io::open(&path, &OpenOptions::default()) {
        Ok(volume) => panic!("{name} opened as {} x {} x {}", volume.frames, volume.rows, volume.columns),
        Err(error) => error.to_string(),
    };
    assert!(!error.contains('\n'), "{name}: more than one line: {error}");
    assert!(error.contains(name.split('/').next().unwrap()), "{name}: no path in: {error}");
    for part in parts {
        assert!(error.contains(part), "{name}: no {part:?} in: {error}");
    }
}

#[test]
fn nifti() {
    fails("truncated.nii.gz", &["truncated"]);
    fails("corrupt.nii.gz", &["damaged"]);
    fails("short_header.nii", &["200 bytes", "truncated"]);
    fails("huge_claim.nii", &["truncated", "54000000000000"]);
    fails("huge_claim.nii.gz", &["truncated"]);
    fails("text.nii", &["not a NIfTI file"]);

    fails("four_dimensional.nii", &["4 volumes", "[3, 3, 2, 4]", "0 to 3"]);
    fails("empty.nii", &["empty"]);
    fails("empty.nii.gz", &["empty"]);
}

#[test]
fn dicom() {
    fails("two_series", &["2 series", "series 1", "series 2"]);
    fails("same_place", &["same place", "0.dcm", "1.dcm"]);
    fails("missing_slice", &["not evenly spaced", "1.dcm", "3.dcm"]);
    fails("localizer", &["another angle"]);
    fails("truncated.dcm", &["truncated"]);
    fails("truncated_header.dcm", &["truncated"]);
    fails("few_pixels.dcm", &["truncated", "bytes of pixel data"]);
    fails("text.dcm", &["not a DICOM file"]);
    fails("empty.dcm", &["empty"]);
}

#[test]
fn pictures() {
    fails("mixed_sizes/", &["1.png", "5 x 3", "5 x 4"]);
    fails("mixed_depths/", &["1.png", "uint16", "uint8"]);
    fails("mixed_colours/", &["1.png", "colour", "grey"]);
    fails("no_images", &["without pictures"]);
    fails("both_kinds", &["1 pictures and 1 DICOM"]);
    fails("truncated.png", &["cannot be read as a picture"]);
    fails("text.png", &["picture"]);
    fails("empty.png", &["empty"]);
}

#[test]
fn npy() {
    fails("one_axis.npy", &["[4]", "[frames, rows, columns]"]);
    fails("complex.npy", &["type"]);
    fails("object.npy", &["type"]);
    fails("truncated.npy", &["truncated"]);
    fails("empty.npy", &["empty"]);
}

#[test]
fn others() {
    fails("unknown.xyz", &["no known type"]);
    fails("missing.nii", &["No such file"]);
    fails("missing_folder", &["No such file"]);
}

/// Every byte of a file cut off or flipped: an error or a volume, never a panic, never much memory.
#[test]
fn damage_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = [
        "nifti/slope.nii",
        "nifti/packed.nii.gz",
        "dicom/multiframe.dcm",
        "dicom/palette8.dcm",
        "npy/fortran.npy",
        "pictures/pages.tif",
    ];
    for fixture in fixtures {
        let whole = std::fs::read(data("io").join(fixture)).unwrap();
        let path = folder.path().join(fixture.rsplit('/').next().unwrap());
        let step = (whole.len() / 150).max(1);
        for at in (0..whole.len()).step_by(step) {
            std::fs::write(&path, &whole[..at]).unwrap();
            let _ = io::open(&path, &OpenOptions::default());
            let mut flipped = whole.clone();
            flipped[at] ^= 0xff;
            std::fs::write(&path, &flipped).unwrap();
            let _ = io::open(&path, &OpenOptions::default());
        }
    }
}

#[cfg(unix)]
#[test]
fn no_permission() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("closed.nii");
    std::fs::copy(data("io/nifti/slope.nii"), &path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let error = io::open(&path, &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("closed.nii") && error.contains("ermission"), "{error}");
}
