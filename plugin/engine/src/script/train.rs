//! `fine_tune` in scripts: the request as an option map, a closure that hears of every epoch and may stop the training.

use super::Context;
use super::captured;
use super::engine::HostRef;
use super::errors::Failure;
use super::files::Files;
use super::library::Library;
use super::values::{Checked, Fallible, native, refused, told};
use crate::convert::ToHost;
use rhai::{Dynamic, FnPtr, NativeCallContext};
use sam_octa2_core::Error;
use sam_octa2_core::progress::Flow;
use sam_octa2_core::train::data::DataConfig;
use sam_octa2_core::train::{FineTuneRequest, fine_tune};
use serde_json::{Value, json};

/// Makes training known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let (host, files) = (context.host, context.files.clone());
    let same = context.files.clone();
    library
        .room("Training", "Fine-tuning on labelled volumes; docs/training.md says what every option does.")
        .function(
            "fine_tune(options: #{model, data, output, adapt, objective, optimizer, sample, augment, run}, closure?: FnPtr) -> Map",
            "Trains adapters (or whole parts) of a model on volumes with labels; writes `adapter.safetensors`, a checkpoint to resume from, \
             `metrics.csv` and `steps.csv` into the folder `output`. `model`: a name, a file, or `#{model, config, adapter, device, \
             precision}`; `data`: `#{manifest: FILE}` or `#{octa500: #{root, task}}`. The closure hears `#{epoch, loss, skipped, validation: \
             #{dice, ...}}` after every epoch; `false` stops there. Returns `#{epochs, best_epoch, adapter, trained_parameters, skipped}`.",
            "labels.save(\"truth.nii.gz\"); write_json(\"pairs.json\", [#{image: arg(\"input\"), labels: \"truth.nii.gz\"}]); \
             fine_tune(#{model: #{model: arg(\"model\"), model_config: arg(\"config\")}, data: #{manifest: \"pairs.json\"}, output: \"tuned\", \
             adapt: #{rank: 2, alpha: 2.0}, sample: #{frames: 2}, run: #{epochs: 1}}, |epoch| epoch.loss > 0.01)",
            move |call: NativeCallContext, options: Dynamic, each: FnPtr| -> Fallible<Dynamic> {
                run(&call, host, &files, &options, Some(&each))
            },
        )
        .also("fine_tune", move |call: NativeCallContext, options: Dynamic| -> Fallible<Dynamic> {
            run(&call, host, &same, &options, None)
        });
}

fn run(
    call: &NativeCallContext,
    host: HostRef,
    files: &Files,
    options: &Dynamic,
    each: Option<&FnPtr>,
) -> Fallible<Dynamic> {
    let request = native(call, || request(files, options))?;
    let mut failed = None;
    let result = fine_tune(&request, &mut ToHost(host.calls()), &mut |epoch| {
        let Some(each) = each else { return Ok(Flow::Continue) };
        let told = rhai::serde::to_dynamic(epoch).map_err(|error| Error::invalid(error.to_string()))?;
        match each.call_within_context::<Dynamic>(call, (told,)) {
            Ok(answer) if answer.as_bool() != Ok(false) => return Ok(Flow::Continue),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
        Ok(Flow::Cancel)
    });
    match failed {
        Some(error) => Err(captured::explained(error, None)),
        None => native(call, || Ok(Dynamic::from_map(told(&result?)?))),
    }
}

/// The option map as a request; only files that the host allows.
fn request(files: &Files, options: &Dynamic) -> Checked<FineTuneRequest> {
    let mut value: Value = rhai::serde::from_dynamic(options)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| refused("fine_tune: options", "an option map", options))?;
    if value["model"].is_string() {
        value["model"] = json!({"model": value["model"]});
    }
    let request: FineTuneRequest = serde_path_to_error::deserialize(value)
        .map_err(|error| Failure::invalid(format!("fine_tune: option `{}`: {}", error.path(), error.inner())))?;
    let readable = |path: &std::path::Path| files.check_read(path);
    match &request.data {
        DataConfig::Manifest(path) => readable(path)?,
        DataConfig::Octa500(octa500) => readable(&octa500.root)?,
    }
    request.model.adapter.as_deref().map_or(Ok(()), readable)?;
    let named = [Some(&request.model.model), request.model.model_config.as_ref()];
    let paths = named.into_iter().flatten().map(std::path::Path::new);
    paths.filter(|path| path.components().count() > 1 || path.exists()).try_for_each(readable)?;
    files.check_write(&request.output)?;
    Ok(request)
}
