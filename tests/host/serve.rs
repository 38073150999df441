//! `serve`: the built host behind its protocols, asked by an HTTP client as viewers ask it. Masks are compared with those of `segment`.

use crate::util::Host;
use base64ct::{Base64, Encoding};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

const SHAPE: [usize; 3] = [12, 256, 256];
/// slice, row, column of a click on the demo's volume
const CLICK: [usize; 3] = [6, 126, 131];

fn data(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name).display().to_string()
}

/// A server of the small model; it ends with this.
struct Server {
    child: Child,
    address: String,
    agent: ureq::Agent,
    host: Host,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer: status, body.
type Answer = (u16, Vec<u8>);

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let host = Host::new();
        let weights = data("../../sam2_weights/nano.safetensors");
        let mut all = vec!["serve", "--model", &weights, "--port", "0", "--device", "cpu", "--precision", "f32"];
        all.extend_from_slice(arguments);
        let mut command = host.command(&all);
        let mut child = command.env_remove("SAM_OCTA2_TOKEN").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.split_whitespace().find(|word| word.starts_with("http://")).expect("it says where it listens");
        let address = address.split('?').next().unwrap().trim_end_matches('/').to_owned();
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(570)));
        Self { child, address, agent: config.build().into(), host }
    }

    fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
        let mut answer = answer.unwrap();
        (answer.status().as_u16(), answer.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap())
    }

    fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.agent.get(format!("{}{path}", self.address));
        Self::read(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).call())
    }

    fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.address));
        Self::read(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send(body))
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body.to_string().as_bytes())
    }

    /// A form of two parts, as curl sends it.
    fn form(&self, path: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
        let mut body = Vec::new();
        for (name, file, bytes) in parts {
            let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
            body.extend_from_slice(
                format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").as_bytes(),
            );
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--cut--\r\n");
        let headers = [("Content-Type", "multipart/form-data; boundary=cut"), ("Content-Encoding", "gzip")];
        let headers = if parts.iter().any(|(name, ..)| *name == "metadata") { &headers[..1] } else { &headers[..] };
        self.post_with(path, headers, &body)
    }
}

fn json_of((status, body): Answer) -> Value {
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// It failed with this status and one sentence.
fn refused((status, body): Answer, expected: u16, text: &str) {
    let body = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(status, expected, "{body}");
    assert!(body.contains(text) && !body.trim().contains('\n'), "no `{text}` in {body}");
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

/// The demo's voxels as a file of numpy's, and as float32.
fn voxels(host: &Host) -> (Vec<u8>, Vec<u8>) {
    host.run(&["convert", &data("demo/volume.nii.gz"), "volume.npy"]).ok();
    let file = std::fs::read(host.path("volume.npy")).unwrap();
    let count: usize = SHAPE.iter().product();
    let plain = &file[file.len() - count..];
    let floats = plain.iter().flat_map(|&value| f32::from(value).to_le_bytes()).collect();
    (file, floats)
}

/// The mask that `segment` gives for a click, followed to one slice on each side.
fn expected(host: &Host) -> Vec<u8> {
    let [frame, row, column] = CLICK;
    let prompts = json!({
        "objects": [{"id": 1, "prompts": [{"frame": frame, "points": [[column, row]], "labels": [1]}]}],
        "direction": "both", "start": frame, "max_frames": 1,
    });
    host.file("click.json", prompts.to_string());
    let weights = data("../../sam2_weights/nano.safetensors");
    let arguments =
        ["segment", &data("demo/volume.nii.gz"), "--model", &weights, "--prompts", "click.json", "--out", "labels.npy"];
    host.run(&[&arguments[..], &["--device", "cpu", "--precision", "f32"]].concat()).ok();
    let mask = drawn(&std::fs::read(host.path("labels.npy")).unwrap());
    assert!(mask.contains(&1) && mask.contains(&0), "a click that finds something");
    mask
}

/// Where the labels of a file of numpy's are not 0.
fn drawn(file: &[u8]) -> Vec<u8> {
    let count: usize = SHAPE.iter().product();
    let size = (file.len() - 1) / count; // the head is shorter than the values
    let values = file[file.len() - count * size..].chunks_exact(size);
    values.map(|value| u8::from(value.iter().any(|&byte| byte != 0))).collect()
}

fn metadata(dimensions: [usize; 3]) -> Vec<u8> {
    json!({
        "dimensions": dimensions, "spacing": [0.01, 0.01, 0.02], "origin": [0, 0, 0], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1],
        "components_per_pixel": 1, "component_type": "float32",
    })
    .to_string()
    .into_bytes()
}

fn sent(server: &Server, path: &str, floats: &[u8], dimensions: [usize; 3]) -> Answer {
    let parts = [("file", Some("image.gz"), &packed(floats)[..]), ("metadata", None, &metadata(dimensions)[..])];
    server.form(path, &parts)
}

/// ITK-SNAP's answer, which must have every voxel.
fn snap_mask(answer: Answer) -> Vec<u8> {
    let answer = json_of(answer);
    assert_eq!(answer["status"], "success");
    let mask = unpacked(&Base64::decode_vec(answer["result"].as_str().unwrap()).unwrap());
    assert_eq!(mask.len(), SHAPE.iter().product::<usize>());
    mask
}

#[test]
fn itk_snap_clicks_draws_and_resets() {
    let server = Server::start(&["--follow", "1"]);
    let (_, floats) = voxels(&server.host);
    let expected = expected(&server.host);
    let version = json_of(server.get("/status"))["version"].as_str().unwrap().to_owned();
    assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "ITK-SNAP reads whole numbers: {version}");
    assert_eq!(json_of(server.get("/v2/models"))["models"][0]["id"], "nano");
    let session = json_of(server.get("/v2/start_session/nano"))["session_id"].as_str().unwrap().to_owned();
    json_of(sent(&server, &format!("/upload_raw/{session}?filename=upload.nii.gz"), &floats, [256, 256, 12]));

    let [z, y, x] = CLICK;
    let click = format!("/process_point_interaction/{session}?x={x}&y={y}&z={z}&foreground=true");
    assert!(snap_mask(server.get(&click)) == expected, "the mask is not that of `segment`");
    json_of(server.get(&format!("/reset_interactions/{session}")));
    let click = format!("/v2/process_point_interaction/{session}?point={x}&point={y}&point={z}&foreground=true");
    assert!(snap_mask(server.get(&click)) == expected, "after a reset everything is as at first");
    json_of(server.get(&format!("/reset_interactions/{session}")));

    // an outline is the object on its slice
    let mut outline = vec![0f32; SHAPE.iter().product()];
    let at = |row: usize, column: usize| (6 * 256 + row) * 256 + column;
    (100..120).for_each(|row| outline[at(row, 60)..at(row, 90)].fill(1.0));
    let bytes: Vec<u8> = outline.iter().flat_map(|value| value.to_le_bytes()).collect();
    let lasso = format!("/process_lasso_interaction/{session}?foreground=true");
    let mask = snap_mask(sent(&server, &lasso, &bytes, [256, 256, 12]));
    let slice = |mask: &[u8]| mask[6 * 65536..7 * 65536].iter().filter(|&&value| value == 1).count();
    assert_eq!(slice(&mask), 600);
    assert!((100..120).all(|row| mask[at(row, 60)..at(row, 90)].iter().all(|&value| value == 1)));
    // and the part that is taken away is gone
    (100..120).for_each(|row| outline[at(row, 60)..at(row, 80)].fill(0.0));
    let bytes: Vec<u8> = outline.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mask = snap_mask(sent(&server, &lasso.replace("true", "false"), &bytes, [256, 256, 12]));
    assert_eq!(slice(&mask), 400);

    json_of(server.get(&format!("/reset_interactions/{session}")));
    let scribble = format!("/process_scribble_interaction/{session}?foreground=true");
    let mut stroke = vec![0u8; 4 * SHAPE.iter().product::<usize>()];
    (x - 4..x + 4).for_each(|column| stroke[4 * at(y, column) + 2..][..2].copy_from_slice(&[0x80, 0x3f]));
    let mask = snap_mask(sent(&server, &scribble, &stroke, [256, 256, 12]));
    assert!(slice(&mask) > 0, "a stroke marks something");
    json_of(server.get(&format!("/v2/end_session/{session}")));
    refused(server.get(&format!("/reset_interactions/{session}")), 404, "no such session");
}

#[test]
fn itk_snap_never_gets_a_success_that_is_none() {
    let server = Server::start(&["--follow", "0", "--max-volume", "8"]);
    let (_, floats) = voxels(&server.host);
    refused(server.get("/process_point_interaction/unknown?x=1&y=1&z=1&foreground=true"), 404, "no such session");
    refused(server.get("/v2/start_session/other"), 404, "nano only");
    let session = json_of(server.get("/start_session"))["session_id"].as_str().unwrap().to_owned();
    let click = |place: &str| server.get(&format!("/process_point_interaction/{session}?{place}"));
    refused(click("x=1&y=1&z=1&foreground=true"), 409, "no image");
    let upload = format!("/upload_raw/{session}");
    refused(sent(&server, &upload, &floats[4..], [256, 256, 12]), 400, "are expected");
    refused(sent(&server, &upload, &floats, [256, 256, 11]), 413, "more than");
    refused(sent(&server, &upload, &floats, [1 << 20, 1 << 20, 1 << 20]), 413, "larger");
    refused(sent(&server, &upload, &floats, [usize::MAX, usize::MAX, 12]), 413, "larger");
    let meta = metadata([256, 256, 12]);
    refused(server.form(&upload, &[("file", Some("image.gz"), b"no gzip"), ("metadata", None, &meta)]), 400, "gzip");
    refused(server.form(&upload, &[("metadata", None, &meta)]), 400, "no part `file`");
    refused(server.form(&upload, &[("file", Some("i"), b"x"), ("metadata", None, b"{")]), 400, "cannot be read");
    refused(server.post_with(&upload, &[], b"no form"), 400, "");
    refused(click("x=1&y=1&z=1&foreground=true"), 409, "no image");
    json_of(sent(&server, &upload, &floats, [256, 256, 12]));
    for place in
        ["x=256&y=1&z=1", "x=-1&y=1&z=1", "x=1&y=1&z=12", "x=1&y=1", "x=a&y=1&z=1", "x=1&y=1&z=1&foreground=maybe", ""]
    {
        let (status, body) = click(place);
        assert!(status == 400 || place == "x=1&y=1", "{place}: {status} {}", String::from_utf8_lossy(&body));
    }
    refused(click("x=1&y=1&z=1&foreground=false"), 400, "mark the object there first");
    let empty = vec![0; floats.len()];
    refused(
        sent(&server, &format!("/process_scribble_interaction/{session}?foreground=true"), &empty, [256, 256, 12]),
        400,
        "nothing is drawn",
    );
    refused(
        sent(&server, &format!("/process_lasso_interaction/{session}?foreground=true"), &floats, [256, 256, 12]),
        400,
        "one slice",
    );
    refused(
        sent(&server, &format!("/process_lasso_interaction/{session}?foreground=true"), &empty[..4], [1, 1, 1]),
        400,
        "mask is",
    );
    let big = vec![0u8; 4 << 20];
    refused(sent(&server, &upload, &big, [1024, 1024, 3]), 413, "larger");
    refused(server.get("/nothing/here"), 404, "does not answer");
    refused(server.get("/upload_raw/x"), 404, "does not answer");
    json_of(server.get("/status"));
}

#[test]
fn slicer_nninteractive_03_asks_and_is_answered() {
    let server = Server::start(&["--follow", "1"]);
    let (file, _) = voxels(&server.host);
    let expected = expected(&server.host);
    let point = json!({"voxel_coord": CLICK, "positive_click": true});
    let again = json_of(server.post("/add_point_interaction", &point));
    assert_eq!(again, json!({"status": "error", "message": "No image uploaded"}));
    json_of(server.form("/upload_image", &[("file", Some("volume.npy"), &file)]));

    let bits = |(status, body): Answer| -> Vec<u8> {
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let body = if body.starts_with(&[0x1f, 0x8b]) { unpacked(&body) } else { body }; // a client may have unpacked it
        body.iter().flat_map(|byte| (0..8).map(move |at| byte >> (7 - at) & 1)).collect()
    };
    assert!(bits(server.post("/add_point_interaction", &point)) == expected, "the mask is not that of `segment`");

    let head = |shape: &str| {
        let mut head = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
        head.resize(117, b' ');
        [&b"\x93NUMPY\x01\x00\x76\x00"[..], &head, b"\n"].concat()
    };
    let mut mask = vec![0; SHAPE.iter().product()];
    let packed_mask = |mask: &[u8]| packed(&[head("(12, 256, 256)"), mask.to_vec()].concat());
    json_of(server.form("/upload_segment", &[("file", Some("volume.npy.gz"), &packed_mask(&mask))]));
    let outside = json!({"voxel_coord": CLICK, "positive_click": false});
    refused(server.post("/add_point_interaction", &outside), 400, "mark the object there first");
    mask[6 * 65536 + 30 * 256..6 * 65536 + 40 * 256].fill(1);
    let lasso = [("file", Some("volume.npy.gz"), &packed_mask(&mask)[..]), ("positive_click", None, b"True")];
    let found = bits(server.form("/add_lasso_interaction", &lasso));
    assert!(found[6 * 65536..7 * 65536] == mask[6 * 65536..7 * 65536], "an outline is the object on its slice");
    json_of(server.form("/upload_segment", &[("file", Some("volume.npy.gz"), &packed_mask(&mask))]));
    let corners = json!({"outer_point_one": [6, 150, 150], "outer_point_two": [6, 110, 100], "positive_click": true});
    bits(server.post("/add_bbox_interaction", &corners));
    let corners = json!({"outer_point_one": [5, 150, 150], "outer_point_two": [6, 110, 100], "positive_click": true});
    refused(server.post("/add_bbox_interaction", &corners), 400, "one slice");
    refused(server.post_with("/add_point_interaction", &[], b"{"), 400, "cannot be read");
    refused(server.form("/upload_image", &[("file", Some("volume.npy"), &file[..file.len() - 1])]), 400, "cut off");
    let bomb = packed(&vec![0; 64 << 20]);
    json_of(server.form("/upload_image", &[("file", Some("volume.npy"), &file)]));
    refused(server.form("/upload_segment", &[("file", Some("volume.npy.gz"), &bomb)]), 413, "more than");
}

#[test]
fn other_sites_and_strangers_are_refused() {
    let server = Server::start(&[]);
    let host = server.address.trim_start_matches("http://").to_owned();
    json_of(server.get_with("/api/status", &[("Origin", &server.address)]));
    refused(server.get_with("/api/status", &[("Origin", "https://evil.example")]), 403, "another site");
    refused(server.get_with("/api/status", &[("Origin", "null")]), 403, "another site");
    refused(server.get_with("/start_session", &[("Sec-Fetch-Site", "cross-site")]), 403, "another site");
    refused(server.get_with("/start_session", &[("Host", "evil.example")]), 403, "localhost");
    json_of(server.get_with("/status", &[("Host", &host.replace("127.0.0.1", "localhost"))]));
    let (status, page) = server.get("/");
    assert!(status == 200 && page.starts_with(b"<!doctype html>"));
    for path in ["/../Cargo.toml", "/api/cases/..%2f..%2fetc", "/api/cases/%00", "/%2e%2e/%2e%2e/etc/passwd"] {
        assert_eq!(server.get(path).0, 404, "{path}");
    }
}

#[test]
fn a_token_is_needed_beyond_this_computer() {
    let ran = Host::new().run(&["serve", "--host", "0.0.0.0", "--port", "0"]);
    ran.fails_with(&["--token"]);
    Host::new().run(&["serve", "--token", "short", "--port", "0"]).fails_with(&["16 characters"]);
    Host::new().run(&["serve", "gone.nii.gz", "--port", "0"]).fails_with(&["gone.nii.gz"]);
    let token = "0123456789abcdef";
    let server = Server::start(&["--token", token]);
    for path in ["/status", "/", "/api/status", "/start_session"] {
        refused(server.get(path), 401, "token");
    }
    refused(server.get_with("/status", &[("Authorization", "Bearer 0123456789abcdeX")]), 401, "token");
    json_of(server.get_with("/status", &[("Authorization", &format!("Bearer {token}"))]));
    json_of(server.get_with("/api/status", &[("Cookie", &format!("a=b; sam_octa2_token={token}"))]));
    json_of(server.get("/healthz"));
}

#[test]
fn sessions_and_memory_are_limited() {
    let server = Server::start(&["--max-sessions", "3", "--max-memory", "1", "--follow", "0"]);
    let (_, floats) = voxels(&server.host);
    let start = || json_of(server.get("/start_session"))["session_id"].as_str().unwrap().to_owned();
    let sessions = [start(), start(), start()];
    for path in ["/start_session", "/v2/start_session/nano"] {
        refused(server.get(path), 503, "3 sessions");
    }
    refused(server.post("/claim", &json!({})), 503, "3 sessions");
    refused(sent(&server, &format!("/upload_raw/{}", sessions[0]), &floats, [256, 256, 12]), 503, "--max-memory");
    json_of(sent(&server, &format!("/upload_raw/{}", sessions[0]), &floats[..4 * 65536], [256, 256, 1]));
    json_of(server.get(&format!("/end_session/{}", sessions[2])));
    start();
}

#[test]
fn the_page_opens_marks_follows_and_saves() {
    let input = data("demo/volume.nii.gz");
    let server = Server::start(&[&input]);
    let expected = expected(&server.host);
    assert_eq!(json_of(server.get("/api/status"))["files"], json!(["volume.nii.gz"]));
    refused(server.post("/api/cases", &json!({"file": 1})), 404, "no such file");
    let case = json_of(server.post("/api/cases", &json!({"file": 0})));
    assert_eq!((&case["frames"], &case["rows"], &case["columns"]), (&json!(12), &json!(256), &json!(256)));
    let at = |rest: &str| format!("/api/cases/{}{rest}", case["id"].as_str().unwrap());
    let (status, slice) = server.get(&at("/slices/6"));
    assert_eq!((status, slice.len()), (200, 2 * 65536));
    refused(server.get(&at("/slices/12")), 400, "outside");

    let [frame, row, column] = CLICK;
    let click = |label: i32| json!({"object": 1, "frame": frame, "points": [[column, row]], "labels": [label]});
    refused(server.post(&at("/prompt"), &click(0)), 400, "mark the object there first");
    refused(server.post(&at("/prompt"), &json!({"object": 1, "frame": frame, "pionts": []})), 400, "pionts");
    let marked = json_of(server.post(&at("/prompt"), &click(1)));
    assert_eq!(
        (&marked["slice"]["frame"], &marked["undo"], &marked["objects"][0]["id"]),
        (&json!(6), &json!(1), &json!(1))
    );
    let (status, lines) = server.post(&at("/follow"), &json!({"direction": "both", "start": frame, "max_frames": 1}));
    assert_eq!(status, 200);
    let lines: Vec<Value> = lines
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!((lines.len(), &lines[3]), (4, &json!({"end": true})));
    let known = json_of(server.get(&at("")));
    let frames = known["masks"][0]["frames"].as_array().unwrap().len();
    let filled = (0..12).filter(|frame| expected[frame * 65536..(frame + 1) * 65536].contains(&1)).count();
    assert_eq!(frames, filled);

    let undone = json_of(server.post(&at("/undo"), &json!({"frame": 0})));
    assert_eq!((&undone["undo"], &undone["redo"], &undone["masks"][0]["frames"]), (&json!(1), &json!(1), &json!([6])));
    json_of(server.post(&at("/redo"), &json!({"frame": 0})));
    let (status, labels) = server.get(&at("/labels?format=npy"));
    assert_eq!(status, 200);
    assert!(drawn(&labels) == expected, "the labels are not those of `segment`");
    refused(server.get(&at("/labels?format=exe")), 400, "nii.gz");
    let (status, script) = server.get(&at("/script"));
    assert!(
        status == 200 && String::from_utf8_lossy(&script).contains("propagate"),
        "{}",
        String::from_utf8_lossy(&script)
    );

    let sent = server.post_with("/api/upload?name=..%2F..%2Fscan.nii.gz", &[], &std::fs::read(&input).unwrap());
    assert_eq!(json_of(sent)["name"], "scan.nii.gz");
    let (status, body) = server.post_with("/api/upload?name=scan.nii.gz", &[], &packed(b"no volume"));
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(status == 400 && body.contains("scan.nii") && !body.contains("/tmp"), "{status} {body}");
}

#[test]
fn many_clients_at_once_are_all_answered() {
    let server = Server::start(&["--follow", "0", "--max-sessions", "24"]);
    let (_, floats) = voxels(&server.host);
    let slice = &floats[6 * 4 * 65536..7 * 4 * 65536];
    let [_, y, x] = CLICK;
    let answers: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..24)
            .map(|_| {
                scope.spawn(|| {
                    let session = json_of(server.get("/start_session"))["session_id"].as_str().unwrap().to_owned();
                    json_of(sent(&server, &format!("/upload_raw/{session}"), slice, [256, 256, 1]));
                    let click = format!("/process_point_interaction/{session}?x={x}&y={y}&z=0&foreground=true");
                    unpacked(&Base64::decode_vec(json_of(server.get(&click))["result"].as_str().unwrap()).unwrap())
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(answers[0].len() == 65536 && answers[0].contains(&1));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "equal images and clicks, equal masks");
}
