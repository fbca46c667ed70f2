//! Runs and stages: what was started, how it ended.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::backups::whole;
use super::state::LedgerState;
use super::store::Ledger;
use crate::adapters::postgres::failed;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{RunId, Stage};
use crate::outcome::TableOutcome;

/// Who started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The cron schedule.
    Schedule,
    /// `nightferry run`.
    Command,
    /// `nightferry restart`.
    Restart,
}

impl Origin {
    /// The one of this word; a word of a newer version counts as asked for by an operator.
    #[must_use]
    pub fn named(word: &str) -> Self {
        let all = [Self::Schedule, Self::Command, Self::Restart];
        all.into_iter().find(|origin| origin.name() == word).unwrap_or(Self::Restart)
    }

    /// The word in the ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Command => "command",
            Self::Restart => "restart",
        }
    }
}

/// How a run, a stage or a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// At work, or died without a word.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Stopped in the middle.
    Interrupted,
}

impl Status {
    /// The word in the ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The status of work that ended so.
    #[must_use]
    pub fn of<T>(result: &Result<T>) -> Self {
        match result {
            Ok(_) => Self::Succeeded,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Cancelled) => {
                Self::Interrupted
            }
            Err(_) => Self::Failed,
        }
    }
}

/// A run as the ledger has it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RunRow {
    /// The run.
    pub run_id: String,
    /// `running`, `succeeded`, `failed`, `interrupted`.
    pub status: String,
    /// `schedule`, `command`, `restart`.
    pub origin: String,
    /// Where it was started.
    pub host: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
}

/// The names of the stages that are kept apart by the lock that keeps this one apart.
fn under_one_lock(stage: Stage) -> Vec<&'static str> {
    let others =
        Stage::STARTED.into_iter().filter(|other| other.needs_warehouse() == stage.needs_warehouse());
    others.map(Stage::name).collect()
}

type Ended<'a> = (Status, Option<&'a Error>);

impl Ledger {
    /// Opens a run, or goes on with one that is there. What was built by runs of a quarter ago is forgotten: there are thousands of
    /// indexes a night, and what grows is told by the tables, which stay.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn begin_run(&self, run: &RunId, origin: Origin, host: &str) -> Result<()> {
        self.open_run(run, origin, host, false).await
    }

    /// The same, of a command that was asked for the whole night: one that does a single stage is none, whether it ends well or not.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn begin_night(&self, run: &RunId, origin: Origin, host: &str) -> Result<()> {
        self.open_run(run, origin, host, true).await
    }

    async fn open_run(&self, run: &RunId, origin: Origin, host: &str, is_night: bool) -> Result<()> {
        sqlx::query(
            "with forgotten as (
                delete from nightferry.objects using nightferry.runs
                where objects.run_id = runs.run_id and runs.started_at < now() - interval '90 days')
             insert into nightferry.runs (run_id, origin, host, version, asked_for_night) values ($1, $2, $3, $4, $5)
             on conflict (run_id) do update set status = 'running', ended_at = null, error_kind = null, error = null, hint = null",
        )
        .bind(run.as_str())
        .bind(origin.name())
        .bind(host)
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(is_night)
        .execute(self.session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot open the run in the ledger", error))
    }

    /// Closes a run. What is open of its stages was interrupted.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn end_run(&self, run: &RunId, (status, error): Ended<'_>) -> Result<()> {
        sqlx::query(
            "with stages as (
                update nightferry.stages set status = 'interrupted', ended_at = clock_timestamp() where run_id = $1 and status = 'running'),
             steps as (
                update nightferry.steps set status = 'interrupted', ended_at = clock_timestamp() where run_id = $1 and status = 'running')
             update nightferry.runs set status = $2, ended_at = clock_timestamp(), error_kind = $3, error = $4, hint = $5
             where run_id = $1",
        )
        .bind(run.as_str())
        .bind(status.name())
        .bind(error.map(|error| error.kind().name()))
        .bind(error.map(ToString::to_string))
        .bind(error.and_then(Error::operator_hint))
        .execute(self.session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot close the run in the ledger", error))
    }

    /// Opens an attempt of a stage and gives its number, counted from 1. An attempt that was left open is closed as
    /// interrupted: whoever calls this holds the lock of such stages, so nobody is at work on it.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn begin_stage(&self, run: &RunId, stage: Stage) -> Result<i32> {
        let mut session = self.session().await?;
        let doing = |error| failed("cannot open the stage in the ledger", error);
        sqlx::query(
            "with lost as (
                update nightferry.stages set status = 'interrupted', ended_at = clock_timestamp()
                where status = 'running' and stage = any ($1) returning run_id, stage, attempt)
             update nightferry.steps set status = 'interrupted', ended_at = clock_timestamp()
             from lost where steps.status = 'running' and (steps.run_id, steps.stage, steps.attempt) = (lost.run_id, lost.stage, lost.attempt)",
        )
        .bind(under_one_lock(stage))
        .execute(session.raw())
        .await
        .map_err(doing)?;
        sqlx::query_scalar(
            "insert into nightferry.stages (run_id, stage, attempt)
             select $1, $2, coalesce(max(attempt), 0) + 1 from nightferry.stages where run_id = $1 and stage = $2
             returning attempt",
        )
        .bind(run.as_str())
        .bind(stage.name())
        .fetch_one(session.raw())
        .await
        .map_err(doing)
    }

    /// Closes an attempt of a stage, and a step of it that could not be closed since the warehouse was away.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn end_stage(
        &self,
        run: &RunId,
        stage: Stage,
        attempt: i32,
        (status, error): Ended<'_>,
    ) -> Result<()> {
        sqlx::query(
            "with open as (
                update nightferry.steps set status = $4, ended_at = clock_timestamp()
                where run_id = $1 and stage = $2 and attempt = $3 and status = 'running')
             update nightferry.stages set status = $4, ended_at = clock_timestamp(), error_kind = $5, error = $6, hint = $7,
                (tables_written, rows_written, bytes_written) = (
                    select count(*), coalesce(sum(tables.rows_written), 0), coalesce(sum(tables.bytes), 0) from nightferry.tables
                    where tables.run_id = $1 and tables.stage = $2 and tables.attempt = $3)
             where run_id = $1 and stage = $2 and attempt = $3",
        )
        .bind(run.as_str())
        .bind(stage.name())
        .bind(attempt)
        .bind(status.name())
        .bind(error.map(|error| error.kind().name()))
        .bind(error.map(ToString::to_string))
        .bind(error.and_then(Error::operator_hint))
        .execute(self.session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot close the stage in the ledger", error))
    }

    /// The runs that are open.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn open_runs(&self) -> Result<Vec<RunRow>> {
        sqlx::query_as("select run_id, status, origin, host, started_at from nightferry.runs where status = 'running' order by started_at")
            .fetch_all(self.session().await?.raw())
            .await
            .map_err(|error| failed("cannot read the runs of the ledger", error))
    }

    /// How a run stands; none where it was never opened.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn run_status(&self, run: &RunId) -> Result<Option<String>> {
        sqlx::query_scalar("select status from nightferry.runs where run_id = $1")
            .bind(run.as_str())
            .fetch_optional(self.session().await?.raw())
            .await
            .map_err(|error| failed("cannot read the run in the ledger", error))
    }

    /// The last night that ended well and when; where none did yet, the first that was begun, and its beginning. None of a ledger that
    /// an older version wrote: it does not say what a night is.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn last_good_night(&self) -> Result<Option<(RunId, DateTime<Utc>)>> {
        let mut session = self.session().await?;
        if LedgerState::of(&mut session).await? != LedgerState::Ready {
            return Ok(None);
        }
        let night: Option<(String, DateTime<Utc>)> = sqlx::query_as(
            "select run_id, at from (
                select 1 as place, run_id, ended_at as at from nightferry.last_success where stage = 'night'
                union all
                (select 2, run_id, started_at from nightferry.run_history where is_night order by started_at limit 1)
             ) as night order by place limit 1",
        )
        .fetch_optional(session.raw())
        .await
        .map_err(|error| failed("cannot read the nights of the ledger", error))?;
        Ok(night.map(|(run, at)| (RunId::from(run), at)))
    }

    pub(super) async fn write_table(
        &self,
        key: (&RunId, Stage, i32),
        table: &TableOutcome,
        connection: Option<&str>,
        ended: Instant,
    ) -> Result<()> {
        // By the server's clock, like the steps around it. The session may have been waited for.
        let mut session = self.session().await?;
        sqlx::query(
            "insert into nightferry.tables
                (run_id, stage, attempt, schema_name, table_name, treatment, rows_written, bytes, duration_ms, connection, started_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
                clock_timestamp() - make_interval(secs => ($9 + $11) / 1000.0))
             on conflict (run_id, stage, attempt, schema_name, table_name)
             do update set rows_written = excluded.rows_written, bytes = excluded.bytes, duration_ms = excluded.duration_ms,
                connection = excluded.connection, started_at = excluded.started_at",
        )
        .bind(key.0.as_str())
        .bind(key.1.name())
        .bind(key.2)
        .bind(&table.table.schema)
        .bind(&table.table.name)
        .bind(table.treatment)
        .bind(whole(table.rows))
        .bind(whole(table.bytes))
        .bind(whole(crate::outcome::millis(table.duration)))
        .bind(connection)
        .bind(whole(crate::outcome::millis(ended.elapsed())))
        .execute(session.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot write a table to the ledger", error))
    }
}
