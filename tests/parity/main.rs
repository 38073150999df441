//! The port against the Python reference (PyPI `sam2` 1.1.0; EfficientTAM's and EdgeTAM's own code), block by block and session by session.
//!
//! `tests/data/parity` holds the fixtures that every checkout runs; `../shared/parity` (or `SAM_OCTA2_PARITY`) holds the full set, which is
//! skipped with a message where it is absent. `SAM_OCTA2_TEST_DEVICE=cuda:0` runs everything on a GPU.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers outside of the test functions

mod fixture;
mod image;
mod known;
mod measure;
mod official;
mod prompted_unet;
#[path = "../root.rs"]
mod root;
mod swin;
mod tam;
mod training;
mod units;
mod video;
