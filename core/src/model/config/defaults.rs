//! Values of keys that a configuration leaves out, as the upstream constructors have them.

use serde::{Deserialize, Deserializer};

pub(super) fn int<const N: i64>() -> i64 {
    N
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn one() -> f64 {
    1.
}

pub(super) fn millionth() -> f64 {
    1e-6
}

pub(super) fn ten_thousand() -> f64 {
    10_000.
}

pub(super) fn strides() -> Vec<i64> {
    vec![4, 8, 16, 32]
}

pub(super) fn feat_sizes() -> [i64; 2] {
    [64, 64]
}

/// For keys that upstream's files set to null.
pub(super) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
