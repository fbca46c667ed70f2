//! PostgreSQL: sessions, quoting, errors, tools, archives, COPY and the catalogs.

pub mod activity;
pub mod archive;
pub mod bulk;
pub mod catalog;
pub mod columns;
pub mod comparing;
pub mod copy;
pub mod exported;
mod failure;
mod fence;
pub mod generation;
pub mod ident;
mod lock;
pub mod merging;
mod script;
mod session;
pub mod shape;
pub mod tools;
pub mod under_way;

pub(in crate::adapters) use failure::failed;
pub use lock::WarehouseLock;
pub use script::{SCRIPT_SETTINGS, run_script};
pub use session::{Database, Session};
