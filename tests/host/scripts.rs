//! Scripts that segment: the verbs of a session, and how their errors look. Small model, random weights: what is checked is what must hold for
//! any weights. The scripts in `scripts/`: `gallery`.

use crate::util::{Host, Ran};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines 1 and 2 of every script below.
const HEAD: &str = r#"let volume = open_volume(arg("input"), #{crop: "0,0,256,250"}); let model = load_model(arg("model"), #{config: arg("config")});
let session = new_session(volume, model);
"#;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// `--set` for the demo volume and the small model.
pub fn demo() -> Vec<String> {
    let data = root().join("tests/data");
    let set = |key: &str, path: &str| ["--set".to_owned(), format!("{key}={}", data.join(path).display())];
    let sets =
        [set("input", "demo/volume.nii.gz"), set("model", "parity/mini21.pt"), set("config", "parity/mini21.yaml")];
    sets.concat()
}

/// Runs a script after [`HEAD`].
pub fn run(host: &Host, source: &str) -> Ran {
    let demo = demo();
    host.script(&format!("{HEAD}{source}"), &demo.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The last value of a script after [`HEAD`].
pub fn value(source: &str) -> Value {
    let demo = demo();
    let arguments: Vec<&str> = demo.iter().map(String::as_str).chain(["--json"]).collect();
    let report: Value = serde_json::from_str(&Host::new().script(&format!("{HEAD}{source}"), &arguments).ok()).unwrap();
    report["result"].clone()
}

/// Runs a script of the gallery in a folder of its own.
pub fn gallery(name: &str, more: &[&str]) -> (Host, String) {
    let host = Host::new();
    let script = root().join("scripts").join(name).display().to_string();
    let demo = demo();
    let arguments: Vec<&str> = ["run", &script].into_iter().chain(demo.iter().map(String::as_str)).collect();
    let stdout = host.run(&[&arguments, more].concat()).ok();
    (host, stdout)
}

pub fn info(host: &Host, path: &str) -> Value {
    serde_json::from_str(&host.run(&["info", path, "--json"]).ok()).unwrap()
}

#[test]
fn volumes_and_models_describe_themselves() {
    let result = value(
        "let model = load_model(arg(\"model\"), #{config: arg(\"config\"), precision: \"f32\"});
         [volume.frames, volume.rows, volume.columns, volume.channels, volume.dtype, volume.format, volume.shape, volume.range.len(),
          volume.spacing.len(), volume.info().contains(\"12 x 250 x 256\"), volume.to_string(), model.device, model.precision,
          model.image_size, models()[0].name, session.to_string(), type_of(session)]",
    );
    assert_eq!(
        result,
        json!([
            12,
            250,
            256,
            1,
            "uint8",
            "nifti",
            [12, 250, 256],
            2,
            3,
            true,
            "Volume(nifti, 12 x 250 x 256, uint8)",
            "cpu",
            "f32",
            256,
            "nano",
            "Session(12 slices, objects [])",
            "Session"
        ])
    );
}

#[test]
fn a_saved_volume_keeps_its_shape_and_the_input_is_safe() {
    let host = Host::new();
    run(&host, "volume.save(\"small.nii.gz\")").ok();
    assert_eq!(info(&host, "small.nii.gz")["shape"], json!([12, 250, 256]));
    run(&host, "volume.save(arg(\"input\"))").fails_with(&["test.rhai:3:8", "would overwrite the input"]);
}

#[test]
fn every_kind_of_prompt_answers_with_its_mask() {
    let result = value(
        r#"
        let clicked = session.click(3, 20, 12.5);
        let refined = session.click(3, 40, 30, #{object: 1, positive: false});
        let points = session.points(1, 2, [[10, 10], [50.5, 40]], [1, 0]);
        let boxed = session.box(2, 3, [105, 100, 157, 152]);
        let drawn = session.labels();
        let masked = session.mask(2, 4, { let other = new_session(volume, model); other.box(2, 4, [105, 100, 157, 152]); other.labels() });
        #{objects: session.objects, frames: [1, 2, 3, 4].map(|object| session.frames_of(object)),
          areas: clicked.area == refined.area, ids: [clicked.object, points.object, boxed.object, masked.object],
          slices: [refined.frame, points.frame, boxed.frame], iou: clicked.iou >= 0.0 && clicked.iou <= 1.0,
          score: type_of(clicked.score), drawn: drawn.area(2, 3) == boxed.area, shapes: [clicked.area, boxed.area, masked.area]}
        "#,
    );
    assert_eq!(result["objects"], json!([1, 2, 3, 4]));
    assert_eq!(result["frames"], json!([[3], [1], [2], [2]]));
    assert_eq!(result["ids"], json!([1, 2, 3, 4]));
    assert_eq!(result["slices"], json!([3, 1, 2]));
    assert_eq!((&result["areas"], &result["iou"], &result["score"]), (&json!(false), &json!(true), &json!("f64")));
    assert_eq!(result["drawn"], json!(true));
    let area = |i: usize| result["shapes"][i].as_f64().unwrap();
    assert!(
        (area(1) - area(2)).abs() < 0.3 * area(1) && area(0) * area(1) > 0.0,
        "a drawn mask is the answer: {result}"
    );
}

#[test]
fn undo_clear_remove_reset() {
    let result = value(
        r#"
        let log = [];
        let one = session.click(3, 20, 12);
        let two = session.click(3, 40, 30, #{positive: false});
        log.push(session.remove_prompt(3, 1) == one && one != two && one.area > 0);
        session.propagate(#{max_frames: 1});
        let tracked = session.labels().area(4, 1);
        session.click(4, 50, 40, #{positive: false});
        session.clear(4, 1);
        log.push(session.labels().area(4, 1) == tracked && tracked > 0);
        log.push(session.remove_prompt(3, 1) == ());
        session.click(5, 10, 10, #{object: 2});
        session.remove(2);
        log.push(session.objects == [1]);
        session.reset();
        log.push(session.objects == [] && session.labels().objects == []);
        log
        "#,
    );
    assert_eq!(result, json!([true, true, true, true, true]));
}

#[test]
fn a_closure_hears_every_slice_and_may_stop() {
    let result = value(
        r#"
        session.click(6, 20, 12);
        let heard = [];
        let all = session.propagate(#{direction: "both", max_frames: 2}, |slice| heard.push(slice));
        let stopped = session.propagate(#{direction: "backward", start: 6}, |slice| slice.done < 3);
        #{all: all, stopped: stopped, frames: heard.map(|slice| slice.frame), last: heard[heard.len() - 1].keys(),
          object: heard[0].objects[0], area: session.labels().area(6, 1), on: session.frames_of(1)}
        "#,
    );
    assert_eq!(result["frames"], json!([6, 7, 8, 5, 4]));
    assert_eq!((&result["all"], &result["stopped"]), (&json!(5), &json!(3)));
    assert_eq!(result["last"], json!(["done", "frame", "objects", "total"]));
    assert_eq!((&result["object"]["id"], &result["object"]["area"]), (&json!(1), &result["area"]));
    assert_ne!(result["area"], json!(0));
    assert_eq!(result["on"], json!([4, 5, 6, 7, 8]));
}

#[test]
fn prompt_files_give_prompts_and_the_range() {
    let host = Host::new();
    host.file(
        "p.json",
        r#"{"objects": [{"id": 5, "prompts": [{"frame": 2, "points": [[9, 9]]}]}], "direction": "both", "max_frames": 1}"#,
    );
    let stdout = run(
        &host,
        "let range = session.prompts(\"p.json\"); print(range); print(session.propagate(range)); print(session.frames_of(5))",
    );
    assert_eq!(stdout.ok(), "#{\"direction\": \"both\", \"max_frames\": 1, \"start\": ()}\n3\n[1, 2, 3]\n");
    host.file("p.json", r#"{"objects": [{"id": 5, "prompts": [{"frame": 2, "points": [[9, 999]]}]}]}"#);
    run(&host, "session.prompts(\"p.json\")")
        .fails_with(&["test.rhai:3:9", "p.json: object 5, slice 2: point (9, 999)"]);
}

#[test]
fn overlays_are_drawn_with_and_without_a_session() {
    let host = Host::new();
    run(
        &host,
        "session.click(0, 20, 12); session.overlay(\"a.png\"); let labels = session.labels();
         overlay(\"b.png\", volume, labels, session); overlay(\"c.png\", volume, labels);",
    )
    .ok();
    let read = |name: &str| fs::read(host.path(name)).unwrap();
    assert_eq!(read("a.png"), read("b.png"));
    assert_ne!(read("a.png"), read("c.png"), "the marks are missing");
    run(&host, "session.overlay(\"a.jpg\")").fails_with(&["test.rhai:3:9", ".png", ".gif"]);
}

#[test]
fn errors_say_where_and_what_was_expected() {
    let host = Host::new();
    let cases: [(&str, &[&str]); 14] = [
        (
            "session.click(0, 1, 1, #{positiv: false})",
            &["test.rhai:3:9", "click: unknown option `positiv`; did you mean `positive`?"],
        ),
        (
            "session.click(0, 1, 1, #{positive: 3})",
            &["test.rhai:3:9", "option `positive`: expected true or false, got 3"],
        ),
        ("\n  load_model(\"nonesuch\")", &["test.rhai:4:3", "nonesuch", "2.1-tiny"]),
        ("load_model(\"tiny\", #{device: \"gpu\"})", &["test.rhai:3:1", "option `device`", "cuda:N"]),
        ("session.click(0, 1000, 1)", &["test.rhai:3:9", "point (1000, 1) lies outside", "256 wide and 250 high"]),
        ("session.click(12, 1, 1)", &["test.rhai:3:9", "slice 12 does not exist", "0 to 11"]),
        ("session.click(\"a\", 1, 1)", &["test.rhai:3:9", "click: frame: expected a whole number", "the string \"a\""]),
        ("session.points(0, 1, [[1, 2], [3]])", &["test.rhai:3:9", "points[1]: expected a position [x, y]"]),
        ("session.points(0, 1, [[1, 2]], [1, 0])", &["test.rhai:3:9", "1 points but 2 labels"]),
        ("session.box(0, 0, [1, 1, 5, 5])", &["test.rhai:3:9", "box: object", "1 to 65535, got 0"]),
        ("session.mask(0, 1, \"gone.png\")", &["test.rhai:3:9", "gone.png: No such file"]),
        ("open_volume(\"gone.nii\")", &["test.rhai:3:1", "gone.nii: No such file"]),
        ("session.propagate(#{direction: \"up\"})", &["test.rhai:3:9", "forward, backward, both"]),
        ("new_session(model, volume)", &["test.rhai:3:1", "volume: expected a Volume, got a Model"]),
    ];
    for (source, texts) in cases {
        run(&host, source).fails_with(texts);
    }
}

#[test]
fn a_session_is_busy_inside_its_own_closure() {
    let host = Host::new();
    let busy = "the session is busy";
    run(&host, "session.click(0, 1, 1);\nsession.propagate(|slice| session.click(1, 2, 2))")
        .fails_with(&["test.rhai:4:27", busy]);
    run(&host, "session.click(0, 1, 1); let same = session;\nsession.propagate(|slice| {\n  same.click(1, 2, 2) })")
        .fails_with(&["test.rhai:5:8", busy]);
    let stdout = run(
        &host,
        "session.click(0, 1, 1); let same = session;
         try { session.propagate(|slice| same.objects) } catch (error) { print(error.code) }
         print(session.propagate(#{max_frames: 2}))",
    );
    assert_eq!(stdout.ok(), "busy\n3\n", "usable afterwards");
}

#[test]
fn an_error_inside_the_closure_keeps_its_place() {
    let host = Host::new();
    run(&host, "session.click(0, 1, 1);\nsession.propagate(|slice| {\n  throw \"enough\"\n})")
        .fails_with(&["test.rhai:5:3", "enough"]);
    run(&host, "session.click(0, 1, 1); session.propagate(|a, b| a)")
        .fails_with(&["test.rhai:3:", "the closure takes"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_a_propagation() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let host = Host::new();
    host.file("test.rhai", format!("{HEAD}session.click(0, 9, 9); print(\"ready\"); loop {{ session.propagate() }}"));
    let demo = demo();
    let arguments: Vec<&str> = ["run", "test.rhai"].into_iter().chain(demo.iter().map(String::as_str)).collect();
    let mut child = host.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "ready\n");
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap().success());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:#?}");
}

/// What is mistyped, or of another volume, is not left out silently.
#[test]
fn options_that_nobody_knows_are_refused() {
    for (source, part) in [
        ("export_checkpoint(#{model: arg(\"model\"), adaptor: \"a.safetensors\"}, \"m.pt\")", "`adaptor`"),
        (
            "fine_tune(#{model: #{model: arg(\"model\"), config: arg(\"config\")}, data: #{phantoms: #{}}, output: \"o\"})",
            "unknown key `model.config`",
        ),
        ("volume.classical(3, \"otsu\", [[9, 9]], #{labels: [2]})", "1 (on the object) or 0 (beside it)"),
        ("volume.threshold(0, 255).propose(#{frames: [12]})", "12"),
        ("volume.threshold(0, 255).propose(#{positive: 9000000000})", "1000 points are the most"),
        ("volume.threshold(0, 255).project().resized(9000000000, 9000000000)", "32768 are the most"),
        ("session.save_probabilities(\"p.tif\")", "p.tif: probabilities are written as .nii or .nii.gz"),
        ("volume.threshold(0, 255).review(#{seen: [#{frame: 12, objects: []}]})", "slice 12 was seen"),
    ] {
        let ran = run(&Host::new(), source);
        assert!(ran.code == Some(1) && ran.stderr.contains(part), "{source}: {ran:#?}");
    }
}
