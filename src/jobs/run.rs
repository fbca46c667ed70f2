//! One try of one stage, on a warehouse that is held: the ledger's rows, the log, panics, and what cuts it short.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::{Jobs, Stages};
use crate::adapters::ledger::{Ledger, Recorder, Status, in_time};
use crate::adapters::postgres::{Database, WarehouseLock};
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::{RunId, Stage};
use crate::outcome::{StageOutcome, millis};
use crate::{replication, vault};

/// The ledger's last words of a stage are waited for so long, and tried again so often: what cannot be written is not
/// worth a night.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
const CLOSE_TRIES: u32 = 10;
const CLOSE_PAUSE: Duration = Duration::from_millis(500);

/// The stages of the product.
pub(super) fn real() -> Stages {
    Arc::new(|stage, config, recorder| {
        async move {
            match stage {
                Stage::FullReplication => Box::pin(replication::full::run(&config, &recorder)).await,
                Stage::IncrementalReplication => {
                    Box::pin(replication::incremental::run(&config, &recorder)).await
                }
                Stage::LearningContentReplication => {
                    Box::pin(replication::content::run(&config, &recorder)).await
                }
                Stage::Notification => replication::notify::run(&config, &recorder).await,
                Stage::BackupPush => Box::pin(vault::push::run(&config, &recorder)).await,
                Stage::SchemaExport => Box::pin(replication::schema_export::run(&config, &recorder)).await,
                // No stage: it is told without a lock and without a row in the ledger.
                Stage::Event => Ok(()),
            }
        }
        .boxed()
    })
}

/// What a stage is run with.
pub(super) struct Ground<'a> {
    pub(super) jobs: &'a Jobs,
    pub(super) ledger: Arc<Ledger>,
    pub(super) lock: &'a mut WarehouseLock,
    /// The process is to stop.
    pub(super) stop: &'a CancellationToken,
    /// An operator wants this job to end.
    pub(super) cancel: &'a CancellationToken,
}

impl Ground<'_> {
    /// Runs a stage: opens and closes its row in the ledger, and logs its end once. Call it in a span that names both. It is cut short, its future
    /// dropped, when `stop` comes or the lock on the warehouse is lost.
    pub(super) async fn stage(&mut self, run: &RunId, stage: Stage) -> (StageOutcome, Result<()>) {
        let attempt = match self.ledger.begin_stage(run, stage).await {
            Ok(attempt) => attempt,
            Err(error) => {
                log_failure(&error, Duration::ZERO);
                return (StageOutcome::default(), Err(error));
            }
        };
        let recorder = Recorder::new(self.ledger.clone(), run.clone(), stage, attempt);
        let result = self.work(stage, attempt, recorder.clone()).await;
        let end = End {
            run,
            stage: Some((stage, attempt)),
            status: Status::of(&result),
            error: result.as_ref().err(),
        };
        end.close(self.jobs, self.stop, Some(&self.ledger)).await;
        (recorder.outcome(), result)
    }

    async fn work(&mut self, stage: Stage, attempt: i32, recorder: Recorder) -> Result<()> {
        tracing::info!(attempt, "{}", events::STAGE_STARTED);
        let start = Instant::now();
        let (stages, config) = (self.jobs.stages.clone(), self.jobs.config.clone());
        // The call itself is inside, since it may panic too.
        let work = AssertUnwindSafe(async move { stages(stage, config, recorder).await }).catch_unwind();
        let result = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(interrupted("the worker was stopped in the middle of the stage")),
            () = self.cancel.cancelled() => Err(cancelled()),
            error = self.lock.lost() => Err(error),
            result = work => result.unwrap_or_else(|panic| Err(panicked(panic.as_ref()))),
        };
        match &result {
            Ok(()) => tracing::info!(duration_ms = millis(start.elapsed()), "{}", events::STAGE_ENDED),
            Err(error) => log_failure(error, start.elapsed()),
        }
        result
    }
}

/// Logs the end of a stage that failed, or that could not begin. The one place where its error is logged.
pub(super) fn log_failure(error: &Error, duration: Duration) {
    tracing::error!(
        duration_ms = millis(duration),
        error.kind = error.kind().name(),
        error.message = %error,
        hint = error.operator_hint(),
        "{}",
        events::STAGE_FAILED
    );
}

/// Writes an end to the ledger. A warehouse that is away for a moment is waited for; what cannot be written at all
/// is only logged: the next job closes what was left open.
async fn close<F>(stop: &CancellationToken, mut write: impl FnMut() -> F)
where
    F: Future<Output = Result<()>>,
{
    let tries = if stop.is_cancelled() { 1 } else { CLOSE_TRIES };
    for attempt in 1..=tries {
        let Err(error) = in_time(CLOSE_LIMIT, write()).await else { return };
        if attempt == tries {
            tracing::error!(
                error.kind = error.kind().name(),
                error.message = %error,
                "the ledger could not be told of an end"
            );
        } else {
            tokio::time::sleep(CLOSE_PAUSE).await;
        }
    }
}

/// The end of a run, or of one of its stages, on its way to the ledger.
pub(super) struct End<'a> {
    pub(super) run: &'a RunId,
    /// The stage and its attempt; none where it is the whole run's.
    pub(super) stage: Option<(Stage, i32)>,
    pub(super) status: Status,
    pub(super) error: Option<&'a Error>,
}

impl End<'_> {
    /// Writes it to the ledger; see [`close`].
    pub(super) async fn close(&self, jobs: &Jobs, stop: &CancellationToken, ledger: Option<&Ledger>) {
        close(stop, || self.last_words(jobs, ledger).boxed()).await;
    }

    /// Over the session that came with the lock, or, where the lock was lost or never taken, over another one: it is of what this job did
    /// itself.
    async fn last_words(&self, jobs: &Jobs, ledger: Option<&Ledger>) -> Result<()> {
        if let Some(ledger) = ledger
            && self.write(ledger).await.is_ok()
        {
            return Ok(());
        }
        let database = jobs.warehouse()?.named(&format!("nightferry {}", self.run));
        match Ledger::open_existing(&database).await? {
            Some(ledger) => self.write(&ledger).await,
            None => Ok(()),
        }
    }

    async fn write(&self, ledger: &Ledger) -> Result<()> {
        let ended = (self.status, self.error);
        match self.stage {
            Some((stage, attempt)) => ledger.end_stage(self.run, stage, attempt, ended).await,
            None => ledger.end_run(self.run, ended).await,
        }
    }
}

/// Takes what a stage needs to itself: the warehouse, or the turn to push.
pub(super) async fn take(
    database: &Database,
    stage: Stage,
    holder: &str,
    wait: Option<Duration>,
) -> Result<WarehouseLock> {
    if stage.needs_warehouse() {
        WarehouseLock::acquire(database, holder, wait).await
    } else {
        WarehouseLock::acquire_push(database, holder, wait).await
    }
}

/// The ledger of those who hold the lock: its session says whose it is.
pub(super) async fn ledger(lock: &WarehouseLock, run: &RunId) -> Result<Arc<Ledger>> {
    Ledger::open(&lock.database().named(&format!("nightferry {run}"))).await.map(Arc::new)
}

/// An error that means: stopped in the middle.
pub(super) fn interrupted(text: &str) -> Error {
    Error::new(ErrorKind::Interrupted, text).hint("nightferry restart <stage> starts it again")
}

/// An error that means: somebody said so.
pub(super) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "cancelled by an operator")
        .hint("nightferry queue retry starts it again")
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word");
    Error::new(ErrorKind::Internal, format!("the stage panicked: {text}"))
        .hint("this is a bug of nightferry: please report it with the log of the stage")
}

/// The holder of the warehouse as another one will be told. Short: the server shows 63 bytes.
pub(super) fn holder(run: &RunId, what: &str) -> String {
    format!("{run} {} on {}", what.trim_end_matches("-replication"), crate::adapters::queue::host_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_text() {
        let formatted: Box<dyn Any + Send> = Box::new("index 7".to_owned());
        let plain: Box<dyn Any + Send> = Box::new("oops");
        assert_eq!(panicked(formatted.as_ref()).to_string(), "the stage panicked: index 7");
        assert_eq!(panicked(plain.as_ref()).to_string(), "the stage panicked: oops");
        assert_eq!(panicked(plain.as_ref()).kind(), ErrorKind::Internal);
    }

    #[tokio::test]
    async fn an_end_is_written_again_when_the_warehouse_was_away_for_a_moment() {
        let mut tries = 0;
        close(&CancellationToken::new(), || {
            tries += 1;
            let result = if tries < 3 { Err(Error::new(ErrorKind::Connection, "away")) } else { Ok(()) };
            std::future::ready(result)
        })
        .await;
        assert_eq!(tries, 3);
    }

    #[tokio::test]
    async fn a_worker_that_is_stopping_writes_an_end_once_and_not_for_long() {
        let stop = CancellationToken::new();
        stop.cancel();
        let start = Instant::now();
        close(&stop, std::future::pending).await;
        assert!(start.elapsed() < CLOSE_LIMIT * 2, "{:?}", start.elapsed());
    }
}
