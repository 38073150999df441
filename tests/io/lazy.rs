//! Large NIfTI, DICOM and `.npy` files are read slice by slice; what they say stays the same.

use crate::{as_f64, data};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use sam_octa2_volumes::io::{self, Channel, Crop, OpenOptions};
use sam_octa2_volumes::volume::Volume;
use std::path::{Path, PathBuf};

/// Files and folders of volumes.
fn fixtures(folders: &[&str]) -> Vec<PathBuf> {
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(data(folder)).unwrap());
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

const DICOM: [&str; 3] = ["dicom", "io/dicom", "io/seg"];

/// The first volume of files that may hold several.
fn chosen(path: &Path) -> Option<usize> {
    let several = ["nifti", "nrrd", "meta"];
    path.components().any(|part| several.iter().any(|name| part.as_os_str() == *name)).then_some(0)
}

fn open(path: &Path, lazy: bool, crop: Option<Crop>, channel: Option<Channel>) -> Option<Volume> {
    let mut options = OpenOptions::default();
    options.volume = chosen(path);
    (options.crop, options.channel) = (crop, channel);
    options.lazy_bytes = lazy.then_some(0);
    io::open(path, &options).ok()
}

/// An array in Fortran order is read whole: each of its slices lies all over the file.
fn fortran(path: &Path) -> bool {
    let npy = path.extension().is_some_and(|ending| ending == "npy");
    npy && String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains("'fortran_order': True")
}

fn assert_equal(lazy: &Volume, whole: &Volume, path: &Path) {
    assert!(lazy.is_lazy() != fortran(path) && !whole.is_lazy(), "{}", path.display());
    assert_eq!((lazy.shape(), lazy.dtype(), &lazy.geometry), (whole.shape(), whole.dtype(), &whole.geometry));
    assert_eq!(lazy.window, whole.window, "{}", path.display());
    assert_eq!(as_f64(&lazy.voxels().unwrap()), as_f64(&whole.voxels().unwrap()), "{}", path.display());
    // out of order, too
    for frame in (0..whole.frames).rev() {
        assert_eq!(lazy.frame(frame).unwrap(), whole.frame(frame).unwrap(), "{}", path.display());
    }
    assert_eq!(lazy.range().unwrap(), whole.range().unwrap());
}

#[test]
fn lazy_volumes_equal_whole_ones() {
    for (folders, least) in
        [(&["io/nifti"][..], 11), (&["io/nrrd", "io/meta"][..], 40), (&["io/npy"][..], 5), (&DICOM[..], 65)]
    {
        let mut compared = 0;
        for path in fixtures(folders) {
            let Some(whole) = open(&path, false, None, None) else { continue };
            let lazy = open(&path, true, None, None).unwrap_or_else(|| panic!("{}", path.display()));
            assert_equal(&lazy, &whole, &path);
            compared += 1;
        }
        assert!(compared >= least, "{folders:?}: {compared} files");
    }
}

#[test]
fn crops_and_channels_of_lazy_volumes_stay_lazy() {
    let crop: Option<Crop> = Some("1,0,1,100%".parse().unwrap());
    let (mut cropped, mut colour) = (0, 0);
    for path in fixtures(&["io/nifti", "io/nrrd", "io/meta", "dicom", "io/dicom"]) {
        let Some(whole) = open(&path, false, None, None).filter(|volume| volume.columns > 2) else { continue };
        let both = |channel| [true, false].map(|lazy| open(&path, lazy, crop, channel).unwrap());
        let [lazy, eager] = both(None);
        assert_equal(&lazy, &eager, &path);
        cropped += 1;
        if whole.channels == 3 {
            let [lazy, eager] = both(Some(Channel::Luminance));
            assert_equal(&lazy, &eager, &path);
            colour += 1;
        }
    }
    assert!(cropped > 40 && colour > 8, "{cropped}, {colour}");
}

#[test]
fn a_file_that_shrinks_is_an_error_and_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let nifti = fixtures(&["io/nifti"]).into_iter().find(|path| {
        path.extension().is_some_and(|e| e == "nii") && open(path, true, None, None).is_some_and(|v| v.frames > 1)
    });
    let cases = [(nifti.unwrap(), 360), (data("io/dicom/multiframe.dcm"), 700), (data("dicom/htj2k_grey8.dcm"), 900)];
    for (source, length) in cases {
        let path = folder.path().join(source.file_name().unwrap());
        std::fs::copy(&source, &path).unwrap();
        let volume = open(&path, true, None, None).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        let error = volume.frame(volume.frames - 1).unwrap_err().to_string();
        let named = error.contains(&*path.file_name().unwrap().to_string_lossy());
        assert!(named && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn a_slice_of_another_size_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for (entry, rows) in std::fs::read_dir(data("io/seg/ct")).unwrap().zip([None, Some(5u16), None, None, None]) {
        let entry = entry.unwrap();
        let mut object = dicom_object::open_file(entry.path()).unwrap();
        if let Some(rows) = rows {
            object.put(DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(rows)));
        }
        object.write_to_file(folder.path().join(entry.file_name())).unwrap();
    }
    for lazy_bytes in [None, Some(0)] {
        let mut options = OpenOptions::default();
        options.lazy_bytes = lazy_bytes;
        let error = io::open(folder.path(), &options).unwrap_err().to_string();
        assert!(error.contains("7 x 5 pixels") && error.contains("7 x 6 pixels"), "{error}");
    }
}

#[test]
fn an_array_that_shrinks_is_an_error_and_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.npy");
    let whole = crate::open("nifti/packed.nii.gz");
    sam_octa2_volumes::io::write_volume(&whole, &path, &mut ()).unwrap();
    let volume = open(&path, true, None, None).unwrap();
    assert_eq!(volume.frame(1).unwrap(), whole.frame(1).unwrap());
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    let error = volume.frame(volume.frames - 1).unwrap_err().to_string();
    assert!(error.contains("short.npy") && error.contains("cannot be read"), "{error}");
    assert!(open(&path, true, None, None).is_none(), "opened although it is truncated");
}

#[test]
fn volumes_that_are_used_once_are_the_same() {
    let mut compared = 0;
    let tiffs = fixtures(&["io/pictures"]).into_iter().filter(|path| path.extension().is_some_and(|e| e == "tif"));
    for path in fixtures(&["io/nifti", "io/npy", "io/nrrd", "io/meta"]).into_iter().chain(tiffs) {
        let Some(whole) = open(&path, false, None, None) else { continue };
        let mut options = OpenOptions::default();
        options.volume = chosen(&path);
        options.once = true;
        assert_equal(&io::open(&path, &options).unwrap(), &whole, &path);
        compared += 1;
    }
    assert!(compared > 30, "{compared} files");
}

#[test]
fn pages_that_are_used_once_are_all_there_and_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pages.tif");
    let whole = std::fs::read(data("io/pictures/pages.tif")).unwrap();
    let mut options = OpenOptions::default();
    options.crop = Some("1,1,2,2".parse().unwrap());
    let cropped = io::open(data("io/pictures/pages.tif"), &options).unwrap();
    options.once = true;
    let once = io::open(data("io/pictures/pages.tif"), &options).unwrap();
    assert_eq!(
        (once.is_lazy(), once.shape(), once.voxels().unwrap()),
        (true, cropped.shape(), cropped.voxels().unwrap())
    );
    let (mut damaged, mut refused) = (0, 0);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        std::fs::write(&path, &bytes).unwrap();
        let read = |once| {
            let mut options = OpenOptions::default();
            options.once = once;
            let volume =
                io::open(&path, &options).and_then(|volume| Ok((volume.voxels()?.into_owned(), volume.geometry)));
            volume.map_err(|error| error.to_string())
        };
        let (eager, lazy) = (read(false), read(true));
        match (&eager, &lazy) {
            (Err(_), Err(error)) => {
                assert!(error.contains("pages.tif"), "{error}");
                refused += 1;
            }
            _ => assert_eq!(eager, lazy, "byte {at}"),
        }
        damaged += 1;
    }
    assert!(refused > 50 && damaged > refused, "{refused} of {damaged}");
}

#[test]
fn a_packed_file_that_is_used_once_is_checked_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(data("io/nifti/packed.nii.gz")).unwrap();
    let mut damaged = whole.clone();
    let checksum = damaged.len() - 6;
    damaged[checksum] ^= 1;
    for (name, bytes) in [("cut.nii.gz", &whole[..whole.len() - 20]), ("sum.nii.gz", &damaged[..])] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut options = OpenOptions::default();
        options.once = true;
        let read = io::open(&path, &options).and_then(|volume| volume.voxels().map(drop));
        let error = read.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("damaged or truncated"), "{error}");
    }
}
