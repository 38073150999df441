//! Stacks of slices without libtorch: formats, geometry, measures, pictures. Everything here also runs where libtorch is missing.
//!
//! `bytes -> io -> Volume -> io -> bytes`, `Volume + Labels -> measure -> numbers`, `Volume + Labels -> picture -> PNG, GIF`.
//! `sam_octa2_core` hands these modules on and adds the model.

pub mod classical;
pub mod clicks;
pub mod error;
pub mod intensity;
pub mod io;
pub mod job;
pub mod measure;
pub mod phantom;
pub mod picture;
pub mod progress;
pub mod prompts;
pub mod propose;
pub mod regions;
pub mod review;
pub mod system;
pub mod vessels;
pub mod volume;

pub use error::{Error, Result, did_you_mean};
