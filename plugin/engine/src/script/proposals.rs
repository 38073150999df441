//! The closed loop in scripts: labels become prompts, and slices are ranked by how much speaks against them.

use super::files::Files;
use super::labels::LabelsValue;
use super::library::Library;
use super::values::{Checked, Fallible, native, refused, to_map};
use rhai::{Array, Dynamic, Map, NativeCallContext};
use sam_octa2_core::prompts::PromptFile;
use sam_octa2_core::propose::{Proposal, propose};
use sam_octa2_core::review::{SeenSlice, review};
use serde::de::DeserializeOwned;

/// Makes proposals known to scripts.
pub fn register(library: &mut Library<'_>) {
    library
        .function(
            "propose(labels: Labels, options?: #{frames, positive, negative, ring, box, least, seed}) -> Map #{objects: [#{id, prompts: [#{frame, points?, labels?, box?, mask?}]}], direction, start, \
             max_frames}",
            "Prompts for every object, as a prompt file holds them, for `session.prompts` or `write_json`. `frames`: `\"largest\"` (the slice where the \
             object is largest, the default), `\"first_middle_last\"`, `\"all\"`, or an array of slices; `positive` points inside [1], `negative` ones \
             in the `ring` around it [0, from 3 to 9 pixels], its `box` [false]; parts of fewer than `least` pixels are none [20].",
            "session.labels().propose(#{positive: 1, least: 1}).objects.len()",
            |call: NativeCallContext, labels: &mut LabelsValue, options: Dynamic| -> Fallible<Map> {
                native(&call, || proposed(labels, options))
            },
        )
        .also("propose", |call: NativeCallContext, labels: &mut LabelsValue| -> Fallible<Map> {
            native(&call, || proposed(labels, Map::new().into()))
        })
        .function(
            "review(labels: Labels, options?: #{first, seen}) -> Array [#{frame, object, expected_error, disagreement, absence, uncertainty, jump}]",
            "Every object on every slice, the most doubtful first. `first`: labels \
             that were there before (a small network's), with which these may disagree; `seen`: an array of what the closure of `propagate` heard, with \
             its scores; `jump` is how far the area is from that of the neighbouring slices. `expected_error` is 0 where nothing speaks against a mask, at most 1.",
            "let seen = []; session.propagate(|slice| { seen.push(slice); }); session.labels().review(#{seen: seen}).len()",
            |call: NativeCallContext, labels: &mut LabelsValue, options: Dynamic| -> Fallible<Array> {
                native(&call, || reviewed(labels, &options))
            },
        )
        .also("review", |call: NativeCallContext, labels: &mut LabelsValue| -> Fallible<Array> {
            native(&call, || reviewed(labels, &Map::new().into()))
        });
}

fn proposed(labels: &LabelsValue, options: Dynamic) -> Checked<Map> {
    let proposal: Proposal = parsed("propose", options)?;
    to_map(&propose(&labels.labels, &proposal)?)
}

fn reviewed(labels: &LabelsValue, options: &Dynamic) -> Checked<Array> {
    let options = super::values::Options::new("review", options, &["first", "seen"])?;
    let first = options.get("first", |what, value| {
        value.clone().try_cast::<LabelsValue>().ok_or_else(|| refused(what, "labels", value))
    })?;
    let seen = options.get("seen", |what, value| parsed::<Vec<SeenSlice>>(what, value.clone()))?.unwrap_or_default();
    let reviews = review(first.as_ref().map(|first| &*first.labels), &labels.labels, &seen)?;
    reviews.iter().map(|expected_error| Ok(to_map(expected_error)?.into())).collect()
}

/// A map of a script as a prompt file. Its masks must be files that the script may read.
pub fn prompt_file(files: &Files, value: &Dynamic) -> Checked<PromptFile> {
    let file: PromptFile = parsed("prompts", value.clone())?;
    let mut masks = file.objects.iter().flat_map(|object| &object.prompts).filter_map(|prompt| prompt.mask.as_deref());
    masks.try_for_each(|mask| files.check_read(mask))?;
    Ok(file)
}

/// A value of a script as a value of the core's.
pub(super) fn parsed<T: DeserializeOwned>(what: &str, value: Dynamic) -> Checked<T> {
    let json: serde_json::Value = rhai::serde::from_dynamic(&value)
        .map_err(|_| refused(what, "plain numbers, texts, arrays and maps", &value))?;
    serde_path_to_error::deserialize(json)
        .map_err(|error| super::errors::Failure::invalid(format!("{what}: `{}`: {}", error.path(), error.inner())))
}
