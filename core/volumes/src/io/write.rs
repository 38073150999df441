//! `Volume -> bytes`, and how every file of this crate comes to be: beside its place, then renamed into it.

use super::png::{self, Pixels};
use super::{meta, nifti, npy, nrrd, tiff};
use crate::progress::{Observer, written};
use crate::volume::{Volume, Voxels};
use crate::{Error, Result, with_voxels};
use std::fs::{self, Permissions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What an output path asks for, by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Nifti,
    Nrrd,
    Meta,
    Npy,
    PngFolder,
    Tiff,
    /// DICOM Segmentation: labels only
    Seg,
    /// COCO JSON: labels only
    Coco,
}

/// Names of files that are not in their place yet begin so.
pub const TEMPORARY: &str = ".sam-octa2-";

/// for error lines
const WRITABLE: &str = ".nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, .npy, .tif, a folder (a name without ending) for PNGs, or for labels also .dcm or .json";

impl Target {
    pub fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name.ends_with(".nii") || name.ends_with(".nii.gz") {
            return Ok(Self::Nifti);
        }
        if nrrd::is_named_so(&name) {
            return Ok(Self::Nrrd);
        }
        if meta::is_named_so(&name) {
            return Ok(Self::Meta);
        }
        if name.ends_with(".npy") {
            return Ok(Self::Npy);
        }
        if name.ends_with(".tif") || name.ends_with(".tiff") {
            return Ok(Self::Tiff);
        }
        if name.ends_with(".dcm") {
            return Ok(Self::Seg);
        }
        if name.ends_with(".json") {
            return Ok(Self::Coco);
        }
        // a folder named like a file is nobody's wish, unless it is there
        match path.extension() {
            Some(ending) if !path.is_dir() => {
                let ending = ending.to_string_lossy();
                Err(Error::Invalid(format!("{}: cannot write .{ending}; write {WRITABLE}", path.display())))
            }
            _ => Ok(Self::PngFolder),
        }
    }
}

/// Writes a volume by the ending of `path`.
///
/// `.nii`, `.nii.gz`: NIfTI-1 with sform and qform in millimetres; colour as RGB24. `.nrrd` (packed), `.nhdr` and `.mhd` (each with a
/// `.raw` file beside it), `.mha`: in ITK's space. `.npy`: `[frames, rows, columns]` or
/// `[frames, rows, columns, 3]`, no geometry. `.tif`, `.tiff`: one page per slice. Otherwise a folder of `00000.png`, `00001.png`, ...: 8- and 16-bit unsigned values as
/// they are; any other type is an error, because squeezing it into PNG would change what the values mean.
pub fn write_volume(volume: &Volume, path: impl AsRef<Path>, observer: &mut dyn Observer) -> Result<()> {
    let path = path.as_ref();
    match Target::of(path)? {
        Target::Nifti => return write_nifti(volume, path, observer),
        Target::Nrrd | Target::Meta => return write_with_header(volume, path, observer),
        Target::Npy => return write_npy(volume, path, observer),
        Target::Tiff => {
            observer.step("write", 0, 1)?;
            tiff::write_volume(volume, path)?;
        }
        Target::Seg | Target::Coco => {
            let what = "a file of this type holds labels, not volumes";
            return Err(Error::Invalid(format!("{}: {what}; write {WRITABLE}", path.display())));
        }
        Target::PngFolder => return write_png_folder(volume, path, observer),
    }
    observer.step("write", 1, 1)
}

fn write_nifti(volume: &Volume, path: &Path, observer: &mut dyn Observer) -> Result<()> {
    let kind = match (volume.channels, &volume.frame(0)?) {
        (1, voxels) => with_voxels!(voxels, values => nifti::Kind::of(values)),
        (_, Voxels::U8(_)) => nifti::Kind::of::<[u8; 3]>(&[]),
        (_, other) => return Err(no_place(path, &format!("colour of type {}", other.dtype()), "NIfTI", ".npy")),
    };
    let sides = [volume.columns, volume.rows, volume.frames];
    nifti::write_parts(path, kind, &sides, &volume.geometry, &mut |out| {
        each_part(volume, observer, |voxels| {
            with_voxels!(voxels, values => nifti::write_values(out, values)).map_err(Error::io(path))
        })
    })
}

/// NRRD and MetaImage: any type, grey or colour.
fn write_with_header(volume: &Volume, path: &Path, observer: &mut dyn Observer) -> Result<()> {
    let kind = with_voxels!(&volume.frame(0)?, values => nifti::Kind::of(values));
    let sides = [volume.columns, volume.rows, volume.frames];
    let mut fill = |out: &mut dyn Write| {
        each_part(volume, observer, |voxels| {
            with_voxels!(voxels, values => nifti::write_values(out, values)).map_err(Error::io(path))
        })
    };
    match Target::of(path)? {
        Target::Nrrd => nrrd::write_parts(path, kind, volume.channels, sides, &volume.geometry, "", &mut fill),
        _ => meta::write_parts(path, kind, volume.channels, sides, &volume.geometry, &mut fill),
    }
}

/// Writes a volume of one slice as a PNG. Errors: several slices, values that PNG has no place for, another ending.
pub fn write_picture(volume: &Volume, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        return Err(Error::Invalid(format!("{}: a picture is written as .png", path.display())));
    }
    if volume.frames != 1 {
        return Err(Error::format(path, format!("a picture is one slice, not {}", volume.frames)));
    }
    atomic_file(path, |temporary| write_png(volume, 0, temporary))
}

/// Writes text as it is; the file appears whole or not at all.
pub fn write_text(path: impl AsRef<Path>, text: &str) -> Result<()> {
    atomic_file(path.as_ref(), |temporary| fs::write(temporary, text).map_err(Error::io(temporary)))
}

fn write_npy(volume: &Volume, path: &Path, observer: &mut dyn Observer) -> Result<()> {
    let mut shape = [volume.frames, volume.rows, volume.columns].map(|n| n as u64).to_vec();
    shape.extend((volume.channels > 1).then_some(volume.channels as u64));
    atomic_file(path, |temporary| {
        let mut out = fs::File::create(temporary).map_err(Error::io(path))?;
        let header = with_voxels!(&volume.frame(0)?, values => npy::header_of(values, &shape));
        out.write_all(&header).map_err(Error::io(path))?;
        each_part(volume, observer, |voxels| {
            with_voxels!(voxels, values => out.write_all(bytemuck::cast_slice(values))).map_err(Error::io(path))
        })
    })
}

/// The values in order: all at once where they lie in memory, else slice by slice.
fn each_part(volume: &Volume, observer: &mut dyn Observer, mut write: impl FnMut(&Voxels) -> Result<()>) -> Result<()> {
    if !volume.is_lazy() {
        observer.step("write", 0, 1)?;
        write(&*volume.voxels()?)?;
        return observer.step("write", 1, 1);
    }
    for frame in 0..volume.frames {
        observer.step("write", frame, volume.frames)?;
        write(&volume.frame(frame)?)?;
    }
    observer.step("write", volume.frames, volume.frames)
}

pub(super) fn no_place(path: &Path, kind: &str, format: &str, instead: &str) -> Error {
    Error::Invalid(format!("{}: {format} has no place for {kind}; write {instead}", path.display()))
}

/// Lets `write` fill a temporary file beside `path`, and renames it into place when that succeeded.
///
/// Parent folders are created. The temporary name keeps the ending of `path`.
pub fn atomic_file(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    put_in_place(path, true, write)
}

/// The same for what can be made again and is checked when it is read: does not wait until it is on the disk.
pub fn spare_file(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    put_in_place(path, false, write)
}

fn put_in_place(path: &Path, flush: bool, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.is_dir() {
        return Err(Error::format(path, "is a folder, not a file that could be written"));
    }
    let parent = parent_of(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_lowercase();
    let ending = [".nii.gz", ".nii", ".nrrd", ".mha", ".npy", ".png", ".gif", ".safetensors", ".json"]
        .into_iter()
        .find(|ending| lower.ends_with(ending));
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).suffix(ending.unwrap_or(""));
    let temporary = with_usual_permissions(&mut builder, 0o666).tempfile_in(&parent).map_err(cannot_create(path))?;
    let usual = temporary.as_file().metadata().map_err(Error::io(path))?.permissions();
    write(temporary.path()).map_err(|error| in_place(error, temporary.path(), path))?;
    let file = fs::File::open(temporary.path()).map_err(Error::io(path))?;
    let made = file.metadata().map_err(Error::io(path))?;
    written(made.len())?;
    if made.permissions() != usual {
        // a library put a file of its own in the place
        fs::set_permissions(temporary.path(), usual).map_err(Error::io(path))?;
    }
    if flush {
        file.sync_all().map_err(Error::io(path))?;
    }
    temporary.persist(path).map_err(|error| Error::io(path)(error.error))?;
    Ok(())
}

/// Temporary files are private by default; results should have the rights that the user's umask gives.
fn with_usual_permissions<'a, 'b, 'c>(
    builder: &'a mut tempfile::Builder<'b, 'c>,
    mode: u32,
) -> &'a mut tempfile::Builder<'b, 'c> {
    #[cfg(unix)]
    builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// The reason without the temporary name, which says nothing to anybody.
fn cannot_create(path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<'_> {
    move |error| Error::io(path)(error.kind().into())
}

/// The same error about the place that the user named, not the temporary one.
fn in_place(mut error: Error, temporary: &Path, path: &Path) -> Error {
    if let Error::Io { path: named, .. } | Error::Format { path: named, .. } = &mut error
        && let Ok(inside) = named.strip_prefix(temporary)
    {
        *named = if inside.as_os_str().is_empty() { path.to_path_buf() } else { path.join(inside) };
    }
    error
}

/// The folder that `path` goes into, created where it is missing.
fn parent_of(path: &Path) -> Result<PathBuf> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
    Ok(parent)
}

/// An error when writing `output` would destroy `input`: the same file or folder, or one that holds the other.
pub fn check_output(input: impl AsRef<Path>, output: impl AsRef<Path>) -> Result<()> {
    let (input, output) = (input.as_ref(), output.as_ref());
    let (Ok(real_input), Ok(real_output)) = (input.canonicalize(), output.canonicalize()) else { return Ok(()) };
    if real_input == real_output || (real_output.is_dir() && real_input.starts_with(&real_output)) {
        return Err(Error::Invalid(format!("{}: would overwrite the input; name another output", output.display())));
    }
    Ok(())
}

fn write_png_folder(volume: &Volume, path: &Path, observer: &mut dyn Observer) -> Result<()> {
    if !matches!(volume.dtype(), "uint8" | "uint16") {
        let kind = format!("values of type {} (8 and 16 bit unsigned only)", volume.dtype());
        return Err(no_place(path, &kind, "PNG", ".nii.gz or .npy"));
    }
    png_folder(path, volume.frames, observer, |frame, file| write_png(volume, frame, file))
}

fn write_png(volume: &Volume, frame: usize, file: &Path) -> Result<()> {
    let voxels = volume.frame(frame)?;
    let pixels = match (&voxels, volume.channels) {
        (Voxels::U8(values), 1) => Pixels::Grey8(values),
        (Voxels::U8(values), _) => Pixels::Rgb8(values),
        (Voxels::U16(values), 1) => Pixels::Grey16(values),
        (Voxels::U16(values), _) => Pixels::Rgb16(values),
        _ => return Err(Error::invalid("PNG holds 8- and 16-bit unsigned values")),
    };
    png::write(file, volume.columns, volume.rows, pixels)
}

/// Fills a folder with `00000.png`, `00001.png`, ... beside its place and swaps it in. A folder that holds anything but an earlier
/// result of this function is refused.
pub(crate) fn png_folder(
    path: &Path,
    frames: usize,
    observer: &mut dyn Observer,
    mut write: impl FnMut(usize, &Path) -> Result<()>,
) -> Result<()> {
    let exists = path.symlink_metadata().is_ok();
    if exists {
        replaceable(path)?;
    }
    let parent = parent_of(path)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    let fresh = with_usual_permissions(&mut builder, 0o777).tempdir_in(&parent).map_err(cannot_create(path))?;
    for frame in 0..frames {
        observer.step("write", frame, frames)?;
        let file = fresh.path().join(format!("{frame:05}.png"));
        write(frame, &file).map_err(|error| in_place(error, fresh.path(), path))?;
        written(file.metadata().map_err(Error::io(path))?.len())?;
    }
    if exists {
        let old = builder.tempdir_in(&parent).map_err(cannot_create(path))?;
        let aside = old.path().join("old");
        fs::rename(path, &aside).map_err(Error::io(path))?;
        if let Err(error) = fs::rename(fresh.path(), path) {
            let _ = fs::rename(&aside, path);
            return Err(Error::io(path)(error));
        }
    } else {
        fs::rename(fresh.path(), path).map_err(Error::io(path))?;
    }
    // it has moved away: nothing is left to clean up under the temporary name
    let _ = fresh.keep();
    observer.step("write", frames, frames)
}

/// Is the folder empty, or filled by [`png_folder`]?
fn replaceable(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir()) {
        return Err(Error::format(path, "exists and is not a folder; for a PNG stack name a new folder"));
    }
    for entry in fs::read_dir(path).map_err(Error::io(path))? {
        let entry = entry.map_err(Error::io(path))?;
        let name = entry.file_name();
        let numbered = name
            .to_str()
            .and_then(|name| name.strip_suffix(".png"))
            .is_some_and(|stem| stem.len() >= 5 && stem.bytes().all(|b| b.is_ascii_digit()));
        if !numbered || !png::is_ours(&entry.path()) {
            let what = format!(
                "holds files that are no earlier result of this program ({}): name a new folder",
                name.display()
            );
            return Err(Error::format(path, what));
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

    /// `safetensors` writes a file of its own, for the user alone, and renames it.
    #[test]
    fn a_file_that_a_library_made_has_the_usual_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        fs::write(folder.path().join("usual"), "x").unwrap();
        let private = |temporary: &Path| {
            fs::remove_file(temporary).unwrap();
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary);
            std::io::Write::write_all(&mut file.unwrap(), b"x").map_err(Error::io(temporary))
        };
        atomic_file(&folder.path().join("made"), private).unwrap();
        assert_eq!(mode("made"), mode("usual"));
    }
}
