//! SAM 2: what it is made of, and what it computes.

pub mod config;

pub use config::ModelConfig;
