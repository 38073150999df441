//! What labels say: algebra, components, clean-up, areas and volumes in millimetres, comparison.

use super::errors::Failure;
use super::files::Files;
use super::labels::LabelsValue;
use super::library::Library;
use super::values::{Checked, Fallible, Options, float64, int, native, object, text, to_map, typed, whole};
use super::{Context, volume::VolumeValue};
use rhai::{Dynamic, FLOAT, Map, NativeCallContext};
use sam_octa2_core::measure::{self, Connectivity, Grid};
use sam_octa2_core::volume::{Labels, Volume, Voxels};
use sam_octa2_core::{io, progress};
use std::sync::Arc;

const INTRO: &str = "`a | b` has the objects of both (where both have one, `a`'s), `a & b` those of `a` where `b` has any, `a - b` those of `a` \
    where `b` has none; `a == b` compares voxel by voxel. Clean-up works on each object by itself and never changes its own value: it returns \
    new labels. `for one in labels { ... }` goes through the objects, each as labels of its own.";

/// Makes them known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let files = context.files.clone();
    library.engine().register_iterator::<LabelsValue>();
    library.section("Regions", INTRO).function(
        "open_labels(path: String) -> Labels",
        "Reads labels: whatever `labels.save` writes, or a volume of whole numbers.",
        "session.labels().save(\"l.nii.gz\"); open_labels(\"l.nii.gz\").objects",
        move |call: NativeCallContext, path: Dynamic| -> Fallible<LabelsValue> {
            native(&call, || open(&files, &path))
        },
    );
    library.function(
        "labels_from(volume: Volume, values: Volume) -> Labels",
        "Labels on this volume, from another volume of the same size whose values are object numbers.",
        "volume.labels_from(volume).objects.len()",
        |call: NativeCallContext, volume: &mut VolumeValue, values: Dynamic| -> Fallible<LabelsValue> {
            native(&call, || labels_from(volume, &values))
        },
    );
    algebra(library);
    cleaning(library);
    measuring(library);
}

fn open(files: &Arc<Files>, path: &Dynamic) -> Checked<LabelsValue> {
    let path = files.input("open_labels: path", path)?;
    alone(io::read_labels(&path)?, files)
}

fn labels_from(volume: &VolumeValue, values: &Dynamic) -> Checked<LabelsValue> {
    let values: VolumeValue = typed("labels_from: values", "Volume", values)?;
    let refused = |why: String| Err(Failure::invalid(format!("labels_from: values: {why}")));
    let (given, wanted) = (&values.volume, &volume.volume);
    if given.channels != 1 {
        return refused("a colour image, not labels: each voxel must be one object number".to_owned());
    }
    let size = |volume: &Volume| format!("{} x {} x {}", volume.frames, volume.rows, volume.columns);
    if size(given) != size(wanted) {
        return refused(format!("{} voxels, but the volume has {}", size(given), size(wanted)));
    }
    let mut labels = Labels::empty_like(wanted);
    labels.data.clear();
    for frame in 0..given.frames {
        progress::check()?;
        for value in given.frame(frame)?.to_f32() {
            if value.fract() != 0.0 || !(0.0..=65535.0).contains(&value) {
                return refused(format!("{value} on slice {frame} is no whole number from 0 to 65535"));
            }
            labels.data.push(value as u16);
        }
    }
    Ok(LabelsValue::new(labels, volume.clone()))
}

/// Labels whose volume is not at hand: an empty one on the same grid takes its place.
pub(super) fn alone(labels: Labels, files: &Arc<Files>) -> Checked<LabelsValue> {
    let shape = [labels.frames, labels.rows, labels.columns, 1];
    let voxels = Voxels::U8(vec![0; labels.data.len()]);
    let volume = Volume::new(shape, voxels, labels.geometry.clone(), "labels")?;
    let volume = VolumeValue { files: files.clone(), ..VolumeValue::lent(volume) };
    Ok(LabelsValue::new(labels, volume))
}

impl IntoIterator for LabelsValue {
    type Item = LabelsValue;
    type IntoIter = Box<dyn Iterator<Item = Self::Item>>;

    /// Object by object.
    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.labels.objects().into_iter().map(move |id| self.object(id)))
    }
}

impl LabelsValue {
    /// One object alone.
    fn object(&self, id: u16) -> Self {
        self.derived(self.labels.map(|label| if label == id { id } else { 0 }))
    }

    pub(super) fn derived(&self, labels: Labels) -> Self {
        Self { labels: Arc::new(labels), ..self.clone() }
    }

    /// Works on each object by itself; where the results overlap, the smaller number stays.
    pub(super) fn each(&self, work: impl Fn(&Grid) -> Grid) -> Self {
        let mut out = self.labels.map(|_| 0);
        for id in self.labels.objects() {
            let changed = work(&Grid::of(&self.labels, id));
            let free = out.data.iter_mut().zip(&changed.inside).filter(|(to, inside)| **inside && **to == 0);
            free.for_each(|(to, _)| *to = id);
        }
        self.derived(out)
    }

    /// All objects as one grid, or one of them.
    pub(super) fn grid(&self, id: Option<u16>) -> Grid {
        Grid::where_(&self.labels, |label| id.map_or(label != 0, |id| label == id))
    }
}

fn algebra(library: &mut Library<'_>) {
    fn with(a: &LabelsValue, b: &LabelsValue, number: fn(u16, u16) -> u16) -> Checked<LabelsValue> {
        Ok(a.derived(a.labels.with(&b.labels, number)?))
    }
    library
        .engine()
        .register_fn("|", |call: NativeCallContext, a: LabelsValue, b: LabelsValue| {
            native(&call, || with(&a, &b, |a, b| if a == 0 { b } else { a }))
        })
        .register_fn("&", |call: NativeCallContext, a: LabelsValue, b: LabelsValue| {
            native(&call, || with(&a, &b, |a, b| if b == 0 { 0 } else { a }))
        })
        .register_fn("-", |call: NativeCallContext, a: LabelsValue, b: LabelsValue| {
            native(&call, || with(&a, &b, |a, b| if b == 0 { a } else { 0 }))
        })
        .register_fn("==", |a: LabelsValue, b: LabelsValue| a.labels.equals(&b.labels))
        .register_fn("!=", |a: LabelsValue, b: LabelsValue| !a.labels.equals(&b.labels));
    library
        .function(
            "object(labels: Labels, id: int) -> Labels",
            "One object alone.",
            "labels.object(1).area_mm2",
            |call: NativeCallContext, labels: &mut LabelsValue, id: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || Ok(labels.object(object("object: id", &id)? as u16)))
            },
        )
        .function(
            "renumber(labels: Labels, id: int) -> Labels",
            "All objects as one, with this number.",
            "labels.renumber(7).objects",
            |call: NativeCallContext, labels: &mut LabelsValue, id: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || {
                    let id = object("renumber: id", &id)? as u16;
                    Ok(labels.derived(labels.labels.map(|label| if label == 0 { 0 } else { id })))
                })
            },
        )
        .function(
            "project(labels: Labels) -> Labels",
            "One slice: where any slice has an object, the smaller number where there are several.",
            "labels.project().area_mm2",
            |labels: &mut LabelsValue| labels.derived(labels.labels.project()),
        )
        .function(
            "resampled(labels: Labels, volume: Volume) -> Labels",
            "The labels on the grid of another volume: each voxel gets the number of the nearest voxel here, 0 where there is none. Everything \
             else refuses labels that lie elsewhere than the volume; those that are only stored with other axes are turned.",
            "labels.resampled(volume) == labels",
            |call: NativeCallContext, labels: &mut LabelsValue, volume: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || {
                    let volume: VolumeValue = typed("resampled: volume", "Volume", &volume)?;
                    let resampled = labels.labels.resampled(volume.volume.lattice())?;
                    Ok(LabelsValue::new(resampled, volume))
                })
            },
        )
        .function(
            "at(labels: Labels, frame: int) -> Labels",
            "One slice alone; all others are empty.",
            "(labels - labels.at(3)).frames_of(1)",
            |call: NativeCallContext, labels: &mut LabelsValue, frame: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || Ok(labels.derived(labels.labels.at(whole("at: frame", &frame)?)?)))
            },
        )
        .function(
            "repeated(labels: Labels, frame: int) -> Labels",
            "Every slice as this one is.",
            "labels.repeated(3).frames_of(1)",
            |call: NativeCallContext, labels: &mut LabelsValue, frame: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || Ok(labels.derived(labels.labels.repeated(whole("repeated: frame", &frame)?)?)))
            },
        );
}

fn cleaning(library: &mut Library<'_>) {
    library
        .function(
            "components(labels: Labels, options?: #{touching}) -> Labels",
            "Connected parts, numbered from 1 on, the largest first. `touching`: `\"corners\"` (the default) or `\"faces\"`.",
            "labels.components().objects.len()",
            |call: NativeCallContext, labels: &mut LabelsValue, options: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || {
                    let options = Options::new("components", &options, &["touching"])?;
                    components(labels, options.get("touching", touching)?.unwrap_or_default())
                })
            },
        )
        .also("components", |call: NativeCallContext, labels: &mut LabelsValue| -> Fallible<LabelsValue> {
            native(&call, || components(labels, Connectivity::Corners))
        })
        .function(
            "remove_small(labels: Labels, least: int) -> Labels",
            "Without connected parts of fewer voxels than this.",
            "labels.remove_small(20)",
            |call: NativeCallContext, labels: &mut LabelsValue, least: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || {
                    let least = whole("remove_small: least", &least)?;
                    Ok(labels.each(|grid| measure::remove_small(grid, least, Connectivity::Corners)))
                })
            },
        )
        .function(
            "fill_holes(labels: Labels) -> Labels",
            "With holes filled, slice by slice.",
            "labels.fill_holes()",
            |labels: &mut LabelsValue| labels.each(measure::fill_holes),
        )
        .function(
            "smooth(labels: Labels, sigma: float) -> Labels",
            "With smoother edges, slice by slice: Gaussian of so many pixels, then Otsu's threshold.",
            "labels.smooth(1.5)",
            |call: NativeCallContext, labels: &mut LabelsValue, sigma: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || {
                    let sigma = float64("smooth: sigma", &sigma)?;
                    if !(0.1..=100.0).contains(&sigma) {
                        return Err(super::errors::Failure::invalid(format!("smooth: sigma {sigma} is not between 0.1 and 100")));
                    }
                    Ok(labels.each(|grid| measure::smooth(grid, sigma)))
                })
            },
        );
}

fn touching(what: &str, value: &Dynamic) -> Checked<Connectivity> {
    match text(what, value)?.as_str() {
        "corners" => Ok(Connectivity::Corners),
        "faces" => Ok(Connectivity::Faces),
        _ => Err(super::values::refused(what, "\"corners\" or \"faces\"", value)),
    }
}

fn components(labels: &LabelsValue, connectivity: Connectivity) -> Checked<LabelsValue> {
    let (parts, sizes) = measure::components(&labels.grid(None), connectivity);
    if sizes.len() > usize::from(u16::MAX) {
        return Err(super::errors::Failure::invalid(format!(
            "components: {} parts are more than labels can number; remove small ones first",
            sizes.len()
        )));
    }
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&part| std::cmp::Reverse(sizes[part]));
    let mut numbers = vec![0u16; sizes.len() + 1];
    order.iter().enumerate().for_each(|(at, &part)| numbers[part + 1] = at as u16 + 1);
    let mut out = labels.labels.map(|_| 0);
    out.data.iter_mut().zip(&parts).for_each(|(to, &part)| *to = numbers[part as usize]);
    Ok(labels.derived(out))
}

fn measuring(library: &mut Library<'_>) {
    library
        .property(
            "area_mm2(labels: Labels) -> float",
            "Square millimetres of all objects, summed over the slices.",
            "labels.object(1).project().area_mm2",
            |labels: &mut LabelsValue| {
                let grid = labels.grid(None);
                grid.count() as FLOAT * grid.pixel_mm2()
            },
        )
        .property(
            "volume_mm3(labels: Labels) -> float",
            "Cubic millimetres of all objects.",
            "labels.object(1).volume_mm3",
            |labels: &mut LabelsValue| {
                let grid = labels.grid(None);
                grid.count() as FLOAT * grid.voxel_mm3()
            },
        )
        .property("voxels(labels: Labels) -> int", "Voxels of all objects.", "labels.voxels", |labels: &mut LabelsValue| {
            int(labels.grid(None).count())
        })
        .function(
            "compare(labels: Labels, truth: Labels, options?: #{object}) -> Map #{dice, jaccard, precision, recall, specificity, hausdorff_mm, \
             hd95_mm, surface_hausdorff_mm, surface_hd95_mm, surface_mean_mm, voxels, truth_voxels}",
            "How well they agree: of all objects together, or of one. Distances are between point sets, with `surface_` between boundaries; \
             `()` where one is empty.",
            "labels.compare(labels).dice",
            |call: NativeCallContext, labels: &mut LabelsValue, truth: Dynamic, options: Dynamic| -> Fallible<Map> {
                native(&call, || {
                    let options = Options::new("compare", &options, &["object"])?;
                    compare(labels, &truth, options.get("object", object)?.map(|id| id as u16))
                })
            },
        )
        .also("compare", |call: NativeCallContext, labels: &mut LabelsValue, truth: Dynamic| -> Fallible<Map> {
            native(&call, || compare(labels, &truth, None))
        });
}

fn compare(labels: &LabelsValue, truth: &Dynamic, id: Option<u16>) -> Checked<Map> {
    let truth: LabelsValue = typed("compare: truth", "Labels", truth)?;
    to_map(&measure::compare_labels(&labels.labels, &truth.labels, id)?)
}
