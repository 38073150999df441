//! The protocol of nnInteractive's server 2, which SlicerNNInteractive 1.0 and napari-nninteractive 2.5 speak through PyPI
//! `nninteractive-client`. A client holds a lease; arrays are indexed slices, rows, columns; an answer is the box in which something changed.
//!
//! Interactions share their paths with SlicerNNInteractive 0.3 ([`slicer`]), which has no lease.

use super::array::count;
use super::drawn::Drawn;
use super::masks::{Bounds, Masks};
use super::refusal::{Answer, Refusal};
use super::store::{Entry, LIVENESS, Protocol, Slot};
use super::work::{Step, Work};
use super::{App, marks, nnia, slicer};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

const LEASE: &str = "x-lease-token";
const META: &str = "x-meta";
const OBJECT: u32 = 1;

/// Its routes; `large` is for those that get voxels.
pub fn routes(large: DefaultBodyLimit) -> Router<App> {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({"ok": true})) }))
        .route("/claim", post(claim))
        .route("/capabilities", get(capabilities))
        .route("/release", post(release))
        .route("/heartbeat", post(heartbeat))
        .route("/lease_status", get(status))
        .route("/set_image", post(set_image).layer(large))
        .route("/set_target_buffer", post(set_target))
        .route("/set_do_autozoom", post(set_autozoom))
        .route("/reset_interactions", post(reset))
        .route("/undo", post(undo))
        .route("/predict", post(predict))
        .route("/add_initial_seg_interaction", post(initial).layer(large))
        .route("/add_point_interaction", post(point))
        .route("/add_bbox_interaction", post(bounds))
        .route("/add_scribble_interaction", post(scribble).layer(large))
        .route("/add_lasso_interaction", post(lasso).layer(large))
}

/// The lease of a request. One that is gone is 410, so that the client offers to connect again.
fn lease(app: &App, headers: &HeaderMap) -> Answer<Arc<Entry>> {
    let token = headers.get(LEASE).and_then(|token| token.to_str().ok());
    let token = token
        .ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "the request has no X-Lease-Token; claim one first"))?;
    let entry = app.store.find(Protocol::Lease, token);
    let entry = entry.map_err(|refusal| Refusal::new(StatusCode::GONE, refusal.sentence))?;
    entry.touch(false);
    Ok(entry)
}

async fn claim(State(app): State<App>) -> Answer<Json<Value>> {
    let entry = app.store.create(Protocol::Lease)?;
    Ok(Json(json!({
        "lease_token": entry.id, "idle_timeout_seconds": app.store.idle.as_secs(),
        "liveness_timeout_seconds": LIVENESS.as_secs(), "max_sessions": app.max_sessions,
    })))
}

async fn capabilities(State(app): State<App>, headers: HeaderMap) -> Answer<Json<Value>> {
    lease(&app, &headers)?;
    Ok(Json(json!({
        "supported_interactions": {"points": true, "bbox2d": true, "bbox3d": false, "scribble": true, "lasso": true},
        "channel_mapping": {"prev_seg": 0, "bbox": [1, 2], "lasso": [1, 2], "points": [3, 4], "scribble": [5, 6]},
        "num_interaction_channels": 7, "supports_initial_label": true, "supports_zero_shot_label_refinement": false,
        "preferred_scribble_thickness": [2, 2, 2], "interaction_decay": 1.0, "inference_session_version": 2,
        "license": format!("{} (SAM-OCTA2)", app.model_name), "supports_undo": true, "do_autozoom": false, "patch_size": [1, 512, 512],
    })))
}

async fn release(State(app): State<App>, headers: HeaderMap) -> Answer<Json<Value>> {
    let entry = lease(&app, &headers)?;
    app.store.remove(&entry.id);
    Ok(Json(json!({})))
}

async fn heartbeat(State(app): State<App>, headers: HeaderMap) -> Answer<Json<Value>> {
    let remaining = lease(&app, &headers)?.remaining(app.store.idle);
    Ok(Json(json!({"remaining_seconds": remaining.as_secs_f64()})))
}

async fn status(State(app): State<App>, headers: HeaderMap) -> Answer<Json<Value>> {
    let remaining = lease(&app, &headers)?.remaining(app.store.idle);
    Ok(Json(json!({"remaining_seconds": remaining.as_secs_f64(), "idle_timeout_seconds": app.store.idle.as_secs()})))
}

async fn set_image(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer<Json<Value>> {
    let (entry, shared) = (lease(&app, &headers)?, app.clone());
    let spacing = meta::<Value>(&headers).ok().and_then(|meta| spacing(&meta["image_properties"]["spacing"]));
    let shape = app
        .store
        .with(&entry, move |slot, watch| {
            let head = nnia::Head::read(&body)?;
            let shape = head.shape.clone();
            let [1, frames, rows, columns] = shape[..] else {
                return Err(Refusal::bad(format!(
                    "an image is [1, slices, rows, columns], not {shape:?}; colour is not supported here"
                )));
            };
            *slot = Slot::default(); // room for the new one
            let (_, held) = shared.hold(Some(head.size))?;
            let mut array = head.array()?;
            drop(body);
            array.shape = vec![frames, rows, columns];
            let volume = array.into_volume(shared.api, spacing)?;
            (slot.work, slot.held) = (Some(Work::new(shared.api, &shared.model, volume, watch)?), Some(held));
            Ok(shape)
        })
        .await?;
    Ok(Json(json!({"original_image_shape": shape})))
}

/// Spacing of slices, rows and columns as an affine.
fn spacing(spacing: &Value) -> Option<[f64; 16]> {
    let [z, y, x] = serde_json::from_value(spacing.clone()).ok()?;
    super::array::affine([x, y, z], [0.0; 3], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
}

#[derive(Deserialize)]
struct Target {
    shape: Vec<usize>,
}

async fn set_target(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer<Json<Value>> {
    let (entry, Target { shape }) = (lease(&app, &headers)?, json_of(&body)?);
    app.store
        .with(&entry, move |slot, _| {
            let volume = slot.work()?.shape;
            if shape != volume {
                return Err(Refusal::bad(format!("the target buffer is {shape:?} voxels, but the image {volume:?}")));
            }
            slot.delivered = Masks::default();
            Ok(())
        })
        .await?;
    Ok(Json(json!({})))
}

async fn set_autozoom(State(app): State<App>, headers: HeaderMap) -> Answer<Json<Value>> {
    lease(&app, &headers).map(|_| Json(json!({}))) // there is none here
}

async fn reset(State(app): State<App>, headers: HeaderMap) -> Answer<Json<Value>> {
    let entry = lease(&app, &headers)?;
    app.store
        .with(&entry, |slot, _| {
            slot.delivered = Masks::default();
            slot.work.as_mut().map_or(Ok(()), Work::reset)
        })
        .await?;
    Ok(Json(json!({})))
}

fn json_of<T: DeserializeOwned>(body: &[u8]) -> Answer<T> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("the request cannot be read: {error}")))
}

fn meta<T: DeserializeOwned>(headers: &HeaderMap) -> Answer<T> {
    let meta = headers.get(META).ok_or_else(|| Refusal::bad("the request has no header X-Meta"))?;
    json_of(meta.as_bytes())
}

/// What has changed for the client since the last answer.
fn prediction(slot: &mut Slot, ran: bool) -> Answer<Response> {
    let work = slot.work.as_ref().ok_or_else(|| Refusal::inside("the image is gone"))?;
    let masks = work.masks(OBJECT);
    let changed = if ran { masks.changed_from(&slot.delivered) } else { None };
    let (shape, body) = match changed {
        Some(bounds) => {
            let shape = bounds.map(|[from, to]| to - from);
            (shape, nnia::pack(shape, &masks.block(bounds))?)
        }
        None => ([0; 3], Vec::new()),
    };
    if ran {
        slot.delivered = masks;
    }
    let meta = json!({"ran_prediction": ran, "bbox": changed, "dtype": "uint8", "shape": shape}).to_string();
    let headers = [(header::CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()), (META, meta)];
    Ok((headers, body).into_response())
}

async fn undo(State(app): State<App>, headers: HeaderMap) -> Answer<Response> {
    let entry = lease(&app, &headers)?;
    app.store
        .with(&entry, |slot, _| {
            let undone = slot.work()?.undo()?;
            prediction(slot, undone)
        })
        .await
}

async fn predict(State(app): State<App>, headers: HeaderMap) -> Answer<Response> {
    let (entry, follow) = (lease(&app, &headers)?, app.follow);
    app.store
        .with(&entry, move |slot, watch| {
            let work = slot.work()?;
            let frames = std::mem::take(&mut work.waiting);
            let result =
                work.interact(watch, false, |step| frames.iter().try_for_each(|&frame| step.follow(frame, follow)));
            result?;
            prediction(slot, !frames.is_empty())
        })
        .await
}

/// Does an interaction; with `run` the object is followed and the change sent, without it both wait.
async fn answer<A>(
    app: &App,
    entry: &Arc<Entry>,
    run: bool,
    prepare: impl FnOnce([usize; 3]) -> Answer<A> + Send + 'static,
) -> Answer<Response>
where
    A: FnOnce(&mut Step<'_>) -> Answer<Vec<usize>>,
{
    let follow = app.follow;
    app.store
        .with(entry, move |slot, watch| {
            let work = slot.work()?;
            let act = prepare(work.shape)?;
            let mut waiting = work.waiting.clone();
            work.interact(watch, false, |step| {
                waiting.extend(act(step)?);
                match run {
                    true => std::mem::take(&mut waiting).into_iter().try_for_each(|frame| step.follow(frame, follow)),
                    false => Ok(()),
                }
            })?;
            work.waiting = waiting;
            prediction(slot, run)
        })
        .await
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Point {
    coordinates: [i64; 3],
    include_interaction: bool,
    #[serde(default = "yes")]
    run_prediction: bool,
}

async fn point(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer<Response> {
    if !headers.contains_key(LEASE) {
        return slicer::point(app, body).await;
    }
    let (entry, sent) = (lease(&app, &headers)?, json_of::<Point>(&body)?);
    let (at, positive) = (sent.coordinates, sent.include_interaction);
    answer(&app, &entry, sent.run_prediction, move |_| {
        Ok(move |step: &mut Step<'_>| Ok(vec![step.point(OBJECT, at, positive)?]))
    })
    .await
}

#[derive(Deserialize)]
struct Corners {
    bbox_coords: [[i64; 2]; 3],
    include_interaction: bool,
    #[serde(default = "yes")]
    run_prediction: bool,
}

async fn bounds(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer<Response> {
    if !headers.contains_key(LEASE) {
        return slicer::bounds(app, body).await;
    }
    let (entry, sent) = (lease(&app, &headers)?, json_of::<Corners>(&body)?);
    let (bounds, positive) = (sent.bbox_coords, sent.include_interaction);
    answer(&app, &entry, sent.run_prediction, move |_| {
        Ok(move |step: &mut Step<'_>| marks::bounds(step, OBJECT, bounds, positive))
    })
    .await
}

#[derive(Deserialize)]
struct Drawing {
    #[serde(default = "yes")]
    include_interaction: bool,
    #[serde(default = "yes")]
    run_prediction: bool,
    interaction_bbox: Option<Bounds>,
}

/// The mask of a request: of the whole volume, or of a box in it.
fn drawn(body: &[u8], bounds: Option<Bounds>, volume: [usize; 3]) -> Answer<Drawn> {
    let head = nnia::Head::read(body)?;
    if count(&head.shape)? > volume.iter().product() {
        return Err(Refusal::bad(format!("the mask is {:?} voxels, but the image {volume:?}", head.shape)));
    }
    Drawn::new(head.array()?, bounds.unwrap_or_else(|| volume.map(|n| [0, n])), volume)
}

async fn form(app: &App, request: Request) -> Result<Multipart, axum::extract::multipart::MultipartRejection> {
    Multipart::from_request(request, app).await
}

async fn body(app: &App, request: Request) -> Answer<Bytes> {
    Bytes::from_request(request, app).await.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))
}

async fn scribble(State(app): State<App>, headers: HeaderMap, request: Request) -> Answer<Response> {
    if !headers.contains_key(LEASE) {
        return slicer::scribble(app.clone(), form(&app, request).await).await;
    }
    let (entry, sent) = (lease(&app, &headers)?, meta::<Drawing>(&headers)?);
    let (bounds, positive) = (sent.interaction_bbox, sent.include_interaction);
    let body = body(&app, request).await?;
    answer(&app, &entry, sent.run_prediction, move |volume| {
        let drawn = drawn(&body, bounds, volume)?;
        Ok(move |step: &mut Step<'_>| step.scribble(OBJECT, &drawn, positive))
    })
    .await
}

async fn lasso(State(app): State<App>, headers: HeaderMap, request: Request) -> Answer<Response> {
    if !headers.contains_key(LEASE) {
        return slicer::lasso(app.clone(), form(&app, request).await).await;
    }
    let (entry, sent) = (lease(&app, &headers)?, meta::<Drawing>(&headers)?);
    let (bounds, positive) = (sent.interaction_bbox, sent.include_interaction);
    let body = body(&app, request).await?;
    answer(&app, &entry, sent.run_prediction, move |volume| {
        let drawn = drawn(&body, bounds, volume)?;
        Ok(move |step: &mut Step<'_>| Ok(vec![step.lasso(OBJECT, &drawn, positive)?]))
    })
    .await
}

/// A segmentation to begin with. The client shows it already.
async fn initial(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer<Response> {
    let (entry, sent) = (lease(&app, &headers)?, meta::<Drawing>(&headers)?);
    app.store
        .with(&entry, move |slot, watch| {
            let work = slot.work()?;
            let drawn = drawn(&body, None, work.shape)?;
            work.reset()?;
            if !drawn.frames().is_empty() {
                work.interact(watch, false, |step| step.given(OBJECT, &drawn))?;
            }
            slot.delivered = slot.work()?.masks(OBJECT);
            prediction(slot, sent.run_prediction)
        })
        .await
}
