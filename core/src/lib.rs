//! SAM-OCTA2 on libtorch: everything that computes. Knows neither the plugin's ABI nor the script language.
//!
//! `bytes -> io -> Volume -> Session(prompts, memory) -> Labels -> io -> bytes`; `model` never sees `io`, `io` never sees `tch`.

pub mod device;
pub mod error;
pub mod guard;
pub mod intensity;
pub mod io;
pub mod job;
pub mod loader;
pub mod measure;
pub mod model;
pub mod picture;
pub mod progress;
pub mod prompts;
pub mod session;
pub mod train;
pub mod volume;
pub mod weights;

pub use error::{Error, Result};
