//! Models judged in scripts: the clicks that stand for a person's, methods without a model that get the same clicks, overlap alone.

use super::labels::LabelsValue;
use super::library::Library;
use super::proposals::parsed;
use super::values::{Checked, Fallible, Options, int, ints, list, native, number, object, refused, text, typed, whole};
use super::volume::VolumeValue;
use rhai::{Array, Dynamic, FLOAT, Map, NativeCallContext};
use sam_octa2_core::classical;
use sam_octa2_core::clicks::{self, Click};
use sam_octa2_core::measure;

/// Makes them known to scripts.
pub fn register(library: &mut Library<'_>) {
    library
        .section("Judging", "What `scripts/evaluate.rhai` judges models with.")
        .function(
            "clicks(labels: Labels, frame: int, object: int, count: int) -> Array",
            "Where a person would click on an object: `[[x, y], ...]`, first the pixel farthest from all that is outside, then those of its middle \
             line that are farthest from the ones before. Fewer where the object has fewer pixels.",
            "volume.threshold(0, 255).clicks(3, 1, 2).len()",
            clicked,
        )
        .function(
            "correction(labels: Labels, truth: Labels, frame: int, object: int) -> Map #{point, label}",
            "The click that corrects most, `point` `[x, y]` and `label`: in the middle of the deepest error, 1 where something is missing, 0 where it is \
             too much; `()` where the two agree.",
            "session.labels().correction(volume.threshold(120, 255), 3, 1)",
            correction,
        )
        .function(
            "classical(volume: Volume, frame: int, method: String, points: Array, options?: #{labels, sigma, tolerance, scales, beta, reach}) -> \
             Labels",
            "Object 1 on a slice by clicks, without a model: `\"region_growing\"` (within `tolerance` [0.5 standard deviations] of the clicked \
             values), `\"otsu\"`, `\"frangi\"` (vesselness at `scales` [1, 2, 3], then Otsu), of which the parts at the clicks stay; `\"random_walker\"` \
             (Grady 2006; `beta` [90]; what is farther than `reach` pixels from the clicks is background, a quarter of the shorter side). `labels`: 1 \
             or 0 (beside it) for each point; `sigma`: of the Gaussian before all but Frangi's [1].",
            "volume.classical(3, \"random_walker\", [[120, 80], [9, 9]], #{labels: [1, 0]}).area(3, 1)",
            |call: NativeCallContext,
             volume: &mut VolumeValue,
             frame: Dynamic,
             method: Dynamic,
             points: Dynamic,
             options: Dynamic|
             -> Fallible<LabelsValue> { native(&call, || classical(volume, &frame, &method, &points, options)) },
        )
        .also(
            "classical",
            |call: NativeCallContext,
             volume: &mut VolumeValue,
             frame: Dynamic,
             method: Dynamic,
             points: Dynamic|
             -> Fallible<LabelsValue> {
                native(&call, || classical(volume, &frame, &method, &points, Map::new().into()))
            },
        )
        .function(
            "dice(labels: Labels, truth: Labels, options?: #{object, frame}) -> float",
            "Dice of all objects together or of one, on all slices or on one: `compare` without its distances.",
            "labels.dice(labels, #{object: 1, frame: 3})",
            |call: NativeCallContext, labels: &mut LabelsValue, truth: Dynamic, options: Dynamic| -> Fallible<FLOAT> {
                native(&call, || dice(labels, &truth, &options))
            },
        )
        .also("dice", |call: NativeCallContext, labels: &mut LabelsValue, truth: Dynamic| -> Fallible<FLOAT> {
            native(&call, || dice(labels, &truth, &Map::new().into()))
        });
}

fn clicked(
    call: NativeCallContext,
    labels: &mut LabelsValue,
    frame: Dynamic,
    id: Dynamic,
    count: Dynamic,
) -> Fallible<Array> {
    native(&call, || {
        let (frame, id) = (whole("clicks: frame", &frame)?, object("clicks: object", &id)? as u16);
        let found = clicks::clicks(&labels.labels, frame, id, whole("clicks: count", &count)?)?;
        Ok(found.iter().map(|click| Dynamic::from_array(position(click))).collect())
    })
}

fn correction(
    call: NativeCallContext,
    labels: &mut LabelsValue,
    truth: Dynamic,
    frame: Dynamic,
    id: Dynamic,
) -> Fallible<Dynamic> {
    native(&call, || {
        let truth: LabelsValue = typed("correction: truth", "Labels", &truth)?;
        let (frame, id) = (whole("correction: frame", &frame)?, object("correction: object", &id)? as u16);
        let click = clicks::correction(&labels.labels, &truth.labels, frame, id)?;
        let map = |click: Click| {
            let label = Dynamic::from_int(int(u8::from(click.positive)));
            Dynamic::from_map(Map::from([("point".into(), position(&click).into()), ("label".into(), label)]))
        };
        Ok(click.map_or(Dynamic::UNIT, map))
    })
}

/// `[x, y]`
fn position(click: &Click) -> Array {
    ints([click.column, click.row])
}

fn classical(
    volume: &VolumeValue,
    frame: &Dynamic,
    method: &Dynamic,
    points: &Dynamic,
    options: Dynamic,
) -> Checked<LabelsValue> {
    let mut rest = options
        .read_lock::<Map>()
        .map(|map| map.clone())
        .ok_or_else(|| refused("classical: options", "a map of options such as #{labels: ...}", &options))?;
    let labels = rest.remove("labels").filter(|labels| !labels.is_unit());
    rest.retain(|_, value| !value.is_unit());
    let points = list("classical: points", points, pixel)?;
    let signs = match labels {
        Some(labels) => list("classical: option `labels`", &labels, sign)?,
        None => vec![true; points.len()],
    };
    if signs.len() != points.len() {
        let text = format!("classical: {} points but {} labels", points.len(), signs.len());
        return Err(super::errors::Failure::invalid(text));
    }
    let clicks: Vec<Click> =
        points.into_iter().zip(signs).map(|([column, row], positive)| Click { row, column, positive }).collect();
    let (frame, method) = (whole("classical: frame", frame)?, text("classical: method", method)?.parse()?);
    let options = parsed("classical: options", rest.into())?;
    let labels = classical::segment_frame(&volume.volume, frame, method, &clicks, &options)?;
    Ok(LabelsValue::new(labels, volume.clone()))
}

/// On the object (1) or beside it (0).
fn sign(what: &str, label: &Dynamic) -> Checked<bool> {
    match whole(what, label)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(refused(what, "1 (on the object) or 0 (beside it)", label)),
    }
}

/// `[x, y]`, of which the pixel counts.
fn pixel(what: &str, point: &Dynamic) -> Checked<[usize; 2]> {
    let wrong = || refused(what, "a position [x, y] from 0 on", point);
    let at = list(what, point, number).map_err(|_| wrong())?;
    match at[..] {
        // a whole number is the centre of a pixel
        [x, y] if x >= -0.5 && y >= -0.5 => Ok([x, y].map(|at| at.round().max(0.0) as usize)),
        _ => Err(wrong()),
    }
}

fn dice(labels: &LabelsValue, truth: &Dynamic, options: &Dynamic) -> Checked<FLOAT> {
    let truth: LabelsValue = typed("dice: truth", "Labels", truth)?;
    let options = Options::new("dice", options, &["object", "frame"])?;
    let (id, frame) = (options.get("object", object)?.map(|id| id as u16), options.get("frame", whole)?);
    Ok(measure::dice_labels(&labels.labels, &truth.labels, id, frame)?)
}
