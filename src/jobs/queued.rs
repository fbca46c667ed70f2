//! One job from a queue, from its delivery to what follows it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::flow::{self, Found, MOST_DEATHS, Next, Other, Policy, Try};
use super::run::{self, End, Ground, cancelled, holder, interrupted, log_failure, take};
use super::schedule::Missed;
use super::{Jobs, announce, recovery};
use crate::adapters::ledger::{Ledger, Origin, RunLine, Status};
use crate::adapters::postgres::{Database, WarehouseLock};
use crate::adapters::queue::{Delivery, Handler, Job, Queues, host_name};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::{RunId, Stage};
use crate::outcome::millis;
use crate::replication::preflight::two_databases;

/// A queue that does not answer is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How often a job at work is looked after: was it cancelled?
const LOOK_FOR_CANCEL_EVERY: Duration = Duration::from_secs(1);

/// What jobs are run with.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) jobs: Jobs,
    pub(super) queues: Queues,
    pub(super) database: Database,
    pub(super) policy: Policy,
    pub(super) stop: CancellationToken,
}

/// How a job begins.
enum Begin {
    /// With its stage's work.
    Work,
    /// Another night is open.
    Later,
    /// Not at all: an earlier delivery ended well.
    Ended,
    /// Not at all: a worker died over an earlier delivery.
    Died(Error),
    /// Not at all: its time has long passed.
    LeftOut(Error),
    /// Not at all: an earlier delivery failed for good, and its run was closed.
    Over,
}

impl Worker {
    pub(super) fn new(jobs: &Jobs, queues: &Queues, stop: &CancellationToken) -> Result<Self> {
        Ok(Self {
            jobs: jobs.clone(),
            queues: queues.clone(),
            database: jobs.warehouse()?,
            policy: Policy::of(&jobs.config.queue),
            stop: stop.clone(),
        })
    }

    /// What the queues hand their jobs to.
    pub(super) fn handler(self) -> Handler {
        Arc::new(move |delivery| {
            let worker = self.clone();
            // Not of a lower level: LOG_LEVEL=error would take run and stage from the errors.
            let span = tracing::error_span!("stage", run = %delivery.job.run, stage = %delivery.job.stage);
            async move { worker.deliver(delivery).await }.instrument(span).boxed()
        })
    }

    /// Runs a job. What follows it is on its queue when this comes back, and not before does the job count as done.
    async fn deliver(&self, delivery: Delivery) -> Result<()> {
        let interrupted = delivery.job.interrupted || delivery.redelivered;
        let job = Job { interrupted, ..delivery.job };
        tracing::info!("{} {}: {}", events::JOB_STARTING, job.stage.queue_name(), job.id());
        if self.was_followed(&job).await {
            return Ok(());
        }
        let is_late = self.is_late(&job);
        let cancel = CancellationToken::new();
        // Before anything of it begins: one that came back may have been cancelled while its worker was not missed yet.
        if self.queues.is_cancelled(&job).await.unwrap_or(false) {
            cancel.cancel();
        }
        let mut work = match job.stage {
            Stage::Event => self.tell(&job, &cancel).boxed(),
            _ => self.hold(&job, is_late, &cancel).boxed(),
        };
        tokio::select! {
            result = &mut work => return result,
            () = self.asked_to_cancel(&job) => cancel.cancel(),
        }
        work.await
    }

    /// Takes what the stage needs to itself, and goes on.
    async fn hold(&self, job: &Job, is_late: bool, cancel: &CancellationToken) -> Result<()> {
        let holder = holder(&job.run, job.stage.name());
        let lock = tokio::select! {
            biased;
            () = self.stop.cancelled() => return self.put_back(job, Duration::ZERO).await,
            () = cancel.cancelled() => Err(cancelled()),
            lock = take(&self.database, job.stage, &holder, None) => lock,
        };
        match lock {
            Ok(mut lock) => {
                let result = self.with_lock(job, is_late, &mut lock, cancel).await;
                lock.release().await;
                result
            }
            Err(error) => {
                log_failure(&error, Duration::ZERO);
                self.follow(job, Err(error), None).await
            }
        }
    }

    async fn with_lock(
        &self,
        job: &Job,
        is_late: bool,
        lock: &mut WarehouseLock,
        cancel: &CancellationToken,
    ) -> Result<()> {
        // Again: it may have been followed while it waited for the warehouse.
        if self.was_followed(job).await {
            return Ok(());
        }
        let begin = tokio::select! {
            biased;
            () = self.stop.cancelled() => return self.put_back(job, Duration::ZERO).await,
            begin = self.prepare(job, is_late, lock) => begin,
        };
        let (ledger, result) = match begin {
            Ok((_, Begin::Later)) => {
                let due = TimeDelta::from_std(self.jobs.defer).ok().map(|defer| clock::now() + defer);
                return self.put_back(&Job { due, ..job.clone() }, self.jobs.defer).await;
            }
            Ok((ledger, Begin::LeftOut(error))) => {
                log_failure(&error, Duration::ZERO);
                let result = Err(error);
                self.close(job, &result, Some(&ledger)).await;
                return result;
            }
            Ok((_, Begin::Over)) => {
                return Err(Error::new(ErrorKind::Refused, "this stage failed before its worker died")
                    .hint("nightferry queue retry starts it again"));
            }
            Ok((ledger, Begin::Died(error))) => {
                let job = Job { deaths: job.deaths + 1, ..job.clone() };
                return self.follow(&job, Err(error), Some(&ledger)).await;
            }
            Ok((ledger, Begin::Ended)) => (Some(ledger), Ok(())),
            Ok((ledger, Begin::Work)) => {
                let stop = &self.stop;
                let mut ground = Ground { jobs: &self.jobs, ledger: ledger.clone(), lock, stop, cancel };
                let (_, result) = ground.stage(&job.run, job.stage).await;
                (Some(ledger), result)
            }
            Err(error) => {
                log_failure(&error, Duration::ZERO);
                (None, Err(error))
            }
        };
        self.follow(job, result, ledger.as_deref()).await
    }

    /// Opens the ledger, and decides.
    fn prepare<'a>(
        &'a self,
        job: &'a Job,
        is_late: bool,
        lock: &'a WarehouseLock,
    ) -> BoxFuture<'a, Result<(Arc<Ledger>, Begin)>> {
        async move {
            two_databases(&self.jobs.config).await?;
            let ledger = run::ledger(lock, &job.run).await?;
            let begin = self.begin(job, is_late, &ledger).await?;
            Ok((ledger, begin))
        }
        .boxed()
    }

    /// Decides how a job begins, and opens its run.
    async fn begin(&self, job: &Job, is_late: bool, ledger: &Ledger) -> Result<Begin> {
        let open = ledger.open_runs().await?;
        let is_new = !open.iter().any(|run| run.run_id == job.run.as_str());
        // A run that was opened goes on: two that wait for each other would wait for ever.
        if is_new {
            for other in open {
                let meaning = flow::other(job.stage, RunId::from(other.run_id.clone()).beside());
                if meaning == Other::Beside {
                    continue;
                }
                // We hold what it needs: it is between two stages, or it died.
                if recovery::goes_on(self, &other, ledger).await? && meaning == Other::First {
                    tracing::info!(run = %job.run, open = other.run_id, delay_ms = millis(self.jobs.defer), "{}", events::JOB_DEFERRED);
                    return Ok(Begin::Later);
                }
            }
        }
        let run = ledger.history_of(&job.run).await?;
        let attempts = ledger.attempts_of(&job.run).await?;
        let last = attempts.iter().rfind(|attempt| attempt.stage == job.stage.name());
        let found = flow::found(last.map(|attempt| attempt.status.as_str()));
        if found == Found::Succeeded {
            // Where Redis lost its data, the numbers of the jobs began anew: the retry of a worker that woke up late is another job than the one
            // that was done meanwhile.
            return Ok(Begin::Ended);
        }
        let is_unknown = run.is_none();
        if job.interrupted && !was_closed_before(job, run.as_ref()) {
            if run.is_some_and(|run| run.status == Status::Failed.name()) {
                return Ok(Begin::Over);
            }
            if let (Found::Interrupted, Some(last)) = (found, last) {
                let error = died(job.deaths + 1);
                log_failure(&error, Duration::ZERO);
                let ended = (Status::Interrupted, Some(&error));
                ledger.end_stage(&job.run, job.stage, last.attempt, ended).await?;
                return Ok(Begin::Died(error));
            }
        }
        let is_left_out = is_late && is_unknown;
        if is_new && !is_left_out {
            announce::started(self, job).await;
        }
        ledger.begin_run(&job.run, job.origin, &host_name()).await?;
        Ok(if is_left_out { Begin::LeftOut(left_out()) } else { Begin::Work })
    }

    /// Whether a scheduled job is handed out so late that it would begin at an hour at which nobody wants it: its queue was paused, or
    /// no worker was there. One that waits for another night is not late.
    fn is_late(&self, job: &Job) -> bool {
        let is_of_schedule = job.origin == Origin::Schedule && job.retried_at.is_none();
        let due = job.due.or_else(|| job.run.instant()).filter(|_| is_of_schedule);
        due.is_some_and(|due| Missed::of(&self.jobs.config.queue).leaves_out(due, clock::now()))
    }

    /// Pushes what follows, or closes the run. Gives the result back for the queue's records.
    pub(super) async fn follow(&self, job: &Job, result: Result<()>, ledger: Option<&Ledger>) -> Result<()> {
        let end = result.as_ref().copied().map_err(Error::kind);
        let tried = Try { attempt: job.attempt, deaths: job.deaths };
        match flow::after(job.stage, tried, end, &self.policy, fastrand::f64()) {
            Next::Push(stage) => self.push(&job.of_stage(stage), Duration::ZERO).await,
            Next::Retry { delay, attempt } => {
                tracing::warn!(run = %job.run, stage = %job.stage, attempt, delay_ms = millis(delay), "{}", events::JOB_RETRY);
                // A stage that could not even be looked for in the ledger is as interrupted as it was.
                let interrupted = job.interrupted && ledger.is_none();
                self.push(&Job { interrupted, ..job.again(attempt) }, delay).await;
            }
            Next::Fail | Next::Done => self.close(job, &result, ledger).await,
        }
        result
    }

    /// Ends a run.
    pub(super) async fn close(&self, job: &Job, result: &Result<()>, ledger: Option<&Ledger>) {
        let status = Status::of(result);
        // Before the run is closed: one that is closed is not looked at again.
        announce::ended(self, job, result).await;
        let end = End { run: &job.run, stage: None, status, error: result.as_ref().err() };
        end.close(&self.jobs, &self.stop, ledger).await;
        tracing::info!(run = %job.run, status = status.name(), "{}", events::RUN_ENDED);
    }

    /// Tells an event. What could not be told is tried again as another job, of those who were not told.
    async fn tell(&self, job: &Job, cancel: &CancellationToken) -> Result<()> {
        let Some(notice) = &job.notice else {
            return Err(Error::new(ErrorKind::Data, "an event without a notice"));
        };
        let telling = announce::tell(&self.jobs, &job.run, notice);
        let (told, result) = tokio::select! {
            biased;
            () = self.stop.cancelled() => return self.put_back(job, Duration::ZERO).await,
            () = cancel.cancelled() => return Err(cancelled()),
            told = telling => told,
        };
        let end = result.as_ref().copied().map_err(Error::kind);
        let tried = Try { attempt: job.attempt, deaths: job.deaths };
        if let Next::Retry { delay, attempt } =
            flow::after(job.stage, tried, end, &self.policy, fastrand::f64())
        {
            let mut again = job.again(attempt);
            again.notice = Some(crate::notice::Notice { told, ..notice.clone() });
            self.push(&again, delay).await;
        }
        result
    }

    /// Lets a job that has not begun wait: as another job, since this one cannot be given back.
    async fn put_back(&self, job: &Job, delay: Duration) -> Result<()> {
        self.push(&Job { interrupted: job.interrupted, ..job.again(job.attempt) }, delay).await;
        Ok(())
    }

    /// Whether an earlier delivery of this job has pushed what follows it.
    async fn was_followed(&self, job: &Job) -> bool {
        if !job.interrupted {
            return false;
        }
        let next = flow::following(job.stage).map(|stage| job.of_stage(stage));
        for follower in next.into_iter().chain([job.again(job.attempt)]) {
            if insist(|| self.queues.exists(&follower)).await {
                return true;
            }
        }
        false
    }

    /// Comes back when an operator has asked for the end of this job.
    async fn asked_to_cancel(&self, job: &Job) {
        loop {
            tokio::time::sleep(LOOK_FOR_CANCEL_EVERY).await;
            match self.queues.is_cancelled(job).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(error.message = %error, "cannot see whether the job was cancelled")
                }
            }
        }
    }

    pub(super) async fn push(&self, job: &Job, delay: Duration) {
        insist(|| self.queues.push(job, delay)).await;
    }
}

/// Whether a job that an operator had tried again has not begun yet: what the ledger has of its run is of before.
fn was_closed_before(job: &Job, run: Option<&RunLine>) -> bool {
    let ended_at = run.and_then(|run| run.ended_at);
    job.retried_at.zip(ended_at).is_some_and(|(retried_at, ended_at)| ended_at < retried_at)
}

/// What is said of a scheduled run that nobody took in time.
fn left_out() -> Error {
    interrupted(
        "left out: its time had long passed when a worker could take it (SCHEDULE_MISSED, SCHEDULE_GRACE)",
    )
}

/// What is said of a stage whose worker died.
fn died(times: u32) -> Error {
    if times < MOST_DEATHS {
        return interrupted("the worker died in the middle of the stage");
    }
    Error::new(ErrorKind::Internal, format!("{times} workers died in the middle of the stage, it is given up"))
        .hint("look at the memory of the container (one that is killed for it logs nothing); nightferry restart <stage> starts it again")
}

/// Asks the queue until it answers. A job whose follower could not be pushed must not be acknowledged: when the worker
/// ends first, the job is dropped in here, and delivered again.
async fn insist<T, F: Future<Output = Result<T>>>(mut ask: impl FnMut() -> F) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => tracing::error!(
                error.kind = error.kind().name(),
                error.message = %error,
                "the queue does not answer, trying again"
            ),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
