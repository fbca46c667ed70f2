//! Runs that are open in the ledger and have no job left: a command that was killed, or a Redis that came back without its data.
//!
//! The ledger has what is missing: what was the last stage, and how it ended. From there the run goes on as it would have, or is closed.

use std::time::Duration;

use super::flow::{self, Next, Try};
use super::queued::Worker;
use super::run::{holder, interrupted, ledger, take};
use crate::adapters::ledger::{AttemptLine, Ledger, Origin, RunRow, Status};
use crate::adapters::queue::{Job, JobStatus, QueuedJob};
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::{RunId, Stage};

/// Looks at the open runs, and takes care of those that nobody is at work on and that have no job.
pub(super) async fn look(worker: &Worker, seen: &Ledger) -> Result<()> {
    for open in seen.open_runs().await? {
        let run = RunId::from(open.run_id.clone());
        if !is_command(&open) && worker.queues.is_alive(&run).await? {
            continue;
        }
        let taken =
            take(&worker.database, run.first_stage(), &holder(&run, "recovery"), Some(Duration::ZERO)).await;
        let lock = match taken {
            Ok(lock) => lock,
            // It is at work, or another one is.
            Err(error) if error.kind() == ErrorKind::Busy => continue,
            Err(error) => return Err(error),
        };
        let result = async {
            let ledger = ledger(&lock, &run).await?;
            if ledger.run_status(&run).await?.as_deref() == Some(Status::Running.name()) {
                goes_on(worker, &open, &ledger).await?;
            }
            Ok(())
        };
        let result = Box::pin(result).await;
        lock.release().await;
        result?;
    }
    Ok(())
}

/// Whether an open run goes on. Call it while the lock is held that the run would need: then nobody is at work on it, and one that
/// has no job either goes on from here, or is closed.
pub(super) async fn goes_on(worker: &Worker, open: &RunRow, ledger: &Ledger) -> Result<bool> {
    if is_command(open) {
        // A command holds the lock from its beginning to its end.
        close(worker, &last_job(ledger, open).await?, interrupted("the command was killed"), ledger).await;
        return Ok(false);
    }
    let run = RunId::from(open.run_id.clone());
    let (origin, first) = (Origin::named(&open.origin), run.first_stage());
    if worker.queues.is_alive(&run).await? {
        return Ok(true);
    }
    let last = last_attempt(ledger, &run).await?;
    if let Some((job, error)) =
        failed_before_its_stage(worker, &run, last.as_ref().map(|(stage, _)| *stage)).await?
    {
        close(worker, &job, error, ledger).await;
        return Ok(false);
    }
    let (stage, attempt, end) = match last {
        Some((stage, last)) => (stage, u32::try_from(last.attempt).unwrap_or(1), end_of(&last)),
        // It was opened, and its first stage was not.
        None if origin == Origin::Schedule => {
            push(worker, Job::first(run, first, origin), Duration::ZERO, "no stage yet").await?;
            return Ok(true);
        }
        // Nobody knows any more which stage was asked for.
        None if run.beside().is_none() => {
            let error = interrupted("its first job was lost before it began");
            close(worker, &Job::first(run, first, origin), error, ledger).await;
            return Ok(false);
        }
        None => (first, 1, Err(interrupted("the worker died before the first stage"))),
    };
    let found = Status::of(&end).name();
    let tried = Try { attempt, deaths: 0 };
    let job = Job { attempt, ..Job::first(run, stage, origin) };
    let kind = end.as_ref().copied().map_err(Error::kind);
    match flow::after(stage, tried, kind, &worker.policy, fastrand::f64()) {
        Next::Push(next) => push(worker, job.of_stage(next), Duration::ZERO, found).await?,
        Next::Retry { delay, attempt } => push(worker, Job { attempt, ..job }, delay, found).await?,
        Next::Fail | Next::Done => {
            worker.close(&job, &end, Some(ledger)).await;
            return Ok(false);
        }
    }
    Ok(true)
}

/// The stage of a run that was opened last, in its last attempt; none before its first.
async fn last_attempt(ledger: &Ledger, run: &RunId) -> Result<Option<(Stage, AttemptLine)>> {
    let last = ledger.attempts_of(run).await?.pop();
    Ok(last.and_then(|last| Some((last.stage.parse().ok()?, last))))
}

/// The first job of the stage at which an open run was left: whoever closes the run names this one.
pub(super) async fn last_job(ledger: &Ledger, open: &RunRow) -> Result<Job> {
    let run = RunId::from(open.run_id.clone());
    let stage = last_attempt(ledger, &run).await?.map_or(run.first_stage(), |(stage, _)| stage);
    Ok(Job::first(run, stage, Origin::named(&open.origin)))
}

fn is_command(open: &RunRow) -> bool {
    open.origin == Origin::Command.name()
}

/// How a stage ended, from what the ledger kept of it.
fn end_of(last: &AttemptLine) -> Result<()> {
    match last.status.as_str() {
        "succeeded" => Ok(()),
        "failed" => {
            let kind = last.error_kind.as_deref().and_then(ErrorKind::named).unwrap_or(ErrorKind::Internal);
            let error = Error::new(kind, last.error.as_deref().unwrap_or("the stage failed"));
            Err(match &last.hint {
                Some(hint) => error.hint(hint),
                None => error,
            })
        }
        _ if last.error_kind.as_deref() == Some(ErrorKind::Cancelled.name()) => Err(super::run::cancelled()),
        _ => Err(interrupted("the worker died in the middle of the stage")),
    }
}

/// The last job of a run, where it failed before the ledger knew of its stage. Who closes such a run could not reach the ledger.
async fn failed_before_its_stage(
    worker: &Worker,
    run: &RunId,
    last: Option<Stage>,
) -> Result<Option<(Job, Error)>> {
    let mut newest: Option<QueuedJob> = None;
    for stage in Stage::STARTED {
        let jobs = worker.queues.jobs(stage).await?;
        newest = jobs.into_iter().rfind(|queued| &queued.job.run == run).or(newest);
    }
    let newest = newest.filter(|queued| {
        queued.status == JobStatus::Failed && last.is_none_or(|last| queued.job.stage > last)
    });
    Ok(newest.map(|queued| {
        let error =
            Error::new(ErrorKind::Internal, queued.error.unwrap_or_else(|| "the stage failed".to_owned()));
        (queued.job, error)
    }))
}

async fn close(worker: &Worker, job: &Job, error: Error, ledger: &Ledger) {
    tracing::warn!(run = %job.run, stage = %job.stage, found = %error, "{}", events::RUN_RECOVERED);
    worker.close(job, &Err(error), Some(ledger)).await;
}

/// Pushes a job under the first number that no job of this run and stage ever had.
async fn push(worker: &Worker, job: Job, delay: Duration, found: &str) -> Result<()> {
    let jobs = worker.queues.jobs(job.stage).await?;
    let taken = jobs.iter().filter(|queued| queued.job.run == job.run).map(|queued| queued.job.seq).max();
    let job = Job { seq: taken.unwrap_or(0) + 1, ..job };
    tracing::warn!(run = %job.run, stage = %job.stage, found, "{}", events::RUN_RECOVERED);
    worker.push(&job, delay).await;
    Ok(())
}
