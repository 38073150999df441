//! Sparse annotation: a small network that is taught a few hand-labelled layers and proposes the region for all others (SAM-OCTA2's
//! `sparse_annotation_rv_training.py` and `sparese_annotation_rv_predicton.py`).
//!
//! `config` the sizes, `swin` the trunk, `unetr` the network; `segmenter` from a file to a network that is ready; `input` a slice as the
//! network sees it; `predict` a volume to regions and vessels; `request`,
//! `train` and `gradients` how it is taught.

pub mod config;
pub mod gradients;
pub mod input;
pub mod predict;
pub mod request;
pub mod segmenter;
pub mod swin;
pub mod train;
pub mod unetr;

pub use config::SwinUnetrConfig;
pub use predict::{CleanUp, Predicted, Predictor};
pub use request::TrainSegmenterRequest;
pub use segmenter::{Segmenter, SegmenterRequest};
pub use train::{TrainSegmenterReport, train_segmenter};
pub use unetr::SwinUnetr;
