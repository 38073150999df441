//! SAM-OCTA2 on libtorch: everything that computes. Knows neither the plugin's ABI nor the script language.
//!
//! `bytes -> io -> Volume -> Session(prompts, memory) -> Labels -> io -> bytes`; `model` never sees `io`. What needs no libtorch lies in
//! `sam_octa2_volumes` and is handed on.

pub mod device;
pub mod features;
pub mod guard;
pub mod job;
pub mod loader;
pub mod model;
pub mod session;
pub mod sparse;
pub mod train;
pub mod weights;

pub use sam_octa2_volumes::{
    Error, Result, classical, clicks, did_you_mean, error, intensity, io, measure, phantom, picture, progress, prompts,
    propose, regions, review, system, vessels, volume, with_voxels,
};
