//! Volumes to read, and what labels say beside their voxels.

use clap::Args;
use std::path::PathBuf;

/// The volume to read.
#[derive(Args)]
pub struct Input {
    /// Volume: a file, or a folder of slices
    pub input: PathBuf,
    /// Use this region of every slice only, in pixels or percent, e.g. 1536,0,512,512 or 75%,0,25%,100%
    #[arg(long, value_name = "X,Y,W,H", allow_hyphen_values = true)]
    pub crop: Option<String>,
    /// Take slices along this axis: z as stored, y (a stack of B-scans en face) or x; labels come back as stored
    #[arg(long, value_name = "AXIS", value_parser = ["z", "y", "x"])]
    pub axis: Option<String>,
    /// The DICOM series to read where there are several: SeriesInstanceUID, series number, or #2 for the second listed
    #[arg(long)]
    pub series: Option<String>,
    /// Accept DICOM slices with gaps or unequal spacing
    #[arg(long)]
    pub uneven: bool,
    /// The volume to read where a file holds several (time points), from 0
    #[arg(long, value_name = "N")]
    pub volume: Option<usize>,
    /// Make colour grey: red, green, blue or luminance; or the number of the channel, from 0, where a TIFF holds several
    #[arg(long, value_parser = channel)]
    pub channel: Option<String>,
    /// Millimetres between voxels (columns, rows, slices), where the file does not say
    #[arg(long, value_name = "X,Y,Z", value_parser = spacing, allow_hyphen_values = true)]
    pub spacing: Option<Spacing>,
    #[command(flatten)]
    pub oct: Oct,
}

/// B-scans of OCT devices, and pictures en face made of them.
#[derive(Args)]
#[command(next_help_heading = "OCT (docs/oct.md)")]
pub struct Oct {
    /// What a file without a header is, or whether a .vol holds structure or flow: heyex-structure, heyex-angio, optovue-angio,
    /// optovue-enface, optovue-oct, cirrus
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Layer curves of the B-scans: a .mat file, another .vol, extracted Optovue curves, or labels of the layers
    #[arg(long, value_name = "FILE")]
    pub layers: Option<PathBuf>,
    /// Size of the whole field, where the file does not say: 3mm, or 6x4.5mm (along columns, across them)
    #[arg(long, value_name = "MM", allow_hyphen_values = true)]
    pub assume_size: Option<String>,
    /// A-scans of a B-scan, where neither header nor name says
    #[arg(long, value_name = "N")]
    pub columns: Option<usize>,
    /// Take the projection of a slab for the volume: SVC, ICP, DCP, DVC, outer, choriocapillaris, whole, or two edges such as ILM..IPL-10
    /// (micrometres)
    #[arg(long, value_name = "SLAB", conflicts_with_all = ["layers_along", "axis"])]
    pub slab: Option<String>,
    /// How a slab is projected: max (default), mean, sum, brightest (the mean of the brightest fifth), brightest:SHARE
    #[arg(long, value_name = "HOW", requires = "slab")]
    pub projection: Option<String>,
    /// Take off so much of the projection of what lies above the slab, 0 to 1 (projection artefacts)
    #[arg(long, value_name = "SHARE", requires = "slab")]
    pub subtract: Option<f64>,
    /// Take layers parallel to a curve for the volume, in micrometres below it, e.g. ILM,0,100,10
    #[arg(long, value_name = "CURVE,FROM,TO,STEP", allow_hyphen_values = true, conflicts_with = "axis")]
    pub layers_along: Option<String>,
}

/// A colour or a number.
fn channel(text: &str) -> Result<String, String> {
    match ["red", "green", "blue", "luminance"].contains(&text) || text.parse::<usize>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err("expected red, green, blue, luminance, or a number from 0".to_owned()),
    }
}

/// Three lengths in millimetres.
#[derive(Clone, Copy)]
pub struct Spacing(pub [f64; 3]);

/// `X,Y,Z`
pub fn spacing(text: &str) -> Result<Spacing, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let numbers = numbers.and_then(|numbers| <[f64; 3]>::try_from(numbers).ok());
    numbers.map(Spacing).ok_or_else(|| "expected three numbers: X,Y,Z".to_owned())
}

/// What a DICOM Segmentation says beside its voxels.
#[derive(Args)]
#[command(next_help_heading = "DICOM Segmentation (--out FILE.dcm)")]
pub struct Seg {
    /// What objects are: vessel, artery, vein, capillary, faz, unspecified, or codes as in "SCT^59820001^Blood Vessel" (type), with ~
    /// after a category and before a region; 2=faz for object 2 alone. May be given several times
    #[arg(long, value_name = "[N=]WHAT")]
    pub seg_property: Vec<String>,
    /// Write probabilities (FRACTIONAL) instead of yes and no (BINARY)
    #[arg(long)]
    pub seg_fractional: bool,
    /// Equal input gives equal bytes: identifiers from the content, dates from the source
    #[arg(long)]
    pub seg_deterministic: bool,
    /// Series description; default: Segmentation
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub seg_description: Option<String>,
    /// Series number; default: that of the source + 1000
    #[arg(long, value_name = "N")]
    pub seg_number: Option<u32>,
    /// Algorithm name; default: SAM-OCTA2
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub seg_algorithm: Option<String>,
}
