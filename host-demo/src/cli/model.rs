//! Networks, and where they compute.

use clap::Args;
use std::path::PathBuf;

/// The model and how to run it.
#[derive(Args)]
pub struct Model {
    /// Weights: an official size by name (tiny, 2.1-base_plus, ...), or a .pt, .pth or .safetensors file
    #[arg(long, value_name = "NAME|FILE")]
    pub model: String,
    /// Shape of the model: an official configuration by name or a YAML or JSON file; needed if the weights do not tell
    #[arg(long, value_name = "NAME|FILE")]
    pub model_config: Option<String>,
    /// What fine-tuning has learnt for these weights: an adapter file, or PEFT's folder
    #[arg(long, value_name = "FILE")]
    pub adapter: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
    /// "reference": behave as the Python package sam2 1.1.0 does, also where corrections get lost
    #[arg(long, value_name = "WHAT", value_parser = ["reference"])]
    pub compat: Option<String>,
}

/// Where and how exactly to compute.
#[derive(Args)]
pub struct Place {
    /// Where to compute: auto, cpu, cuda, cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Number format: auto, f32, bf16, f16; auto is bf16 on a GPU and on a CPU that has instructions for it, else f32; f32 for training on a
    /// CPU, `replay` and `--compat reference`
    #[arg(long, default_value = "auto", value_parser = ["auto", "f32", "bf16", "f16"])]
    pub precision: String,
}

/// The segmentation network and how its answer is tidied up.
#[derive(Args)]
pub struct Segmenter {
    /// Weights: a .pth or .safetensors file of SwinUNETR
    #[arg(long, value_name = "NAME|FILE")]
    pub segmenter: String,
    /// Side of the square that slices are resized to, a multiple of 32; default: what the weights say, else 512
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<i64>,
    #[command(flatten)]
    pub place: Place,
    /// Slices that go through the network together; default: 1, on a GPU 8
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Inside is what is likelier than this
    #[arg(long, value_name = "P", default_value_t = 0.8)]
    pub threshold: f64,
    /// Remove components of fewer pixels of the network's square; default: 500 at 512
    #[arg(long, value_name = "PIXELS")]
    pub min_size: Option<usize>,
    /// Leave holes open
    #[arg(long)]
    pub keep_holes: bool,
    /// Smooth the region with a Gaussian of so many pixels of the network's square, 0: not; default: 5 at 512
    #[arg(long, value_name = "PIXELS")]
    pub sigma: Option<f64>,
}
