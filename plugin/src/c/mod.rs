//! The C interface: the functions of `plugin/include/sam_octa2.h`, which is generated from these files, each passed on to the engine.
//!
//! What every function has in common stands at the top of the header (`plugin/cbindgen.toml`).
#![allow(
    clippy::missing_safety_doc,
    reason = "the header's rules hold for all of them: pointers are valid or null where it says so"
)]

pub mod history;
pub mod mask;
pub mod model;
pub mod script;
pub mod session;
pub mod system;
pub mod volume;
