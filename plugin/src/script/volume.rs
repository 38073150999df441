//! `Volume` in scripts: opened once, shared by whoever uses it.

use super::Context;
use super::engine::HostRef;
use super::values::{Checked, Fallible, Options, int, ints, native, text};
use crate::convert::ToHost;
use rhai::{Array, Dynamic, Engine, INT, NativeCallContext};
use sam_octa2_core::io::{self, OpenOptions, VolumeInfo};
use sam_octa2_core::volume::Volume;
use std::path::PathBuf;
use std::sync::Arc;

/// A volume and where it came from.
#[derive(Clone)]
pub struct VolumeValue {
    /// the voxels
    pub volume: Arc<Volume>,
    /// the file or folder: nothing may overwrite it
    pub path: Arc<PathBuf>,
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
        .register_get("dtype", |volume: &mut VolumeValue| volume.volume.voxels.dtype())
        .register_get("format", |volume: &mut VolumeValue| volume.volume.format)
        .register_get("path", |volume: &mut VolumeValue| volume.path.display().to_string())
        .register_get("shape", |volume: &mut VolumeValue| ints(volume.info().shape))
        .register_get("spacing", |volume: &mut VolumeValue| floats(volume.volume.geometry.spacing))
        .register_get("range", |volume: &mut VolumeValue| floats(volume.info().intensity_range))
        .register_fn("info", |volume: &mut VolumeValue| volume.info().to_string())
        .register_fn("to_string", |volume: &mut VolumeValue| volume.describe())
        .register_fn("to_debug", |volume: &mut VolumeValue| volume.describe());
}

fn floats<const N: usize>(numbers: [f64; N]) -> Array {
    numbers.into_iter().map(Dynamic::from_float).collect()
}

impl VolumeValue {
    fn open(host: HostRef, path: &Dynamic, options: Option<&Dynamic>) -> Checked<Self> {
        let path = PathBuf::from(text("open_volume: path", path)?);
        let options = options.map(|options| Options::new("open_volume", options, &["crop"])).transpose()?;
        let crop = options.map_or(Ok(None), |options| options.get("crop", text))?;
        let volume = io::open_observed(&path, &OpenOptions::with_crop(crop.as_deref())?, &mut ToHost(host.calls()))?;
        Ok(Self { volume: Arc::new(volume), path: Arc::new(path) })
    }

    fn save(&self, host: HostRef, path: &Dynamic) -> Checked<()> {
        let path = self.output("save: path", path)?;
        Ok(io::write_volume(&self.volume, path, &mut ToHost(host.calls()))?)
    }

    /// A path to write to, which is not where the volume came from.
    pub fn output(&self, what: &str, path: &Dynamic) -> Checked<PathBuf> {
        let path = PathBuf::from(text(what, path)?);
        io::check_output(&*self.path, &path)?;
        Ok(path)
    }

    fn info(&self) -> VolumeInfo {
        VolumeInfo::new(&self.volume, &self.path)
    }

    fn describe(&self) -> String {
        let Volume { frames, rows, columns, format, ref voxels, .. } = *self.volume;
        let frames: INT = int(frames);
        format!("Volume({format}, {frames} x {rows} x {columns}, {})", voxels.dtype())
    }
}
