//! PostgreSQL: sessions, quoting, errors, tools, archives, COPY and the catalogs.

pub mod bulk;
pub mod columns;
pub mod copy;
mod failure;
pub mod ident;
mod script;
mod session;

pub(in crate::adapters) use failure::failed;
pub use script::run_script;
pub use session::{Database, Session};
