//! `Volume` in scripts: opened once, shared by whoever uses it.

use super::Context;
use super::engine::HostRef;
use super::values::{Checked, Fallible, Options, int, ints, native, numbers, text, truth, whole};
use crate::convert::ToHost;
use rhai::{Array, Dynamic, Engine, NativeCallContext};
use sam_octa2_core::io::{self, VolumeInfo};
use sam_octa2_core::job::InputRequest;
use sam_octa2_core::progress::Observer;
use sam_octa2_core::volume::{Axis, Volume};
use std::path::PathBuf;
use std::sync::Arc;

/// A volume and where it came from.
#[derive(Clone)]
pub struct VolumeValue {
    /// the voxels
    pub volume: Arc<Volume>,
    /// what was opened, and how: nothing may overwrite it, and a DICOM Segmentation refers to it
    pub source: Arc<InputRequest>,
    /// the axis along which its slices were taken; labels are saved as the file is
    pub axis: Axis,
}

/// Makes volumes known to scripts.
pub fn register(engine: &mut Engine, context: &Context) {
    let host = context.host;
    engine
        .register_type_with_name::<VolumeValue>("Volume")
        .register_fn("open_volume", move |call: NativeCallContext, path: Dynamic| -> Fallible<VolumeValue> {
            native(&call, || VolumeValue::open(host, &path, None))
        })
        .register_fn(
            "open_volume",
            move |call: NativeCallContext, path: Dynamic, options: Dynamic| -> Fallible<VolumeValue> {
                native(&call, || VolumeValue::open(host, &path, Some(&options)))
            },
        )
        .register_fn("save", move |call: NativeCallContext, volume: &mut VolumeValue, path: Dynamic| -> Fallible<()> {
            native(&call, || volume.save(host, &path))
        })
        .register_get("frames", |volume: &mut VolumeValue| int(volume.volume.frames))
        .register_get("rows", |volume: &mut VolumeValue| int(volume.volume.rows))
        .register_get("columns", |volume: &mut VolumeValue| int(volume.volume.columns))
        .register_get("channels", |volume: &mut VolumeValue| int(volume.volume.channels))
        .register_get("dtype", |volume: &mut VolumeValue| volume.volume.dtype())
        .register_get("format", |volume: &mut VolumeValue| volume.volume.format)
        .register_get("path", |volume: &mut VolumeValue| volume.source.input.display().to_string())
        .register_get("shape", |volume: &mut VolumeValue| volume.shape())
        .register_get("spacing", |volume: &mut VolumeValue| floats(volume.volume.geometry.spacing))
        .register_get("range", |call: NativeCallContext, volume: &mut VolumeValue| native(&call, || volume.range()))
        .register_fn("info", |call: NativeCallContext, volume: &mut VolumeValue| native(&call, || volume.info()))
        .register_fn("to_string", |volume: &mut VolumeValue| volume.describe())
        .register_fn("to_debug", |volume: &mut VolumeValue| volume.describe());
}

fn floats<const N: usize>(numbers: [f64; N]) -> Array {
    numbers.into_iter().map(Dynamic::from_float).collect()
}

impl VolumeValue {
    fn open(host: HostRef, path: &Dynamic, options: Option<&Dynamic>) -> Checked<Self> {
        const KEYS: [&str; 7] = ["crop", "axis", "series", "uneven", "volume", "channel", "spacing"];
        let mut request =
            InputRequest { input: PathBuf::from(text("open_volume: path", path)?), ..InputRequest::default() };
        if let Some(options) = options.map(|options| Options::new("open_volume", options, &KEYS)).transpose()? {
            request.crop = options.get("crop", text)?;
            request.axis = options.get("axis", text)?;
            request.series = options.get("series", text)?;
            request.uneven = options.get("uneven", truth)?.unwrap_or(false);
            request.volume = options.get("volume", whole)?;
            request.channel = options.get("channel", text)?;
            let spacing = options.get("spacing", |what, value| numbers(what, "three numbers [x, y, z]", value))?;
            request.spacing = spacing.map(|mm: [f32; 3]| mm.map(f64::from));
        }
        Ok(Self::of(request, &mut ToHost(host.calls()))?)
    }

    /// Opens what a request names.
    pub fn of(request: InputRequest, observer: &mut dyn Observer) -> sam_octa2_core::Result<Self> {
        let axis = request.axis()?;
        let volume = request.open(observer)?.along(axis)?;
        Ok(Self { volume: Arc::new(volume), source: Arc::new(request), axis })
    }

    /// A volume of the host's memory, which comes from no file.
    pub fn lent(volume: Volume) -> Self {
        Self { volume: Arc::new(volume), source: Arc::default(), axis: Axis::Z }
    }

    fn save(&self, host: HostRef, path: &Dynamic) -> Checked<()> {
        let path = self.output("save: path", path)?;
        Ok(io::write_volume(&self.volume, path, &mut ToHost(host.calls()))?)
    }

    /// A path to write to, which is not where the volume came from.
    pub fn output(&self, what: &str, path: &Dynamic) -> Checked<PathBuf> {
        let path = PathBuf::from(text(what, path)?);
        io::check_output(&self.source.input, &path)?;
        Ok(path)
    }

    fn info(&self) -> Checked<String> {
        Ok(VolumeInfo::new(&self.volume, &self.source.input)?.to_string())
    }

    fn range(&self) -> Checked<Array> {
        let (low, high) = self.volume.range()?;
        Ok(floats([low, high]))
    }

    /// `[frames, rows, columns]`, for colour with the channels
    fn shape(&self) -> Array {
        let [frames, rows, columns, channels] = self.volume.shape();
        ints([frames, rows, columns, channels].into_iter().take(if channels > 1 { 4 } else { 3 }))
    }

    fn describe(&self) -> String {
        let Volume { frames, rows, columns, format, .. } = *self.volume;
        format!("Volume({format}, {frames} x {rows} x {columns}, {})", self.volume.dtype())
    }
}
