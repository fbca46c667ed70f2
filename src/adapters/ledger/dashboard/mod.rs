//! What the pages of the web process ask the ledger: each question is answered for one page, whatever the ledger has grown to.

mod indexes;
mod nights;
mod one_night;
mod tables;

pub use indexes::{BuiltObject, KindTotal, ObjectSearch};
pub use nights::{LiveCopy, NightRow};
pub use one_night::{NightDetail, NightStep, WrittenObject, WrittenTable};
pub use tables::{Sparkline, TableHistory, TableOrder, TableRow, TableSearch};

/// What an error of such a question says.
const READING: &str = "cannot read the ledger";
