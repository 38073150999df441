//! Labels as COCO JSON with run-length encoded masks, as `pycocotools` reads them, and back.
//!
//! Runs count down the columns, background first. `counts` is COCO's string: each run, from the third on its difference to the run two
//! before, in groups of five bits from the lowest, each as one character from `0` on, with bit 5 set while more follow
//! (cocoapi, common/maskApi.c, rleToString). Plain lists of runs are read, too.

use super::write::atomic_file;
use super::{LabelOptions, Property};
use crate::progress::checkpoint;
use crate::volume::{Geometry, Labels};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// more voxels than this in a file of text are a mistake
const MOST_VOXELS: usize = 1 << 31;

#[derive(Serialize, Deserialize)]
struct Dataset {
    info: Option<Info>,
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

/// `info` is free in COCO: here it carries what the pictures cannot say.
#[derive(Serialize, Deserialize)]
struct Info {
    #[serde(default)]
    description: String,
    /// voxel to millimetres, right-front-up
    #[serde(default)]
    affine: Option<[[f64; 4]; 4]>,
    /// did the segmented images say so?
    #[serde(default)]
    geometry_known: bool,
    /// did they say where they lie, and not only how large they are? _Default: as `geometry_known`._
    #[serde(default)]
    geometry_placed: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct Image {
    /// slice + 1
    id: u64,
    width: usize,
    height: usize,
    #[serde(default)]
    file_name: String,
}

#[derive(Serialize, Deserialize)]
struct Annotation {
    id: u64,
    image_id: u64,
    /// the object's number
    category_id: u64,
    segmentation: Rle,
    #[serde(default)]
    area: u64,
    /// x, y, width, height
    #[serde(default)]
    bbox: [f64; 4],
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Serialize, Deserialize)]
struct Category {
    id: u64,
    #[serde(default)]
    name: String,
    /// what it is, where it is known: the meaning of its code
    #[serde(default, skip_serializing_if = "Option::is_none")]
    supercategory: Option<String>,
    /// where it was chosen, as in COCO's panoptic categories
    #[serde(default, skip_serializing_if = "Option::is_none")]
    color: Option<[u8; 3]>,
}

/// One mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rle {
    /// height, width
    pub size: [usize; 2],
    /// the runs
    pub counts: Counts,
}

/// Runs of a mask down the columns, background first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Counts {
    /// COCO's string
    Compressed(String),
    /// as numbers
    Plain(Vec<u32>),
}

impl Rle {
    /// Encodes a `[rows, columns]` mask; COCO's string when `compressed`, else numbers.
    pub fn encode(rows: usize, columns: usize, inside: impl Fn(usize) -> bool, compressed: bool) -> Self {
        let mut runs = vec![0u32];
        let mut last = false;
        for index in (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column)) {
            if inside(index) != last {
                last = !last;
                runs.push(0);
            }
            if let Some(run) = runs.last_mut() {
                *run += 1;
            }
        }
        let counts = if compressed { Counts::Compressed(compress(&runs)) } else { Counts::Plain(runs) };
        Self { size: [rows, columns], counts }
    }

    /// The mask, `[rows, columns]`. Errors: characters that are none of COCO's, runs that do not fill the mask exactly.
    pub fn decode(&self) -> Result<Vec<bool>> {
        let [rows, columns] = self.size;
        let runs = match &self.counts {
            Counts::Compressed(text) => decompress(text).ok_or_else(|| Error::invalid("damaged RLE string"))?,
            Counts::Plain(runs) => runs.clone(),
        };
        let total: u64 = runs.iter().map(|&run| u64::from(run)).sum();
        if rows.checked_mul(columns).is_none_or(|n| n as u64 != total || n > MOST_VOXELS) {
            return Err(Error::invalid(format!("RLE of {total} pixels in a mask of {rows} x {columns}")));
        }
        let mut mask = vec![false; rows * columns];
        let mut at = 0;
        for (i, &run) in runs.iter().enumerate() {
            let next = at + run as usize;
            if i % 2 == 1 {
                (at..next).for_each(|n| mask[n % rows * columns + n / rows] = true);
            }
            at = next;
        }
        Ok(mask)
    }
}

fn compress(runs: &[u32]) -> String {
    let mut text = String::new();
    for (i, &run) in runs.iter().enumerate() {
        let mut rest = i64::from(run) - if i > 2 { i64::from(runs[i - 2]) } else { 0 };
        loop {
            let low = (rest & 0x1f) as u8;
            rest >>= 5;
            let more = if low & 0x10 != 0 { rest != -1 } else { rest != 0 };
            text.push(char::from(48 + (low | if more { 0x20 } else { 0 })));
            if !more {
                break;
            }
        }
    }
    text
}

/// `None` where the text is no run-length code.
fn decompress(text: &str) -> Option<Vec<u32>> {
    let mut runs: Vec<u32> = Vec::new();
    let mut bytes = text.bytes();
    while let Some(first) = bytes.next() {
        let (mut value, mut shift, mut byte) = (0i64, 0, first);
        loop {
            let digit = byte.checked_sub(48).filter(|&digit| digit < 64)?;
            value |= i64::from(digit & 0x1f) << shift;
            shift += 5;
            if digit & 0x20 == 0 {
                if digit & 0x10 != 0 {
                    value |= -1 << shift;
                }
                break;
            }
            // 32 bits take seven digits
            byte = bytes.next().filter(|_| shift < 35)?;
        }
        let before = if runs.len() > 2 { i64::from(runs[runs.len() - 2]) } else { 0 };
        runs.push(u32::try_from(value + before).ok()?);
    }
    Some(runs)
}

/// Writes labels: one image per slice (`id` is the slice + 1), one annotation per object and slice, one category per object.
pub(super) fn write(labels: &Labels, path: &Path, options: &LabelOptions) -> Result<()> {
    let Labels { frames, rows, columns, ref geometry, .. } = *labels;
    let image =
        |frame| Image { id: frame as u64 + 1, width: columns, height: rows, file_name: format!("{frame:05}.png") };
    let mut annotations = Vec::new();
    for frame in 0..frames {
        checkpoint();
        for (object, area, bbox) in boxes(labels, frame) {
            let slice = labels.frame(frame);
            annotations.push(Annotation {
                id: annotations.len() as u64 + 1,
                image_id: frame as u64 + 1,
                category_id: object.into(),
                segmentation: Rle::encode(rows, columns, |i| slice[i] == object, true),
                area,
                bbox,
                iscrowd: 0,
            });
        }
    }
    let category = |object: u16| {
        let segment = options.segment_of(object);
        let known = segment.property != Property::Unspecified;
        Category {
            id: object.into(),
            name: segment.label.unwrap_or_else(|| format!("object {object}")),
            supercategory: known.then(|| segment.property.codes(false).1.meaning.into_owned()),
            color: segment.colour.map(|colour| colour.0),
        }
    };
    let dataset = Dataset {
        info: Some(Info {
            description: "SAM-OCTA2".to_owned(),
            affine: Some(geometry.affine),
            geometry_known: geometry.known,
            geometry_placed: Some(geometry.placed),
        }),
        images: (0..frames).map(image).collect(),
        annotations,
        categories: labels.objects().into_iter().map(category).collect(),
    };
    atomic_file(path, |temporary| {
        let mut out = BufWriter::new(File::create(temporary).map_err(Error::io(path))?);
        serde_json::to_writer(&mut out, &dataset).map_err(|error| Error::io(path)(error.into()))?;
        out.flush().map_err(Error::io(path))
    })
}

/// Every object of a slice: number, pixels, and x, y, width, height of the box around it.
fn boxes(labels: &Labels, frame: usize) -> Vec<(u16, u64, [f64; 4])> {
    let mut found = std::collections::BTreeMap::<u16, (u64, [usize; 4])>::new();
    for (i, &object) in labels.frame(frame).iter().enumerate().filter(|(_, object)| **object != 0) {
        let (x, y) = (i % labels.columns, i / labels.columns);
        let (area, [x0, y0, x1, y1]) = found.entry(object).or_insert((0, [x, y, x, y]));
        *area += 1;
        (*x0, *y0, *x1, *y1) = (x.min(*x0), y.min(*y0), x.max(*x1), y.max(*y1));
    }
    let size = |from: usize, to: usize| (to - from + 1) as f64;
    found
        .into_iter()
        .map(|(o, (area, [x0, y0, x1, y1]))| (o, area, [x0 as f64, y0 as f64, size(x0, x1), size(y0, y1)]))
        .collect()
}

/// Reads COCO JSON with run-length encoded masks: images in the order of their ids are slices, categories are objects.
pub(super) fn read(path: &Path) -> Result<Labels> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    let mut dataset: Dataset = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| Error::format(path, format!("is no COCO JSON with RLE masks: {error}")))?;
    dataset.images.sort_by_key(|image| image.id);
    let [first, ..] = &dataset.images[..] else { return Err(Error::format(path, "has no images")) };
    let (frames, rows, columns) = (dataset.images.len(), first.height, first.width);
    if let Some(other) = dataset.images.iter().find(|image| (image.height, image.width) != (rows, columns)) {
        let what = format!("image {} has another size than image {}: no stack of slices", other.id, first.id);
        return Err(Error::format(path, what));
    }
    let voxels = rows.checked_mul(columns).and_then(|n| n.checked_mul(frames)).filter(|&n| n > 0 && n <= MOST_VOXELS);
    let voxels =
        voxels.ok_or_else(|| Error::format(path, format!("claims {frames} images of {columns} x {rows} pixels")))?;
    let geometry = match &dataset.info {
        Some(info @ Info { affine: Some(affine), .. }) => {
            let (known, placed) = (info.geometry_known, info.geometry_placed.unwrap_or(info.geometry_known));
            let said = Geometry::checked(*affine).map_err(|error| Error::format(path, format!("info: {error}")))?;
            Geometry { known, placed, ..said }
        }
        _ => Geometry::unknown(),
    };
    let mut labels = Labels { frames, rows, columns, data: vec![0; voxels], geometry };
    for annotation in &dataset.annotations {
        let wrong = |what: String| Error::format(path, format!("annotation {}: {what}", annotation.id));
        let frame = dataset.images.binary_search_by_key(&annotation.image_id, |image| image.id);
        let frame = frame.map_err(|_| wrong(format!("there is no image {}", annotation.image_id)))?;
        let object = u16::try_from(annotation.category_id).ok().filter(|&object| object > 0);
        let object = object.ok_or_else(|| wrong(format!("category {} is no object number", annotation.category_id)))?;
        if annotation.segmentation.size != [rows, columns] {
            return Err(wrong(format!(
                "a mask of {:?} (height, width) does not fit its image",
                annotation.segmentation.size
            )));
        }
        let mask = annotation.segmentation.decode().map_err(|error| wrong(error.to_string()))?;
        for (label, _) in labels.frame_mut(frame).iter_mut().zip(mask).filter(|(_, inside)| *inside) {
            if *label != 0 && *label != object {
                return Err(wrong(format!(
                    "overlaps object {label} on slice {frame}: labels have one object per voxel"
                )));
            }
            *label = object;
        }
    }
    Ok(labels)
}
