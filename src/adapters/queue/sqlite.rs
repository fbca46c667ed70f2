//! The queues in a file: one machine, no Redis.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use apalis_core::task::Task;
use apalis_sqlite::{Config, SqliteStorage};
use chrono::DateTime;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqlitePool};

use super::job::{JobStatus, QueuedJob, error_in};
use super::store::{DEAD_AFTER, HEARTBEAT, MISSED_HEARTBEATS, Store};
use super::understand;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Stage;

/// What operators said, beside the library's tables.
const MARKS: &str = "create table if not exists nightferry_marks (
    kind text not null, name text not null, set_at integer not null default (unixepoch()), primary key (kind, name))";

const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Opens the file, creating it where it is missing. The library's own set-up turns off fsync; a queue that forgets
/// what it acknowledged is none, so only its migrations are used.
pub(super) async fn open(file: &Path) -> Result<SqlitePool> {
    let doing = || format!("cannot open the queue's file {}", file.display());
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(30));
    let pool = SqlitePoolOptions::new().max_connections(8).connect_lazy_with(options);
    let _turn = turn(file).await;
    prepare(&pool).await.map_err(|error| {
        Error::new(ErrorKind::Configuration, doing())
            .hint("QUEUE_FILE must be in a folder that exists and can be written to")
            .because(error)
    })?;
    Ok(pool)
}

/// SQLite has no lock around a whole set of migrations: of two processes that open a new file at the same moment (a
/// worker that starts, and `restart`), one could find the tables half made. So they take turns, by a lock on a file beside it: one
/// on the file itself would be in the way of SQLite's own.
async fn turn(file: &Path) -> Option<File> {
    let mut name = file.as_os_str().to_owned();
    name.push("-opening");
    // Where it cannot be made, the queue's file cannot either.
    let lock = File::options().create(true).append(true).open(name).ok()?;
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Some(lock),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// Where turns cannot be taken, the slower of two fails on what the other has just done. It looks again. Switching to
/// the write-ahead log may find the file busy, too, whatever the busy time limit is; it is a property of the file, so that
/// it is done here once and not by each connection (SQLite manual, "Write-Ahead Logging", 9).
async fn prepare(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    let migrations = SqliteStorage::migrations();
    for attempt in 1.. {
        let prepared = async {
            sqlx::query("pragma journal_mode = wal").execute(pool).await?;
            migrations.run(pool).await.map_err(sqlx::Error::from)?;
            sqlx::query(MARKS).execute(pool).await.map(|_| ())
        };
        match prepared.await {
            // A folder that is not there will not come.
            Err(error) if attempt < TRIES && !cannot_open(&error) => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
    Ok(())
}

/// SQLITE_CANTOPEN, SQLITE_NOTADB, SQLITE_READONLY.
fn cannot_open(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| [14, 26, 8].contains(&(code & 0xff)))
}

pub(super) fn store(pool: &SqlitePool, stage: Stage) -> Store {
    let config = Config::default()
        .queue(stage.queue_name())
        .batch_size(1)
        .heartbeat_interval(HEARTBEAT)
        .missed_heartbeats(MISSED_HEARTBEATS);
    Store::sqlite(SqliteStorage::new(pool).with_config(config))
}

/// Whether it is new.
pub(super) async fn push(pool: &SqlitePool, stage: Stage, task: Task<Vec<u8>>) -> Result<bool> {
    let mut connection = pool.acquire().await.map_err(|error| failed("cannot push a job", error))?;
    match apalis_sqlite::queries::push_tasks(&mut *connection, stage.queue_name(), &[task]).await {
        Ok(()) => Ok(true),
        Err(apalis_sqlite::Error::Database(sqlx::Error::Database(error))) if error.is_unique_violation() => {
            Ok(false)
        }
        Err(error) => Err(Error::new(ErrorKind::Internal, "cannot push a job").because(error)),
    }
}

pub(super) async fn exists(pool: &SqlitePool, id: &str) -> Result<bool> {
    sqlx::query_scalar("select exists (select 1 from Jobs where id = ?)")
        .bind(id)
        .fetch_one(pool)
        .await
        .map_err(|error| failed("cannot look for a job", error))
}

/// The names of its live workers.
pub(super) async fn workers(pool: &SqlitePool, stage: Stage) -> Result<Vec<String>> {
    sqlx::query_scalar("select id from Workers where worker_type = ? and last_seen > unixepoch() - ?")
        .bind(stage.queue_name())
        .bind(dead_after())
        .fetch_all(pool)
        .await
        .map_err(|error| failed("cannot list the workers", error))
}

type Row = (Vec<u8>, String, i64, Option<String>, Option<String>, Option<i64>, Option<i64>);

pub(super) async fn jobs(pool: &SqlitePool, stage: Stage) -> Result<Vec<QueuedJob>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select job, status, run_at, last_result, lock_by, lock_at, done_at from Jobs where job_type = ?",
    )
    .bind(stage.queue_name())
    .fetch_all(pool)
    .await
    .map_err(|error| failed("cannot list the jobs", error))?;
    Ok(rows.into_iter().filter_map(read).collect())
}

fn read((job, status, run_at, result, held_by, taken_at, done_at): Row) -> Option<QueuedJob> {
    let at = |seconds: Option<i64>| seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    Some(QueuedJob {
        job: serde_json::from_slice(&job).ok().and_then(|value| understand(value).ok())?,
        status: JobStatus::from_store(&status),
        not_before: at(Some(run_at)),
        error: result.as_deref().and_then(error_in),
        held_by,
        taken_at: at(taken_at),
        done_at: at(done_at),
    })
}

/// Whether no live worker has the job in hand: one that was not seen for as long as the parameter says has died.
const NOT_IN_HAND: &str = "(status not in ('Queued', 'Running')
    or not exists (select 1 from Workers where Workers.id = lock_by and last_seen > unixepoch() - ?))";

fn dead_after() -> i64 {
    DEAD_AFTER.as_secs().cast_signed()
}

/// Says whether the job is gone; one that is in hand is left alone.
pub(super) async fn remove(pool: &SqlitePool, id: &str) -> Result<bool> {
    sqlx::query(AssertSqlSafe(format!("delete from Jobs where id = ? and {NOT_IN_HAND}")))
        .bind(id)
        .bind(dead_after())
        .execute(pool)
        .await
        .map_err(|error| failed("cannot remove a job", error))?;
    exists(pool, id).await.map(|there| !there)
}

/// Says whether the job had not been taken, and will not be.
pub(super) async fn withdraw(pool: &SqlitePool, id: &str, result: &str) -> Result<bool> {
    sqlx::query(AssertSqlSafe(format!(
        "update Jobs set status = 'Killed', last_result = ?, done_at = unixepoch()
         where id = ? and status in ('Pending', 'Queued', 'Running') and {NOT_IN_HAND}"
    )))
    .bind(result)
    .bind(id)
    .bind(dead_after())
    .execute(pool)
    .await
    .map(|done| done.rows_affected() > 0)
    .map_err(|error| failed("cannot withdraw a job", error))
}

/// Puts back what this worker took and did not begin. How often it was delivered stays with it.
pub(super) async fn give_back(pool: &SqlitePool, worker: &str) -> Result<()> {
    sqlx::query(
        "update Jobs set status = 'Pending', lock_by = null, lock_at = null
         where lock_by = ? and status in ('Queued', 'Running')",
    )
    .bind(worker)
    .execute(pool)
    .await
    .map(|_| ())
    .map_err(|error| failed("cannot put a job back", error))
}

pub(super) async fn mark(pool: &SqlitePool, kind: &str, name: &str) -> Result<()> {
    sqlx::query("insert into nightferry_marks (kind, name) values (?, ?) on conflict do nothing")
        .bind(kind)
        .bind(name)
        .execute(pool)
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot set a mark", error))
}

pub(super) async fn unmark(pool: &SqlitePool, kind: &str, name: &str) -> Result<()> {
    sqlx::query("delete from nightferry_marks where kind = ? and name = ?")
        .bind(kind)
        .bind(name)
        .execute(pool)
        .await
        .map(|_| ())
        .map_err(|error| failed("cannot remove a mark", error))
}

pub(super) async fn marked(pool: &SqlitePool, kind: &str) -> Result<Vec<String>> {
    sqlx::query_scalar("select name from nightferry_marks where kind = ?")
        .bind(kind)
        .fetch_all(pool)
        .await
        .map_err(|error| failed("cannot read the marks", error))
}

fn failed(doing: &str, error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("{doing} in the queue's file")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_file_may_be_opened_by_several_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queue.sqlite");
        let opened = futures::future::join_all((0..6).map(|_| open(&file))).await;
        for pool in opened {
            assert!(!exists(&pool.unwrap(), "none").await.unwrap());
        }
    }
}
