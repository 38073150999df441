//! Volumes in numbers and in parts: slices, projections, statistics, thresholds.

use super::errors;
use super::library::Library;
use super::values::{Checked, Fallible, Options, float64, native, text, to_map, whole};
use super::volume::VolumeValue;
use super::{Context, labels::LabelsValue};
use rhai::{Array, Dynamic, FLOAT, Map, NativeCallContext, Position};
use sam_octa2_core::measure;
use sam_octa2_core::progress::stoppable;
use sam_octa2_core::volume::{Axis, Projection, Volume};
use std::ops::Range;
use std::sync::Arc;

/// Makes them known to scripts.
pub fn register(library: &mut Library<'_>, _context: &Context) {
    library.engine().register_iterator_result::<VolumeValue, VolumeValue>();
    library
        .section(
            "Slices and projections",
            "Ranges of slices are `first..last` (without the last) or `first..=last`. `for slice in volume { ... }` goes through the slices, \
             each a volume of its own.",
        )
        .function(
            "slice(volume: Volume, frame: int) -> Volume",
            "One slice as a volume of its own, at its place.",
            "volume.slice(3).save(\"slice.npy\")",
            |call: NativeCallContext, volume: &mut VolumeValue, frame: Dynamic| -> Fallible<VolumeValue> {
                native(&call, || {
                    let frame = whole("slice: frame", &frame)?;
                    volume.derived(volume.volume.slices(frame..frame.saturating_add(1))?)
                })
            },
        )
        .function(
            "slices(volume: Volume, range: Range) -> Volume",
            "Some of the slices as a volume of their own.",
            "volume.slices(2..5).frames",
            |call: NativeCallContext, volume: &mut VolumeValue, frames: Dynamic| -> Fallible<VolumeValue> {
                native(&call, || volume.derived(volume.volume.slices(range("slices: range", &frames)?)?))
            },
        )
        .function(
            "project(volume: Volume, options?: #{range, how}) -> Volume",
            "One picture made of many slices (en face): `how` is `\"max\"` (the default), `\"mean\"` or `\"min\"`.",
            "volume.project(#{range: 2..=6, how: \"mean\"}).save(\"enface.nii.gz\")",
            project_with,
        )
        .also("project", |call: NativeCallContext, volume: &mut VolumeValue| -> Fallible<VolumeValue> {
            native(&call, || project(volume, None, Projection::Max))
        })
        .function(
            "statistics(volume: Volume, range?: Range) -> Map #{count, min, max, mean, std}",
            "Of all slices, or of some.",
            "volume.statistics(0..3).mean",
            |call: NativeCallContext, volume: &mut VolumeValue, frames: Dynamic| -> Fallible<Map> {
                native(&call, || to_map(&volume.volume.statistics(range("statistics: range", &frames)?)?))
            },
        )
        .also("statistics", |call: NativeCallContext, volume: &mut VolumeValue| -> Fallible<Map> {
            native(&call, || to_map(&volume.volume.statistics(0..volume.volume.frames)?))
        })
        .function(
            "quality(volume: Volume) -> Map #{signal, motion}",
            "How good the picture is, by its mean projection. `signal`: how far vessels stand out from the noise; `motion`: how far the worst line stands \
             out from those around it, as lines do that were scanned while the eye moved. To compare pictures of one device; docs/measurements.md.",
            "volume.quality().signal",
            |call: NativeCallContext, volume: &mut VolumeValue| -> Fallible<Map> {
                native(&call, || to_map(&measure::quality(&volume.volume)?))
            },
        )
        .function(
            "values(volume: Volume, frame: int) -> Array",
            "The values of a slice, row by row, as a list of rows (colour: red, green, blue by turns).",
            "volume.slices(0..1).values(0).len()",
            values,
        )
        .function(
            "threshold(volume: Volume, low: float, high: float) -> Labels",
            "Object 1 where a value lies between the two.",
            "volume.threshold(120, 255).count(1)",
            |call: NativeCallContext, volume: &mut VolumeValue, low: Dynamic, high: Dynamic| -> Fallible<LabelsValue> {
                native(&call, || {
                    let (low, high) = (float64("threshold: low", &low)?, float64("threshold: high", &high)?);
                    Ok(LabelsValue::new(volume.volume.threshold(low, high)?, volume.clone()))
                })
            },
        );
}

impl IntoIterator for VolumeValue {
    type Item = Fallible<VolumeValue>;
    type IntoIter = Box<dyn Iterator<Item = Self::Item>>;

    /// Slice by slice.
    fn into_iter(self) -> Self::IntoIter {
        Box::new((0..self.volume.frames).map(move |frame| {
            let slice = stoppable(|| self.derived(self.volume.slices(frame..frame + 1)?));
            slice.map_err(|failure| errors::thrown(failure, Position::NONE))
        }))
    }
}

impl VolumeValue {
    /// A volume made of this one; the file of this one is still safe from being overwritten.
    pub fn derived(&self, volume: Volume) -> Checked<Self> {
        let (source, files) = (self.source.clone(), self.files.clone());
        Ok(Self { volume: Arc::new(volume), source, axis: Axis::Z, derived: true, made_of: None, files })
    }
}

fn project_with(call: NativeCallContext, volume: &mut VolumeValue, options: Dynamic) -> Fallible<VolumeValue> {
    native(&call, || {
        let options = Options::new("project", &options, &["range", "how"])?;
        let how = options.get("how", text)?.map(|how| how.parse()).transpose()?.unwrap_or(Projection::Max);
        project(volume, options.get("range", range)?, how)
    })
}

fn project(volume: &VolumeValue, frames: Option<Range<usize>>, how: Projection) -> Checked<VolumeValue> {
    let frames = frames.unwrap_or(0..volume.volume.frames);
    volume.derived(volume.volume.project(frames, how)?)
}

fn values(call: NativeCallContext, volume: &mut VolumeValue, frame: Dynamic) -> Fallible<Array> {
    native(&call, || {
        let values = volume.volume.frame(whole("values: frame", &frame)?)?.to_f32();
        let row = volume.volume.columns * volume.volume.channels;
        let numbers = |row: &[f32]| row.iter().map(|&value| Dynamic::from_float(FLOAT::from(value))).collect::<Array>();
        Ok(values.chunks_exact(row).map(|row| Dynamic::from_array(numbers(row))).collect())
    })
}

/// `2..5` or `2..=4`
pub fn range(what: &str, value: &Dynamic) -> Checked<Range<usize>> {
    let refused = || super::values::refused(what, "a range of slices such as 2..5", value);
    if let Some(range) = value.read_lock::<Range<rhai::INT>>() {
        let end = |n: rhai::INT| usize::try_from(n).map_err(|_| refused());
        return Ok(end(range.start)?..end(range.end)?);
    }
    if let Some(range) = value.read_lock::<std::ops::RangeInclusive<rhai::INT>>() {
        let end = |n: rhai::INT| usize::try_from(n).map_err(|_| refused());
        return Ok(end(*range.start())?..end(range.end().saturating_add(1))?);
    }
    Err(refused())
}
