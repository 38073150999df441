//! `Volume` in scripts: opened once, shared by whoever uses it.

use super::Context;
use super::engine::HostRef;
use super::files::Files;
use super::library::Library;
use super::oct::MadeOf;
use super::values::{Checked, Fallible, Options, float64, int, ints, list, native, refused, text, truth, whole};
use crate::convert::ToHost;
use rhai::{Array, Dynamic, NativeCallContext};
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
    /// made from another one, so that the source does not give it
    pub derived: bool,
    /// the B-scans that it shows en face, if a script made it of them
    pub made_of: Option<Arc<MadeOf>>,
    /// where the script that uses it may read and write
    pub files: Arc<Files>,
}

/// Makes volumes known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let (host, files, same) = (context.host, context.files.clone(), context.files.clone());
    library.engine().register_type_with_name::<VolumeValue>("Volume");
    library
        .section("Volume", "")
        .function(
            "open_volume(path: String, options?: #{crop, axis, series, uneven, volume, channel, spacing, kind, layers, assume_size, columns, slab, \
             projection, subtract, layers_along}) -> Volume",
            "Reads a NIfTI, NRRD, MetaImage, DICOM, numpy or picture file, a file of an OCT device, or a folder of slices. `crop`: region of every slice, `\"X,Y,W,H\"` in pixels or \
             percent; `axis`: take slices along `z` (as stored), `y` or `x`, labels are saved as stored; `series`, `uneven`: of DICOM; \
             `volume`: of several; `channel`: `red` `green` `blue` `luminance`; `spacing`: `[x, y, z]` in mm. Of OCT ([oct.md](oct.md)): `kind`: what a file without a header is; \
             `layers`: a file with layer curves; `assume_size`: `\"3mm\"`; `columns`: A-scans of a B-scan; `slab`, `projection`, `subtract` and \
             `layers_along` (`\"ILM,0,100,10\"`) as the functions of these names.",
            "open_volume(arg(\"input\"), #{crop: \"25%,0,50%,100%\"})",
            move |call: NativeCallContext, path: Dynamic, options: Dynamic| -> Fallible<VolumeValue> {
                native(&call, || VolumeValue::open(host, &files, &path, Some(&options)))
            },
        )
        .also("open_volume", move |call: NativeCallContext, path: Dynamic| -> Fallible<VolumeValue> {
            native(&call, || VolumeValue::open(host, &same, &path, None))
        })
        .function(
            "save(volume: Volume, path: String)",
            "Writes `.nii`, `.nii.gz`, `.nrrd`, `.nhdr`, `.mha`, `.mhd`, `.npy`, `.tif`, or a folder of PNGs.",
            "volume.save(\"copy.npy\")",
            move |call: NativeCallContext, volume: &mut VolumeValue, path: Dynamic| -> Fallible<()> {
                native(&call, || volume.save(host, &path))
            },
        )
        .function(
            "info(volume: Volume) -> String",
            "Everything about it, as text.",
            "print(volume.info())",
            |call: NativeCallContext, volume: &mut VolumeValue| native(&call, || volume.info()),
        );
    properties(library);
}

fn properties(library: &mut Library<'_>) {
    library
        .property("frames(volume: Volume) -> int", "How many slices.", "volume.frames", |volume: &mut VolumeValue| {
            int(volume.volume.frames)
        })
        .property(
            "rows(volume: Volume) -> int",
            "Their height in pixels.",
            "volume.rows / 2",
            |volume: &mut VolumeValue| int(volume.volume.rows),
        )
        .property(
            "columns(volume: Volume) -> int",
            "Their width in pixels.",
            "volume.columns",
            |v: &mut VolumeValue| int(v.volume.columns),
        )
        .property(
            "channels(volume: Volume) -> int",
            "1, for colour 3.",
            "volume.channels",
            |volume: &mut VolumeValue| int(volume.volume.channels),
        )
        .property(
            "shape(volume: Volume) -> Array",
            "`[frames, rows, columns]`, for colour with `3` at the end.",
            "volume.shape[0]",
            |volume: &mut VolumeValue| volume.shape(),
        )
        .property(
            "spacing(volume: Volume) -> Array",
            "Millimetres along x, y, z.",
            "volume.spacing[2]",
            |volume: &mut VolumeValue| floats(volume.volume.geometry.spacing),
        )
        .property(
            "range(volume: Volume) -> Array",
            "Smallest and largest value.",
            "volume.range[1]",
            |call: NativeCallContext, volume: &mut VolumeValue| native(&call, || volume.range()),
        )
        .property(
            "dtype(volume: Volume) -> String",
            "numpy's name of the type of the values.",
            "volume.dtype == \"uint8\"",
            |volume: &mut VolumeValue| volume.volume.dtype(),
        )
        .property(
            "format(volume: Volume) -> String",
            "What was read: `nifti`, `nrrd`, `metaimage`, `dicom`, `stack`, `npy`, `heyex`, `optovue`, `cirrus`, `octa500`, `lent`.",
            "volume.format",
            |volume: &mut VolumeValue| volume.volume.format,
        )
        .property("path(volume: Volume) -> String", "Where it was read.", "volume.path", |volume: &mut VolumeValue| {
            volume.source.input.display().to_string()
        })
        .property(
            "fingerprint(volume: Volume) -> String",
            "Tells volumes apart whatever their files are called: made from shape, type, place and all voxels.",
            "volume.fingerprint",
            |call: NativeCallContext, volume: &mut VolumeValue| {
                native(&call, || Ok(volume.volume.fingerprint(0..volume.volume.frames)?))
            },
        );
    library
        .engine()
        .register_fn("to_string", |volume: &mut VolumeValue| volume.describe())
        .register_fn("to_debug", |volume: &mut VolumeValue| volume.describe());
}

/// Millimetres along x, y, z, in full precision.
fn spacing(what: &str, value: &Dynamic) -> Checked<[f64; 3]> {
    let wrong = || refused(what, "three numbers [x, y, z]", value);
    list(what, value, float64).map_err(|_| wrong())?.try_into().map_err(|_| wrong())
}

/// A colour by its name, or the number of a channel.
fn channel(what: &str, value: &Dynamic) -> Checked<String> {
    if value.is_int() { Ok(whole(what, value)?.to_string()) } else { text(what, value) }
}

fn floats<const N: usize>(numbers: [f64; N]) -> Array {
    numbers.into_iter().map(Dynamic::from_float).collect()
}

impl VolumeValue {
    fn open(host: HostRef, files: &Arc<Files>, path: &Dynamic, options: Option<&Dynamic>) -> Checked<Self> {
        const KEYS: [&str; 15] = [
            "crop",
            "axis",
            "series",
            "uneven",
            "volume",
            "channel",
            "spacing",
            "kind",
            "layers",
            "assume_size",
            "columns",
            "slab",
            "projection",
            "subtract",
            "layers_along",
        ];
        let mut request = InputRequest { input: files.input("open_volume: path", path)?, ..InputRequest::default() };
        if let Some(options) = options.map(|options| Options::new("open_volume", options, &KEYS)).transpose()? {
            request.crop = options.get("crop", text)?;
            request.axis = options.get("axis", text)?;
            request.series = options.get("series", text)?;
            request.uneven = options.get("uneven", truth)?.unwrap_or(false);
            request.volume = options.get("volume", whole)?;
            request.channel = options.get("channel", channel)?;
            request.spacing = options.get("spacing", spacing)?;
            request.kind = options.get("kind", text)?;
            request.layers = options.get("layers", |what, value| files.input(what, value))?;
            request.assume_size = options.get("assume_size", text)?;
            request.columns = options.get("columns", whole)?;
            request.slab = options.get("slab", text)?;
            request.projection = options.get("projection", text)?;
            request.subtract = options.get("subtract", float64)?;
            request.layers_along = options.get("layers_along", text)?;
        }
        Ok(Self { files: files.clone(), ..Self::of(request, &mut ToHost(host.calls()))? })
    }

    /// Opens what a request names.
    pub fn of(request: InputRequest, observer: &mut dyn Observer) -> sam_octa2_core::Result<Self> {
        let axis = request.axis()?;
        let volume = request.open(observer)?.along(axis)?;
        let (source, files) = (Arc::new(request), Arc::default());
        Ok(Self { volume: Arc::new(volume), source, axis, derived: false, made_of: None, files })
    }

    /// A volume of the host's memory, which comes from no file.
    pub fn lent(volume: Volume) -> Self {
        let (source, files) = (Arc::default(), Arc::default());
        Self { volume: Arc::new(volume), source, axis: Axis::Z, derived: false, made_of: None, files }
    }

    /// How to open it again, if it came from a file.
    pub fn origin(&self) -> Option<&InputRequest> {
        Some(&*self.source).filter(|source| !self.derived && !source.input.as_os_str().is_empty())
    }

    fn save(&self, host: HostRef, path: &Dynamic) -> Checked<()> {
        let path = self.output("save: path", path)?;
        Ok(io::write_volume(&self.volume, path, &mut ToHost(host.calls()))?)
    }

    /// A path to write to, which is not where the volume came from.
    pub fn output(&self, what: &str, path: &Dynamic) -> Checked<PathBuf> {
        io::check_output(&self.source.input, text(what, path)?)?;
        self.files.writable(what, path)
    }

    fn info(&self) -> Checked<String> {
        Ok(VolumeInfo::new(&self.volume, &self.source.input, &mut ())?.to_string())
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
