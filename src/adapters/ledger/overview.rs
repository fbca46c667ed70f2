//! What the ledger says to those who watch: what runs, how earlier nights went. Each question is answered in few rows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::history::{RUN, RunLine};
use super::reader::LedgerView;
use crate::adapters::postgres::activity::{Activity, Holder, activity, lock_holders};
use crate::error::Result;

/// One attempt of a stage, with what it has written so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct AttemptLine {
    /// The run.
    #[serde(skip)]
    pub run_id: String,
    /// The stage's name.
    pub stage: String,
    /// Which attempt.
    pub attempt: i32,
    /// `running`, `succeeded`, `failed`, `interrupted`.
    pub status: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How many tables it wrote.
    pub tables: i64,
    /// Their rows.
    pub rows: i64,
    /// Their bytes.
    pub bytes: i64,
    /// The error's kind.
    pub error_kind: Option<String>,
    /// The sentence.
    pub error: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// A step of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct StepLine {
    /// Its name.
    pub step: String,
    /// `running`, `succeeded`, `failed`, `interrupted`.
    pub status: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Bytes of a download or a push so far.
    pub bytes_done: Option<i64>,
    /// Of so many, where that is known.
    pub bytes_total: Option<i64>,
}

/// When a stage, or the `night`, last ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct LastSuccess {
    /// The stage, or `night`.
    pub stage: String,
    /// Its run.
    pub run_id: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
}

/// What an error of such a question says.
const RUNS: &str = "cannot read the runs of the ledger";

impl LedgerView {
    /// What nightferry's sessions are doing.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn activity(&mut self) -> Result<Vec<Activity>> {
        activity(&mut self.session).await
    }

    /// Who holds the warehouse, and whose turn it is to push.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn lock_holders(&mut self) -> Result<(Option<Holder>, Option<Holder>)> {
        lock_holders(&mut self.session).await
    }

    /// The runs that are open, the last night and the last run, the youngest first.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn open_or_last(&mut self) -> Result<Vec<RunLine>> {
        let sql = format!(
            "{RUN} where status = 'running'
                or run_id = (select run_id from nightferry.runs order by started_at desc limit 1)
                or run_id = (select run_id from nightferry.runs where strpos(run_id, '-') = 0 order by started_at desc limit 1)
             order by started_at desc, run_id"
        );
        self.all(RUNS, sqlx::query_as(sqlx::AssertSqlSafe(sql))).await
    }

    /// The last runs, the youngest first.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn last_runs(&mut self, limit: u32) -> Result<Vec<RunLine>> {
        let sql = format!("{RUN} order by started_at desc limit $1");
        self.all(RUNS, sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(i64::from(limit))).await
    }

    /// The run of this name.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn run(&mut self, run: &str) -> Result<Option<RunLine>> {
        let sql = format!("{RUN} where run_id = $1");
        self.first(RUNS, sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(run)).await
    }

    /// Every attempt of every stage of these runs, in order of their start. What an open one has written is counted: its total is only known at its end.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn attempts(&mut self, runs: &[&str]) -> Result<Vec<AttemptLine>> {
        let query = sqlx::query_as(
            // The condition inside, so that nothing is counted where the total is known.
            "select run_id, stage, attempt, status, started_at, ended_at, error_kind, error, hint,
                    tables_written + so_far.tables as tables, rows_written + so_far.rows as rows, bytes_written + so_far.bytes as bytes
             from nightferry.stages
             cross join lateral (
                select count(*) as tables, coalesce(sum(tables.rows_written), 0)::bigint as rows, coalesce(sum(tables.bytes), 0)::bigint as bytes
                from nightferry.tables
                where stages.status = 'running'
                  and (tables.run_id, tables.stage, tables.attempt) = (stages.run_id, stages.stage, stages.attempt)
             ) as so_far
             where run_id = any ($1) order by started_at, attempt",
        )
        .bind(runs);
        self.all("cannot read the stages of the ledger", query).await
    }

    /// The steps of an attempt, in their order.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn steps(&mut self, of: &AttemptLine) -> Result<Vec<StepLine>> {
        let query = sqlx::query_as(
            "select step, status, started_at, ended_at, bytes_done, bytes_total from nightferry.steps
             where run_id = $1 and stage = $2 and attempt = $3 order by step_id",
        )
        .bind(&of.run_id)
        .bind(&of.stage)
        .bind(of.attempt);
        self.all("cannot read the steps of the ledger", query).await
    }

    /// The home name of each schema that is stored under another one: `public__next` is `public`.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn homes(&mut self) -> Result<BTreeMap<String, String>> {
        let query = sqlx::query_as("select stored_as, schema_name from nightferry.stored_schemas");
        let rows: Vec<(String, String)> =
            self.all("cannot read the stored schemas in the ledger", query).await?;
        Ok(rows.into_iter().collect())
    }

    /// When each stage, and the night, last ended well.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn last_success(&mut self) -> Result<Vec<LastSuccess>> {
        let query = sqlx::query_as(
            "select stage, run_id, started_at, ended_at from nightferry.last_success order by started_at, stage",
        );
        self.all("cannot read in the ledger what ended well", query).await
    }
}
