//! The queues in a file: one machine, no Redis.

use std::path::Path;
use std::time::Duration;

use apalis_core::task::Task;
use apalis_sqlite::{Config, SqliteStorage};
use chrono::DateTime;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};

use super::job::{JobStatus, QueuedJob, error_in};
use super::store::{HEARTBEAT, MISSED_HEARTBEATS, Store};
use super::understand;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Stage;

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
    prepare(&pool).await.map_err(|error| {
        Error::new(ErrorKind::Configuration, doing())
            .hint("QUEUE_FILE must be in a folder that exists and can be written to")
            .because(error)
    })?;
    Ok(pool)
}

/// SQLite has no lock around a whole set of migrations: of two processes that open a new file at the same moment (a
/// worker that starts, and `restart`), the slower one fails on what the other has just done. It looks again. Switching to
/// the write-ahead log may find the file busy, too, whatever the busy time limit is; it is a property of the file, so that
/// it is done here once and not by each connection (SQLite manual, "Write-Ahead Logging", 9).
async fn prepare(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    let migrations = SqliteStorage::migrations();
    for attempt in 1.. {
        let prepared = async {
            sqlx::query("pragma journal_mode = wal").execute(pool).await?;
            migrations.run(pool).await.map_err(sqlx::Error::from)
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

pub(super) async fn jobs(pool: &SqlitePool, stage: Stage) -> Result<Vec<QueuedJob>> {
    let rows: Vec<(Vec<u8>, String, i64, Option<String>)> =
        sqlx::query_as("select job, status, run_at, last_result from Jobs where job_type = ?")
            .bind(stage.queue_name())
            .fetch_all(pool)
            .await
            .map_err(|error| failed("cannot list the jobs", error))?;
    let read = |(job, status, run_at, result): (Vec<u8>, String, i64, Option<String>)| {
        Some(QueuedJob {
            job: serde_json::from_slice(&job).ok().and_then(|value| understand(value).ok())?,
            status: JobStatus::from_store(&status),
            not_before: DateTime::from_timestamp(run_at, 0),
            error: result.as_deref().and_then(error_in),
        })
    };
    Ok(rows.into_iter().filter_map(read).collect())
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
