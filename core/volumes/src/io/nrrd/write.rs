//! `values -> .nrrd` (packed), `.nhdr` + `.nhdr.raw`, and labels with the names that 3D Slicer shows.
//!
//! Standard: <https://teem.sourceforge.net/nrrd/format.html>; segments as in `segments.rs`.

use crate::io::LabelOptions;
use crate::io::gzip::Packer;
use crate::io::nifti::Kind;
use crate::io::nifti::write_values;
use crate::io::write::atomic_file;
use crate::volume::{Geometry, Labels};
use crate::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file beside a header that holds its voxels, and its name: that of the header with `.raw` behind, so that it is no other program's `.raw`.
/// Errors: names that a header cannot say.
pub(in crate::io) fn raw_beside(path: &Path) -> Result<(PathBuf, String)> {
    let name = path.file_name().unwrap_or_default().to_str().map(|name| format!("{name}.raw"));
    let name = name.filter(|name| !name.contains(['%', '\n']) && !name.starts_with("LIST") && name.trim() == name);
    let name = name.ok_or_else(|| {
        Error::Invalid(format!("{}: a header cannot refer to a file of this name; name another", path.display()))
    })?;
    Ok((path.with_file_name(&name), name))
}

/// Writes what `fill` writes, with a header in front (`.nrrd`, packed) or beside (`.nhdr`, not packed).
/// `channels` numbers (1 or 3) of the type `kind` lie in each voxel; `sides` are `[x, y, z]`.
pub(in crate::io) fn write_parts(
    path: &Path,
    kind: Kind,
    channels: usize,
    sides: [usize; 3],
    geometry: &Geometry,
    more: &str,
    fill: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let header = header(kind, channels, sides, geometry);
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("nhdr")) {
        let (raw, name) = raw_beside(path)?;
        atomic_file(&raw, |temporary| fill(&mut File::create(temporary).map_err(Error::io(path))?))?;
        let text = format!("{header}encoding: raw\ndata file: {name}\n{more}");
        return atomic_file(path, |temporary| std::fs::write(temporary, text).map_err(Error::io(path)));
    }
    atomic_file(path, |temporary| {
        let mut file = File::create(temporary).map_err(Error::io(path))?;
        write!(file, "{header}encoding: gzip\n{more}\n").map_err(Error::io(path))?;
        let mut packer = Packer::new(file).map_err(Error::io(path))?;
        fill(&mut packer)?;
        packer.finish().map_err(Error::io(path))
    })
}

fn header(kind: Kind, channels: usize, sides: [usize; 3], geometry: &Geometry) -> String {
    let mut text = String::from(
        "NRRD0005\n# Complete NRRD file format specification at:\n# http://teem.sourceforge.net/nrrd/format.html\n",
    );
    let colour = channels > 1;
    let sizes = sides.map(|side| side.to_string()).join(" ");
    let before = |text: &str| if colour { text.to_owned() } else { String::new() };
    let mut line = |words: std::fmt::Arguments<'_>| text.push_str(&words.to_string());
    line(format_args!("type: {}\ndimension: {}\n", kind.nrrd(), if colour { 4 } else { 3 }));
    if geometry.is_complete() {
        line(format_args!("space: left-posterior-superior\n"));
    } else if geometry.has_size() {
        line(format_args!("space dimension: 3\n"));
    }
    line(format_args!("sizes: {}{sizes}\n", before("3 ")));
    if geometry.has_size() {
        // right and front are left and back in the space of ITK and Slicer
        let column = |axis: usize| {
            let signs = if geometry.is_complete() { [-1.0, -1.0, 1.0] } else { [1.0; 3] };
            let numbers = [0, 1, 2].map(|row| (geometry.affine[row][axis] * signs[row] + 0.0).to_string());
            format!("({})", numbers.join(","))
        };
        let directions = [column(0), column(1), column(2)].join(" ");
        line(format_args!("space directions: {}{directions}\n", before("none ")));
        line(format_args!("kinds: {}domain domain domain\n", before("RGB-color ")));
        line(format_args!("space units: \"mm\" \"mm\" \"mm\"\nspace origin: {}\n", column(3)));
    } else {
        line(format_args!("kinds: {}domain domain domain\n", before("RGB-color ")));
    }
    line(format_args!("endian: little\n"));
    text
}

/// Writes labels: `.seg.nrrd` with a name, a colour and codes for each object, other names without.
pub(in crate::io) fn write_labels(
    labels: &Labels,
    small: Option<&[u8]>,
    path: &Path,
    options: &LabelOptions,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let segments = if name.ends_with(".seg.nrrd") { segments(labels, options) } else { String::new() };
    let sides = [labels.columns, labels.rows, labels.frames];
    let kind = small.map_or_else(|| Kind::of(&labels.data), Kind::of);
    write_parts(path, kind, 1, sides, &labels.geometry, &segments, &mut |out| {
        let written = match small {
            Some(small) => write_values(out, small),
            None => write_values(out, &labels.data),
        };
        written.map_err(Error::io(path))
    })
}

/// The key/value pairs of each object, in the order of their numbers.
fn segments(labels: &Labels, options: &LabelOptions) -> String {
    let mut text = String::new();
    for (index, (object, extent)) in extents(labels).into_iter().enumerate() {
        let segment = options.segment_of(object);
        let label = segment.label_of(object);
        // a line of a header ends where the text does
        let label = label.replace('\\', "\\\\").replace('\n', "\\n");
        let colour = segment.colour_of(object).0.map(|v| format!("{:.6}", f64::from(v) / 255.0));
        let (category, kind, region) = segment.property.codes(true);
        let code = |code: &crate::io::Code| format!("{}^{}^{}", code.scheme, code.value, code.meaning);
        let region = region.as_ref().map_or_else(|| "^^".to_owned(), code);
        let mut pair = |key: &str, value: &str| text.push_str(&format!("Segment{index}_{key}:={value}\n"));
        pair("ID", &format!("Segment_{object}"));
        pair("Name", &label);
        pair("NameAutoGenerated", "0");
        pair("Color", &colour.join(" "));
        pair("ColorAutoGenerated", "0");
        pair("LabelValue", &object.to_string());
        pair("Layer", "0");
        pair("Extent", &extent.map(|end| end.to_string()).join(" "));
        let entry =
            format!("Segmentation category and type - DICOM master list~{}~{}~^^", code(&category), code(&kind));
        let anatomy = format!("Anatomic codes - DICOM master list~{region}~^^");
        pair("Tags", &format!("Segmentation.Status:inprogress|TerminologyEntry:{entry}~{anatomy}|"));
    }
    text + "Segmentation_ContainedRepresentationNames:=Binary labelmap|\nSegmentation_ConversionParameters:=\n\
            Segmentation_MasterRepresentation:=Binary labelmap\nSegmentation_ReferenceImageExtentOffset:=0 0 0\n"
}

/// Each object and the smallest box around it: first and last column, row, slice.
fn extents(labels: &Labels) -> Vec<(u16, [usize; 6])> {
    let mut boxes = std::collections::BTreeMap::new();
    for frame in 0..labels.frames {
        for (row, values) in labels.frame(frame).chunks_exact(labels.columns.max(1)).enumerate() {
            for (column, &object) in values.iter().enumerate().filter(|(_, object)| **object != 0) {
                let [x0, x1, y0, y1, z0, z1] = boxes.entry(object).or_insert([column, column, row, row, frame, frame]);
                (*x0, *x1) = ((*x0).min(column), (*x1).max(column));
                (*y0, *y1) = ((*y0).min(row), (*y1).max(row));
                (*z0, *z1) = ((*z0).min(frame), (*z1).max(frame));
            }
        }
    }
    boxes.into_iter().collect()
}
