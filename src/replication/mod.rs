//! The nightly load: what is planned, and the four stages that carry it out.

pub mod adoption;
pub mod backup;
pub mod comparison;
pub mod content;
mod disk;
mod dropping;
pub mod enrich;
mod enums;
pub mod full;
pub mod generations;
pub mod incremental;
mod moment;
pub mod notify;
pub mod plan;
pub mod preflight;
pub mod publishing;
pub mod rollback;
pub mod schema_export;
mod several;
pub mod tables;
