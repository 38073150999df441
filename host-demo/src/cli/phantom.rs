//! Synthetic volumes: where they go and what they are like.

use clap::Args;
use std::path::PathBuf;

/// Where a phantom goes; the ending of each name says its format.
#[derive(Args)]
pub struct PhantomFiles {
    /// Slices to write
    #[arg(long, value_name = "VOLUME")]
    pub out: PathBuf,
    /// Truth to write, slice by slice
    #[arg(long, value_name = "LABELS")]
    pub labels: Option<PathBuf>,
    /// Labels to write: 1 where a slice holds the plexus of large vessels
    #[arg(long, value_name = "LABELS")]
    pub region: Option<PathBuf>,
    /// Projection of the inner retina to write
    #[arg(long, value_name = "VOLUME")]
    pub en_face: Option<PathBuf>,
    /// Truth of the projection to write
    #[arg(long, value_name = "LABELS")]
    pub en_face_labels: Option<PathBuf>,
}

/// What a phantom is like. Strengths: 0 is none, 1 as in real scans.
#[derive(Args)]
#[command(next_help_heading = "The phantom")]
pub struct PhantomOptions {
    /// Everything random follows from it; default: 0
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Rows and columns, 64 to 1024; default: 512
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<usize>,
    /// Number of slices, 1 to 256; default: 16
    #[arg(long, value_name = "N")]
    pub slices: Option<usize>,
    /// Width and height of the field: 3 (the default) or 6
    #[arg(long, value_name = "MM")]
    pub field: Option<f64>,
    /// Layers that the slices go through: whole (the default), vessels (the superficial plexus), faz (the deep plexus)
    #[arg(long, value_name = "WHICH")]
    pub layers: Option<String>,
    /// dark (a threshold subtracted) or bright; default: drawn from the seed
    #[arg(long, value_name = "KIND")]
    pub scanner: Option<String>,
    /// Area of the avascular zone, 0.05 to 1; default: drawn from the healthy range
    #[arg(long, value_name = "MM2")]
    pub faz_mm2: Option<f64>,
    /// Speckle and noise, 0 to 3
    #[arg(long, value_name = "STRENGTH")]
    pub noise: Option<f64>,
    /// Broken and displaced scan lines, 0 to 3
    #[arg(long, value_name = "STRENGTH")]
    pub motion: Option<f64>,
    /// Uneven light and floaters, 0 to 3
    #[arg(long, value_name = "STRENGTH")]
    pub vignetting: Option<f64>,
    /// Tails and shadows of vessels in deeper layers, 0 to 3
    #[arg(long, value_name = "STRENGTH")]
    pub projection: Option<f64>,
    /// Brightness of the capillary mesh, 0 to 3
    #[arg(long, value_name = "STRENGTH")]
    pub capillaries: Option<f64>,
    /// Share of the field that has lost its capillaries, 0 to 0.8
    #[arg(long, value_name = "SHARE")]
    pub dropout: Option<f64>,
}
