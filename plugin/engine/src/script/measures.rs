//! Measurements of OCTA in scripts (docs/measurements.md): numbers, a table, a page.

use super::Context;
use super::engine::HostRef;
use super::labels::LabelsValue;
use super::library::Library;
use super::model::ModelValue;
use super::values::{Checked, Fallible, Options, float64, list, native, object, refused, text, to_map, truth, typed};
use crate::convert::ToHost;
use rhai::{Dynamic, Map, NativeCallContext};
use sam_octa2_core::job::{MeasureFiles, report_on};
use sam_octa2_core::measure::octa::{About, Eye, OctaOptions};
use sam_octa2_core::picture::Enface;
use sam_octa2_core::volume::Labels;
use std::sync::Arc;

const INTRO: &str = "What studies of OCT angiography print, in millimetres, by layer and region. [measurements.md](measurements.md) says what each number \
    is and what it was compared with.";

const OPTIONS: [&str; 17] = [
    "faz",
    "vessels",
    "eye",
    "centre",
    "diameters_mm",
    "spacing",
    "layers",
    "axial_length",
    "device_axial_length",
    "csv",
    "json",
    "html",
    "vessels_csv",
    "case",
    "model",
    "method",
    "notes",
];

/// The numbers of a layer, [`Zone`](sam_octa2_core::measure::octa::Zone) and vessels.
macro_rules! layer {
    () => {
        "#{layer, faz: #{area_mm2, parts, perimeter_crofton_mm, perimeter_polygon_mm, circularity_crofton, circularity_polygon, acircularity_crofton, acircularity_polygon, major_axis_mm, minor_axis_mm, axis_ratio, axis_ratio_inverse, roundness, equivalent_diameter_mm, centre_x, centre_y}, regions: [#{region, region_mm2, coverage, vessel_area_density, skeleton_density, length_density_per_mm, length_mm, diameter_index_um, calibre_um, perimeter_index_area, perimeter_index_vessel, complexity_index, tortuosity_mean, tortuosity_median, branches, branch_points, end_points, branch_points_per_mm2, branch_points_per_mm, fractal_skeleton, fractal_skeleton_r2, fractal_mask, fractal_mask_r2}]}"
    };
}

/// Makes them known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let host = context.host;
    library
        .section("Measurements", INTRO)
        .function(
            concat!(
                "measure_octa(labels: Labels, options?: #{faz, vessels, eye, centre, diameters_mm, spacing, layers, axial_length, \
                 device_axial_length, csv, json, html, vessels_csv, case, model, method, notes}) -> Map #{shape, spacing, magnification, eye, centre, centre_from, projected: ",
                layer!(),
                ", layers: [",
                layer!(),
                "], vessels: [#{vessel, first_layer, last_layer, layers, depth_um, area_mm2, length_mm, calibre_um, tortuosity_mean, \
                 branch_points}], notes, about: #{case, layers, model, fingerprint, method, date, validation, quality, notes}}"
            ),
            "Vessels and FAZ in numbers; `faz` is `()` where there is none. All objects are vessels, but \
             for `faz`: an object's number, or other labels; `vessels: false`: there are none. `eye`: `\"right\"` or `\"left\"`; `centre`: \
             `[x, y]` in pixels; `diameters_mm`: of the circles, `[1, 3, 6]`; `spacing`: `[x, y, z]` in mm where labels do not say; `layers: \
             false`: the projection only; `axial_length`, `device_axial_length`: of the eye and the device, in mm, to correct sizes; `csv`, `json`, `html`, `vessels_csv` (a line per vessel): files to write. For the page: `case`: its title; `model`: what made \
             the labels; `method`: how, in words (`without a click` adds what the model was validated on); `notes`: what else to say. `notes` of the result is what to look at.",
            "labels.measure_octa(#{spacing: [0.01, 0.01, 0.002], html: \"report.html\"}).projected.regions[0].vessel_area_density",
            move |call: NativeCallContext, labels: &mut LabelsValue, options: Dynamic| -> Fallible<Map> {
                native(&call, || measure(labels, host, &options))
            },
        )
        .also("measure_octa", move |call: NativeCallContext, labels: &mut LabelsValue| -> Fallible<Map> {
            native(&call, || measure(labels, host, &Dynamic::from_map(Map::new())))
        });
}

fn measure(labels: &LabelsValue, host: HostRef, options: &Dynamic) -> Checked<Map> {
    let options = Options::new("measure_octa", options, &OPTIONS)?;
    let how = how(&options, labels.volume.volume.scan.as_deref().and_then(|scan| scan.eye))?;
    let path = |key: &str| options.get(key, |what, value| labels.volume.output(what, value));
    let files =
        MeasureFiles { csv: path("csv")?, json: path("json")?, html: path("html")?, vessels_csv: path("vessels_csv")? };
    let (vessels, faz) = parts(labels, &options)?;
    let volume = &labels.volume.volume;
    let scene = Enface { volume: Some(volume), vessels: vessels.as_deref(), faz: faz.as_deref() };
    let source = &labels.volume.source.input;
    to_map(&report_on(&scene, source, &how, about(&options)?, &files, &mut ToHost(host.calls()))?)
}

/// What stands on the page beside the numbers.
fn about(options: &Options) -> Checked<About> {
    let method = options.get("method", text)?;
    let model = options.get("model", |what, value| typed::<ModelValue>(what, "Model", value))?;
    let mut about = match model {
        Some(model) => model.loaded.about(method.as_deref().unwrap_or("by a script"))?,
        None => About { method, ..About::default() },
    };
    about.case = options.get("case", text)?;
    about.notes.extend(options.get("notes", |what, value| list(what, value, text))?.unwrap_or_default());
    Ok(about)
}

/// What is asked for; the eye that the scan says where nothing is said of it.
fn how(options: &Options, said: Option<Eye>) -> Checked<OctaOptions> {
    let defaults = OctaOptions::default();
    let eye = |what: &str, value: &Dynamic| match text(what, value)?.as_str() {
        "right" => Ok(Eye::Right),
        "left" => Ok(Eye::Left),
        _ => Err(refused(what, "\"right\" or \"left\"", value)),
    };
    Ok(OctaOptions {
        eye: options.get("eye", eye)?.or(said),
        centre: options.get("centre", |what, value| fixed(what, "[x, y] in pixels", value))?,
        diameters_mm: options
            .get("diameters_mm", |what, value| list(what, value, float64))?
            .unwrap_or(defaults.diameters_mm),
        spacing: options.get("spacing", |what, value| fixed(what, "[x, y, z] in mm", value))?,
        layers: options.get("layers", truth)?.unwrap_or(defaults.layers),
        axial_length: options.get("axial_length", float64)?,
        device_axial_length: options.get("device_axial_length", float64)?,
    })
}

/// So many numbers.
fn fixed<const N: usize>(what: &str, expected: &str, value: &Dynamic) -> Checked<[f64; N]> {
    let numbers = list(what, value, float64).map_err(|_| refused(what, expected, value))?;
    numbers.try_into().map_err(|_| refused(what, expected, value))
}

/// Vessels and FAZ.
type Parts = (Option<Arc<Labels>>, Option<Arc<Labels>>);

fn parts(labels: &LabelsValue, options: &Options) -> Checked<Parts> {
    let given = |what: &str, value: &Dynamic| match value.is_int() {
        true => Ok((Some(object(what, value)? as u16), None)),
        false => {
            let faz = typed::<LabelsValue>(what, "Labels", value)
                .map_err(|_| refused(what, "an object number or Labels", value))?;
            Ok((None, Some(faz.labels)))
        }
    };
    let (number, other) = options.get("faz", given)?.unwrap_or((None, None));
    let (vessels, faz) = match number {
        // an object that is nowhere is a zone that was not found: a result, which the notes say
        Some(number) => {
            let (vessels, faz) = labels.labels.without(number);
            (Arc::new(vessels), Some(Arc::new(faz)))
        }
        None => (labels.labels.clone(), other),
    };
    let wanted = options.get("vessels", truth)?.unwrap_or(true);
    Ok((wanted.then_some(vessels), faz))
}
