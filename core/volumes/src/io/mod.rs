//! `bytes -> Volume` and `Volume, Labels -> bytes`: the only place that knows file formats.
//!
//! [`open`] looks at what lies at a path and hands it to one reader: `nifti`, `dicom`, `stack` (pictures) or `npy`. Voxel
//! values keep their meaning (slopes and modality LUTs applied, windows not) and, where nothing has to be computed, their type;
//! geometry travels with them. Every writer goes through `write`: a temporary file in the same folder, then a rename, so that a
//! failed or cancelled run leaves the previous file whole.
//!
//! To add a format: a module with `read(path) -> Result<Volume>`, and a line in `Kind::of_file`.

mod channel;
mod coco;
mod crop;
mod dicom;
mod frames;
mod gzip;
mod info;
mod label_table;
mod labels;
mod lazy;
mod meta;
mod nifti;
pub(crate) mod npy;
mod nrrd;
mod oct;
mod options;
mod packed;
pub(crate) mod png;
mod probabilities;
mod raw;
mod seg;
mod stack;
mod stored;
mod stream;
mod tiff;
mod write;

pub use channel::Channel;
pub use coco::{Counts, Rle};
pub use crop::Crop;
pub use info::VolumeInfo;
pub use labels::{
    LabelOptions, check_exact, check_label_output, read_labels, read_mask, write_labels, write_labels_with,
};
pub use oct::FileKind;
pub use options::OpenOptions;
pub(crate) use png::{Pixels, write as write_png};
pub use probabilities::{Probabilities, check_probabilities_output, write_probabilities};
pub use seg::{Algorithm, Code, CodedProperty, Property, SegInput, SegOptions, Segment, write_seg};
pub(crate) use write::png_folder;
pub use write::{TEMPORARY, atomic_file, check_output, spare_file, write_picture, write_text, write_volume};

use crate::progress::{Observer, is_stop};
use crate::volume::Volume;
use crate::{Error, Result};
use std::fs;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads what lies at `path`.
///
/// A folder is a stack of pictures (in natural order of their names; subfolders and hidden files do not count), one DICOM series
/// or a DICOMDIR with what it names; a file is a NIfTI volume (or one half of a `.hdr` + `.img` pair), an NRRD volume, a MetaImage, a DICOM
/// image, a numpy array or a picture. The result is `[frames, rows, columns, channels]`.
///
/// Errors name the file and say what is wrong with it: missing, no permission, damaged, truncated, mixed sizes, several series, a
/// crop that does not fit.
pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Volume> {
    open_observed(path.as_ref(), options, &mut ())
}

/// [`open`] with progress (stage `"open"`, one step per slice where slices are files) and cancellation.
pub fn open_observed(path: &Path, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Volume> {
    let kind = Kind::of(path, options)?;
    if matches!(kind, Kind::Dicom(_) | Kind::Npy | Kind::Heyex | Kind::HeyexXml(_) | Kind::Headerless(_)) {
        options.chosen_volume(path, 1, "")?;
    }
    let sample = match &kind {
        Kind::Pictures(files) if files.len() > 1 => oct::octa500::sample(path),
        _ => None,
    };
    // what belongs to whole B-scans is cropped with them
    let later = options.layers.is_some() || options.assume_size.is_some() || sample.is_some();
    let whole = OpenOptions { crop: None, ..options.clone() };
    let options_now = if later { &whole } else { options };
    let volume = contained(path, || read(path, &kind, options_now, observer))?;
    if !later {
        return Ok(volume);
    }
    let mut volume = match sample {
        Some(number) => oct::octa500::described(path, number, volume, options, observer)?,
        None => options.assumed(path, volume)?,
    };
    if let Some(layers) = &options.layers {
        let surfaces = contained(layers, || oct::curves::read(layers, &volume, observer))?;
        let mut scan = volume.scan.as_deref().cloned().unwrap_or_default();
        scan.surfaces = surfaces;
        volume = volume.with_scan(Some(Arc::new(scan)));
    }
    options.crop.as_ref().map_or(Ok(volume.clone()), |crop| frames::crop_volume(volume, crop))
}

/// Reads what lies at a path by the reader of its kind.
fn read(path: &Path, kind: &Kind, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Volume> {
    let volume = match kind {
        Kind::Dicom(files) => dicom::read(path, files, options, observer)?,
        // which chooses the channel, too: of some pictures it is another picture
        Kind::Pictures(files) => return stack::read(path, files, options, observer),
        Kind::Nifti => cropped(path, nifti::read(path, options, observer)?, options, observer)?,
        Kind::Nrrd => cropped(path, nrrd::read(path, options, observer)?, options, observer)?,
        Kind::Meta => cropped(path, meta::read(path, options, observer)?, options, observer)?,
        Kind::Npy => cropped(path, npy::read(path, options)?, options, observer)?,
        Kind::Heyex => cropped(path, oct::heyex::read(path, options, observer)?, options, observer)?,
        Kind::HeyexXml(xml) => cropped(path, oct::heyex_xml::read(xml, options, observer)?, options, observer)?,
        Kind::Headerless(FileKind::Cirrus) => cropped(path, oct::cirrus::read(path, options)?, options, observer)?,
        Kind::Headerless(kind) => cropped(path, oct::optovue::read(path, *kind, options)?, options, observer)?,
    };
    match options.channel {
        Some(channel) => {
            channel.check(path, volume.channels)?;
            channel.of_volume(volume)
        }
        None => Ok(volume),
    }
}

/// A decoder that panics over a damaged file (several of the crates do) is an error of that file.
fn contained<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| match is_stop(panic.as_ref()) {
        true => Err(Error::Cancelled),
        false => Err(Error::format(path, "is damaged, or of a kind that its decoder cannot cope with")),
    })
}

/// Sizes and crops what was read in one step.
fn cropped(path: &Path, mut whole: Volume, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Volume> {
    observer.step("open", 1, 1)?;
    whole.geometry = options.sized(path, whole.geometry, whole.format == "stack")?;
    match &options.crop {
        Some(crop) => frames::crop_volume(whole, crop),
        None => Ok(whole),
    }
}

/// What lies at a path, and which reader takes it.
enum Kind {
    Heyex,
    /// its description
    HeyexXml(PathBuf),
    Headerless(FileKind),
    Nifti,
    Nrrd,
    Meta,
    Npy,
    Dicom(Vec<PathBuf>),
    Pictures(Vec<PathBuf>),
}

impl Kind {
    fn of(path: &Path, options: &OpenOptions) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(Error::io(path))?;
        if metadata.is_dir() {
            return Self::of_folder(path);
        }
        if !metadata.is_file() {
            return Err(Error::format(path, "is neither a file nor a folder"));
        }
        if metadata.len() == 0 {
            return Err(Error::format(path, "is empty (0 bytes)"));
        }
        match options.kind {
            Some(FileKind::HeyexStructure | FileKind::HeyexAngio) => Ok(Self::Heyex),
            Some(kind) => Ok(Self::Headerless(kind)),
            None => Self::of_file(path),
        }
    }

    /// By its ending; where that says nothing (DICOM files often have none), by its first bytes.
    fn of_file(path: &Path) -> Result<Self> {
        let one = || vec![path.to_path_buf()];
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if oct::heyex::is_named_so(&name) {
            return Ok(Self::Heyex);
        }
        // `.img` is also one half of a NIfTI pair, whose name says nothing of a cube
        if oct::cirrus::is_named_so(&name) {
            return Ok(Self::Headerless(FileKind::Cirrus));
        }
        if oct::optovue::named_so(&name) {
            return Ok(Self::Headerless(FileKind::OptovueOct));
        }
        if nifti::is_named_so(&name) {
            return Ok(Self::Nifti);
        }
        if name.ends_with(".npy") {
            return Ok(Self::Npy);
        }
        if nrrd::is_named_so(&name) {
            return Ok(Self::Nrrd);
        }
        if meta::is_named_so(&name) {
            return Ok(Self::Meta);
        }
        if dicom::is_dicom(path)? || dicom::is_named_so(path) {
            return Ok(Self::Dicom(one()));
        }
        if stack::is_picture(path) {
            return Ok(Self::Pictures(one()));
        }
        let mut start = Vec::new();
        fs::File::open(path).and_then(|file| file.take(16).read_to_end(&mut start)).map_err(Error::io(path))?;
        if let Some(refused) = oct::refused(path, &name, &start) {
            return Err(refused);
        }
        if oct::heyex_xml::is_export(path) {
            return Ok(Self::HeyexXml(path.to_path_buf()));
        }
        if start.starts_with(b"HSF-OCT") {
            return Ok(Self::Heyex);
        }
        let what = "is of no known type; a volume is .nii, .nii.gz, .hdr + .img, .nrrd, .nhdr, .mha, .mhd, .npy, .vol (HEYEX), DICOM, a picture (PNG, JPEG, TIFF, BMP, \
                    WebP) or a folder of pictures or DICOM files; `--kind` names what a file without a header is (optovue-angio, optovue-enface, \
                    optovue-oct, cirrus)";
        Err(Error::format(path, what))
    }

    fn of_folder(folder: &Path) -> Result<Self> {
        if let Some(directory) = dicom::directory_of(folder) {
            return Ok(Self::Dicom(vec![directory]));
        }
        if let Some(xml) = oct::heyex_xml::of_folder(folder) {
            return Ok(Self::HeyexXml(xml));
        }
        let pictures = stack::pictures_of(folder)?;
        let mut dicoms = Vec::new();
        for path in listing(folder)? {
            let named = dicom::is_named_so(&path);
            if named || (!stack::is_picture(&path) && dicom::is_dicom(&path)?) {
                dicoms.push(path);
            }
        }
        if !dicoms.is_empty()
            && let Some(empty) = listing(folder)?.into_iter().find(|path| is_empty_slice(path))
        {
            return Err(Error::format(empty, "is empty (0 bytes): a slice that was not written, or not fetched?"));
        }
        match (pictures.len(), dicoms.len()) {
            (0, 0) => {
                if let Some(hint) = oct::octa500::hint(folder) {
                    return Err(hint);
                }
                let what = "is a folder without pictures (PNG, JPEG, TIFF, BMP, WebP) or DICOM files; subfolders are not searched";
                Err(Error::format(folder, what))
            }
            (_, 0) => Ok(Self::Pictures(pictures)),
            (0, _) => Ok(Self::Dicom(dicoms)),
            (p, d) => {
                let what = format!("holds {p} pictures and {d} DICOM files: keep one kind of slices per folder");
                Err(Error::format(folder, what))
            }
        }
    }
}

/// DICOM files often have names without an ending, and an empty one looks like nothing.
fn is_empty_slice(path: &Path) -> bool {
    path.extension().is_none() && fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0)
}

/// how files begin that stand for the content of another, which git-annex and Git LFS have not fetched
const POINTERS: [&[u8]; 3] = [b"/annex/objects/", b"/annex\\objects\\", b"version https://git-lfs"];

/// The visible files of a folder in natural order of their names: `2.png` before `10.png`.
/// Errors: a link that leads to nothing, a file that only stands for a slice: a stack without it would be another one.
fn listing(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        // metadata through the path follows links: a folder of links to slices is a stack
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                there(&path, metadata.len())?;
                files.push(path);
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.is_symlink() => {
                let what = "is a link to a file that is not there (`git annex get`, `datalad get`?): fetch it, or take it away";
                return Err(Error::format(path, what));
            }
            Err(error) => return Err(Error::io(&path)(error)),
        }
    }
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // names that only differ in leading zeros compare equal in natural order
    files.sort_by(|a, b| natord::compare(&name(a), &name(b)).then_with(|| a.cmp(b)));
    Ok(files)
}

/// Is the content of a file that may be a slice there? Names with an ending of their own say what they are without a look.
fn there(path: &Path, length: u64) -> Result<()> {
    let slice = path.extension().is_none() || stack::is_picture(path) || dicom::is_named_so(path);
    if slice && length < 1024 {
        let start = fs::read(path).map_err(Error::io(path))?;
        if POINTERS.iter().any(|pointer| start.starts_with(pointer)) {
            let what = "only stands for a slice (git-annex, Git LFS): fetch its content";
            return Err(Error::format(path, what));
        }
    }
    Ok(())
}
