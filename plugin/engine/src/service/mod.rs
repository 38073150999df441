//! What handles stand for, in safe Rust: the same for C hosts, Rust hosts and scripts.

pub mod dlpack;
pub mod handles;
pub mod history;
pub mod mask;
pub mod prompt;
pub mod session;
pub mod view;

pub use handles::{MASKS, MODELS, SCRIPTS, SESSIONS, VOLUMES};
pub use mask::MaskValue;
pub use session::Work;
