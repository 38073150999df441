//! The commands about vessels and measurements: what can be typed, and the requests made of it.

use crate::cli::{Input, Spacing, spacing};
use crate::tasks::{optional, text, volume, with};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What to measure.
#[derive(Args)]
pub struct Measure {
    /// Labels: every object is vessel, but for --faz-object
    labels: PathBuf,
    /// The object that is the foveal avascular zone
    #[arg(long, value_name = "N", conflicts_with = "faz")]
    faz_object: Option<u16>,
    /// Labels of the foveal avascular zone
    #[arg(long, value_name = "FILE")]
    faz: Option<PathBuf>,
    /// The volume that was segmented, for the pictures of the page
    #[arg(long, value_name = "INPUT")]
    volume: Option<PathBuf>,
    /// The slab of that volume on which the labels were made
    #[arg(long, value_name = "SLAB", requires = "volume")]
    slab: Option<String>,
    /// Layer curves of that volume, where its own file has none
    #[arg(long, value_name = "FILE", requires = "volume")]
    layers: Option<PathBuf>,
    /// Which eye it is, to tell nasal from temporal; default: what the volume says
    #[arg(long, value_parser = ["right", "left"])]
    eye: Option<String>,
    /// The fovea in pixels; default: the middle of the FAZ, else of the picture
    #[arg(long, value_name = "X,Y", value_delimiter = ',', num_args = 1, allow_hyphen_values = true)]
    centre: Option<Vec<f64>>,
    /// Circles around it
    #[arg(long, value_name = "MM,MM,...", value_delimiter = ',', num_args = 1, allow_hyphen_values = true, default_values_t = [1.0, 3.0, 6.0])]
    diameters: Vec<f64>,
    /// Millimetres between pixels (columns, rows, slices), where the labels do not say
    #[arg(long, value_name = "X,Y,Z", value_parser = spacing, allow_hyphen_values = true)]
    spacing: Option<Spacing>,
    /// Axial length of the eye in mm: sizes in the plane are corrected for it (Bennett)
    #[arg(long, value_name = "MM", requires = "device_axial_length")]
    axial_length: Option<f64>,
    /// The axial length in mm for which the device's sizes hold
    #[arg(long, value_name = "MM", requires = "axial_length")]
    device_axial_length: Option<f64>,
    /// The projection only, not every layer
    #[arg(long)]
    projected: bool,
    /// Table to write: a line per layer and region
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    /// Page to write: a report with pictures, in one file, one page when printed
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
    /// Table to write: a line per vessel (length, calibre, tortuosity, range of layers)
    #[arg(long, value_name = "FILE.csv")]
    vessels_csv: Option<PathBuf>,
    /// Title of the page; default: the name of LABELS
    #[arg(long)]
    case: Option<String>,
    /// The model that made the labels, for the page
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// What its numbers were validated on: the table beside the model, NAME.validation.json
    #[arg(long, value_name = "FILE.json")]
    validation: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What segment measures, and into which files.
#[derive(Args)]
#[command(next_help_heading = "Numbers (docs/measurements.md)")]
pub struct Numbers {
    /// Report to write: numbers and pictures, in one file, one page when printed
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
    /// Table to write: a line per layer and region
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    /// Table to write: a line per vessel
    #[arg(long, value_name = "FILE.csv")]
    vessels_csv: Option<PathBuf>,
    /// With prompts: the object that is the foveal avascular zone
    #[arg(long, value_name = "N", conflicts_with = "no_prompts")]
    faz_object: Option<u16>,
    /// Which eye it is, to tell nasal from temporal; default: what the volume says
    #[arg(long, value_parser = ["right", "left"])]
    eye: Option<String>,
    /// Title of the report; default: the name of INPUT
    #[arg(long)]
    case: Option<String>,
}

/// Which vessels to number.
#[derive(Args)]
pub struct Vessels {
    /// The vessels seen from the front: a mask or labels (several slices are projected)
    map: PathBuf,
    /// Labels to write
    output: PathBuf,
    /// The map is a picture with one of SAM-OCTA2's colours per vessel
    #[arg(long)]
    coloured: bool,
    /// Leave out vessels of fewer pixels
    #[arg(long, value_name = "N", default_value_t = 0)]
    least: usize,
    /// Join ends that point at each other over so many pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 0.0)]
    gap: f64,
    /// Vessels that cross are two
    #[arg(long)]
    split_crossings: bool,
    /// An earlier result whose numbers are kept
    #[arg(long, value_name = "FILE")]
    earlier: Option<PathBuf>,
    /// Labels that say where each layer cuts through the plexus: the vessels are written layer by layer
    #[arg(long, value_name = "FILE")]
    regions: Option<PathBuf>,
    /// Labels of what is taken off the regions
    #[arg(long, value_name = "FILE", requires = "regions")]
    erased: Option<PathBuf>,
    /// Fewest pixels of a vessel on a layer
    #[arg(long, value_name = "N", default_value_t = 100)]
    least_on_layer: usize,
    /// The map in colours, to write
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to export.
#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    input: Input,
    /// The folder with RV_LayerSequence, FAZ_LayerSequence, Colored_RV
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The number of the sample, e.g. 10301
    #[arg(long, value_name = "N")]
    sample: u32,
    /// Labels with a number per vessel
    #[arg(long, value_name = "FILE", required_unless_present = "faz")]
    vessels: Option<PathBuf>,
    /// Labels that say where each layer cuts through the plexus
    #[arg(long, value_name = "FILE")]
    regions: Option<PathBuf>,
    /// Labels of the foveal avascular zone
    #[arg(long, value_name = "FILE")]
    faz: Option<PathBuf>,
    /// The number of the first slice
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_layer: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Numbers {
    /// The part `numbers` of the request `segment`.
    pub fn request(&self) -> anyhow::Result<Value> {
        Ok(json!({
            "faz_object": self.faz_object, "case": self.case, "options": {"eye": self.eye},
            "write": {"csv": optional(self.csv.as_deref())?, "html": optional(self.html.as_deref())?,
                "vessels_csv": optional(self.vessels_csv.as_deref())?},
        }))
    }
}

impl Measure {
    /// The request of the task `measure`.
    pub fn request(&self) -> anyhow::Result<Value> {
        let options = json!({
            "eye": self.eye, "centre": self.centre, "diameters_mm": self.diameters,
            "spacing": self.spacing.as_ref().map(|Spacing(mm)| mm), "layers": !self.projected,
            "axial_length": self.axial_length, "device_axial_length": self.device_axial_length,
        });
        Ok(json!({
            "labels": text(&self.labels)?, "faz_object": self.faz_object, "faz": optional(self.faz.as_deref())?,
            "volume": optional(self.volume.as_deref())?, "slab": self.slab, "layers": optional(self.layers.as_deref())?, "options": options,
            "about": {"case": self.case, "model": self.model}, "validation": optional(self.validation.as_deref())?,
            "write": {"csv": optional(self.csv.as_deref())?, "html": optional(self.html.as_deref())?,
                "vessels_csv": optional(self.vessels_csv.as_deref())?},
        }))
    }
}

impl Vessels {
    /// The request of the task `vessels`.
    pub fn request(&self) -> anyhow::Result<Value> {
        let trees = json!({"least": self.least, "gap": self.gap, "split_crossings": self.split_crossings});
        Ok(json!({
            "map": text(&self.map)?, "coloured": self.coloured, "trees": trees, "earlier": optional(self.earlier.as_deref())?,
            "regions": optional(self.regions.as_deref())?, "erased": optional(self.erased.as_deref())?,
            "least_on_layer": self.least_on_layer, "output": text(&self.output)?, "picture": optional(self.picture.as_deref())?,
        }))
    }
}

impl Export {
    /// The request of the task `export_octa500`.
    pub fn request(&self) -> anyhow::Result<Value> {
        let more = json!({
            "root": text(&self.root)?, "sample": self.sample, "first_layer": self.first_layer,
            "vessels": optional(self.vessels.as_deref())?, "regions": optional(self.regions.as_deref())?,
            "faz": optional(self.faz.as_deref())?,
        });
        Ok(with(volume(&self.input)?, more))
    }
}
