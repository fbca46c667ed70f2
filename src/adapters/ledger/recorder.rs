//! The recorder of one attempt of a stage: steps, tables and what was left out go to the log, the ledger and the
//! outcome at once.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::runs::Status;
use super::store::Ledger;
use crate::adapters::postgres::{Database, failed};
use crate::error::Result;
use crate::events;
use crate::ids::{RunId, Stage};
use crate::outcome::{ObjectOutcome, Skipped, StageOutcome, StepOutcome, TableOutcome, millis};

/// Records one attempt of a stage. Shared by the tasks of the stage.
#[derive(Debug, Clone)]
pub struct Recorder {
    ledger: Arc<Ledger>,
    run: RunId,
    stage: Stage,
    attempt: i32,
    outcome: Arc<Mutex<StageOutcome>>,
}

impl Recorder {
    /// A recorder for an attempt that the ledger has opened.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, run: RunId, stage: Stage, attempt: i32) -> Self {
        Self { ledger, run, stage, attempt, outcome: Arc::default() }
    }

    /// The ledger behind it.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The warehouse, for what this attempt writes: its sessions say whose they are.
    #[must_use]
    pub fn warehouse(&self) -> Database {
        let name = format!("nightferry {} {} {}", self.run, self.stage, self.attempt);
        self.ledger.database().clone().named(&name)
    }

    pub(super) fn key(&self) -> (&RunId, Stage, i32) {
        (&self.run, self.stage, self.attempt)
    }

    /// Runs a step: one log line and one ledger entry when it starts, and when it ends.
    ///
    /// # Errors
    /// Those of the step; its text is put behind the step's name. Those of the ledger.
    pub async fn step<T>(&self, step: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let id: i64 = sqlx::query_scalar(
            "insert into nightferry.steps (run_id, stage, attempt, step) values ($1, $2, $3, $4) returning step_id",
        )
        .bind(self.run.as_str())
        .bind(self.stage.name())
        .bind(self.attempt)
        .bind(step)
        .fetch_one(self.ledger.session().await?.raw())
        .await
        .map_err(|error| failed("cannot write a step to the ledger", error))?;
        tracing::info!(step, "{}", events::STEP_STARTED);
        let start = Instant::now();
        let result = work.await.map_err(|error| error.context(step));
        let duration = start.elapsed();
        let closed = self.close_step(id, Status::of(&result)).await;
        match &result {
            Ok(_) => tracing::info!(step, duration_ms = millis(duration), "{}", events::STEP_ENDED),
            // The stage logs the error itself, once.
            Err(error) => tracing::warn!(step, error.kind = error.kind().name(), "{}", events::STEP_FAILED),
        }
        let value = result?;
        closed?;
        self.with(|outcome| outcome.steps.push(StepOutcome { step, duration }));
        Ok(value)
    }

    async fn close_step(&self, id: i64, status: Status) -> Result<()> {
        sqlx::query(
            "update nightferry.steps set status = $2, ended_at = clock_timestamp() where step_id = $1",
        )
        .bind(id)
        .bind(status.name())
        .execute(self.ledger.session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot close a step in the ledger", error))
    }

    /// Records a table that was written.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn table(&self, table: TableOutcome) -> Result<()> {
        tracing::info!(
            table = %table.table,
            treatment = table.treatment,
            rows = table.rows,
            bytes = table.bytes,
            duration_ms = millis(table.duration),
            "{}",
            events::TABLE_COPIED
        );
        self.ledger.write_table(self.key(), &table).await?;
        self.with(|outcome| outcome.tables.push(table));
        Ok(())
    }

    /// Records an index or constraint that was built.
    pub fn object(&self, object: ObjectOutcome) {
        tracing::info!(
            kind = %object.kind,
            object = %object.name,
            table = %object.table,
            duration_ms = millis(object.duration),
            "{}",
            events::OBJECT_BUILT
        );
        self.with(|outcome| outcome.objects.push(object));
    }

    /// Records something that was left out.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn skipped(&self, skipped: Skipped) -> Result<()> {
        tracing::warn!(object = skipped.object, reason = skipped.reason, "{}", events::OBJECT_SKIPPED);
        sqlx::query(
            "insert into nightferry.skipped (run_id, stage, attempt, object, reason, definition) values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.run.as_str())
        .bind(self.stage.name())
        .bind(self.attempt)
        .bind(&skipped.object)
        .bind(&skipped.reason)
        .bind(&skipped.definition)
        .execute(self.ledger.session().await?.raw())
        .await
        .map_err(|error| failed("cannot write to the ledger what was left out", error))?;
        self.with(|outcome| outcome.skipped.push(skipped));
        Ok(())
    }

    /// What was recorded so far.
    #[must_use]
    pub fn outcome(&self) -> StageOutcome {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with(&self, change: impl FnOnce(&mut StageOutcome)) {
        change(&mut self.outcome.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
