//! What operators do to queues and jobs. What they only say of them is kept as marks of our own, beside the jobs in the same store.

use super::{Job, Place, QueuedJob, Queues, redis, sqlite};
use crate::error::Result;
use crate::ids::Stage;

/// Queues whose jobs are not taken, by the stage's name.
const PAUSED: &str = "paused";
/// Jobs that are to be stopped, by their id.
const CANCELLED: &str = "cancelled";

impl Queues {
    /// Lets the jobs of a queue wait; one that is at work goes on. It stays so until [`Queues::resume`], over restarts of everything but a Redis
    /// without persistence.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn pause(&self, stage: Stage) -> Result<()> {
        self.mark(PAUSED, stage.name()).await
    }

    /// Lets the jobs of a queue be taken again.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn resume(&self, stage: Stage) -> Result<()> {
        self.unmark(PAUSED, stage.name()).await
    }

    /// Whether a queue is paused.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn is_paused(&self, stage: Stage) -> Result<bool> {
        self.paused().await.map(|paused| paused.contains(&stage))
    }

    /// The queues that are paused.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn paused(&self) -> Result<Vec<Stage>> {
        let names = self.marked(PAUSED).await?;
        Ok(Stage::ALL.into_iter().filter(|stage| names.iter().any(|name| name == stage.name())).collect())
    }

    /// Asks the worker that has a job at work to stop it. The mark goes when the job has ended.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn ask_to_cancel(&self, job: &Job) -> Result<()> {
        self.mark(CANCELLED, &job.id()).await
    }

    /// Whether somebody asked to stop a job.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn is_cancelled(&self, job: &Job) -> Result<bool> {
        let id = job.id();
        self.marked(CANCELLED).await.map(|ids| ids.contains(&id))
    }

    /// Forgets that somebody asked to stop a job, since it has ended.
    pub(super) async fn no_more_to_cancel(&self, job: &Job) -> Result<()> {
        self.unmark(CANCELLED, &job.id()).await
    }

    /// The job of this name, as the logs print it.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn find(&self, id: &str) -> Result<Option<QueuedJob>> {
        // The name of an event's job has the stage in it that the event is of.
        let may_be_of = |stage: &Stage| *stage == Stage::Event || id.contains(stage.name());
        for stage in Stage::ALL.into_iter().filter(may_be_of) {
            let mut jobs = self.jobs(stage).await?.into_iter();
            if let Some(found) = jobs.find(|queued| queued.job.id() == id) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Removes a job with all that is known of it, also one that has ended: it can be pushed again. Says whether it is
    /// gone; one that is in the hands of a worker is left alone.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn remove(&self, job: &Job) -> Result<bool> {
        let id = job.ulid().to_string();
        let gone = match &self.0 {
            Place::Redis(connection) => redis::remove(connection, job.stage, &id).await?,
            Place::File(pool) => sqlite::remove(pool, &id).await?,
        };
        if gone {
            self.no_more_to_cancel(job).await?;
        }
        Ok(gone)
    }

    /// Ends a job that nobody has taken, as failed for this reason; it stays on record, so that nobody pushes it again. Says
    /// whether that was in time.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn withdraw(&self, job: &Job, why: &str) -> Result<bool> {
        let (id, result) = (job.ulid().to_string(), serde_json::json!({ "Err": why }).to_string());
        match &self.0 {
            Place::Redis(connection) => redis::withdraw(connection, job.stage, &id, &result).await,
            Place::File(pool) => sqlite::withdraw(pool, &id, &result).await,
        }
    }

    async fn mark(&self, kind: &str, name: &str) -> Result<()> {
        match &self.0 {
            Place::Redis(connection) => redis::mark(connection, kind, name).await,
            Place::File(pool) => sqlite::mark(pool, kind, name).await,
        }
    }

    async fn unmark(&self, kind: &str, name: &str) -> Result<()> {
        match &self.0 {
            Place::Redis(connection) => redis::unmark(connection, kind, name).await,
            Place::File(pool) => sqlite::unmark(pool, kind, name).await,
        }
    }

    async fn marked(&self, kind: &str) -> Result<Vec<String>> {
        match &self.0 {
            Place::Redis(connection) => redis::marked(connection, kind).await,
            Place::File(pool) => sqlite::marked(pool, kind).await,
        }
    }
}
