//! Stages done now, for `nightferry run`: no queue, no second try.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::flow::{self, Other};
use super::run::{Ground, close, holder, take};
use super::{Jobs, Outcomes};
use crate::adapters::ledger::{Ledger, Origin, Status};
use crate::adapters::postgres::{Database, WarehouseLock};
use crate::adapters::queue::host_name;
use crate::clock;
use crate::error::Result;
use crate::events;
use crate::ids::{RunId, Stage};
use crate::replication::preflight::two_databases;

/// A holder that was killed a moment ago may still be in the server's list.
const WAIT: Duration = Duration::from_secs(3);

/// Takes the warehouse, does the stages in order until one fails, and closes the run in the ledger. What was done comes
/// back either way.
pub(super) async fn run(
    jobs: &Jobs,
    stages: &[Stage],
    origin: Origin,
    stop: &CancellationToken,
) -> (Outcomes, Result<()>) {
    let mut outcomes = Outcomes::new();
    let result = hold(jobs, stages, origin, stop, &mut outcomes).await;
    (outcomes, result)
}

/// Does `work`, which is no stage and no run, while it holds the warehouse as a run does. It is cut short, its future dropped, when
/// the lock is lost.
pub(super) async fn holding<T>(
    jobs: &Jobs,
    what: &str,
    work: impl AsyncFnOnce(&Database, &Ledger) -> Result<T>,
) -> Result<T> {
    let database = jobs.warehouse()?;
    two_databases(&jobs.config).await?;
    let holder = holder(&RunId::at(clock::now()), what);
    let mut lock = WarehouseLock::acquire(&database, &holder, Some(WAIT)).await?;
    let work = async {
        let ledger = Ledger::open(&database).await?;
        close_dead_commands(&ledger, Stage::FullReplication).await?;
        work(&database, &ledger).await
    };
    let result = tokio::select! {
        biased;
        error = lock.lost() => Err(error),
        result = work => result,
    };
    lock.release().await;
    result
}

async fn hold(
    jobs: &Jobs,
    stages: &[Stage],
    origin: Origin,
    stop: &CancellationToken,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let Some(&first) = stages.first() else { return Ok(()) };
    let run = RunId::of(first, clock::now());
    let what = if let [stage] = stages { stage.name() } else { "night" };
    let database = jobs.warehouse()?;
    two_databases(&jobs.config).await?;
    let mut lock = take(&database, first, &holder(&run, what), Some(WAIT)).await?;
    let result = async {
        let ledger = Arc::new(Ledger::open(&database).await?);
        close_dead_commands(&ledger, first).await?;
        ledger.begin_run(&run, origin, &host_name()).await?;
        let mut ground = Ground { jobs, ledger: ledger.clone(), lock: &mut lock, stop };
        let result = in_order(&mut ground, &run, stages, outcomes).await;
        let status = Status::of(&result);
        close(stop, || ledger.end_run(&run, (status, result.as_ref().err()))).await;
        tracing::info!(run = %run, status = status.name(), "{}", events::RUN_ENDED);
        result
    }
    .await;
    lock.release().await;
    result
}

async fn in_order(
    ground: &mut Ground<'_>,
    run: &RunId,
    stages: &[Stage],
    outcomes: &mut Outcomes,
) -> Result<()> {
    for &stage in stages {
        let span = tracing::info_span!("stage", %run, %stage);
        let (outcome, result) = ground.stage(run, stage).instrument(span).await;
        outcomes.push((stage, outcome));
        result?;
    }
    Ok(())
}

/// A command holds the warehouse from its first stage to its last: with the lock in our hands, one that is still open
/// has died. A night of the queue may be between two stages; it is left alone, and only said.
async fn close_dead_commands(ledger: &Ledger, begins: Stage) -> Result<()> {
    for open in ledger.open_runs().await? {
        let run = RunId::from(open.run_id);
        if flow::other(begins, run.beside()) == Other::Beside {
            continue;
        }
        if open.origin == Origin::Command.name() {
            ledger.end_run(&run, (Status::Interrupted, None)).await?;
        } else {
            tracing::warn!(%run, host = open.host, "a night of the queue is open, this run goes between its stages");
        }
    }
    Ok(())
}
