//! All that the ledger has of one run.

use chrono::{DateTime, Utc};

use super::super::history::{ATTEMPTS, Attempt};
use super::super::story::LEFT_OUT;
use super::{LedgerReader, unread};
use crate::error::Result;

/// One night in detail.
#[derive(Debug, Clone)]
pub struct NightDetail {
    /// Every attempt of every stage, in order of their start.
    pub stages: Vec<Attempt>,
    /// Their steps.
    pub steps: Vec<NightStep>,
    /// The tables that were written.
    pub tables: Vec<WrittenTable>,
    /// The indexes and constraints that were built, and the enrichment files that were run.
    pub objects: Vec<WrittenObject>,
    /// What was left out: the first of them.
    pub left_out: Vec<LeftOut>,
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

/// Something that was left out.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LeftOut {
    /// What.
    pub object: String,
    /// Why.
    pub reason: String,
}

/// So many are shown of what was left out.
const LEFT_OUT_SHOWN: i64 = 100;

impl LedgerReader {
    /// All that there is of a run.
    ///
    /// # Errors
    /// The warehouse cannot be reached, or has no ledger of this version.
    pub async fn night_detail(&self, run: &str) -> Result<NightDetail> {
        self.ask(async |session| {
            let stages = sqlx::query_as(ATTEMPTS);
            let stages = stages.bind([run]).fetch_all(session.raw()).await.map_err(unread)?;
            let steps = sqlx::query_as(
                "select stage, attempt, step, status, started_at, ended_at
                 from nightferry.steps where run_id = $1 order by step_id",
            );
            let steps = steps.bind(run).fetch_all(session.raw()).await.map_err(unread)?;
            let tables = sqlx::query_as(
                "select stage, schema_name, table_name, rows_written, bytes, duration_ms, connection, started_at
                 from nightferry.tables where run_id = $1",
            );
            let tables = tables.bind(run).fetch_all(session.raw()).await.map_err(unread)?;
            let objects = sqlx::query_as(
                "select stage, kind, schema_name, table_name, object_name, connection, started_at, duration_ms
                 from nightferry.objects where run_id = $1",
            );
            let objects = objects.bind(run).fetch_all(session.raw()).await.map_err(unread)?;
            let sql = format!("select object, reason from {LEFT_OUT} order by skipped_id limit $2");
            let left_out = sqlx::query_as(sqlx::AssertSqlSafe(sql));
            let left_out =
                left_out.bind(run).bind(LEFT_OUT_SHOWN).fetch_all(session.raw()).await.map_err(unread)?;
            let left_out_count =
                sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {LEFT_OUT}")))
                    .bind(run)
                    .fetch_one(session.raw())
                    .await
                    .map_err(unread)?;
            Ok(NightDetail { stages, steps, tables, objects, left_out, left_out_count })
        })
        .await
    }
}
