//! Which volume to work on, as every job asks for it.

use crate::io::{self, OpenOptions};
use crate::progress::Observer;
use crate::volume::{Axis, Flattened, SlabOptions, Volume};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A volume and how to read it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct InputRequest {
    /// a file or a folder
    pub input: PathBuf,
    /// region of every slice, `"X,Y,W,H"` in pixels or percent
    #[serde(default)]
    pub crop: Option<String>,
    /// which DICOM series: SeriesInstanceUID, series number, or `#2` for the second in the list
    #[serde(default)]
    pub series: Option<String>,
    /// accept DICOM slices with gaps or unequal spacing
    #[serde(default)]
    pub uneven: bool,
    /// which volume of a file that holds several, from 0
    #[serde(default)]
    pub volume: Option<usize>,
    /// what becomes of colour: `red`, `green`, `blue` or `luminance`; default: it stays colour
    #[serde(default)]
    pub channel: Option<String>,
    /// millimetres between voxels along x, y, z, where the source does not say
    #[serde(default)]
    pub spacing: Option<[f64; 3]>,
    /// the axis along which slices are taken: `z` (as stored), `y` or `x`
    #[serde(default)]
    pub axis: Option<String>,
    /// what a file without a header is: `heyex-structure`, `heyex-angio`, `optovue-angio`, `optovue-enface`, `optovue-oct`, `cirrus`
    #[serde(default)]
    pub kind: Option<String>,
    /// a file with the layer curves of the B-scans: `.mat`, `.vol`, extracted curves, or labels of the layers
    #[serde(default)]
    pub layers: Option<PathBuf>,
    /// millimetres of the whole field, where the source does not say: `3mm`, `6x4.5mm`
    #[serde(default)]
    pub assume_size: Option<String>,
    /// A-scans of a B-scan, where neither header nor name says
    #[serde(default)]
    pub columns: Option<usize>,
    /// the projection of a slab instead of the B-scans: `SVC`, `ICP`, `DVC`, ..., or two edges as in `ILM..IPL-10`
    #[serde(default)]
    pub slab: Option<String>,
    /// how: `max` (default), `mean`, `sum`, `brightest`, `brightest:SHARE`
    #[serde(default)]
    pub projection: Option<String>,
    /// how much of the projection of what lies above the slab is taken off, 0 to 1
    #[serde(default)]
    pub subtract: Option<f64>,
    /// layers parallel to a surface instead of the B-scans: `SURFACE,FROM,TO,STEP` in micrometres
    #[serde(default)]
    pub layers_along: Option<String>,
}

impl InputRequest {
    /// How to read the file.
    pub fn options(&self) -> Result<OpenOptions> {
        let mut options = OpenOptions::with_crop(self.crop.as_deref())?;
        options.series.clone_from(&self.series);
        options.channel = self.channel.as_deref().map(str::parse).transpose()?;
        (options.uneven, options.volume, options.spacing) = (self.uneven, self.volume, self.spacing);
        options.kind = self.kind.as_deref().map(str::parse).transpose()?;
        options.assume_size = self.assume_size.as_deref().map(OpenOptions::parse_size).transpose()?;
        (options.layers, options.columns) = (self.layers.clone(), self.columns);
        Ok(options)
    }

    /// The axis along which slices are taken.
    pub fn axis(&self) -> Result<Axis> {
        self.axis.as_deref().map_or(Ok(Axis::Z), str::parse)
    }

    /// Reads the volume as stored (cropped), or en face what is asked for.
    pub fn open(&self, observer: &mut dyn Observer) -> Result<Volume> {
        self.open_view(observer).map(|(volume, _)| volume)
    }

    /// The same, and how labels of a slab or of layers go back to the B-scans.
    pub fn open_view(&self, observer: &mut dyn Observer) -> Result<(Volume, Option<Flattened>)> {
        self.en_face(&self.options()?, observer)
    }

    /// The same for work that goes through the slices once: large files cost no memory.
    pub fn open_once(&self, observer: &mut dyn Observer) -> Result<Volume> {
        let mut options = self.options()?;
        options.once = true;
        self.en_face(&options, observer).map(|(volume, _)| volume)
    }

    /// Is the volume a view en face of B-scans?
    pub fn is_view(&self) -> bool {
        self.slab.is_some() || self.layers_along.is_some()
    }

    fn en_face(&self, options: &OpenOptions, observer: &mut dyn Observer) -> Result<(Volume, Option<Flattened>)> {
        self.check_view()?;
        let slab = self.slab_options()?;
        let mut options = options.clone();
        options.once |= self.is_view();
        let volume = io::open_observed(&self.input, &options, observer)?;
        let view = match (&self.slab, &self.layers_along) {
            (Some(name), _) => volume.slab(name, &slab),
            (None, Some(text)) => {
                let (surface, [from, to, step]) = along(text)?;
                volume.layers_along(surface, from, to, step)
            }
            (None, None) => return Ok((volume, None)),
        };
        let view = view.map_err(|error| error.in_file(&self.input))?;
        if view.empty > 0 {
            let all = view.volume.rows * view.volume.columns;
            let what = format!("{} of {all} columns have no such layer and are 0", view.empty);
            observer.note(&format!("{}: {what}", self.input.display()));
        }
        Ok((view.volume, Some(view.origin)))
    }

    /// Errors: options that exclude each other.
    fn check_view(&self) -> Result<()> {
        let (slab, along) = (self.slab.is_some(), self.layers_along.is_some());
        if slab && along {
            return Err(Error::invalid("either a slab or layers along a surface, not both"));
        }
        if (slab || along) && self.axis()? != Axis::Z {
            return Err(Error::invalid("a slab and layers along a surface are en face already: leave the axis out"));
        }
        if !slab && (self.projection.is_some() || self.subtract.is_some()) {
            return Err(Error::invalid("`projection` and `subtract` say how a slab is made: name one (`slab`)"));
        }
        Ok(())
    }

    /// How a slab is projected.
    pub fn slab_options(&self) -> Result<SlabOptions> {
        let usual = SlabOptions::default();
        let projection = self.projection.as_deref().map_or(Ok(usual.projection), str::parse)?;
        Ok(SlabOptions { projection, subtract: self.subtract.unwrap_or(usual.subtract) })
    }
}

/// `SURFACE,FROM,TO,STEP`
fn along(text: &str) -> Result<(&str, [f64; 3])> {
    let wrong = || {
        Error::invalid(format!(
            "layers along {text:?} are none: give SURFACE,FROM,TO,STEP in micrometres, as in ILM,0,100,10"
        ))
    };
    let (surface, numbers) = text.split_once(',').ok_or_else(wrong)?;
    let numbers: Option<Vec<f64>> = numbers.split(',').map(|number| number.trim().parse().ok()).collect();
    let numbers = numbers.and_then(|numbers| <[f64; 3]>::try_from(numbers).ok()).ok_or_else(wrong)?;
    Ok((surface.trim(), numbers))
}
