//! The functions behind `plugin/include/sam_octa2.h`. Each is: read the arguments, call `service`, give the result.

pub mod mask;
pub mod model;
pub mod script;
pub mod session;
pub mod system;
pub mod volume;

use sam_octa2_boundary::c::{Checked, Place, entry, long, long_as, number, options, parse, sized, text};
use sam_octa2_boundary::json;
