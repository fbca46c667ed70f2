//! What a stage did, as plain values: for the summary on the terminal, the ledger and the webhooks.

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

/// An index or constraint that was built, or a foreign key that was checked.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectOutcome {
    /// What it is: `INDEX`, `CONSTRAINT`, `FK CONSTRAINT`, ...
    pub kind: String,
    /// The table it belongs to.
    pub table: TableName,
    /// Its name.
    pub name: String,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: Duration,
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

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*duration))
}

/// Whole milliseconds, for logs and the ledger.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
