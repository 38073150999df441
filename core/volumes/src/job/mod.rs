//! Whole jobs on volumes as a person at a terminal asks for them: a request in, files and a report out.

mod convert;
mod info;
mod input;
mod phantom;

pub use convert::{ConvertReport, ConvertRequest, convert};
pub use info::info;
pub use input::InputRequest;
pub use phantom::{PhantomReport, PhantomRequest, VesselReport, phantom};
