//! OCT in scripts: layer curves, slabs and layers en face, and labels back on the B-scans.

use super::Context;
use super::errors::Failure;
use super::labels::LabelsValue;
use super::library::Library;
use super::values::{Checked, Fallible, Options, float64, native, text};
use super::volume::VolumeValue;
use rhai::{Array, Dynamic, NativeCallContext};
use sam_octa2_core::volume::{EnFace, Eye, Flattened, Scan, SlabOptions, Surface, Volume};
use std::sync::Arc;

/// The B-scans that slices en face were made of, and how labels go back to them.
pub struct MadeOf {
    bscans: VolumeValue,
    origin: Flattened,
}

/// Makes slabs known to scripts.
pub fn register(library: &mut Library<'_>, _context: &Context) {
    library
        .section(
            "Slabs",
            "Of B-scans with layer curves: from the file (`.vol`, OCTA-500), from option `layers` of `open_volume`, or `with_layers`. \
             [oct.md](oct.md) has the names and rules.",
        )
        .function(
            "with_layers(volume: Volume, layers: Labels) -> Volume",
            "The B-scans with curves from labels of the layers: `ILM` above all, then the lower edge of each object under its number.",
            "volume.with_layers(labels).surfaces",
            with_layers,
        )
        .property(
            "surfaces(volume: Volume) -> Array",
            "Names of the layer curves.",
            "volume.surfaces.len()",
            |volume: &mut VolumeValue| surfaces(volume),
        )
        .property(
            "eye(volume: Volume) -> String",
            "`right`, `left`, or nothing where the file does not say.",
            "volume.eye == \"\"",
            |volume: &mut VolumeValue| eye(volume),
        )
        .function(
            "slab(volume: Volume, slab: String, options?: #{projection, subtract}) -> Volume",
            "The projection of a slab: `SVC` `ICP` `DCP` `DVC` `outer` `choriocapillaris` `whole`, or two edges with micrometres, \
             `\"ILM..IPL-10\"`. `projection`: `max` `mean` `sum` `brightest` `brightest:SHARE`; `subtract`: how much of the projection above \
             the slab is taken off, 0 to 1. Rows are B-scans.",
            "volume.with_layers(labels).slab(\"ILM..1\", #{projection: \"mean\"})",
            slab_with,
        )
        .also("slab", slab)
        .function(
            "layers_along(volume: Volume, surface: String, from: float, to: float, step: float) -> Volume",
            "Layers parallel to a curve, from `from` to `to` micrometres below it, every `step`: the sequences that SAM-OCTA2 follows vessels through.",
            "volume.with_layers(labels).layers_along(\"ILM\", 0, 100, 50).frames",
            layers_along,
        )
        .function(
            "on_bscans(labels: Labels) -> Labels",
            "Labels made on a slab or on layers, in the B-scans that these were made of: in each column the rows of the slab.",
            "volume.with_layers(labels).slab(\"ILM..1\").threshold(100, 255).on_bscans()",
            on_bscans,
        )
        .function(
            "layer_lines(volume: Volume) -> Labels",
            "The layer curves as labels of the B-scans, numbered as `surfaces`: for pictures.",
            "volume.with_layers(labels).layer_lines().objects",
            layer_lines,
        );
}

fn scan(volume: &VolumeValue) -> Option<&Scan> {
    volume.volume.scan.as_deref()
}

fn surfaces(volume: &VolumeValue) -> Array {
    let names = scan(volume).into_iter().flat_map(|scan| &scan.surfaces);
    names.map(|surface| Dynamic::from(surface.name.clone())).collect()
}

fn eye(volume: &VolumeValue) -> String {
    match scan(volume).and_then(|scan| scan.eye) {
        Some(Eye::Right) => "right".to_owned(),
        Some(Eye::Left) => "left".to_owned(),
        None => String::new(),
    }
}

fn with_layers(call: NativeCallContext, volume: &mut VolumeValue, layers: LabelsValue) -> Fallible<VolumeValue> {
    native(&call, || {
        let labels = layers.labels.onto(volume.volume.lattice())?;
        let mut scan = scan(volume).cloned().unwrap_or_default();
        scan.surfaces = Surface::of_labels(&labels, &[]);
        let with = Volume::clone(&volume.volume).with_scan(Some(Arc::new(scan)));
        // the same voxels: what is true of the file stays true
        Ok(VolumeValue { volume: Arc::new(with), ..volume.clone() })
    })
}

fn slab(call: NativeCallContext, volume: &mut VolumeValue, slab: Dynamic) -> Fallible<VolumeValue> {
    native(&call, || en_face(volume, volume.volume.slab(&text("slab: slab", &slab)?, &SlabOptions::default())?))
}

fn slab_with(
    call: NativeCallContext,
    volume: &mut VolumeValue,
    slab: Dynamic,
    options: Dynamic,
) -> Fallible<VolumeValue> {
    native(&call, || {
        let options = Options::new("slab", &options, &["projection", "subtract"])?;
        let usual = SlabOptions::default();
        let options = SlabOptions {
            projection: options.parsed("projection")?.unwrap_or(usual.projection),
            subtract: options.get("subtract", float64)?.unwrap_or(usual.subtract),
        };
        en_face(volume, volume.volume.slab(&text("slab: slab", &slab)?, &options)?)
    })
}

fn layers_along(
    call: NativeCallContext,
    volume: &mut VolumeValue,
    surface: Dynamic,
    from: Dynamic,
    to: Dynamic,
    step: Dynamic,
) -> Fallible<VolumeValue> {
    native(&call, || {
        let number = |name: &str, value: &Dynamic| float64(&format!("layers_along: {name}"), value);
        let [from, to, step] = [number("from", &from)?, number("to", &to)?, number("step", &step)?];
        en_face(volume, volume.volume.layers_along(&text("layers_along: surface", &surface)?, from, to, step)?)
    })
}

/// What was made of the B-scans, which it remembers.
fn en_face(bscans: &VolumeValue, made: EnFace) -> Checked<VolumeValue> {
    let origin = Arc::new(MadeOf { bscans: bscans.clone(), origin: made.origin });
    Ok(VolumeValue { made_of: Some(origin), ..bscans.derived(made.volume)? })
}

fn on_bscans(call: NativeCallContext, labels: &mut LabelsValue) -> Fallible<LabelsValue> {
    native(&call, || {
        let MadeOf { bscans, origin } = labels.volume.made_of.as_deref().ok_or_else(|| {
            Failure::invalid(
                "on_bscans: these labels are not of a slab or of layers that `slab` or `layers_along` made".to_owned(),
            )
        })?;
        Ok(LabelsValue::new(origin.back(&labels.labels)?, bscans.clone()))
    })
}

fn layer_lines(call: NativeCallContext, volume: &mut VolumeValue) -> Fallible<LabelsValue> {
    native(&call, || {
        let drawn =
            scan(volume).map_or_else(|| Scan::default().drawn(&volume.volume), |scan| scan.drawn(&volume.volume));
        Ok(LabelsValue::new(drawn, volume.clone()))
    })
}
