//! What can be typed for `host-demo serve` and `host-demo view`.

use crate::cli::Place;
use clap::Args;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Options of `serve`.
#[derive(Args)]
pub struct Options {
    /// Volumes that the page offers, as INPUT of other commands
    #[arg(value_name = "FILES")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub server: Server,
}

/// Options of `view`.
#[derive(Args)]
pub struct View {
    /// Volumes to look at; the page opens with the first
    #[arg(value_name = "FILES", required = true)]
    pub files: Vec<PathBuf>,
    /// Only print the address, do not open a browser
    #[arg(long)]
    pub no_browser: bool,
    #[command(flatten)]
    pub server: Server,
}

/// How to serve.
#[derive(Args)]
pub struct Server {
    /// Weights: an official size by name (tiny, 2.1-base_plus, ...), or a .pt, .pth or .safetensors file
    #[arg(long, value_name = "NAME|FILE", default_value = "nano")]
    pub model: String,
    /// Shape of the model: an official configuration by name or a YAML or JSON file; needed if the weights do not tell
    #[arg(long, value_name = "NAME|FILE")]
    pub model_config: Option<String>,
    #[command(flatten)]
    pub place: Place,
    /// Address to listen on; any other than this computer's own needs --token
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port to listen on; 0: any free one. ITK-SNAP expects 8911, nnInteractive's clients 1527, MONAI Label's 8000
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// What every client must say (at least 16 characters); also read from SAM_OCTA2_TOKEN
    #[arg(long, value_name = "TEXT")]
    pub token: Option<String>,
    /// How far an interaction of a viewer is followed to each side of its slice: a number of slices, 0 for not at all, or all
    #[arg(long, value_name = "SLICES|all", default_value = "16")]
    pub follow: Follow,
    /// Volumes in work at the same time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_sessions: u32,
    /// Forget a session that was not used for so many minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub idle: u64,
    /// Megabytes of the largest volume, unpacked
    #[arg(long, value_name = "MB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub max_volume: u64,
    /// Megabytes of all volumes together
    #[arg(long, value_name = "MB", default_value_t = 8192, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub max_memory: u64,
}

/// How far an interaction is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// so many slices to each side
    Slices(usize),
    /// through the whole stack
    All,
}

impl FromStr for Follow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(count)) => Ok(Self::Slices(count)),
            _ => Err("expected a number of slices, or all".to_owned()),
        }
    }
}
