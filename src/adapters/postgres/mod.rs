//! PostgreSQL: sessions, quoting, errors, tools, archives, COPY and the catalogs.

pub mod archive;
mod failure;
pub mod ident;
mod session;

pub(in crate::adapters) use failure::failed;
pub use session::{Database, Session};
