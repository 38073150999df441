//! `host-demo serve`: the plugin behind the protocols that viewers speak, and a page of our own, on one port.
//!
//! `net (connections) -> guard (who may ask) -> itksnap | slicer | nninteractive | monai | page -> store (sessions) -> work (the plugin)`
//!
//! The plugin blocks and is therefore called on threads for blocking work, one call at a time for each session. Whatever goes wrong is a
//! [`refusal`] with a status of 4xx or 5xx and one sentence.

mod array;
mod blosc2;
mod drawn;
mod given;
mod guard;
mod itksnap;
mod marks;
mod masks;
mod monai;
mod net;
mod nnia;
mod nninteractive;
mod npy;
mod open;
mod packed;
mod page;
mod refusal;
mod settings;
mod slicer;
mod slices;
mod store;
mod work;

pub use settings::{Options, View};

use crate::cli::Cli;
use crate::exit::{self, Code};
use crate::{find, output, tasks};
use anyhow::{Context, bail, ensure};
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware};
use refusal::{Answer, Refusal};
use sam_octa2_abi::{Api, Model};
use serde_json::{Value, json};
use settings::{Follow, Server};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

/// the port where none is asked for: ITK-SNAP's
const PORT: u16 = 8911;
/// a client that sends nothing for so long is let go
const SILENCE: Duration = Duration::from_secs(60);

/// What all requests share.
pub struct Shared {
    api: Api,
    model: Model,
    /// what the model is called
    model_name: String,
    store: Store,
    max_sessions: u32,
    follow: Follow,
    /// bytes of the largest volume
    max_volume: usize,
    token: Option<String>,
    /// the server listens on this computer alone, so that its name is known
    named: bool,
    files: Vec<PathBuf>,
}

/// The same, as handlers get it.
pub type App = Arc<Shared>;

/// Serves until Ctrl-C.
pub fn serve(cli: &Cli, options: &Options) -> anyhow::Result<Code> {
    run(cli, &options.files, &options.server, |_| {})
}

/// Serves, and opens a browser.
pub fn view(cli: &Cli, options: &View) -> anyhow::Result<Code> {
    let browse = !options.no_browser;
    run(cli, &options.files, &options.server, move |address| {
        if browse && !net::browse(address) {
            output::note("no browser could be started; open the address by hand");
        }
    })
}

fn run(cli: &Cli, files: &[PathBuf], server: &Server, started: impl FnOnce(&str)) -> anyhow::Result<Code> {
    let token = token(server)?;
    for file in files {
        ensure!(file.exists(), "{}: there is no such file or folder", file.display());
    }
    let plugin = find::load(cli.plugin.as_deref())?;
    let api = plugin.api()?;
    let request = json!({
        "model": server.model, "model_config": server.model_config,
        "device": server.place.device, "precision": server.place.precision,
    });
    let model = api.load_model(&request.to_string(), &mut ())?;
    let most = usize::try_from(server.max_sessions)?;
    let app = Arc::new(Shared {
        api,
        model,
        model_name: model_name(&server.model),
        store: Store::new(most, Duration::from_secs(60 * server.idle), server.max_memory << 20),
        max_sessions: server.max_sessions,
        follow: server.follow,
        max_volume: usize::try_from(server.max_volume << 20)?,
        token,
        named: server.host.is_loopback(),
        files: files.to_vec(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().enable_time().build();
    runtime.context("cannot start threads")?.block_on(async {
        let listener = net::listen(server.host, server.port.unwrap_or(PORT)).await?;
        let address = net::address(&listener, app.token.as_deref())?;
        output::line(&format!("serving {} on {address} (Ctrl-C ends)", app.model_name))?;
        started(&address);
        net::serve(listener, router(&app), app.clone()).await
    })?;
    Ok(exit::SUCCESS)
}

/// A file's name without ending and folder, as viewers can show it.
fn model_name(model: &str) -> String {
    let name = std::path::Path::new(model).file_stem().and_then(|name| name.to_str()).unwrap_or(model);
    if model.contains(['/', '.']) && std::path::Path::new(model).is_file() { name.to_owned() } else { model.to_owned() }
}

fn token(server: &Server) -> anyhow::Result<Option<String>> {
    let from_environment = || std::env::var("SAM_OCTA2_TOKEN").ok().filter(|token| !token.is_empty());
    let token = server.token.clone().or_else(from_environment);
    match &token {
        Some(token) if !guard::sound_token(token) => {
            bail!("a token has at least 16 characters, of letters, digits and - _ . ~")
        }
        None if !server.host.is_loopback() => bail!(
            "{} can be reached by other computers, and whoever reaches this server can use it: say --token TEXT, or keep 127.0.0.1 and use \
             an SSH tunnel",
            server.host
        ),
        _ => Ok(token),
    }
}

/// All protocols.
fn router(app: &App) -> Router {
    let large = DefaultBodyLimit::max(app.max_volume.saturating_add(1 << 20)); // elsewhere 2 MB
    Router::new()
        .merge(itksnap::routes(large))
        .merge(slicer::routes(large))
        .merge(nninteractive::routes(large))
        .merge(monai::routes(large))
        .merge(page::routes(large))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(RequestBodyTimeoutLayer::new(SILENCE))
        .layer(middleware::from_fn_with_state(app.clone(), guard::check))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app.clone())
}

async fn unknown(method: Method, uri: axum::http::Uri) -> Refusal {
    Refusal::missing(format!("this server does not answer to {method} {:.200}", uri.path()))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Refusal::inside("the server failed inside").into_response()
}

impl Shared {
    /// Checks that a volume is not larger than this server takes, and sets memory for it apart.
    fn hold(&self, bytes: Option<usize>) -> Answer<(usize, store::Held)> {
        let bytes = bytes.filter(|&bytes| bytes <= self.max_volume).ok_or_else(|| {
            Refusal::too_large(format!(
                "the volume is larger than the {} MB that this server takes (--max-volume)",
                self.max_volume >> 20
            ))
        })?;
        Ok((bytes, self.store.hold(bytes as u64)?))
    }

    /// Program, model and limits.
    fn about(&self) -> Value {
        json!({"status": "ok", "program": "SAM-OCTA2", "program_version": env!("CARGO_PKG_VERSION"), "model": self.model_name})
    }
}

/// A file for `path` in requests to the plugin.
fn text(path: &std::path::Path) -> Answer<String> {
    tasks::text(path).map(str::to_owned).map_err(|error| Refusal::inside(error.to_string()))
}
