//! The arguments of a script: what `arg("key")` and `arg("key", default)` return.

use super::errors::Failure;
use super::viewer::HostSide;
use rhai::{Array, Dynamic, FLOAT, INT};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What the host gave, and which of it the script asked for.
pub struct Arguments {
    given: Map<String, Value>,
    /// knows what `{"handle": id}` stands for
    side: Arc<HostSide>,
    read: Mutex<BTreeSet<String>>,
}

impl Arguments {
    /// Arguments that nobody has read yet.
    pub fn new(given: Map<String, Value>, side: Arc<HostSide>) -> Self {
        Self { given, side, read: Mutex::default() }
    }

    /// The value as it was given: a string if it comes from a command line.
    pub fn required(&self, key: &str) -> Result<Dynamic, Failure> {
        let missing =
            || Failure::invalid(format!("the script needs the argument `{key}` (host-demo: --set {key}=VALUE)"));
        let value = self.get(key).ok_or_else(missing)?;
        if HostSide::is_handle(value) { self.side.understood(value) } else { plain(key, value) }
    }

    /// The value in the type of `default`.
    pub fn or_default(&self, key: &str, default: Dynamic) -> Result<Dynamic, Failure> {
        match self.get(key) {
            Some(value) if HostSide::is_handle(value) => self.side.understood(value),
            Some(value) => typed(key, value, &default),
            None => Ok(default),
        }
    }

    /// What was given and not asked for: a typing error, most likely.
    pub fn unused(&self) -> Vec<String> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        self.given.keys().filter(|key| !read.contains(*key)).cloned().collect()
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
        self.given.get(key)
    }
}

fn plain(key: &str, value: &Value) -> Result<Dynamic, Failure> {
    rhai::serde::to_dynamic(value).map_err(|error| Failure::invalid(format!("argument `{key}`: {error}")))
}

/// `value` in the type of `like`.
fn typed(key: &str, value: &Value, like: &Dynamic) -> Result<Dynamic, Failure> {
    let refused =
        |wanted: &str| Failure::invalid(format!("argument `{key}`: expected {wanted}, got `{}`", shown(value)));
    let text = shown(value);
    if like.is::<INT>() {
        text.trim().parse::<INT>().map(Dynamic::from_int).map_err(|_| refused("a whole number"))
    } else if like.is::<FLOAT>() {
        text.trim().parse::<FLOAT>().map(Dynamic::from_float).map_err(|_| refused("a number"))
    } else if like.is::<bool>() {
        match text.trim() {
            "true" | "yes" | "on" | "1" => Ok(Dynamic::TRUE),
            "false" | "no" | "off" | "0" => Ok(Dynamic::FALSE),
            _ => Err(refused("true or false")),
        }
    } else if like.is_string() {
        Ok(text.into())
    } else if like.is_array() {
        elements(key, value, like).map_err(|_| refused("a list: `1,2,3` or `[1, 2, 3]`"))
    } else if like.is_map() {
        let parsed = parsed(value).filter(Value::is_object).ok_or_else(|| refused("a JSON object"))?;
        plain(key, &parsed)
    } else {
        plain(key, value)
    }
}

/// A list; each element in the type of the default's first, as it comes if the default is empty.
fn elements(key: &str, value: &Value, like: &Dynamic) -> Result<Dynamic, Failure> {
    let values = match parsed(value) {
        Some(Value::Array(values)) => values,
        _ => shown(value).split(',').map(|item| Value::from(item.trim())).collect(),
    };
    let like = like.read_lock::<Array>().and_then(|array| array.first().cloned()).unwrap_or_default();
    let elements: Result<Array, _> = values.iter().map(|value| typed(key, value, &like)).collect();
    elements.map(Dynamic::from_array)
}

/// A value that is typed as text on a command line may be JSON.
fn parsed(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn typed_as(value: Value, default: impl Into<Dynamic>) -> Result<Dynamic, String> {
        typed("key", &value, &default.into()).map_err(|failure| failure.message)
    }

    #[test]
    fn text_takes_the_type_of_the_default() {
        assert_eq!(typed_as(json!("12"), 1 as INT).unwrap().as_int(), Ok(12));
        assert_eq!(typed_as(json!("12"), 0.5).unwrap().as_float(), Ok(12.0));
        assert_eq!(typed_as(json!(3), 0.5).unwrap().as_float(), Ok(3.0));
        assert_eq!(typed_as(json!("yes"), false).unwrap().as_bool(), Ok(true));
        assert_eq!(typed_as(json!(7), "x").unwrap().into_string(), Ok("7".to_owned()));
    }

    #[test]
    fn lists_come_as_commas_or_json() {
        let default = || Dynamic::from_array(vec![Dynamic::from_int(0)]);
        for value in [json!("4, 5"), json!("[4, 5]"), json!([4, 5])] {
            let array = typed_as(value, default()).unwrap().into_typed_array::<INT>().unwrap();
            assert_eq!(array, [4, 5]);
        }
        assert!(typed_as(json!("4,x"), default()).unwrap_err().contains("expected a list"));
    }

    #[test]
    fn a_value_of_another_type_is_refused_with_both_named() {
        assert_eq!(typed_as(json!("abc"), 1 as INT).unwrap_err(), "argument `key`: expected a whole number, got `abc`");
        assert!(typed_as(json!("1.5"), 1 as INT).is_err());
        assert!(typed_as(json!("maybe"), true).is_err());
    }

    #[test]
    fn what_was_not_read_is_known() {
        let arguments = Arguments::new(json!({"a": "1", "b": "2"}).as_object().unwrap().clone(), Arc::default());
        assert!(arguments.required("c").unwrap_err().message.contains("--set c=VALUE"));
        assert!(arguments.required("a").is_ok());
        assert_eq!(arguments.unused(), ["b"]);
    }
}
