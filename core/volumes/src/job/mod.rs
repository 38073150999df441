//! Whole jobs on volumes as a person at a terminal asks for them: a request in, files and a report out.

mod convert;
mod info;
mod input;
mod keys;
mod measure;
mod octa500;
mod phantom;
mod vessels;

pub use convert::{ConvertReport, ConvertRequest, convert};
pub use info::info;
pub use input::InputRequest;
pub use keys::{explained, unknown_key};
pub use measure::{MeasureFiles, MeasureRequest, measure, report_on};
pub use octa500::{ExportRequest, export_octa500};
pub use phantom::{PhantomReport, PhantomRequest, VesselReport, phantom};
pub use vessels::{VesselSize, VesselsReport, VesselsRequest, vessels};
