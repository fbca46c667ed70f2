//! What the ledger can say of a run to somebody outside.

use chrono::{DateTime, Utc};

use super::store::Ledger;
use crate::adapters::postgres::failed;
use crate::error::Result;
use crate::ids::RunId;

/// A run and its stages.
#[derive(Debug, Clone)]
pub struct RunAccount {
    /// Where it was started.
    pub host: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended; none while it is open.
    pub ended_at: Option<DateTime<Utc>>,
    /// What ended it.
    pub failure: Failure,
    /// The last attempt of each stage, in order of their start.
    pub stages: Vec<StageAccount>,
}

/// The last attempt of a stage.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StageAccount {
    /// The stage's name.
    pub stage: String,
    /// Which attempt.
    pub attempt: i32,
    /// `running`, `succeeded`, `failed`, `interrupted`.
    pub status: String,
    /// When it ended; none while it is open.
    pub ended_at: Option<DateTime<Utc>>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// How many tables it wrote.
    pub tables: i64,
    /// How many rows it wrote.
    pub rows: i64,
    /// What ended it.
    #[sqlx(flatten)]
    pub failure: Failure,
}

/// What ended a run or a stage; nothing where it ended well, or has not ended.
#[derive(Debug, Clone, Default, sqlx::FromRow)]
pub struct Failure {
    /// The error's kind.
    pub error_kind: Option<String>,
    /// The sentence.
    pub error: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

type RunColumns =
    (String, DateTime<Utc>, Option<DateTime<Utc>>, Option<String>, Option<String>, Option<String>);

impl Ledger {
    /// What there is to say of a run; none where it was never opened.
    ///
    /// # Errors
    /// The warehouse cannot be reached.
    pub async fn account_of(&self, run: &RunId) -> Result<Option<RunAccount>> {
        let mut session = self.session().await?;
        let doing = |error| failed("cannot read the run in the ledger", error);
        let row: Option<RunColumns> = sqlx::query_as(
            "select host, started_at, ended_at, error_kind, error, hint from nightferry.runs where run_id = $1",
        )
        .bind(run.as_str())
        .fetch_optional(session.raw())
        .await
        .map_err(doing)?;
        let Some((host, started_at, ended_at, error_kind, error, hint)) = row else { return Ok(None) };
        let stages = sqlx::query_as(
            "select distinct on (s.started_at, s.stage) s.stage, s.attempt, s.status, s.ended_at,
                    (extract(epoch from s.ended_at - s.started_at) * 1000)::bigint as duration_ms,
                    count(t.*) as tables, coalesce(sum(t.rows_written), 0)::bigint as rows, s.error_kind, s.error, s.hint
             from nightferry.stages s left join nightferry.tables t using (run_id, stage, attempt)
             where s.run_id = $1
               and s.attempt = (select max(attempt) from nightferry.stages l where l.run_id = s.run_id and l.stage = s.stage)
             group by s.run_id, s.stage, s.attempt order by s.started_at, s.stage",
        )
        .bind(run.as_str())
        .fetch_all(session.raw())
        .await
        .map_err(doing)?;
        let failure = Failure { error_kind, error, hint };
        Ok(Some(RunAccount { host, started_at, ended_at, failure, stages }))
    }
}
