//! What the ledger says in numbers, for those who draw them and raise alarms.

use chrono::{DateTime, Utc};

use super::reader::LedgerView;
use crate::error::Result;

/// The last attempt of a stage that ended well.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct StageMeasure {
    /// The stage.
    pub stage: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How many tables it wrote.
    pub tables: i64,
    /// Their rows.
    pub rows: i64,
    /// Their bytes.
    pub bytes: i64,
}

/// A step of such an attempt.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct StepMeasure {
    /// The stage.
    pub stage: String,
    /// The step.
    pub step: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// How often a stage failed so.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct FailureMeasure {
    /// The stage.
    pub stage: String,
    /// The error's kind.
    pub kind: String,
    /// How many attempts.
    pub number: i64,
}

/// The nights as a whole.
#[derive(Debug, Clone, Default, PartialEq, sqlx::FromRow)]
pub struct NightMeasure {
    /// How long the last one took that ended well, in seconds.
    pub last_seconds: Option<f64>,
    /// How long such a night usually takes: the median of the last seven.
    pub usual_seconds: Option<f64>,
    /// Whether the last night that has ended did so well.
    pub last_succeeded: Option<bool>,
    /// When the night that is open began.
    pub open_since: Option<DateTime<Utc>>,
}

impl LedgerView {
    /// The last attempt of each stage that ended well.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn stage_measures(&mut self) -> Result<Vec<StageMeasure>> {
        let query = sqlx::query_as(
            "select distinct on (stage) stage, extract(epoch from ended_at - started_at)::float8 as seconds,
                    tables_written as tables, rows_written as rows, bytes_written as bytes
             from nightferry.stages where status = 'succeeded' order by stage, ended_at desc",
        );
        self.all("cannot measure the stages in the ledger", query).await
    }

    /// Its steps.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn step_measures(&mut self) -> Result<Vec<StepMeasure>> {
        let query = sqlx::query_as(
            "select stage, step, extract(epoch from sum(steps.ended_at - steps.started_at))::float8 as seconds
             from (
                select distinct on (stage) run_id, stage, attempt
                from nightferry.stages where status = 'succeeded' order by stage, ended_at desc
             ) as last
             join nightferry.steps using (run_id, stage, attempt)
             where steps.ended_at is not null group by stage, step order by stage, min(step_id)",
        );
        self.all("cannot measure the steps in the ledger", query).await
    }

    /// How often each stage failed, by the kind of the error, since there is a ledger.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn failure_measures(&mut self) -> Result<Vec<FailureMeasure>> {
        let query = sqlx::query_as(
            "select stage, coalesce(error_kind, 'interrupted') as kind, count(*) as number
             from nightferry.stages where status in ('failed', 'interrupted') group by 1, 2 order by 1, 2",
        );
        self.all("cannot count the failures in the ledger", query).await
    }

    /// The nights as a whole: runs of the scheduled chain or of `run night`, not of one stage alone.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn night_measure(&mut self) -> Result<NightMeasure> {
        let query = sqlx::query_as(include_str!("../../../sql/catalog/night_measure.sql"));
        self.one("cannot measure the nights in the ledger", query).await
    }
}
