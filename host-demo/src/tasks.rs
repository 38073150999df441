//! The plugin's tasks: what was typed becomes a JSON request, the reply becomes lines.

use crate::cli::{Cli, Input, Model, PhantomFiles, PhantomOptions, Place, Seg, Segmenter, Spacing, Task};
use crate::exit::{self, Code, SUCCESS};
use crate::observer::Terminal;
use crate::viewer::Viewer;
use crate::{find, models, output, scripts};
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Does one task and prints its report. The code is what a script gave to `exit`, else that of success.
pub fn run(cli: &Cli, task: &Task) -> anyhow::Result<Code> {
    if let Task::Models(models::Options { command: Some(action), .. }) = task {
        return models::run(cli, action);
    }
    let plugin = find::load(cli.plugin.as_deref())?;
    match task {
        Task::Check { scripts, library, json } => {
            return scripts::check(&plugin, scripts, library.as_deref(), *json).map(|()| SUCCESS);
        }
        Task::Run { script, about: true, json, bounds, .. } => {
            return scripts::about(&plugin, script, bounds.library.as_deref(), *json).map(|()| SUCCESS);
        }
        Task::Reference { definitions, json } => {
            return scripts::reference(&plugin, definitions.as_deref(), *json).map(|()| SUCCESS);
        }
        _ => {}
    }
    let (name, request, as_json) = request(task)?;
    let is_script = name == "script";
    let mut terminal = Terminal::new(cli.quiet, is_script && as_json)?;
    let reply = match (task, plugin.api()) {
        (Task::Run { viewer, json, .. }, Ok(api)) => {
            let viewer = Viewer::new(api, viewer, *json, cli.quiet)?.stopped_by(terminal.stopper());
            let report = viewer.run(&request, &mut terminal);
            report.map(|report| json!({"report": report}).to_string())
        }
        _ => plugin.task(name, &request.to_string(), &mut terminal).map_err(Into::into),
    };
    terminal.pause();
    let reply: Value = serde_json::from_str(&reply?).context("the plugin's reply is not JSON")?;
    match reply["text"].as_str() {
        _ if as_json => output::line(&serde_json::to_string_pretty(&reply["report"])?)?,
        _ if is_script => {} // has printed what it has to say
        _ if cli.quiet && !matches!(task, Task::Info { .. } | Task::Measure(_) | Task::Models(_)) => {}
        Some(text) => output::line(text)?,
        None => readable(&reply["report"]).iter().try_for_each(|line| output::line(line))?,
    }
    Ok(if is_script { exit::of_script(&reply["report"]).unwrap_or(SUCCESS) } else { SUCCESS })
}

/// The plugin's name of the task, its request, and whether the report is wanted as JSON.
fn request(task: &Task) -> anyhow::Result<(&'static str, Value, bool)> {
    Ok(match task {
        Task::Info { input, json } => ("info", volume(input)?, *json),
        Task::Convert { input, output, json } => {
            ("convert", with(volume(input)?, json!({"output": text(output)?})), *json)
        }
        Task::Vessels(vessels) => ("vessels", vessels.request()?, vessels.json),
        Task::Measure(measure) => ("measure", measure.request()?, measure.json),
        Task::ExportOcta500(export) => ("export_octa500", export.request()?, export.json),
        Task::Segment {
            input,
            model,
            window,
            prompts,
            no_prompts,
            out,
            out_bscans,
            seg,
            logits,
            overlay,
            record,
            features,
            features_mb,
            numbers,
            json,
        } => {
            let files = json!({
                "window": window, "prompts": optional(prompts.as_deref())?, "no_prompts": no_prompts, "numbers": numbers.request()?,
                "out": optional(out.as_deref())?, "out_bscans": optional(out_bscans.as_deref())?, "logits": optional(logits.as_deref())?,
                "overlay": optional(overlay.as_deref())?, "record": optional(record.as_deref())?, "seg": description(seg),
                "features": optional(features.as_deref())?, "features_bytes": features_mb.map(|mb| mb.saturating_mul(1 << 20)),
            });
            ("segment", with(with(volume(input)?, choice(model)), files), *json)
        }
        Task::Predict { input, segmenter, window, vessels, out, vessels_out, seg, probabilities, pictures, json } => {
            let files = json!({
                "window": window, "vessels": optional(vessels.as_deref())?, "out": optional(out.as_deref())?,
                "vessels_out": optional(vessels_out.as_deref())?, "probabilities": optional(probabilities.as_deref())?,
                "pictures": optional(pictures.as_deref())?, "seg": description(seg),
            });
            ("predict", with(with(volume(input)?, network(segmenter)), files), *json)
        }
        Task::Replay { input, steps, model, logits, record, json } => {
            let record = optional(record.as_deref())?;
            let files = json!({"steps": text(steps)?, "logits": text(logits)?, "record": record});
            ("replay", with(with(volume(input)?, choice(model)), files), *json)
        }
        Task::Run { script, set, bounds, json, .. } => {
            let args: Map<String, Value> = set.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            let request = json!({"path": text(script)?, "args": args});
            ("script", with(request, scripts::bounds(bounds, script.parent(), set)?), *json)
        }
        Task::Export { output, model, layout, json } => {
            ("export", with(choice(model), json!({"output": text(output)?, "layout": layout})), *json)
        }
        Task::Phantom { options, out, json } => ("phantom", phantom(options, out)?, *json),
        Task::Models(models) => ("models", json!({}), models.json),
        Task::Check { .. } | Task::Reference { .. } => bail!("not a task of one reply"),
    })
}

/// How to read the volume.
pub fn volume(input: &Input) -> anyhow::Result<Value> {
    let Input { crop, axis, series, uneven, volume, channel, spacing, oct, .. } = input;
    Ok(json!({
        "kind": oct.kind, "layers": optional(oct.layers.as_deref())?, "assume_size": oct.assume_size, "columns": oct.columns,
        "slab": oct.slab, "projection": oct.projection, "subtract": oct.subtract, "layers_along": oct.layers_along,
        "input": text(&input.input)?, "crop": crop, "axis": axis, "series": series, "uneven": uneven, "volume": volume,
        "channel": channel, "spacing": spacing.as_ref().map(|Spacing(mm)| mm),
    }))
}

fn description(seg: &Seg) -> Value {
    json!({
        "properties": seg.seg_property, "fractional": seg.seg_fractional, "deterministic": seg.seg_deterministic,
        "description": seg.seg_description, "number": seg.seg_number, "algorithm": seg.seg_algorithm,
    })
}

fn choice(model: &Model) -> Value {
    let Place { device, precision } = &model.place;
    json!({
        "model": model.model, "model_config": model.model_config, "device": device, "precision": precision,
        "adapter": model.adapter, "compat": model.compat,
    })
}

/// Only what was typed: the plugin knows the defaults.
fn phantom(options: &PhantomOptions, files: &PhantomFiles) -> anyhow::Result<Value> {
    let PhantomOptions { seed, size, slices, field, layers, scanner, .. } = options;
    let given = json!({
        "seed": seed, "size": size, "slices": slices, "field": field, "layers": layers, "scanner": scanner, "faz_mm2": options.faz_mm2,
        "noise": options.noise, "motion": options.motion, "vignetting": options.vignetting, "projection": options.projection,
        "capillaries": options.capillaries, "dropout": options.dropout,
    });
    let given = given.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let given: Map<String, Value> = given.map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(json!({
        "options": given, "out": text(&files.out)?, "labels": optional(files.labels.as_deref())?,
        "region": optional(files.region.as_deref())?, "en_face": optional(files.en_face.as_deref())?,
        "en_face_labels": optional(files.en_face_labels.as_deref())?,
    }))
}

fn network(network: &Segmenter) -> Value {
    let Segmenter { segmenter, image_size, batch, threshold, min_size, keep_holes, sigma, .. } = network;
    let Place { device, precision } = &network.place;
    json!({
        "segmenter": segmenter, "image_size": image_size, "device": device, "precision": precision, "batch": batch,
        "clean": {"threshold": threshold, "min_size": min_size, "fill_holes": !keep_holes, "sigma": sigma},
    })
}

/// The fields of two objects in one.
pub fn with(mut object: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut object, more) {
        fields.extend(more);
    }
    object
}

/// A path as text.
pub fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{}: the name is not UTF-8", path.display()))
}

/// The same, if there is one.
pub fn optional(path: Option<&Path>) -> anyhow::Result<Option<&str>> {
    path.map(text).transpose()
}

/// A report without a text of its own: `key: value` lines.
fn readable(report: &Value) -> Vec<String> {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match report {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| format!("{key}: {}", shown(value)))
            .collect(),
        Value::Array(values) => values.iter().map(shown).collect(),
        value => vec![shown(value)],
    }
}
