//! What a stage did, as plain values: for the summary on the terminal, the ledger and the webhooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::ids::TableName;

/// A step that ended.
#[derive(Debug, Clone, Serialize)]
pub struct StepOutcome {
    /// Its name.
    pub step: &'static str,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: Duration,
}

/// A table that was written.
#[derive(Debug, Clone, Serialize)]
pub struct TableOutcome {
    /// Which one.
    pub table: TableName,
    /// How it was treated: `full`, `incremental`, `content`.
    pub treatment: &'static str,
    /// Rows written.
    pub rows: u64,
    /// Bytes of the COPY stream, or of the values.
    pub bytes: u64,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: Duration,
}

/// An index or constraint that was built, a foreign key that was checked, or an enrichment file that was run.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectOutcome {
    /// What it is: `INDEX`, `CONSTRAINT`, `FK CONSTRAINT`, `ENRICHMENT`, ...
    pub kind: String,
    /// The table it belongs to, or the first that an enrichment file needs; without a name where it needs none.
    pub table: TableName,
    /// Its name.
    pub name: String,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: Duration,
}

impl ObjectOutcome {
    /// Its table as people name it.
    #[must_use]
    pub fn table_label(&self) -> Option<String> {
        (!self.table.name.is_empty()).then(|| self.table.to_string())
    }
}

/// Something that was left out or could not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// What, as people name it: `view public.v`.
    pub object: String,
    /// Why.
    pub reason: String,
    /// Its definition, where it would otherwise be lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

/// All that a stage did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StageOutcome {
    /// Its steps, in order of their end.
    pub steps: Vec<StepOutcome>,
    /// The tables.
    pub tables: Vec<TableOutcome>,
    /// The indexes and constraints.
    pub objects: Vec<ObjectOutcome>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// How far work is that moves bytes which no server counts. Shared by the one who moves them and the one who tells.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<[AtomicU64; 2]>);

impl Meter {
    /// So far it is, of so much; 0 where that is not known.
    pub fn set(&self, done: u64, total: u64) {
        self.0[0].store(done, Ordering::Relaxed);
        self.0[1].store(total, Ordering::Relaxed);
    }

    /// How far, and of how much.
    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        (self.0[0].load(Ordering::Relaxed), self.0[1].load(Ordering::Relaxed))
    }
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*duration))
}

/// Whole milliseconds, for logs and the ledger.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
