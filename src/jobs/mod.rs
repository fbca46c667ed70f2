//! The jobs of a warehouse: what follows what, one at a time, from the command line or from the queue.
//!
//! - [`run_now`] does stages in the foreground, without any queue.
//! - [`restart`] puts a stage on its queue; the chain goes on from there. A push and an export of the schema are chains of one.
//! - [`repair`] copies what differs in the tables of the incremental stage, in the foreground.
//! - [`adopt`] accepts what a warehouse had before.
//! - [`roll_back`] makes the previous generation live again, in the foreground.
//! - [`operator`] lists the jobs of the queues, and retries, cancels, removes and pauses them.
//! - [`overview`] tells what runs now, how far it is, and how earlier nights went.
//! - [`work`] is the worker: it serves the queues and keeps the schedule.
//!
//! A run is a chain of jobs. A job that ends well pushes the next stage's first job before it is acknowledged; one
//! that failed, and may succeed later, pushes its own follow-up. All names are fixed, so pushing twice is harmless,
//! and a job that comes back after its worker's death first looks whether it was followed already. One lock on the
//! warehouse keeps jobs apart, whoever runs them; the ledger has the runs, and a night that is open in it, and still
//! has a job on a queue, keeps another one from starting.

mod adopt;
mod announce;
mod flow;
mod foreground;
pub mod operator;
pub mod overview;
mod queued;
mod recovery;
mod repair;
mod rollback;
mod run;
mod schedule;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

pub use schedule::{Due, Missed, due, next_tick};

use crate::adapters::ledger::{Disposition, Origin, Recorder};
use crate::adapters::postgres::Database;
use crate::adapters::queue::{Job, Queues};
use crate::clock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{RunId, Stage, TableName};
use crate::outcome::StageOutcome;
use crate::replication::incremental::repair::Repair;
use crate::replication::rollback::Rollback;

/// What does the work of a stage.
pub type Stages = Arc<dyn Fn(Stage, Arc<Config>, Recorder) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// How long a night waits before it looks again whether the open one has ended.
const DEFER: Duration = Duration::from_secs(60);

/// What stages did, in the order in which they ran; the last may be one that failed.
pub type Outcomes = Vec<(Stage, StageOutcome)>;

/// Does stages now, in the order given, and stops at the first failure. What was done comes back with the error of the
/// stage that failed, or of the warehouse that another job holds. At `stop` the stage at work is dropped and recorded as
/// interrupted.
pub async fn run_now(
    config: &Config,
    stages: &[Stage],
    origin: Origin,
    stop: &CancellationToken,
) -> (Outcomes, Result<()>) {
    Jobs::new(config.clone()).run_now(stages, origin, stop).await
}

/// Puts a stage on its queue, as the beginning of a run of its own; the stages after it follow. Beside something that it would
/// have to wait for only when told to go `after` it.
///
/// # Errors
/// Something else is under way, or the queue cannot be reached.
pub async fn restart(config: &Config, stage: Stage, after: bool) -> Result<RunId> {
    if !after {
        operator::refuse_beside(config, stage).await?;
    }
    Jobs::new(config.clone()).restart(stage).await
}

/// Accepts what a warehouse had before nightferry came; the tables named in `keep` are kept even where the source has them.
///
/// # Errors
/// A name is none of the warehouse's tables, a side cannot be reached, or another job holds the warehouse.
pub async fn adopt(config: &Config, keep: &[String]) -> Result<Vec<(TableName, Disposition)>> {
    adopt::run(&Jobs::new(config.clone()), keep).await
}

/// Makes the previous generation live again, and what is live the previous one; on a dry run only looks what it would do.
///
/// # Errors
/// There is no previous generation, it cannot be made live, or another job holds the warehouse. What is live stays so.
pub async fn roll_back(config: &Config, is_dry_run: bool) -> Result<Rollback> {
    rollback::run(&Jobs::new(config.clone()), is_dry_run).await
}

/// Compares the named tables of the incremental stage, or all of them, with the source, and copies what differs.
///
/// # Errors
/// A side cannot be read, rows do not fit, or another job holds the warehouse.
pub async fn repair(config: &Config, tables: &[String]) -> Result<Repair> {
    repair::run(&Jobs::new(config.clone()), tables).await
}

/// Serves the queues and keeps the schedule until `stop`, then ends within ten seconds: the job at work is dropped
/// and recorded as interrupted.
///
/// # Errors
/// The queue cannot be opened, or the schedule names no time.
pub async fn work(config: &Config, stop: CancellationToken) -> Result<()> {
    Jobs::new(config.clone()).work(stop).await
}

/// The jobs of one warehouse, with what does their work: the real stages, or small ones in a test of the chain.
#[derive(Clone)]
pub struct Jobs {
    config: Arc<Config>,
    stages: Stages,
    defer: Duration,
    wait: Option<Duration>,
}

impl Jobs {
    /// The real stages.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config), stages: run::real(), defer: DEFER, wait: None }
    }

    /// Other stages.
    #[must_use]
    pub fn with_stages(mut self, stages: Stages) -> Self {
        self.stages = stages;
        self
    }

    /// How long a night waits before it looks again whether the open one has ended.
    #[must_use]
    pub fn deferring(mut self, defer: Duration) -> Self {
        self.defer = defer;
        self
    }

    /// How long [`Jobs::run_now`] waits for a warehouse that another job holds, and for a night that is open; without it, moments.
    #[must_use]
    pub fn waiting(mut self, wait: Option<Duration>) -> Self {
        self.wait = wait;
        self
    }

    /// See [`run_now`].
    pub async fn run_now(
        &self,
        stages: &[Stage],
        origin: Origin,
        stop: &CancellationToken,
    ) -> (Outcomes, Result<()>) {
        foreground::run(self, stages, origin, stop).await
    }

    /// See [`restart`]; whatever is under way, the stage comes after it.
    ///
    /// # Errors
    /// Those of [`restart`].
    pub async fn restart(&self, stage: Stage) -> Result<RunId> {
        let queues = Queues::open(&self.config.queue).await?;
        let run = self.free_run(&queues, stage).await?;
        if queues.push(&Job::first(run.clone(), stage, Origin::Restart), Duration::ZERO).await? {
            return Ok(run);
        }
        Err(Error::new(ErrorKind::Busy, format!("a run {run} was started by somebody else at this moment"))
            .hint("try again"))
    }

    /// See [`work`].
    ///
    /// # Errors
    /// Those of [`work`].
    pub async fn work(&self, stop: CancellationToken) -> Result<()> {
        let queues = tokio::select! {
            queues = Queues::open_for_worker(&self.config.queue) => queues?,
            () = stop.cancelled() => return Ok(()),
        };
        // A schedule that cannot go on ends the worker, so that somebody sees it.
        let stop = stop.child_token();
        let schedule = async {
            let result = schedule::keep_all(&self.config, &queues, &stop).await;
            stop.cancel();
            result
        };
        let worker = queued::Worker::new(self, &queues, &stop)?;
        let watch = watch::keep(&worker, &stop);
        let ((), (), result) =
            tokio::join!(queues.serve(worker.clone().handler(), stop.clone()), watch, schedule);
        result
    }

    fn warehouse(&self) -> Result<Database> {
        Database::new(&self.config.databases.warehouse, "warehouse")
    }

    /// A run that no other one shares its name with: of those on the queues, those of commands in the ledger, where that can be
    /// asked, and the one that the schedule is about to begin.
    async fn free_run(&self, queues: &Queues, stage: Stage) -> Result<RunId> {
        let mut instant = clock::now();
        loop {
            let run = RunId::of(stage, instant);
            let mut taken =
                self.is_of_the_schedule(instant)? || operator::is_in_ledger(&self.config, &run).await;
            for stage in Stage::STARTED {
                taken |= queues.exists(&Job::first(run.clone(), stage, Origin::Restart)).await?;
            }
            if !taken {
                return Ok(run);
            }
            instant += chrono::TimeDelta::seconds(1);
        }
    }

    /// Whether the schedule begins a night in this second.
    fn is_of_the_schedule(&self, instant: DateTime<Utc>) -> Result<bool> {
        let before = instant - chrono::TimeDelta::seconds(1);
        let tick = next_tick(&self.config.queue.schedule, self.config.queue.timezone, before)?;
        Ok(RunId::at(tick) == RunId::at(instant))
    }
}
