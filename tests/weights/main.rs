//! Configurations, checkpoints and devices: what comes before the model.

#![allow(clippy::unwrap_used)] // helpers outside of the test functions

mod catalogue;
mod config;
mod device;
mod hostile;
mod load;
mod read;

use std::path::PathBuf;

/// A file of `tests/data/weights`.
fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/weights").join(name)
}
