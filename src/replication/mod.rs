//! The nightly load: what is planned, and the four stages that carry it out.

pub mod adoption;
pub mod content;
pub mod enrich;
pub mod full;
pub mod incremental;
pub mod notify;
pub mod plan;
pub mod preflight;
mod several;
pub mod tables;
