//! The protocol of SlicerNNInteractive 0.3: six routes, one session for all, arrays in Slicer's order (slices, rows, columns).
//!
//! Its client takes `200 {"status": "error", "message": "No image uploaded"}` for the request to send everything once more; all other
//! failures are statuses of 4xx and 5xx, which it shows. Requests say `Content-Encoding: gzip` of a part: nothing here unpacks whole bodies.
//! `/add_point_interaction` and its like are also nnInteractive 2's, which sends a lease.

use super::App;
use super::drawn::Drawn;
use super::npy;
use super::packed::{Parts, gunzip_up_to, gzip, parts, take};
use super::refusal::{Answer, Refusal};
use super::store::{Entry, Protocol};
use super::work::{Step, Work};
use axum::body::Bytes;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{DefaultBodyLimit, Multipart, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// the one session
const SESSION: &str = "slicer-nninteractive";
const OBJECT: u32 = 1;
/// bytes of a head of .npy beside the values
const HEAD: usize = 1 << 16;

type Form = Result<Multipart, MultipartRejection>;

/// Its own routes; `large` is for those that get voxels.
pub fn routes(large: DefaultBodyLimit) -> Router<App> {
    Router::new().route("/upload_image", post(upload).layer(large)).route("/upload_segment", post(segment).layer(large))
}

fn session(app: &App) -> Answer<Arc<Entry>> {
    app.store.create_as(Protocol::Slicer, SESSION.to_owned())
}

async fn form(app: &App, form: Form) -> Answer<Parts> {
    parts(form.map_err(|rejection| Refusal::bad(rejection.body_text()))?, app.max_volume).await
}

async fn upload(State(app): State<App>, sent: Form) -> Answer<Response> {
    let file = take(&mut form(&app, sent).await?, "file")?.bytes;
    let (entry, shared) = (session(&app)?, app.clone());
    app.store
        .with(&entry, move |slot, watch| {
            let head = npy::Head::read(&file)?;
            if head.shape.len() != 3 {
                return Err(Refusal::bad("the image must have three dimensions: slices, rows, columns"));
            }
            (slot.work, slot.held) = (None, None); // room for the new one
            let (_, held) = shared.hold(Some(head.size()?))?;
            let volume = head.array(file)?.into_volume(shared.api, None)?;
            (slot.work, slot.held) = (Some(Work::new(shared.api, &shared.model, volume, watch)?), Some(held));
            Ok(())
        })
        .await?;
    Ok(Json(json!({"status": "ok"})).into_response())
}

/// A packed mask of the whole volume.
fn mask(packed: &[u8], volume: [usize; 3]) -> Answer<Drawn> {
    let voxels: usize = volume.iter().product();
    let file = gunzip_up_to(packed, voxels.saturating_mul(8).saturating_add(HEAD))?;
    Drawn::new(npy::Head::read(&file)?.array(file)?, volume.map(|n| [0, n]), volume)
}

async fn segment(State(app): State<App>, sent: Form) -> Answer<Response> {
    let file = take(&mut form(&app, sent).await?, "file")?.bytes;
    let entry = session(&app)?;
    let known = app
        .store
        .with(&entry, move |slot, watch| {
            let Some(work) = &mut slot.work else { return Ok(false) };
            let drawn = mask(&file, work.shape)?;
            work.reset()?;
            if !drawn.frames().is_empty() {
                work.interact(watch, false, |step| step.given(OBJECT, &drawn))?;
            }
            Ok(true)
        })
        .await?;
    Ok(if known { Json(json!({"status": "ok"})).into_response() } else { send_again() })
}

fn send_again() -> Response {
    Json(json!({"status": "error", "message": "No image uploaded"})).into_response()
}

#[derive(Deserialize)]
struct Point {
    voxel_coord: [i64; 3],
    positive_click: bool,
}

#[derive(Deserialize)]
struct Corners {
    outer_point_one: [i64; 3],
    outer_point_two: [i64; 3],
    positive_click: bool,
}

fn json_of<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Answer<T> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("the request cannot be read: {error}")))
}

/// A click.
pub async fn point(app: App, body: Bytes) -> Answer<Response> {
    let Point { voxel_coord, positive_click } = json_of(&body)?;
    answer(app, move |_| Ok(move |step: &mut Step<'_>| Ok(vec![step.point(OBJECT, voxel_coord, positive_click)?])))
        .await
}

/// A box between two corners, both of them in it.
pub async fn bounds(app: App, body: Bytes) -> Answer<Response> {
    let Corners { outer_point_one: one, outer_point_two: two, positive_click } = json_of(&body)?;
    let bounds = [0, 1, 2].map(|i| [one[i].min(two[i]), one[i].max(two[i]) + 1]);
    answer(app, move |_| Ok(move |step: &mut Step<'_>| super::marks::bounds(step, OBJECT, bounds, positive_click)))
        .await
}

/// What was drawn, and whether it belongs to the object.
async fn drawn(app: &App, sent: Form) -> Answer<(Vec<u8>, bool)> {
    let mut parts = form(app, sent).await?;
    let positive = match take(&mut parts, "positive_click")?.bytes.as_slice() {
        b"True" | b"true" | b"1" => true,
        b"False" | b"false" | b"0" => false,
        _ => return Err(Refusal::bad("`positive_click` is True or False")),
    };
    Ok((take(&mut parts, "file")?.bytes, positive))
}

/// A stroke.
pub async fn scribble(app: App, sent: Form) -> Answer<Response> {
    let (packed, positive) = drawn(&app, sent).await?;
    answer(app, move |volume| {
        let drawn = mask(&packed, volume)?;
        Ok(move |step: &mut Step<'_>| step.scribble(OBJECT, &drawn, positive))
    })
    .await
}

/// A filled outline.
pub async fn lasso(app: App, sent: Form) -> Answer<Response> {
    let (packed, positive) = drawn(&app, sent).await?;
    answer(app, move |volume| {
        let drawn = mask(&packed, volume)?;
        Ok(move |step: &mut Step<'_>| Ok(vec![step.lasso(OBJECT, &drawn, positive)?]))
    })
    .await
}

/// Does an interaction, follows the object, and answers with its bits.
async fn answer<A>(app: App, prepare: impl FnOnce([usize; 3]) -> Answer<A> + Send + 'static) -> Answer<Response>
where
    A: FnOnce(&mut Step<'_>) -> Answer<Vec<usize>>,
{
    let (entry, follow) = (session(&app)?, app.follow);
    let packed = app
        .store
        .with(&entry, move |slot, watch| {
            let Some(work) = &mut slot.work else { return Ok(None) };
            let act = prepare(work.shape)?;
            work.interact(watch, false, |step| {
                let frames = act(step)?;
                frames.into_iter().try_for_each(|frame| step.follow(frame, follow))
            })?;
            gzip(&bits(&work.masks(OBJECT).block(work.whole()))).map(Some)
        })
        .await?;
    let Some(packed) = packed else { return Ok(send_again()) };
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_ENCODING, "gzip")];
    Ok((StatusCode::OK, headers, packed).into_response())
}

/// Eight voxels to a byte, the first one in the highest bit.
fn bits(voxels: &[u8]) -> Vec<u8> {
    let byte =
        |eight: &[u8]| eight.iter().enumerate().fold(0, |byte, (at, &voxel)| byte | u8::from(voxel != 0) << (7 - at));
    voxels.chunks(8).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_as_numpy_packs_them() {
        assert_eq!(bits(&[1, 0, 0, 0, 0, 0, 1, 1, 1, 0]), [0b1000_0011, 0b1000_0000]);
    }
}
