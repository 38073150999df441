//! Large NIfTI and `.npy` files are read slice by slice; what they say stays the same.

use crate::as_f64;
use sam_octa2_core::io::{self, Crop, OpenOptions};
use sam_octa2_core::volume::Volume;
use std::path::PathBuf;

fn fixtures() -> Vec<PathBuf> {
    of_folder("nifti")
}

fn of_folder(name: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/io").join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn open(path: &PathBuf, lazy: bool, crop: Option<Crop>) -> Option<Volume> {
    let mut options = OpenOptions::default();
    options.volume = Some(0);
    options.crop = crop;
    options.lazy_bytes = lazy.then_some(0);
    io::open(path, &options).ok()
}

#[test]
fn lazy_volumes_equal_whole_ones() {
    let mut compared = 0;
    for path in [of_folder("nifti"), of_folder("npy")].concat() {
        let Some(whole) = open(&path, false, None) else { continue };
        let lazy = open(&path, true, None).unwrap_or_else(|| panic!("{}", path.display()));
        // in Fortran order every slice lies all over the file
        let start = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let can_be = !start.contains("'fortran_order': True");
        assert!(lazy.is_lazy() == can_be && !whole.is_lazy(), "{}", path.display());
        assert_eq!((lazy.shape(), lazy.dtype(), &lazy.geometry), (whole.shape(), whole.dtype(), &whole.geometry));
        assert_eq!(as_f64(&lazy.voxels().unwrap()), as_f64(&whole.voxels().unwrap()), "{}", path.display());
        assert_eq!(lazy.range().unwrap(), whole.range().unwrap());
        compared += 1;
    }
    assert!(compared > 20, "{compared} files");
}

#[test]
fn a_crop_of_a_lazy_volume_stays_lazy() {
    let path =
        fixtures().into_iter().find(|path| open(path, true, None).is_some_and(|volume| volume.columns > 2)).unwrap();
    let crop: Crop = "1,0,1,100%".parse().unwrap();
    let (lazy, whole) = (open(&path, true, Some(crop)).unwrap(), open(&path, false, Some(crop)).unwrap());
    assert!(lazy.is_lazy());
    assert_eq!(lazy.geometry, whole.geometry);
    assert_eq!(as_f64(&lazy.voxels().unwrap()), as_f64(&whole.voxels().unwrap()));
}

#[test]
fn a_file_that_shrinks_is_an_error_and_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.nii");
    let source = fixtures().into_iter().find(|path| {
        path.extension().is_some_and(|e| e == "nii") && open(path, true, None).is_some_and(|v| v.frames > 1)
    });
    std::fs::copy(source.unwrap(), &path).unwrap();
    let volume = open(&path, true, None).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(360).unwrap();
    let error = volume.frame(volume.frames - 1).unwrap_err().to_string();
    assert!(error.contains("short.nii") && error.contains("cannot be read"), "{error}");
}

#[test]
fn an_array_that_shrinks_is_an_error_and_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.npy");
    let whole = crate::open("nifti/packed.nii.gz");
    sam_octa2_core::io::write_volume(&whole, &path, &mut ()).unwrap();
    let volume = open(&path, true, None).unwrap();
    assert_eq!(volume.frame(1).unwrap(), whole.frame(1).unwrap());
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    let error = volume.frame(volume.frames - 1).unwrap_err().to_string();
    assert!(error.contains("short.npy") && error.contains("cannot be read"), "{error}");
    assert!(open(&path, true, None).is_none(), "opened although it is truncated");
}
