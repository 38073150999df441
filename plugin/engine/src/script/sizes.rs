//! Limits on strings, lists and maps. Rhai counts a whole list each time something is pushed to it, so that 80 000 strings would take 18 seconds; its
//! own limits are off. Here a value is looked at when a variable with it is used: its own length always, what is inside it (more may be hidden in lists in
//! lists) if that is little, and else as often as costs no more than a share of the script's time. A value grows by copies of itself, which cost more
//! than a look at it, so that no script gets far between two looks.

use super::Limits;
use super::values::Fallible;
use rhai::{Array, Blob, Dynamic, Engine, EvalAltResult, FnPtr, INT, ImmutableString, Map, Position};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// values that a closure may hold, those of closures in it counted
const MOST_CAPTURED: u64 = 100_000;
/// looks at values with fewer in them are free
const LITTLE: u64 = 64;
/// the share of the time that looks may take is one in so many
const SHARE: u64 = 8;

/// Looks at values.
pub struct Sizes {
    limits: Limits,
    started: Instant,
    /// nanoseconds from the start that looks have used up
    spent: AtomicU64,
    /// nanoseconds that the last look took; of a look at little 0
    last: AtomicU64,
}

/// Something is too large: what, as [`Limits::exceeded`] knows it.
type TooLarge = &'static str;

const STRING: TooLarge = "Length of string";
const ARRAY: TooLarge = "Size of array/BLOB";
const MAP: TooLarge = "Size of object map";
const NESTING: TooLarge = "nesting";

/// What was counted in a value.
#[derive(Default)]
struct Count {
    elements: usize,
    entries: usize,
    seen: u64,
}

impl Sizes {
    /// Nothing was looked at yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, started: Instant::now(), spent: AtomicU64::new(0), last: AtomicU64::new(0) }
    }

    /// A value is used.
    pub fn look(&self, value: &Dynamic) -> Fallible<()> {
        self.checked(value).map_err(too_large)
    }

    fn checked(&self, value: &Dynamic) -> Result<(), TooLarge> {
        if value.is_int() || value.is_float() || value.is_bool() || value.is_unit() {
            return Ok(());
        }
        if let Some(text) = value.read_lock::<ImmutableString>() {
            return within(text.len(), self.limits.string_bytes, STRING);
        }
        if let Some(array) = value.read_lock::<Array>() {
            within(array.len(), self.limits.array_elements, ARRAY)?;
        } else if let Some(map) = value.read_lock::<Map>() {
            within(map.len(), self.limits.map_entries, MAP)?;
        } else if let Some(blob) = value.read_lock::<Blob>() {
            return within(blob.len(), self.limits.array_elements, ARRAY);
        } else if !value.is_fnptr() {
            return Ok(());
        }
        // a closure that holds itself doubles at each step, and whoever uses it copies it anyway
        match value.is_fnptr() || self.affordable() {
            true => self.inside(value),
            false => Ok(()),
        }
    }

    /// May there be a look that takes as long as the last one?
    fn affordable(&self) -> bool {
        let last = self.last.load(Relaxed);
        last == 0 || self.spent.load(Relaxed).saturating_add(last) < nanoseconds(self.started) / SHARE
    }

    fn inside(&self, value: &Dynamic) -> Result<(), TooLarge> {
        let (start, mut count) = (Instant::now(), Count::default());
        let result = self.count(value, self.limits.nesting, &mut count);
        if !value.is_fnptr() {
            let took = if count.seen > LITTLE { nanoseconds(start).max(1) } else { 0 };
            self.last.store(took, Relaxed);
            self.spent.fetch_add(took, Relaxed);
        }
        result
    }

    /// Counts what is in a value, of which there may be `deep` more inside one another.
    fn count(&self, value: &Dynamic, deep: usize, count: &mut Count) -> Result<(), TooLarge> {
        count.seen += 1;
        if value.is_int() || value.is_float() || value.is_bool() || value.is_unit() || value.is_string() {
            return Ok(());
        }
        if let Some(array) = value.read_lock::<Array>() {
            count.elements += array.len();
            within(count.elements, self.limits.array_elements, ARRAY)?;
            return array.iter().try_for_each(|value| self.count(value, inner(deep)?, count));
        }
        if let Some(map) = value.read_lock::<Map>() {
            count.entries += map.len();
            within(count.entries, self.limits.map_entries, MAP)?;
            return map.values().try_for_each(|value| self.count(value, inner(deep)?, count));
        }
        if let Some(blob) = value.read_lock::<Blob>() {
            count.elements += blob.len();
            return within(count.elements, self.limits.array_elements, ARRAY);
        }
        match value.read_lock::<FnPtr>() {
            Some(_) if count.seen > MOST_CAPTURED => Err(NESTING),
            Some(closure) => closure.iter_curry().try_for_each(|value| self.count(value, inner(deep)?, count)),
            None => Ok(()),
        }
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn inner(deep: usize) -> Result<usize, TooLarge> {
    deep.checked_sub(1).ok_or(NESTING)
}

fn within(size: usize, most: usize, what: TooLarge) -> Result<(), TooLarge> {
    if most > 0 && size > most { Err(what) } else { Ok(()) }
}

fn too_large(what: TooLarge) -> Box<EvalAltResult> {
    EvalAltResult::ErrorDataTooLarge(what.to_owned(), Position::NONE).into()
}

/// Functions of Rhai's own that make much out of little, with a look at the limit before the work.
pub fn register(engine: &mut Engine, limits: Limits) {
    let (strings, elements) = (limits.string_bytes, limits.array_elements);
    engine
        .register_fn("replace", move |text: &mut ImmutableString, find: &str, other: &str| {
            replace(strings, text, find, other)
        })
        .register_fn("replace", move |text: &mut ImmutableString, find: char, other: &str| {
            replace(strings, text, find.encode_utf8(&mut [0; 4]), other)
        })
        .register_fn("pad", move |text: &mut ImmutableString, length: INT, with: &str| {
            pad_text(strings, text, length, with)
        })
        .register_fn("pad", move |text: &mut ImmutableString, length: INT, with: char| {
            pad_text(strings, text, length, with.encode_utf8(&mut [0; 4]))
        })
        .register_fn("pad", move |array: &mut Array, length: INT, item: Dynamic| pad(elements, array, length, item))
        .register_fn("pad", move |blob: &mut Blob, length: INT, byte: INT| pad(elements, blob, length, byte as u8))
        .register_fn("blob", move |length: INT| -> Fallible<Blob> { blob(elements, length, 0) })
        .register_fn("blob", move |length: INT, byte: INT| -> Fallible<Blob> { blob(elements, length, byte as u8) });
}

fn replace(most: usize, text: &mut ImmutableString, find: &str, other: &str) -> Fallible<()> {
    let places = text.matches(find).count();
    let more = places.saturating_mul(other.len().saturating_sub(find.len()));
    within(text.len().saturating_add(more), most, STRING).map_err(too_large)?;
    if !text.is_empty() {
        *text = text.replace(find, other).into();
    }
    Ok(())
}

/// At least so many letters.
fn pad_text(most: usize, text: &mut ImmutableString, length: INT, with: &str) -> Fallible<()> {
    let (length, now) = (usize::try_from(length).unwrap_or(0), text.chars().count());
    within(length, most, STRING).map_err(too_large)?;
    if length > now && !with.is_empty() {
        let more: String = with.chars().cycle().take(length - now).collect();
        within(text.len() + more.len(), most, STRING).map_err(too_large)?;
        *text = format!("{text}{more}").into();
    }
    Ok(())
}

/// At least so many elements.
fn pad<T: Clone>(most: usize, list: &mut Vec<T>, length: INT, item: T) -> Fallible<()> {
    let length = usize::try_from(length).unwrap_or(0);
    within(length, most, ARRAY).map_err(too_large)?;
    if length > list.len() {
        list.resize(length, item);
    }
    Ok(())
}

fn blob(most: usize, length: INT, byte: u8) -> Fallible<Blob> {
    let mut blob = Blob::new();
    pad(most, &mut blob, length, byte)?;
    Ok(blob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_lists_are_counted() {
        let sizes = Sizes::new(Limits { array_elements: 100, ..Limits::default() });
        let list = |n: usize| Dynamic::from_array(vec![Dynamic::from_int(1); n]);
        assert_eq!(sizes.checked(&list(100)), Ok(()));
        assert_eq!(sizes.checked(&list(101)), Err(ARRAY));
        let nested = Dynamic::from_array(vec![list(30), list(30), list(40)]);
        let afresh = Sizes::new(Limits { array_elements: 100, ..Limits::default() });
        assert_eq!(afresh.checked(&nested), Err(ARRAY));
    }

    #[test]
    fn looks_take_their_share_of_the_time_and_no_more() {
        let sizes = Sizes::new(Limits::default());
        let list = Dynamic::from_array(vec![Dynamic::UNIT; 50_000]);
        sizes.look(&list).unwrap();
        let first = sizes.spent.load(Relaxed);
        assert!(first > 0);
        for _ in 0..10_000 {
            let before = sizes.spent.load(Relaxed);
            sizes.look(&list).unwrap();
            // it was afforded before it began, however long it then took
            assert!(before == sizes.spent.load(Relaxed) || before < nanoseconds(sizes.started) / SHARE);
        }
    }
}
