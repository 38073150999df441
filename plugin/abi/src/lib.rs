//! The stable interface.
