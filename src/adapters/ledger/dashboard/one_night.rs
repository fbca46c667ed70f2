//! All that the ledger has of one run.

use chrono::{DateTime, Utc};

use super::super::history::AttemptLine;
use super::super::story::{LEFT_OUT, SkippedLine};
use super::READING;
use crate::adapters::ledger::reader::{LedgerView, composed};
use crate::error::Result;

/// One night in detail.
#[derive(Debug, Clone)]
pub struct NightDetail {
    /// Every attempt of every stage, in order of their start.
    pub stages: Vec<AttemptLine>,
    /// Their steps.
    pub steps: Vec<NightStep>,
    /// The tables that were written.
    pub tables: Vec<WrittenTable>,
    /// The indexes and constraints that were built, and the enrichment files that were run.
    pub objects: Vec<WrittenObject>,
    /// What was left out: the first of them.
    pub left_out: Vec<SkippedLine>,
    /// How many were left out.
    pub left_out_count: i64,
}

/// A step of a stage.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct NightStep {
    /// The stage.
    pub stage: String,
    /// Its attempt.
    pub attempt: i32,
    /// The step.
    pub step: String,
    /// `running`, `succeeded`, `failed`, `interrupted`.
    pub status: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// A table that was written.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct WrittenTable {
    /// The stage.
    pub stage: String,
    /// The schema.
    pub schema_name: String,
    /// The table.
    pub table_name: String,
    /// Rows written.
    pub rows_written: i64,
    /// Bytes of the COPY stream, or of the values.
    pub bytes: i64,
    /// How long it took.
    pub duration_ms: i64,
    /// On which connection; none where it was the stage's own, or is not known.
    pub connection: Option<String>,
    /// When it began; none where an older version did not write it down.
    pub started_at: Option<DateTime<Utc>>,
}

/// An index or a constraint that was built, or an enrichment file that was run.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct WrittenObject {
    /// The stage.
    pub stage: String,
    /// `INDEX`, `CONSTRAINT`, `FK CONSTRAINT`, `ENRICHMENT`, ...
    pub kind: String,
    /// The schema.
    pub schema_name: String,
    /// Its table.
    pub table_name: String,
    /// Its name.
    pub object_name: String,
    /// On which connection; none where it was the stage's own.
    pub connection: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: i64,
}

/// So many are shown of what was left out.
const LEFT_OUT_SHOWN: i64 = 100;

impl LedgerView {
    /// All that there is of a run.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn night_detail(&mut self, run: &str) -> Result<NightDetail> {
        let steps = sqlx::query_as(
            "select stage, attempt, step, status, started_at, ended_at
             from nightferry.steps where run_id = $1 order by step_id",
        );
        let tables = sqlx::query_as(
            "select stage, schema_name, table_name, rows_written, bytes, duration_ms, connection, started_at
             from nightferry.tables where run_id = $1",
        );
        let objects = sqlx::query_as(
            "select stage, kind, schema_name, table_name, object_name, connection, started_at, duration_ms
             from nightferry.objects where run_id = $1",
        );
        let count = composed(format!("select count(*) from {LEFT_OUT}"));
        Ok(NightDetail {
            stages: self.attempts(&[run]).await?,
            steps: self.all(READING, steps.bind(run)).await?,
            tables: self.all(READING, tables.bind(run)).await?,
            objects: self.all(READING, objects.bind(run)).await?,
            left_out: self.left_out(run, Some(LEFT_OUT_SHOWN)).await?,
            left_out_count: self.one::<(i64,)>(READING, count.bind(run)).await?.0,
        })
    }
}
