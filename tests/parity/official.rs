//! Full-size models.
