//! NRRD (`.nrrd`, `.nhdr`), the format of teem, ITK and 3D Slicer, with Slicer's segmentations (`.seg.nrrd`).
//!
//! Standard: <https://teem.sourceforge.net/nrrd/format.html>. The fastest axis is written first, as in NIfTI; so no voxel moves.

mod grid;
mod header;
mod segments;
mod write;

pub(super) use segments::{names, read as read_segmentation};
pub(super) use write::{raw_beside, write_labels, write_parts};

use super::OpenOptions;
use super::stored::{Element, Scalar, Stored};
use super::stream::{Packing, Stream};
use crate::progress::Observer;
use crate::volume::Volume;
use crate::{Error, Result};
use grid::Grid;
use header::Header;
use std::fs;
use std::io::BufRead;
use std::path::{Component, Path, PathBuf};

/// Does the file's name (in lower case) end like an NRRD's?
pub(super) fn is_named_so(name: &str) -> bool {
    name.ends_with(".nrrd") || name.ends_with(".nhdr")
}

/// Reads a volume.
pub(super) fn read(path: &Path, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Volume> {
    let header = Header::read(path)?;
    let grid = Grid::of(path, &header)?;
    let choices = if grid.colour { grid.volumes } else { grid.volumes.saturating_mul(grid.components) };
    let chosen = options.chosen_volume(path, choices, "axes beside those in space")?;
    let (stored, note) = stored(path, &header, &grid, chosen)?;
    if let Some(note) = note {
        observer.note(&format!("{}: {note}", path.display()));
    }
    stored.read(options)
}

/// Where the chosen volume lies, and what people should know of it. Of interleaved values every `components`-th is its.
fn stored(path: &Path, header: &Header, grid: &Grid, chosen: u64) -> Result<(Stored, Option<String>)> {
    let scalar = scalar(path, header.wanted(path, &["type"])?)?;
    let big_endian = is_big_endian(path, header, scalar)?;
    let components = usize::try_from(grid.components).ok().filter(|&n| n <= 1 << 16).ok_or_else(|| {
        Error::format(path, format!("has impossible sizes in its NRRD header: {} values per voxel", grid.components))
    })?;
    let (element, volume) = match grid.colour {
        true => (Element::colour(scalar, big_endian, components), chosen),
        false => {
            let (volume, first) = (chosen / grid.components, (chosen % grid.components) as usize);
            (Element { components, first, ..Element::plain(scalar, big_endian) }, volume)
        }
    };
    let (geometry, note) = grid.geometry(path, header)?;
    let whole = grid.shape.iter().fold(element.size(), |bytes, &side| bytes.saturating_mul(side));
    let (data, at) = data_of(path, header)?;
    let packing = packing(path, header)?;
    let at = lines_skipped(&data, at, number(path, header, &["lineskip"])?)?;
    let all = whole.saturating_mul(grid.volumes);
    let (at, skip) = match (number(path, header, &["byteskip"])?, packing) {
        // the voxels are the end of the file
        (-1, Packing::Plain) => {
            let length = fs::metadata(&data).map_err(Error::io(&data))?.len();
            (length.checked_sub(all).unwrap_or(length), 0)
        }
        (skip @ 0.., _) => (at, skip.unsigned_abs()),
        (skip, _) => {
            return Err(Error::format(path, format!("has an impossible byte skip in its NRRD header: {skip}")));
        }
    };
    let skip = skip.saturating_add(volume.saturating_mul(whole));
    let (shape, header, format) = (grid.shape, "NRRD", "nrrd");
    Ok((Stored { path: data, header, format, at, packing, skip, shape, element, geometry }, note))
}

fn scalar(path: &Path, name: &str) -> Result<Scalar> {
    let name = name.to_lowercase();
    Ok(match name.split_whitespace().collect::<Vec<_>>().join(" ").as_str() {
        "signed char" | "int8" | "int8_t" => Scalar::I8,
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Scalar::U8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Scalar::I16,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Scalar::U16,
        "int" | "signed int" | "int32" | "int32_t" => Scalar::I32,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Scalar::U32,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => Scalar::I64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => Scalar::U64,
        "float" => Scalar::F32,
        "double" => Scalar::F64,
        "block" => {
            let what = "holds blocks of bytes, not numbers; save integers or floats";
            return Err(Error::Unsupported(format!("{}: {what}", path.display())));
        }
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(Error::format(path, format!("has the NRRD type {other:?}, which is no integer or float type")));
        }
    })
}

fn is_big_endian(path: &Path, header: &Header, scalar: Scalar) -> Result<bool> {
    match (header.field(&["endian"]).map(str::to_lowercase).as_deref(), scalar.size()) {
        (Some("big"), _) => Ok(true),
        (Some("little"), _) | (None, 1) => Ok(false),
        (Some(_), 1) => Ok(false),
        (Some(other), _) => {
            let other: String = other.chars().take(40).collect();
            Err(Error::format(
                path,
                format!("has the byte order {other:?} in its NRRD header, which is neither big nor little"),
            ))
        }
        (None, _) => {
            Err(Error::format(path, "does not say the order of its bytes (field `endian`) in its NRRD header"))
        }
    }
}

fn packing(path: &Path, header: &Header) -> Result<Packing> {
    match header.wanted(path, &["encoding"])?.to_lowercase().as_str() {
        "raw" => Ok(Packing::Plain),
        "gzip" | "gz" => Ok(Packing::Gzip),
        other => {
            let other: String = other.chars().take(40).collect();
            let what = format!("its voxels are in NRRD encoding {other:?}; save them raw or gzip");
            Err(Error::Unsupported(format!("{}: {what}", path.display())))
        }
    }
}

fn number(path: &Path, header: &Header, names: &[&str]) -> Result<i64> {
    let Some(text) = header.field(names) else { return Ok(0) };
    text.parse().map_err(|_| {
        let text: String = text.chars().take(40).collect();
        Error::format(path, format!("says {} {text:?} in its NRRD header, which is no number", names[0]))
    })
}

/// The file that holds the voxels, and where they begin.
fn data_of(path: &Path, header: &Header) -> Result<(PathBuf, u64)> {
    match header.field(&["datafile"]) {
        Some(name) => Ok((beside(path, name, "NRRD")?, 0)),
        None if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("nhdr")) => {
            Err(Error::format(path, "is an NRRD header alone and does not say where its voxels are (`data file`)"))
        }
        None => Ok((path.to_path_buf(), header.end)),
    }
}

/// A file that a header names: beside it or below, nowhere else. Errors: several files, another place, a file that is not there.
pub(super) fn beside(path: &Path, name: &str, format: &str) -> Result<PathBuf> {
    let several = name.contains('%') || ["LIST", "LIST 2", "LIST 3"].contains(&name) || name.starts_with("LIST ");
    if several {
        let what = "keeps its voxels in several files; save them as one";
        return Err(Error::Unsupported(format!("{}: {what} ({format}: {name:?})", path.display())));
    }
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside || name.is_empty() {
        let what = format!("names {name:?} for its voxels, which is not beside it; put both into one folder");
        return Err(Error::format(path, what));
    }
    let data = path.parent().unwrap_or(Path::new("")).join(name);
    match data.is_file() {
        true => Ok(data),
        false => Err(Error::format(path, format!("keeps its voxels in {name:?}, which is not beside it"))),
    }
}

/// Where a number of lines ends.
fn lines_skipped(data: &Path, at: u64, lines: i64) -> Result<u64> {
    if lines <= 0 {
        return Ok(at);
    }
    let (mut stream, _) = Stream::open_at(data, at, Packing::Plain)?;
    let Stream::Plain(reader) = &mut stream else { return Ok(at) };
    let mut end = at;
    for _ in 0..lines {
        let read = reader.skip_until(b'\n').map_err(Error::io(data))?;
        if read == 0 {
            break;
        }
        end += read as u64;
    }
    Ok(end)
}
