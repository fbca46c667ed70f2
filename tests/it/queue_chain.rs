//! A chain of jobs with small stages in place of the product's, on a real queue and a real warehouse.

use std::collections::{HashMap, VecDeque};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use croner::Cron;
use futures::FutureExt;
use nightferry::adapters::ledger::Recorder;
use nightferry::adapters::postgres::Database;
use nightferry::adapters::queue::{JobStatus, QueuedJob, Queues};
use nightferry::config::Config;
use nightferry::error::{Error, ErrorKind, Result};
use nightferry::ids::{RunId, Stage};
use nightferry::jobs::{Jobs, Stages};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{RedisServer, TestNight, until};

/// Every scenario, on each store.
macro_rules! on_each_store {
    ($($scenario:ident)*) => {
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario(crate::queue_chain::Chain::on_redis().await).await;
            })*
        }
        mod on_a_file {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario(crate::queue_chain::Chain::on_a_file().await).await;
            })*
        }
    };
}

pub(crate) use on_each_store;

/// What a small stage does when its turn comes; when nothing is left to do, it succeeds.
#[derive(Clone)]
pub(crate) enum Act {
    Fail(ErrorKind),
    Panic,
    /// Never ends.
    Hang,
}

/// What happened in the stages.
#[derive(Default)]
pub(crate) struct Seen {
    acts: HashMap<Stage, VecDeque<Act>>,
    pub(crate) started: Vec<(RunId, Stage, Instant)>,
    pub(crate) at_work: usize,
    pub(crate) most_at_work: usize,
}

impl Seen {
    pub(crate) fn first_start(&self) -> DateTime<Utc> {
        Utc::now() - self.started[0].2.elapsed()
    }
}

/// A night with small stages.
pub(crate) struct Chain {
    pub(crate) night: TestNight,
    variables: Vec<(&'static str, String)>,
    /// A schedule in seconds, which no variable takes.
    pub(crate) schedule: Option<Cron>,
    /// The same for pushes, where a bucket is named.
    pub(crate) push_schedule: Option<Cron>,
    pub(crate) seen: Arc<Mutex<Seen>>,
    redis: Option<RedisServer>,
}

impl Chain {
    pub(crate) async fn on_redis() -> Self {
        let redis = RedisServer::start();
        Self::new(vec![("REDIS_URL", redis.url())], TestNight::new().await, Some(redis))
    }

    pub(crate) async fn on_a_file() -> Self {
        let night = TestNight::new().await;
        let file = night.path("queue.sqlite").to_str().unwrap().to_owned();
        Self::new(vec![("QUEUE_FILE", file)], night, None)
    }

    pub(crate) fn new(
        mut variables: Vec<(&'static str, String)>,
        night: TestNight,
        redis: Option<RedisServer>,
    ) -> Self {
        // A time of the year at which no test runs twice.
        variables.push(("SCHEDULE", "59 23 29 2 *".to_owned()));
        Self { night, variables, schedule: None, push_schedule: None, seen: Arc::default(), redis }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.retain(|(other, _)| *other != name);
        self.variables.push((name, value.to_owned()));
        self
    }

    pub(crate) fn act(self, stage: Stage, acts: &[Act]) -> Self {
        self.seen.lock().unwrap().acts.insert(stage, acts.iter().cloned().collect());
        self
    }

    pub(crate) fn config(&self) -> Config {
        let pairs: Vec<(&str, &str)> =
            self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut config = self.night.config(&pairs);
        config.queue.schedule = self.schedule.clone().unwrap_or(config.queue.schedule);
        if let Some(push) = &mut config.backup.push {
            push.schedule = self.push_schedule.clone();
        }
        config
    }

    /// Runs the binary to its end, on this queue.
    pub(crate) async fn binary(&self, arguments: &[&str]) -> Output {
        let pairs: Vec<(&str, &str)> =
            self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.night.binary(arguments, &pairs).await
    }

    pub(crate) fn jobs(&self) -> Jobs {
        Jobs::new(self.config()).with_stages(stages(&self.seen)).deferring(Duration::from_secs(1))
    }

    pub(crate) fn redis_url(&self) -> String {
        self.redis.as_ref().unwrap().url()
    }

    pub(crate) async fn restart(&self, stage: Stage) -> RunId {
        self.jobs().restart(stage).await.unwrap()
    }

    pub(crate) fn worker(&self) -> Worker {
        let (jobs, stop) = (self.jobs(), CancellationToken::new());
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { jobs.work(stop).await }
        });
        Worker { task, stop }
    }

    pub(crate) async fn queues(&self) -> Queues {
        Queues::open(&self.config().queue).await.unwrap()
    }

    /// Waits until a stage's job of this run is no more to come, and gives all its jobs.
    pub(crate) async fn ended(&self, run: &RunId, stage: Stage) -> Vec<QueuedJob> {
        let queues = self.queues().await;
        until(&format!("the end of {stage} of {run}"), async || {
            let mut jobs = queues.jobs(stage).await.unwrap();
            jobs.retain(|queued| &queued.job.run == run);
            (!jobs.is_empty() && !jobs.iter().any(|queued| queued.status.is_open())).then_some(jobs)
        })
        .await
    }

    /// Waits until the small stage was started so often.
    pub(crate) async fn started(&self, count: usize) {
        until("a stage to start", async || (self.seen.lock().unwrap().started.len() >= count).then_some(()))
            .await;
    }

    pub(crate) fn stages_seen(&self, run: &RunId) -> Vec<Stage> {
        let seen = self.seen.lock().unwrap();
        seen.started.iter().filter(|(other, ..)| other == run).map(|(_, stage, _)| *stage).collect()
    }

    pub(crate) async fn ledger_of(&self, run: &RunId) -> String {
        let sql = format!("select status, error_kind from nightferry.runs where run_id = '{run}'");
        self.night.warehouse.one(&sql).await
    }

    pub(crate) async fn attempts_of(&self, run: &RunId, stage: Stage) -> Vec<String> {
        let sql = format!(
            "select attempt, status from nightferry.stages where run_id = '{run}' and stage = '{stage}' order by 1"
        );
        self.night.warehouse.rows(&sql).await
    }
}

pub(crate) struct Worker {
    task: JoinHandle<Result<()>>,
    stop: CancellationToken,
}

impl Worker {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .expect("ends in time")
            .unwrap()
            .unwrap();
    }

    /// Ends it without a word, as a kill does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

fn stages(seen: &Arc<Mutex<Seen>>) -> Stages {
    let seen = seen.clone();
    Arc::new(move |stage, _, recorder: Recorder| {
        let seen = seen.clone();
        async move {
            let (_at_work, act) = AtWork::enter(&seen, recorder.run(), stage);
            recorder.step("work", work(act)).await
        }
        .boxed()
    })
}

async fn work(act: Option<Act>) -> Result<()> {
    match act {
        Some(Act::Fail(kind)) => Err(Error::new(kind, "as the test says").hint("read the test")),
        Some(Act::Panic) => panic!("as the test says"),
        Some(Act::Hang) => std::future::pending().await,
        // Long enough for another job to come in between, if it could.
        None => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        }
    }
}

/// A stage at work; noticed also when its future is dropped.
struct AtWork(Arc<Mutex<Seen>>);

impl AtWork {
    /// Comes with what the stage is to do.
    fn enter(seen: &Arc<Mutex<Seen>>, run: &RunId, stage: Stage) -> (Self, Option<Act>) {
        let mut now = seen.lock().unwrap();
        now.started.push((run.clone(), stage, Instant::now()));
        now.at_work += 1;
        now.most_at_work = now.most_at_work.max(now.at_work);
        let act = now.acts.get_mut(&stage).and_then(VecDeque::pop_front);
        (Self(seen.clone()), act)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.lock().unwrap().at_work -= 1;
    }
}

/// How jobs stand, in their order.
pub(crate) fn statuses(jobs: &[QueuedJob]) -> Vec<JobStatus> {
    jobs.iter().map(|queued| queued.status).collect()
}

/// The warehouse of a chain.
pub(crate) fn warehouse(chain: &Chain) -> Database {
    Database::new(&chain.config().databases.warehouse, "warehouse").unwrap()
}
