//! The middle of the data flow: `bytes -> Volume -> Session -> Labels -> bytes`.
//!
//! A [`Volume`] is a stack of equally sized slices ("frames") with its [`Geometry`]; [`Labels`] are one object number per voxel of
//! the same grid. Neither knows file formats nor tensors. The slices lie in memory, in memory that a host lends ([`Lent`]), or are read
//! when they are asked for ([`FrameSource`]), so that a volume larger than the memory can be opened.

mod axis;
mod fingerprint;
mod geometry;
mod labels;
mod lent;
mod place;
mod project;
mod scan;
mod slab;
mod voxels;

pub use axis::Axis;
pub use geometry::Geometry;
pub use labels::Labels;
pub use lent::{Dtype, Lent};
pub use place::Lattice;
pub use project::{Projection, Statistics};
pub use scan::{Eye, Fundus, Scan, Surface};
pub use slab::{EnFace, Flattened, SlabOptions, SlabProjection};
pub use voxels::Voxels;

use crate::progress::{Observer, check};
use crate::{Error, Result};
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Weak};

/// Reads slices when they are asked for.
pub trait FrameSource: Send + Sync {
    /// The values of one slice, `[rows, columns, channels]`, always in the same type.
    fn frame(&self, frame: usize) -> Result<Voxels>;

    /// numpy's name of that type.
    fn dtype(&self) -> &'static str;

    /// Who keeps the voxels, if this source does not.
    fn keeper(&self) -> Option<Weak<dyn FrameSource>> {
        None
    }
}

#[derive(Clone)]
enum Source {
    Memory(Arc<Voxels>),
    Lazy(Arc<dyn FrameSource>),
}

/// Lent voxels that somebody else keeps, or has given back.
struct Elsewhere {
    voxels: Weak<dyn FrameSource>,
    dtype: &'static str,
}

impl FrameSource for Elsewhere {
    fn frame(&self, frame: usize) -> Result<Voxels> {
        let gone =
            || Error::invalid("the volume of these labels was given back to the host: keep it to look at its voxels");
        self.voxels.upgrade().ok_or_else(gone)?.frame(frame)
    }

    fn dtype(&self) -> &'static str {
        self.dtype
    }

    fn keeper(&self) -> Option<Weak<dyn FrameSource>> {
        Some(self.voxels.clone())
    }
}

/// A stack of equally sized slices. Cheap to clone: the voxels are shared.
#[derive(Clone)]
pub struct Volume {
    /// number of slices
    pub frames: usize,
    /// height of a slice in pixels
    pub rows: usize,
    /// width of a slice in pixels
    pub columns: usize,
    /// 1 (grey) or 3 (RGB)
    pub channels: usize,
    source: Source,
    /// where the voxels lie
    pub geometry: Geometry,
    /// what was read: `"nifti"`, `"nrrd"`, `"metaimage"`, `"dicom"`, `"stack"`, `"npy"`, `"heyex"`, `"optovue"`, `"cirrus"`, `"octa500"`, `"lent"`
    pub format: &'static str,
    /// the window that the source recommends (DICOM), smallest and largest value shown
    pub window: Option<(f64, f64)>,
    /// what an OCT device says of its B-scans, if it does
    pub scan: Option<Arc<Scan>>,
}

impl Volume {
    /// A volume in memory. Checks that the number of values fits the shape `[frames, rows, columns, channels]`.
    pub fn new(shape: [usize; 4], voxels: Voxels, geometry: Geometry, format: &'static str) -> Result<Self> {
        let wanted = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        if wanted != Some(voxels.len()) || voxels.is_empty() || !matches!(shape[3], 1 | 3) {
            return Err(Error::invalid(format!(
                "a volume of shape {shape:?} (frames, rows, columns, channels) cannot hold {} values",
                voxels.len()
            )));
        }
        Ok(Self::from_source(shape, Source::Memory(Arc::new(voxels)), geometry, format))
    }

    /// A volume whose slices are read when they are asked for.
    pub fn lazy(shape: [usize; 4], source: Arc<dyn FrameSource>, geometry: Geometry, format: &'static str) -> Self {
        Self::from_source(shape, Source::Lazy(source), geometry, format)
    }

    /// The same volume without a share in voxels that a host lent: they can be read as long as somebody else keeps them. Other volumes stay as
    /// they are.
    pub fn without_lent(&self) -> Self {
        let mut same = self.clone();
        if let (Source::Lazy(source), "lent") = (&self.source, self.format) {
            let voxels = source.keeper().unwrap_or_else(|| Arc::downgrade(source));
            same.source = Source::Lazy(Arc::new(Elsewhere { voxels, dtype: source.dtype() }));
        }
        same
    }

    fn from_source(shape: [usize; 4], source: Source, geometry: Geometry, format: &'static str) -> Self {
        let [frames, rows, columns, channels] = shape;
        Self { frames, rows, columns, channels, source, geometry, format, window: None, scan: None }
    }

    /// The same volume with the window that its source recommends.
    pub fn with_window(mut self, window: Option<(f64, f64)>) -> Self {
        self.window = window;
        self
    }

    /// The same volume with what a device says of it.
    pub fn with_scan(mut self, scan: Option<Arc<Scan>>) -> Self {
        self.scan = scan;
        self
    }

    /// `[frames, rows, columns, channels]`
    pub fn shape(&self) -> [usize; 4] {
        [self.frames, self.rows, self.columns, self.channels]
    }

    /// numpy's name of the type of the values: `uint8`, `float32`, ...
    pub fn dtype(&self) -> &'static str {
        match &self.source {
            Source::Memory(voxels) => voxels.dtype(),
            Source::Lazy(source) => source.dtype(),
        }
    }

    /// Are the slices read when they are asked for?
    pub fn is_lazy(&self) -> bool {
        matches!(self.source, Source::Lazy(_))
    }

    /// Bytes of voxels in memory; none where slices are read when they are asked for.
    pub fn bytes_held(&self) -> usize {
        match &self.source {
            Source::Memory(voxels) => voxels.bytes(),
            Source::Lazy(_) => 0,
        }
    }

    /// Is there such a slice?
    pub fn check_frame(&self, frame: usize) -> Result<()> {
        if frame < self.frames {
            return Ok(());
        }
        Err(Error::invalid(format!("slice {frame} does not exist: the volume has slices 0 to {}", self.frames - 1)))
    }

    /// The values of one slice, `[rows, columns, channels]`.
    pub fn frame(&self, frame: usize) -> Result<Voxels> {
        self.check_frame(frame)?;
        match &self.source {
            Source::Memory(voxels) => {
                let size = self.rows * self.columns * self.channels;
                Ok(voxels.part(frame * size..(frame + 1) * size))
            }
            Source::Lazy(source) => source.frame(frame),
        }
    }

    /// All values, `[frames, rows, columns, channels]`; a lazy volume is read whole.
    pub fn voxels(&self) -> Result<Cow<'_, Voxels>> {
        match &self.source {
            Source::Memory(voxels) => Ok(Cow::Borrowed(voxels)),
            Source::Lazy(source) => {
                let mut all = source.frame(0)?;
                for frame in 1..self.frames {
                    if !all.append(&source.frame(frame)?) {
                        return Err(Error::invalid(format!("slice {frame} has another type of value than slice 0")));
                    }
                }
                Ok(Cow::Owned(all))
            }
        }
    }

    /// Smallest and largest finite value of all slices.
    pub fn range(&self) -> Result<(f64, f64)> {
        self.range_observed(&mut ())
    }

    /// [`Volume::range`] with progress (stage `"range"`, one step per slice where slices are read when they are asked for) and cancellation.
    pub fn range_observed(&self, observer: &mut dyn Observer) -> Result<(f64, f64)> {
        if let Source::Memory(voxels) = &self.source {
            return Ok(voxels.range().unwrap_or((0.0, 0.0)));
        }
        let mut range = (f64::INFINITY, f64::NEG_INFINITY);
        for frame in 0..self.frames {
            check()?;
            observer.step("range", frame, self.frames)?;
            if let Some((low, high)) = self.frame(frame)?.range() {
                range = (range.0.min(low), range.1.max(high));
            }
        }
        observer.step("range", self.frames, self.frames)?;
        Ok(if range.0 > range.1 { (0.0, 0.0) } else { range })
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Volume({}, {:?}, {})", self.format, self.shape(), self.dtype())
    }
}
