//! What operators ask of the queues, and do to them: `nightferry queue`.
//!
//! A job's place, attempts and error come from its queue; the kind of the error and what to do from the ledger, where that can be
//! reached.

mod acting;
mod beside;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use acting::{Changed, Retried, cancel, pause, remove, resume, retry};
pub(super) use beside::refuse_beside;

use crate::adapters::ledger::{AttemptLine, Ledger, LedgerReader, LedgerState, Origin, RunLine, in_time};
use crate::adapters::postgres::Database;
use crate::adapters::queue::{JobStatus, QueuedJob, Queues};
use crate::clock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{RunId, Stage};

/// The ledger is not waited for longer: the queue has the most of it.
const LEDGER_LIMIT: Duration = Duration::from_secs(10);
/// Less where it only adds what is good to know: a warehouse that is silent must not keep the failed jobs from being seen.
const LEDGER_BESIDE: Duration = Duration::from_secs(2);

/// How a job stands, in the words that operators know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is taken as soon as a worker is free.
    Waiting,
    /// In the hands of a worker.
    Active,
    /// Ended well, or handed over to the job that follows.
    Completed,
    /// Ended with an error, or cancelled.
    Failed,
    /// Its time has not come.
    Delayed,
    /// It waits, and its queue is paused.
    Paused,
}

impl State {
    fn of(queued: &QueuedJob, is_paused: bool, now: DateTime<Utc>) -> Self {
        match queued.status {
            JobStatus::Running => Self::Active,
            JobStatus::Done => Self::Completed,
            JobStatus::Failed => Self::Failed,
            JobStatus::Waiting if queued.not_before.is_some_and(|time| time > now) => Self::Delayed,
            JobStatus::Waiting if is_paused => Self::Paused,
            JobStatus::Waiting => Self::Waiting,
        }
    }

    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Paused => "paused",
        }
    }
}

/// How many jobs of a queue stand how, and how many workers it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The stage.
    pub stage: Stage,
    /// Its queue.
    pub queue: &'static str,
    /// Whether its jobs are kept waiting.
    pub is_paused: bool,
    /// See [`State`].
    pub waiting: u64,
    /// See [`State`].
    pub active: u64,
    /// See [`State`].
    pub completed: u64,
    /// See [`State`].
    pub failed: u64,
    /// See [`State`].
    pub delayed: u64,
    /// See [`State`].
    pub paused: u64,
    /// How many worker processes take its jobs.
    pub workers: u64,
}

impl Counts {
    /// Whether a job that waits there is taken by nobody, and nobody wants it so.
    #[must_use]
    pub fn is_forsaken(&self) -> bool {
        self.workers == 0 && !self.is_paused
    }

    fn of(stage: Stage, is_paused: bool, jobs: &[QueuedJob], workers: u64, now: DateTime<Utc>) -> Self {
        let count = |state| jobs.iter().filter(|job| State::of(job, is_paused, now) == state).count() as u64;
        Self {
            stage,
            queue: stage.queue_name(),
            is_paused,
            waiting: count(State::Waiting),
            active: count(State::Active),
            completed: count(State::Completed),
            failed: count(State::Failed),
            delayed: count(State::Delayed),
            paused: count(State::Paused),
            workers,
        }
    }
}

/// Whether no worker is there: every queue is forsaken, where there are queues.
#[must_use]
pub fn is_without_workers(queues: &[Counts]) -> bool {
    !queues.is_empty() && queues.iter().all(Counts::is_forsaken)
}

/// A job, as operators are told of it.
#[derive(Debug, Clone, Serialize)]
pub struct JobView {
    /// Its name in logs.
    pub id: String,
    /// The run.
    pub run: RunId,
    /// The stage.
    pub stage: Stage,
    /// Its queue.
    pub queue: &'static str,
    /// How it stands.
    pub state: State,
    /// Which try of the stage it is.
    pub attempt: u32,
    /// How often a worker died over it.
    pub deaths: u32,
    /// Who started the run.
    pub origin: Origin,
    /// When it may start, where it waits for that.
    pub not_before: Option<DateTime<Utc>>,
    /// The worker that has it, or had it last.
    pub held_by: Option<String>,
    /// When that took it.
    pub taken_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The error's kind, from the ledger.
    pub error_kind: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// What to do, from the ledger.
    pub hint: Option<String>,
}

impl JobView {
    fn new(queued: &QueuedJob, is_paused: bool, attempts: &[AttemptLine]) -> Self {
        let job = &queued.job;
        let state = State::of(queued, is_paused, clock::now());
        // The two are written one after the other with the same sentence.
        let told = attempts.iter().rev().find(|attempt| {
            attempt.run_id == job.run.as_str()
                && attempt.stage == job.stage.name()
                && attempt.error.is_some()
                && attempt.error == queued.error
        });
        Self {
            id: job.id(),
            run: job.run.clone(),
            stage: job.stage,
            queue: job.stage.queue_name(),
            state,
            attempt: job.attempt,
            deaths: job.deaths,
            origin: job.origin,
            not_before: queued.not_before.filter(|_| state == State::Delayed),
            held_by: queued.held_by.clone(),
            taken_at: queued.taken_at,
            ended_at: queued.done_at.filter(|_| !queued.status.is_open()),
            error_kind: told.and_then(|attempt| attempt.error_kind.clone()),
            error: queued.error.clone().filter(|_| !queued.status.is_open()),
            hint: told.and_then(|attempt| attempt.hint.clone()),
        }
    }
}

/// All that is known of a job.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The job.
    #[serde(flatten)]
    pub job: JobView,
    /// Its run, where the ledger has it.
    pub run_history: Option<RunLine>,
    /// What the ledger has of its stage, the tries of other jobs of this run included.
    pub attempts: Vec<AttemptLine>,
    /// Why the ledger could not be asked.
    pub ledger_error: Option<String>,
}

/// Counts the jobs of each queue.
///
/// # Errors
/// The queue cannot be reached.
pub async fn stats(config: &Config) -> Result<Vec<Counts>> {
    counts(&Queues::open(&config.queue).await?).await
}

/// Counts the jobs of each of these queues.
pub(super) async fn counts(queues: &Queues) -> Result<Vec<Counts>> {
    let paused = queues.paused().await?;
    let mut counts = Vec::new();
    for stage in Stage::ALL {
        let jobs = queues.jobs(stage).await?;
        let workers = queues.workers(stage).await?;
        counts.push(Counts::of(stage, paused.contains(&stage), &jobs, workers, clock::now()));
    }
    Ok(counts)
}

/// The jobs that failed, the last one first.
///
/// # Errors
/// The queue cannot be reached.
pub async fn failed(config: &Config) -> Result<Vec<JobView>> {
    failed_in(config, &reader(config)?).await
}

/// The same, for whoever has a reader of the ledger.
///
/// # Errors
/// The queue cannot be reached.
pub async fn failed_in(config: &Config, ledger: &LedgerReader) -> Result<Vec<JobView>> {
    let mut jobs = all(&Queues::open(&config.queue).await?).await?;
    jobs.retain(|queued| queued.status == JobStatus::Failed);
    let runs: Vec<&str> = jobs.iter().map(|queued| queued.job.run.as_str()).collect();
    let mut attempts = Vec::new();
    if !runs.is_empty() {
        let asked = ledger.read(async |ledger| ledger.attempts(&runs).await);
        attempts = in_time(LEDGER_BESIDE, asked).await.unwrap_or_default();
    }
    let mut views: Vec<JobView> = jobs.iter().map(|queued| JobView::new(queued, false, &attempts)).collect();
    views.sort_by(|left, right| (right.ended_at, &right.id).cmp(&(left.ended_at, &left.id)));
    Ok(views)
}

/// All that is known of one job.
///
/// # Errors
/// The queue cannot be reached, or has no such job.
pub async fn show(config: &Config, id: &str) -> Result<Shown> {
    let queues = Queues::open(&config.queue).await?;
    let queued = find(&queues, id).await?;
    let is_paused = queues.is_paused(queued.job.stage).await?;
    let run = queued.job.run.as_str();
    let told = async {
        let reader = reader(config)?;
        let told = reader.ask(async |ledger| match ledger.state().await? {
            LedgerState::Missing => Ok((None, Vec::new())),
            LedgerState::Ready | LedgerState::Older => {
                Ok((ledger.run(run).await?, ledger.attempts(&[run]).await?))
            }
        });
        told.await
    };
    let (told, ledger_error) = match told.await {
        Ok(told) => (told, None),
        Err(error) => ((None, Vec::new()), Some(error.to_string())),
    };
    let (run_history, mut attempts) = told;
    let job = JobView::new(&queued, is_paused, &attempts);
    attempts.retain(|attempt| attempt.stage == queued.job.stage.name());
    Ok(Shown { job, run_history, attempts, ledger_error })
}

/// Reads the ledger, where nothing is told to it.
fn reader(config: &Config) -> Result<LedgerReader> {
    let warehouse = Database::new(&config.databases.warehouse, "warehouse")?;
    Ok(LedgerReader::new(warehouse, "nightferry queue"))
}

/// The ledger, where there is one.
async fn ledger(config: &Config) -> Result<Option<Ledger>> {
    Ledger::open_existing(&Database::new(&config.databases.warehouse, "warehouse")?).await
}

/// Whether the ledger has this run; not, where it cannot be asked.
pub(super) async fn is_in_ledger(config: &Config, run: &RunId) -> bool {
    let asking = async {
        match ledger(config).await? {
            Some(ledger) => ledger.run_status(run).await,
            None => Ok(None),
        }
    };
    in_time(LEDGER_LIMIT, asking).await.is_ok_and(|status| status.is_some())
}

/// The jobs of all queues.
async fn all(queues: &Queues) -> Result<Vec<QueuedJob>> {
    let mut jobs = Vec::new();
    for stage in Stage::ALL {
        jobs.append(&mut queues.jobs(stage).await?);
    }
    Ok(jobs)
}

/// The job of this name; an unknown one is answered with those that are named much like it.
async fn find(queues: &Queues, id: &str) -> Result<QueuedJob> {
    let jobs = all(queues).await?;
    let ids: Vec<String> = jobs.iter().map(|queued| queued.job.id()).collect();
    match ids.iter().position(|known| known == id.trim()) {
        Some(at) => Ok(jobs[at].clone()),
        None => Err(unknown(id, &ids)),
    }
}

fn unknown(id: &str, ids: &[String]) -> Error {
    let mut near: Vec<(f64, &String)> =
        ids.iter().map(|known| (strsim::normalized_damerau_levenshtein(id, known), known)).collect();
    // The later one of two that are as near.
    near.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| right.1.cmp(left.1)));
    let near: Vec<&str> =
        near.iter().filter(|(likeness, _)| *likeness > 0.4).take(3).map(|(_, id)| id.as_str()).collect();
    let hint = if near.is_empty() {
        "its name is in the log, in the line \"Starting job in\"; `nightferry queue stats` counts what is there".to_owned()
    } else {
        format!("near to it: {}", near.join(", "))
    };
    Error::new(ErrorKind::Configuration, format!("there is no job {id:?} on the queues")).hint(hint)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::adapters::queue::Job;

    fn queued(status: JobStatus, starts_in: i64) -> QueuedJob {
        QueuedJob {
            job: Job::first(
                RunId::from("20261120T041000Z".to_owned()),
                Stage::FullReplication,
                Origin::Schedule,
            ),
            status,
            not_before: Some(now() + TimeDelta::seconds(starts_in)),
            error: None,
            held_by: None,
            taken_at: None,
            done_at: None,
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-20T04:10:00Z".parse().unwrap()
    }

    #[test]
    fn jobs_are_counted_by_the_words_that_operators_know() {
        use JobStatus::{Done, Failed, Running, Waiting};
        let jobs = [
            queued(Waiting, 0),
            queued(Waiting, -60),
            queued(Waiting, 60),
            queued(Running, 0),
            queued(Done, 0),
            queued(Failed, -5),
        ];
        let numbers = |is_paused| {
            let counts = Counts::of(Stage::FullReplication, is_paused, &jobs, 2, now());
            assert_eq!((counts.workers, counts.is_forsaken()), (2, false));
            (counts.waiting, counts.active, counts.completed, counts.failed, counts.delayed, counts.paused)
        };
        assert_eq!(numbers(false), (2, 1, 1, 1, 1, 0));
        assert_eq!(numbers(true), (0, 1, 1, 1, 1, 2), "those that wait are paused, those at work go on");
    }

    #[test]
    fn an_unknown_job_is_answered_with_its_like() {
        let ids =
            ["20261120T041000Z.full-replication.1", "20261121T041000Z.full-replication.1"].map(str::to_owned);
        let hint = |id: &str| unknown(id, &ids).operator_hint().unwrap().to_owned();
        assert_eq!(
            hint("20261121T041000Z.full-replication.2"),
            "near to it: 20261121T041000Z.full-replication.1, 20261120T041000Z.full-replication.1"
        );
        assert!(hint("x").contains("Starting job in"));
    }
}
