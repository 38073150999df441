//! MetaImage (`.mha`, `.mhd` + the file it names), ITK's own format: a text of `Key = Value` lines, then the voxels.
//!
//! Described at <https://itk.org/Wiki/ITK/MetaIO/Documentation>. Places are in ITK's space (left, posterior, superior); `TransformMatrix`
//! holds the direction of one axis after another.

use super::OpenOptions;
use super::nifti::{Kind, write_values};
use super::nrrd::{beside, raw_beside};
use super::stored::{Element, Scalar, Stored};
use super::stream::Packing;
use super::write::atomic_file;
use crate::progress::Observer;
use crate::volume::{Geometry, Labels, Volume};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

/// no header is longer
const MAX_HEADER: u64 = 1 << 20;

/// Does the file's name (in lower case) end like a MetaImage's?
pub(super) fn is_named_so(name: &str) -> bool {
    name.ends_with(".mha") || name.ends_with(".mhd")
}

/// The lines of the header by their keys in lower case.
struct Header {
    fields: BTreeMap<String, String>,
    /// where the voxels begin, if they are in the same file
    end: u64,
}

impl Header {
    /// Reads up to `ElementDataFile`, which is the last line.
    fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let mut reader = BufReader::new(file.take(MAX_HEADER));
        let mut header = Self { fields: BTreeMap::new(), end: 0 };
        let mut line = Vec::new();
        let none = |what: &str| Error::format(path, format!("is no MetaImage, or damaged: {what}"));
        loop {
            line.clear();
            header.end += reader.read_until(b'\n', &mut line).map_err(Error::io(path))? as u64;
            if line.is_empty() {
                return Err(none("its header does not end with ElementDataFile"));
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let start = || text.chars().take(40).collect::<String>();
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| none(&format!("a line of its header is no `Key = Value`: {:?}", start())))?;
            let key = key.trim().to_lowercase();
            let last = key == "elementdatafile";
            header.fields.insert(key, value.trim().to_owned());
            if last {
                return Ok(header);
            }
        }
    }

    fn get(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| self.fields.get(*key)).map(String::as_str)
    }

    fn numbers(&self, path: &Path, keys: &[&str]) -> Result<Option<Vec<f64>>> {
        let Some(text) = self.get(keys) else { return Ok(None) };
        let numbers: Option<Vec<f64>> = text.split_whitespace().map(|number| number.parse().ok()).collect();
        numbers.map(Some).ok_or_else(|| {
            let text: String = text.chars().take(40).collect();
            Error::format(path, format!("says {} = {text:?} in its MetaImage header, which are no numbers", keys[0]))
        })
    }

    fn is(&self, key: &str) -> bool {
        self.get(&[key]).is_some_and(|value| value.to_lowercase().starts_with('t') || value == "1")
    }
}

/// Reads a volume.
pub(super) fn read(path: &Path, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Volume> {
    let header = Header::read(path)?;
    let sides = sides(path, &header)?;
    let element = element(path, &header)?;
    let volumes = sides[3..].iter().fold(1u64, |all, &side| all.saturating_mul(side));
    let kept = if element.kept == 3 { 1 } else { element.components as u64 };
    let chosen = options.chosen_volume(path, volumes.saturating_mul(kept), "times or components")?;
    let (volume, first) = (chosen / kept, (chosen % kept) as usize);
    let element = Element { first: if element.kept == 3 { 0 } else { first }, ..element };
    let shape = [sides[2], sides[1], sides[0]];
    let whole = shape.iter().fold(element.size(), |bytes, &side| bytes.saturating_mul(side));
    let (geometry, note) = geometry(path, &header, sides.len())?;
    if let Some(note) = note {
        observer.note(&format!("{}: {note}", path.display()));
    }
    let (data, at) = match header.get(&["elementdatafile"]).unwrap_or_default() {
        "LOCAL" | "Local" | "local" => (path.to_path_buf(), header.end),
        name => (beside(path, name, "MetaImage")?, 0),
    };
    let packing = if header.is("compresseddata") { Packing::Zlib } else { Packing::Plain };
    let at = match header.numbers(path, &["headersize"])?.as_deref() {
        // the voxels are the end of the file
        Some([-1.0]) if packing == Packing::Plain => {
            let length = fs::metadata(&data).map_err(Error::io(&data))?.len();
            length.checked_sub(whole.saturating_mul(volumes)).unwrap_or(length)
        }
        Some(&[size]) if size > 0.0 => size as u64,
        _ => at,
    };
    let skip = volume.saturating_mul(whole);
    let (header, format) = ("MetaImage", "metaimage");
    Stored { path: data, header, format, at, packing, skip, shape, element, geometry }.read(options)
}

/// The sizes of the axes, x first; at least three.
fn sides(path: &Path, header: &Header) -> Result<Vec<u64>> {
    let text = header.get(&["dimsize"]).unwrap_or_default();
    let sides: Option<Vec<u64>> =
        text.split_whitespace().map(|side| side.parse().ok().filter(|&side| side > 0)).collect();
    let dimensions = header.get(&["ndims"]).and_then(|text| text.parse::<usize>().ok());
    match sides {
        Some(mut sides) if (2..=10).contains(&sides.len()) && dimensions == Some(sides.len()) => {
            sides.resize(sides.len().max(3), 1);
            Ok(sides)
        }
        _ => {
            let text: String = text.chars().take(60).collect();
            Err(Error::format(path, format!("has impossible sizes in its MetaImage header: DimSize = {text:?}")))
        }
    }
}

fn element(path: &Path, header: &Header) -> Result<Element> {
    let name = header.get(&["elementtype"]).unwrap_or_default().to_uppercase();
    let scalar = match name.strip_suffix("_ARRAY").unwrap_or(&name) {
        "MET_CHAR" | "MET_ASCII_CHAR" => Scalar::I8,
        "MET_UCHAR" => Scalar::U8,
        "MET_SHORT" => Scalar::I16,
        "MET_USHORT" => Scalar::U16,
        // MetaIO's long has 32 bits wherever it runs
        "MET_INT" | "MET_LONG" => Scalar::I32,
        "MET_UINT" | "MET_ULONG" => Scalar::U32,
        "MET_LONG_LONG" => Scalar::I64,
        "MET_ULONG_LONG" => Scalar::U64,
        "MET_FLOAT" => Scalar::F32,
        "MET_DOUBLE" => Scalar::F64,
        _ => {
            let name: String = name.chars().take(40).collect();
            return Err(Error::format(
                path,
                format!("has the MetaImage type {name:?}, which is no integer or float type"),
            ));
        }
    };
    if header.get(&["binarydata"]).is_some() && !header.is("binarydata") {
        let what = "holds its voxels as text; save them as binary data";
        return Err(Error::Unsupported(format!("{}: {what}", path.display())));
    }
    let big_endian = header.is("binarydatabyteordermsb") || header.is("elementbyteordermsb");
    match header.numbers(path, &["elementnumberofchannels"])?.as_deref() {
        None | Some([1.0]) => Ok(Element::plain(scalar, big_endian)),
        Some([3.0]) => Ok(Element::colour(scalar, big_endian, 3)),
        Some(&[channels]) if channels.fract() == 0.0 && (2.0..=65536.0).contains(&channels) => {
            Ok(Element { components: channels as usize, ..Element::plain(scalar, big_endian) })
        }
        Some(other) => Err(Error::format(
            path,
            format!("has impossible ElementNumberOfChannels in its MetaImage header: {other:?}"),
        )),
    }
}

/// Where the voxels lie, and what people should know of it.
fn geometry(path: &Path, header: &Header, dimensions: usize) -> Result<(Geometry, Option<String>)> {
    let stored =
        header.numbers(path, &["ndims"])?.and_then(|n| n.first().copied()).unwrap_or(dimensions as f64) as usize;
    let Some(mut spacing) = header.numbers(path, &["elementspacing", "elementsize"])? else {
        return Ok((Geometry::unknown(), None));
    };
    spacing.resize(3, 1.0);
    if spacing.iter().any(|mm| !(mm.is_finite() && *mm > 0.0)) {
        let what = "the spacing of the MetaImage header is not positive: sizes are not known";
        return Ok((Geometry::unknown(), Some(what.to_owned())));
    }
    let spacing = [spacing[0], spacing[1], spacing[2]];
    let matrix = header.numbers(path, &["transformmatrix", "rotation", "orientation"])?;
    let origin = header.numbers(path, &["offset", "position", "origin"])?;
    if stored < 3 || (matrix.is_none() && origin.is_none()) {
        return Ok((Geometry::from_spacing(spacing, true), None));
    }
    let matrix = matrix.filter(|matrix| matrix.len() == stored * stored);
    // the direction of axis `axis`, of which the first three numbers are space
    let direction = |axis: usize, row: usize| match &matrix {
        Some(matrix) => matrix[axis * stored + row],
        None => f64::from(axis == row),
    };
    let origin = origin.filter(|origin| origin.len() >= 3).unwrap_or_else(|| vec![0.0; 3]);
    let signs = [-1.0, -1.0, 1.0];
    let mut affine = [[0., 0., 0., 0.], [0., 0., 0., 0.], [0., 0., 0., 0.], [0., 0., 0., 1.]];
    for (row, values) in affine[..3].iter_mut().enumerate() {
        for axis in 0..3 {
            values[axis] = direction(axis, row) * spacing[axis] * signs[row] + 0.0;
        }
        values[3] = origin[row] * signs[row] + 0.0;
    }
    Ok(match Geometry::checked(affine) {
        Ok(geometry) => (geometry, None),
        Err(error) => {
            (Geometry::from_spacing(spacing, true), Some(format!("where the voxels lie is not known: {error}")))
        }
    })
}

/// Writes what `fill` writes behind a header (`.mha`), or into a `.raw` file beside one (`.mhd`).
pub(super) fn write_parts(
    path: &Path,
    kind: Kind,
    channels: usize,
    sides: [usize; 3],
    geometry: &Geometry,
    fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let header = header(kind, channels, sides, geometry);
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("mhd")) {
        let (raw, name) = raw_beside(path)?;
        atomic_file(&raw, |temporary| fill(&mut File::create(temporary).map_err(Error::io(path))?))?;
        let text = format!("{header}ElementDataFile = {name}\n");
        return atomic_file(path, |temporary| fs::write(temporary, text).map_err(Error::io(path)));
    }
    atomic_file(path, |temporary| {
        let mut file = File::create(temporary).map_err(Error::io(path))?;
        file.write_all(format!("{header}ElementDataFile = LOCAL\n").as_bytes()).map_err(Error::io(path))?;
        fill(&mut file)
    })
}

fn header(kind: Kind, channels: usize, sides: [usize; 3], geometry: &Geometry) -> String {
    let mut text = String::from(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n",
    );
    let numbers = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    if geometry.is_complete() {
        let signs = [-1.0, -1.0, 1.0];
        let axis =
            |axis: usize| [0, 1, 2].map(|row| geometry.affine[row][axis] * signs[row] / geometry.spacing[axis] + 0.0);
        let origin = [0, 1, 2].map(|row| geometry.affine[row][3] * signs[row] + 0.0);
        text += &format!(
            "TransformMatrix = {}\nOffset = {}\n",
            numbers(&[axis(0), axis(1), axis(2)].concat()),
            numbers(&origin)
        );
    }
    if geometry.has_size() {
        text += &format!("ElementSpacing = {}\n", numbers(&geometry.spacing));
    }
    text += &format!("DimSize = {}\n", sides.map(|side| side.to_string()).join(" "));
    if channels > 1 {
        text += &format!("ElementNumberOfChannels = {channels}\n");
    }
    text + &format!("ElementType = {}\n", kind.metaimage())
}

/// Writes labels.
pub(super) fn write_labels(labels: &Labels, small: Option<&[u8]>, path: &Path) -> Result<()> {
    let sides = [labels.columns, labels.rows, labels.frames];
    let kind = small.map_or_else(|| Kind::of(&labels.data), Kind::of);
    write_parts(path, kind, 1, sides, &labels.geometry, &mut |out| {
        let written = match small {
            Some(small) => write_values(out, small),
            None => write_values(out, &labels.data),
        };
        written.map_err(Error::io(path))
    })
}
