//! The ledger: nightferry's own schema in the warehouse, and the recorder through which stages write to it.

mod content;
mod deliveries;
mod recorder;
mod runs;
mod store;

pub use content::{ContentTable, record_content_table};
pub use recorder::Recorder;
pub use runs::{Origin, RunRow, StageRow, Status};
pub use store::{Disposition, Ledger, ObjectRow};
