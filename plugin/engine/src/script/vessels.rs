//! Vessels as objects in scripts: a mask to one number per vessel, to the layers, to SAM-OCTA2's folders.

use super::Context;
use super::engine::HostRef;
use super::files::Files;
use super::labels::LabelsValue;
use super::library::Library;
use super::regions::alone;
use super::values::{Checked, Fallible, Options, float64, native, text, to_map, truth, typed, whole};
use super::volume::VolumeValue;
use crate::convert::ToHost;
use rhai::{Dynamic, Map, NativeCallContext};
use sam_octa2_core::Error;
use sam_octa2_core::io::{self, OpenOptions};
use sam_octa2_core::train::data::octa500::{Octa500, Task};
use sam_octa2_core::vessels::{self, COLOURS, LEAST, Sample, TreeOptions};
use sam_octa2_core::volume::Labels;
use std::borrow::Cow;
use std::sync::Arc;

const INTRO: &str = "From an en-face map of vessels to one number per vessel, and from there to the layers of a volume, as SAM-OCTA2 prepares its \
    training data. Arteries and veins are not told apart.";

/// Makes them known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    library.section("Vessels", INTRO);
    numbering(library);
    layers(library);
    files(library, context);
}

/// Labels seen from the front.
fn flat(labels: &Labels) -> Cow<'_, Labels> {
    if labels.frames == 1 { Cow::Borrowed(labels) } else { Cow::Owned(labels.project()) }
}

fn numbering(library: &mut Library<'_>) {
    library
        .function(
            "vessels(labels: Labels, options?: #{least, gap, split_crossings, earlier}) -> Labels",
            "One number per vessel, seen from the front (several slices are projected): parts that hang together, numbered as rows meet them. \
             `least`: fewest pixels; `gap`: ends that point at each other over so many pixels belong together; `split_crossings`: vessels \
             that cross are two; `earlier`: labels whose numbers are kept where vessels overlap.",
            "labels.vessels(#{gap: 6, least: 20}).objects.len()",
            |call: NativeCallContext, labels: &mut LabelsValue, options: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || numbered(labels, Some(&options)))
            },
        )
        .also("vessels", |call: NativeCallContext, labels: &mut LabelsValue| -> Fallible<LabelsValue> {
            native(&call, || numbered(labels, None))
        })
        .function(
            "claimed_by(labels: Labels, answers: Labels, options?: #{share}) -> Labels",
            "Parts, each with the number of the object of `answers` that covers most of it, and at least `share` [0.2] of its pixels; the others are \
             left out. So an answer to clicks picks from what was found without a click.",
            "labels.components().claimed_by(labels, #{share: 0.5}).objects",
            |call: NativeCallContext, parts: &mut LabelsValue, answers: Dynamic, options: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || {
                    let options = Options::new("claimed_by", &options, &["share"])?;
                    claimed_by(parts, &answers, options.get("share", float64)?.unwrap_or(SHARE))
                })
            },
        )
        .also("claimed_by", |call: NativeCallContext, parts: &mut LabelsValue, answers: Dynamic| -> Fallible<LabelsValue> {
            native(&call, || claimed_by(parts, &answers, SHARE))
        })
        .function(
            "skeleton(labels: Labels) -> Labels",
            "Centre lines of each object, one pixel wide, slice by slice, as scikit-image's `skeletonize`.",
            "labels.skeleton().voxels",
            |call: NativeCallContext, labels: &mut LabelsValue| -> Fallible<LabelsValue> {
                native(&call, || Ok(labels.each(vessels::skeleton)))
            },
        );
}

/// What an answer covers of a part that it claims, where a script does not say.
const SHARE: f64 = 0.2;

fn claimed_by(parts: &LabelsValue, answers: &Dynamic, share: f64) -> Checked<LabelsValue> {
    let answers: LabelsValue = typed("claimed_by: answers", "Labels", answers)?;
    Ok(parts.derived(vessels::claimed(&parts.labels, &answers.labels, share)?))
}

fn numbered(labels: &LabelsValue, options: Option<&Dynamic>) -> Checked<LabelsValue> {
    let known = ["least", "gap", "split_crossings", "earlier"];
    let options = options.map(|options| Options::new("vessels", options, &known)).transpose()?;
    let (mut how, mut earlier) = (TreeOptions::default(), None);
    if let Some(options) = &options {
        how.least = options.get("least", whole)?.unwrap_or_default();
        how.gap = options.get("gap", float64)?.unwrap_or_default();
        how.split_crossings = options.get("split_crossings", truth)?.unwrap_or_default();
        earlier = options.get("earlier", |what, value| typed::<LabelsValue>(what, "Labels", value))?;
    }
    let trees = vessels::trees(&flat(&labels.labels), &how)?;
    Ok(labels.derived(match earlier {
        Some(earlier) => vessels::keep_numbers(&trees, &flat(&earlier.labels))?,
        None => trees,
    }))
}

fn layers(library: &mut Library<'_>) {
    library
        .function(
            "on_layers(labels: Labels, regions: Labels, options?: #{least}) -> Labels",
            "The vessels of a map on every layer of `regions`, labels that say where a layer cuts through the plexus. Islands and vessels of \
             fewer than `least` pixels (100) on a layer are left out. The map may be of another size.",
            "labels.vessels().on_layers(labels, #{least: 1}).objects",
            |call: NativeCallContext, map: &mut LabelsValue, regions: Dynamic, options: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || {
                    let options = Options::new("on_layers", &options, &["least"])?;
                    on_layers(map, &regions, options.get("least", whole)?.unwrap_or(LEAST))
                })
            },
        )
        .also("on_layers", |call: NativeCallContext, map: &mut LabelsValue, regions: Dynamic| -> Fallible<LabelsValue> {
            native(&call, || on_layers(map, &regions, LEAST))
        })
        .function(
            "erase(labels: Labels, erased: Labels) -> Labels",
            "Without what lies where `erased` has any object; one slice of it counts for all layers.",
            "labels.erase(labels.project()).voxels",
            |call: NativeCallContext, labels: &mut LabelsValue, erased: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || {
                    let erased: LabelsValue = typed("erase: erased", "Labels", &erased)?;
                    Ok(labels.derived(vessels::erase(&labels.labels, &erased.labels)?))
                })
            },
        )
        .function(
            "resized(labels: Labels, rows: int, columns: int) -> Labels",
            "One slice of labels in another size: a pixel is inside where any of the mask falls on it.",
            "labels.project().resized(512, 512).rows",
            |call: NativeCallContext, labels: &mut LabelsValue, rows: Dynamic, columns: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || {
                    let (rows, columns) = (whole("resized: rows", &rows)?, whole("resized: columns", &columns)?);
                    alone(vessels::fitted(&labels.labels, rows, columns)?, &labels.volume.files)
                })
            },
        );
}

fn on_layers(map: &LabelsValue, regions: &Dynamic, least: usize) -> Checked<LabelsValue> {
    let regions: LabelsValue = typed("on_layers: regions", "Labels", regions)?;
    Ok(regions.derived(vessels::on_layers(&flat(&map.labels), &regions.labels, least)?))
}

fn files(library: &mut Library<'_>, context: &Context) {
    let [reading, opening, writing] = [0; 3].map(|_| context.files.clone());
    let host = context.host;
    library
        .function(
            "open_coloured(path: String) -> Labels",
            "A picture in which every vessel has one of the 25 colours of SAM-OCTA2's maps.",
            "labels.renumber(3).save_coloured(\"map.png\"); open_coloured(\"map.png\").objects",
            move |call: NativeCallContext, path: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || open_coloured(&reading, &path))
            },
        )
        .function(
            "save_coloured(labels: Labels, path: String)",
            "The same picture of labels seen from the front, a PNG.",
            "labels.renumber(3).save_coloured(\"map.png\")",
            |call: NativeCallContext, labels: &mut LabelsValue, path: Dynamic| -> Fallible<()> {
                native(&call, || {
                    let path = labels.volume.output("save_coloured: path", &path)?;
                    Ok(io::write_picture(&vessels::coloured(&flat(&labels.labels))?, path)?)
                })
            },
        )
        .function(
            "export_octa500(volume: Volume, root: String, options: #{sample, vessels, regions, faz, first_layer}) -> Map #{vessel_layers, vessels, coloured, faz_layers}",
            "Writes layers and labels into `root` as SAM-OCTA2 lays them out (`RV_LayerSequence`, `FAZ_LayerSequence`, `Colored_RV`), for its own \
             training and for `fine_tune`. `sample`: its number; `vessels`: labels, a number per vessel; `regions`: labels; `faz`: labels; \
             `first_layer`: the number of slice 0.",
            "let square = open_volume(arg(\"input\"), #{crop: \"0,0,64,64\"}); \
             square.export_octa500(\"data\", #{sample: 10301, vessels: square.threshold(100, 255)}).vessel_layers",
            move |call: NativeCallContext, volume: &mut VolumeValue, root: Dynamic, options: Dynamic| -> Fallible<Map> {
                native(&call, || export(volume, &writing, host, &root, &options))
            },
        )
        .function(
            "open_octa500(root: String, options: #{sample, task}) -> Map #{volume: Volume, labels: Labels}",
            "A sample of OCTA-500 in SAM-OCTA2's folders, as `fine_tune` reads it. `task`: `\"rv_layers\"` (a number per vessel), \
             `\"faz_layers\"`, `\"rv_projection\"`, `\"faz_projection\"`.",
            "open_volume(arg(\"input\"), #{crop: \"0,0,64,64\"}).export_octa500(\"opened\", #{sample: 10301, vessels: \
             open_volume(arg(\"input\"), #{crop: \"0,0,64,64\"}).threshold(100, 255)}); open_octa500(\"opened\", #{sample: 10301, task: \
             \"rv_layers\"}).volume.frames",
            move |call: NativeCallContext, root: Dynamic, options: Dynamic| -> Fallible<Map> {
                native(&call, || open_octa500(&opening, &root, &options))
            },
        );
}

fn open_octa500(files: &Arc<Files>, root: &Dynamic, options: &Dynamic) -> Checked<Map> {
    let root = files.input("open_octa500: root", root)?;
    let options = Options::new("open_octa500", options, &["sample", "task"])?;
    let sample = options.get("sample", whole)?.and_then(|number| u32::try_from(number).ok());
    let sample =
        sample.ok_or_else(|| Error::invalid("open_octa500: option `sample`: give the number of the sample"))?;
    let task = options.get("task", text)?.unwrap_or_else(|| "rv_layers".to_owned());
    let task: Task = serde_json::from_value(task.clone().into()).map_err(|_| {
        let known = "rv_layers, faz_layers, rv_projection, faz_projection";
        Error::invalid(format!("open_octa500: option `task`: {task:?} is none of {known}"))
    })?;
    let (volume, labels) = Octa500::sample(root, task, sample)?;
    let volume = VolumeValue { files: files.clone(), ..VolumeValue::lent(volume) };
    let labels = LabelsValue::new(labels, volume.clone());
    Ok(Map::from([("volume".into(), Dynamic::from(volume)), ("labels".into(), Dynamic::from(labels))]))
}

fn open_coloured(files: &Arc<Files>, path: &Dynamic) -> Checked<LabelsValue> {
    let path = files.input("open_coloured: path", path)?;
    io::check_exact(&path, "a map of colours")?;
    let picture = io::open(&path, &OpenOptions::default())?;
    let map = vessels::of_colours(&picture, &COLOURS).map_err(|error| Error::format(&path, error.to_string()))?;
    alone(map, files)
}

fn export(volume: &VolumeValue, files: &Files, host: HostRef, root: &Dynamic, options: &Dynamic) -> Checked<Map> {
    let options = Options::new("export_octa500", options, &["sample", "vessels", "regions", "faz", "first_layer"])?;
    let root = files.writable("export_octa500: root", root)?;
    let labels = |key: &str| options.get(key, |what, value| typed::<LabelsValue>(what, "Labels", value));
    let (vessels, regions, faz) = (labels("vessels")?, labels("regions")?, labels("faz")?);
    let number = options.get("sample", whole)?.and_then(|number| u32::try_from(number).ok());
    let sample = Sample {
        number: number
            .ok_or_else(|| Error::invalid("export_octa500: option `sample`: give the number of the sample"))?,
        volume: &volume.volume,
        vessels: vessels.as_ref().map(|value| &*value.labels),
        regions: regions.as_ref().map(|value| &*value.labels),
        faz: faz.as_ref().map(|value| &*value.labels),
        first: options.get("first_layer", whole)?.unwrap_or_default(),
    };
    let report = vessels::export(&root, &sample, &mut ToHost(host.calls()))?;
    to_map(&report)
}
