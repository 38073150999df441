//! `phantom` in scripts: a synthetic volume and its truth.

use super::Context;
use super::errors::Failure;
use super::files::Files;
use super::labels::LabelsValue;
use super::library::Library;
use super::values::{Checked, Fallible, native, refused};
use super::volume::VolumeValue;
use rhai::{Dynamic, Map, NativeCallContext};
use sam_octa2_core::job::PhantomReport;
use sam_octa2_core::phantom::{Phantom, PhantomOptions};
use sam_octa2_core::volume::{Labels, Volume};
use serde_json::Value;
use std::sync::Arc;

/// Makes phantoms known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let (files, same) = (context.files.clone(), context.files.clone());
    library
        .section("Phantoms", "OCTA volumes that are computed, with exact truth; docs/phantoms.md says what every option does.")
        .function(
            "phantom(options?: #{seed, size, slices, field, layers, scanner, faz_mm2, noise, motion, vignetting, projection, capillaries, \
             dropout}) -> Map #{volume: Volume, labels: Labels, region: Labels, en_face: Volume, en_face_labels: Labels, report: #{options: #{..}, \
             shape, spacing, faz_mm2, vessel_density, vessels: [#{object, kind}], files}}",
            "Makes a phantom. In labels 1 is the avascular zone and each number \
             from 2 on a vessel, the same in all slices and en face; `region` is 1 where a slice holds the plexus of large vessels. Equal options give equal phantoms.",
            "phantom(#{size: 64, slices: 3, seed: 7}).labels.objects",
            move |call: NativeCallContext, options: Dynamic| -> Fallible<Map> {
                native(&call, || made(&files, &options))
            },
        )
        .also("phantom", move |call: NativeCallContext| -> Fallible<Map> {
            native(&call, || made(&same, &Dynamic::from_map(Map::new())))
        });
}

fn made(files: &Arc<Files>, options: &Dynamic) -> Checked<Map> {
    let value: Option<Value> = rhai::serde::from_dynamic(options).ok().filter(Value::is_object);
    let options =
        PhantomOptions::from_json(value.ok_or_else(|| refused("phantom: options", "an option map", options))?)?;
    let phantom = Phantom::new(&options)?;
    let report = rhai::serde::to_dynamic(PhantomReport::new(options, &phantom));
    let volume = |volume: Volume| VolumeValue { files: files.clone(), ..VolumeValue::lent(volume) };
    let (stack, en_face) = (volume(phantom.volume), volume(phantom.en_face));
    let labels = |labels: Labels, of: &VolumeValue| LabelsValue::new(labels, of.clone());
    Ok(Map::from([
        ("labels".into(), Dynamic::from(labels(phantom.labels, &stack))),
        ("region".into(), Dynamic::from(labels(phantom.region, &stack))),
        ("en_face_labels".into(), Dynamic::from(labels(phantom.en_face_labels, &en_face))),
        ("volume".into(), Dynamic::from(stack)),
        ("en_face".into(), Dynamic::from(en_face)),
        ("report".into(), report.map_err(|error| Failure::invalid(error.to_string()))?),
    ]))
}
