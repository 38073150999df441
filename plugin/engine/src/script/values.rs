//! What scripts give to native functions, checked on the way in, and plain values on the way out.
//!
//! An error names the function and the argument, what was expected and what was given: `click: x: expected a number, got "a"`.

use super::errors::{self, Failure};
use rhai::{Array, Dynamic, EvalAltResult, FLOAT, FnPtr, INT, Map, NativeCallContext};
use sam_octa2_core::{did_you_mean, progress};
use serde::Serialize;

/// What native functions return to the engine.
pub type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// What is not tied to a place in the script yet.
pub type Checked<T> = Result<T, Failure>;

/// Runs the body of a native function; its error gets the place of the call, and so does a stop.
pub fn native<T>(call: &NativeCallContext, body: impl FnOnce() -> Checked<T>) -> Fallible<T> {
    progress::stoppable(body).map_err(|failure| errors::raise(call, failure))
}

/// The error of a value that does not fit.
pub fn refused(what: &str, expected: &str, value: &Dynamic) -> Failure {
    Failure::invalid(format!("{what}: expected {expected}, got {}", shown(value)))
}

/// A value for an error text.
fn shown(value: &Dynamic) -> String {
    if value.is_unit() {
        "nothing, ()".to_owned()
    } else if value.is_string() {
        format!("the string \"{value}\"")
    } else if let Some(array) = value.read_lock::<Array>() {
        format!("a list of {}", array.len())
    } else if value.is_map() {
        "a map".to_owned()
    } else if value.is::<FnPtr>() {
        "a function".to_owned()
    } else if value.is_int() || value.is_float() || value.is_bool() {
        value.to_string()
    } else {
        let name = value.type_name().rsplit("::").next().unwrap_or_default();
        format!("a {}", name.trim_end_matches("Value"))
    }
}

/// A string.
pub fn text(what: &str, value: &Dynamic) -> Checked<String> {
    value.clone().into_string().map_err(|_| refused(what, "a string", value))
}

/// `true` or `false`.
pub fn truth(what: &str, value: &Dynamic) -> Checked<bool> {
    value.as_bool().map_err(|_| refused(what, "true or false", value))
}

/// A number, whole or not.
pub fn number(what: &str, value: &Dynamic) -> Checked<f32> {
    let number = value.as_float().or_else(|_| value.as_int().map(|number| number as FLOAT));
    number.map(|number| number as f32).map_err(|_| refused(what, "a number", value))
}

/// A number in full precision.
pub fn float64(what: &str, value: &Dynamic) -> Checked<FLOAT> {
    let number = value.as_float().or_else(|_| value.as_int().map(|number| number as FLOAT));
    number.ok().filter(|number| number.is_finite()).ok_or_else(|| refused(what, "a number", value))
}

/// A whole number from 0 on; `3.0` is one.
pub fn whole(what: &str, value: &Dynamic) -> Checked<usize> {
    let number = match value.as_float() {
        Ok(number) if number.fract() == 0.0 && number.abs() < 1e15 => Some(number as INT),
        _ => value.as_int().ok(),
    };
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| refused(what, "a whole number from 0 on", value))
}

/// The number of an object.
pub fn object(what: &str, value: &Dynamic) -> Checked<u32> {
    let number = whole(what, value).ok().filter(|number| (1..=usize::from(u16::MAX)).contains(number));
    number.map(|number| number as u32).ok_or_else(|| refused(what, "an object number, 1 to 65535", value))
}

/// A list, each element read by `item`.
pub fn list<T>(what: &str, value: &Dynamic, item: impl Fn(&str, &Dynamic) -> Checked<T>) -> Checked<Vec<T>> {
    let array = value.read_lock::<Array>().ok_or_else(|| refused(what, "a list", value))?;
    array.iter().enumerate().map(|(i, value)| item(&format!("{what}[{i}]"), value)).collect()
}

/// A list of a fixed number of numbers, described by `expected`.
pub fn numbers<const N: usize>(what: &str, expected: &str, value: &Dynamic) -> Checked<[f32; N]> {
    let numbers = list(what, value, number).map_err(|_| refused(what, expected, value))?;
    numbers.try_into().map_err(|_| refused(what, expected, value))
}

/// A value of one of the product's types; `name` is what scripts call it.
pub fn typed<T: Clone + Send + Sync + 'static>(what: &str, name: &str, value: &Dynamic) -> Checked<T> {
    value.clone().try_cast::<T>().ok_or_else(|| refused(what, &format!("a {name}"), value))
}

/// A whole number for a script.
pub fn int(number: impl TryInto<INT>) -> INT {
    number.try_into().unwrap_or(INT::MAX)
}

/// A list of whole numbers for a script.
pub fn ints<T: TryInto<INT>>(numbers: impl IntoIterator<Item = T>) -> Array {
    numbers.into_iter().map(|number| Dynamic::from_int(int(number))).collect()
}

/// A number for a script, as short as its precision allows: `0.1` rather than `0.10000000149011612`.
pub fn float(number: f32) -> Dynamic {
    Dynamic::from_float(number.to_string().parse().unwrap_or_else(|_| number.into()))
}

/// A report as a map.
pub fn to_map(report: &impl Serialize) -> Checked<Map> {
    let reply = rhai::serde::to_dynamic(report).map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(reply.try_cast().unwrap_or_default())
}

/// The map with which a call is refined: `#{object: 2, positive: false}`. An entry with the value `()` counts as not given.
pub struct Options {
    function: &'static str,
    values: Map,
}

impl Options {
    /// Checks the keys.
    pub fn new(function: &'static str, values: &Dynamic, known: &[&str]) -> Checked<Self> {
        let map = values.read_lock::<Map>();
        let example = format!("a map of options such as #{{{}: ...}}", known.first().copied().unwrap_or_default());
        let mut values = map.ok_or_else(|| refused(&format!("{function}: options"), &example, values))?.clone();
        if let Some(key) = values.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Failure::invalid(unknown(function, key, known)));
        }
        values.retain(|_, value| !value.is_unit());
        Ok(Self { function, values })
    }

    /// The value of a key, if it was given.
    pub fn get<T>(&self, key: &str, read: impl FnOnce(&str, &Dynamic) -> Checked<T>) -> Checked<Option<T>> {
        let value = self.values.get(key);
        value.map(|value| read(&format!("{}: option `{key}`", self.function), value)).transpose()
    }

    /// The value of a key that is text with a meaning of its own.
    pub fn parsed<T: std::str::FromStr<Err = sam_octa2_core::Error>>(&self, key: &str) -> Checked<Option<T>> {
        let value = self.get(key, text)?.map(|text| text.parse::<T>()).transpose();
        value.map_err(|error| Failure::invalid(format!("{}: option `{key}`: {error}", self.function)))
    }
}

/// What to say about an unknown key.
pub fn unknown(function: &str, key: &str, known: &[&str]) -> String {
    let hint = did_you_mean(key, known.iter().copied());
    format!("{function}: unknown option `{key}`{hint} (options: {})", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T>(checked: Checked<T>) -> String {
        checked.err().map(|failure| failure.message).unwrap_or_default()
    }

    #[test]
    fn numbers_come_whole_or_not() {
        assert_eq!(number("x", &Dynamic::from_int(3)).ok(), Some(3.0));
        assert_eq!(number("x", &Dynamic::from_float(2.5)).ok(), Some(2.5));
        assert_eq!(whole("x", &Dynamic::from_float(3.0)).ok(), Some(3));
        assert_eq!(message(number("x", &"a".into())), "x: expected a number, got the string \"a\"");
        assert_eq!(message(whole("x", &Dynamic::from_float(2.5))), "x: expected a whole number from 0 on, got 2.5");
        assert_eq!(message(whole("x", &Dynamic::from_int(-1))), "x: expected a whole number from 0 on, got -1");
        assert_eq!(message(object("x", &Dynamic::from_int(0))), "x: expected an object number, 1 to 65535, got 0");
    }

    #[test]
    fn lists_say_which_element_is_wrong() {
        let value = Dynamic::from_array(vec![Dynamic::from_int(1), "b".into()]);
        assert_eq!(message(list("x", &value, number)), "x[1]: expected a number, got the string \"b\"");
        assert_eq!(message(numbers::<4>("x", "four", &value)), "x: expected four, got a list of 2");
    }

    #[test]
    fn an_unknown_key_names_the_nearest_right_one() {
        let wrong = |key: &str| {
            let map = Map::from([(key.into(), Dynamic::TRUE)]);
            message(Options::new("click", &Dynamic::from_map(map), &["object", "positive"]))
        };
        assert_eq!(
            wrong("positiv"),
            "click: unknown option `positiv`; did you mean `positive`? (options: object, positive)"
        );
        assert_eq!(
            wrong("obejct"),
            "click: unknown option `obejct`; did you mean `object`? (options: object, positive)"
        );
        assert_eq!(wrong("colour"), "click: unknown option `colour` (options: object, positive)");
        assert_eq!(wrong("object"), "");
    }

    #[test]
    fn floats_are_short() {
        assert_eq!(float(0.1).to_string(), "0.1");
        assert_eq!(float(f32::MIN).as_float().map(|number| number as f32), Ok(f32::MIN));
    }
}
