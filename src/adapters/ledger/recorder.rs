//! The recorder of one attempt of a stage: steps, tables and what was left out go to the log, the ledger and the
//! outcome at once.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, TimeDelta};

use super::objects::Gathered;
use super::runs::Status;
use super::store::Ledger;
use crate::adapters::postgres::{Database, failed};
use crate::clock;
use crate::error::Result;
use crate::events;
use crate::ids::{RunId, Stage};
use crate::outcome::{Meter, ObjectOutcome, Skipped, StageOutcome, StepOutcome, TableOutcome, millis};

/// Records one attempt of a stage. Shared by the tasks of the stage.
#[derive(Debug, Clone)]
pub struct Recorder {
    ledger: Arc<Ledger>,
    run: RunId,
    stage: Stage,
    attempt: i32,
    connection: Option<String>,
    outcome: Arc<Mutex<StageOutcome>>,
    built: Arc<Gathered>,
    meter: Meter,
}

/// How often the ledger is told how far a step is that moves bytes itself.
const TELL_EVERY: Duration = Duration::from_secs(2);

impl Recorder {
    /// A recorder for an attempt that the ledger has opened.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, run: RunId, stage: Stage, attempt: i32) -> Self {
        Self {
            ledger,
            run,
            stage,
            attempt,
            connection: None,
            outcome: Arc::default(),
            built: Arc::default(),
            meter: Meter::default(),
        }
    }

    /// The same, for what is done on this connection of several.
    #[must_use]
    pub fn on(&self, connection: String) -> Self {
        Self { connection: Some(connection), ..self.clone() }
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

    /// Where a step tells how far it is that moves bytes which no server counts.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
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
        self.meter.set(0, 0);
        let result = tokio::select! {
            biased;
            result = work => result.map_err(|error| error.context(step)),
            never = self.tell_progress(id) => match never {},
        };
        let duration = start.elapsed();
        let written = self.ledger.write_objects(self.key(), &self.built.take()).await;
        let closed = self.close_step(id, Status::of(&result)).await;
        match &result {
            Ok(_) => tracing::info!(step, duration_ms = millis(duration), "{}", events::STEP_ENDED),
            // The stage logs the error itself, once.
            Err(error) => tracing::warn!(
                step,
                duration_ms = millis(duration),
                error.kind = error.kind().name(),
                "{}",
                events::STEP_FAILED
            ),
        }
        let value = result?;
        written.and(closed)?;
        self.with(|outcome| outcome.steps.push(StepOutcome { step, duration }));
        Ok(value)
    }

    /// Tells the ledger how far the step is, while it moves bytes. That it cannot be told is no reason to stop.
    async fn tell_progress(&self, id: i64) -> Infallible {
        let mut told = (0, 0);
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            let progress = self.meter.read();
            if progress != told && self.write_progress(id, progress).await.is_ok() {
                told = progress;
            }
        }
    }

    async fn write_progress(&self, id: i64, (done, total): (u64, u64)) -> Result<()> {
        sqlx::query("update nightferry.steps set bytes_done = $2, bytes_total = $3 where step_id = $1")
            .bind(id)
            .bind(known(done))
            .bind(known(total))
            .execute(self.ledger.session().await?.raw())
            .await
            .map(|_| ())
            .map_err(|error| failed("cannot write to the ledger how far a step is", error))
    }

    async fn close_step(&self, id: i64, status: Status) -> Result<()> {
        let (done, total) = self.meter.read();
        sqlx::query(
            "update nightferry.steps set status = $2, ended_at = clock_timestamp(),
                bytes_done = $3, bytes_total = $4
             where step_id = $1",
        )
        .bind(id)
        .bind(status.name())
        .bind(known(done))
        .bind(known(total))
        .execute(self.ledger.session().await?.raw())
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot close a step in the ledger", error))
    }

    /// Records a table that was written just now.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn table(&self, table: TableOutcome) -> Result<()> {
        self.table_of_before(table, Instant::now()).await
    }

    /// Records a table that was written up to `ended`: one that is only safe together with others is told when all of them are.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn table_of_before(&self, table: TableOutcome, ended: Instant) -> Result<()> {
        tracing::info!(
            table = %table.table,
            treatment = table.treatment,
            rows = table.rows,
            bytes = table.bytes,
            started_at = started(ended, table.duration),
            duration_ms = millis(table.duration),
            connection = self.connection,
            "{}",
            events::TABLE_COPIED
        );
        self.ledger.write_table(self.key(), &table, self.connection.as_deref(), ended).await?;
        self.with(|outcome| outcome.tables.push(table));
        Ok(())
    }

    /// Records an index or constraint that was built, or an enrichment file that was run. The ledger has it a little later, with
    /// those that follow, and at the end of the step at the latest.
    ///
    /// # Errors
    /// The ledger cannot be reached.
    pub async fn object(&self, object: ObjectOutcome) -> Result<()> {
        tracing::info!(
            kind = %object.kind,
            object = %object.name,
            table = object.table_label(),
            started_at = started(Instant::now(), object.duration),
            duration_ms = millis(object.duration),
            connection = self.connection,
            "{}",
            events::OBJECT_BUILT
        );
        let gathered = self.built.add(object.clone(), self.connection.clone());
        self.with(|outcome| outcome.objects.push(object));
        self.ledger.write_objects(self.key(), &gathered).await
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

/// When it began, for the log: in the form of the line's own time.
fn started(ended: Instant, duration: Duration) -> String {
    let ago = TimeDelta::from_std(ended.elapsed() + duration).unwrap_or_default();
    (clock::now() - ago).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A number of bytes for the ledger; none where it is not known.
fn known(bytes: u64) -> Option<i64> {
    i64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}
