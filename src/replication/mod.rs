//! The nightly load: the four stages, each a `run` that takes the configuration and a recorder.

pub mod content;
pub mod enrich;
pub mod incremental;
mod names;
pub mod notify;
mod several;
