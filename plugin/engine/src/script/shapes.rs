//! What is in the maps that the product returns. A signature says it (`-> Map #{frame, object, iou}`); the maps carry a mark, so that a property
//! which they do not have is an error with the nearest name, and not `()`. Maps that a script makes itself have no mark.
//!
//! The mark is the tag of the values in a map, which Rhai copies along with them: a map is the product's if it has a tagged value and all keys
//! that its shape wants. A map that a script put together from some of these values is its own.

use super::errors::{Failure, thrown};
use super::rewrite;
use rhai::{Array, Dynamic, Engine, EvalAltResult, Map, Position, Target};
use sam_octa2_core::did_you_mean;
use std::sync::{Arc, PoisonError, RwLock};

/// What a value is, as far as signatures say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// anything
    Any,
    /// one of the product's types, by its name
    Type(String),
    /// a map with these properties
    Record(Arc<Record>),
    /// a list of such values
    List(Box<Kind>),
    /// a map whose properties only the value itself says, `#{..}`
    Open,
}

/// The properties of a map.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// what returns it, for errors
    pub of: String,
    /// in the order in which they are documented
    pub fields: Vec<Field>,
}

/// One property.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// its name
    pub name: String,
    /// what it holds
    pub kind: Kind,
    /// is it absent where there is nothing to say? Reading it gives `()` then
    pub optional: bool,
}

/// Every shape that was met, one each; the mark is the place in this list.
static KNOWN: RwLock<Vec<Arc<Record>>> = RwLock::new(Vec::new());

/// Marks begin here; scripts that use tags of their own use small ones.
const FIRST: i32 = 0x5a00_0000;

impl Kind {
    /// Reads `#{name, name?: kind}`, `[kind]`, or the name of a type.
    pub fn parse(text: &str, of: &str) -> Self {
        let text = text.trim();
        let within = |open: &str, close: char| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        if let Some(inside) = within("#{", '}') {
            if inside.trim() == ".." {
                return Self::Open;
            }
            let fields = super::library::split(inside).iter().map(|field| Field::parse(field, of)).collect();
            return Self::Record(Arc::new(Record { of: of.to_owned(), fields }));
        }
        if let Some(inside) = within("[", ']') {
            return Self::List(Box::new(Self::parse(inside, of)));
        }
        match super::library::TYPES.contains(&text) {
            true => Self::Type(text.to_owned()),
            false => Self::Any,
        }
    }

    /// Is there a map in it?
    pub fn has_records(&self) -> bool {
        match self {
            Self::Record(_) | Self::Open => true,
            Self::List(of) => of.has_records(),
            Self::Any | Self::Type(_) => false,
        }
    }

    /// Marks the maps in a value that is about to be given to a script.
    pub fn mark(&self, value: &mut Dynamic, of: &str) {
        match self {
            Self::Record(record) => {
                let mark = mark_of(record);
                let Some(mut map) = value.write_lock::<Map>() else { return };
                for (name, value) in map.iter_mut() {
                    value.set_tag(mark);
                    if let Some(field) = record.field(name) {
                        field.kind.mark(value, of);
                    }
                }
            }
            Self::List(kind) if kind.has_records() => {
                let Some(mut array) = value.write_lock::<Array>() else { return };
                array.iter_mut().for_each(|value| kind.mark(value, of));
            }
            Self::Open => mark_by_itself(value, of),
            Self::List(_) | Self::Any | Self::Type(_) => {}
        }
    }
}

impl Field {
    fn parse(text: &str, of: &str) -> Self {
        let (name, kind) = match text.split_once(':') {
            Some((name, kind)) => (name.trim(), Kind::parse(kind, of)),
            None => (text.trim(), Kind::Any),
        };
        Self { name: name.trim_end_matches('?').to_owned(), kind, optional: name.ends_with('?') }
    }
}

impl Record {
    /// A property by its name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// What to say about a property that is not there.
    pub fn no_property(&self, name: &str) -> String {
        let names: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        let hint = did_you_mean(name, names.iter().copied());
        format!("there is no property `{name}` in what `{}` gives{hint} (properties: {})", self.of, names.join(", "))
    }
}

/// A map and the maps in it, whose shapes nobody wrote down.
fn mark_by_itself(value: &mut Dynamic, of: &str) {
    if let Some(mut array) = value.write_lock::<Array>() {
        array.iter_mut().filter(|value| value.is_map() || value.is_array()).for_each(|value| mark_by_itself(value, of));
        return;
    }
    let Some(mut map) = value.write_lock::<Map>() else { return };
    let field = |name: &str| Field { name: name.to_owned(), kind: Kind::Any, optional: false };
    let record = Record { of: of.to_owned(), fields: map.keys().map(|name| field(name)).collect() };
    let mark = mark_of(&Arc::new(record));
    for value in map.values_mut() {
        value.set_tag(mark);
        mark_by_itself(value, of);
    }
}

fn mark_of(record: &Arc<Record>) -> i32 {
    let at = |known: &[Arc<Record>]| known.iter().position(|other| Arc::ptr_eq(other, record) || other == record);
    let found = at(&KNOWN.read().unwrap_or_else(PoisonError::into_inner));
    let place = found.unwrap_or_else(|| {
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        at(&known).unwrap_or_else(|| {
            known.push(record.clone());
            known.len() - 1
        })
    });
    FIRST.saturating_add(i32::try_from(place).unwrap_or(i32::MAX))
}

/// The shape of a map, if it is the product's.
fn shape_of(map: &Map) -> Option<Arc<Record>> {
    let marked = map.values().map(Dynamic::tag).find(|&tag| tag >= FIRST)?;
    let place = usize::try_from(marked - FIRST).ok()?;
    let record = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(place)?.clone();
    let whole = record.fields.iter().all(|field| field.optional || map.contains_key(field.name.as_str()));
    whole.then_some(record)
}

/// Makes reading an unknown property of the product's maps an error.
pub fn register(engine: &mut Engine) {
    #[allow(deprecated, reason = "its note says that it is not deprecated, but may change")]
    engine.on_map_missing_property(|map, name, _| missing(map, name));
}

fn missing<'a>(map: &'a mut Map, name: &str) -> Result<Target<'a>, Box<EvalAltResult>> {
    if let Some(name) = rewrite::assigned(name) {
        return map.entry(name.into()).or_insert(Dynamic::UNIT).try_into();
    }
    match shape_of(map) {
        Some(record) if record.field(name).is_none() => {
            let failure = Failure { code: "unknown_property", message: record.no_property(name) };
            Err(thrown(failure, Position::NONE))
        }
        _ => Ok(Dynamic::UNIT.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Map {
        let kind = Kind::parse("#{iou, frame, later?, parts: [#{id}]}", "click");
        let part = Map::from([("id".into(), Dynamic::from_int(1))]);
        let parts = Dynamic::from_array(vec![Dynamic::from_map(part)]);
        let entries =
            [("iou".into(), Dynamic::from_float(0.5)), ("frame".into(), Dynamic::from_int(3)), ("parts".into(), parts)];
        let mut value = Dynamic::from_map(Map::from(entries));
        kind.mark(&mut value, "click");
        value.cast()
    }

    fn said(map: &mut Map, name: &str) -> String {
        match missing(map, name).err().map(|error| *error) {
            Some(EvalAltResult::ErrorRuntime(failure, _)) => failure.cast::<Failure>().message,
            _ => String::new(),
        }
    }

    #[test]
    fn unknown_properties_of_marked_maps_are_errors() {
        let mut map = answer();
        assert!(said(&mut map, "iuo").contains("did you mean `iou`"), "{}", said(&mut map, "iuo"));
        assert_eq!(said(&mut map, "later"), "", "it is known, and absent");
        let mut parts = map["parts"].clone().into_array().unwrap();
        assert!(said(&mut parts[0].write_lock::<Map>().unwrap(), "area").contains("properties: id"));
        map.insert("mine".into(), Dynamic::UNIT);
        assert!(!said(&mut map, "iuo").is_empty(), "what a script adds does not change that");
    }

    #[test]
    fn maps_of_the_script_are_its_own() {
        let answer = answer();
        let mut own = Map::from([("iou".into(), answer["iou"].clone())]);
        assert_eq!(said(&mut own, "iuo"), "");
        let mut cut = answer.clone();
        cut.remove("frame");
        assert_eq!(said(&mut cut, "iuo"), "");
    }
}
