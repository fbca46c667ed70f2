//! The nightly load.

pub mod content;
pub mod full;
pub mod incremental;
pub mod notify;
