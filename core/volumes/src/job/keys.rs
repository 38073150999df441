//! Keys that a request does not know. serde's own check (`deny_unknown_fields`) does not go with `flatten`, which requests share their parts by.

use crate::error::did_you_mean;
use serde::Serialize;
use serde_json::Value;

/// What to say of the first key that was asked for in vain: one that is not among those the request has when it is written as JSON again.
pub fn unknown_key(asked: &Value, request: &impl Serialize) -> Option<String> {
    in_object(asked, &serde_json::to_value(request).ok()?, "")
}

/// serde's words for an unknown key, "unknown field `x`, expected one of `a`, `b` at line 1 column 2", as those of [`unknown_key`],
/// behind the place that stands before them, if one does.
pub fn explained(error: &str) -> String {
    let Some((place, rest)) = error.split_once("unknown field `") else { return error.to_owned() };
    let mut names = rest.split('`').step_by(2);
    let key = names.next().unwrap_or_default();
    let known: Vec<&str> = rest.split('`').skip(2).step_by(2).collect();
    match known.len() {
        0 => format!("{place}unknown key `{key}`; there are none"),
        _ => {
            let near = did_you_mean(key, known.iter().copied());
            format!("{place}unknown key `{key}`{near} (there are {})", known.join(", "))
        }
    }
}

fn in_object(asked: &Value, known: &Value, place: &str) -> Option<String> {
    let (asked, known) = (asked.as_object()?, known.as_object()?);
    // null means not given, which some requests write and some leave out
    asked.iter().filter(|(_, value)| !value.is_null()).find_map(|(key, value)| match known.get(key) {
        Some(known) => in_object(value, known, &format!("{place}{key}.")),
        None => Some(format!("unknown key `{place}{key}`{}", did_you_mean(key, known.keys().map(String::as_str)))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{ConvertRequest, MeasureRequest};
    use super::*;
    use serde_json::json;

    #[test]
    fn the_place_and_the_nearest_are_named() {
        let asked = json!({"input": "a.nii", "output": "b.nii", "crop": null, "later": null});
        let request: ConvertRequest = serde_json::from_value(asked.clone()).unwrap();
        assert_eq!(unknown_key(&asked, &request), None);
        let typo = json!({"input": "a.nii", "output": "b.nii", "corp": "0,0,8,8"});
        let request: ConvertRequest = serde_json::from_value(typo.clone()).unwrap();
        assert_eq!(unknown_key(&typo, &request).unwrap(), "unknown key `corp`; did you mean `crop`?");
        let request: MeasureRequest = serde_json::from_value(json!({"labels": "a.nii"})).unwrap();
        let deep = json!({"labels": "a.nii", "write": {"xlsx": "b"}});
        assert_eq!(unknown_key(&deep, &request).unwrap(), "unknown key `write.xlsx`");
    }
}
