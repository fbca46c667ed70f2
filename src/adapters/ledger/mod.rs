//! The ledger: nightferry's own schema in the warehouse, and the recorder through which stages write to it.

mod accounts;
mod backups;
mod content;
pub mod dashboard;
mod deliveries;
mod earlier;
mod generations;
mod history;
mod increments;
mod measures;
mod objects;
mod overview;
mod recorder;
mod runs;
mod schedules;
mod source_columns;
mod store;
mod story;
mod written;

pub use accounts::{Failure, RunAccount, StageAccount};
pub use backups::{PushedBackup, SourceBackup};
pub use content::{ContentTable, record_content_table};
pub use earlier::{DoneNight, Expected, Work};
pub use generations::{Birth, Generation, ObjectRow, StoredSchema};
pub use history::{Attempt, RunLine};
pub use increments::{OpenBound, Progress, claim, record_progress};
pub use measures::{FailureMeasure, NightMeasure, StageMeasure, StepMeasure};
pub use overview::{AttemptLine, LastSuccess, LedgerState, LedgerView, StepLine};
pub use recorder::Recorder;
pub use runs::{Origin, RunRow, Status};
pub use schedules::ScheduleEntry;
pub use source_columns::source_columns_of;
pub use store::{Disposition, Ledger, in_time};
pub use story::{ObjectLine, SkippedLine, TableLine};
pub use written::Written;
