//! The protocol of ITK-SNAP's deep-learning segmentation: 4.4, and what later versions add under `/v2`. Peer: `itksnap-dls` 0.1.5.
//!
//! ITK-SNAP trusts the length of what it gets, so that a success always carries every voxel. Coordinates are ITK's: x fastest.

use super::array::{Array, Kind, affine};
use super::drawn::Drawn;
use super::packed::{gunzip, gzip, parts, take};
use super::refusal::{Answer, Plain, Refusal};
use super::store::{Entry, Protocol, Slot};
use super::work::{Step, Work};
use super::{App, Shared};
use axum::extract::multipart::MultipartRejection;
use axum::extract::{DefaultBodyLimit, Multipart, Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What `/status` says so that ITK-SNAP takes this server: the reference server's version of the same protocol.
const VERSION: &str = "0.1.5";
/// ITK-SNAP draws one object at a time
const OBJECT: u32 = 1;

type Reply = Result<Json<Value>, Plain>;
type Pairs = Query<Vec<(String, String)>>;

/// Its routes; `large` is for those that get voxels.
pub fn routes(large: DefaultBodyLimit) -> Router<App> {
    Router::new()
        .route("/status", get(status))
        .route("/start_session", get(start))
        .route("/end_session/{session}", get(end))
        .route("/upload_raw/{session}", post(upload).layer(large))
        .route("/process_point_interaction/{session}", get(point))
        .route("/process_scribble_interaction/{session}", post(scribble).layer(large))
        .route("/process_lasso_interaction/{session}", post(lasso).layer(large))
        .route("/reset_interactions/{session}", get(reset))
        .route("/v2/models", get(models))
        .route("/v2/start_session/{model}", get(start_with))
        .route("/v2/end_session/{session}", get(end))
        .route("/v2/process_point_interaction/{session}", get(point))
}

async fn status(State(app): State<App>) -> Json<Value> {
    let mut about = app.about();
    about["version"] = VERSION.into();
    Json(about)
}

async fn models(State(app): State<App>) -> Json<Value> {
    let model =
        json!({"id": app.model_name, "channels": [1], "dimensions": 3, "interactions": ["point", "scribble", "lasso"]});
    Json(json!({"models": [model]}))
}

async fn start(State(app): State<App>) -> Reply {
    Ok(Json(json!({"session_id": app.store.create(Protocol::ItkSnap)?.id})))
}

async fn start_with(State(app): State<App>, Path(model): Path<String>) -> Reply {
    match model == app.model_name {
        true => start(State(app)).await,
        false => Err(Refusal::missing(format!("this server has the model {} only", app.model_name)).into()),
    }
}

async fn end(State(app): State<App>, Path(session): Path<String>) -> Reply {
    let entry = app.store.find(Protocol::ItkSnap, &session)?;
    app.store.remove(&entry.id);
    Ok(Json(json!({"status": "success"})))
}

/// What describes an image or a mask.
#[derive(Deserialize)]
struct Metadata {
    dimensions: Vec<usize>,
    #[serde(default)]
    spacing: Vec<f64>,
    #[serde(default)]
    origin: Vec<f64>,
    #[serde(default)]
    direction: Vec<f64>,
    #[serde(default = "one")]
    components_per_pixel: usize,
    component_type: String,
}

fn one() -> usize {
    1
}

impl Metadata {
    /// Slowest first: frames, rows, columns, and channels where there are three.
    fn shape(&self) -> Answer<Vec<usize>> {
        let mut shape: Vec<usize> = self.dimensions.iter().rev().copied().collect();
        match shape.len() {
            2 => shape.insert(0, 1),
            3 => {}
            other => return Err(Refusal::bad(format!("images have 2 or 3 dimensions, not {other}"))),
        }
        match self.components_per_pixel {
            1 => {}
            3 => shape.push(3),
            other => return Err(Refusal::bad(format!("pixels have 1 or 3 components, not {other}"))),
        }
        Ok(shape)
    }

    fn affine(&self) -> Option<[f64; 16]> {
        affine(
            self.spacing.as_slice().try_into().ok()?,
            self.origin.as_slice().try_into().ok()?,
            self.direction.as_slice().try_into().ok()?,
        )
    }

    fn size(&self, kind: Kind) -> Answer<Option<usize>> {
        Ok(self.shape()?.iter().try_fold(kind.size(), |product, &n| product.checked_mul(n)))
    }
}

/// The two parts of an upload: packed voxels, and what they are.
async fn received(app: &Shared, form: Result<Multipart, MultipartRejection>) -> Answer<(Vec<u8>, Metadata)> {
    let form = form.map_err(|rejection| Refusal::bad(rejection.body_text()))?;
    let mut parts = parts(form, app.max_volume).await?;
    let (file, metadata) = (take(&mut parts, "file")?, take(&mut parts, "metadata")?);
    let metadata = serde_json::from_slice(&metadata.bytes)
        .map_err(|error| Refusal::bad(format!("the part `metadata` cannot be read: {error}")))?;
    Ok((file.bytes, metadata))
}

async fn upload(
    State(app): State<App>,
    Path(session): Path<String>,
    form: Result<Multipart, MultipartRejection>,
) -> Reply {
    let entry = app.store.find(Protocol::ItkSnap, &session)?;
    let (packed, metadata) = received(&app, form).await?;
    let shared = app.clone();
    app.store
        .with(&entry, move |slot, watch| {
            let kind = Kind::named(&metadata.component_type)?;
            (slot.work, slot.held) = (None, None); // room for the new one
            let (bytes, held) = shared.hold(metadata.size(kind)?)?;
            let voxels = Array::new(kind, metadata.shape()?, gunzip(&packed, bytes)?)?;
            drop(packed);
            let volume = voxels.into_volume(shared.api, metadata.affine())?;
            (slot.work, slot.held) = (Some(Work::new(shared.api, &shared.model, volume, watch)?), Some(held));
            Ok(())
        })
        .await?;
    Ok(Json(json!({"status": "success", "message": "image received"})))
}

fn foreground(pairs: &[(String, String)]) -> Answer<bool> {
    match pairs.iter().find(|(key, _)| key == "foreground").map(|(_, value)| value.as_str()) {
        Some("true" | "True" | "1") | None => Ok(true),
        Some("false" | "False" | "0") => Ok(false),
        Some(_) => Err(Refusal::bad("`foreground` is true or false")),
    }
}

/// `x`, `y`, `z`, or as many `point`: as frame, row, column.
fn place(pairs: &[(String, String)]) -> Answer<[i64; 3]> {
    let named = |name: &'static str| pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value);
    let mut numbers: Vec<&String> = named("point").collect();
    if numbers.is_empty() {
        numbers = ["x", "y", "z"].into_iter().flat_map(named).collect();
    }
    let numbers: Result<Vec<i64>, _> = numbers.into_iter().map(|number| number.parse()).collect();
    match numbers.as_deref() {
        Ok(&[x, y, z]) => Ok([z, y, x]),
        Ok(&[x, y]) => Ok([0, y, x]),
        _ => Err(Refusal::bad("a point has the whole numbers `x`, `y` and `z`, or `point` as often")),
    }
}

async fn point(
    State(app): State<App>,
    Path(session): Path<String>,
    pairs: Result<Pairs, axum::extract::rejection::QueryRejection>,
) -> Reply {
    let entry = app.store.find(Protocol::ItkSnap, &session)?;
    let Query(pairs) = pairs.map_err(|rejection| Refusal::bad(rejection.body_text()))?;
    let (at, positive) = (place(&pairs)?, foreground(&pairs)?);
    answer(&app, &entry, move |_| {
        Ok(move |step: &mut Step<'_>| step.point(OBJECT, at, positive).map(|frame| vec![frame]))
    })
    .await
}

/// The drawn mask of a request, which must be as large as the image.
fn drawn(packed: &[u8], metadata: &Metadata, volume: [usize; 3]) -> Answer<Drawn> {
    let (kind, shape) = (Kind::named(&metadata.component_type)?, metadata.shape()?);
    if shape != volume {
        return Err(Refusal::bad(format!("the mask is {shape:?} voxels, but the image {volume:?}")));
    }
    let bytes = metadata.size(kind)?.ok_or_else(|| Refusal::too_large("the mask is too large"))?;
    Drawn::new(Array::new(kind, shape, gunzip(packed, bytes)?)?, volume.map(|n| [0, n]), volume)
}

/// What is done with a drawn mask: a scribble or an outline; the slices from which the object is followed.
type Interaction = fn(&mut Step<'_>, &Drawn, bool) -> Answer<Vec<usize>>;

/// Receives a drawn mask and does with it what the route says.
async fn draw(
    app: App,
    session: String,
    pairs: Pairs,
    form: Result<Multipart, MultipartRejection>,
    act: Interaction,
) -> Reply {
    let (entry, positive) = (app.store.find(Protocol::ItkSnap, &session)?, foreground(&pairs)?);
    let (packed, metadata) = received(&app, form).await?;
    answer(&app, &entry, move |volume| {
        let drawn = drawn(&packed, &metadata, volume)?;
        Ok(move |step: &mut Step<'_>| act(step, &drawn, positive))
    })
    .await
}

async fn scribble(
    State(app): State<App>,
    Path(session): Path<String>,
    pairs: Pairs,
    form: Result<Multipart, MultipartRejection>,
) -> Reply {
    draw(app, session, pairs, form, |step, drawn, positive| step.scribble(OBJECT, drawn, positive)).await
}

async fn lasso(
    State(app): State<App>,
    Path(session): Path<String>,
    pairs: Pairs,
    form: Result<Multipart, MultipartRejection>,
) -> Reply {
    draw(app, session, pairs, form, |step, drawn, positive| step.lasso(OBJECT, drawn, positive).map(|at| vec![at]))
        .await
}

/// Does an interaction, follows the object, and answers with its mask on the whole volume.
async fn answer<A>(
    app: &App,
    entry: &Arc<Entry>,
    prepare: impl FnOnce([usize; 3]) -> Answer<A> + Send + 'static,
) -> Reply
where
    A: FnOnce(&mut Step<'_>) -> Answer<Vec<usize>>,
{
    let follow = app.follow;
    let result = app.store.with(entry, move |slot: &mut Slot, watch| {
        let work = slot.work()?;
        let act = prepare(work.shape)?;
        work.interact(watch, false, |step| {
            let frames = act(step)?;
            frames.into_iter().try_for_each(|frame| step.follow(frame, follow))
        })?;
        Ok(Base64::encode_string(&gzip(&work.masks(OBJECT).block(work.whole()))?))
    });
    Ok(Json(json!({"status": "success", "result": result.await?})))
}

async fn reset(State(app): State<App>, Path(session): Path<String>) -> Reply {
    let entry = app.store.find(Protocol::ItkSnap, &session)?;
    app.store.with(&entry, |slot, _| slot.work.as_mut().map_or(Ok(()), Work::reset)).await?;
    Ok(Json(json!({"status": "success"})))
}
