//! `propagate` in scripts: the core follows the objects, a closure of the script hears of every slice and may stop it.

use super::Context;
use super::captured;
use super::engine::HostRef;
use super::library::Library;
use super::session::{SessionValue, numbers_of};
use super::shapes::Kind;
use super::values::{Checked, Fallible, Options, int, list, native, number, object, refused, whole};
use crate::convert::ToHost;
use rhai::{Array, Dynamic, FnPtr, INT, Map, NativeCallContext};
use sam_octa2_core::Error;
use sam_octa2_core::progress::{Flow, Observer};
use sam_octa2_core::session::{Range, SliceResult};

/// What the closure receives.
macro_rules! slice {
    () => {
        "#{frame, done, total, objects: [#{id, iou, score, area}]}"
    };
}

/// Makes `propagate` known to scripts.
pub fn register(library: &mut Library<'_>, context: &Context) {
    let host = context.host;
    library
        .function(
            concat!("propagate(session: Session, options?: #{direction, start, max_frames, objects, patience, threshold}, closure?: FnPtr(", slice!(), ")) -> int"),
            "Follows objects through the stack; returns the number of slices done. `direction`: `forward` `backward` `both`; `start`: a \
             slice, otherwise each object's own; `max_frames`: slices beyond the start; `objects`: which ones, otherwise all that are not locked; \
             `patience`: an object that was gone on so many slices in a row is followed no further, up to its next prompted slice (`notices` says \
             where it was lost); `threshold`: the presence score up to which it counts as gone. The closure receives every slice; `false` stops and keeps what is done.",
            "session.propagate(#{direction: \"both\", max_frames: 2}, |slice| slice.done < 10)",
            move |call: NativeCallContext,
                  session: &mut SessionValue,
                  options: Dynamic,
                  each: FnPtr|
                  -> Fallible<INT> { run(&call, host, session, Some(&options), Some(&each)) },
        )
        .also(
            "propagate",
            move |call: NativeCallContext, session: &mut SessionValue, given: Dynamic| -> Fallible<INT> {
                match given.clone().try_cast::<FnPtr>() {
                    Some(each) => run(&call, host, session, None, Some(&each)),
                    None => run(&call, host, session, Some(&given), None),
                }
            },
        )
        .also("propagate", move |call: NativeCallContext, session: &mut SessionValue| -> Fallible<INT> {
            run(&call, host, session, None, None)
        });
}

/// Returns the number of slices done. A closure that returns `false` ends the work, and so does one that fails; the host's cancel ends
/// the script.
fn run(
    call: &NativeCallContext,
    host: HostRef,
    session: &SessionValue,
    options: Option<&Dynamic>,
    each: Option<&FnPtr>,
) -> Fallible<INT> {
    let range = native(call, || options.map_or(Ok(Range::default()), range))?;
    let mut session = native(call, || session.lock())?;
    let (mut done, mut stopped) = (0, None);
    let result = session.propagate(range, |slice| {
        done = slice.done;
        ToHost(host.calls()).step("propagate", slice.done, slice.total)?;
        let Some(each) = each else { return Ok(Flow::Continue) };
        match each.call_within_context::<Dynamic>(call, (slice_map(&slice)?,)) {
            Ok(answer) if answer.as_bool() != Ok(false) => return Ok(Flow::Continue),
            Ok(_) => stopped = Some(Ok(())),
            Err(error) => stopped = Some(Err(error)),
        }
        Ok(Flow::Cancel)
    });
    match (stopped, result) {
        (Some(Err(error)), _) => Err(captured::explained(error, None)),
        (Some(Ok(())), Err(Error::Cancelled)) => Ok(int(done)),
        (_, result) => native(call, || Ok(result?)).map(|()| int(done)),
    }
}

fn range(options: &Dynamic) -> Checked<Range> {
    let options =
        Options::new("propagate", options, &["direction", "start", "max_frames", "objects", "patience", "threshold"])?;
    Ok(Range {
        direction: options.parsed("direction")?.unwrap_or_default(),
        start: options.get("start", whole)?,
        max_frames: options.get("max_frames", whole)?,
        objects: chosen(&options)?,
        patience: options.get("patience", whole)?,
        threshold: options.get("threshold", number)?,
    })
}

/// The objects that are named; an empty list is a mistake.
fn chosen(options: &Options) -> Checked<Vec<u32>> {
    let named = options.get("objects", |what, ids| match list(what, ids, object)? {
        named if named.is_empty() => Err(refused(what, "a list of objects", ids)),
        named => Ok(named),
    })?;
    Ok(named.unwrap_or_default())
}

fn slice_map(slice: &SliceResult) -> Result<Dynamic, Error> {
    let objects = slice.masks.iter().map(|mask| {
        let mut object = numbers_of(mask)?;
        object.insert("id".into(), int(mask.object).into());
        Ok(Dynamic::from_map(object))
    });
    let objects = objects.collect::<Result<Array, Error>>()?;
    let mut reply = Dynamic::from_map(Map::from([
        ("frame".into(), int(slice.frame).into()),
        ("done".into(), int(slice.done).into()),
        ("total".into(), int(slice.total).into()),
        ("objects".into(), objects.into()),
    ]));
    Kind::parse(slice!(), "a slice").mark(&mut reply, "a slice");
    Ok(reply)
}
