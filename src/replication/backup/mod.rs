//! The backup that a night reads instead of the live database: which one, how it comes to `WORK_DIR`, and when it goes.
//!
//! First only its head is read, the table of contents: what forbids the night is said before hundreds of gigabytes are fetched. Then the whole
//! streams through: downloaded in parts, taken out of its wrappings, walked through up to its last byte, written to disk.

mod choose;
mod fetch;
mod find;
mod folder;
mod room;

pub use find::{Found, Purpose};
pub use folder::RunFolder;
