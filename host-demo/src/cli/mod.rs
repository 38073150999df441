//! What can be typed. Nothing here looks at the world.
//!
//! Here are the commands; what several of them take, or what is long, stands beside: `files` volumes and labels, `model` networks, `script`
//! what a script may do, `phantom` synthetic volumes. The commands about vessels and measurements are in `octa`, those of `plugin check`
//! in `check`.

#![allow(rustdoc::broken_intra_doc_links, reason = "the comments are help texts: `[1]` is JSON")]

mod files;
mod model;
mod phantom;
mod script;

pub use files::{Input, Seg, Spacing, spacing};
pub use model::{Model, Place, Segmenter};
pub use phantom::{PhantomFiles, PhantomOptions};
pub use script::{Bounds, ViewerOptions, key_value};

use crate::check;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;

/// Segments OCT-angiography stacks with the SAM-OCTA2 plugin.
///
/// Every command loads the plugin, hands it one job and waits. INPUT is a NIfTI, NRRD or MetaImage file, a file of an OCT device
/// (docs/oct.md), a picture, a folder of pictures or a folder of DICOM files. Results go to stdout; progress, warnings and errors to stderr. Ctrl-C stops after the step under way and
/// keeps what is done; a second Ctrl-C ends at once.
///
/// Exit codes: 0 done, 1 error, 2 wrong usage, 130 stopped by Ctrl-C; batch has more.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_long_help = EXAMPLES)]
pub struct Cli {
    /// The plugin; default: libsam_octa2 beside this program, then the file in SAM_OCTA2_PLUGIN
    #[arg(long, global = true, value_name = "FILE")]
    pub plugin: Option<PathBuf>,

    /// No progress, no messages and nothing that a script prints, only errors; what info, measure, models, check, reference and --json are asked for is printed
    #[arg(long, short, global = true)]
    pub quiet: bool,

    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What was typed; mistakes end the program. Every option takes a negative number, so that what is wrong with it is said by who knows.
    pub fn typed() -> Self {
        let matches = with_negative_numbers(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let option = |arg: clap::Arg| match arg.get_long().is_some() && arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    command.mut_args(option).mut_subcommands(with_negative_numbers)
}

const EXAMPLES: &str = "Examples:
  host-demo info stack.nii.gz
  host-demo segment stack.nii.gz --model tiny --prompts clicks.json --out labels.nii.gz --overlay look.gif
  host-demo run scripts/inspect.rhai --set input=stack.nii.gz
  host-demo plugin check target/release/libsam_octa2.so";

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one per process")]
pub enum Command {
    #[command(flatten)]
    Task(Task),

    /// Do the same with many volumes, and with many processes: a cohort
    ///
    /// MANIFEST is a table (CSV, TSV) or JSON Lines with at least `case` and `volume`, or a folder of volumes. Each case runs on its own: what
    /// crashes, hangs or takes too much fails that case and no other. Its files come whole into DIR/results/CASE, then its record into
    /// DIR/records. Results are the same bits whatever the number of shards. Messages go to stderr.
    ///
    /// Exit codes: 0 all done (also an empty shard), 1 error, 2 wrong usage, 3 some cases failed, 4 all failed, 65 a manifest that cannot be
    /// read (do not try again), 75 the machine's fault, as a full disk (try again with --resume), 130 and 143 stopped by Ctrl-C and SIGTERM
    /// (go on with --resume).
    #[command(after_long_help = "Examples:
  host-demo batch cases.csv --out results --model nano --no-prompts --resume
  host-demo batch cases.csv --out results --script measure.rhai --set field=3.0 --shard 0/4
  parallel -j2 host-demo batch cases.csv --out results --model nano --no-prompts --shard {}/8 --resume ::: $(seq 0 7)
  host-demo batch status results && host-demo batch merge results --csv measurements.csv --html cohort.html")]
    Batch(crate::batch::Options),
    /// What a run of batch does its cases in
    #[command(hide = true)]
    BatchWorker {
        #[arg(long)]
        threads: u32,
    },

    /// Write a script line by line and see what each line does
    ///
    /// Variables, functions and imports stay from line to line; a line whose brackets are open goes on. The value of a line is printed, and
    /// of volumes and labels a picture is written. :help lists what there is, :help NAME explains it. Ctrl-C stops a line, Ctrl-D ends.
    /// Lines may also come through a pipe; then the exit code is 1 if any of them failed.
    #[command(after_long_help = "Example:\n  host-demo repl --volume stack.nii.gz")]
    Repl(crate::repl::Options),

    /// Serve the model to viewers: ITK-SNAP, SlicerNNInteractive, nnInteractive's clients, MONAI Label's, and a page in the browser
    ///
    /// All of them use one port; docs/viewers.md says how each is connected. A click in a viewer is answered with the object on the slice clicked and
    /// on --follow slices to each side. The server listens on this computer alone unless --host and --token say otherwise. Ctrl-C ends it.
    #[command(after_long_help = "Examples:
  host-demo serve
  host-demo serve scan.nii.gz layers/ --model tiny --port 1527 --follow all
  host-demo serve --host 0.0.0.0 --token $(openssl rand -hex 16)")]
    Serve(crate::serve::Options),

    /// Look at volumes and segment them in the browser
    ///
    /// Starts the server of `serve` and opens its page: slices, clicks, boxes, several objects, following, undo, saving. Ctrl-C ends it.
    #[command(after_long_help = "Example:\n  host-demo view scan.nii.gz")]
    View(crate::serve::View),

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
    /// The format follows from the ending of OUTPUT: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, .npy ([frames, rows, columns], or [frames, rows, columns, 3] for
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
    ///
    /// --no-prompts finds vessels and the FAZ without a prompt, with models that have dense maps (nano): object 1 is the FAZ, from 2 on a
    /// vessel each. Where pixels have a size they are measured, too; --html, --csv and --vessels-csv write it down.
    #[command(after_long_help = "Examples:
  host-demo segment enface.png --model nano --no-prompts --assume-size 3mm --out labels.nii.gz --html report.html --csv table.csv
  host-demo segment stack.nii.gz --model tiny --prompts clicks.json --out labels.nii.gz
  host-demo segment slices/ --crop 1536,0,512,512 --model mine.safetensors --prompts clicks.json --overlay look.gif --json")]
    Segment {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        model: Model,
        /// Values that the model sees as 0 and 1: auto (8 bits as they are, others 0.5%,99.5%), LOW,HIGH, LOW%,HIGH%,
        /// slice:LOW%,HIGH%, full, or source (DICOM's own)
        #[arg(long, value_name = "WINDOW", allow_hyphen_values = true)]
        window: Option<String>,
        /// Prompt file
        #[arg(long, value_name = "FILE.json", required_unless_present = "no_prompts", conflicts_with = "no_prompts")]
        prompts: Option<PathBuf>,
        /// Vessels and FAZ without a prompt
        #[arg(long)]
        no_prompts: bool,
        /// Labels to write: one object number per voxel, in the geometry of the input. By the ending: .nii, .nii.gz, .nrrd, .seg.nrrd
        /// (with names and colours, for 3D Slicer), .mha, .npy, .tif, .json
        /// (COCO, run-length encoded), .dcm (DICOM Segmentation; the input must be DICOM), or a folder of PNG files
        #[arg(long, value_name = "LABELS.nii.gz")]
        out: Option<PathBuf>,
        /// Labels of the B-scans to write, with --slab or --layers-along: in each column the rows that the slab was made of
        #[arg(long, value_name = "LABELS.nii.gz")]
        out_bscans: Option<PathBuf>,
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
        /// Folder that keeps the features of encoded slices: what was encoded before with this model and window is not encoded again
        #[arg(long, value_name = "DIR")]
        features: Option<PathBuf>,
        /// Megabytes that its files may take, those used longest ago go first; default: 4096
        #[arg(long, value_name = "MB", requires = "features")]
        features_mb: Option<u64>,
        /// Print a JSON report
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        numbers: crate::octa::Numbers,
    },

    /// Propose the region of every slice with a small network that was taught a few hand-labelled ones
    ///
    /// The network is a SwinUNETR: MONAI's, SAM-OCTA2's, or trained here. Vessels are the region of a slice within an en-face vessel map.
    #[command(after_long_help = "Examples:
  host-demo predict layers/ --segmenter rv.safetensors --out region.nii.gz --pictures strips
  host-demo predict layers/ --segmenter rv.pth --vessels GT_LargeVessel/10301.bmp --vessels-out vessels.nii.gz --threshold 0.5")]
    Predict {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        segmenter: Segmenter,
        /// Values that the network sees as 0 and 1, as for segment
        #[arg(long, value_name = "WINDOW", allow_hyphen_values = true)]
        window: Option<String>,
        /// En-face vessel map: a picture of any size, vessels are what is not black
        #[arg(long, value_name = "FILE")]
        vessels: Option<PathBuf>,
        /// Region to write (object 1), by the ending as for segment
        #[arg(long, value_name = "LABELS.nii.gz")]
        out: Option<PathBuf>,
        /// Vessels to write (object 1)
        #[arg(long, value_name = "LABELS.nii.gz")]
        vessels_out: Option<PathBuf>,
        #[command(flatten)]
        seg: Seg,
        /// Probabilities to write
        #[arg(long, value_name = "FILE.nii.gz")]
        probabilities: Option<PathBuf>,
        /// Folder for a picture per slice: region, region over slice, vessels over slice, slice
        #[arg(long, value_name = "DIR")]
        pictures: Option<PathBuf>,
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
    #[command(
        after_long_help = "Example:\n  host-demo run scripts/inspect.rhai --set input=stack.nii.gz --set out=flat.nii.gz"
    )]
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

    /// Write a checkpoint with what fine-tuning learnt as one file
    ///
    /// OUTPUT ends in .pt, .pth or .safetensors. The layout official is read by SAM 2's own programs; sam_octa2 is what SAM-OCTA2 saves
    /// (adapters beside their layers).
    #[command(after_long_help = "Example:
  host-demo export merged.pt --model tiny --adapter tuned/adapter.safetensors")]
    Export {
        /// File to write
        output: PathBuf,
        #[command(flatten)]
        model: Model,
        /// Names and form: official or sam_octa2
        #[arg(long, value_name = "LAYOUT", default_value = "official", value_parser = ["official", "sam_octa2"])]
        layout: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Make a synthetic OCTA volume whose truth is known
    ///
    /// Vessel trees, capillaries, an avascular zone and a curved retina, seen by a scanner with its noise and artefacts (docs/phantoms.md).
    /// Labels: 1 the avascular zone, from 2 on a vessel each, the same number in all slices and en face. Equal options give equal files.
    #[command(after_long_help = "Examples:
  host-demo phantom --out scan.nii.gz --labels truth.nii.gz --seed 7
  host-demo phantom --out layers/ --labels truth.npy --layers vessels --slices 10 --en-face projection.tif --en-face-labels enface.tif")]
    Phantom {
        #[command(flatten)]
        out: PhantomFiles,
        #[command(flatten)]
        options: PhantomOptions,
        /// Print a JSON report
        #[arg(long)]
        json: bool,
    },

    /// List the models that --model finds by name, download them, check them
    ///
    /// The list comes with the plugin (sam2_weights/models.toml); models of your own come from my-models.toml, in the same form, in any
    /// folder of checkpoints.
    #[command(after_long_help = "Examples:
  host-demo models
  host-demo models show medsam2
  host-demo models get 2.1-tiny
  host-demo models verify")]
    Models(crate::models::Options),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
