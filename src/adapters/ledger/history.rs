//! How runs went, for those who ask afterwards.

use chrono::{DateTime, Utc};
use serde::Serialize;

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

pub(super) const RUN: &str =
    "select run_id, origin, status, host, version, started_at, ended_at, error_kind, error, hint
    from nightferry.runs";

pub(super) const ATTEMPTS: &str =
    "select run_id, stage, attempt, status, started_at, ended_at, error_kind, error, hint
    from nightferry.stages where run_id = any ($1) order by started_at, attempt";

/// One attempt of a stage, with its end.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub struct Attempt {
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
    /// The error's kind.
    pub error_kind: Option<String>,
    /// The sentence.
    pub error: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Ledger {
    /// How a run went; none where it was never opened.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn history_of(&self, run: &RunId) -> Result<Option<RunLine>> {
        sqlx::query_as(sqlx::AssertSqlSafe(format!("{RUN} where run_id = $1")))
            .bind(run.as_str())
            .fetch_optional(self.session().await?.raw())
            .await
            .map_err(|error| failed("cannot read the run in the ledger", error))
    }

    /// Every attempt of every stage of these runs, in order of their start.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn attempts_of(&self, runs: &[&str]) -> Result<Vec<Attempt>> {
        sqlx::query_as(ATTEMPTS)
            .bind(runs)
            .fetch_all(self.session().await?.raw())
            .await
            .map_err(|error| failed("cannot read the attempts in the ledger", error))
    }
}
