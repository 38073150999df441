//! What hosts say in JSON. A key that nobody knows is refused, and the nearest one named: what a host asks for in vain must not look done.

use crate::c::Checked;
use crate::convert;
use sam_octa2_abi::PluginError;
use sam_octa2_volumes::job::{explained, unknown_key};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// JSON as what it should be; `what` names it in errors.
pub fn read<T: DeserializeOwned + Serialize>(what: &str, text: &str) -> Checked<T> {
    let request: T = serde_json::from_str(text).map_err(|error| refused(what, &explained(&error.to_string())))?;
    let asked: Value = serde_json::from_str(text).map_err(|error| refused(what, &error.to_string()))?;
    unknown_key(&asked, &request).map_or(Ok(request), |why| Err(refused(what, &why)))
}

/// The error; of an unknown key, its detail has `key` and `nearest`.
pub fn refused(what: &str, why: &str) -> PluginError {
    let named = |before: &str| why.split(before).nth(1).and_then(|rest| rest.split('`').next());
    let error = convert::invalid(format!("{what}: {why}"));
    match (named("unknown key `"), named("did you mean `")) {
        (Some(key), Some(nearest)) => error.with_detail(json!({"key": key, "nearest": nearest}).to_string()),
        (Some(key), None) => error.with_detail(json!({"key": key}).to_string()),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Serialize, Deserialize, Default)]
    #[serde(deny_unknown_fields)]
    struct Roots {
        #[serde(default)]
        read: Option<Vec<String>>,
        #[serde(default)]
        write: Option<Vec<String>>,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Request {
        #[serde(flatten)]
        place: Place,
        #[serde(default)]
        roots: Roots,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Place {
        #[serde(default)]
        device: Option<String>,
    }

    #[test]
    fn a_key_that_nobody_knows_is_named_with_the_nearest() {
        let read = |text: &str| read::<Request>("`request`", text);
        read(r#"{"device": "cpu", "roots": {"read": ["a"]}}"#).unwrap();
        for (text, message, detail) in [
            (r#"{"devise": "cpu"}"#, "`request`: unknown key `devise`; did you mean `device`?", ("devise", "device")),
            (
                r#"{"roots": {"reed": []}}"#,
                "`request`: unknown key `reed`; did you mean `read`? (there are",
                ("reed", "read"),
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.code == "invalid_argument" && error.message.starts_with(message), "{error}");
            let reply: Value = serde_json::from_str(&error.detail_json).unwrap();
            assert_eq!(reply, json!({"key": detail.0, "nearest": detail.1}));
        }
        let far = read(r#"{"zzzzzzzzzzz": 1}"#).unwrap_err();
        assert_eq!(far.detail_json, r#"{"key":"zzzzzzzzzzz"}"#);
        assert!(read(r#"{"device": 3}"#).unwrap_err().message.contains("expected a string"));
    }
}
