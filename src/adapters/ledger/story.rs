//! What there is to tell of one run: what took longest, what was left out.

use serde::Serialize;

use super::reader::{LedgerView, composed};
use crate::error::Result;

/// A table that a run wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct TableLine {
    /// The stage.
    pub stage: String,
    /// The attempt.
    pub attempt: i32,
    /// The schema.
    pub schema_name: String,
    /// The table.
    pub table_name: String,
    /// How it was treated.
    pub treatment: String,
    /// Rows.
    pub rows: i64,
    /// Bytes.
    pub bytes: i64,
    /// How long it took.
    pub duration_ms: i64,
}

/// An index or constraint that a run built, or an enrichment file that it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct ObjectLine {
    /// The stage.
    pub stage: String,
    /// The attempt.
    pub attempt: i32,
    /// `INDEX`, `CONSTRAINT`, `FK CONSTRAINT`, `ENRICHMENT`, ...
    pub kind: String,
    /// The schema.
    pub schema_name: String,
    /// Its table; empty for an enrichment file that needs none.
    pub table_name: String,
    /// Its name.
    pub object_name: String,
    /// How long it took.
    pub duration_ms: i64,
}

/// What a run left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct SkippedLine {
    /// The stage.
    pub stage: String,
    /// The attempt.
    pub attempt: i32,
    /// What.
    pub object: String,
    /// Why.
    pub reason: String,
}

/// By the last attempt of each stage: each of them leaves the same out.
pub(super) const LEFT_OUT: &str = "nightferry.skipped
    where run_id = $1
      and attempt = (select max(attempt) from nightferry.stages where stages.run_id = $1 and stages.stage = skipped.stage)";

impl LedgerView {
    /// The tables of a run that took longest.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn slowest_tables(&mut self, run: &str, top: u32) -> Result<Vec<TableLine>> {
        let query = sqlx::query_as(
            "select stage, attempt, schema_name, table_name, treatment, rows_written as rows, bytes, duration_ms from nightferry.tables
             where run_id = $1 order by duration_ms desc, schema_name, table_name limit $2",
        )
        .bind(run)
        .bind(i64::from(top));
        self.all("cannot read the tables of the run in the ledger", query).await
    }

    /// The indexes, constraints and enrichment files of a run that took longest.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn slowest_objects(&mut self, run: &str, top: u32) -> Result<Vec<ObjectLine>> {
        let query = sqlx::query_as(
            "select stage, attempt, kind, schema_name, table_name, object_name, duration_ms from nightferry.objects
             where run_id = $1 order by duration_ms desc, schema_name, table_name, object_name limit $2",
        )
        .bind(run)
        .bind(i64::from(top));
        self.all("cannot read the indexes of the run in the ledger", query).await
    }

    /// What the last attempt of each stage of a run left out: all of it, or the first of it.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn left_out(&mut self, run: &str, limit: Option<i64>) -> Result<Vec<SkippedLine>> {
        let sql =
            format!("select stage, attempt, object, reason from {LEFT_OUT} order by skipped_id limit $2");
        let query = composed(sql).bind(run).bind(limit);
        self.all("cannot read in the ledger what was left out", query).await
    }
}
