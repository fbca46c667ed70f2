//! What an operator does to a job or a queue.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::queued::Worker;
use super::super::run::cancelled;
use super::super::{Jobs, announce, flow};
use super::{Counts, State, find, ledger, stats};
use crate::adapters::ledger::Status;
use crate::adapters::queue::{Job, JobStatus, QueuedJob, Queues, host_name};
use crate::clock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Stage;

/// How long a job at work is waited for after it was told to stop: the servers end its statements within ten seconds.
const STOP_LIMIT: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What a job's record says.
const WHY: &str = "cancelled by an operator";

/// A job that was put on its queue again.
#[derive(Debug, Clone, Serialize)]
pub struct Retried {
    /// The new job.
    pub id: String,
    /// The one that had failed.
    pub of: String,
    /// Its queue.
    pub queue: &'static str,
}

/// A job that was cancelled or removed.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// The job. Where a cancelled one was followed by another try meanwhile, that one.
    pub id: String,
    /// How it stood before.
    pub was: State,
}

/// Puts a failed job on its queue again, as the first try of its stage, in the same run; the stages after it follow.
///
/// # Errors
/// There is no such job, it did not fail, it was followed by another one, or its run is open. The queue or the warehouse cannot be
/// reached.
pub async fn retry(config: &Config, id: &str) -> Result<Retried> {
    let queues = Queues::open(&config.queue).await?;
    let QueuedJob { job, status, .. } = find(&queues, id).await?;
    let id = job.id();
    if status != JobStatus::Failed {
        let how = if status == JobStatus::Done { "ended well" } else { "has not ended" };
        return Err(Error::new(ErrorKind::Refused, format!("{id} did not fail, it {how}"))
            .hint("`nightferry queue failed` lists those that did"));
    }
    if let Some(later) = follower(&queues, &job).await? {
        return Err(Error::new(ErrorKind::Refused, format!("{id} was followed by {later}"))
            .hint(format!("`nightferry queue show {later}` says what became of it")));
    }
    if job.stage != Stage::Event {
        refuse_open(config, &queues, &job).await?;
    }
    let again = Job { deaths: 0, retried_at: Some(clock::now()), ..job.again(1) };
    if !queues.push(&again, Duration::ZERO).await? {
        return Err(Error::new(
            ErrorKind::Busy,
            format!("{id} was tried again by somebody else at this moment"),
        )
        .hint(format!("`nightferry queue show {}` says what became of it", again.id())));
    }
    Ok(Retried { id: again.id(), of: id, queue: job.stage.queue_name() })
}

/// The last job that came after this one in its run.
async fn follower(queues: &Queues, job: &Job) -> Result<Option<String>> {
    let mut of_stage = queues.jobs(job.stage).await?;
    of_stage.retain(|other| is_try_of(&other.job, job) && other.job.seq > job.seq);
    if let Some(last) = of_stage.last() {
        return Ok(Some(last.job.id()));
    }
    match flow::following(job.stage).map(|next| job.of_stage(next)) {
        Some(next) if queues.exists(&next).await? => Ok(Some(next.id())),
        _ => Ok(None),
    }
}

/// Whether two jobs are for the same thing: a stage of a run, or an event.
fn is_try_of(one: &Job, other: &Job) -> bool {
    let seq = other.seq;
    Job { seq, ..one.clone() }.id() == other.id()
}

async fn refuse_open(config: &Config, queues: &Queues, job: &Job) -> Result<()> {
    let is_open = queues.is_alive(&job.run).await?
        || match ledger(config).await? {
            Some(ledger) => ledger.run_status(&job.run).await?.as_deref() == Some(Status::Running.name()),
            None => false,
        };
    if is_open {
        return Err(Error::new(ErrorKind::Busy, format!("run {} is open", job.run))
            .hint("wait until it has ended, or cancel its job; `nightferry queue stats` counts those"));
    }
    Ok(())
}

/// Ends a job and its run: one that waits does not begin, one at work is stopped, on the servers too.
///
/// # Errors
/// There is no such job, it has ended, or does not stop in time. The queue or the warehouse cannot be reached.
pub async fn cancel(config: &Config, id: &str) -> Result<Changed> {
    let queues = Queues::open(&config.queue).await?;
    let mut queued = find(&queues, id).await?;
    if !queued.status.is_open() {
        let error = Error::new(ErrorKind::Refused, format!("{} has ended", queued.job.id()));
        return Err(match open_job(&queues, &queued.job).await? {
            Some(open) => error.hint(format!("what its run has open is {open}")),
            None => error.hint("nothing of its run is open"),
        });
    }
    loop {
        let was = state(&queues, &queued).await?;
        if queued.status == JobStatus::Waiting {
            // In this order: a run that is open and has no job is taken for one whose job was lost.
            close(config, &queues, &queued.job).await?;
        }
        let job = queued.job;
        if queued.status == JobStatus::Running {
            // First of all: a worker that is cut off from the queue counts as dead, and may be at work all the same.
            queues.ask_to_cancel(&job).await?;
        }
        if queues.withdraw(&job, WHY).await? {
            close(config, &queues, &job).await?;
            have_told(config, &queues, &job).await?;
            return Ok(Changed { id: job.id(), was });
        }
        queues.ask_to_cancel(&job).await?;
        let ended = ended(&queues, &job).await?;
        match open_try(&queues, &job).await? {
            // It was put back, or failed at that moment and is to be tried again.
            Some(next) => queued = next,
            None if ended == JobStatus::Failed => {
                // Where its worker could not do it.
                close(config, &queues, &job).await?;
                return Ok(Changed { id: job.id(), was });
            }
            None => return Err(too_late(&queues, &job).await?),
        }
    }
}

async fn state(queues: &Queues, queued: &QueuedJob) -> Result<State> {
    let is_paused = queues.is_paused(queued.job.stage).await?;
    Ok(State::of(queued, is_paused, clock::now()))
}

/// Waits until a job that was told to stop has ended, and says how.
async fn ended(queues: &Queues, job: &Job) -> Result<JobStatus> {
    let deadline = Instant::now() + STOP_LIMIT;
    loop {
        let found = queues.find(&job.id()).await?;
        let status = found.as_ref().map_or(JobStatus::Failed, |found| found.status);
        if !status.is_open() {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            let worker = found.and_then(|found| found.held_by).unwrap_or_else(|| "its worker".to_owned());
            let text = format!(
                "{worker} was asked to stop {} and has not done so within {} s",
                job.id(),
                STOP_LIMIT.as_secs()
            );
            return Err(Error::new(ErrorKind::Timeout, text)
                .hint("it stops as soon as that worker looks; where the worker died, its job comes back within half a minute and is stopped then"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The job of the same run and stage that is open.
async fn open_try(queues: &Queues, job: &Job) -> Result<Option<QueuedJob>> {
    let mut jobs = queues.jobs(job.stage).await?;
    jobs.retain(|other| is_try_of(&other.job, job) && other.status.is_open());
    Ok(jobs.pop())
}

/// The name of the job of the same run that is open, events apart.
async fn open_job(queues: &Queues, job: &Job) -> Result<Option<String>> {
    for stage in Stage::STARTED {
        let mut jobs = queues.jobs(stage).await?;
        jobs.retain(|other| other.job.run == job.run && other.status.is_open());
        if let Some(open) = jobs.pop() {
            return Ok(Some(open.job.id()));
        }
    }
    Ok(None)
}

async fn too_late(queues: &Queues, job: &Job) -> Result<Error> {
    let error = Error::new(ErrorKind::Refused, format!("{} ended well before it could be stopped", job.id()));
    Ok(match open_job(queues, job).await? {
        Some(open) => error.hint(format!("its run goes on: nightferry queue cancel {open}")),
        None => error.hint("its run has ended with it"),
    })
}

/// Closes the run of a job that will not begin, or writes down that there was one.
async fn close(config: &Config, queues: &Queues, job: &Job) -> Result<()> {
    if job.stage == Stage::Event || open_job(queues, job).await?.is_some_and(|open| open != job.id()) {
        return Ok(());
    }
    let Some(ledger) = ledger(config).await? else { return Ok(()) };
    match ledger.run_status(&job.run).await? {
        None => ledger.begin_run(&job.run, job.origin, &host_name()).await?,
        Some(status) if status == Status::Running.name() => {}
        Some(_) => return Ok(()),
    }
    ledger.end_run(&job.run, (Status::Interrupted, Some(&cancelled()))).await
}

/// Has it told that a run was ended here: no worker does it for a job that none has taken.
async fn have_told(config: &Config, queues: &Queues, job: &Job) -> Result<()> {
    if job.stage != Stage::Event {
        let worker = Worker::new(&Jobs::new(config.clone()), queues, &CancellationToken::new())?;
        let end = Err(cancelled());
        let telling = announce::ended(&worker, job, &end);
        if tokio::time::timeout(STOP_LIMIT, telling).await.is_err() {
            tracing::warn!(run = %job.run, "the queue does not answer, nobody is told that the run was cancelled");
        }
    }
    Ok(())
}

/// Removes a job that has ended or waits, with all that its queue knows of it. The run of one that waits is closed.
///
/// # Errors
/// There is no such job, or it is at work. The queue or the warehouse cannot be reached.
pub async fn remove(config: &Config, id: &str) -> Result<Changed> {
    let queues = Queues::open(&config.queue).await?;
    let queued = find(&queues, id).await?;
    let was = state(&queues, &queued).await?;
    if queued.status == JobStatus::Waiting {
        // It may begin at this moment: then it is stopped, so that no run is closed that somebody is at work on.
        cancel(config, id).await?;
    }
    let id = queued.job.id();
    if queues.remove(&queued.job).await? {
        return Ok(Changed { id, was });
    }
    let worker = queued.held_by.as_deref().unwrap_or("a worker");
    Err(Error::new(ErrorKind::Refused, format!("{id} is at work in {worker}"))
        .hint(format!("nightferry queue cancel {id} stops it")))
}

/// Lets the jobs of these queues wait.
///
/// # Errors
/// The queue cannot be reached.
pub async fn pause(config: &Config, stages: &[Stage]) -> Result<Vec<Counts>> {
    let queues = Queues::open(&config.queue).await?;
    for stage in stages {
        queues.pause(*stage).await?;
    }
    stats(config).await
}

/// Lets the jobs of these queues be taken again.
///
/// # Errors
/// The queue cannot be reached.
pub async fn resume(config: &Config, stages: &[Stage]) -> Result<Vec<Counts>> {
    let queues = Queues::open(&config.queue).await?;
    for stage in stages {
        queues.resume(*stage).await?;
    }
    stats(config).await
}
