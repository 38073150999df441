//! Training SAM 2: which parameters (`trainee`), on what (`clip`), how one object is followed through a clip (`frame_step`), towards what
//! (`losses`), the gradients with little memory (`step`), and how parameters change (`optimizer`).
//!
//! Corrections of SAM-OCTA2's published training, each made where it is named: gradients are cleared between steps, every object counts,
//! the graph is let go after each step, validation runs without dropout and without gradients.

pub mod clip;
pub mod data;
pub mod estimate;
pub mod frame_step;
pub mod losses;
pub mod optimizer;
pub mod records;
pub mod request;
pub mod state;
pub mod step;
pub mod trainee;
pub mod trainer;
pub mod training_loop;
mod warnings;

pub use request::FineTuneRequest;
pub use trainer::{FineTuneReport, fine_tune};
