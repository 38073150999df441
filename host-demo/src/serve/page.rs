//! The page of our own, and what it asks for under `/api`. A case is one volume in work.

use super::given::Given;
use super::masks::{Crop, Masks};
use super::open::{plain, read, sent};
use super::refusal::{Answer, Refusal};
use super::store::{Entry, Held, Protocol, Slot};
use super::work::{SliceDone, Watch, Work};
use super::{App, Shared, slices};
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use sam_octa2_abi::Volume;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// With its words in other languages, where the page wants them.
static PAGE: LazyLock<String> =
    LazyLock::new(|| include_str!("page.html").replacen("/*words*/", include_str!("words.js"), 1));
/// What the page may load: itself, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' blob: data:; \
                      connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Formats of one file in which labels can be saved.
const FORMATS: [&str; 7] = ["nii.gz", "nii", "nrrd", "seg.nrrd", "mha", "tif", "npy"];

/// Its routes; `large` is for those that get voxels.
pub fn routes(large: DefaultBodyLimit) -> Router<App> {
    Router::new()
        .route("/", get(page))
        .route("/api/status", get(status))
        .route("/api/cases", post(open))
        .route("/api/upload", post(upload).layer(large))
        .route("/api/cases/{case}", delete(close).get(describe))
        .route("/api/cases/{case}/slices/{frame}", get(slice))
        .route("/api/cases/{case}/masks/{frame}", get(masks))
        .route("/api/cases/{case}/prompt", post(prompt))
        .route("/api/cases/{case}/clear", post(clear))
        .route("/api/cases/{case}/remove", post(remove))
        .route("/api/cases/{case}/undo", post(undo))
        .route("/api/cases/{case}/redo", post(redo))
        .route("/api/cases/{case}/follow", post(follow))
        .route("/api/cases/{case}/stop", post(stop))
        .route("/api/cases/{case}/labels", get(labels))
        .route("/api/cases/{case}/script", get(script))
}

async fn page() -> Response {
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")];
    (headers, Html(PAGE.as_str())).into_response()
}

async fn status(State(app): State<App>) -> Json<Value> {
    let mut about = app.about();
    let name = |file: &PathBuf| file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    about["files"] = app.files.iter().map(name).collect();
    about["formats"] = json!(FORMATS);
    about["max_volume"] = json!(app.max_volume);
    Json(about)
}

fn json_of<T: DeserializeOwned>(body: &[u8]) -> Answer<T> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("the request cannot be read: {error}")))
}

fn case(app: &App, id: &str) -> Answer<Arc<Entry>> {
    app.store.find(Protocol::Page, id)
}

/// The number of a slice in an address.
fn number(text: &str) -> Answer<usize> {
    text.parse().map_err(|_| Refusal::bad("the address does not name a slice by its number"))
}

#[derive(Deserialize)]
struct Open {
    file: usize,
}

/// Opens one of the files that the server was started with: by number, so that no path comes from outside.
async fn open(State(app): State<App>, body: Bytes) -> Answer<Json<Value>> {
    let Open { file } = json_of(&body)?;
    let path = app.files.get(file).ok_or_else(|| Refusal::missing("there is no such file"))?.clone();
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    begin(&app, name, move |shared, watch| read(shared, &path, watch)).await
}

#[derive(Deserialize)]
struct Upload {
    name: String,
}

/// Opens a file that the page sends: the body is the file.
async fn upload(
    State(app): State<App>,
    query: Result<Query<Upload>, QueryRejection>,
    body: Bytes,
) -> Answer<Json<Value>> {
    let Query(Upload { name }) = query.map_err(|_| Refusal::bad("the file's name is missing"))?;
    let name = plain(&name)?;
    begin(&app, name.clone(), move |shared, watch| sent(shared, &name, &body, watch)).await
}

/// A case of a volume.
async fn begin(
    app: &App,
    name: String,
    read: impl FnOnce(&Shared, &mut Watch) -> Answer<(Volume, Held)> + Send + 'static,
) -> Answer<Json<Value>> {
    let (entry, shared) = (app.store.create(Protocol::Page)?, app.clone());
    let id = entry.id.clone();
    let result = app
        .store
        .with(&entry, move |slot, watch| {
            let (volume, held) = read(&shared, watch)?;
            let info: Value = serde_json::from_str(&volume.info()?).unwrap_or_default();
            let work = Work::new(shared.api, &shared.model, volume, watch)?;
            let range = slices::range(&work.volume, work.shape[0])?;
            let [frames, rows, columns] = work.shape;
            let about = json!({
                "id": id, "name": name, "frames": frames, "rows": rows, "columns": columns, "range": range,
                "spacing": info["spacing"], "dtype": info["dtype"],
            });
            (slot.work, slot.held, slot.name, slot.range) = (Some(work), Some(held), name, range);
            Ok(about)
        })
        .await;
    match result {
        Ok(about) => Ok(Json(about)),
        Err(refusal) => {
            app.store.remove(&entry.id);
            Err(refusal)
        }
    }
}

async fn close(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<Value>> {
    let entry = case(&app, &id)?;
    app.store.remove(&entry.id);
    Ok(Json(json!({})))
}

async fn slice(State(app): State<App>, Path((id, frame)): Path<(String, String)>) -> Answer<Response> {
    let (entry, frame) = (case(&app, &id)?, number(&frame)?);
    let values = app
        .store
        .with(&entry, move |slot, _| {
            let range = slot.range;
            let work = slot.work()?;
            work.check([frame as i64, 0, 0])?;
            slices::grey(&work.volume, frame, range)
        })
        .await?;
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "private, max-age=3600")];
    Ok((headers, values).into_response())
}

/// An object on a slice, as the page draws it.
fn drawn(object: u32, crop: &Crop) -> Value {
    json!({"object": object, "start": crop.start, "size": crop.size, "runs": crop.runs(),
           "pixels": crop.inside.iter().filter(|&&inside| inside).count()})
}

fn of_slice(work: &Work, frame: usize) -> Value {
    let on = |(object, masks): (u32, &Masks)| masks.at(frame).map(|crop| drawn(object, crop));
    work.objects().filter_map(on).collect()
}

/// Objects, prompts, what to tell the user, and what can be undone.
fn state(slot: &mut Slot) -> Answer<Value> {
    let name = slot.name.clone();
    let work = slot.work()?;
    let known: Value = serde_json::from_str(&work.session().describe()?).unwrap_or_default();
    let [undo, redo] = work.steps();
    let masks: Value = work
        .objects()
        .map(|(object, masks)| json!({"object": object, "frames": masks.frames().collect::<Vec<_>>()}))
        .collect();
    Ok(json!({
        "name": name, "objects": known["objects"], "masks": masks, "notices": known["notices"], "undo": undo, "redo": redo,
    }))
}

/// The state, with what is on a slice.
fn shown(slot: &mut Slot, frame: usize) -> Answer<Value> {
    let mut state = state(slot)?;
    state["slice"] = json!({"frame": frame, "masks": of_slice(slot.work()?, frame)});
    Ok(state)
}

async fn describe(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<Value>> {
    let entry = case(&app, &id)?;
    app.store.with(&entry, |slot, _| state(slot)).await.map(Json)
}

async fn masks(State(app): State<App>, Path((id, frame)): Path<(String, String)>) -> Answer<Json<Value>> {
    let (entry, frame) = (case(&app, &id)?, number(&frame)?);
    app.store
        .with(&entry, move |slot, _| {
            let work = slot.work()?;
            work.check([frame as i64, 0, 0])?;
            Ok(json!({"frame": frame, "masks": of_slice(work, frame)}))
        })
        .await
        .map(Json)
}

async fn prompt(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Json<Value>> {
    let (entry, given) = (case(&app, &id)?, json_of::<Given>(&body)?);
    app.store
        .with(&entry, move |slot, watch| {
            let work = slot.work()?;
            for [x, y] in given.places() {
                let whole = |at: f64| if at.is_finite() { at.round() as i64 } else { -1 };
                work.check([given.frame as i64, whole(*y), whole(*x)])?;
            }
            if given.takes_away() && work.masks(given.object).at(given.frame).is_none() {
                return Err(Refusal::bad("there is nothing to take away on this slice: mark the object there first"));
            }
            let (frame, prompt) = (given.frame, given.prompt());
            work.interact(watch, false, |step| step.prompt(&prompt))?;
            shown(slot, frame)
        })
        .await
        .map(Json)
}

#[derive(Deserialize)]
struct Place {
    object: u32,
    #[serde(default)]
    frame: usize,
}

async fn clear(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Json<Value>> {
    let (entry, Place { object, frame }) = (case(&app, &id)?, json_of(&body)?);
    app.store
        .with(&entry, move |slot, watch| {
            slot.work()?.interact(watch, false, |step| step.clear(object, frame))?;
            shown(slot, frame)
        })
        .await
        .map(Json)
}

async fn remove(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Json<Value>> {
    let (entry, Place { object, frame }) = (case(&app, &id)?, json_of(&body)?);
    app.store
        .with(&entry, move |slot, watch| {
            slot.work()?.interact(watch, false, |step| step.remove(object))?;
            shown(slot, frame)
        })
        .await
        .map(Json)
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    frame: usize,
}

async fn undo(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Json<Value>> {
    let (entry, Shown { frame }) = (case(&app, &id)?, json_of(&body)?);
    app.store
        .with(&entry, move |slot, _| {
            slot.work()?.undo()?;
            shown(slot, frame)
        })
        .await
        .map(Json)
}

async fn redo(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Json<Value>> {
    let (entry, Shown { frame }) = (case(&app, &id)?, json_of(&body)?);
    app.store
        .with(&entry, move |slot, _| {
            slot.work()?.redo()?;
            shown(slot, frame)
        })
        .await
        .map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    direction: Option<String>,
    start: Option<usize>,
    max_frames: Option<usize>,
}

/// Follows all objects. The answer is a line of JSON for each slice as soon as it is done, then `{"end": true}` or `{"error": ...}`.
async fn follow(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Response> {
    let (entry, range) = (case(&app, &id)?, json_of::<Range>(&body)?);
    let (sender, receiver) = mpsc::unbounded_channel::<Result<Bytes, std::convert::Infallible>>();
    let line = |value: &Value| Ok(Bytes::from(format!("{value}\n")));
    let direction = range.direction.unwrap_or_else(|| "both".to_owned());
    let range = json!({"direction": direction, "start": range.start, "max_frames": range.max_frames});
    tokio::spawn(async move {
        let lines = sender.clone();
        let gone = {
            let sender = sender.clone();
            async move { sender.closed().await }
        };
        let work = app.store.with(&entry, move |slot, watch| {
            let each = &mut |done: u64, total: u64, slice: SliceDone<'_>| {
                let masks =
                    slice.objects.iter().filter_map(|(object, _, crop)| crop.as_ref().map(|crop| drawn(*object, crop)));
                let masks: Value = masks.collect();
                let scores: Value = slice.objects.iter().map(|(object, score, _)| json!([object, score])).collect();
                let slice =
                    json!({"frame": slice.frame, "done": done, "total": total, "masks": masks, "scores": scores});
                let _ = lines.send(line(&slice)); // nobody reads it any more: the work is stopped below
            };
            slot.work()?.interact(watch, true, |step| step.propagate(&range, each))
        });
        // a page that is closed stops its work: `with` stops what it does when it is dropped
        let result = tokio::select! { result = work => result, () = gone => return };
        let last = match result {
            Ok(()) => json!({"end": true}),
            Err(refusal) if refusal.status == axum::http::StatusCode::CONFLICT => {
                json!({"end": true, "stopped": refusal.sentence})
            }
            Err(refusal) => json!({"error": refusal.sentence}),
        };
        let _ = sender.send(line(&last));
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(UnboundedReceiverStream::new(receiver))).into_response())
}

async fn stop(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<Value>> {
    case(&app, &id)?.stop();
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Save {
    format: String,
}

/// The labels as a file.
async fn labels(
    State(app): State<App>,
    Path(id): Path<String>,
    query: Result<Query<Save>, QueryRejection>,
) -> Answer<Response> {
    let (entry, format) =
        (case(&app, &id)?, query.map(|Query(Save { format })| format).unwrap_or_else(|_| "nii.gz".to_owned()));
    if !FORMATS.contains(&format.as_str()) {
        return Err(Refusal::bad(format!("labels are saved as one of {}", FORMATS.join(", "))));
    }
    let (name, file) = app
        .store
        .with(&entry, move |slot, watch| {
            let name = format!(
                "{}.labels.{format}",
                slot.name.split('.').next().filter(|name| !name.is_empty()).unwrap_or("scan")
            );
            let work = slot.work()?;
            let folder = tempfile::Builder::new().prefix("sam-octa2-").tempdir()?;
            let path = folder.path().join(format!("labels.{format}"));
            work.session().labels(watch)?.write(&super::text(&path)?, None, watch)?;
            Ok((name, std::fs::read(&path)?))
        })
        .await?;
    attachment(&name, file)
}

async fn script(State(app): State<App>, Path(id): Path<String>) -> Answer<Response> {
    let entry = case(&app, &id)?;
    let script = app.store.with(&entry, |slot, watch| Ok(slot.work()?.session().script(watch)?)).await?;
    attachment("session.rhai", script.into_bytes())
}

fn attachment(name: &str, bytes: Vec<u8>) -> Answer<Response> {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '_' }).collect();
    let disposition = format!("attachment; filename=\"{plain}\"");
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, bytes).into_response())
}
