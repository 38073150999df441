//! Slices into one volume: every reader that meets its slices one by one (pictures, DICOM) collects them here.
//!
//! Checks that all have one size and type, and crops each as it comes, so that a stack of wide strips never lies in memory whole.

use super::Channel;
use super::crop::{Crop, Region};
use crate::volume::{FrameSource, Geometry, Scan, Volume, Voxels};
use crate::{Error, Result, with_voxels};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One slice as it was decoded.
pub(super) struct Frame {
    pub rows: usize,
    pub columns: usize,
    pub channels: usize,
    /// `[rows, columns, channels]`
    pub voxels: Voxels,
}

impl Frame {
    /// Size and type, for errors.
    pub fn describe(&self) -> String {
        let colour = if self.channels == 3 { "colour" } else { "grey" };
        format!("{} x {} pixels (columns x rows), {colour} {}", self.columns, self.rows, self.voxels.dtype())
    }
}

/// The slices so far.
pub(super) struct Frames {
    crop: Option<Crop>,
    channel: Option<Channel>,
    /// how many slices are to come, as far as is known: memory is asked for once
    expected: usize,
    first: Option<First>,
    count: usize,
}

/// The first slice sets what the others must be.
struct First {
    path: PathBuf,
    description: String,
    region: Region,
    channels: usize,
    voxels: Voxels,
}

impl Frames {
    pub fn new(crop: Option<Crop>, expected: usize) -> Self {
        Self { crop, channel: None, expected, first: None, count: 0 }
    }

    /// Keeps one channel of colour slices.
    pub fn with_channel(mut self, channel: Option<Channel>) -> Self {
        self.channel = channel;
        self
    }

    /// Adds a slice; `path` is named when it does not fit the others.
    pub fn push(&mut self, path: &Path, mut frame: Frame) -> Result<()> {
        if let (Some(channel), 3) = (self.channel, frame.channels) {
            frame.voxels = channel.of_colours(&frame.voxels);
            frame.channels = 1;
        }
        if frame.voxels.len() != frame.rows * frame.columns * frame.channels || frame.voxels.is_empty() {
            return Err(Error::format(path, format!("holds {} values, not {}", frame.voxels.len(), frame.describe())));
        }
        let description = frame.describe();
        match &mut self.first {
            None => {
                let region = match &self.crop {
                    Some(crop) => crop.region(frame.rows, frame.columns)?,
                    None => Region { x: 0, y: 0, columns: frame.columns, rows: frame.rows },
                };
                let whole = (region.rows, region.columns) == (frame.rows, frame.columns);
                let mut voxels = match whole {
                    true => frame.voxels,
                    false => region.cut(&frame.voxels, frame.rows, frame.columns, frame.channels),
                };
                reserve(&mut voxels, self.expected.saturating_sub(1))?;
                let path = path.to_path_buf();
                self.first = Some(First { path, description, region, channels: frame.channels, voxels });
            }
            Some(first) if first.description != description => {
                return Err(differs(path, &frame, &first.path, &first.description));
            }
            Some(first) if (first.region.rows, first.region.columns) == (frame.rows, frame.columns) => {
                first.voxels.append(&frame.voxels);
            }
            Some(first) => {
                first.voxels.append(&first.region.cut(&frame.voxels, frame.rows, frame.columns, frame.channels));
            }
        }
        self.count += 1;
        Ok(())
    }

    /// The volume, with the geometry of the uncropped slices given.
    pub fn finish(self, path: &Path, geometry: &Geometry, format: &'static str) -> Result<Volume> {
        let first = self.first.ok_or_else(|| Error::format(path, "holds no slices"))?;
        let region = first.region;
        let shape = [self.count, region.rows, region.columns, first.channels];
        Volume::new(shape, first.voxels, region.geometry(geometry), format)
    }
}

/// The error of a slice at `path` that does not fit the first.
pub(super) fn differs(path: &Path, frame: &Frame, first: &Path, description: &str) -> Error {
    let what = format!(
        "is {}, but {} is {description}: all slices of a stack must have one size and type",
        frame.describe(),
        first.file_name().unwrap_or_default().display()
    );
    Error::format(path, what)
}

/// Room for `more` further slices of the same size.
fn reserve(voxels: &mut Voxels, more: usize) -> Result<()> {
    with_voxels!(voxels, values => {
        let wanted = values.len().saturating_mul(more);
        values.try_reserve_exact(wanted).map_err(|_| {
            Error::Unsupported(format!("not enough memory for {} slices of {} values: crop the slices", more + 1, values.len()))
        })
    })
}

/// Crops a volume; a lazy one stays lazy.
pub(super) fn crop_volume(volume: Volume, crop: &Crop) -> Result<Volume> {
    let [frames, rows, columns, channels] = volume.shape();
    let region = crop.region(rows, columns)?;
    let shape = [frames, region.rows, region.columns, channels];
    let (geometry, format, window) = (region.geometry(&volume.geometry), volume.format, volume.window);
    let cut = |scan: &Arc<Scan>| Arc::new(scan.cropped(region.x, region.y, region.columns, columns));
    let scan = volume.scan.as_ref().map(cut);
    let cropped = if volume.is_lazy() {
        Volume::lazy(shape, Arc::new(Cropped { volume, region }), geometry, format)
    } else {
        Volume::new(shape, region.cut(&*volume.voxels()?, rows, columns, channels), geometry, format)?
    };
    Ok(cropped.with_window(window).with_scan(scan))
}

/// The region of every slice of a lazy volume.
struct Cropped {
    volume: Volume,
    region: Region,
}

impl FrameSource for Cropped {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        let [_, rows, columns, channels] = self.volume.shape();
        Ok(self.region.cut(&self.volume.frame(frame)?, rows, columns, channels))
    }

    fn dtype(&self) -> &'static str {
        self.volume.dtype()
    }
}
