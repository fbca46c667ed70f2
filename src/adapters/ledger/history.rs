//! The runs and the attempts of their stages: how far they are, how they went.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::reader::{LedgerView, Query, composed};
use super::store::Ledger;
use crate::adapters::postgres::failed;
use crate::error::Result;
use crate::ids::RunId;

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct RunLine {
    /// Its name.
    pub run_id: String,
    /// `schedule`, `command`, `restart`.
    pub origin: String,
    /// `running`, `succeeded`, `failed`, `interrupted`.
    pub status: String,
    /// Where it was started.
    pub host: String,
    /// The version of nightferry.
    pub version: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The error's kind.
    pub error_kind: Option<String>,
    /// The sentence.
    pub error: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// One attempt of a stage, with what it has written so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct AttemptLine {
    /// The run.
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

const RUN: &str =
    "select run_id, origin, status, host, version, started_at, ended_at, error_kind, error, hint
    from nightferry.runs";

/// What an open attempt has written is counted: its total is only known at its end. The condition stands inside, so that nothing is
/// counted where the total is known.
const ATTEMPTS: &str = "
    select run_id, stage, attempt, status, started_at, ended_at, error_kind, error, hint,
        tables_written + so_far.tables as tables, rows_written + so_far.rows as rows, bytes_written + so_far.bytes as bytes
    from nightferry.stages
    cross join lateral (
        select count(*) as tables, coalesce(sum(tables.rows_written), 0)::bigint as rows, coalesce(sum(tables.bytes), 0)::bigint as bytes
        from nightferry.tables
        where stages.status = 'running'
          and (tables.run_id, tables.stage, tables.attempt) = (stages.run_id, stages.stage, stages.attempt)
    ) as so_far
    where run_id = any ($1) order by started_at, attempt";

/// What an error of these questions says.
const READING_RUNS: &str = "cannot read the runs of the ledger";
const READING_ATTEMPTS: &str = "cannot read the stages of the ledger";

fn run_named(run: &str) -> Query<'_, RunLine> {
    composed(format!("{RUN} where run_id = $1")).bind(run)
}

impl LedgerView {
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
        self.all(READING_RUNS, composed(sql)).await
    }

    /// The last runs, the youngest first.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn last_runs(&mut self, limit: u32) -> Result<Vec<RunLine>> {
        let sql = format!("{RUN} order by started_at desc limit $1");
        self.all(READING_RUNS, composed(sql).bind(i64::from(limit))).await
    }

    /// The run of this name.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn run(&mut self, run: &str) -> Result<Option<RunLine>> {
        self.first(READING_RUNS, run_named(run)).await
    }

    /// Every attempt of every stage of these runs, in order of their start.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn attempts(&mut self, runs: &[&str]) -> Result<Vec<AttemptLine>> {
        self.all(READING_ATTEMPTS, sqlx::query_as(ATTEMPTS).bind(runs)).await
    }
}

/// The same for those who write, too.
impl Ledger {
    /// How a run went; none where it was never opened.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn history_of(&self, run: &RunId) -> Result<Option<RunLine>> {
        run_named(run.as_str())
            .fetch_optional(self.session().await?.raw())
            .await
            .map_err(|error| failed(READING_RUNS, error))
    }

    /// Every attempt of every stage of a run, in order of their start.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn attempts_of(&self, run: &RunId) -> Result<Vec<AttemptLine>> {
        sqlx::query_as(ATTEMPTS)
            .bind([run.as_str()])
            .fetch_all(self.session().await?.raw())
            .await
            .map_err(|error| failed(READING_ATTEMPTS, error))
    }
}
