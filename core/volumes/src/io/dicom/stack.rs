//! The slices of one series: which they are, in which order, and their values when they are asked for.
//!
//! Of the pixels only one slice lies in memory at a time, and the files read last stay open. Slices of multi-frame files are therefore found
//! without looking for them again, those of single-frame files cost one look at a header each.

use super::geometry::{self, Arranged, Slice};
use super::header::{Content, Header};
use super::pixels::{Output, Pixels};
use super::series;
use crate::io::frames::Frame;
use crate::io::{Crop, OpenOptions};
use crate::volume::{FrameSource, Geometry, Voxels};
use crate::{Error, Result, with_voxels};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// files that stay open: the frames of several may take turns
const MOST_OPEN: usize = 4;

/// The slices of one series, in order; nothing of their pixels.
pub(super) struct Stack {
    pub headers: Vec<Header>,
    pub order: Vec<Slice>,
    pub geometry: Geometry,
    /// what people should know of them
    pub notes: Vec<String>,
}

impl Stack {
    /// `source` is what the user named, `files` the DICOM files there.
    pub fn of(source: &Path, files: &[PathBuf], options: &OpenOptions) -> Result<Self> {
        let referenced = match files {
            [one] => series::referenced_files(one)?,
            _ => None,
        };
        let mut headers = images(source, referenced.as_deref().unwrap_or(files))?;
        let chosen = series::choose(source, &headers, options.series.as_deref())?;
        let Arranged { slices: order, geometry, mut notes } = geometry::arrange(source, &chosen, options.uneven)?;
        if options.spacing.is_some() {
            notes.clear(); // of the size alone
        }
        let geometry = options.sized(source, geometry, false)?;
        notes.extend(notes_of(&chosen));
        let chosen: HashSet<PathBuf> = chosen.iter().map(|header| header.path.clone()).collect();
        headers.retain(|header| chosen.contains(&header.path));
        Ok(Self { headers, order, geometry, notes })
    }

    /// The window of the slice in the middle.
    pub fn window(&self) -> Option<(f64, f64)> {
        let middle = self.order[self.order.len() / 2];
        self.headers[middle.file].frames[middle.frame].window
    }
}

/// What the files say, each once: many slices may say the same.
fn notes_of(headers: &[&Header]) -> Vec<String> {
    let mut notes: Vec<(String, usize)> = Vec::new();
    for header in headers {
        for note in &header.notes {
            match notes.iter_mut().find(|(known, _)| known.ends_with(note.as_str())) {
                Some((_, more)) => *more += 1,
                None if headers.len() == 1 => notes.push((note.clone(), 0)),
                None => notes.push((format!("{}: {note}", header.path.file_name().unwrap_or_default().display()), 0)),
            }
        }
    }
    let more = |(note, more): (String, usize)| if more == 0 { note } else { format!("{note} (and {more} files more)") };
    notes.into_iter().map(more).collect()
}

/// The files with slices. Reports and presentation states lie beside images, and so do segmentations, which are images of their own
/// where there is nothing else.
fn images(source: &Path, files: &[PathBuf]) -> Result<Vec<Header>> {
    let (mut headers, mut others) = (Vec::with_capacity(files.len()), Vec::new());
    for path in files {
        match Header::read(path)? {
            Content::Image(header) => headers.push(*header),
            Content::Other(modality) => others.push((path, modality)),
        }
    }
    if headers.iter().any(|header| !header.is_segmentation) {
        headers.retain(|header| !header.is_segmentation);
    }
    match &others[..] {
        _ if !headers.is_empty() => Ok(headers),
        [] => Err(Error::format(source, "holds no DICOM image")),
        [(path, modality), more @ ..] => {
            let name = path.file_name().unwrap_or_default().display();
            let modality = if modality.is_empty() { "without a modality" } else { modality };
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            Err(Error::format(source, format!("holds no DICOM image, only {name} ({modality}){more}")))
        }
    }
}

/// Slices that are decoded when they are asked for.
pub(super) struct Slices {
    headers: Vec<Header>,
    order: Vec<Slice>,
    output: Output,
    /// rows, columns, channels
    size: [usize; 3],
    dtype: &'static str,
    bytes_per_value: usize,
    /// the files read last, the very last first
    open: Mutex<Vec<(usize, Pixels)>>,
}

impl Slices {
    /// Decodes the first slice, which says what all of them are; an error where the headers know that one is of another size.
    pub fn of(stack: Stack) -> Result<Self> {
        let Stack { headers, order, .. } = stack;
        let output = Output::of(&headers.iter().collect::<Vec<_>>());
        let mut slices =
            Self { headers, order, output, size: [0; 3], dtype: "", bytes_per_value: 1, open: Mutex::default() };
        let (_, first) = slices.decode(0)?;
        slices.size = [first.rows, first.columns, first.channels];
        slices.dtype = first.voxels.dtype();
        slices.bytes_per_value = with_voxels!(&first.voxels, values => size_of_val(&values[..]) / values.len().max(1));
        match slices.headers.iter().find(|header| [header.rows, header.columns] != slices.size[..2]) {
            None => Ok(slices),
            Some(other) => {
                let what = format!("is {} x {} pixels (columns x rows)", other.columns, other.rows);
                Err(slices.misfit(&other.path, &what))
            }
        }
    }

    /// Frames, rows, columns, channels.
    pub fn shape(&self) -> [usize; 4] {
        let [rows, columns, channels] = self.size;
        [self.order.len(), rows, columns, channels]
    }

    /// Memory that all slices take.
    pub fn bytes(&self, crop: Option<&Crop>) -> Result<u64> {
        let [count, mut rows, mut columns, channels] = self.shape();
        if let Some(crop) = crop {
            let region = crop.region(rows, columns)?;
            (rows, columns) = (region.rows, region.columns);
        }
        let factors = [rows, columns, channels, self.bytes_per_value].map(|n| n as u64);
        Ok(factors.into_iter().fold(count as u64, u64::saturating_mul))
    }

    /// A slice, and the file that it is from.
    pub fn decode(&self, slice: usize) -> Result<(&Path, Frame)> {
        let Slice { file, frame } = self.order[slice];
        let header = &self.headers[file];
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pixels = match open.iter().position(|(known, _)| *known == file) {
            Some(place) => open.remove(place).1,
            None => Pixels::open(header)?,
        };
        let decoded = pixels.frame(header, frame, self.output);
        open.truncate(MOST_OPEN - 1);
        open.insert(0, (file, pixels));
        Ok((&header.path, decoded?))
    }

    /// The error of a slice that is not like the first one.
    fn misfit(&self, path: &Path, what: &str) -> Error {
        let first = self.headers[self.order[0].file].path.file_name().unwrap_or_default().display();
        let [rows, columns, channels] = self.size;
        let colour = if channels == 3 { "colour" } else { "grey" };
        let of_first = format!("{columns} x {rows} pixels (columns x rows), {colour} {}", self.dtype);
        Error::format(
            path,
            format!("{what}, but {first} is {of_first}: all slices of a stack must have one size and type"),
        )
    }
}

impl FrameSource for Slices {
    fn frame(&self, slice: usize) -> Result<Voxels> {
        let (path, frame) = self.decode(slice)?;
        let fits = [frame.rows, frame.columns, frame.channels] == self.size && frame.voxels.dtype() == self.dtype;
        if fits && frame.voxels.len() == self.size.iter().product::<usize>() {
            return Ok(frame.voxels);
        }
        Err(self.misfit(path, &format!("is {}", frame.describe())))
    }

    fn dtype(&self) -> &'static str {
        self.dtype
    }
}
