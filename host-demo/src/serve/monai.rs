//! The part of MONAI Label's REST interface that its clients need to send an image, ask for an object by clicks, and hand labels in. There is
//! no training and no list of images to label next: clients hide what they find empty. Peer: `monailabel` 0.8.5.
//!
//! A request for an object carries all its clicks, so that each begins anew. Coordinates are indices of the stored image: column, row, slice.

use super::packed::{Part, parts, take};
use super::refusal::{Answer, Refusal};
use super::store::{Entry, Protocol, Slot, random_id};
use super::work::{Step, Watch, Work};
use super::{App, guard};
use axum::extract::multipart::MultipartRejection;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Multipart, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use sam_octa2_abi::Prompt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const OBJECT: u32 = 1;
/// most clicks in one request
const CLICKS: usize = 1000;

type Form = Result<Multipart, MultipartRejection>;
type Queried<T> = Result<Query<T>, QueryRejection>;

/// Its routes; `large` is for those that get voxels.
pub fn routes(large: DefaultBodyLimit) -> Router<App> {
    Router::new()
        .route("/auth/", get(login))
        .route("/auth/token", post(token))
        .route("/auth/token/valid", get(|| async { Json(json!({})) }))
        .route("/info/", get(info))
        .route("/session/", put(session).layer(large))
        .route("/session/{session}", get(session_info).delete(session_end))
        .route("/infer/{model}", post(infer).layer(large))
        .route("/datastore/", get(datastore).put(image).layer(large))
        .route("/datastore/image", put(image).layer(large))
        .route("/datastore/label", put(label))
}

async fn login(State(app): State<App>) -> Json<Value> {
    Json(json!({"enabled": app.token.is_some()}))
}

/// The token of this server is the password of any user.
async fn token(State(app): State<App>, body: axum::body::Bytes) -> Answer<Json<Value>> {
    let fields = body.split(|&byte| byte == b'&').filter_map(|field| std::str::from_utf8(field).ok());
    let password = fields.filter_map(|field| field.strip_prefix("password=")).next().unwrap_or_default();
    match app.token.as_deref() {
        Some(token) if guard::same(password, token) => Ok(Json(json!({"access_token": token, "token_type": "bearer"}))),
        _ => {
            Err(Refusal::new(StatusCode::UNAUTHORIZED, "the password is the token with which this server was started"))
        }
    }
}

async fn info(State(app): State<App>) -> Json<Value> {
    let model = json!({
        "type": "deepgrow", "labels": ["object"], "dimension": 3, "config": {},
        "description": "Segments what was clicked and follows it through the stack",
    });
    Json(json!({
        "name": "SAM-OCTA2", "description": "Segmentation of OCT-angiography stacks by clicks", "version": env!("CARGO_PKG_VERSION"),
        "labels": ["object"], "models": {&app.model_name: model}, "trainers": {}, "strategies": {}, "scoring": {}, "train_stats": {},
        "datastore": {"total": 0, "completed": 0, "label_tags": {}},
    }))
}

/// The key of an image of the datastore.
fn key(image: &str) -> Answer<String> {
    let sound =
        !image.is_empty() && image.len() <= 200 && image.chars().all(|c| c.is_alphanumeric() || "._- ".contains(c));
    match sound && !image.starts_with('.') {
        true => Ok(format!("image {image}")),
        false => Err(Refusal::bad("the image's id may hold letters, digits, blanks and . _ -")),
    }
}

/// Reads a sent image into a session.
async fn receive(app: &App, entry: &Arc<Entry>, part: Part) -> Answer<()> {
    let shared = app.clone();
    app.store
        .with(entry, move |slot, watch| {
            let name = part.file_name.as_deref().unwrap_or("image.nii.gz").to_owned();
            *slot = Slot::default(); // room for the new one
            let opened = super::open::sent(&shared, &name, &part.bytes, watch)?;
            (slot.work, slot.held, slot.name) =
                (Some(Work::new(shared.api, &shared.model, opened.0, watch)?), Some(opened.1), name);
            Ok(())
        })
        .await
}

/// The part with the image, whatever it is called.
async fn sent(app: &App, form: Form) -> Answer<Part> {
    let mut parts = parts(form.map_err(|rejection| Refusal::bad(rejection.body_text()))?, app.max_volume).await?;
    let name = parts
        .iter()
        .find(|(name, _)| ["files", "file", "image"].contains(&name.as_str()))
        .map(|(name, _)| name.clone());
    take(&mut parts, name.as_deref().unwrap_or("file"))
}

async fn session(State(app): State<App>, form: Form) -> Answer<Json<Value>> {
    let part = sent(&app, form).await?;
    let entry = app.store.create_as(Protocol::Monai, random_id()?)?;
    if let Err(refusal) = receive(&app, &entry, part).await {
        app.store.remove(&entry.id);
        return Err(refusal);
    }
    Ok(Json(json!({"session_id": entry.id, "session_info": about(&app, &entry)})))
}

fn about(app: &App, entry: &Entry) -> Value {
    json!({"name": entry.id, "path": "", "image": "", "meta": {}, "expiry": app.store.idle.as_secs()})
}

async fn session_info(State(app): State<App>, Path(session): Path<String>) -> Answer<Json<Value>> {
    let entry = app.store.find(Protocol::Monai, &session)?;
    Ok(Json(about(&app, &entry)))
}

async fn session_end(State(app): State<App>, Path(session): Path<String>) -> Answer<Json<Value>> {
    app.store.remove(&app.store.find(Protocol::Monai, &session)?.id);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Named {
    image: Option<String>,
}

fn query<T>(query: Queried<T>) -> Answer<T> {
    query.map(|Query(query)| query).map_err(|rejection| Refusal::bad(rejection.body_text()))
}

async fn image(State(app): State<App>, named: Queried<Named>, form: Form) -> Answer<Json<Value>> {
    let Named { image } = query(named)?;
    let part = sent(&app, form).await?;
    let stem = || part.file_name.as_deref().and_then(|name| name.split('.').next()).unwrap_or("image").to_owned();
    let image = image.unwrap_or_else(stem);
    let entry = app.store.create_as(Protocol::Monai, key(&image)?)?;
    receive(&app, &entry, part).await?;
    Ok(Json(json!({"image": image})))
}

async fn datastore() -> Json<Value> {
    Json(json!({"name": "SAM-OCTA2", "description": "", "objects": {}, "total": 0, "completed": 0}))
}

/// Labels that a client hands in are not kept here: its user saves them.
async fn label() -> Refusal {
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "this server keeps no labels; save them in your viewer")
}

#[derive(Deserialize)]
struct Asked {
    image: Option<String>,
    session_id: Option<String>,
    output: Option<String>,
}

/// Clicks of a request; with deepgrow by their sign, with deepedit by the name of a label.
#[derive(Deserialize, Default)]
struct Params {
    #[serde(default)]
    foreground: Vec<[f64; 3]>,
    #[serde(default)]
    background: Vec<[f64; 3]>,
    #[serde(default)]
    object: Vec<[f64; 3]>,
    result_extension: Option<String>,
}

async fn infer(
    State(app): State<App>,
    Path(model): Path<String>,
    asked: Queried<Asked>,
    form: Form,
) -> Answer<Response> {
    let asked = query(asked)?;
    if model != app.model_name {
        return Err(Refusal::missing(format!("this server has the model {} only", app.model_name)));
    }
    let mut parts = match form {
        Ok(form) => parts(form, app.max_volume).await?,
        Err(_) => Default::default(),
    };
    let params = parts.remove("params").map(|part| part.bytes).unwrap_or_else(|| b"{}".to_vec());
    let params: Params = serde_json::from_slice(&params)
        .map_err(|error| Refusal::bad(format!("the part `params` cannot be read: {error}")))?;
    let entry = match (&asked.session_id, &asked.image) {
        (Some(session), _) => app.store.find(Protocol::Monai, session)?,
        (None, Some(image)) => app.store.find(Protocol::Monai, &key(image)?)?,
        (None, None) => return Err(Refusal::bad("the request names neither an image nor a session")),
    };
    if let Some(file) = parts.remove("file") {
        receive(&app, &entry, file).await?;
    }
    let (ending, follow) = (params.result_extension.clone().unwrap_or_else(|| ".nrrd".to_owned()), app.follow);
    let ending = [".nrrd", ".nii.gz", ".nii"].into_iter().find(|known| *known == ending);
    let ending = ending.ok_or_else(|| Refusal::bad("results are .nrrd, .nii.gz or .nii"))?;
    let file = app
        .store
        .with(&entry, move |slot, watch| {
            let work = slot.work()?;
            work.reset()?;
            work.interact(watch, false, |step| click(step, &params, follow))?;
            written(work, ending, watch)
        })
        .await?;
    let params = json!({"label_names": {"object": 1}, "latencies": {}});
    Ok(match asked.output.as_deref() {
        Some("json") => Json(json!({"params": params})).into_response(),
        Some("image") => ([(header::CONTENT_TYPE, "application/octet-stream")], file).into_response(),
        Some("all") | None => both(&params, &format!("label{ending}"), &file)?,
        Some(other) => return Err(Refusal::bad(format!("the output {other:.30} cannot be made here"))),
    })
}

type Places = BTreeMap<usize, Vec<[i64; 2]>>;

/// Clicks by slice.
fn by_slice(step: &Step<'_>, clicks: &[[f64; 3]]) -> Answer<Places> {
    if clicks.len() > CLICKS {
        return Err(Refusal::bad(format!("more than {CLICKS} clicks")));
    }
    let mut places = Places::new();
    for click in clicks {
        let [column, row, slice] = click.map(|at| if at.is_finite() { at.round() as i64 } else { -1 });
        let [frame, ..] = step.check([slice, row, column])?;
        places.entry(frame).or_default().push([column, row]);
    }
    Ok(places)
}

/// All clicks, slice by slice: first where the object is, then where it is not.
fn click(step: &mut Step<'_>, params: &Params, follow: super::settings::Follow) -> Answer<()> {
    let inside = by_slice(step, &[&params.foreground[..], &params.object[..]].concat())?;
    let outside = by_slice(step, &params.background)?;
    if inside.is_empty() {
        return Err(Refusal::bad("click on the object first"));
    }
    let frames: BTreeSet<usize> = outside.keys().copied().filter(|frame| !inside.contains_key(frame)).collect();
    for frame in inside.keys().copied().chain(frames) {
        let of = |places: &Places| places.get(&frame).cloned().unwrap_or_default();
        let (on, off) = (of(&inside), of(&outside));
        if on.is_empty() && !step.has(OBJECT, frame) {
            continue; // there is nothing to take away
        }
        let labels = [vec![1; on.len()], vec![0; off.len()]].concat();
        let points = on.into_iter().chain(off).flatten().map(|at| at as f64).collect();
        step.prompt(&Prompt { frame: frame as i64, object: OBJECT, points, labels, ..Prompt::default() })?;
        step.follow(frame, follow)?;
    }
    Ok(())
}

/// The labels as a file of this ending, in the geometry of the image.
fn written(work: &Work, ending: &str, watch: &mut Watch) -> Answer<Vec<u8>> {
    let folder = tempfile::Builder::new().prefix("sam-octa2-").tempdir()?;
    let path = folder.path().join(format!("label{ending}"));
    work.session().labels(watch)?.write(&super::text(&path)?, None, watch)?;
    Ok(std::fs::read(&path)?)
}

/// A form of two parts, as MONAI Label answers.
fn both(params: &Value, name: &str, file: &[u8]) -> Answer<Response> {
    let boundary = format!("sam-octa2-{}", random_id()?);
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"params\"\r\nContent-Type: application/json\r\n\r\n{params}\r\n--{boundary}\r\n\
         Content-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    let body = [head.as_bytes(), file, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
    Ok(([(header::CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))], body).into_response())
}
