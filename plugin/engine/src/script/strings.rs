//! Functions of Rhai's own that make much out of little, here with a look at the limit before the work.

use super::values::Fallible;
use rhai::{Engine, EvalAltResult, ImmutableString, NativeCallContext};

/// Puts them in the place of the standard package's.
pub fn register(engine: &mut Engine) {
    engine
        .register_fn("replace", |call: NativeCallContext, text: &mut ImmutableString, find: &str, other: &str| {
            replace(&call, text, find, other)
        })
        .register_fn("replace", |call: NativeCallContext, text: &mut ImmutableString, find: char, other: &str| {
            replace(&call, text, find.encode_utf8(&mut [0; 4]), other)
        });
}

fn replace(call: &NativeCallContext, text: &mut ImmutableString, find: &str, other: &str) -> Fallible<()> {
    let places = text.matches(find).count();
    let more = places.saturating_mul(other.len().saturating_sub(find.len()));
    let most = call.engine().max_string_size();
    if most > 0 && text.len().saturating_add(more) > most {
        return Err(EvalAltResult::ErrorDataTooLarge("Length of string".to_owned(), call.call_position()).into());
    }
    if !text.is_empty() {
        *text = text.replace(find, other).into();
    }
    Ok(())
}
