//! The queues in a Redis.

use std::collections::HashMap;

use apalis_core::backend::{Filter, ListAllTasks};
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use apalis_redis::{Config, RedisStorage};
use chrono::DateTime;
use serde_json::Value;

use super::job::{JobStatus, QueuedJob, error_in};
use super::patient::{Patient, failed};
use super::store::{HEARTBEAT, MISSED_HEARTBEATS, Store};
use super::understand;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Stage;

/// More jobs than a queue can have in a lifetime of nights: the library pages before it filters.
const ALL: u32 = 10_000;

fn config(stage: Stage) -> Config {
    Config::default()
        .queue(stage.queue_name())
        .batch_size(1)
        .heartbeat_interval(HEARTBEAT)
        .missed_heartbeats(MISSED_HEARTBEATS)
        .emit_events(false)
}

fn storage(connection: &Patient, stage: Stage) -> RedisStorage<Value, Patient> {
    RedisStorage::new(connection.clone()).with_config(config(stage))
}

pub(super) fn store(connection: &Patient, stage: Stage) -> Store {
    Store::redis(storage(connection, stage))
}

/// Whether it is new. The script claims the id, so of several pushes one counts.
pub(super) async fn push(connection: &Patient, stage: Stage, task: Task<Vec<u8>>) -> Result<bool> {
    let (now, later) = apalis_redis::queries::push_tasks(&mut connection.clone(), &config(stage), &[task])
        .await
        .map_err(|error| translate("cannot push a job", error))?;
    Ok(now + later > 0)
}

pub(super) async fn exists(connection: &Patient, stage: Stage, id: &str) -> Result<bool> {
    ::redis::cmd("HEXISTS")
        .arg(config(stage).job_data_hash())
        .arg(id)
        .query_async(&mut connection.clone())
        .await
        .map_err(|error| failed("cannot look for a job", error))
}

pub(super) async fn jobs(connection: &Patient, stage: Stage) -> Result<Vec<QueuedJob>> {
    let filter = Filter { status: None, page: 1, page_size: Some(ALL) };
    let tasks = storage(connection, stage)
        .list_all_tasks(&filter)
        .await
        .map_err(|error| translate("cannot list the jobs", error))?;
    let times: HashMap<String, i64> = ::redis::cmd("ZRANGE")
        .arg(config(stage).scheduled_jobs_set())
        .arg(0)
        .arg(-1)
        .arg("WITHSCORES")
        .query_async(&mut connection.clone())
        .await
        .map_err(|error| failed("cannot list the delayed jobs", error))?;
    Ok(tasks.iter().filter_map(|task| read(task, &times)).collect())
}

fn read(task: &Task<Vec<u8>>, times: &HashMap<String, i64>) -> Option<QueuedJob> {
    let seconds = task.task_id().and_then(|id| times.get(&id.to_string()));
    Some(QueuedJob {
        job: serde_json::from_slice(&task.args).ok().and_then(|value| understand(value).ok())?,
        status: JobStatus::from_store(&task.status().to_string()),
        not_before: seconds.and_then(|seconds| DateTime::from_timestamp(*seconds, 0)),
        error: task.metadata().get("result").and_then(error_in),
    })
}

/// How many jobs Redis believes to be in the hands of this worker.
pub(super) async fn in_hand(connection: &Patient, stage: Stage, worker: &WorkerContext) -> Result<u64> {
    ::redis::cmd("SCARD")
        .arg(config(stage).inflight_set_for(worker))
        .query_async(&mut connection.clone())
        .await
        .map_err(|error| failed("cannot count the jobs in hand", error))
}

fn translate(doing: &str, error: apalis_redis::Error) -> Error {
    match error {
        apalis_redis::Error::Database(error) => failed(doing, error),
        error => Error::new(ErrorKind::Internal, doing).because(error),
    }
}
