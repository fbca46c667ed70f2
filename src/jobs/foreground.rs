//! Stages done now, for `nightferry run`: no queue, no second try.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::flow::{self, Other};
use super::recovery::last_job;
use super::run::{End, Ground, holder, interrupted, ledger, take};
use super::{Jobs, Outcomes, announce};
use crate::adapters::ledger::{Ledger, Origin, Status};
use crate::adapters::postgres::{Database, WarehouseLock};
use crate::adapters::queue::{Job, Queues, host_name};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::{RunId, Stage};
use crate::notice::{Event, Notice};
use crate::replication::notify;
use crate::replication::preflight::two_databases;

/// A holder that was killed a moment ago may still be in the server's list.
const WAIT: Duration = Duration::from_secs(3);
/// Who waits for an open night looks so often whether it has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
    let run = RunId::at(clock::now());
    two_databases(&jobs.config).await?;
    let (mut lock, ledger, dead) = begin(jobs, &run, Stage::FullReplication, what).await?;
    let result = {
        let database = lock.database().named(&format!("nightferry {run} {what}"));
        let work = async {
            let ledger = ledger;
            work(&database, &ledger).await
        };
        tokio::select! {
            biased;
            error = lock.lost() => Err(error),
            result = work => result,
        }
    };
    lock.release().await;
    tell_of(jobs, dead).await;
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
    let run = free_run(jobs, first).await?;
    let what = if let [stage] = stages { stage.name() } else { "night" };
    two_databases(&jobs.config).await?;
    let (mut lock, ledger, dead) = tokio::select! {
        begun = begin(jobs, &run, first, what) => begun?,
        () = stop.cancelled() => return Err(interrupted("stopped before the warehouse was free")),
    };
    let opened = match stages {
        [_] => ledger.begin_run(&run, origin, &host_name()).await,
        _ => ledger.begin_night(&run, origin, &host_name()).await,
    };
    // Beside the work: an endpoint that hangs is not waited for with the warehouse in hand.
    let telling = async {
        tell_of(jobs, dead).await;
        if opened.is_ok() {
            tell(jobs, &run, announce::notice(Event::Started, run.as_str(), first)).await;
        }
    };
    let telling = stop.run_until_cancelled(telling);
    let work = async {
        let result = match &opened {
            Ok(()) => work(jobs, &run, (&mut lock, ledger), stages, stop, outcomes).await,
            Err(_) => Ok(()),
        };
        lock.release().await;
        result
    };
    let (result, _) = futures::future::join(work, telling).await;
    let result = opened.and(result);
    let last = outcomes.last().map_or(first, |(stage, _)| *stage);
    if let Some(notice) = announce::ending(run.as_str(), last, &result) {
        tell(jobs, &run, notice).await;
    }
    result
}

/// Does the stages, and closes the run.
async fn work(
    jobs: &Jobs,
    run: &RunId,
    (lock, ledger): (&mut WarehouseLock, Arc<Ledger>),
    stages: &[Stage],
    stop: &CancellationToken,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let never = CancellationToken::new();
    let mut ground = Ground { jobs, ledger: ledger.clone(), lock, stop, cancel: &never };
    let result = in_order(&mut ground, run, stages, outcomes).await;
    let status = Status::of(&result);
    End { run, stage: None, status, error: result.as_ref().err() }.close(jobs, stop, Some(&ledger)).await;
    tracing::info!(%run, status = status.name(), "{}", events::RUN_ENDED);
    result
}

/// A run of a second that no other one has: of those in the ledger, and of the time at which the schedule begins a night.
async fn free_run(jobs: &Jobs, first: Stage) -> Result<RunId> {
    let ledger = Ledger::open_existing(&jobs.warehouse()?).await?;
    let mut instant = clock::now();
    loop {
        let run = RunId::of(first, instant);
        let is_taken = match &ledger {
            Some(ledger) => ledger.run_status(&run).await?.is_some(),
            None => false,
        };
        if !is_taken && !jobs.is_of_the_schedule(instant)? {
            return Ok(run);
        }
        instant += chrono::TimeDelta::seconds(1);
    }
}

/// Takes the lock, once no run is open that this one may not go beside; waits for both as long as it was told to. Comes with the runs
/// that were found dead.
async fn begin(
    jobs: &Jobs,
    run: &RunId,
    first: Stage,
    what: &str,
) -> Result<(WarehouseLock, Arc<Ledger>, Vec<Job>)> {
    let database = jobs.warehouse()?;
    let mut dead = Vec::new();
    let deadline = Instant::now() + jobs.wait.unwrap_or(WAIT).max(WAIT);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let lock = take(&database, first, &holder(run, what), Some(left)).await?;
        let ledger = Box::pin(ledger(&lock, run)).await?;
        let Some(error) = close_dead_runs(jobs, &ledger, first, &mut dead).await? else {
            return Ok((lock, ledger, dead));
        };
        drop(ledger);
        lock.release().await;
        if jobs.wait.is_none() || Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn in_order(
    ground: &mut Ground<'_>,
    run: &RunId,
    stages: &[Stage],
    outcomes: &mut Outcomes,
) -> Result<()> {
    for &stage in stages {
        let span = tracing::error_span!("stage", %run, %stage);
        let (outcome, result) = ground.stage(run, stage).instrument(span).await;
        outcomes.push((stage, outcome));
        result?;
    }
    Ok(())
}

/// Closes the open runs that are dead, and gives the reason to wait where one is not. A command holds the lock from its first stage to
/// its last: with the lock in our hands, one that is still open has died. A night of the queue may be between two stages: then the
/// warehouse is not whole, and nothing may come in between.
async fn close_dead_runs(
    jobs: &Jobs,
    ledger: &Ledger,
    begins: Stage,
    dead: &mut Vec<Job>,
) -> Result<Option<Error>> {
    for open in ledger.open_runs().await? {
        let run = RunId::from(open.run_id.clone());
        if flow::other(begins, run.beside()) == Other::Beside {
            continue;
        }
        if open.origin != Origin::Command.name() {
            let queues = Queues::open(&jobs.config.queue).await.map_err(|error| {
                error
                    .context(format!("cannot see whether run {run} goes on, which is open in the ledger"))
                    .hint("where that queue never comes back: stop the workers, then run this without REDIS_URL, which closes that run")
            })?;
            if queues.is_alive(&run).await? {
                let since = open.started_at.format("%Y-%m-%d %H:%MZ");
                let text =
                    format!("run {run} is open since {since} on {}, and its next job waits", open.host);
                return Ok(Some(Error::new(ErrorKind::Busy, text).hint(
                    "wait for its end (--wait 2h does), or end it: `nightferry queue stats` shows its job, `queue cancel` ends it",
                )));
            }
        }
        // The job that a worker would name, so that those who are told by both know.
        let job = last_job(ledger, &open).await?;
        ledger.end_run(&run, (Status::Interrupted, Some(&left_open()))).await?;
        dead.push(job);
    }
    Ok(None)
}

fn left_open() -> Error {
    interrupted("it was left open and has no job any more")
}

/// Tells of the runs that were found dead.
async fn tell_of(jobs: &Jobs, dead: Vec<Job>) {
    for job in dead {
        if let Some(notice) = announce::ending(&job.id(), job.stage, &Err(left_open())) {
            tell(jobs, &job.run, notice).await;
        }
    }
}

/// Tells an event from here: there is no worker to do it.
async fn tell(jobs: &Jobs, run: &RunId, notice: Notice) {
    if notify::is_wanted(&jobs.config, notice.event)
        && let (_, Err(error)) = Box::pin(announce::tell(jobs, run, &notice)).await
    {
        // Each endpoint's own error was logged.
        tracing::warn!(event = notice.event.name(), error.message = %error, "{}", events::NOTIFICATION_FAILED);
    }
}
