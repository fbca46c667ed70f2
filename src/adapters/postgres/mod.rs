//! PostgreSQL: sessions, quoting, errors, tools, archives, COPY and the catalogs.

mod failure;
pub mod ident;
mod lock;
mod session;

pub(in crate::adapters) use failure::failed;
pub use lock::WarehouseLock;
pub use session::{Database, Session};
