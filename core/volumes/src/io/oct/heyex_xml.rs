//! HEYEX's XML export: a folder with one `.xml` and the pictures of the B-scans and of the fundus beside it.
//!
//! The elements as eyepy's `xml_reader.py` names them (<https://github.com/MedVisBonn/eyepy>).

use crate::io::{Channel, OpenOptions, stack};
use crate::progress::Observer;
use crate::volume::{Eye, Fundus, Geometry, Scan, Surface, Volume};
use crate::{Error, Result, with_voxels};
use roxmltree::{Document, Node};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// no export is larger
const MOST: u64 = 256 << 20;
/// what stands where there is nothing
const NOTHING: f32 = 3.0e38;

/// The export's description in a folder, if it is one.
pub(in crate::io) fn of_folder(folder: &Path) -> Option<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.into_iter().find(|path| is_export(path))
}

/// Is it the description of an export?
pub(in crate::io) fn is_export(path: &Path) -> bool {
    use std::io::Read;
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("xml")) {
        return false;
    }
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.is_ok() && start.windows(5).any(|five| five == b"<HEDX")
}

/// Reads the B-scans that an export describes, with curves, eye and places.
pub(in crate::io) fn read(xml: &Path, options: &OpenOptions, observer: &mut dyn Observer) -> Result<Volume> {
    let damaged = |what: &str| Error::format(xml, format!("is no XML export of HEYEX, or damaged: {what}"));
    if fs::metadata(xml).map_err(Error::io(xml))?.len() > MOST {
        return Err(damaged("it is larger than any export"));
    }
    let text = String::from_utf8_lossy(&fs::read(xml).map_err(Error::io(xml))?).into_owned();
    let document = Document::parse(&text).map_err(|error| damaged(&error.to_string().replace('\n', " ")))?;
    let images: Vec<Node<'_, '_>> = document.descendants().filter(|node| node.has_tag_name("Image")).collect();
    let is = |image: &Node<'_, '_>, kind: &str| text_at(*image, &["ImageType", "Type"]) == Some(kind);
    let bscans: Vec<Node<'_, '_>> = images.iter().filter(|image| is(image, "OCT")).copied().collect();
    if bscans.is_empty() {
        return Err(damaged("it names no B-scan (an Image of type OCT)"));
    }
    let files = bscans.iter().map(|image| beside(xml, *image)).collect::<Result<Vec<PathBuf>>>()?;
    // crop and spacing come later, with the curves
    let grey = OpenOptions { channel: Some(Channel::Red), crop: None, spacing: None, once: false, ..options.clone() };
    let mut volume = stack::read(xml, &files, &grey, observer)?;
    volume.format = "heyex";
    let positions: Vec<[f64; 4]> = bscans.iter().map(|image| position(*image)).collect();
    volume.geometry = geometry(bscans[0], &positions);
    let eye =
        document.descendants().find(|node| node.has_tag_name("Laterality")).and_then(|node| Eye::of(node.text()?));
    let fundus_image = images.iter().find(|image| is(image, "LOCALIZER"));
    let scan = Scan {
        eye,
        angle: fundus_image.and_then(|image| number_at(*image, &["OphthalmicAcquisitionContext", "Angle"])),
        bottom_up: positions.last().zip(positions.first()).is_none_or(|(last, first)| last[1] <= first[1]),
        surfaces: surfaces(xml, &bscans, volume.frames, volume.columns)?,
        positions,
        fundus: fundus_image.map(|image| fundus(xml, *image)).transpose()?,
    };
    Ok(volume.with_scan(Some(Arc::new(scan))))
}

/// The node at the end of a path of names.
fn at<'a, 'd>(node: Node<'a, 'd>, names: &[&str]) -> Option<Node<'a, 'd>> {
    names.iter().try_fold(node, |node, name| node.children().find(|child| child.has_tag_name(*name)))
}

fn text_at<'a>(node: Node<'a, '_>, names: &[&str]) -> Option<&'a str> {
    at(node, names)?.text().map(str::trim)
}

fn number_at(node: Node<'_, '_>, names: &[&str]) -> Option<f64> {
    text_at(node, names)?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The picture of an image, which lies beside the description, wherever HEYEX once had it.
fn beside(xml: &Path, image: Node<'_, '_>) -> Result<PathBuf> {
    let url = text_at(image, &["ImageData", "ExamURL"]).unwrap_or_default();
    let name = url.rsplit(['\\', '/']).next().unwrap_or_default();
    let path = xml.with_file_name(name);
    match !name.is_empty() && name != ".." && path.is_file() {
        true => Ok(path),
        false => Err(Error::format(
            xml,
            format!("names the picture {name:?}, which is not beside it: the export is not complete"),
        )),
    }
}

/// Start x, y and end x, y.
fn position(image: Node<'_, '_>) -> [f64; 4] {
    let number =
        |end: &str, axis: &str| number_at(image, &["OphthalmicAcquisitionContext", end, "Coord", axis]).unwrap_or(0.0);
    [number("Start", "X"), number("Start", "Y"), number("End", "X"), number("End", "Y")]
}

/// Scales of a B-scan, and the mean distance between neighbours.
fn geometry(bscan: Node<'_, '_>, positions: &[[f64; 4]]) -> Geometry {
    let scale = |name: &str| number_at(bscan, &["OphthalmicAcquisitionContext", name]).filter(|mm| *mm > 0.0);
    let length = |a: &[f64], b: &[f64]| ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt();
    let steps: Vec<f64> = positions
        .windows(2)
        .flat_map(|two| [length(&two[0][..2], &two[1][..2]), length(&two[0][2..], &two[1][2..])])
        .collect();
    let distance = match steps.is_empty() {
        true => Some(1.0),
        false => Some(steps.iter().sum::<f64>() / steps.len() as f64).filter(|mm| *mm > 0.0),
    };
    match (scale("ScaleX"), scale("ScaleY"), distance) {
        (Some(x), Some(y), Some(z)) => Geometry::from_spacing([x, y, z], true),
        _ => Geometry::unknown(),
    }
}

/// The curves of all B-scans by their names, in the order in which they first appear.
fn surfaces(xml: &Path, bscans: &[Node<'_, '_>], frames: usize, columns: usize) -> Result<Vec<Surface>> {
    let mut order: Vec<String> = Vec::new();
    let mut rows: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for (frame, bscan) in bscans.iter().enumerate() {
        for line in bscan.descendants().filter(|node| node.has_tag_name("SegLine")) {
            let (Some(name), Some(array)) = (text_at(line, &["Name"]), text_at(line, &["Array"])) else { continue };
            let values: Vec<f32> = array.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            if values.len() != columns {
                let what = format!("has {} values of the curve {name} in B-scan {frame}, not {columns}", values.len());
                return Err(Error::format(xml, what));
            }
            if !rows.contains_key(name) {
                order.push(name.to_owned());
            }
            let all = rows.entry(name.to_owned()).or_insert_with(|| vec![f32::NAN; frames * columns]);
            for (row, value) in all[frame * columns..].iter_mut().zip(values) {
                *row = if value < NOTHING { value } else { f32::NAN };
            }
        }
    }
    Ok(order.into_iter().filter_map(|name| Some(Surface { rows: rows.remove(&name)?, name })).collect())
}

fn fundus(xml: &Path, image: Node<'_, '_>) -> Result<Fundus> {
    let path = beside(xml, image)?;
    let options = OpenOptions { channel: Some(Channel::Red), ..OpenOptions::default() };
    let picture = stack::read(&path, std::slice::from_ref(&path), &options, &mut ())?;
    let pixels = with_voxels!(&*picture.voxels()?, values => values.iter().map(|&v| (v as f64).clamp(0.0, 255.0) as u8).collect());
    let scale = |name: &str| number_at(image, &["OphthalmicAcquisitionContext", name]).unwrap_or(0.0);
    Ok(Fundus { rows: picture.rows, columns: picture.columns, pixels, spacing: [scale("ScaleX"), scale("ScaleY")] })
}
