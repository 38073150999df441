//! What can be typed. Nothing here looks at the world.

#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts: `[1]` is JSON")]

use crate::check;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Segments OCT-angiography stacks with the SAM-OCTA2 plugin.
///
/// Every command loads the plugin, hands it one job and waits. INPUT is a NIfTI file (.nii, .nii.gz), a picture, a folder of pictures or a
/// folder of DICOM files. Results go to stdout; progress, warnings and errors to stderr. Ctrl-C stops after the step under way and
/// keeps what is done; a second Ctrl-C ends at once.
///
/// Exit codes: 0 done, 1 error, 2 wrong usage, 130 stopped by Ctrl-C.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_long_help = EXAMPLES)]
pub struct Cli {
    /// The plugin; default: libsam_octa2 beside this program, then the file in SAM_OCTA2_PLUGIN
    #[arg(long, global = true, value_name = "FILE")]
    pub plugin: Option<PathBuf>,

    /// No progress and no messages but errors
    #[arg(long, short, global = true)]
    pub quiet: bool,

    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  host-demo info stack.nii.gz
  host-demo segment stack.nii.gz --model tiny --prompts clicks.json --out labels.nii.gz --overlay look.gif
  host-demo run scripts/first.rhai --set input=stack.nii.gz
  host-demo plugin check target/release/libsam_octa2.so";

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one per process")]
pub enum Command {
    #[command(flatten)]
    Task(Task),

    /// Write a script line by line and see what each line does
    ///
    /// Variables, functions and imports stay from line to line; a line whose brackets are open goes on. The value of a line is printed, and
    /// of volumes and labels a picture is written. :help lists what there is, :help NAME explains it. Ctrl-C stops a line, Ctrl-D ends.
    /// Lines may also come through a pipe; then the exit code is 1 if any of them failed.
    #[command(after_long_help = "Example:\n  host-demo repl --volume stack.nii.gz")]
    Repl(crate::repl::Options),

    /// Look at a plugin
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
}

/// The jobs that the plugin does.
#[derive(Subcommand)]
pub enum Task {
    /// Show shape, type, spacing, affine, intensity range and format of a volume
    #[command(
        after_long_help = "Examples:\n  host-demo info scan.nii.gz\n  host-demo info slices/ --crop 75%,0,25%,100% --json"
    )]
    Info {
        #[command(flatten)]
        input: Input,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Write a volume in another format, with its geometry and meaning kept
    ///
    /// The format follows from the ending of OUTPUT: .nii, .nii.gz, .npy ([frames, rows, columns], or [frames, rows, columns, 3] for
    /// colour), .tif (one page per slice), or a folder for a stack of PNG files.
    #[command(
        after_long_help = "Examples:\n  host-demo convert dicom-folder/ scan.nii.gz\n  host-demo convert scan.nii.gz slices/"
    )]
    Convert {
        #[command(flatten)]
        input: Input,
        /// File or folder to write
        output: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Number the vessels of an en-face map, and find them on the layers of a stack
    ///
    /// Parts that hang together are one vessel, numbered as rows meet them.
    #[command(after_long_help = "Example:\n  host-demo vessels mask.png vessels.nii.gz --gap 6 --picture map.png")]
    Vessels(crate::octa::Vessels),

    /// Measure vessels and the foveal avascular zone: by layer, by ETDRS region, in millimetres
    #[command(after_long_help = "Example:
  host-demo measure labels.nii.gz --faz-object 7 --volume stack.nii.gz --eye right --csv table.csv --html report.html")]
    Measure(crate::octa::Measure),

    /// Write a volume and its labels in the folders of SAM-OCTA2, for training
    #[command(after_long_help = "Example:
  host-demo export-octa500 stack.nii.gz --root data --sample 10301 --vessels vessels.nii.gz --first-layer 237")]
    ExportOcta500(crate::octa::Export),

    /// Segment objects from prompts and follow them through the stack
    ///
    /// The prompt file holds pixel coordinates of the slice (x right, y down); frames are counted from 0:
    ///
    /// {"objects": [{"id": 1, "prompts": [{"frame": 0, "points": [[120, 80]], "labels": [1]}]}], "direction": "forward"}
    ///
    /// A prompt may hold points (label 1 inside, 0 outside), "box": [x0, y0, x1, y1], and "mask": an image file. "direction" is forward,
    /// backward or both; "start" and "max_frames" choose the slices to track.
    #[command(after_long_help = "Examples:
  host-demo segment stack.nii.gz --model tiny --prompts clicks.json --out labels.nii.gz
  host-demo segment slices/ --crop 1536,0,512,512 --model mine.safetensors --prompts clicks.json --overlay look.gif --json")]
    Segment {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        model: Model,
        /// Values that the model sees as 0 and 1: auto (8 bits as they are, others 0.5%,99.5%), LOW,HIGH, LOW%,HIGH%,
        /// slice:LOW%,HIGH%, full, or source (DICOM's own)
        #[arg(long, value_name = "WINDOW")]
        window: Option<String>,
        /// Prompt file
        #[arg(long, value_name = "FILE.json")]
        prompts: PathBuf,
        /// Labels to write: one object number per voxel, in the geometry of the input. By the ending: .nii, .nii.gz, .npy, .tif, .json
        /// (COCO, run-length encoded), .dcm (DICOM Segmentation; the input must be DICOM), or a folder of PNG files
        #[arg(long, value_name = "LABELS.nii.gz")]
        out: Option<PathBuf>,
        #[command(flatten)]
        seg: Seg,
        /// Logits to write, float32 [frames, objects, height, width], with object_ids, frames and object_scores
        #[arg(long, value_name = "FILE.safetensors")]
        logits: Option<PathBuf>,
        /// Picture to write with the objects drawn in: .png, or .gif or .apng for all slices
        #[arg(long, value_name = "FILE.png|FILE.gif")]
        overlay: Option<PathBuf>,
        /// Script to write that does the same again (host-demo run FILE.rhai), with the fingerprints of volume and model
        #[arg(long, value_name = "FILE.rhai")]
        record: Option<PathBuf>,
        /// Print a JSON report
        #[arg(long)]
        json: bool,
    },

    /// Drive one session step by step and keep the logits of each step
    ///
    /// STEPS.json is {"steps": [...]} with objects of "op": points, mask, propagate, clear_frame, remove, reset, undo, redo. Tensors are named
    /// s0.logits, s0.object_score_logits, s1.logits and so on.
    #[command(after_long_help = "Example:
  host-demo replay stack.nii.gz steps.json --model tiny --compat reference --logits steps.safetensors")]
    Replay {
        #[command(flatten)]
        input: Input,
        /// Steps to do
        steps: PathBuf,
        #[command(flatten)]
        model: Model,
        /// Tensors to write
        #[arg(long, value_name = "FILE.safetensors")]
        logits: PathBuf,
        /// Script to write that does the same again (host-demo run FILE.rhai)
        #[arg(long, value_name = "FILE.rhai")]
        record: Option<PathBuf>,
        /// Print a JSON report
        #[arg(long)]
        json: bool,
    },

    /// Run a Rhai script
    ///
    /// The script reads its arguments with arg("key") or arg("key", default); with a default the text is converted to the default's
    /// type. What it prints goes to stdout.
    #[command(after_long_help = "Example:\n  host-demo run scripts/first.rhai --set input=stack.nii.gz --set frame=3")]
    Run {
        /// Script to run
        script: PathBuf,
        /// Argument for the script; may be given several times
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
        set: Vec<(String, String)>,
        #[command(flatten)]
        bounds: Bounds,
        #[command(flatten)]
        viewer: ViewerOptions,
        /// Print the script's last value as JSON; what it prints goes to stderr
        #[arg(long)]
        json: bool,
        /// Do not run it: show what it is for and which arguments it takes
        #[arg(long)]
        about: bool,
    },

    /// Look a script over without running it
    ///
    /// Finds what does not parse, functions that do not exist, wrong numbers of arguments and unknown options. Exit code 1 if there is any.
    #[command(after_long_help = "Example:\n  host-demo check scripts/*.rhai")]
    Check {
        /// Scripts to look over
        #[arg(required = true)]
        scripts: Vec<PathBuf>,
        /// A folder from which scripts import, beside their own
        #[arg(long, value_name = "DIR")]
        library: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Print what scripts can use: functions with examples, as Markdown
    #[command(
        after_long_help = "Example:\n  host-demo reference --definitions .rhai/   # for editors with the Rhai language server"
    )]
    Reference {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Write definition files for the Rhai language server into this folder instead
        #[arg(long, value_name = "DIR", conflicts_with = "json")]
        definitions: Option<PathBuf>,
    },

    /// List the checkpoints that --model finds by name
    Models {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What a script may do and use up.
#[derive(Args)]
#[command(next_help_heading = "What the script may do")]
pub struct Bounds {
    /// Let it read and write below this folder, too; may be given several times. Without it: the current folder, what --set names, and
    /// reading the script's own folder
    #[arg(long, value_name = "DIR")]
    pub allow: Vec<PathBuf>,
    /// Let it import from this folder, beside its own
    #[arg(long, value_name = "DIR")]
    pub library: Option<PathBuf>,
    /// Stop it after so many seconds; 0: never (the default)
    #[arg(long, value_name = "S")]
    pub max_seconds: Option<f64>,
    /// Stop it after so many steps of the interpreter; 0: never
    #[arg(long, value_name = "N")]
    pub max_operations: Option<u64>,
    /// Stop it when the process has grown by so many megabytes
    #[arg(long, value_name = "MB")]
    pub max_memory: Option<u64>,
    /// Stop it before it has written more than so many megabytes
    #[arg(long, value_name = "MB")]
    pub max_disk: Option<u64>,
    /// Any other limit by its name, as errors tell it; may be given several times
    #[arg(long = "limit", value_name = "NAME=N", value_parser = limit)]
    pub limits: Vec<(String, u64)>,
}

/// What the functions `viewer::...` answer with.
#[derive(Args, Clone)]
#[command(next_help_heading = "The viewer of the script")]
pub struct ViewerOptions {
    /// What viewer::volume() returns: a file, or a folder of slices
    #[arg(id = "active_volume", long = "volume", value_name = "INPUT")]
    pub volume: Option<PathBuf>,
    /// Where viewer::show(...) writes pictures
    #[arg(long, value_name = "DIR", default_value = "pictures")]
    pub pictures: PathBuf,
    /// What the next viewer::ask(...) returns; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub answer: Vec<String>,
}

/// The volume to read.
#[derive(Args)]
pub struct Input {
    /// Volume: a file, or a folder of slices
    pub input: PathBuf,
    /// Use this region of every slice only, in pixels or percent, e.g. 1536,0,512,512 or 75%,0,25%,100%
    #[arg(long, value_name = "X,Y,W,H")]
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
    /// Make colour grey: red, green, blue or luminance
    #[arg(long, value_parser = ["red", "green", "blue", "luminance"])]
    pub channel: Option<String>,
    /// Millimetres between voxels (columns, rows, slices), where the file does not say
    #[arg(long, value_name = "X,Y,Z", value_parser = spacing)]
    pub spacing: Option<Spacing>,
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
    #[arg(long, value_name = "TEXT")]
    pub seg_description: Option<String>,
    /// Series number; default: that of the source + 1000
    #[arg(long, value_name = "N")]
    pub seg_number: Option<u32>,
    /// Algorithm name; default: SAM-OCTA2
    #[arg(long, value_name = "NAME")]
    pub seg_algorithm: Option<String>,
}

/// Three lengths in millimetres.
#[derive(Clone, Copy)]
pub struct Spacing(pub [f64; 3]);

/// The model and how to run it.
#[derive(Args)]
pub struct Model {
    /// Weights: an official size by name (tiny, 2.1-base_plus, ...), or a .pt, .pth or .safetensors file
    #[arg(long, value_name = "NAME|FILE")]
    pub model: String,
    /// Shape of the model: an official size by name or a YAML or JSON file; needed if the weights do not tell
    #[arg(long, value_name = "NAME|FILE")]
    pub model_config: Option<String>,
    /// What fine-tuning has learnt for these weights: an adapter file, or PEFT's folder
    #[arg(long, value_name = "FILE")]
    pub adapter: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda, cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Number format: auto, f32, bf16, f16
    #[arg(long, default_value = "auto", value_parser = ["auto", "f32", "bf16", "f16"])]
    pub precision: String,
    /// "reference": behave as the Python package sam2 1.1.0 does, also where corrections get lost
    #[arg(long, value_name = "WHAT", value_parser = ["reference"])]
    pub compat: Option<String>,
}

#[derive(Subcommand)]
pub enum PluginCommand {
    /// Test a plugin against the rules of the interface
    ///
    /// Each check runs in a process of its own, so a plugin that crashes or hangs fails a check and nothing else. Exit code 1 if any failed.
    #[command(after_long_help = "Examples:
  host-demo plugin check libsam_octa2.so --strict 1
  host-demo plugin check libsam_octa2.so --strict 3 --model tiny.pt --json
  host-demo plugin check libsam_octa2.so --only read-only --in-process")]
    Check(check::Options),
    /// One check, in this process
    #[command(hide = true)]
    RunCheck {
        name: String,
        #[command(flatten)]
        case: check::Case,
    },
}

pub fn spacing(text: &str) -> Result<Spacing, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let numbers = numbers.and_then(|numbers| <[f64; 3]>::try_from(numbers).ok());
    numbers.map(Spacing).ok_or_else(|| "expected three numbers: X,Y,Z".to_owned())
}

/// `KEY=VALUE`
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn limit(text: &str) -> Result<(String, u64), String> {
    let (name, value) = key_value(text)?;
    value.parse().map(|value| (name, value)).map_err(|_| "expected NAME=N, a whole number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_value_may_hold_an_equals_sign() {
        assert_eq!(key_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(key_value("=x").is_err() && key_value("x").is_err());
    }
}
