//! The queues: one per stage and per job beside the night, in Redis where `REDIS_URL` is set, else in a file on this machine.
//!
//! apalis is the transport and nothing more: a job is pushed under a fixed id, may have to wait, is handed to one live
//! worker, is acknowledged, and comes back when its worker died. The chain of the night, retries and what becomes of
//! an interrupted job are decided in `jobs`. The settings in here were each found by watching what happens without
//! them; a newer version of the library has to pass the queue scenarios in `tests/` first.

mod job;
mod look;
mod marks;
mod patient;
mod redis;
mod serve;
mod sqlite;
mod store;

use std::collections::BTreeSet;
use std::time::Duration;

use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use serde_json::Value;
use sqlx::SqlitePool;

pub use job::{Delivery, Job, JobStatus, QueuedJob};
pub use serve::{Handler, STOP_LIMIT};

use patient::{Patience, Patient};

use crate::clock;
use crate::config;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::{RunId, Stage};

/// A worker that starts while Redis is away tries again after this.
const CONNECT_AGAIN: Duration = Duration::from_secs(2);

/// The queues. Cloning is cheap.
#[derive(Clone)]
pub struct Queues(Place);

#[derive(Clone)]
enum Place {
    Redis(Patient),
    File(SqlitePool),
}

impl Queues {
    /// Opens the queues that the configuration names, for a command.
    ///
    /// # Errors
    /// Redis cannot be reached or refuses the password, or the file cannot be written.
    pub async fn open(config: &config::Queue) -> Result<Self> {
        Self::connect(config, Patience::Command).await
    }

    /// Opens them for a worker, which waits for a Redis that is away, then and later.
    ///
    /// # Errors
    /// Redis refuses the password, or the file cannot be written.
    pub async fn open_for_worker(config: &config::Queue) -> Result<Self> {
        loop {
            match Self::connect(config, Patience::Worker).await {
                Err(error) if error.kind() == ErrorKind::Connection => {
                    tracing::warn!(error.message = %error, hint = error.operator_hint(), "{}", events::QUEUE_AWAY);
                    tokio::time::sleep(CONNECT_AGAIN).await;
                }
                result => return result,
            }
        }
    }

    async fn connect(config: &config::Queue, patience: Patience) -> Result<Self> {
        Ok(Self(match &config.redis_url {
            Some(url) => Place::Redis(Patient::connect(url, patience).await?),
            None => Place::File(sqlite::open(&config.file).await?),
        }))
    }

    /// Pushes a job that may start after `delay` (seconds count, and it is never early); says whether it is new. A
    /// job that is there already, whatever became of it, is left alone.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn push(&self, job: &Job, delay: Duration) -> Result<bool> {
        let task = task(job, delay)?;
        match &self.0 {
            Place::Redis(connection) => redis::push(connection, job.stage, task).await,
            Place::File(pool) => sqlite::push(pool, job.stage, task).await,
        }
    }

    /// Whether this job was ever pushed.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn exists(&self, job: &Job) -> Result<bool> {
        let id = job.ulid().to_string();
        match &self.0 {
            Place::Redis(connection) => redis::exists(connection, job.stage, &id).await,
            Place::File(pool) => sqlite::exists(pool, &id).await,
        }
    }

    /// The jobs of a stage's queue, those that ended included, by run and number.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn jobs(&self, stage: Stage) -> Result<Vec<QueuedJob>> {
        let mut jobs = match &self.0 {
            Place::Redis(connection) => redis::jobs(connection, stage).await?,
            Place::File(pool) => sqlite::jobs(pool, stage).await?,
        };
        jobs.sort_by(|left, right| (&left.job.run, left.job.seq).cmp(&(&right.job.run, right.job.seq)));
        Ok(jobs)
    }

    /// How many worker processes serve a stage's queue: those that were heard of lately. None does while it is paused.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn workers(&self, stage: Stage) -> Result<u64> {
        let names = match &self.0 {
            Place::Redis(connection) => redis::workers(connection, stage).await?,
            Place::File(pool) => sqlite::workers(pool, stage).await?,
        };
        let processes: BTreeSet<&str> = names.iter().map(|name| serve::process_of(name)).collect();
        Ok(processes.len() as u64)
    }

    /// Whether a run has a job that is waiting or at work.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn is_alive(&self, run: &RunId) -> Result<bool> {
        for stage in Stage::STARTED {
            if self.jobs(stage).await?.iter().any(|queued| &queued.job.run == run && queued.status.is_open())
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn task(job: &Job, delay: Duration) -> Result<Task<Vec<u8>>> {
    let args = serde_json::to_vec(job)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot write a job").because(error))?;
    let mut task = TaskBuilder::new(args).task_id(TaskId::from_ulid(job.ulid())).max_attempts(1);
    if !delay.is_zero() {
        // The stores know whole seconds only; rounded up, so that a pause is never shorter than was asked for.
        let millis =
            clock::now().timestamp_millis() + i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 2);
        task = task.run_at_timestamp(u64::try_from(millis).unwrap_or_default().div_ceil(1000));
    }
    Ok(task.build())
}

fn understand(value: Value) -> Result<Job> {
    serde_json::from_value(value).map_err(|error| {
        Error::new(ErrorKind::Data, "a job in the queue cannot be understood")
            .hint("was it pushed by a newer nightferry?")
            .because(error)
    })
}

/// The name of this machine, for the ledger, the lock and the workers.
#[must_use]
pub fn host_name() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}
