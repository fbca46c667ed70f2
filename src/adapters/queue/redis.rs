//! The queues in a Redis.

use std::collections::{HashMap, HashSet};

use apalis_core::backend::{Filter, ListAllTasks};
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use apalis_redis::{Config, RedisStorage};
use chrono::DateTime;
use serde_json::Value;

use ::redis::Script;

use super::job::{JobStatus, QueuedJob, error_in};
use super::patient::{Patient, failed};
use super::store::{DEAD_AFTER, HEARTBEAT, MISSED_HEARTBEATS, Store};
use super::understand;
use crate::clock;
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

/// The names of its live workers.
pub(super) async fn workers(connection: &Patient, stage: Stage) -> Result<Vec<String>> {
    ::redis::cmd("ZRANGEBYSCORE")
        .arg(config(stage).workers_set())
        .arg(format!("({}", dead_before()))
        .arg("+inf")
        .query_async(&mut connection.clone())
        .await
        .map_err(|error| failed("cannot list the workers", error))
}

/// Who was not heard of since that second has died.
fn dead_before() -> i64 {
    clock::now().timestamp() - DEAD_AFTER.as_secs().cast_signed()
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
    let (times, waiting): (HashMap<String, i64>, HashSet<String>) = ::redis::pipe()
        .zrange_withscores(config(stage).scheduled_jobs_set(), 0, -1)
        .lrange(config(stage).active_jobs_list(), 0, -1)
        .query_async(&mut connection.clone())
        .await
        .map_err(|error| failed("cannot list the jobs that wait", error))?;
    Ok(tasks.iter().filter_map(|task| read(task, &times, &waiting)).collect())
}

fn read(task: &Task<Vec<u8>>, times: &HashMap<String, i64>, waiting: &HashSet<String>) -> Option<QueuedJob> {
    let id = task.task_id().map(ToString::to_string).unwrap_or_default();
    let at = |seconds: i64| DateTime::from_timestamp(seconds, 0);
    // One that came back from a dead worker waits again, whatever word was left with it.
    let waits = waiting.contains(&id) || times.contains_key(&id);
    Some(QueuedJob {
        job: serde_json::from_slice(&task.args).ok().and_then(|value| understand(value).ok())?,
        status: if waits { JobStatus::Waiting } else { JobStatus::from_store(&task.status().to_string()) },
        not_before: times.get(&id).copied().and_then(at),
        error: task.metadata().get("result").and_then(error_in),
        held_by: task.lock_by().map(str::to_owned),
        taken_at: task.lock_at().and_then(|seconds| at(i64::try_from(seconds).ok()?)),
        done_at: task.metadata().get("done_at").and_then(|seconds| at(seconds.parse().ok()?)),
    })
}

/// Put in front of a script about the job `ARGV[1]`: ends it where a live worker has that in hand, and takes it out of
/// the hands of one that died (not seen since `ARGV[3]`), so that nobody puts it back.
const UNLESS_IN_HAND: &str = "
local from_dead = 0
for _, worker in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do
  local hand = KEYS[2] .. ':' .. worker
  if tonumber(redis.call('zscore', KEYS[1], worker)) > tonumber(ARGV[3]) then
    if redis.call('sismember', hand, ARGV[1]) == 1 then return 0 end
  else
    from_dead = from_dead + redis.call('srem', hand, ARGV[1])
  end
end
";

const REMOVE: &str = "
redis.call('lrem', KEYS[3], 0, ARGV[1])
redis.call('zrem', KEYS[4], ARGV[1])
redis.call('srem', KEYS[5], ARGV[1])
redis.call('srem', KEYS[6], ARGV[1])
redis.call('hdel', KEYS[7], ARGV[1])
redis.call('del', KEYS[8])
return 1";

/// The last lines are for a script that was sent again since its answer was lost.
const WITHDRAW: &str = "
if from_dead + redis.call('lrem', KEYS[3], 0, ARGV[1]) + redis.call('zrem', KEYS[4], ARGV[1]) > 0 then
  redis.call('sadd', KEYS[6], ARGV[1])
  redis.call('hset', KEYS[8], 'status', 'Killed', 'result', ARGV[2], 'done_at', redis.call('time')[1])
  return 1
end
if redis.call('hget', KEYS[8], 'result') == ARGV[2] then return 1 end
return 0";

/// Runs a script on a job that is not in hand.
async fn on_idle_job(
    connection: &Patient,
    stage: Stage,
    (script, doing): (&str, &str),
    id: &str,
    argument: &str,
) -> Result<bool> {
    let config = config(stage);
    Script::new(&format!("{UNLESS_IN_HAND}{script}"))
        .key(config.workers_set())
        .key(config.inflight_jobs_set())
        .key(config.active_jobs_list())
        .key(config.scheduled_jobs_set())
        .key(config.done_jobs_set())
        .key(config.dead_jobs_set())
        .key(config.job_data_hash())
        .key(format!("{}:{id}", config.job_meta_hash()))
        .arg(id)
        .arg(argument)
        .arg(dead_before())
        .invoke_async(&mut connection.clone())
        .await
        .map_err(|error| failed(doing, error))
}

/// Says whether the job is gone; one that is in hand is left alone.
pub(super) async fn remove(connection: &Patient, stage: Stage, id: &str) -> Result<bool> {
    on_idle_job(connection, stage, (REMOVE, "cannot remove a job"), id, "").await
}

/// Says whether the job had not been taken, and will not be.
pub(super) async fn withdraw(connection: &Patient, stage: Stage, id: &str, result: &str) -> Result<bool> {
    on_idle_job(connection, stage, (WITHDRAW, "cannot withdraw a job"), id, result).await
}

/// Puts back what this worker took and did not begin, in front of all others, and forgets the worker. A job that came
/// from a dead worker goes on saying so.
pub(super) async fn give_back(
    connection: &Patient,
    stage: Stage,
    worker: &str,
    redelivered: bool,
) -> Result<()> {
    let config = config(stage);
    let script = "
for _, id in ipairs(redis.call('smembers', KEYS[1])) do
  local meta = KEYS[4] .. ':' .. id
  redis.call('lpush', KEYS[2], id)
  redis.call('hset', meta, 'status', 'Pending')
  if redis.call('hget', meta, 'locked_by') == ARGV[1] then
    redis.call('hdel', meta, 'locked_by', 'locked_at')
    if ARGV[2] == '1' then redis.call('hset', meta, 'locked_by', 'a worker that died') end
  end
end
redis.call('del', KEYS[1])
redis.call('zrem', KEYS[3], ARGV[1])
return 1";
    Script::new(script)
        .key(format!("{}:{worker}", config.inflight_jobs_set()))
        .key(config.active_jobs_list())
        .key(config.workers_set())
        .key(config.job_meta_hash())
        .arg(worker)
        .arg(redelivered)
        .invoke_async(&mut connection.clone())
        .await
        .map_err(|error| failed("cannot put a job back", error))
}

/// The key of our own marks of a kind: a hash from the name to when it was set.
fn marks(kind: &str) -> String {
    format!("nightferry:{kind}")
}

pub(super) async fn mark(connection: &Patient, kind: &str, name: &str) -> Result<()> {
    ::redis::cmd("HSETNX")
        .arg(marks(kind))
        .arg(name)
        .arg(clock::now().timestamp())
        .query_async(&mut connection.clone())
        .await
        .map_err(|error| failed("cannot set a mark", error))
}

pub(super) async fn unmark(connection: &Patient, kind: &str, name: &str) -> Result<()> {
    ::redis::cmd("HDEL")
        .arg(marks(kind))
        .arg(name)
        .query_async(&mut connection.clone())
        .await
        .map_err(|error| failed("cannot remove a mark", error))
}

pub(super) async fn marked(connection: &Patient, kind: &str) -> Result<Vec<String>> {
    ::redis::cmd("HKEYS")
        .arg(marks(kind))
        .query_async(&mut connection.clone())
        .await
        .map_err(|error| failed("cannot read the marks", error))
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
