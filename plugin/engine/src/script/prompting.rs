//! Prompts in scripts: clicks, boxes, masks, files of prompts. Each function reads its arguments and calls the core.

use super::Context;
use super::engine::HostRef;
use super::errors::Failure;
use super::files::Files;
use super::labels::LabelsValue;
use super::library::Library;
use super::mask::MaskValue;
use super::session::{SessionValue, answer, numbers_of};
use super::values::{Checked, Fallible, Options, int, list, native, number, numbers, object, refused, truth, whole};
use crate::convert::ToHost;
use rhai::{Array, Dynamic, Map, NativeCallContext};
use sam_octa2_core::io::Rle;
use sam_octa2_core::job;
use sam_octa2_core::session::{Marks, Mask, ObjectMask, Point, Preview};
use std::path::PathBuf;

/// Makes them known to scripts, in the section that is open.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let (host, files) = (context.host, context.files.clone());
    library
        .function(
            "click(session: Session, frame: int, x: float, y: float, options?: #{object, positive}) -> Map #{frame, object, iou, score, area}",
            "A click on object 1, or another one; `positive: false` for a click beside it.",
            "session.click(3, 9, 9, #{object: 2, positive: false})",
            click_with,
        )
        .also("click", click)
        .function(
            "points(session: Session, frame: int, object: int, points: Array, labels?: Array) -> Map #{frame, object, iou, score, area}",
            "Several clicks at once, with 1 (on the object) or 0 (beside it) for each.",
            "session.points(3, 1, [[120, 80], [9, 9]], [1, 0])",
            points_with,
        )
        .also("points", points)
        .function(
            "box(session: Session, frame: int, object: int, corners: Array) -> Map #{frame, object, iou, score, area}",
            "`[left, top, right, bottom]` in pixels.",
            "session.box(3, 1, [10, 10, 60, 90])",
            bounds,
        )
        .function(
            "mask(session: Session, frame: int, object: int, mask: String|Labels|Mask|Map) -> Map #{frame, object, iou, score, area}",
            "A drawn mask: a picture file (what is not black), labels (the object on that slice), the mask of another slice \
             (`session.mask(4, 1, session.mask_of(3, 1))`: slice 3's mask as prompt of slice 4), or COCO run lengths `#{size: [rows, columns], counts}`.",
            "session.mask(3, 1, session.labels())",
            mask,
        )
        .function(
            "prompt(session: Session, frame: int, object: int, marks: #{points, labels, box, mask, replace, line, width, outside, polygon, choice}) -> Map #{frame, object, iou, score, area}",
            "Any mixture at once, as in a prompt file; `replace: true` forgets the earlier points and box of the slice; `line`, `width`, \
             `outside`: a scribble; `polygon`: corners; `choice`: which of the model's masks of a click is the answer, 1 to 3 (`preview`).",
            "session.prompt(3, 1, #{points: [[120, 80]], labels: [1], box: [10, 10, 160, 90]})",
            mixture,
        )
        .function(
            "scribble(session: Session, frame: int, object: int, line: Array, options?: #{width, outside}) -> Map #{frame, object, iou, score, area}",
            "A stroke along the object, or (`outside: true`) beside it: its places, and how wide it was drawn in pixels (3). It becomes clicks.",
            "session.scribble(3, 1, [[100, 80], [120, 80]], #{width: 4})",
            scribble_with,
        )
        .also("scribble", scribble)
        .function(
            "polygon(session: Session, frame: int, object: int, corners: Array) -> Map #{frame, object, iou, score, area}",
            "An outline as a drawn mask; with a click or a box beside it (`prompt`) the model starts from it.",
            "session.polygon(3, 1, [[100, 60], [140, 60], [120, 90]])",
            polygon,
        )
        .function(
            "preview(session: Session, frame: int, object: int, marks: #{points, labels, box, mask, replace, line, width, outside, polygon, choice}) -> Map #{frame, object, iou, score, area, mask: Mask, alternatives: [#{choice, iou, score, area, mask: Mask}]}",
            "What `prompt` would answer, and the masks to choose from (none where the model has one mask for a prompt). Nothing is changed, and \
             nothing is to be undone.",
            "session.preview(3, 1, #{points: [[120, 80]]}).alternatives.len()",
            preview,
        )
        .function(
            "prompts(session: Session, prompts: String|Map) -> Map #{direction, start, max_frames}",
            "Everything in a prompt file, or in a map of the same form (`labels.propose()`); returns what it wants of `propagate`.",
            "session.propagate(session.prompts(arg(\"prompts\")))",
            move |call: NativeCallContext, session: &mut SessionValue, path: Dynamic| -> Fallible<Map> {
                native(&call, || prompts(host, &files, session, &path))
            },
        );
}

fn click(call: NativeCallContext, session: &mut SessionValue, frame: Dynamic, x: Dynamic, y: Dynamic) -> Fallible<Map> {
    click_with(call, session, frame, x, y, Dynamic::from_map(Map::new()))
}

fn click_with(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    x: Dynamic,
    y: Dynamic,
    options: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let options = Options::new("click", &options, &["object", "positive"])?;
        let object = options.get("object", object)?.unwrap_or(1);
        let positive = options.get("positive", truth)?.unwrap_or(true);
        let point = Point { x: number("click: x", &x)?, y: number("click: y", &y)?, positive };
        prompt(session, "click", &frame, object, Marks { points: vec![point], ..Marks::default() })
    })
}

fn points(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    points: Dynamic,
) -> Fallible<Map> {
    points_with(call, session, frame, id, points, Dynamic::from_array(Array::new()))
}

fn points_with(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    points: Dynamic,
    labels: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let (points, labels) = (positions("points: points", &points)?, signs("points: labels", &labels)?);
        let marks = Marks { points: Point::pairs(&points, &labels)?, ..Marks::default() };
        prompt(session, "points", &frame, object("points: object", &id)?, marks)
    })
}

fn bounds(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    corners: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let bounds = corners_of("box: corners", &corners)?;
        let marks = Marks { bounds: Some(bounds), ..Marks::default() };
        prompt(session, "box", &frame, object("box: object", &id)?, marks)
    })
}

fn mask(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    mask: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let id = object("mask: object", &id)?;
        let mask = drawn(session, "mask: picture file, labels, mask or run lengths", &frame, id, &mask)?;
        prompt(session, "mask", &frame, id, Marks { mask: Some(mask), ..Marks::default() })
    })
}

/// A picture file, run lengths, or labels of which the slice and the object are taken.
fn drawn(session: &SessionValue, what: &str, frame: &Dynamic, id: u32, mask: &Dynamic) -> Checked<Mask> {
    if let Some(labels) = mask.read_lock::<LabelsValue>() {
        let volume = &session.volume.volume;
        return Ok(Mask::of(&labels.labels, volume, whole("mask: frame", frame)?, id as u16)?);
    }
    if let Some(mask) = mask.read_lock::<MaskValue>() {
        return mask.drawn();
    }
    if mask.is_map() {
        let rle: Rle = rhai::serde::from_dynamic(mask)
            .map_err(|_| refused(what, "run lengths #{size: [rows, columns], counts}", mask))?;
        return Ok(Mask::from_rle(&rle)?);
    }
    Ok(job::read_mask(&session.volume.files.readable(what, mask)?)?)
}

fn mixture(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    marks: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let id = object("prompt: object", &id)?;
        let marks = marks_of("prompt", session, &frame, id, &marks)?;
        prompt(session, "prompt", &frame, id, marks)
    })
}

/// What a map of marks says.
fn marks_of(
    function: &'static str,
    session: &SessionValue,
    frame: &Dynamic,
    id: u32,
    marks: &Dynamic,
) -> Checked<Marks> {
    const KEYS: [&str; 10] =
        ["points", "labels", "box", "mask", "replace", "line", "width", "outside", "polygon", "choice"];
    let marks = Options::new(function, marks, &KEYS)?;
    let points = marks.get("points", positions)?.unwrap_or_default();
    let labels = marks.get("labels", signs)?.unwrap_or_default();
    let mut points = Point::pairs(&points, &labels)?;
    if let Some(line) = marks.get("line", positions)? {
        let (width, outside) = (marks.get("width", number)?, marks.get("outside", truth)?);
        points.extend(Point::scribble(&line, width.unwrap_or(WIDTH), !outside.unwrap_or(false))?);
    }
    let drawn = marks.get("mask", |what, mask| drawn(session, what, frame, id, mask))?;
    let outline = marks.get("polygon", |what, corners| filled(session, what, corners))?;
    if drawn.is_some() && outline.is_some() {
        return Err(Failure::invalid(format!("{function}: a prompt has one drawn mask: give `mask` or `polygon`")));
    }
    Ok(Marks {
        points,
        bounds: marks.get("box", corners_of)?,
        mask: drawn.or(outline),
        replace: marks.get("replace", truth)?.unwrap_or(false),
        choice: marks.get("choice", whole)?.map(|choice| u8::try_from(choice).unwrap_or(u8::MAX)),
    })
}

/// how wide a scribble is where nobody says
const WIDTH: f32 = 3.0;

fn filled(session: &SessionValue, what: &str, corners: &Dynamic) -> Checked<Mask> {
    let volume = &session.volume.volume;
    Ok(Mask::polygon(volume.rows, volume.columns, &positions(what, corners)?)?)
}

fn scribble(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    line: Dynamic,
) -> Fallible<Map> {
    scribble_with(call, session, frame, id, line, Dynamic::from_map(Map::new()))
}

fn scribble_with(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    line: Dynamic,
    options: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let options = Options::new("scribble", &options, &["width", "outside"])?;
        let width = options.get("width", number)?.unwrap_or(WIDTH);
        let outside = options.get("outside", truth)?.unwrap_or(false);
        let points = Point::scribble(&positions("scribble: line", &line)?, width, !outside)?;
        prompt(session, "scribble", &frame, object("scribble: object", &id)?, Marks { points, ..Marks::default() })
    })
}

fn polygon(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    corners: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let mask = Some(filled(session, "polygon: corners", &corners)?);
        prompt(session, "polygon", &frame, object("polygon: object", &id)?, Marks { mask, ..Marks::default() })
    })
}

fn preview(
    call: NativeCallContext,
    session: &mut SessionValue,
    frame: Dynamic,
    id: Dynamic,
    marks: Dynamic,
) -> Fallible<Map> {
    native(&call, || {
        let id = object("preview: object", &id)?;
        let marks = marks_of("preview", session, &frame, id, &marks)?;
        let frame = whole("preview: frame", &frame)?;
        let Preview { mask, alternatives } = session.lock()?.preview(frame, id, &marks)?;
        let shown = |mask: &ObjectMask| Ok::<_, Failure>(Dynamic::from(MaskValue::of_answer(session, frame, mask)?));
        let each = |(at, mask): (usize, &ObjectMask)| {
            let mut reply = numbers_of(mask)?;
            reply.extend([("choice".into(), int(at + 1).into()), ("mask".into(), shown(mask)?)]);
            Ok::<_, Failure>(Dynamic::from_map(reply))
        };
        let choices = alternatives.iter().enumerate().map(each).collect::<Checked<Array>>()?;
        let mut reply = answer(frame, &mask)?;
        reply.extend([("mask".into(), shown(&mask)?), ("alternatives".into(), choices.into())]);
        Ok(reply)
    })
}

fn positions(what: &str, points: &Dynamic) -> Checked<Vec<[f32; 2]>> {
    list(what, points, |what, point| numbers(what, "a position [x, y]", point))
}

fn signs(what: &str, labels: &Dynamic) -> Checked<Vec<i32>> {
    list(what, labels, |what, label| Ok(i32::try_from(whole(what, label)?).unwrap_or(-1)))
}

fn corners_of(what: &str, corners: &Dynamic) -> Checked<[f32; 4]> {
    numbers(what, "four numbers [x0, y0, x1, y1]", corners)
}

fn prompt(session: &SessionValue, function: &str, frame: &Dynamic, object: u32, marks: Marks) -> Checked<Map> {
    let frame = whole(&format!("{function}: frame"), frame)?;
    let mask = session.lock()?.prompt(frame, object, marks)?;
    answer(frame, &mask)
}

/// Returns what the file wants of `propagate`: `#{direction, start, max_frames}`.
fn prompts(host: HostRef, files: &Files, session: &SessionValue, path: &Dynamic) -> Checked<Map> {
    let (path, file) = match path.is_map() {
        true => (PathBuf::from("prompts"), super::proposals::prompt_file(files, path)?),
        false => {
            let path = files.input("prompts: path", path)?;
            let file = job::read_prompts(&path)?;
            (path, file)
        }
    };
    job::give_prompts(&mut *session.lock()?, &file, &path, &mut ToHost(host.calls()))?;
    let optional = |number: Option<usize>| number.map_or(Dynamic::UNIT, |number| int(number).into());
    Ok(Map::from([
        ("direction".into(), file.direction.to_string().into()),
        ("start".into(), optional(file.start)),
        ("max_frames".into(), optional(file.max_frames)),
    ]))
}
