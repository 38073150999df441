//! `Model` in scripts: loaded once, shared by any number of sessions.

use super::Context;
use super::engine::HostRef;
use super::errors::Failure;
use super::files::Files;
use super::kept_models::KeptModels;
use super::labels::LabelsValue;
use super::library::Library;
use super::values::{Checked, Fallible, Options, float64, int, native, text, to_map, typed};
use super::volume::VolumeValue;
use crate::convert::ToHost;
use rhai::{Array, Dynamic, Map, NativeCallContext};
use sam_octa2_core::loader::{self, LoadedModel, ModelRequest};
use sam_octa2_core::progress::Observer;
use sam_octa2_core::session::segment_all;
use sam_octa2_core::volume::Labels;
use std::path::Path;
use std::sync::Arc;

/// A model under the name that the script gave.
#[derive(Clone)]
pub struct ModelValue {
    name: Arc<str>,
    /// the model
    pub loaded: LoadedModel,
}

/// Makes models known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let (host, files, same) = (context.host, context.files.clone(), context.files.clone());
    let (kept, same_kept) = (context.models.clone(), context.models.clone());
    library.engine().register_type_with_name::<ModelValue>("Model");
    library
        .section("Model", "")
        .function(
            "load_model(name: String, options?: #{config, adapter, device, precision}) -> Model",
            "A model by its name (`models()`: `nano`, `tiny` ... `2.1-large`, `medsam2`) or a checkpoint file. `config`: an official size or a \
             configuration file; `adapter`: what fine-tuning has learnt for it; `device`: `auto` `cpu` `cuda` `cuda:N`; `precision`: `auto` `f32` `bf16` `f16`.",
            "load_model(arg(\"model\"), #{config: arg(\"config\"), device: \"cpu\"})",
            move |call: NativeCallContext, name: Dynamic, options: Dynamic| -> Fallible<ModelValue> {
                native(&call, || ModelValue::load(host, (&files, &kept), &name, Some(&options)))
            },
        )
        .also("load_model", move |call: NativeCallContext, name: Dynamic| -> Fallible<ModelValue> {
            native(&call, || ModelValue::load(host, (&same, &same_kept), &name, None))
        })
        .function(
            "models() -> Array [#{name, family, file, config, image_size, url, bytes, sha256, licence, terms, licence_url, trained_on, good_for, \
             citation, unsupported, list, path}]",
            "The models known by name, and what else lies in the weights folders. `path` is `()` where the file is not here; what is not \
             known is `()`, too.",
            "models().filter(|m| m.path != ())",
            |call: NativeCallContext| -> Fallible<Array> { native(&call, models) },
        )
        .function(
            "segment_all(model: Model, volume: Volume, options?: #{window, threshold}) -> Map #{vessels: Labels, faz: Labels, objects: Labels}",
            "All vessels and the foveal avascular zone of every slice without a prompt, both labels with object 1, without specks and \
             pinholes; `objects` has both: 1 is the zone, from 2 on a vessel each, with one number on all slices. Only from models that \
             have a head for it (`nano`). Inside is what is likelier than `threshold` [what the model's configuration says].",
            "try { model.segment_all(volume).faz.frames } catch (error) { error.message }",
            move |call: NativeCallContext, model: &mut ModelValue, volume: Dynamic, options: Dynamic| -> Fallible<Map> {
                native(&call, || model.segment_all(host, &volume, &options))
            },
        )
        .also("segment_all", move |call: NativeCallContext, model: &mut ModelValue, volume: Dynamic| -> Fallible<Map> {
            native(&call, || model.segment_all(host, &volume, &Map::new().into()))
        })
        .property("name(model: Model) -> String", "As it was asked for.", "model.name", |model: &mut ModelValue| {
            model.name.to_string()
        })
        .property("path(model: Model) -> String", "Its checkpoint.", "model.path", |model: &mut ModelValue| {
            model.loaded.path.display().to_string()
        })
        .property("device(model: Model) -> String", "Where it computes.", "model.device", |model: &mut ModelValue| {
            model.loaded.device()
        })
        .property("precision(model: Model) -> String", "How exactly.", "model.precision", |model: &mut ModelValue| {
            model.loaded.precision()
        })
        .property(
            "image_size(model: Model) -> int",
            "To how many pixels a slice is resized for it.",
            "model.image_size",
            |model: &mut ModelValue| int(model.loaded.model.config().image_size),
        )
        .property(
            "dense_head(model: Model) -> bool",
            "Does it find vessels and the avascular zone without a prompt (`segment_all`)?",
            "if model.dense_head { model.segment_all(volume).faz.frames }",
            |model: &mut ModelValue| model.loaded.model.dense_thresholds().is_some(),
        )
        .property(
            "thresholds(model: Model) -> Array [float]",
            "How likely a pixel must be to count as vessel and as avascular zone where nobody clicked, as the configuration says; empty \
             without a `dense_head`.",
            "model.thresholds",
            |model: &mut ModelValue| {
                let thresholds = model.loaded.model.dense_thresholds();
                thresholds.into_iter().flatten().map(Dynamic::from_float).collect::<Array>()
            },
        )
        .property(
            "fingerprint(model: Model) -> String",
            "Tells models apart whatever their files are called.",
            "model.fingerprint",
            |model: &mut ModelValue| model.loaded.model.fingerprint().to_owned(),
        );
    library
        .engine()
        .register_fn("to_string", |model: &mut ModelValue| model.describe())
        .register_fn("to_debug", |model: &mut ModelValue| model.describe());
}

/// The catalogue's models, present or not, and what else lies in the weights folders.
fn models() -> Checked<Array> {
    loader::list(&[])?.iter().map(|model| to_map(model).map(Dynamic::from_map)).collect()
}

impl ModelValue {
    fn segment_all(&self, host: HostRef, volume: &Dynamic, options: &Dynamic) -> Checked<Map> {
        let volume: VolumeValue = typed("segment_all: volume", "Volume", volume)?;
        let options = Options::new("segment_all", options, &["window", "threshold"])?;
        let (window, threshold) = (options.parsed("window")?.unwrap_or_default(), options.get("threshold", float64)?);
        let observer = &mut ToHost(host.calls());
        let found = segment_all(&self.loaded.model, &volume.volume, window, threshold, observer)?;
        let labels = |labels: Labels| Dynamic::from(LabelsValue::new(labels, volume.clone()));
        Ok(Map::from([
            ("vessels".into(), labels(found.vessels)),
            ("faz".into(), labels(found.faz)),
            ("objects".into(), labels(found.objects)),
        ]))
    }

    fn load(
        host: HostRef,
        (files, models): (&Files, &KeptModels),
        name: &Dynamic,
        options: Option<&Dynamic>,
    ) -> Checked<Self> {
        let name = text("load_model: name", name)?;
        let mut request = ModelRequest { model: name, ..ModelRequest::default() };
        if let Some(options) = options {
            let options = Options::new("load_model", options, &["config", "adapter", "device", "precision"])?;
            request.model_config = options.get("config", text)?.filter(|config| !config.is_empty());
            request.adapter = options.get("adapter", |what, path| files.readable(what, path))?;
            request.place.device = options.parsed("device")?.unwrap_or_default();
            request.place.precision = options.parsed("precision")?.unwrap_or_default();
        }
        // a file by its path; names are looked up in the folders of the weights, which the host chose
        let named = [Some(&request.model), request.model_config.as_ref()];
        let mut paths =
            named.into_iter().flatten().map(Path::new).filter(|path| path.components().count() > 1 || path.exists());
        paths.try_for_each(|path| {
            files.check_read(path)?;
            files.opened(path);
            Ok::<_, Failure>(())
        })?;
        let observer = &mut ToHost(host.calls());
        observer.step("load", 0, 1)?;
        let name = request.model.as_str().into();
        Ok(Self { name, loaded: models.load(&request)? })
    }

    /// Loads what a request names.
    pub fn of(request: &ModelRequest, observer: &mut dyn Observer) -> sam_octa2_core::Result<Self> {
        observer.step("load", 0, 1)?;
        Ok(Self { name: request.model.as_str().into(), loaded: request.load()? })
    }

    fn describe(&self) -> String {
        format!("Model({}, {}, {})", self.name, self.loaded.device(), self.loaded.precision())
    }
}
