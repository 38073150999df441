//! `fine_tune` and `train_segmenter` in scripts: the request as an option map, a closure that hears of every epoch and may stop the training.

use super::Context;
use super::captured;
use super::engine::HostRef;
use super::errors::Failure;
use super::files::Files;
use super::library::Library;
use super::shapes::Kind;
use super::values::{Checked, Fallible, native, refused, to_map};
use crate::convert::ToHost;
use rhai::{Dynamic, FnPtr, NativeCallContext};
use sam_octa2_core::Error;
use sam_octa2_core::job::{ExportRequest, FreshRequest, export, fresh, unknown_key};
use sam_octa2_core::loader::ModelRequest;
use sam_octa2_core::progress::{Flow, Observer};
use sam_octa2_core::sparse::{TrainSegmenterRequest, train_segmenter};
use sam_octa2_core::train::data::DataConfig;
use sam_octa2_core::train::records::EpochRecord;
use sam_octa2_core::train::{FineTuneRequest, fine_tune};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;

/// Means over slices.
macro_rules! means {
    () => {
        "#{slices, loss, dice, jaccard, precision, recall, specificity, cldice, hausdorff_mm, hd95_mm, prompted_dice, followed_dice}"
    };
}

/// An epoch of a training.
macro_rules! epoch {
    () => {
        concat!("#{epoch, loss, skipped, validation: ", means!(), ", dense}")
    };
}

/// Makes training known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let (host, files) = (context.host, context.files.clone());
    let [same, again, begin] = [0; 3].map(|_| context.files.clone());
    library
        .section("Training", "Learning from labelled volumes and layers; docs/training.md and docs/sparse.md say what every option does.")
        .function(
            concat!(
                "fine_tune(options: #{model, data, output, adapt, objective, optimizer, sample, augment, run}, closure?: FnPtr(",
                epoch!(),
                ")) -> Map #{epochs: [",
                epoch!(),
                "], best_epoch, adapter, trained_parameters, skipped, test: ",
                means!(),
                ", estimate: #{memory_gb, available_gb, seconds_per_clip, hours}, cases, warnings}"
            ),
            "Trains adapters (or whole parts) of a model on volumes with labels; writes `adapter.safetensors`, a checkpoint to resume from, \
             tables, curves and pictures into the folder `output`; `run: #{dry_run: true}` only estimates memory and time. `model`: a name, a file, or `#{model, model_config, adapter, device, \
             precision}`; `data`: `#{manifest: FILE}`, `#{octa500: #{root, task}}` or `#{en_face: #{folder, masks}}` (ROSSA, ROSE). The closure receives an epoch after each; `false` stops there. `validation` is `()` where nothing is validated.",
            "labels.save(\"truth.nii.gz\"); write_json(\"pairs.json\", [#{image: arg(\"input\"), labels: \"truth.nii.gz\"}]); \
             fine_tune(#{model: #{model: arg(\"model\"), model_config: arg(\"config\")}, data: #{manifest: \"pairs.json\"}, output: \"tuned\", \
             adapt: #{rank: 2, alpha: 2.0}, sample: #{frames: 2}, run: #{epochs: 1}}, |epoch| epoch.loss > 0.01)",
            move |call: NativeCallContext, options: Dynamic, each: FnPtr| -> Fallible<Dynamic> {
                trained(&call, host, Some(&each), || request(&files, &options), fine_tune)
            },
        )
        .also("fine_tune", move |call: NativeCallContext, options: Dynamic| -> Fallible<Dynamic> {
            trained(&call, host, None, || request(&same, &options), fine_tune)
        })
        .function(
            "export_checkpoint(options: #{model, model_config, adapter, layout, precision}, path: String) -> Map #{output, layout, tensors, adapters, size}",
            "Writes a checkpoint with what fine-tuning learnt as one file: `.pt`, `.pth` or `.safetensors`. `layout`: `\"official\"` (adapters added \
             to their layers; SAM 2's own programs read it) or `\"sam_octa2\"` (adapters beside their layers, as SAM-OCTA2 saves them); `precision`: `\"bf16\"` or `\"f16\"` for half the bytes.",
            "export_checkpoint(#{model: arg(\"model\"), model_config: arg(\"config\")}, \"merged.pt\")",
            move |call: NativeCallContext, options: Dynamic, path: Dynamic| -> Fallible<Dynamic> {
                native(&call, || written(&again, &options, &path))
            },
        )
        .function(
            "new_checkpoint(options: #{model_config, seed}, path: String) -> Map #{output, layout, tensors, adapters, size}",
            "Writes random weights to train from, as `.safetensors` (which carries the configuration).",
            "new_checkpoint(#{model_config: arg(\"config\"), seed: 1}, \"start.safetensors\")",
            move |call: NativeCallContext, options: Dynamic, path: Dynamic| -> Fallible<Dynamic> {
                native(&call, || new_checkpoint(&begin, &options, &path))
            },
        );
    layers(library, context);
}

fn layers(library: &mut Library<'_>, context: &Context) {
    let (host, files, same) = (context.host, context.files.clone(), context.files.clone());
    library
        .function(
            concat!(
                "train_segmenter(options: #{network, data, output, loss, optimizer, augment, run}, closure?: FnPtr(",
                epoch!(),
                ")) -> Map #{epochs: [",
                epoch!(),
                "], best_epoch, segmenter, network: #{..}, trained_parameters, skipped, test: ",
                means!(),
                "}"
            ),
            "Teaches a small network a few hand-labelled layers; writes `segmenter.safetensors` for `load_segmenter`, a checkpoint to resume \
             from, and the records of `fine_tune` into the folder `output`. `network`: `#{size: \"tiny\"|\"small\"|\"medium\"|\"reference\", image_size, \
             device}`, or `#{segmenter: FILE}` to go on from; `data`: `#{side_by_side: #{folder, validation}}` (layer and mask in one picture) or as in \
             `fine_tune` (slices with labels are learnt). The closure hears of every epoch as there.",
            "labels.save(\"region.nii.gz\"); write_json(\"layers.json\", [#{image: arg(\"input\"), labels: \"region.nii.gz\"}]); \
             train_segmenter(#{network: #{size: \"tiny\", image_size: 32}, data: #{manifest: \"layers.json\"}, output: \"taught\", run: #{epochs: 1}})",
            move |call: NativeCallContext, options: Dynamic, each: FnPtr| -> Fallible<Dynamic> {
                trained(&call, host, Some(&each), || segmenter_request(&files, &options), train_segmenter)
            },
        )
        .also("train_segmenter", move |call: NativeCallContext, options: Dynamic| -> Fallible<Dynamic> {
            trained(&call, host, None, || segmenter_request(&same, &options), train_segmenter)
        });
}

fn new_checkpoint(files: &Files, options: &Dynamic, path: &Dynamic) -> Checked<Dynamic> {
    let request: FreshRequest = with_output("new_checkpoint", options, path)?;
    readable(files, &ModelRequest { model: request.model_config.clone(), ..ModelRequest::default() })?;
    files.check_write(&request.output)?;
    Ok(Dynamic::from_map(to_map(&fresh(&request)?)?))
}

/// An option map and a path as a request.
fn with_output<T: DeserializeOwned + Serialize>(function: &str, options: &Dynamic, path: &Dynamic) -> Checked<T> {
    let path = path.clone().into_string().map_err(|_| refused(&format!("{function}: path"), "a text", path))?;
    parsed(function, options, |value| value["output"] = json!(path))
}

fn written(files: &Files, options: &Dynamic, path: &Dynamic) -> Checked<Dynamic> {
    let request: ExportRequest = with_output("export_checkpoint", options, path)?;
    readable(files, &request.model)?;
    files.check_write(&request.output)?;
    Ok(Dynamic::from_map(to_map(&export(&request)?)?))
}

/// An option map as a request, after `change`.
fn parsed<R: DeserializeOwned + Serialize>(
    function: &str,
    options: &Dynamic,
    change: impl FnOnce(&mut Value),
) -> Checked<R> {
    let mut value: Value = rhai::serde::from_dynamic(options)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| refused(&format!("{function}: options"), "an option map", options))?;
    change(&mut value);
    let request = serde_path_to_error::deserialize(&value)
        .map_err(|error| Failure::invalid(format!("{function}: option `{}`: {}", error.path(), error.inner())))?;
    unknown_key(&value, &request).map_or(Ok(request), |what| Err(Failure::invalid(format!("{function}: {what}"))))
}

/// Whether the script may read what a model is made of.
fn readable(files: &Files, model: &ModelRequest) -> Checked<()> {
    model.adapter.as_deref().map_or(Ok(()), |path| files.check_read(path))?;
    let named = [Some(&model.model), model.model_config.as_ref()];
    named.into_iter().flatten().try_for_each(|name| named_file(files, name))
}

/// A file by its path; names are looked up in the folders of the weights, which the host chose.
fn named_file(files: &Files, name: &str) -> Checked<()> {
    let path = Path::new(name);
    if path.components().count() > 1 || path.exists() { files.check_read(path) } else { Ok(()) }
}

/// Whether the script may read what is learnt from.
fn readable_data(files: &Files, data: &DataConfig) -> Checked<()> {
    match data {
        DataConfig::Manifest(path) => files.check_read(path),
        DataConfig::Octa500(octa500) => files.check_read(&octa500.root),
        DataConfig::EnFace(set) => files.check_read(&set.folder),
        DataConfig::SideBySide(pictures) => files.check_read(&pictures.folder),
        DataConfig::Phantoms(phantoms) => phantoms.folder.as_deref().map_or(Ok(()), |folder| files.check_write(folder)),
    }
}

/// A training of the core: request, progress, what hears of every epoch.
type Train<Q, R> = fn(
    &Q,
    &mut dyn Observer,
    &mut dyn FnMut(&EpochRecord) -> sam_octa2_core::Result<Flow>,
) -> sam_octa2_core::Result<R>;

/// Trains while the closure hears of every epoch.
fn trained<Q, R: Serialize>(
    call: &NativeCallContext,
    host: HostRef,
    each: Option<&FnPtr>,
    request: impl FnOnce() -> Checked<Q>,
    train: Train<Q, R>,
) -> Fallible<Dynamic> {
    let request = native(call, request)?;
    let mut failed = None;
    let result = train(&request, &mut ToHost(host.calls()), &mut |epoch| {
        let Some(each) = each else { return Ok(Flow::Continue) };
        let mut reply = rhai::serde::to_dynamic(epoch).map_err(|error| Error::invalid(error.to_string()))?;
        Kind::parse(epoch!(), "an epoch").mark(&mut reply, "an epoch");
        match each.call_within_context::<Dynamic>(call, (reply,)) {
            Ok(answer) if answer.as_bool() != Ok(false) => return Ok(Flow::Continue),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
        Ok(Flow::Cancel)
    });
    match failed {
        Some(error) => Err(captured::explained(error, None)),
        None => native(call, || Ok(Dynamic::from_map(to_map(&result?)?))),
    }
}

/// The option map as a request; only files that the host allows.
fn request(files: &Files, options: &Dynamic) -> Checked<FineTuneRequest> {
    let request: FineTuneRequest = parsed("fine_tune", options, |value| {
        if value["model"].is_string() {
            value["model"] = json!({"model": value["model"]});
        }
    })?;
    readable_data(files, &request.data)?;
    readable(files, &request.model)?;
    files.check_write(&request.output)?;
    Ok(request)
}

fn segmenter_request(files: &Files, options: &Dynamic) -> Checked<TrainSegmenterRequest> {
    let request: TrainSegmenterRequest = parsed("train_segmenter", options, |_| {})?;
    readable_data(files, &request.data)?;
    request.network.segmenter.iter().try_for_each(|name| named_file(files, name))?;
    files.check_write(&request.output)?;
    Ok(request)
}
